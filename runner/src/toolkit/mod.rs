//! The services that libraries of actions talk to: caches, artifacts, identity tokens.
//!
//! GitHub's own libraries (`@actions/cache`, `@actions/artifact`, `getIDToken` of `@actions/core`) find them by
//! `ACTIONS_CACHE_URL`, `ACTIONS_RESULTS_URL` and `ACTIONS_ID_TOKEN_REQUEST_URL`. The **runner** serves them, not the
//! server, because
//!
//! - the sandbox then needs no way to the server at all: it talks to its own loopback, from where the shim leads to a
//!   socket in a folder of the attempt (`runner/shim/src/forward.rs`), so that `network: none` and forks' closed
//!   networks stay as closed as they were;
//! - the runner has the way to the server already ([`Results`](crate::stage::Results)), fenced by attempt and epoch. All
//!   rules about who reads and writes what (a cache's scope by ref and trust, artifacts by the stages above, identity
//!   tokens by permission) are the server's, and hold for these libraries as for the built-in actions;
//! - local runs have it too.
//!
//! | module | job |
//! | --- | --- |
//! | `door` | the socket, and HTTP on it |
//! | `route` | what a request asks for, and by which right; pure |
//! | `messages` | bodies; pure |
//! | `keys` | tokens, and signatures of URLs |
//! | `uploads`, `downloads` | files on their way, on this machine's disk |
//! | `caches`, `artifacts`, `identity` | the services |
//! | `zip` | archives as these libraries have them |
//!
//! # What holds
//!
//! - A token is made for one attempt, is worth nothing anywhere but at this attempt's socket, and ends with it; logs mask
//!   it. Actions are given the one for caches and artifacts, shell scripts are not, as on GitHub.
//! - Whatever is sent is bounded: bodies, parts, files, their number and their bytes together.
//! - All state is below the attempt's scratch folder, so a restarted runner goes on with uploads and tokens, and what
//!   was never finished goes with the attempt.

mod artifacts;
mod caches;
mod door;
mod downloads;
mod identity;
mod keys;
mod messages;
mod route;
mod trouble;
mod uploads;
mod zip;

pub use identity::id_token;
use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use tidegate_pipelines::plan::{Does, Run};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{downloads::Downloads, keys::Keys, uploads::Uploads};
use crate::{
    sandbox::shim::wire::{TOOLKIT_ADDRESS, TOOLKIT_SOCKET},
    stage::{Failure, StageContext},
};

/// The services of one attempt. They end when this is dropped.
pub struct Toolkit {
    keys: Keys,
    id_tokens: bool,
    folder: PathBuf,
    _serving: DropGuard,
}

/// What the services work with.
struct Shared {
    ctx: StageContext,
    keys: Keys,
    uploads: Arc<Uploads>,
    downloads: Downloads,
    /// Of uploads, one is finished at a time: the same one may be asked for twice.
    finishing: tokio::sync::Mutex<()>,
}

impl Toolkit {
    /// Opens the services that a stage's steps may need; none for steps that need none.
    pub(crate) fn open(ctx: &StageContext, run: &Run) -> Result<Option<Arc<Self>>, Failure> {
        let id_tokens = ctx.lease.stage.id_token && ctx.lease.trusted;
        let actions = run.steps.iter().any(|step| matches!(step.does, Does::Uses(_)));
        if !ctx.is_lenient() || !(actions || id_tokens) {
            return Ok(None);
        }
        let broken = |error: std::io::Error| {
            Failure::infrastructure(format!("the services for actions cannot be opened: {error}"))
        };
        let state = ctx.dirs.scratch().join("toolkit");
        fs::create_dir_all(&state).map_err(broken)?;
        let keys = Keys::open(&state, &ctx.lease).map_err(broken)?;
        for secret in keys.secrets() {
            ctx.log.hide(secret);
        }
        let folder = ctx.dirs.toolkit();
        fs::create_dir_all(&folder).map_err(broken)?;
        // Whoever runs in the sandbox may knock; the attempt's folder keeps others of this machine away.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(broken)?;
        let listener = door::listen(&folder).map_err(broken)?;
        let shared = Shared {
            ctx: ctx.clone(),
            keys: keys.clone(),
            uploads: Arc::new(Uploads::open(&state.join("uploads")).map_err(broken)?),
            downloads: Downloads::open(&state.join("downloads")).map_err(broken)?,
            finishing: tokio::sync::Mutex::default(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(door::serve(listener, Arc::new(shared), stop.clone()));
        Ok(Some(Arc::new(Self { keys, id_tokens, folder, _serving: stop.drop_guard() })))
    }

    /// The folder of this machine that a sandbox needs, and where it sees it.
    pub(crate) fn mount(&self) -> (PathBuf, String) {
        let inside = TOOLKIT_SOCKET.rsplit_once('/').map_or(TOOLKIT_SOCKET, |(folder, _)| folder);
        (self.folder.clone(), inside.to_owned())
    }

    /// The variables that steps have which use an action.
    pub(crate) fn variables_of_actions(&self) -> BTreeMap<String, String> {
        let url = format!("{}/", base());
        let mut variables = self.variables();
        variables.extend([
            ("ACTIONS_RUNTIME_TOKEN".to_owned(), self.keys.runtime.clone()),
            ("ACTIONS_RUNTIME_URL".to_owned(), url.clone()),
            ("ACTIONS_CACHE_URL".to_owned(), url.clone()),
            ("ACTIONS_RESULTS_URL".to_owned(), url),
            ("ACTIONS_CACHE_SERVICE_V2".to_owned(), "true".to_owned()),
        ]);
        variables
    }

    /// The variables that every step has: those for identity tokens, where the job may have them.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        if !self.id_tokens {
            return BTreeMap::new();
        }
        BTreeMap::from([
            // Libraries append `&audience=…`.
            ("ACTIONS_ID_TOKEN_REQUEST_URL".to_owned(), format!("{}/id-token?v=1", base())),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN".to_owned(), self.keys.identity.clone()),
        ])
    }
}

/// Where a sandbox reaches the services.
fn base() -> String {
    format!("http://{TOOLKIT_ADDRESS}")
}
