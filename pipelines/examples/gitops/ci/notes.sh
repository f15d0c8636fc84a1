#!/bin/sh
# What changed since the tag before, a line each.
set -eu
last="$(git describe --tags --abbrev=0 2>/dev/null || true)"
echo "## Changes${last:+ since $last}"
echo
git log --no-merges --format='- %s (%h)' "${last:+$last..}HEAD"
