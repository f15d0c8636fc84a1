//! The actions of a stage, as files: fetched from repositories, other ones and the stage's own, before the first step, so
//! that the log says early what will run; and the workspace's when their step's turn has come.
//!
//! An action that cannot be had fails the step that uses it, not the stage: it may never be run.

use std::{collections::BTreeMap, io::Read as _, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use tidegate_pipelines::plan::{Does, Step};
use tidegate_protocol::messages::Source;

use super::{
    Failure, StageContext, WorkspaceFrom, copy_tree,
    paths::{Paths, SHARED},
    scope::DEEPEST,
    tape::Tape,
};
use crate::{
    actions::{
        builtin,
        lock::{self, Lock},
        manifest::{self, Docker, Manifest, Runs},
        reference::{Reference, Remote},
        source as actions,
    },
    archive::beneath::Root,
    logs::line,
    sandbox::WORKSPACE,
    source,
};

/// The most actions that are fetched for a stage.
const MOST: usize = 200;

/// An action whose files are there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) manifest: Manifest,
    /// Its folder in the sandbox.
    pub(super) folder: String,
    /// `owner/repository`; empty for the workspace's own.
    pub(super) repository: String,
    /// The version that the step names; empty for the workspace's own.
    pub(super) reference: String,
}

/// What was found once, for the record.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noted {
    commit: String,
    /// Why its repository could not be asked.
    #[serde(default)]
    stale: Option<String>,
    /// The manifest's name and text; none: there is only a Dockerfile.
    manifest: Option<(String, String)>,
}

/// Actions that are fetched, by what the step says.
pub(super) struct Fetched {
    /// The stage's own repository and commit, which `$/` in its steps stands for.
    own: Remote,
    known: BTreeMap<Remote, Result<Arc<Found>, String>>,
    lock: Option<Option<Lock>>,
}

impl Fetched {
    /// Nothing yet, for a stage of this source.
    pub(super) fn new(source: &Source) -> Self {
        let own = Remote {
            repository: source.repository.clone(),
            path: String::new(),
            reference: source.sha.clone(),
        };
        Self { own, known: BTreeMap::new(), lock: None }
    }

    /// An action of the stage's own repository.
    pub(super) fn own(&self, path: &str) -> Remote {
        Remote { path: path.to_owned(), ..self.own.clone() }
    }

    fn is_own(&self, remote: &Remote) -> bool {
        (&remote.repository, &remote.reference) == (&self.own.repository, &self.own.reference)
    }

    fn remotes(&self, steps: &[Step]) -> impl DoubleEndedIterator<Item = Remote> {
        steps.iter().filter_map(|step| match &step.does {
            Does::Uses(uses) => match Reference::parse(&uses.action) {
                Ok(Reference::Remote(remote)) => Some(remote),
                Ok(Reference::Own(path)) => Some(self.own(&path)),
                _ => None,
            },
            Does::Run(_) | Does::Wait(_) | Does::Cancel(_) => None,
        })
    }

    /// Fetches all actions that these steps use, and the ones that those use.
    pub(super) async fn all(
        &mut self,
        ctx: &StageContext,
        tape: &mut Tape,
        steps: &[Step],
    ) -> Result<(), Failure> {
        let mut open: Vec<(Remote, usize)> = self.remotes(steps).map(|remote| (remote, 0)).collect();
        open.reverse();
        while let Some((remote, depth)) = open.pop() {
            let built_in = !self.is_own(&remote) && builtin::find(ctx, &remote).is_some();
            if depth >= DEEPEST || self.known.contains_key(&remote) || built_in {
                continue;
            }
            if let Ok(found) = self.get(ctx, tape, &remote, 0).await?
                && let Runs::Composite(steps) = &found.manifest.runs
            {
                open.extend(self.remotes(steps).map(|remote| (remote, depth + 1)));
            }
        }
        Ok(())
    }

    /// Whether a step's action has something to do before the first step.
    pub(super) fn has_pre(&self, step: &Step) -> bool {
        self.of_step(step).is_some_and(|found| found.manifest.pre().is_some())
    }

    /// The action of a step, if it is one that was fetched.
    pub(super) fn of_step(&self, step: &Step) -> Option<Arc<Found>> {
        let remote = self.remotes(std::slice::from_ref(step)).next()?;
        self.known.get(&remote)?.clone().ok()
    }

    /// One action. What goes wrong with it is in the inner result; `page` is the step that hears of it.
    pub(super) async fn get(
        &mut self,
        ctx: &StageContext,
        tape: &mut Tape,
        remote: &Remote,
        page: u32,
    ) -> Result<Result<Arc<Found>, String>, Failure> {
        if let Some(found) = self.known.get(remote) {
            return Ok(found.clone());
        }
        let key = format!("action {remote}");
        let mut fresh = false;
        let noted: Result<Noted, String> = match tape.heard(&key)? {
            Some(noted) => noted,
            None => {
                fresh = true;
                let noted = if self.known.len() >= MOST {
                    Err(format!("a stage may use at most {MOST} actions"))
                } else {
                    self.fetch(ctx, remote).await
                };
                tape.note(&key, &noted)?;
                noted
            }
        };
        // The runner's own step is not written anew after a restart; others are.
        if let Ok(noted) = noted.as_ref()
            && (fresh || page > 0)
        {
            line(&*ctx.log, page, format!("action {remote} is commit {}", noted.commit));
            if let Some(why) = &noted.stale {
                line(
                    &*ctx.log,
                    page,
                    format!("its repository could not be asked, so it is the one of before: {why}"),
                );
            }
        }
        let found = noted.and_then(|noted| found(remote, noted)).map(Arc::new);
        self.known.insert(remote.clone(), found.clone());
        Ok(found)
    }

    async fn fetch(&mut self, ctx: &StageContext, remote: &Remote) -> Result<Noted, String> {
        let own = self.is_own(remote);
        let lock = if own { None } else { self.lock(ctx).await? };
        let (action, mirrors) = (remote.clone(), ctx.runner.action_mirrors.clone());
        let mappings = ctx.runner.actions.sources.clone();
        let home: Option<Source> = ctx.lease.trusted.then(|| ctx.lease.source.clone());
        let (shared, scratch) = (ctx.dirs.shared(), ctx.dirs.scratch());
        let (from, source) = (ctx.workspace_from.clone(), ctx.lease.source.clone());
        let (own_mirrors, allow_file) = (ctx.runner.mirrors.clone(), ctx.runner.allow_file_clone);
        let fetched = blocking(move || {
            // To a folder that no step sees; only then to where steps may have put links in the way.
            let fresh = scratch.join(format!("action-{}", uuid::Uuid::now_v7().simple()));
            let fetched = match from {
                WorkspaceFrom::Tree(tree) if own => {
                    std::fs::create_dir_all(&fresh).map_err(|error| error.to_string())?;
                    copy_tree(&tree, &fresh)?;
                    actions::Fetched { commit: source.sha, stale: None }
                }
                WorkspaceFrom::Source if own => actions::export(&own_mirrors, source, allow_file, &fresh)?,
                _ => actions::fetch(&action, &mirrors, &mappings, home.as_ref(), lock.as_ref(), &fresh)?,
            };
            let manifest = read_manifest(&fresh, &action)?;
            let placed = put_in_place(&shared, &fresh, &folder_of(&action, &fetched.commit));
            let _ = std::fs::remove_dir_all(&fresh);
            placed.map_err(|error| format!("{action} cannot be put into its place: {error}"))?;
            Ok((manifest, fetched))
        })
        .await;
        let (manifest, fetched) = fetched.map_err(|reason| ctx.log.mask(&reason))?;
        Ok(Noted { commit: fetched.commit, stale: fetched.stale, manifest })
    }

    /// The repository's lock file, read once.
    async fn lock(&mut self, ctx: &StageContext) -> Result<Option<Lock>, String> {
        if let Some(lock) = &self.lock {
            return Ok(lock.clone());
        }
        let text = match ctx.workspace_from.clone() {
            WorkspaceFrom::Tree(tree) => std::fs::read_to_string(tree.join(lock::PATH)).ok(),
            WorkspaceFrom::Source => {
                let (mirrors, source) = (ctx.runner.mirrors.clone(), ctx.lease.source.clone());
                let allow_file = ctx.runner.allow_file_clone;
                let read = blocking(move || {
                    source::read_file(&mirrors, &source, lock::PATH, allow_file)
                        .map_err(|error| error.to_string())
                });
                read.await.map_err(|reason| format!("{} cannot be looked for: {reason}", lock::PATH))?
            }
        };
        let lock = text.map(|text| Lock::parse(&text)).transpose()?;
        self.lock = Some(lock.clone());
        Ok(lock)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Where an action's repository lies below the shared folder.
fn folder_of(action: &Remote, commit: &str) -> String {
    format!("actions/{}/{commit}", action.repository.to_lowercase())
}

fn found(remote: &Remote, noted: Noted) -> Result<Found, String> {
    let folder = format!("{SHARED}/{}/{}", folder_of(remote, &noted.commit), remote.path);
    let mut manifest = manifest_of(noted.manifest)?;
    if let Runs::Composite(steps) = &mut manifest.runs {
        steps.iter_mut().for_each(|step| settle(step, remote));
    }
    Ok(Found {
        manifest,
        folder: folder.trim_end_matches('/').to_owned(),
        repository: remote.repository.clone(),
        reference: remote.reference.clone(),
    })
}

/// What a step of an action names in the action's own repository is of the same version.
fn settle(step: &mut Step, action: &Remote) {
    if let Does::Uses(uses) = &mut step.does
        && let Ok(Reference::Own(path)) = Reference::parse(&uses.action)
    {
        uses.action = Remote { path, ..action.clone() }.to_string();
    }
}

fn manifest_of(text: Option<(String, String)>) -> Result<Manifest, String> {
    match text {
        Some((name, text)) => manifest::parse(&name, &text),
        // A Dockerfile alone is an action too.
        None => Ok(Manifest {
            name: String::new(),
            inputs: Vec::new(),
            outputs: BTreeMap::new(),
            runs: Runs::Docker(Docker { image: "Dockerfile".to_owned(), ..Docker::default() }),
        }),
    }
}

/// The manifest of an action in its repository's files. They may hold links, which are not followed.
fn read_manifest(files: &Path, action: &Remote) -> Result<Option<(String, String)>, String> {
    let says = |error: std::io::Error| format!("{action}: {error}");
    let root = Root::open(files).map_err(says)?;
    for name in manifest::FILES {
        let Ok(file) = root.read(&Path::new(&action.path).join(name)) else { continue };
        if file.metadata().is_ok_and(|data| data.is_file() && data.len() <= manifest::LARGEST) {
            let mut text = String::new();
            file.take(manifest::LARGEST).read_to_string(&mut text).map_err(says)?;
            return Ok(Some((format!("{action}: {name}"), text)));
        }
    }
    match root.read(&Path::new(&action.path).join("Dockerfile")) {
        Ok(_) => Ok(None),
        Err(_) => Err(format!("`{action}` is no action: there is no action.yml in it")),
    }
}

/// Moves an action's files to where the sandbox sees them, unless they are there already.
fn put_in_place(shared: &Path, files: &Path, place: &str) -> std::io::Result<()> {
    let (root, place) = (Root::open(shared)?, Path::new(place));
    if root.read(place).is_ok() {
        return Ok(());
    }
    root.make_folders(place.parent().unwrap_or(Path::new("")))?;
    root.place(files, place)
}

/// An action of the workspace, as it is now.
pub(super) fn local(paths: &Paths, path: &str, tape: &mut Tape) -> Result<Result<Found, String>, Failure> {
    let folder = format!("{WORKSPACE}/{path}").trim_end_matches('/').to_owned();
    let noted: Result<Noted, String> = tape.once(&format!("action ./{path}"), || {
        let read = |name: &str| paths.read_text(&format!("{folder}/{name}"), manifest::LARGEST);
        let manifest = manifest::FILES.iter().find_map(|name| Some((format!("./{path}/{name}"), read(name).ok()?)));
        if manifest.is_none() && read("Dockerfile").is_err() {
            return Err(format!(
                "there is no action.yml in `./{path}` of the workspace; a step with actions/checkout has to come before"
            ));
        }
        Ok(Noted { commit: String::new(), stale: None, manifest })
    })?;
    Ok(noted.and_then(|noted| {
        Ok(Found {
            manifest: manifest_of(noted.manifest)?,
            folder: folder.clone(),
            repository: String::new(),
            reference: String::new(),
        })
    }))
}
