#!/bin/sh
# Runs on the host: blue-green.sh IMAGE. Makes the image live, without a moment in which nobody answers.
#
# Two containers, `<app>-blue` and `<app>-green`, each on a port of its own; the proxy sends people to one of them. The
# other holds the version before, still running. Whatever fails here fails before the switch.
set -eu

image="$1"
app=shop
blue_port=8081
green_port=8082
folder=/srv/shop
# What is different on this host, in the same words.
[ ! -f /srv/shop/settings ] || . /srv/shop/settings

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
port_of() { if [ "$1" = blue ]; then echo "$blue_port"; else echo "$green_port"; fi; }
# The image that a colour runs now; nothing when it does not run.
runs() {
    [ "$(docker inspect --format '{{.State.Running}}' "$app-$1" 2>/dev/null)" = true ] || return 0
    docker inspect --format '{{.Config.Image}}' "$app-$1"
}
healthy() { curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$(port_of "$1")/health"; }

live="$(cat "$folder/live" 2>/dev/null || true)"
if [ "$live" = blue ]; then idle=green; else idle=blue; fi

if [ -n "$live" ] && [ "$(runs "$live")" = "$image" ] && healthy "$live"; then
    echo "$live is live with $image already"
    exit 0
fi

if [ "$(runs "$idle")" = "$image" ]; then
    echo "$idle still runs $image"
else
    echo "starting $image as $idle"
    docker pull --quiet "$image"
    docker rm --force "$app-$idle" >/dev/null 2>&1 || true
    docker run --detach --name "$app-$idle" --restart unless-stopped --label "app=$app" \
        --publish "127.0.0.1:$(port_of "$idle"):8080" "$image" >/dev/null
fi

tries=0
until healthy "$idle"; do
    tries=$((tries + 1))
    if [ "$tries" -ge 20 ]; then
        echo "$idle does not become healthy; ${live:-nothing} stays live. It printed:"
        docker logs --tail 30 "$app-$idle" 2>&1
        docker rm --force "$app-$idle" >/dev/null
        exit 1
    fi
    sleep 0.5
done
echo "$idle is healthy"

printf 'upstream %s { server 127.0.0.1:%s; }\n' "$app" "$(port_of "$idle")" >"$folder/upstream.new"
mv "$folder/upstream.new" "$folder/upstream.conf"
as_root nginx -t -q
as_root nginx -s reload
echo "$idle" >"$folder/live"
echo "$idle is live"
