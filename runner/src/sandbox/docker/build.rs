//! Building images on the Docker engine: through BuildKit, or the classic builder where that is all there is.
//!
//! BuildKit is asked with a session of the runner's own ([`super::session`]), by which it asks back for registries'
//! credentials and for secrets; the client library's has no secrets. So nothing of these is in the request, in the image
//! or in its history. The session ends with the build.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bollard::{
    auth::DockerCredentials,
    errors::Error,
    models::BuildInfo,
    query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tidegate_protocol::messages::RegistryLogin;
use tokio_util::{
    codec::{FramedRead, LinesCodec},
    io::{ReaderStream, StreamReader},
};

use super::{
    Docker,
    progress::{Progress, WHAT},
    session::{Session, Wire},
    words,
};
use crate::sandbox::{BuildRequest, EngineError, images::LogBytes};

/// An engine that says nothing for so long is given up; long instructions print rarely, hence the length.
const SILENCE: Duration = Duration::from_secs(3_600);
/// The longest line of an engine's answer, in bytes.
const LONGEST: usize = 16 << 20;

impl Docker {
    /// Builds with BuildKit; when the engine has none, says so and builds with the classic builder.
    pub(super) async fn build_with_progress(
        &self,
        request: &BuildRequest,
        log: &mut LogBytes<'_>,
    ) -> Result<String, EngineError> {
        let mut progress = Progress::default();
        match self.build_with_buildkit(request, &mut progress, log).await {
            Err(EngineError::Refused { reason, .. }) if !progress.began && lacks_buildkit(&reason) => {
                if let Some(what) = only_buildkit(request) {
                    return Err(refused(&format!("it has no BuildKit ({reason}), which {what} need")));
                }
                log(format!("the engine has no BuildKit ({reason}); using its classic builder\n").as_bytes());
                self.build_with_classic(request, &mut Progress::default(), log).await
            }
            other => other,
        }
    }

    async fn build_with_buildkit(
        &self,
        request: &BuildRequest,
        progress: &mut Progress,
        log: &mut LogBytes<'_>,
    ) -> Result<String, EngineError> {
        let wire = Wire::to(self)?;
        let logins = each_name(&request.logins).map(|(name, login)| (name.to_owned(), login.clone()));
        let session = Session::open(&wire, request.secrets.clone(), logins.collect()).await?;
        let context = context(request).await?;
        let asked = wire
            .post("build", &asked(request, session.id()))?
            .header("Content-Type", "application/x-tar")
            .body(reqwest::Body::wrap_stream(context))
            .send();
        let answer = tokio::time::timeout(SILENCE, asked)
            .await
            .map_err(|_| EngineError::TimedOut { what: WHAT.to_owned(), limit: SILENCE })?
            .map_err(|error| wire.gone(WHAT, &error))?;
        if !answer.status().is_success() {
            return Err(progress.refusal(&Wire::reason(answer).await));
        }
        let mut bytes = std::pin::pin!(answer.bytes_stream().map_err(std::io::Error::other));
        let lines = LinesCodec::new_with_max_length(LONGEST);
        let mut lines = FramedRead::new(StreamReader::new(bytes.as_mut()), lines);
        let mut image = None;
        loop {
            let line = tokio::time::timeout(SILENCE, lines.next())
                .await
                .map_err(|_| EngineError::TimedOut { what: WHAT.to_owned(), limit: SILENCE })?;
            match line {
                None => break,
                Some(Ok(line)) if line.trim().is_empty() => {}
                Some(Ok(line)) => {
                    let info: BuildInfo = serde_json::from_str(&line)
                        .map_err(|error| refused(&format!("its answer cannot be read: {error}")))?;
                    progress.take(info, &mut image, log)?;
                }
                Some(Err(error)) => return Err(wire.gone(WHAT, &error)),
            }
        }
        image.ok_or_else(|| progress.refusal("the engine named no image at the end of the build"))
    }

    async fn build_with_classic(
        &self,
        request: &BuildRequest,
        progress: &mut Progress,
        log: &mut LogBytes<'_>,
    ) -> Result<String, EngineError> {
        let body = bollard::body_try_stream(context(request).await?);
        let mut answers =
            std::pin::pin!(self.client.build_image(options(request), credentials(request), Some(body)));
        let mut image = None;
        loop {
            let answer = tokio::time::timeout(SILENCE, answers.next())
                .await
                .map_err(|_| EngineError::TimedOut { what: WHAT.to_owned(), limit: SILENCE })?;
            match answer {
                None => break,
                Some(Ok(info)) => progress.take(info, &mut image, log)?,
                Some(Err(error)) => return Err(self.build_error(progress, &error)),
            }
        }
        image.ok_or_else(|| progress.refusal("the engine named no image at the end of the build"))
    }

    fn build_error(&self, progress: &Progress, error: &Error) -> EngineError {
        match error {
            Error::DockerStreamError { error } => progress.refusal(error),
            Error::DockerResponseServerError { message, .. } => progress.refusal(message),
            other => self.error(WHAT, other),
        }
    }
}

fn refused(reason: &str) -> EngineError {
    EngineError::Refused { what: WHAT.to_owned(), reason: reason.to_owned() }
}

/// The build's context, as it is sent.
async fn context(request: &BuildRequest) -> Result<ReaderStream<tokio::fs::File>, EngineError> {
    let file = tokio::fs::File::open(&request.context).await.map_err(|error| refused(&words(&error)))?;
    Ok(ReaderStream::with_capacity(file, 256 << 10))
}

/// What an engine without BuildKit answers when it is asked for it.
fn lacks_buildkit(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["buildkit", "invalid version", "session", "not implemented"].iter().any(|word| reason.contains(word))
}

/// What of a request the classic builder cannot do.
fn only_buildkit(request: &BuildRequest) -> Option<&'static str> {
    if !request.secrets.is_empty() {
        return Some("secrets");
    }
    request.platform.is_some().then_some("other platforms")
}

/// A request in the words of the engine's API, for BuildKit.
fn asked(request: &BuildRequest, session: &str) -> Vec<(&'static str, String)> {
    let object = |map: &BTreeMap<String, String>| serde_json::json!(map).to_string();
    let mut asked = vec![
        ("version", "2".to_owned()),
        ("session", session.to_owned()),
        ("dockerfile", request.dockerfile.clone()),
        ("buildargs", object(&request.args)),
        ("labels", object(&request.labels)),
        ("rm", "true".to_owned()),
        ("forcerm", "true".to_owned()),
        ("nocache", request.no_cache.to_string()),
    ];
    if request.pull {
        asked.push(("pull", "true".to_owned()));
    }
    if !request.cache_from.is_empty() {
        asked.push(("cachefrom", serde_json::json!(request.cache_from).to_string()));
    }
    asked.extend(request.target.clone().map(|target| ("target", target)));
    asked.extend(request.platform.clone().map(|platform| ("platform", platform)));
    asked
}

fn options(request: &BuildRequest) -> BuildImageOptions {
    let pairs = |map: &BTreeMap<String, String>| map.clone().into_iter().collect::<HashMap<_, _>>();
    let (args, labels) = (pairs(&request.args), pairs(&request.labels));
    let mut options = BuildImageOptionsBuilder::default()
        .dockerfile(&request.dockerfile)
        .buildargs(&args)
        .labels(&labels)
        .rm(true)
        .forcerm(true)
        .nocache(request.no_cache)
        .version(BuilderVersion::BuilderV1);
    if request.pull {
        options = options.pull("true");
    }
    if let Some(target) = &request.target {
        options = options.target(target);
    }
    options.build()
}

fn credentials(request: &BuildRequest) -> Option<HashMap<String, DockerCredentials>> {
    let all: HashMap<_, _> = each_name(&request.logins)
        .map(|(name, login)| {
            let credentials = DockerCredentials {
                username: Some(login.username.clone()),
                password: Some(login.password.clone()),
                serveraddress: Some(name.to_owned()),
                ..DockerCredentials::default()
            };
            (name.to_owned(), credentials)
        })
        .collect();
    (!all.is_empty()).then_some(all)
}

/// Logins under every name that builders ask for. Docker's own registry has one for each builder.
fn each_name(logins: &BTreeMap<String, RegistryLogin>) -> impl Iterator<Item = (&str, &RegistryLogin)> {
    logins.iter().flat_map(|(host, login)| {
        let names = match host.as_str() {
            "docker.io" => vec![host.as_str(), "registry-1.docker.io", "https://index.docker.io/v1/"],
            other => vec![other],
        };
        names.into_iter().map(move |name| (name, login))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_found_by_every_name_that_engines_ask_for() {
        let login = RegistryLogin { username: "me".to_owned(), password: "word".to_owned() };
        let logins = ["docker.io", "ghcr.io"].map(|host| (host.to_owned(), login.clone())).into();
        let all = credentials(&BuildRequest { logins, ..BuildRequest::default() }).unwrap();
        let mut names: Vec<&str> = all.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["docker.io", "ghcr.io", "https://index.docker.io/v1/", "registry-1.docker.io"]);
        assert!(credentials(&BuildRequest::default()).is_none());
    }

    #[test]
    fn secrets_are_no_part_of_what_is_asked_or_shown() {
        let mut request =
            BuildRequest { platform: Some("linux/arm64".to_owned()), ..BuildRequest::default() };
        request.secrets.add("token".to_owned(), b"correct horse".to_vec()).unwrap();
        request.cache_from.push("registry.example/app:cache".to_owned());
        let asked = asked(&request, "s1");
        assert!(asked.contains(&("platform", "linux/arm64".to_owned())), "{asked:?}");
        assert!(asked.contains(&("cachefrom", "[\"registry.example/app:cache\"]".to_owned())), "{asked:?}");
        assert!(!format!("{asked:?} {request:?}").contains("correct"), "{request:?}");
        assert_eq!(only_buildkit(&request), Some("secrets"));
        assert_eq!(only_buildkit(&BuildRequest::default()), None);
    }
}
