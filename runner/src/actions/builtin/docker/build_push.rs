//! `docker/build-push-action`: a folder of the workspace becomes an image in the runner's engine, one for each platform,
//! and goes to registries. What would change the image and cannot be done is refused; what only makes it faster is left
//! out.
//!
//! Secrets go from here to the engine's BuildKit alone, when an instruction mounts them.

use async_trait::async_trait;
use serde_json::json;

use super::{
    super::{Builtin, Use},
    build_inputs,
    goal::{self, Built, Goal},
};
use crate::{
    sandbox::{BuildRequest, BuildSecrets, LogBytes, images::LONGEST_SECRET},
    stage::{Failure, StageContext},
    verbs::{build::pack, engine_failure},
};

/// The most of the engine's words that are kept for a replay, in bytes.
const KEPT: usize = 1 << 20;

/// What changes the image, and is not done here, with the reason.
const REFUSED: [(&str, &str); 3] = [
    ("ssh", "no agent of a sandbox reaches the runner; give the Dockerfile a token by `secrets`"),
    ("build-contexts", "the engine's API takes one context; copy or check out what is needed into it"),
    ("call", "images are built here, and build definitions are not checked"),
];
/// What is left out with a note.
const NOTED: [&str; 8] = [
    "annotations",
    "attests",
    "add-hosts",
    "network",
    "shm-size",
    "ulimit",
    "cgroup-parent",
    "no-cache-filters",
];

/// The action.
pub struct BuildPush;

#[async_trait]
impl Builtin for BuildPush {
    fn name(&self) -> &'static str {
        "docker/build-push-action"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("add-hosts", ""),
            ("allow", ""),
            ("annotations", ""),
            ("attests", ""),
            ("build-args", ""),
            ("build-contexts", ""),
            ("builder", ""),
            ("cache-from", ""),
            ("cache-to", ""),
            ("call", ""),
            ("cgroup-parent", ""),
            ("context", ""),
            ("file", ""),
            ("github-token", ""),
            ("labels", ""),
            ("load", "false"),
            ("network", ""),
            ("no-cache", "false"),
            ("no-cache-filters", ""),
            ("outputs", ""),
            ("platforms", ""),
            ("provenance", ""),
            ("pull", "false"),
            ("push", "false"),
            ("sbom", ""),
            ("secret-envs", ""),
            ("secret-files", ""),
            ("secrets", ""),
            ("shm-size", ""),
            ("ssh", ""),
            ("tags", ""),
            ("target", ""),
            ("ulimit", ""),
        ]
    }

    fn hidden(&self) -> &'static [&'static str] {
        &["secrets"]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        if let Some((name, why)) = REFUSED.iter().find(|(name, _)| !step.input(name).is_empty()) {
            return Err(Failure::failed(format!(
                "the input `{name}` is not supported by the built-in docker/build-push-action: {why}"
            )));
        }
        for name in NOTED {
            if !step.input(name).is_empty() {
                step.say(format!("`{name}` is left out of account"));
            }
        }
        let (folder, dockerfile) =
            build_inputs::place(step.input("context"), step.input("file")).map_err(Failure::failed)?;
        let platforms = build_inputs::platforms(step.input("platforms")).map_err(Failure::failed)?;
        let tags = goal::tags(&step.lines("tags")).map_err(Failure::failed)?;
        let goal = Goal { push: step.flag("push")?, load: step.flag("load")?, tags, ..Goal::default() };
        let goal = goal.with_outputs(&step.lines("outputs")).map_err(Failure::failed)?;
        goal.check(platforms.len(), step.ctx.lease.trusted).map_err(Failure::failed)?;
        if !goal.push && !goal.load {
            step.say("neither `push` nor `load` is set: the image gets no name, and is known by its id only");
        }
        let request = request(step, &dockerfile)?;
        let ctx = step.ctx;
        for note in pack(ctx, &folder, &dockerfile, &request.context).await? {
            step.say(note);
        }
        let (page, mut kept) = (step.page, Vec::new());
        let mut log = |bytes: &[u8]| {
            // What a replay could not show again is not shown at all.
            if kept.len() < KEPT {
                ctx.log.write(page, bytes);
                kept.extend_from_slice(bytes);
            }
        };
        let made = async {
            let images = build(ctx, &request, &platforms, &mut log).await?;
            let digest = goal.deliver(ctx, &images, step.logins, &mut log).await?;
            Ok::<_, Failure>((images, digest))
        }
        .await;
        step.was_said(&String::from_utf8_lossy(&kept));
        let (images, digest) = made?;
        // Of several the engine's own, as that is what runs here.
        let own = super::platform();
        let first = images.iter().find(|(platform, _)| platform.as_ref().is_none_or(|name| *name == own));
        let image = first.or(images.first()).map(|(_, image)| image.clone()).unwrap_or_default();
        let mut metadata = json!({ "containerimage.config.digest": image });
        let names = goal.names();
        if !names.is_empty() {
            metadata["image.name"] = names.join(",").into();
        }
        if !digest.is_empty() {
            metadata["containerimage.digest"] = digest.clone().into();
        }
        step.say(format!("built {image}"));
        step.set_output("imageid", image);
        step.set_output("digest", digest);
        step.set_output("metadata", metadata.to_string());
        Ok(())
    }

    /// Values that were hidden stay so after a restart.
    async fn recall(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        secrets(step).map(|_| ())
    }
}

/// What is asked of the engine, but for the platform.
fn request(step: &mut Use<'_>, dockerfile: &str) -> Result<BuildRequest, Failure> {
    let (cache_from, others) =
        build_inputs::cache_from(&step.lines("cache-from")).map_err(Failure::failed)?;
    let (inline, more) = build_inputs::cache_to(&step.lines("cache-to")).map_err(Failure::failed)?;
    for line in others.iter().chain(&more) {
        step.say(format!("the cache `{line}` is left out of account: results stay in the engine"));
    }
    let env = step.env;
    let mut args = build_inputs::named(&step.lines("build-args"), |name| env.get(name).cloned());
    if inline {
        // By which BuildKit puts what it knows of the instructions into the image.
        args.insert("BUILDKIT_INLINE_CACHE".to_owned(), "1".to_owned());
    }
    Ok(BuildRequest {
        context: step.ctx.dirs.scratch().join("context.tar"),
        dockerfile: dockerfile.to_owned(),
        target: Some(step.input("target").to_owned()).filter(|target| !target.is_empty()),
        args,
        labels: build_inputs::named(&step.lines("labels"), |_| Some(String::new())),
        no_cache: step.flag("no-cache")?,
        pull: step.flag("pull")?,
        logins: step.logins.clone(),
        secrets: secrets(step)?,
        platform: None,
        cache_from,
    })
}

/// The secrets that the inputs give, hidden from here on.
fn secrets(step: &Use<'_>) -> Result<BuildSecrets, Failure> {
    let mut all = build_inputs::secrets(step.input("secrets")).map_err(Failure::failed)?;
    let named = |name: &str| build_inputs::references(name, &step.lines(name)).map_err(Failure::failed);
    for (id, variable) in named("secret-envs")? {
        let value = step.env.get(&variable);
        let value = value.ok_or_else(|| {
            Failure::failed(format!("the input `secret-envs` names `{variable}`, which is not set"))
        })?;
        all.push((id, value.clone()));
    }
    for (id, path) in named("secret-files")? {
        all.push((id, step.read_file(&path, LONGEST_SECRET)?));
    }
    let mut secrets = BuildSecrets::default();
    for (id, value) in all {
        step.ctx.log.hide(value.trim());
        secrets.add(id, value.into_bytes()).map_err(Failure::failed)?;
    }
    Ok(secrets)
}

/// Builds the image for each platform.
async fn build(
    ctx: &StageContext,
    request: &BuildRequest,
    platforms: &[String],
    log: &mut LogBytes<'_>,
) -> Result<Vec<Built>, Failure> {
    let own = super::platform();
    let mut images = Vec::new();
    let each: Vec<Option<String>> = match platforms {
        [] => vec![None],
        [one] if *one == own => vec![None],
        many => many.iter().cloned().map(Some).collect(),
    };
    for platform in each {
        if let Some(name) = &platform {
            log(format!("for {name}:\n").as_bytes());
        }
        let foreign = platform.as_ref().filter(|name| **name != own);
        let request = BuildRequest { platform: platform.clone(), ..request.clone() };
        let image = ctx.engine.images().build(&request, log).await.map_err(|error| {
            let failure = engine_failure(error);
            match foreign {
                Some(name) => Failure {
                    reason: format!(
                        "{} (for {name}: no other processor is emulated here; build on `FROM \
                         --platform=$BUILDPLATFORM`, and only copy into the last stage)",
                        failure.reason
                    ),
                    ..failure
                },
                None => failure,
            }
        })?;
        images.push((platform, image));
    }
    Ok(images)
}
