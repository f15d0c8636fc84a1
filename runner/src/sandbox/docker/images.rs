//! The Docker engine's images, for the verbs `build` and `push`.

use std::time::Duration;

use async_trait::async_trait;
use bollard::{
    auth::DockerCredentials,
    query_parameters::{PushImageOptionsBuilder, TagImageOptionsBuilder},
};
use futures_util::StreamExt as _;

use super::{Docker, QUICK};
use crate::sandbox::{
    BuildRequest, EngineError, Entry, Images, IndexRequest, PushRequest, image_index,
    images::{LogBytes, PATIENCE},
};

/// An engine that says nothing of a push for so long is given up.
const SILENCE: Duration = Duration::from_secs(300);

#[async_trait]
impl Images for Docker {
    async fn build(&self, request: &BuildRequest, log: &mut LogBytes<'_>) -> Result<String, EngineError> {
        self.build_with_progress(request, log).await
    }

    async fn entry(&self, image: &str) -> Result<Entry, EngineError> {
        let found = self.call("look at the image", QUICK, self.client.inspect_image(image)).await?;
        let config = found.config.unwrap_or_default();
        Ok(Entry {
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
        })
    }

    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.call("tag the image", QUICK, self.client.tag_image(image, Some(options))).await
    }

    async fn push(&self, request: &PushRequest, log: &mut LogBytes<'_>) -> Result<String, EngineError> {
        let mut digest: Option<String> = None;
        for tag in &request.tags {
            self.tag(&request.image_id, &request.repository, tag).await?;
            let pushed = self.push_patiently(request, tag, log).await?;
            if let Some(before) = digest.replace(pushed.clone())
                && before != pushed
            {
                return Err(refused(
                    &request.repository,
                    &format!("two tags got the digests {before} and {pushed}"),
                ));
            }
        }
        digest.ok_or_else(|| refused(&request.repository, "there is no tag to push"))
    }

    async fn push_index(
        &self,
        request: &IndexRequest,
        log: &mut LogBytes<'_>,
    ) -> Result<String, EngineError> {
        let info = self.call("tell its registries", QUICK, self.client.info()).await?;
        let host = image_index::host(&request.repository);
        // What the engine speaks to without encryption, so does the runner.
        let configs = info.registry_config.and_then(|config| config.index_configs).unwrap_or_default();
        let plain = configs.get(host).is_some_and(|config| config.secure == Some(false));
        let digest =
            image_index::put(request, plain).await.map_err(|reason| refused(&request.repository, &reason))?;
        log(format!("the index of {} platforms is {digest}\n", request.images.len()).as_bytes());
        Ok(digest)
    }
}

impl Docker {
    /// Pushes one tag, more than once if the registry fails.
    async fn push_patiently(
        &self,
        request: &PushRequest,
        tag: &str,
        log: &mut LogBytes<'_>,
    ) -> Result<String, EngineError> {
        for wait in PATIENCE {
            match self.push_tag(request, tag, log).await {
                Err(error) if is_the_registrys_own(&error) => {
                    log(format!("{error}; trying again in {} s\n", wait.as_secs()).as_bytes());
                    tokio::time::sleep(wait).await;
                }
                done => return done,
            }
        }
        self.push_tag(request, tag, log).await
    }

    /// Pushes one tag, and gives the digest that the registry has it under.
    async fn push_tag(
        &self,
        request: &PushRequest,
        tag: &str,
        log: &mut LogBytes<'_>,
    ) -> Result<String, EngineError> {
        let repository = &request.repository;
        log(format!("pushing {repository}:{tag}\n").as_bytes());
        let login = request.login.as_ref().map(|login| DockerCredentials {
            username: Some(login.username.clone()),
            password: Some(login.password.clone()),
            serveraddress: repository.split('/').next().map(str::to_owned),
            ..DockerCredentials::default()
        });
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let mut answers = std::pin::pin!(self.client.push_image(repository, Some(options), login));
        let mut digest = None;
        loop {
            let answer = tokio::time::timeout(SILENCE, answers.next()).await.map_err(|_| {
                EngineError::TimedOut { what: format!("push to {repository}"), limit: SILENCE }
            })?;
            match answer {
                None => break,
                Some(Ok(info)) => {
                    if let Some(message) = info.error_detail.and_then(|error| error.message) {
                        return Err(refused(repository, &message));
                    }
                    // Layers tell their progress many times a second; only what ends is worth a line.
                    let Some(status) = info.status else { continue };
                    if let Some(found) = digest_in(&status) {
                        digest = Some(found);
                    }
                    if !matches!(
                        status.as_str(),
                        "Preparing" | "Waiting" | "Pushing" | "Pushed" | "Layer already exists"
                    ) {
                        log(format!("{status}\n").as_bytes());
                    }
                }
                Some(Err(error)) => {
                    return Err(match self.error(&format!("push to {repository}"), &error) {
                        EngineError::Refused { reason, .. } => refused(repository, &reason),
                        other => other,
                    });
                }
            }
        }
        digest.ok_or_else(|| refused(repository, "the registry gave no digest"))
    }
}

fn refused(repository: &str, reason: &str) -> EngineError {
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    EngineError::Refused { what: format!("push to {repository}"), reason }
}

/// Whether the registry itself failed (an HTTP status of 500 or more), which says nothing about what was pushed. The engine
/// hands its answer on as a sentence only.
fn is_the_registrys_own(error: &EngineError) -> bool {
    let EngineError::Refused { reason, .. } = error else { return false };
    let status = reason.split_once("unexpected HTTP status: ").map(|(_, status)| status);
    status.is_some_and(|status| status.starts_with('5'))
}

/// The digest in `latest: digest: sha256:… size: 528`.
fn digest_in(status: &str) -> Option<String> {
    let (_, rest) = status.split_once("digest: ")?;
    let digest = rest.split_whitespace().next()?;
    let hex = digest.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_of_the_push_is_not_its_own_failure() {
        let own = |reason: &str| is_the_registrys_own(&refused("r/app", reason));
        assert!(own("received unexpected HTTP status: 503 Service Unavailable"));
        assert!(!own("received unexpected HTTP status: 405 Method Not Allowed"));
        assert!(!own("denied: requested access to the resource is denied"));
        assert!(!is_the_registrys_own(&EngineError::Unreachable("unexpected HTTP status: 500".to_owned())));
    }

    #[test]
    fn a_digest_is_found_and_nothing_else_is_taken_for_one() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(digest_in(&format!("latest: digest: {digest} size: 528")), Some(digest));
        assert_eq!(digest_in("latest: digest: sha256:short size: 1"), None);
        assert_eq!(digest_in("Pushed"), None);
    }
}
