//! `docker/build-push-action`: a folder of the workspace becomes an image in the runner's engine, and goes to
//! registries. What would change the image and cannot be done is refused; what only makes it faster is left out.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use async_trait::async_trait;
use serde_json::json;

use super::{
    super::{Builtin, Use},
    csv, login, platform,
};
use crate::{
    sandbox::{BuildRequest, LogBytes, PushRequest, WORKSPACE},
    stage::Failure,
    verbs::{build::pack, engine_failure},
};

/// The most of the engine's words that are kept for a replay, in bytes.
const KEPT: usize = 1 << 20;

/// What changes the image, and is not done here.
const REFUSED: [&str; 6] = ["secrets", "secret-envs", "secret-files", "ssh", "build-contexts", "call"];
/// What is left out with a note.
const NOTED: [&str; 10] = [
    "cache-from",
    "cache-to",
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

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        if let Some(name) = REFUSED.iter().find(|name| !step.input(name).is_empty()) {
            return Err(Failure::failed(format!(
                "the input `{name}` is not supported by the built-in docker/build-push-action"
            )));
        }
        for name in NOTED {
            if !step.input(name).is_empty() {
                step.say(format!("`{name}` is left out of account"));
            }
        }
        one_platform(step.input("platforms"), &platform()).map_err(Failure::failed)?;
        let (folder, dockerfile) =
            place(step.input("context"), step.input("file")).map_err(Failure::failed)?;
        let tags = tags(&step.lines("tags")).map_err(Failure::failed)?;
        let goal = Goal { push: step.flag("push")?, load: step.flag("load")?, tags };
        let goal = goal.with_outputs(&step.lines("outputs")).map_err(Failure::failed)?;
        goal.check(step.ctx.lease.trusted).map_err(Failure::failed)?;
        if !goal.push && !goal.load {
            step.say("neither `push` nor `load` is set: the image gets no name, and is known by its id only");
        }
        let env = step.env;
        let request = BuildRequest {
            context: step.ctx.dirs.scratch().join("context.tar"),
            dockerfile: dockerfile.clone(),
            target: Some(step.input("target").to_owned()).filter(|target| !target.is_empty()),
            args: named(&step.lines("build-args"), |name| env.get(name).cloned()),
            labels: named(&step.lines("labels"), |_| Some(String::new())),
            no_cache: step.flag("no-cache")?,
            pull: step.flag("pull")?,
            logins: step.logins.clone(),
        };
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
        let made = build_and_name(ctx, &request, &goal, step.logins, &mut log).await;
        step.was_said(&String::from_utf8_lossy(&kept));
        let (image, digest) = made?;
        let names: Vec<String> =
            goal.tags.iter().map(|(repository, tag)| format!("{repository}:{tag}")).collect();
        let mut metadata = json!({ "containerimage.config.digest": image });
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
}

/// What becomes of the image.
#[derive(Debug, Default, PartialEq, Eq)]
struct Goal {
    /// It goes to the registries of its tags.
    push: bool,
    /// It gets its tags in the engine.
    load: bool,
    /// Repositories and tags.
    tags: Vec<(String, String)>,
}

impl Goal {
    /// Takes over what the input `outputs` says.
    fn with_outputs(mut self, lines: &[String]) -> Result<Self, String> {
        for line in lines {
            let (mut kind, mut push) = (String::new(), false);
            for (key, value) in csv::pairs(line)? {
                match (key.as_str(), value.as_str()) {
                    ("type", _) => kind = value,
                    ("push", _) => push = value == "true",
                    ("name", _) => self.tags.extend(tags(&[value])?),
                    ("push-by-digest", "true") => {
                        return Err(format!(
                            "`{line}`: the engine pushes images by tags only: leave out `push-by-digest`, give a tag, \
                             and take the output `digest`"
                        ));
                    }
                    ("dest", _) => return Err(format!("`{line}`: images are not written to files here")),
                    _ => {}
                }
            }
            match kind.as_str() {
                "docker" => self.load = true,
                "registry" => self.push = true,
                "image" => self.push |= push,
                _ => {
                    return Err(format!(
                        "`{line}`: of `outputs` the types docker, image and registry are known here"
                    ));
                }
            }
        }
        Ok(self)
    }

    /// Names that an engine knows are shared by all who use it, so stages of strangers give none.
    fn check(&self, trusted: bool) -> Result<(), String> {
        if self.push && self.tags.is_empty() {
            return Err("there is no tag to push: give the input `tags`".to_owned());
        }
        if (self.push || self.load) && !trusted {
            return Err("this run is of a change by somebody who may not write to the repository: it builds images, and \
                        neither pushes nor loads them: make `push` and `load` depend on `github.event_name`"
                .to_owned());
        }
        Ok(())
    }
}

/// The image's id, and its digest if it was pushed.
async fn build_and_name(
    ctx: &crate::stage::StageContext,
    request: &BuildRequest,
    goal: &Goal,
    logins: &BTreeMap<String, tidegate_protocol::messages::RegistryLogin>,
    log: &mut LogBytes<'_>,
) -> Result<(String, String), Failure> {
    let image = ctx.engine.images().build(request, log).await.map_err(engine_failure)?;
    if goal.load {
        for (repository, tag) in &goal.tags {
            ctx.engine.images().tag(&image, repository, tag).await.map_err(engine_failure)?;
        }
    }
    if !goal.push {
        return Ok((image, String::new()));
    }
    let mut repositories: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (repository, tag) in &goal.tags {
        repositories.entry(repository).or_default().push(tag.clone());
    }
    let mut digest = String::new();
    for (repository, tags) in repositories {
        let login = logins.get(&login::host_of(repository)).cloned();
        let request = PushRequest { image_id: image.clone(), repository: repository.to_owned(), tags, login };
        digest = ctx.engine.images().push(&request, log).await.map_err(engine_failure)?;
    }
    Ok((image, digest))
}

/// `NAME=value` a line; `otherwise` gives the value of a line without one.
fn named(lines: &[String], otherwise: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let pair = |line: &String| match line.split_once('=') {
        Some((name, value)) => Some((name.trim().to_owned(), value.to_owned())),
        None => Some((line.clone(), otherwise(line)?)),
    };
    lines.iter().filter_map(pair).collect()
}

/// Repositories and tags; `latest` where there is none.
fn tags(lines: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut tags = Vec::new();
    for line in lines {
        for name in csv::fields(line)? {
            tags.push(match name.rsplit_once(':') {
                Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
                _ => (name, "latest".to_owned()),
            });
        }
    }
    Ok(tags)
}

/// Refuses any platform but the engine's.
fn one_platform(wanted: &str, own: &str) -> Result<(), String> {
    let others: Vec<&str> =
        wanted.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty() && *name != own).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(format!(
        "this runner's engine builds for {own} only, and not for {}: leave them out of `platforms`",
        others.join(", ")
    ))
}

/// The context's folder below the workspace, and the Dockerfile's path in it.
fn place(context: &str, file: &str) -> Result<(String, String), String> {
    let context = match context.strip_prefix("{{defaultContext}}") {
        Some(rest) => rest.trim_start_matches(':'),
        None => context,
    };
    if context.contains("://") || context.starts_with("git@") {
        return Err(format!("the context `{context}` is not a folder of the workspace: check it out first"));
    }
    let folder = below(context)?;
    let dockerfile = match file {
        "" => "Dockerfile".to_owned(),
        file => {
            let file = below(file)?;
            let inside = Path::new(&file)
                .strip_prefix(&folder)
                .map_err(|_| format!("the Dockerfile `{file}` is not in the build's context `{folder}`"))?;
            inside.to_string_lossy().into_owned()
        }
    };
    Ok((folder, dockerfile))
}

/// A path relative to the workspace, without `.`.
fn below(path: &str) -> Result<String, String> {
    let relative = match path.strip_prefix(WORKSPACE) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
        _ => path,
    };
    let mut parts = Vec::new();
    for part in Path::new(relative).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::CurDir => {}
            _ => return Err(format!("`{path}` is not below the workspace")),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_and_dockerfiles_are_below_the_workspace() {
        let ok = |context: &str, file: &str| place(context, file).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(ok("", ""), pair("", "Dockerfile"));
        assert_eq!(ok("./app/", "app/deploy/Dockerfile.x"), pair("app", "deploy/Dockerfile.x"));
        assert_eq!(ok("/workspace/app", "./app/D"), pair("app", "D"));
        assert_eq!(ok("{{defaultContext}}:web", ""), pair("web", "Dockerfile"));
        assert!(
            place("../x", "").is_err() && place("https://x/y.git", "").is_err() && place("app", "D").is_err()
        );
    }

    #[test]
    fn outputs_say_what_becomes_of_the_image() {
        let goal = |line: &str| Goal::default().with_outputs(&[line.to_owned()]);
        let named = vec![("x/y".to_owned(), "1".to_owned())];
        assert_eq!(
            goal("type=image,name=x/y:1,push=true"),
            Ok(Goal { push: true, load: false, tags: named.clone() })
        );
        assert_eq!(goal("type=docker"), Ok(Goal { load: true, ..Goal::default() }));
        assert_eq!(goal("type=image,\"name=x/y:1,x/z\"").unwrap().tags.len(), 2);
        for refused in ["type=local,dest=out", "type=oci", "type=image,push-by-digest=true,push=true", "out"]
        {
            assert!(goal(refused).is_err(), "{refused}");
        }
        let goal = Goal { push: true, load: false, tags: named };
        assert!(goal.check(true).is_ok() && goal.check(false).unwrap_err().contains("neither pushes"));
        assert!(Goal { push: true, ..Goal::default() }.check(true).unwrap_err().contains("`tags`"));
    }

    #[test]
    fn tags_platforms_and_values() {
        let lines = ["localhost:5000/a".to_owned(), "x/y:1,x/y:2".to_owned()];
        let names: Vec<String> =
            tags(&lines).unwrap().iter().map(|(name, tag)| format!("{name} {tag}")).collect();
        assert_eq!(names, ["localhost:5000/a latest", "x/y 1", "x/y 2"]);
        assert!(one_platform("linux/amd64", "linux/amd64").is_ok() && one_platform("", "x").is_ok());
        assert!(one_platform("linux/amd64,linux/arm64", "linux/amd64").unwrap_err().contains("linux/arm64:"));
        let args = named(&["A=b=c".to_owned(), "B".to_owned(), "C".to_owned()], |name| {
            (name == "B").then(|| "env".to_owned())
        });
        assert_eq!(
            args,
            BTreeMap::from([("A".to_owned(), "b=c".to_owned()), ("B".to_owned(), "env".to_owned())])
        );
    }
}
