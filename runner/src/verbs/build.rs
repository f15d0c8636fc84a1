//! `build`: a folder of the workspace becomes an image in the runner's engine. Output: `image_id`.

use std::{
    collections::BTreeMap,
    fs::File,
    os::fd::AsRawFd as _,
    path::{Component, Path, PathBuf},
};

use tidegate_pipelines::plan::Build;
use tidegate_protocol::messages::Secret;

use super::{as_step, engine_failure};
use crate::{
    archive::{ArchiveError, beneath::Root, pack_plain},
    logs::line,
    sandbox::{BuildRequest, BuildSecrets},
    stage::{Failure, StageContext, VerbResult},
};

/// Builds the image.
pub async fn run(context: &StageContext, build: &Build) -> VerbResult {
    as_step(context, "build image", async |step| {
        let archive = context.dirs.scratch().join("context.tar");
        for note in pack(context, &build.context, &build.dockerfile, &archive).await? {
            line(&*context.log, step, note);
        }
        let texts = |map: &BTreeMap<String, tidegate_pipelines::plan::Template>| {
            map.iter()
                .map(|(name, value)| (name.clone(), value.as_str().to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let mut labels = texts(&build.labels);
        labels.extend([
            ("org.opencontainers.image.revision".to_owned(), context.lease.source.sha.clone()),
            ("org.opencontainers.image.source".to_owned(), context.lease.source.repository.clone()),
        ]);
        let request = BuildRequest {
            context: archive,
            dockerfile: build.dockerfile.clone(),
            target: build.target.clone(),
            args: texts(&build.args),
            labels,
            secrets: secrets(&context.lease.secrets)?,
            ..BuildRequest::default()
        };
        let mut log = |bytes: &[u8]| context.log.write(step, bytes);
        let image = context.engine.images().build(&request, &mut log).await.map_err(engine_failure)?;
        line(&*context.log, step, format!("built {image}"));
        Ok(BTreeMap::from([("image_id".to_owned(), image)]))
    })
    .await
}

/// The stage's secrets, by the names that they would have as variables. The Dockerfile mounts them; nothing else of them
/// reaches the build.
fn secrets(given: &[Secret]) -> Result<BuildSecrets, Failure> {
    let mut secrets = BuildSecrets::default();
    for secret in given {
        let id = secret.env.clone().unwrap_or_else(|| secret.name.clone());
        secrets.add(id, secret.value.clone().into_bytes()).map_err(Failure::failed)?;
    }
    Ok(secrets)
}

/// Packs what the engine gets, without what `.dockerignore` names, and gives what is to be said of it.
pub(crate) async fn pack(
    context: &StageContext,
    folder: &str,
    dockerfile: &str,
    archive: &Path,
) -> Result<Vec<String>, Failure> {
    let name = folder;
    // Refuses what leads out; the parts that are left are names.
    below(&context.dirs.workspace(), folder)?;
    let inside: PathBuf =
        Path::new(folder).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let workspace = context.dirs.workspace();
    let (out, dockerfile) = (archive.to_owned(), dockerfile.to_owned());
    let packed = tokio::task::spawn_blocking(move || {
        // Opened without following a link, which a step may have put there; the path through the descriptor is that
        // very folder.
        let opened = Root::open(&workspace)
            .and_then(|root| root.read(&inside))
            .map_err(ArchiveError::io(format!("open {}", inside.display())))?;
        let folder = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        let root = Root::open(&folder).map_err(ArchiveError::io(format!("open {}", inside.display())))?;
        root.read(Path::new(&dockerfile))
            .map_err(ArchiveError::io(format!("read the Dockerfile {dockerfile}")))?;
        let ignored =
            root.read(Path::new(".dockerignore")).ok().and_then(|file| std::io::read_to_string(file).ok());
        let globs = context_globs(&ignored.unwrap_or_default(), &dockerfile);
        let file = File::create(&out).map_err(ArchiveError::io(format!("write {}", out.display())))?;
        pack_plain(&folder, &globs, file).map(|(packed, _)| packed)
    })
    .await
    .map_err(|error| Failure::infrastructure(error.to_string()))?
    .map_err(|error| Failure::failed(format!("the build's context `{name}` cannot be used: {error}")))?;
    let mut said = packed.notes;
    said.push(format!("context: {} files, {} bytes", packed.entries, packed.bytes));
    Ok(said)
}

/// A folder below the workspace. The language refuses anything else; this is the second lock.
pub(super) fn below(workspace: &Path, path: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(path);
    if path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        Ok(workspace.join(path))
    } else {
        Err(Failure::failed(format!("`{}` is not below the workspace", path.display())))
    }
}

/// The selection of a context: everything but what `.dockerignore` names, and always the Dockerfile. A later pattern
/// wins over an earlier one, and `!` takes back, just as in [`crate::archive::Selection`] with the signs exchanged.
fn context_globs(ignore: &str, dockerfile: &str) -> Vec<String> {
    let mut globs = vec!["**".to_owned(), "!.git".to_owned()];
    for line in ignore.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        globs.push(match line.strip_prefix('!') {
            Some(kept) => kept.trim_start_matches('/').to_owned(),
            None => format!("!{}", line.trim_start_matches('/')),
        });
    }
    globs.extend([".dockerignore".to_owned(), dockerfile.to_owned()]);
    globs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Selection;

    #[test]
    fn dockerignore_decides_what_is_sent() {
        let globs = context_globs(
            "# a comment\nnode_modules\n**/*.log\n!keep.log\n/dist/\nDockerfile\n",
            "Dockerfile",
        );
        let selection = Selection::new(&globs).unwrap();
        for path in ["src/main.py", "keep.log", "Dockerfile", ".dockerignore"] {
            assert!(selection.includes(path), "{path}");
        }
        for path in ["node_modules/a/b.js", "deep/x.log", "dist/app", ".git/config"] {
            assert!(!selection.includes(path), "{path}");
        }
    }

    #[test]
    fn a_context_outside_is_refused() {
        let workspace = Path::new("/w");
        assert_eq!(below(workspace, "./app").unwrap(), Path::new("/w/./app"));
        assert!(below(workspace, "../app").is_err());
        assert!(below(workspace, "/etc").is_err());
    }
}
