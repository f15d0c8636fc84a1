//! Creating and removing on the Docker engine: images, networks, sandboxes, and everything of an attempt.
//!
//! A network takes about 90 ms to make and twice that to remove, most of what a sandbox costs beyond its own
//! start. So idle networks are kept: one is taken for a stage and put back when the last container on it is gone.
//! Nothing of a stage survives on it; at any time one stage at most is on it. An untrusted stage gets a network of
//! its own kind, made for it and removed after.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::atomic::Ordering,
    time::Duration,
};

use bollard::{
    models::{ContainerCreateBody, ContainerSummary, NetworkCreateRequest},
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectNetworkOptions,
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
        StartContainerOptions, WaitContainerOptions,
    },
};
use futures_util::StreamExt as _;
use tidegate_protocol::ids::AttemptId;

use super::{
    EngineError, LABEL_ATTEMPT, LABEL_RUNNER, NetworkId, Owner, SandboxSpec,
    docker::{Docker, QUICK, SLOW, label_map, status, take},
    docker_spec,
};
use crate::sync::lock;

/// The label of a network that outlives its stages.
const LABEL_POOL: &str = "tidegate.pool";
/// The longest silence of a registry in a pull.
const PULL_SILENCE: Duration = Duration::from_secs(120);

impl Docker {
    /// Creates and starts a container; the name's own conflict means that an earlier start was cut off.
    pub(super) async fn run_container(
        &self,
        what: &str,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, EngineError> {
        let image = body.image.clone().unwrap_or_default();
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let create = self.client.create_container(Some(options), body);
        let created = match tokio::time::timeout(SLOW, create).await {
            Ok(Ok(created)) => created,
            Ok(Err(error)) if status(&error) == Some(404) => {
                return Err(EngineError::Image(format!("the image `{image}` is not there any more")));
            }
            Ok(Err(error)) => return Err(self.error(what, &error)),
            Err(_) => return Err(EngineError::TimedOut { what: what.to_owned(), limit: SLOW }),
        };
        self.call(what, SLOW, self.client.start_container(&created.id, None::<StartContainerOptions>))
            .await?;
        Ok(created.id)
    }

    pub(super) async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<String, EngineError> {
        let body = docker_spec::sandbox(spec, self.machine);
        self.run_container("start the sandbox", &Self::sandbox_name(spec.owner.attempt), body).await
    }

    pub(super) async fn pull_if_missing(
        &self,
        image: &str,
        progress: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), EngineError> {
        let what = format!("look for the image `{image}`");
        if self.find_by(&what, QUICK, self.client.inspect_image(image)).await?.is_some() {
            return Ok(());
        }
        progress(format!("pulling {image}"));
        let cannot = |reason: &str| {
            EngineError::Image(format!(
                "the image `{image}` is not on this machine and cannot be pulled: {reason}"
            ))
        };
        let (name, tag) = split_tag(image);
        let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
        let mut stream = std::pin::pin!(self.client.create_image(Some(options), None, None));
        loop {
            let item = tokio::time::timeout(PULL_SILENCE, stream.next())
                .await
                .map_err(|_| cannot("the registry said nothing for two minutes"))?;
            match item {
                None => break,
                Some(Ok(info)) => {
                    if let Some(message) = info.error_detail.and_then(|detail| detail.message) {
                        return Err(cannot(message.trim()));
                    }
                    // Progress bars are left out: a line for each layer's beginning and end is enough.
                    if let (Some(status), None) =
                        (info.status, info.progress_detail.and_then(|detail| detail.total))
                    {
                        progress(info.id.map_or(status.clone(), |id| format!("{id}: {status}")));
                    }
                }
                Some(Err(error)) => match self.error("pull", &error) {
                    EngineError::Refused { reason, .. } => return Err(cannot(&reason)),
                    other => return Err(other),
                },
            }
        }
        self.find_by(&what, QUICK, self.client.inspect_image(image))
            .await?
            .map(|_| ())
            .ok_or_else(|| cannot("the pull ended, and it is not there"))
    }

    async fn create_network(
        &self,
        runner: &str,
        owner: Option<&Owner>,
        internal: bool,
    ) -> Result<NetworkId, EngineError> {
        let mut labels = HashMap::from([(LABEL_RUNNER.to_owned(), runner.to_owned())]);
        match owner {
            Some(owner) => labels.extend(label_map(owner.labels())),
            None => {
                labels.insert(LABEL_POOL.to_owned(), "1".to_owned());
            }
        }
        let request = NetworkCreateRequest {
            name: format!("tidegate-{}", uuid::Uuid::now_v7().simple()),
            driver: Some("bridge".to_owned()),
            internal: Some(internal),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        let created = self.call("create a network", SLOW, self.client.create_network(request)).await?;
        Ok(NetworkId(created.id))
    }

    pub(super) async fn take_network(
        &self,
        owner: &Owner,
        untrusted: bool,
    ) -> Result<NetworkId, EngineError> {
        if untrusted {
            return self.create_network(&owner.runner, Some(owner), true).await;
        }
        while let Some(network) = take(&self.idle_networks) {
            // Somebody may have removed it (`docker network prune`).
            if self.network_is_empty(&network).await? {
                return Ok(network);
            }
        }
        self.create_network(&owner.runner, None, false).await
    }

    async fn network_is_empty(&self, network: &NetworkId) -> Result<bool, EngineError> {
        let call = self.client.inspect_network(&network.0, None::<InspectNetworkOptions>);
        let found = self.find_by("look at a network", QUICK, call).await?;
        Ok(found.is_some_and(|network| network.containers.unwrap_or_default().is_empty()))
    }

    pub(super) async fn prepare_networks(&self, runner: &str, slots: usize) {
        // Docker's own address pools hold about thirty networks.
        let keep = slots.clamp(1, 8);
        self.keep_networks.store(keep, Ordering::Relaxed);
        for network in self.list_networks(runner, Some(LABEL_POOL)).await.unwrap_or_default() {
            let empty = self.network_is_empty(&network).await.unwrap_or(false);
            if empty && !lock(&self.idle_networks).contains(&network) {
                self.give_back(network).await;
            }
        }
        while lock(&self.idle_networks).len() < keep {
            match self.create_network(runner, None, false).await {
                Ok(network) => lock(&self.idle_networks).push(network),
                Err(error) => {
                    tracing::warn!(%error, "no network could be made ahead; stages make their own");
                    break;
                }
            }
        }
    }

    pub(super) async fn remove_idle_networks(&self) {
        while let Some(network) = take(&self.idle_networks) {
            let _ = self.remove_network(&network).await;
        }
    }

    async fn give_back(&self, network: NetworkId) {
        {
            let mut idle = lock(&self.idle_networks);
            if idle.contains(&network) {
                return;
            }
            if idle.len() < self.keep_networks.load(Ordering::Relaxed) {
                idle.push(network);
                return;
            }
        }
        let _ = self.remove_network(&network).await;
    }

    async fn remove_network(&self, network: &NetworkId) -> Result<(), EngineError> {
        let call = self.client.remove_network(&network.0);
        self.find_by("remove a network", SLOW, call).await.map(|_| ())
    }

    async fn list_networks(&self, runner: &str, label: Option<&str>) -> Result<Vec<NetworkId>, EngineError> {
        let mut labels = vec![format!("{LABEL_RUNNER}={runner}")];
        labels.extend(label.map(str::to_owned));
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let found = self.call("list networks", QUICK, self.client.list_networks(Some(options))).await?;
        Ok(found.into_iter().filter_map(|network| network.id.map(NetworkId)).collect())
    }

    async fn list(&self, labels: Vec<String>) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        self.call("list containers", QUICK, self.client.list_containers(Some(options))).await
    }

    pub(super) async fn list_attempts(&self, runner: &str) -> Result<Vec<AttemptId>, EngineError> {
        let mine = format!("{LABEL_RUNNER}={runner}");
        let containers = self.list(vec![mine.clone(), LABEL_ATTEMPT.to_owned()]).await?;
        let filters = HashMap::from([("label".to_owned(), vec![mine, LABEL_ATTEMPT.to_owned()])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let networks = self.call("list networks", QUICK, self.client.list_networks(Some(options))).await?;
        let labels = containers
            .into_iter()
            .filter_map(|container| container.labels)
            .chain(networks.into_iter().filter_map(|network| network.labels));
        let attempts: BTreeSet<AttemptId> =
            labels.filter_map(|labels| labels.get(LABEL_ATTEMPT)?.parse().ok()).collect();
        Ok(attempts.into_iter().collect())
    }

    pub(super) async fn remove_attempt(&self, runner: &str, attempt: AttemptId) -> Result<(), EngineError> {
        let labels = vec![format!("{LABEL_RUNNER}={runner}"), format!("{LABEL_ATTEMPT}={attempt}")];
        let containers = self.list(labels.clone()).await?;
        let mut networks = BTreeSet::new();
        let mut removals = Vec::new();
        for container in containers {
            let attached =
                container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
            networks.extend(attached.into_values().filter_map(|endpoint| endpoint.network_id));
            let Some(id) = container.id else { continue };
            removals.push(async move {
                let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                let call = async {
                    match self.client.remove_container(&id, Some(options)).await {
                        // Somebody is removing it already.
                        Err(error) if status(&error) == Some(409) => Ok(()),
                        other => other,
                    }
                };
                self.find_by("remove a container", SLOW, call).await
            });
        }
        for removed in futures_util::future::join_all(removals).await {
            removed?;
        }
        let own = HashMap::from([("label".to_owned(), labels)]);
        let options = ListNetworksOptionsBuilder::new().filters(&own).build();
        let own = self.call("list networks", QUICK, self.client.list_networks(Some(options))).await?;
        for network in own.into_iter().filter_map(|network| network.id) {
            networks.remove(&network);
            self.remove_network(&NetworkId(network)).await?;
        }
        // What is left was taken from the pool. A network of somebody else is not in it.
        let pool = if networks.is_empty() {
            Vec::new()
        } else {
            self.list_networks(runner, Some(LABEL_POOL)).await?
        };
        for network in pool.into_iter().filter(|network| networks.contains(&network.0)) {
            self.give_back(network).await;
        }
        Ok(())
    }

    pub(super) async fn empty_with_shim(
        &self,
        owner: &Owner,
        image: &str,
        shim: &Path,
        folder: &Path,
    ) -> Result<(), EngineError> {
        let what = "empty a workspace";
        let body = docker_spec::emptying(owner, image, shim, folder);
        let name = format!("tidegate-empty-{}", uuid::Uuid::now_v7().simple());
        let id = self.run_container(what, &name, body).await?;
        let wait = async {
            let mut stream = std::pin::pin!(self.client.wait_container(&id, None::<WaitContainerOptions>));
            stream.next().await.unwrap_or_else(|| {
                Err(bollard::errors::Error::DockerContainerWaitError {
                    error: "no answer".to_owned(),
                    code: -1,
                })
            })
        };
        let done = self.call(what, SLOW, wait).await.map(|_| ());
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        self.find_by("remove a container", SLOW, self.client.remove_container(&id, Some(options))).await?;
        done
    }
}

/// Name and tag of an image; a digest stays with the name's tag part, as the engine wants it.
fn split_tag(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::split_tag;

    #[test]
    fn tags_and_digests_are_told_from_ports() {
        for (image, expected) in [
            ("busybox", ("busybox", "latest")),
            ("busybox:1", ("busybox", "1")),
            ("127.0.0.1:5000/a/b", ("127.0.0.1:5000/a/b", "latest")),
            ("127.0.0.1:5000/a/b:2", ("127.0.0.1:5000/a/b", "2")),
            ("a/b:1@sha256:00", ("a/b:1", "sha256:00")),
        ] {
            assert_eq!(split_tag(image), expected, "{image}");
        }
    }
}
