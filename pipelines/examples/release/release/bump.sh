#!/bin/sh
# Raises the version in package.json by LEVEL and pushes a commit and its tag, both or neither.
set -eu
umask 077
keys="$(mktemp -d)"
trap 'rm -rf "$keys"' EXIT
printf '%s\n' "$PUSH_KEY" >"$keys/key"
printf '%s\n' "$PUSH_KNOWN_HOSTS" >"$keys/known_hosts"
export GIT_SSH_COMMAND="ssh -i $keys/key -o UserKnownHostsFile=$keys/known_hosts -o StrictHostKeyChecking=yes -o BatchMode=yes"

version="$(npm version "$LEVEL" --no-git-tag-version)"
git -c user.name=Release -c user.email=release@example.org commit --quiet --all --message "release: $version"
git tag "$version"
git push --quiet --atomic "$PUSH_TO" "HEAD:refs/heads/$BRANCH" "refs/tags/$version"
echo "pushed $version"
