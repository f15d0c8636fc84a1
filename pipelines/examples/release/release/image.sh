#!/bin/sh
# Makes one image of the two platforms' and prints its name by digest.
set -eu
registry="${REPOSITORY%%/*}"
printf '%s' "${REGISTRY_LOGIN#*:}" | regctl registry login "$registry" --user "${REGISTRY_LOGIN%%:*}" --pass-stdin >&2
regctl index create "$REPOSITORY:$VERSION" --ref "$AMD64" --ref "$ARM64" >&2
echo "image=$REPOSITORY@$(regctl image digest "$REPOSITORY:$VERSION")"
