#!/bin/sh
# Runs on the host: clean-up.sh REPOSITORY COUNT. Takes away the repository's images but the newest COUNT, so that a way
# back stays. An image that a container uses, or that has a name elsewhere, stays: the engine sees to that.
set -eu
docker image ls --no-trunc --quiet "$1" | awk '!seen[$0]++' | tail -n "+$(($2 + 1))" | while read -r image; do
    docker image inspect --format '{{range .RepoTags}}{{println .}}{{end}}{{range .RepoDigests}}{{println .}}{{end}}' "$image" |
        grep -E "^$1[:@]" | while read -r name; do
            docker image rm "$name" >/dev/null 2>&1 && echo "removed $name" || echo "$name is in use"
        done
done
