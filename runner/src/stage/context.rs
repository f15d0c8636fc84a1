//! What a stage's code is given: its lease, its folders, and the ways out.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tidegate_pipelines::plan::{Expressions, Network};
use tidegate_protocol::messages::Lease;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Failure, Results, StepBook};
use crate::{
    actions::ActionSettings,
    journal::Journal,
    logs::LogSink,
    sandbox::{Engine, Owner},
    toolkit::Toolkit,
};

/// Everything that one attempt needs. Shared by the state machine and the verbs.
#[derive(Clone)]
pub struct StageContext {
    /// The attempt. The stage's templates are literal, but for those of its steps and outputs where its expressions are
    /// lenient.
    pub lease: Arc<Lease>,
    /// What does not change between attempts.
    pub runner: Arc<RunnerFacts>,
    /// This attempt's folders.
    pub dirs: StageDirs,
    /// Where the workspace's files come from.
    pub workspace_from: WorkspaceFrom,
    /// The container engine.
    pub engine: Arc<dyn Engine>,
    /// Where lines go.
    pub log: Arc<dyn LogSink>,
    /// The attempt's steps, as the page shows them.
    pub steps: Arc<StepBook>,
    /// Where artifacts, caches and reports go.
    pub results: Arc<dyn Results>,
    /// What survives a restart of this process.
    pub journal: Arc<Journal>,
    /// Cancelled when a person, a newer run or a lost lease stops the stage.
    pub cancel: CancellationToken,
    /// Cancelled when the lease is lost: everything ends at once, and nothing is reported. `cancel` follows it.
    pub fence: CancellationToken,
    /// When the lease ends, less a margin, as time since boot; `None` without a lease. The shim ends its sandbox
    /// then, whatever became of this process.
    pub lease_ends: watch::Receiver<Option<Duration>>,
    /// When the stage's own time is up.
    pub deadline: Instant,
    /// The services for libraries of actions; there while steps run that may need them.
    pub toolkit: Option<Arc<Toolkit>>,
}

impl StageContext {
    /// Whose the things in the engine are.
    pub fn owner(&self) -> Owner {
        Owner {
            runner: self.runner.id.clone(),
            run: self.lease.run,
            stage: self.lease.stage.key.0.clone(),
            attempt: self.lease.attempt,
        }
    }

    /// Time left until the stage's deadline; zero when it passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The failure of a stage whose time is up.
    pub fn timed_out(&self) -> Failure {
        Failure::timed_out(format!("the stage took longer than {} s", self.lease.stage.timeout_seconds))
    }

    /// The environment of every step and of compose: facts, then the stage's own values, then its secrets.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = self.lease.env.clone();
        env.extend(self.stage_env());
        env.extend(self.secret_env());
        env
    }

    /// The same without the stage's own values.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let mut env = self.lease.env.clone();
        env.extend(self.secret_env());
        env
    }

    /// The stage's own values.
    pub fn stage_env(&self) -> BTreeMap<String, String> {
        self.lease.stage.env.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned())).collect()
    }

    fn secret_env(&self) -> impl Iterator<Item = (String, String)> {
        let secrets = self.lease.secrets.iter();
        secrets.filter_map(|secret| Some((secret.env.clone()?, secret.value.clone())))
    }

    /// Whether the stage may reach nothing but its services. They are on its network, so the plan's `none` and
    /// `services` differ only in whether there are any.
    pub fn is_closed(&self) -> bool {
        !self.lease.trusted || self.lease.stage.network != Network::Internet
    }

    /// Whether the stage fills in its templates itself, and its steps speak in workflow commands.
    pub fn is_lenient(&self) -> bool {
        self.lease.stage.expressions == Expressions::Lenient
    }
}

/// What is the same for all attempts of a runner.
#[derive(Debug, Clone)]
pub struct RunnerFacts {
    /// The runner's id, as in its labels on containers.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The folder of mirrors, one per repository.
    pub mirrors: PathBuf,
    /// The shim's file.
    pub shim: PathBuf,
    /// Whether `file://` clone URLs are allowed.
    pub allow_file_clone: bool,
    /// How long a step may take to end after TERM.
    pub grace: Duration,
    /// As in [`crate::config::RunnerConfig::docker_host`], for compose.
    pub docker_host: Option<String>,
    /// The folder of mirrors of actions.
    pub action_mirrors: PathBuf,
    /// Settings for actions.
    pub actions: ActionSettings,
}

/// One attempt's folders, all below `root` (mode 0700).
#[derive(Debug, Clone)]
pub struct StageDirs {
    /// `<data_dir>/stages/<attempt>`.
    pub root: PathBuf,
}

impl StageDirs {
    /// The files that the sandbox sees: `workspace`, and absolute cache paths beside it. Packing and unpacking
    /// caches happens relative to it.
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Mounted at `/workspace`.
    pub fn workspace(&self) -> PathBuf {
        self.files().join("workspace")
    }

    /// What the sandbox may only read: commands and scripts.
    pub fn channel(&self) -> PathBuf {
        self.root.join("channel")
    }

    /// The shim's frames.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Masked log bytes, one file per step.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What survives a restart of the runner.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.json")
    }

    /// What the runner and actions share, seen at [`super::paths::SHARED`].
    pub fn shared(&self) -> PathBuf {
        self.files().join("tidegate")
    }

    /// The home of container actions. Never below a folder that a sandbox can write to: engines follow links.
    pub(super) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// What the steps' decisions rest on.
    pub fn tape(&self) -> PathBuf {
        self.root.join("tape")
    }

    /// The socket of the services for libraries of actions, seen by the sandbox.
    pub(crate) fn toolkit(&self) -> PathBuf {
        self.root.join("toolkit")
    }

    /// Where the talk with the container of one command is.
    pub(super) fn part(&self, part: u32) -> PartDirs {
        let root = self.root.join("parts").join(part.to_string());
        PartDirs { channel: root.join("channel"), spool: root.join("spool") }
    }

    /// For archives on their way.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }
}

/// Where the talk with one container is.
#[derive(Debug, Clone)]
pub(super) struct PartDirs {
    /// Commands and scripts.
    pub(super) channel: PathBuf,
    /// The shim's frames.
    pub(super) spool: PathBuf,
}

/// Where the workspace's files come from.
#[derive(Debug, Clone)]
pub enum WorkspaceFrom {
    /// The lease's source, through the runner's mirror.
    Source,
    /// A working tree: its tracked files, and untracked ones that are not ignored.
    Tree(PathBuf),
}
