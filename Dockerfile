# Tidegate's container image: one static-enough binary on a slim Debian, as an ordinary user.
#
#   docker build --tag tidegate .
#
# Other bases and a binary that was built outside can be chosen, which is how CI builds it without a registry:
#   --build-arg BASE_IMAGE=...      what the result stands on (Debian or Ubuntu)
#   --build-arg BINARY_FROM=prebuilt   take prebuilt/tidegate from the context instead of compiling
# Both need BuildKit, which builds only the stages that the result asks for.
ARG RUST_IMAGE=rust:1.95-trixie
ARG NODE_IMAGE=node:22-trixie-slim
ARG BASE_IMAGE=debian:trixie-slim
ARG BINARY_FROM=compile

# ---- the web page
FROM ${NODE_IMAGE} AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build

# ---- the binary, with the page in it
FROM ${RUST_IMAGE} AS compile
RUN apt-get update && apt-get install --yes --no-install-recommends libssl-dev pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=web /src/web/dist web/dist
RUN cargo build --locked --release --package tidegate && mkdir /out && cp target/release/tidegate /out/tidegate

# ---- a binary from outside
FROM scratch AS prebuilt
COPY prebuilt/tidegate /out/tidegate

FROM ${BINARY_FROM} AS binary

# ---- the result: no compiler, no package lists
FROM ${BASE_IMAGE} AS result
# The runner deploys with a Docker client and compose, locally or over SSH. Debian 12 has no client of its own:
# DOCKER_PACKAGES="docker.io docker-compose".
ARG DOCKER_PACKAGES="docker-cli docker-compose"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates openssl openssh-client wget ${DOCKER_PACKAGES} \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/tidegate --shell /usr/sbin/nologin tidegate \
    && install --directory --owner=tidegate --group=tidegate --mode=0711 /var/lib/tidegate /run/tidegate
COPY --from=binary /out/tidegate /usr/local/bin/tidegate
USER tidegate
ENV TIDEGATE_LISTEN=0.0.0.0:7300 TIDEGATE_DATA_DIR=/var/lib/tidegate
VOLUME /var/lib/tidegate
EXPOSE 7300
# For the server; docker-compose.yml gives the runner its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
    CMD ["wget", "--quiet", "--output-document=-", "http://127.0.0.1:7300/ready"]
ENTRYPOINT ["/usr/local/bin/tidegate"]
CMD ["server"]
