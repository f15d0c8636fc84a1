#!/bin/sh
# on-host.sh SCRIPT ARGUMENT…: runs a script of this commit on HOST.
set -eu
umask 077
keys="$(mktemp -d)"
trap 'rm -rf "$keys"' EXIT
printf '%s\n' "$DEPLOY_KEY" >"$keys/key"
printf '%s\n' "$DEPLOY_KNOWN_HOSTS" >"$keys/known_hosts"
script="$1"
shift
ssh -i "$keys/key" -o "UserKnownHostsFile=$keys/known_hosts" -o StrictHostKeyChecking=yes -o BatchMode=yes \
    -o ConnectTimeout=10 "$HOST" sh -s -- "$@" <"$script"
