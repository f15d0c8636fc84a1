//! Creating and removing on the Docker engine: images, sandboxes, and everything of an attempt.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use bollard::{
    auth::DockerCredentials,
    models::{ContainerCreateBody, ContainerSummary},
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, ListContainersOptionsBuilder,
        RemoveContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
    },
};
use futures_util::StreamExt as _;
use tidegate_protocol::{ids::AttemptId, messages::RegistryLogin};

use super::{Docker, QUICK, SLOW, spec, status};
use crate::sandbox::{EngineError, LABEL_ATTEMPT, LABEL_RUNNER, Owner, SandboxSpec};

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
        let start = self.client.start_container(&created.id, None::<StartContainerOptions>);
        match self.call(what, SLOW, start).await {
            Ok(()) => Ok(created.id),
            Err(EngineError::Refused { reason, .. }) if lacks_user(&reason) => Err(EngineError::Image(
                format!("the image `{image}` cannot be run as the user that is asked for: {reason}"),
            )),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<String, EngineError> {
        let mut ports = Vec::new();
        for forward in &spec.forwards {
            let address = self.service_address(spec.owner.attempt, &forward.service).await?;
            let kind = if forward.udp { "udp" } else { "tcp" };
            ports.push(format!("{kind}:{}={}", forward.local, SocketAddr::new(address, forward.port)));
        }
        let body = spec::sandbox(spec, ports, self.machine);
        self.run_container("start the sandbox", &Self::sandbox_name(spec.owner.attempt, spec.part), body)
            .await
    }

    pub(super) async fn pull_if_missing(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
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
        let login = login.map(|login| DockerCredentials {
            username: Some(login.username.clone()),
            password: Some(login.password.clone()),
            serveraddress: registry_of(name).map(str::to_owned),
            ..DockerCredentials::default()
        });
        let mut stream = std::pin::pin!(self.client.create_image(Some(options), None, login));
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

    async fn list(&self, labels: Vec<String>) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        self.call("list containers", QUICK, self.client.list_containers(Some(options))).await
    }

    pub(super) async fn list_attempts(&self, runner: &str) -> Result<Vec<AttemptId>, EngineError> {
        let mine = format!("{LABEL_RUNNER}={runner}");
        let containers = self.list(vec![mine, LABEL_ATTEMPT.to_owned()]).await?;
        let labels = containers
            .into_iter()
            .filter_map(|container| container.labels)
            .chain(self.attempts_with_networks(runner).await?);
        let attempts: BTreeSet<AttemptId> =
            labels.filter_map(|labels| labels.get(LABEL_ATTEMPT)?.parse().ok()).collect();
        Ok(attempts.into_iter().collect())
    }

    pub(super) async fn remove_attempt(&self, runner: &str, attempt: AttemptId) -> Result<(), EngineError> {
        let labels = vec![format!("{LABEL_RUNNER}={runner}"), format!("{LABEL_ATTEMPT}={attempt}")];
        let mut attached = BTreeSet::new();
        let mut removals = Vec::new();
        for container in self.list(labels).await? {
            let networks =
                container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
            attached.extend(networks.into_values().filter_map(|endpoint| endpoint.network_id));
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
        self.release_networks(runner, attempt, attached).await
    }

    /// Lets the shim do something to a folder in a container of its own, and waits for it.
    pub(super) async fn help_with_shim(
        &self,
        what: &str,
        owner: &Owner,
        image: &str,
        (shim, folder): (&Path, &Path),
        words: &[&str],
    ) -> Result<(), EngineError> {
        let body = spec::helper(owner, image, (shim, folder), words);
        let name = format!("tidegate-helper-{}", uuid::Uuid::now_v7().simple());
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

/// Whether a container was not started because its image knows no such user or group.
fn lacks_user(reason: &str) -> bool {
    reason.contains("unable to find user") || reason.contains("unable to find group")
}

/// The registry in an image's name; none: the engine's default one.
fn registry_of(name: &str) -> Option<&str> {
    let (first, _) = name.split_once('/')?;
    (first.contains(['.', ':']) || first == "localhost").then_some(first)
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
    use super::{lacks_user, registry_of, split_tag};

    #[test]
    fn the_registry_of_an_image_is_told_from_its_path() {
        assert_eq!(registry_of("ghcr.io/a/b"), Some("ghcr.io"));
        assert_eq!(registry_of("127.0.0.1:5000/a"), Some("127.0.0.1:5000"));
        assert_eq!(registry_of("localhost/a"), Some("localhost"));
        assert_eq!((registry_of("team/a"), registry_of("debian")), (None, None));
    }

    #[test]
    fn the_engines_words_for_an_unknown_user_are_known() {
        let said = "unable to find user tide: no matching entries in passwd file";
        assert!(lacks_user(said) && !lacks_user("no such container"));
    }

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
