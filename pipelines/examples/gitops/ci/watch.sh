#!/bin/sh
# Watches the canary for WATCH_SECONDS. Fails as soon as more than one request of a hundred does, or when nobody can tell.
set -eu
query='sum(rate(http_requests_total{track="canary",status=~"5.."}[2m])) / sum(rate(http_requests_total{track="canary"}[2m]))'
looks=10
while [ "$looks" -gt 0 ]; do
    answer="$(curl --fail --silent --show-error --get --data-urlencode "query=$query" "$PROMETHEUS/api/v1/query")"
    printf '%s' "$answer" | jq --exit-status '
        .data.result[0].value[1] | tonumber | "\(. * 100) % of the canary'"'"'s requests fail", (. >= 0 and . < 0.01)' || {
        echo "::error::the canary fails too often, or nobody can tell"
        exit 1
    }
    looks=$((looks - 1))
    sleep "$(awk "BEGIN { print $WATCH_SECONDS / 10 }")"
done
