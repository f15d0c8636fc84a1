#!/bin/sh
# production.sh WEIGHT: so many percent of the requests go to the canary, which runs this commit.
# production.sh promote: the stable one runs it too, and gets all of them.
# production.sh back: the stable one, as it is, gets all of them.
set -eu
. ci/config.sh

canary=0
case "$1" in
    promote) message="production: $TAG is stable" images='api web' ;;
    back) message="production: without $TAG" images='' ;;
    *) message="production: $1 % of $TAG" images='api-canary web-canary' canary="$1" ;;
esac
for image in $images; do
    (cd configuration/production && kustomize edit set image "$image=$REGISTRY/shop/${image%-canary}:$TAG")
done
sed -i -E "s/weight: [0-9]+ # stable/weight: $((100 - canary)) # stable/; s/weight: [0-9]+ # canary/weight: $canary # canary/" \
    configuration/production/traffic.yaml
say "$message" shop-production
