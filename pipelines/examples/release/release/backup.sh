#!/bin/sh
# Runs on the host: backup.sh VERSION. Keeps what the service has stored, as it is before the version comes; the newest
# five are kept.
set -eu
folder=/srv/shop/backups
mkdir -p "$folder"
name="$folder/before-$1-$(date -u +%Y%m%dT%H%M%SZ).tar.gz"
docker run --rm --volume shop-data:/data:ro busybox:1.36 tar -cz -C /data . >"$name.part"
gzip -t "$name.part"
mv "$name.part" "$name"
echo "kept $name"
ls -1t "$folder"/before-*.tar.gz | tail -n +6 | xargs -r rm --
