#!/bin/sh
# Runs in a stage's sandbox: hands blue-green.sh of this very commit to the host, with the image to make live.
set -eu
umask 077
keys="$(mktemp -d)"
trap 'rm -rf "$keys"' EXIT
printf '%s\n' "$DEPLOY_KEY" >"$keys/key"
printf '%s\n' "$DEPLOY_KNOWN_HOSTS" >"$keys/known_hosts"

if [ "$TIDEGATE_ROLLBACK" = true ]; then
    echo "going back to $TIDEGATE_IMAGE"
fi
ssh -i "$keys/key" -o "UserKnownHostsFile=$keys/known_hosts" -o StrictHostKeyChecking=yes -o BatchMode=yes \
    -o ConnectTimeout=10 "$DEPLOY_TO" sh -s -- "$TIDEGATE_IMAGE" <deploy/blue-green.sh
