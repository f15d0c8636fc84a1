#!/bin/sh
# Staging runs both images of this commit.
set -eu
. ci/config.sh
for service in api web; do
    (cd configuration/staging && kustomize edit set image "$service=$REGISTRY/shop/$service:$TAG")
done
say "staging: $TAG" shop-staging
