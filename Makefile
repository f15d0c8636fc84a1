# Tidegate's tasks. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
# Where things are kept that survive a clone.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate
# The dev profile's folder, wherever CARGO_TARGET_DIR says.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Make targets that use the binary take it from here: `make demo-check TIDEGATE=target/debug/tidegate`.
TIDEGATE ?= $(TARGET)/release/tidegate
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
# One way to run tests, whether nextest is there or not.
RUN_TESTS = $(if $(NEXTEST),$(CARGO) nextest run --locked --no-fail-fast --cargo-quiet,$(CARGO) test --locked --quiet)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup images
setup: ## Install and start what is needed (Docker engine, Postgres, Node, ...)
	@scripts/setup

images: ## Make the container images of tests and demo, without a registry
	@scripts/images

# ---------------------------------------------------------------------------------------------------- building

.PHONY: build web
build: web ## Build the release binary, web page included
	$(CARGO) build --locked --release --package tidegate
	@echo "built $(TARGET)/release/tidegate"

web: web/dist/index.html ## Build the web page

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

web/dist/index.html: web/node_modules/.package-lock.json $(shell find web/src web/index.html web/vite.config.ts -type f 2>/dev/null)
	cd web && npm run --silent build
	@touch $@

# ------------------------------------------------------------------------------------------------------- demo

.PHONY: demo demo-check
demo: demo-ready build ## Show the whole road on this machine: push to production, and back
	@$(TIDEGATE) demo

demo-check: demo-ready $(if $(findstring release,$(TIDEGATE)),build) ## The demo without hands, verified from outside
	@$(TIDEGATE) demo --check

.PHONY: demo-ready
demo-ready:
	@scripts/setup demo
	@scripts/images python

# ------------------------------------------------------------------------------------------------------ tests

.PHONY: test test-unit test-db test-docker test-e2e test-web check lint fmt
test: setup images check test-unit test-db test-docker test-e2e test-web demo-check-dev compose-check ## Everything: set up, check, and all tests

check: web lint ## Formatting, lints, types, licences: all without running the program
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --quiet -- -D warnings
	scripts/deny
	cd web && npm run --silent check

lint: web/node_modules/.package-lock.json ## Lints of scripts and web page
	shellcheck --external-sources scripts/* .ci/run
	cd web && npm run --silent lint

fmt: ## Format all code
	$(CARGO) fmt --all
	cd web && npm run --silent format

test-unit: ## Tests of pure logic: language, protocol
	$(RUN_TESTS) --package tidegate-pipelines --package tidegate-protocol

test-db: web ## Tests that need a database: server and command line (its embedded one)
	scripts/with-postgres $(RUN_TESTS) --package tidegate-server --package tidegate

test-docker: ## Tests that need the Docker engine: runner
	$(RUN_TESTS) --package tidegate-runner

test-e2e: web debug-binary ## Scenarios on real parts: git, Docker, Postgres, a registry
	scripts/with-postgres $(RUN_TESTS) --package tidegate-e2e

test-web: web demo-ready debug-binary ## Tests of the web page: units, then a real browser on a real server
	cd web && npm run --silent test
	TIDEGATE="$(TARGET)/debug/tidegate" scripts/browser-tests

.PHONY: debug-binary demo-check-dev
debug-binary:
	$(CARGO) build --locked --quiet --package tidegate

demo-check-dev: web debug-binary
	@$(MAKE) demo-check TIDEGATE=$(TARGET)/debug/tidegate

.PHONY: conformance
conformance: ## Print how much of the public test data beside the repository is met
	@$(CARGO) test --locked --quiet --package tidegate-pipelines --test it -- --ignored --exact --nocapture conformance::measured
	@$(CARGO) test --locked --quiet --package tidegate-runner --test it -- --nocapture --test-threads=1 conformance:: | sed -n 's/^\.*\(.*[^.].*\)/\1/p'

.PHONY: fuzz
fuzz: ## Fuzz what reads strangers' bytes, each target for FUZZ_SECONDS=60 (FUZZ_TARGETS="yaml ..." for some)
	@FUZZ_SECONDS="$(or $(FUZZ_SECONDS),60)" scripts/fuzz $(FUZZ_TARGETS)

.PHONY: bench
bench: demo-ready build ## Print the figures beside their floors
	$(CARGO) build --locked --release --package tidegate-e2e --bins
	scripts/images busybox
	scripts/with-postgres env TIDEGATE_BIN="$(abspath $(TIDEGATE))" $(TARGET)/release/bench

# -------------------------------------------------------------------------------------------------- packaging

.PHONY: image compose-check clean
image: ## Build the container image from public base images
	docker build --tag tidegate:latest .

compose-check: web debug-binary ## Build the image on locally made bases, start docker-compose.yml, run a pipeline
	@TIDEGATE="$(TARGET)/debug/tidegate" scripts/compose-check

clean: ## Remove what was built in this folder (not the caches below ~/.cache/tidegate)
	rm -rf target web/dist web/node_modules web/test-results
