# shellcheck shell=bash
# What the scripts share: messages, finding programs, and who we are. Sourced, never run.

say() { printf '%s\n' "$*" >&2; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Where things are kept that survive a clone: built dependencies, imported images' packages, logs.
cache_dir() {
    local dir="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate"
    mkdir -p "$dir"
    printf '%s\n' "$dir"
}

# Runs a command as root: directly, or through sudo where that needs no password or a terminal can ask for one.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo "$@"
    else
        return 126
    fi
}

# The folder that holds initdb and postgres, as `tidegate up` looks for it.
postgres_bin() {
    local dir newest=''
    if [ -n "${TIDEGATE_PG_BIN:-}" ]; then
        printf '%s\n' "$TIDEGATE_PG_BIN"
        return
    fi
    for dir in /usr/lib/postgresql/*/bin; do
        [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && newest="$newest$dir"$'\n'
    done
    if [ -n "$newest" ]; then
        printf '%s' "$newest" | sort -V | tail -n 1
    elif have initdb && have postgres; then
        dirname "$(readlink -f "$(command -v initdb)")"
    else
        return 1
    fi
}

docker_answers() { have docker && timeout 20 docker version >/dev/null 2>&1; }
has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# The compose program there is, as words: the plugin, or the stand-alone one of older distributions.
compose_program() {
    if docker compose version >/dev/null 2>&1; then
        printf 'docker compose\n'
    elif have docker-compose; then
        printf 'docker-compose\n'
    else
        return 1
    fi
}

# A docker client that can build with BuildKit: newer ones need the buildx plugin, 20.10's has it built in.
buildkit_docker() {
    local candidate
    for candidate in docker /usr/bin/docker; do
        have "$candidate" || continue
        if "$candidate" buildx version >/dev/null 2>&1 || "$candidate" --version | grep -q ' 20\.10\.'; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# A TCP port of this machine that nothing listens on.
free_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + RANDOM % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
    return 1
}
