//! Building images on the Docker engine: through BuildKit, or the classic builder where that is all there is.
//!
//! BuildKit tells its progress as vertices (a Dockerfile instruction each) that begin, print and end in any order; they
//! become lines `#3 …` as people know them from the command line.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bollard::{
    auth::DockerCredentials,
    errors::Error,
    models::{BuildInfo, BuildInfoAux},
    query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion},
};
use futures_util::StreamExt as _;
use tokio_util::io::ReaderStream;

use super::{BuildRequest, EngineError, docker::Docker, images::LogBytes};

const WHAT: &str = "build the image";
/// An engine that says nothing for so long is given up; long instructions print rarely, hence the length.
const SILENCE: Duration = Duration::from_secs(3_600);

/// Which builder is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Builder {
    BuildKit,
    Classic,
}

impl Docker {
    /// Builds with BuildKit; when the engine has none, says so and builds with the classic builder.
    pub(super) async fn build_with_progress(
        &self,
        request: &BuildRequest,
        log: &mut LogBytes<'_>,
    ) -> Result<String, EngineError> {
        let mut progress = Progress::default();
        match self.build_with(Builder::BuildKit, request, &mut progress, log).await {
            Err(EngineError::Refused { reason, .. }) if !progress.began && lacks_buildkit(&reason) => {
                log(format!("the engine has no BuildKit ({reason}); using its classic builder\n").as_bytes());
                self.build_with(Builder::Classic, request, &mut Progress::default(), log).await
            }
            other => other,
        }
    }

    async fn build_with(
        &self,
        builder: Builder,
        request: &BuildRequest,
        progress: &mut Progress,
        log: &mut LogBytes<'_>,
    ) -> Result<String, EngineError> {
        let context = tokio::fs::File::open(&request.context)
            .await
            .map_err(|error| EngineError::Refused { what: WHAT.to_owned(), reason: error.to_string() })?;
        let body = bollard::body_try_stream(ReaderStream::with_capacity(context, 256 << 10));
        let mut answers = std::pin::pin!(self.client.build_image(
            options(builder, request),
            credentials(request),
            Some(body)
        ));
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

/// What an engine without BuildKit answers when it is asked for it.
fn lacks_buildkit(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["buildkit", "invalid version", "session", "not implemented"].iter().any(|word| reason.contains(word))
}

fn options(builder: Builder, request: &BuildRequest) -> BuildImageOptions {
    let pairs = |map: &BTreeMap<String, String>| map.clone().into_iter().collect::<HashMap<_, _>>();
    let (args, labels) = (pairs(&request.args), pairs(&request.labels));
    let mut options = BuildImageOptionsBuilder::default()
        .dockerfile(&request.dockerfile)
        .buildargs(&args)
        .labels(&labels)
        .rm(true)
        .forcerm(true)
        .nocache(request.no_cache);
    if request.pull {
        options = options.pull("true");
    }
    if let Some(target) = &request.target {
        options = options.target(target);
    }
    match builder {
        Builder::BuildKit => options
            .version(BuilderVersion::BuilderBuildKit)
            .session(&uuid::Uuid::new_v4().to_string())
            .build(),
        Builder::Classic => options.version(BuilderVersion::BuilderV1).build(),
    }
}

fn credentials(request: &BuildRequest) -> Option<HashMap<String, DockerCredentials>> {
    let mut all = HashMap::new();
    for (host, login) in &request.logins {
        for name in asked_as(host) {
            let credentials = DockerCredentials {
                username: Some(login.username.clone()),
                password: Some(login.password.clone()),
                serveraddress: Some(name.to_owned()),
                ..DockerCredentials::default()
            };
            all.insert(name.to_owned(), credentials);
        }
    }
    (!all.is_empty()).then_some(all)
}

/// The names by which engines ask for a registry's credentials. Docker's own has one for each builder.
fn asked_as(host: &str) -> Vec<&str> {
    match host {
        "docker.io" => vec![host, "registry-1.docker.io", "https://index.docker.io/v1/"],
        other => vec![other],
    }
}

/// What is known of a build so far.
#[derive(Default)]
struct Progress {
    began: bool,
    /// Numbers of the vertices, by digest.
    numbers: BTreeMap<String, Vertex>,
    /// The instruction that failed, with BuildKit's own words.
    failed: Option<(String, String)>,
    /// The classic builder's last `Step n/m : …`.
    step: Option<String>,
}

struct Vertex {
    number: usize,
    done: bool,
}

impl Progress {
    fn take(
        &mut self,
        info: BuildInfo,
        image: &mut Option<String>,
        log: &mut LogBytes<'_>,
    ) -> Result<(), EngineError> {
        if let Some(message) = info.error_detail.and_then(|error| error.message) {
            return Err(self.refusal(&message));
        }
        if let Some(text) = info.stream {
            self.began = true;
            if let Some(step) = text.trim().strip_prefix("Step ") {
                self.step = step.split_once(" : ").map(|(_, instruction)| instruction.to_owned());
            }
            log(text.as_bytes());
        }
        match info.aux {
            Some(BuildInfoAux::Default(found)) => *image = found.id.or(image.take()),
            Some(BuildInfoAux::BuildKit(status)) => self.vertices(status, log),
            None => {}
        }
        Ok(())
    }

    fn vertices(&mut self, status: bollard::moby::buildkit::v1::StatusResponse, log: &mut LogBytes<'_>) {
        for vertex in status.vertexes {
            self.began = true;
            let next = self.numbers.len() + 1;
            let known = self.numbers.entry(vertex.digest.clone());
            if matches!(known, std::collections::btree_map::Entry::Vacant(_)) && vertex.started.is_some() {
                log(format!("#{next} {}\n", vertex.name).as_bytes());
                known.or_insert(Vertex { number: next, done: false });
            }
            let Some(state) = self.numbers.get_mut(&vertex.digest) else { continue };
            if !vertex.error.is_empty() {
                log(format!("#{} {}\n", state.number, vertex.error).as_bytes());
                self.failed.get_or_insert((vertex.name, vertex.error));
            } else if vertex.completed.is_some() && !state.done {
                state.done = true;
                let ending = if vertex.cached { "cached" } else { "done" };
                log(format!("#{} {ending}\n", state.number).as_bytes());
            }
        }
        for printed in status.logs {
            let number = self.numbers.get(&printed.vertex).map_or(0, |vertex| vertex.number);
            for line in printed.msg.split_inclusive(|byte| *byte == b'\n') {
                let mut text = format!("#{number} ").into_bytes();
                text.extend_from_slice(line);
                if !text.ends_with(b"\n") {
                    text.push(b'\n');
                }
                log(&text);
            }
        }
    }

    /// One sentence: which instruction, and what became of it.
    fn refusal(&self, message: &str) -> EngineError {
        let code = message.rsplit_once("code: ").map(|(_, code)| code.trim());
        let reason = match (&self.failed, &self.step, code) {
            (Some((name, _)), _, Some(code)) => format!("`{name}` ended with exit code {code}"),
            (Some((name, error)), _, None) => format!("`{name}`: {error}"),
            (None, Some(step), Some(code)) => format!("`{step}` ended with exit code {code}"),
            _ => message.to_owned(),
        };
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        EngineError::Refused { what: WHAT.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::messages::RegistryLogin;

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
}
