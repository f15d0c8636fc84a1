# Sourced: the repository of configuration that Argo CD reads, cloned to ./configuration, and how to change it.
umask 077
keys="$(mktemp -d)"
trap 'rm -rf "$keys"' EXIT
printf '%s\n' "$CONFIG_KEY" >"$keys/key"
printf '%s\n' "$CONFIG_KNOWN_HOSTS" >"$keys/known_hosts"
export GIT_SSH_COMMAND="ssh -i $keys/key -o UserKnownHostsFile=$keys/known_hosts -o StrictHostKeyChecking=yes -o BatchMode=yes"
rm -rf configuration
git clone --quiet --depth 1 "$CONFIG" configuration

# say MESSAGE APPLICATION: what was changed is committed and pushed, and Argo CD makes it so.
say() {
    git -C configuration -c user.name=Delivery -c user.email=delivery@example.org commit --quiet --all --allow-empty --message "$1"
    git -C configuration push --quiet origin HEAD
    revision="$(git -C configuration rev-parse HEAD)"
    argocd app sync "$2" --revision "$revision"
    argocd app wait "$2" --sync --health --timeout 300
}
