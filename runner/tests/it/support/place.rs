//! A started sandbox with its channel, as a stage has it, without a stage.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tidegate_pipelines::plan::Resources;
use tidegate_protocol::ids::{AttemptId, RunId};
use tidegate_runner::sandbox::{
    Engine, Owner, Sandbox, SandboxSpec, WORKSPACE,
    session::{self, Event, Session},
    shim::{
        self,
        wire::{Finished, StepCommand},
    },
};

use super::{IMAGE, log::Kept};

/// A sandbox, its folders and its owner.
pub struct Place {
    pub engine: Arc<dyn Engine>,
    pub folder: tempfile::TempDir,
    pub owner: Owner,
    pub sandbox: Arc<dyn Sandbox>,
}

/// An owner that nobody else has.
pub fn owner() -> Owner {
    Owner {
        runner: format!("test-{}", uuid::Uuid::new_v4()),
        run: RunId::new(),
        stage: "test".to_owned(),
        attempt: AttemptId::new(),
    }
}

impl Place {
    pub async fn start(engine: Arc<dyn Engine>) -> Self {
        Self::start_with(engine, owner(), |_| ()).await
    }

    /// Starts a sandbox of this owner, after `change` had a look at its specification.
    pub async fn start_with(
        engine: Arc<dyn Engine>,
        owner: Owner,
        change: impl FnOnce(&mut SandboxSpec),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("workspace")).unwrap();
        let program = shim::install(&at("program")).unwrap();
        session::create_channel(&at("channel"), &at("spool"), &program).unwrap();
        let untrusted = false;
        let network = engine.network(&owner, untrusted).await.unwrap();
        let mut spec = SandboxSpec {
            owner: owner.clone(),
            part: None,
            image: IMAGE.to_owned(),
            network,
            closed: untrusted,
            channel: at("channel"),
            spool: at("spool"),
            workspace: at("workspace"),
            mounts: Vec::new(),
            read_only: Vec::new(),
            resources: Resources::default(),
            untrusted,
            env: Default::default(),
            user: None,
            forwards: Vec::new(),
        };
        change(&mut spec);
        let sandbox = engine.start(&spec).await.unwrap();
        Self { engine, folder, owner, sandbox }
    }

    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    /// Opens the channel; output goes to `log`.
    pub fn session(&self, log: &Arc<Kept>) -> Session {
        let (channel, spool) = (self.folder.path().join("channel"), self.folder.path().join("spool"));
        Session::open(&channel, &spool, log.clone()).unwrap()
    }

    /// Runs a script as the one step of a session, and gives how it ended with all it printed.
    pub async fn run(&self, script: &str) -> (Finished, Vec<u8>) {
        let log = Arc::new(Kept::default());
        let mut session = self.session(&log);
        let index = next_index(&session);
        session.send(command(index), script).unwrap();
        let finished = finished(&mut session, index).await;
        (finished, log.bytes(index))
    }

    pub async fn clean(&self) {
        self.engine.clean(&self.owner.runner, self.owner.attempt).await.unwrap();
        // What an engine keeps for speed is kept for its runner, and this one ends here.
        self.engine.retire().await;
    }
}

fn next_index(session: &Session) -> u32 {
    (1..).find(|index| !session.was_sent(*index)).unwrap()
}

/// A step with a shell and much time.
pub fn command(index: u32) -> StepCommand {
    StepCommand {
        index,
        argv: vec!["/bin/sh".to_owned()],
        script: String::new(),
        env: Default::default(),
        step_env: Default::default(),
        cwd: WORKSPACE.to_owned(),
        timeout_ms: Some(60_000),
        grace_ms: 5_000,
        output_limit: 1 << 30,
        ..StepCommand::default()
    }
}

/// Waits for a step's end.
pub async fn finished(session: &mut Session, index: u32) -> Finished {
    let end = async {
        loop {
            match session.next().await {
                Some(Event::Finished(step, finished)) if step == index => return finished,
                Some(Event::Broken(reason)) => panic!("the channel broke: {reason}"),
                Some(_) => {}
                None => panic!("the channel ended"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), end).await.expect("the step does not end")
}

impl Drop for Place {
    /// A test that failed leaves nothing to the ones after it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            remove_from_docker(&format!("tidegate.runner={}", self.owner.runner));
        }
    }
}

/// Removes containers and networks with a label, without any of the code under test.
pub fn remove_from_docker(label: &str) {
    let docker = |arguments: &[&str]| {
        let output = std::process::Command::new("docker").args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let filter = format!("label={label}");
    for id in docker(&["ps", "-aq", "--filter", &filter]).split_whitespace() {
        docker(&["rm", "-fv", id]);
    }
    for id in docker(&["network", "ls", "-q", "--filter", &filter]).split_whitespace() {
        docker(&["network", "rm", id]);
    }
}
