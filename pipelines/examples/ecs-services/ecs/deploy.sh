#!/bin/sh
# Renders the service's task definition with the image to deploy, registers it, and waits until it runs. To go back is the
# same with an earlier image and the files of its commit.
set -eu
rendered="$(mktemp)"
trap 'rm -f "$rendered"' EXIT
sed -e "s|@IMAGE@|$TIDEGATE_IMAGE|g" -e "s|@REGION@|$AWS_REGION|g" "ecs/$SERVICE.json" >"$rendered"

definition="$(aws ecs register-task-definition --cli-input-json "file://$rendered" \
    --query taskDefinition.taskDefinitionArn --output text)"
echo "registered $definition with $TIDEGATE_IMAGE"

aws ecs update-service --cluster "$CLUSTER" --service "$SERVICE" --task-definition "$definition" \
    --query service.serviceName --output text
aws ecs wait services-stable --cluster "$CLUSTER" --services "$SERVICE"
echo "$SERVICE is stable"
