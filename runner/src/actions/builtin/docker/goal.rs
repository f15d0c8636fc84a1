//! What becomes of an image that `docker/build-push-action` has built: names in the engine, and registries.
//!
//! The engine pushes images by tags. Where none is wanted (by digest, or as one of several platforms) the image gets one
//! of its own, of its id, so that nobody's tag is moved.

use std::collections::BTreeMap;

use tidegate_protocol::messages::RegistryLogin;

use super::{csv, login};
use crate::{
    sandbox::{IndexRequest, LogBytes, PushRequest},
    stage::{Failure, StageContext},
    verbs::engine_failure,
};

/// Tags of one image.
const MOST_TAGS: usize = 500;

/// An image, and the platform that it is for; none: the engine's own.
pub(super) type Built = (Option<String>, String);

/// What becomes of the image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Goal {
    /// It goes to the registries of its tags.
    pub(super) push: bool,
    /// In the registry it is known by its digest, and the tags are not moved.
    pub(super) by_digest: bool,
    /// It gets its tags in the engine.
    pub(super) load: bool,
    /// Repositories and tags.
    pub(super) tags: Vec<(String, String)>,
}

impl Goal {
    /// Takes over what the input `outputs` says.
    pub(super) fn with_outputs(mut self, lines: &[String]) -> Result<Self, String> {
        for line in lines {
            let (mut kind, mut push) = (String::new(), false);
            for (key, value) in csv::pairs(line)? {
                match (key.as_str(), value.as_str()) {
                    ("type", _) => kind = value,
                    ("push", _) => push = value == "true",
                    ("name", _) => self.tags.extend(tags(&[value])?),
                    ("push-by-digest", _) => self.by_digest |= value == "true",
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
    pub(super) fn check(&self, platforms: usize, trusted: bool) -> Result<(), String> {
        if self.push && self.tags.is_empty() {
            return Err("there is no tag to push: give the input `tags`".to_owned());
        }
        if self.tags.len() > MOST_TAGS {
            return Err(format!("an image has at most {MOST_TAGS} tags, and here are {}", self.tags.len()));
        }
        if self.load && platforms > 1 {
            return Err("the engine keeps images of one platform under a name: give `push` in place of `load`, or one \
                        platform"
                .to_owned());
        }
        if (self.push || self.load) && !trusted {
            return Err("this run is of a change by somebody who may not write to the repository: it builds images, and \
                        neither pushes nor loads them: make `push` and `load` depend on `github.event_name`"
                .to_owned());
        }
        Ok(())
    }

    /// The image's names in the registry, or in the engine.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (repository, tag) in &self.tags {
            let name = if self.by_digest { repository.clone() } else { format!("{repository}:{tag}") };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Gives the images their names, and the digest in the registry if they went there.
    pub(super) async fn deliver(
        &self,
        ctx: &StageContext,
        images: &[Built],
        logins: &BTreeMap<String, RegistryLogin>,
        log: &mut LogBytes<'_>,
    ) -> Result<String, Failure> {
        if self.load {
            for (_, image) in images {
                for (repository, tag) in &self.tags {
                    ctx.engine.images().tag(image, repository, tag).await.map_err(engine_failure)?;
                }
            }
        }
        let mut digest = String::new();
        if !self.push {
            return Ok(digest);
        }
        let mut repositories: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (repository, tag) in &self.tags {
            let tags = repositories.entry(repository).or_default();
            if !self.by_digest && !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        for (repository, tags) in repositories {
            let login = logins.get(&login::host_of(repository)).cloned();
            digest = match images {
                [(_, image)] if !tags.is_empty() => push(ctx, repository, image, tags, login, log).await?,
                [(_, image)] => push(ctx, repository, image, vec![own_tag(image)], login, log).await?,
                images => {
                    let mut all = Vec::new();
                    for (platform, image) in images {
                        let tag = vec![own_tag(image)];
                        let digest = push(ctx, repository, image, tag, login.clone(), log).await?;
                        all.push((platform.clone().unwrap_or_else(super::platform), digest));
                    }
                    let request =
                        IndexRequest { repository: repository.to_owned(), images: all, tags, login };
                    ctx.engine.images().push_index(&request, log).await.map_err(engine_failure)?
                }
            };
        }
        Ok(digest)
    }
}

async fn push(
    ctx: &StageContext,
    repository: &str,
    image: &str,
    tags: Vec<String>,
    login: Option<RegistryLogin>,
    log: &mut LogBytes<'_>,
) -> Result<String, Failure> {
    let request = PushRequest { image_id: image.to_owned(), repository: repository.to_owned(), tags, login };
    ctx.engine.images().push(&request, log).await.map_err(engine_failure)
}

/// A tag that is this image's alone.
fn own_tag(image: &str) -> String {
    let id = image.strip_prefix("sha256:").unwrap_or(image);
    format!("tidegate-{}", id.get(..12).unwrap_or(id))
}

/// Repositories and tags; `latest` where there is none.
pub(super) fn tags(lines: &[String]) -> Result<Vec<(String, String)>, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_say_what_becomes_of_the_image() {
        let goal = |line: &str| Goal::default().with_outputs(&[line.to_owned()]);
        let named = vec![("x/y".to_owned(), "1".to_owned())];
        assert_eq!(
            goal("type=image,name=x/y:1,push=true"),
            Ok(Goal { push: true, tags: named.clone(), ..Goal::default() })
        );
        assert_eq!(goal("type=docker"), Ok(Goal { load: true, ..Goal::default() }));
        assert_eq!(goal("type=image,\"name=x/y:1,x/z\"").unwrap().tags.len(), 2);
        let by_digest =
            goal("type=image,name=x/y,push-by-digest=true,name-canonical=true,push=true").unwrap();
        assert!(by_digest.by_digest && by_digest.push);
        assert_eq!(by_digest.names(), ["x/y"]);
        for refused in ["type=local,dest=out", "type=oci", "out"] {
            assert!(goal(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn what_cannot_be_delivered_is_refused() {
        let tags = vec![("x/y".to_owned(), "1".to_owned())];
        let goal = Goal { push: true, tags, ..Goal::default() };
        assert!(goal.check(2, true).is_ok() && goal.check(1, false).unwrap_err().contains("neither pushes"));
        let none = Goal { push: true, ..Goal::default() };
        assert!(none.check(1, true).unwrap_err().contains("`tags`"));
        let load = Goal { load: true, ..Goal::default() };
        assert!(load.check(1, true).is_ok() && load.check(2, true).unwrap_err().contains("`push`"));
    }

    #[test]
    fn tags_are_read_of_lines_and_lists() {
        let lines = ["localhost:5000/a".to_owned(), "x/y:1,x/y:2".to_owned()];
        let names: Vec<String> =
            tags(&lines).unwrap().iter().map(|(name, tag)| format!("{name} {tag}")).collect();
        assert_eq!(names, ["localhost:5000/a latest", "x/y 1", "x/y 2"]);
        assert_eq!(own_tag("sha256:0123456789abcdef"), "tidegate-0123456789ab");
    }
}
