#!/bin/sh
# A service is well when all the tasks that it should have run, and its rollout is over.
set -eu
ask() { aws ecs describe-services --cluster "$CLUSTER" --services "$SERVICE" --query "$1" --output text; }
state="$(ask 'services[0].deployments[0].rolloutState')"
running="$(ask 'services[0].runningCount')"
desired="$(ask 'services[0].desiredCount')"
echo "$SERVICE: rollout $state, $running of $desired tasks"
[ "$state" = COMPLETED ] && [ "$running" = "$desired" ]
