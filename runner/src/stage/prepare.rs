//! Before the first step: folders, checkout, artifacts of earlier stages, caches.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    path::{Component, Path, PathBuf},
};

use tidegate_pipelines::plan::CacheRule;
use tokio::time::Instant;

use super::{
    Failure, ResultsError, StageContext, WorkspaceFrom,
    paths::{LENT_NODE, LENT_TOOLS, SHARED},
};
use crate::{archive, journal::Phase, logs::line, source};

/// Makes an attempt's folders, for this user's eyes only.
pub(super) fn folders(ctx: &StageContext) -> Result<(), Failure> {
    let make = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&ctx.dirs.root)?;
        for folder in [ctx.dirs.workspace(), ctx.dirs.scratch()] {
            fs::create_dir_all(folder)?;
        }
        for (host, _) in mounts(ctx) {
            fs::create_dir_all(host)?;
        }
        // Once: later on whatever is there may be a link that a step put there.
        if ctx.is_lenient() && ctx.journal.phase() == Phase::Preparing {
            shared(ctx)?;
        }
        Ok(())
    };
    make().map_err(|error| Failure::infrastructure(format!("{}: {error}", ctx.dirs.root.display())))
}

/// What the runner and actions share: folders, and the event as a file.
fn shared(ctx: &StageContext) -> io::Result<()> {
    let shared = ctx.dirs.shared();
    for folder in ["actions", "home", "temp", "tools"] {
        fs::create_dir_all(shared.join(folder))?;
    }
    let event = ctx.lease.contexts.get("github").and_then(|github| github.get("event"));
    fs::write(shared.join("event.json"), event.map_or_else(|| "{}".to_owned(), ToString::to_string))?;
    fs::create_dir_all(ctx.dirs.home())
}

/// Fills the workspace. Returns the exact keys of caches that were found, which need not be stored again.
pub(super) async fn workspace(ctx: &StageContext) -> Result<Vec<String>, Failure> {
    checkout(ctx).await?;
    for fetch in &ctx.lease.stage.fetch {
        let archive = ctx.dirs.scratch().join("artifact.tar.zst");
        ctx.results.get_artifact(&fetch.stage, &fetch.name, &archive).await.map_err(|error| {
            let reason = format!("the artifact `{}` of `{}` cannot be had: {error}", fetch.name, fetch.stage);
            match error {
                ResultsError::NotFound(_) | ResultsError::Invalid(_) => Failure::failed(reason),
                _ => Failure::infrastructure(reason),
            }
        })?;
        unpack(ctx, archive, ctx.dirs.workspace(), "artifact").await?;
        line(&*ctx.log, 0, format!("fetched artifact {} of {}", fetch.name, fetch.stage));
    }
    let mut exact = Vec::new();
    for cache in &ctx.lease.stage.caches {
        let restore: Vec<String> = cache.restore_keys.iter().map(|key| key.as_str().to_owned()).collect();
        let archive = ctx.dirs.scratch().join("cache.tar.zst");
        // A cache is for speed: without it the stage is slower, not wrong.
        match ctx.results.find_cache(cache.scope, cache.key.as_str(), &restore, &archive).await {
            Ok(Some(found)) => match unpack(ctx, archive, ctx.dirs.files(), "cache").await {
                Ok(()) => {
                    line(&*ctx.log, 0, format!("restored cache {}", found.key));
                    if found.key == cache.key.as_str() {
                        exact.push(found.key);
                    }
                }
                Err(failure) => line(&*ctx.log, 0, format!("cache {}: {}", found.key, failure.reason)),
            },
            Ok(None) => line(&*ctx.log, 0, format!("no cache {} yet", cache.key.as_str())),
            Err(error) => line(&*ctx.log, 0, format!("cache {}: {error}", cache.key.as_str())),
        }
    }
    Ok(exact)
}

async fn checkout(ctx: &StageContext) -> Result<(), Failure> {
    if !ctx.lease.stage.checkout {
        return Ok(());
    }
    let began = Instant::now();
    let dest = ctx.dirs.workspace();
    let done = match ctx.workspace_from.clone() {
        WorkspaceFrom::Tree(tree) => {
            tokio::task::spawn_blocking(move || copy_tree(&tree, &dest).map(|()| Vec::new())).await
        }
        WorkspaceFrom::Source => {
            let (mirrors, source) = (ctx.runner.mirrors.clone(), ctx.lease.source.clone());
            let allow_file = ctx.runner.allow_file_clone;
            tokio::task::spawn_blocking(move || {
                source::checkout(&mirrors, &source, &dest, allow_file)
                    .map(|checkout| checkout.notes)
                    .map_err(|error| error.to_string())
            })
            .await
        }
    };
    let what = match &ctx.workspace_from {
        WorkspaceFrom::Tree(tree) => format!("the working tree {}", tree.display()),
        WorkspaceFrom::Source => format!("{} at {}", ctx.lease.source.repository, ctx.lease.source.sha),
    };
    match done {
        Ok(Ok(notes)) => {
            for note in notes {
                line(&*ctx.log, 0, note);
            }
            line(&*ctx.log, 0, format!("checked out {what} in {} ms", began.elapsed().as_millis()));
            Ok(())
        }
        Ok(Err(reason)) => {
            Err(Failure::infrastructure(ctx.log.mask(&format!("{what} cannot be checked out: {reason}"))))
        }
        Err(error) => Err(Failure::infrastructure(format!("the checkout broke off: {error}"))),
    }
}

/// Copies what git would: tracked files as they are now, and untracked ones that are not ignored.
pub(crate) fn copy_tree(tree: &Path, dest: &Path) -> Result<(), String> {
    for path in working_files(tree)? {
        let (from, to) = (tree.join(&path), dest.join(&path));
        let says = |error: io::Error| format!("{}: {error}", from.display());
        // A tracked file that was deleted is not there to copy.
        let Ok(data) = fs::symlink_metadata(&from) else { continue };
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(says)?;
        }
        if data.is_symlink() {
            let target = fs::read_link(&from).map_err(says)?;
            std::os::unix::fs::symlink(target, &to).map_err(says)?;
        } else if data.is_file() {
            fs::copy(&from, &to).map_err(says)?;
        }
    }
    Ok(())
}

/// Asks git, as it alone knows all rules of what is ignored.
fn working_files(tree: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = std::process::Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
        .current_dir(tree)
        .output()
        .map_err(|error| format!("`git` is needed to tell which files belong to the tree: {error}"))?;
    if !listed.status.success() {
        return Err(String::from_utf8_lossy(&listed.stderr).trim().to_owned());
    }
    let names = listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name))).collect())
}

async fn unpack(ctx: &StageContext, archive: PathBuf, root: PathBuf, what: &str) -> Result<(), Failure> {
    let began = Instant::now();
    let path = archive.clone();
    let done = tokio::task::spawn_blocking(move || {
        let file = fs::File::open(&path).map_err(|error| error.to_string())?;
        archive::unpack(file, &root, archive::Limits::default()).map_err(|error| error.to_string())
    })
    .await;
    let _ = fs::remove_file(&archive);
    match done {
        Ok(Ok(_)) => {
            tracing::debug!(attempt = %ctx.lease.attempt, ms = began.elapsed().as_millis(), "unpacked {what}");
            Ok(())
        }
        Ok(Err(reason)) => Err(Failure::failed(format!("the {what} cannot be unpacked: {reason}"))),
        Err(error) => Err(Failure::infrastructure(format!("unpacking the {what} broke off: {error}"))),
    }
}

/// Host folders for absolute cache paths, and where the sandbox sees them.
pub(super) fn mounts(ctx: &StageContext) -> Vec<(PathBuf, String)> {
    let mut mounts: Vec<(PathBuf, String)> = Vec::new();
    for path in ctx.lease.stage.caches.iter().flat_map(|cache| &cache.paths) {
        let Some(inside) = absolute(path) else { continue };
        if !mounts.iter().any(|(_, other)| *other == inside) {
            mounts.push((ctx.dirs.files().join(inside.trim_start_matches('/')), inside));
        }
    }
    if ctx.is_lenient() {
        mounts.push((ctx.dirs.shared(), SHARED.to_owned()));
    }
    mounts
}

/// What the runner lends, and where the sandbox sees it.
pub(super) fn read_only_mounts(ctx: &StageContext) -> Vec<(PathBuf, String)> {
    if !ctx.is_lenient() {
        return Vec::new();
    }
    let actions = &ctx.runner.actions;
    let lent = [(&actions.node, LENT_NODE), (&actions.tools, LENT_TOOLS)];
    let lent = lent.into_iter().filter_map(|(host, inside)| Some((host.clone()?, inside.to_owned())));
    lent.chain(toolkit_mount(ctx)).collect()
}

/// The folder with the socket of the services for libraries of actions.
pub(super) fn toolkit_mount(ctx: &StageContext) -> Option<(PathBuf, String)> {
    ctx.toolkit.as_ref().map(|toolkit| toolkit.mount())
}

/// A cache's globs below [`super::StageDirs::files`].
pub(super) fn cache_globs(cache: &CacheRule) -> Vec<String> {
    cache
        .paths
        .iter()
        .flat_map(|path| {
            let below = match absolute(path) {
                Some(inside) => inside.trim_start_matches('/').to_owned(),
                None => format!("workspace/{}", path.trim_start_matches("./").trim_end_matches('/')),
            };
            [format!("{below}/**"), below]
        })
        .collect()
}

/// An absolute cache path below `/root` or `/tmp`, tidied; `~` is the sandbox's home.
fn absolute(path: &str) -> Option<String> {
    let path = path.strip_prefix('~').map_or_else(|| path.to_owned(), |rest| format!("/root{rest}"));
    let parts: Vec<_> = Path::new(&path).components().collect();
    let clean = parts.iter().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let below = path.starts_with("/root/") || path.starts_with("/tmp/");
    (clean && below && parts.len() > 2).then(|| path.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use tidegate_pipelines::plan::CacheScope;

    use super::*;

    #[test]
    fn cache_paths_stay_where_they_may_be() {
        assert_eq!(absolute("/root/.cache/pip/"), Some("/root/.cache/pip".to_owned()));
        assert_eq!(absolute("~/.cargo"), Some("/root/.cargo".to_owned()));
        for refused in ["/etc", "/root", "/root/", "/root/../etc", "/tmp", "rel", "/usr/lib", "~"] {
            assert_eq!(absolute(refused), None, "{refused}");
        }
    }

    #[test]
    fn cache_globs_are_below_the_files_folder() {
        let rule = CacheRule {
            key: "k".into(),
            restore_keys: Vec::new(),
            paths: vec!["./node_modules/".to_owned(), "/root/.npm".to_owned()],
            scope: CacheScope::default(),
        };
        assert_eq!(
            cache_globs(&rule),
            ["workspace/node_modules/**", "workspace/node_modules", "root/.npm/**", "root/.npm"]
        );
    }
}
