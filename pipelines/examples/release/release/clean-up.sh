#!/bin/sh
# Runs on the host: clean-up.sh REPOSITORY COUNT. Removes the repository's images but the newest COUNT, so that a way back
# stays. The engine itself keeps what a container uses.
set -eu
docker image ls --no-trunc --quiet "$1" | awk '!seen[$0]++' | tail -n "+$(($2 + 1))" | while read -r image; do
    docker image rm --force "$image" >/dev/null 2>&1 && echo "removed $image" || echo "$image is in use"
done
