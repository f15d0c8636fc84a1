//! A runner process of a test: an agent in a runtime of its own, which can be stopped like a process or killed like one.

use std::{path::Path, sync::Arc, time::Duration};

use tidegate_pipelines::plan::StagePlan;
use tidegate_protocol::{
    ids::{AttemptId, RunId, StageId},
    messages::{Lease, Source},
};
use tidegate_runner::{RunnerConfig, RunnerError, agent::run_with, sandbox::Engine};
use tokio::{runtime::Runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    IMAGE,
    server::{Model, TOKEN},
};

pub struct Agent {
    runtime: Option<Runtime>,
    shutdown: CancellationToken,
    ended: oneshot::Receiver<Result<(), RunnerError>>,
}

pub fn config(model: &Model, data_dir: &Path) -> RunnerConfig {
    RunnerConfig {
        server_url: model.url.clone(),
        name: "test".to_owned(),
        labels: vec!["fast".to_owned()],
        data_dir: data_dir.to_owned(),
        slots: 2,
        enrolment_token: Some(TOKEN.to_owned().into()),
        docker_host: None,
        allow_file_clone: true,
        grace: Duration::from_secs(5),
        actions: Default::default(),
    }
}

impl Agent {
    pub fn start(model: &Model, engine: Arc<dyn Engine>, data_dir: &Path) -> Self {
        Self::start_with(config(model, data_dir), engine)
    }

    pub fn start_with(config: RunnerConfig, engine: Arc<dyn Engine>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let shutdown = CancellationToken::new();
        let (sender, ended) = oneshot::channel();
        let stop = shutdown.clone();
        runtime.spawn(async move {
            let _ = sender.send(run_with(config, engine, stop).await);
        });
        Self { runtime: Some(runtime), shutdown, ended }
    }

    /// Waits until the process ends by itself.
    pub async fn ended(mut self) -> Result<(), RunnerError> {
        let ended = tokio::time::timeout(Duration::from_secs(60), &mut self.ended).await;
        ended.expect("the agent does not end").unwrap()
    }

    /// SIGTERM.
    pub async fn stop(self) -> Result<(), RunnerError> {
        self.shutdown.cancel();
        self.ended().await
    }

    /// SIGKILL: everything is dropped where it stands.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5))).await.unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A stage of these scripts, in the tests' image, without a checkout.
pub fn stage(scripts: &[&str]) -> StagePlan {
    let steps: Vec<_> = scripts
        .iter()
        .enumerate()
        .map(|(index, script)| {
            serde_json::json!({ "name": format!("step {}", index + 1), "run": { "script": script, "shell": ["/bin/sh"] } })
        })
        .collect();
    stage_of("run", serde_json::json!({ "image": IMAGE, "steps": steps }))
}

/// A stage of this verb, as in a plan.
pub fn stage_of(kind: &str, mut verb: serde_json::Value) -> StagePlan {
    verb["kind"] = kind.into();
    serde_json::from_value(serde_json::json!({
        "key": "test", "name": "test", "timeout_seconds": 120, "checkout": false, "verb": verb,
    }))
    .unwrap()
}

/// A stage that fills in its templates itself, of these steps, as in a plan.
pub fn lenient(steps: serde_json::Value) -> StagePlan {
    let mut steps = steps;
    for step in steps.as_array_mut().unwrap() {
        let shown = step["run"]["script"].as_str().or(step["uses"]["action"].as_str());
        let shown = shown.unwrap_or_default().to_owned();
        let step = step.as_object_mut().unwrap();
        step.entry("name").or_insert(shown.lines().next().unwrap_or_default().into());
    }
    let mut stage = stage_of("run", serde_json::json!({ "image": IMAGE, "steps": steps }));
    stage.expressions = tidegate_pipelines::plan::Expressions::Lenient;
    stage
}

/// A step that runs a script with `sh -e`.
pub fn sh(script: &str) -> serde_json::Value {
    serde_json::json!({ "run": { "script": script, "shell": ["sh", "-e", "{0}"] } })
}

/// A lease of this stage, with much time.
pub fn lease(stage: StagePlan) -> Lease {
    Lease {
        attempt: AttemptId::new(),
        epoch: 7,
        expires_in_ms: 60_000,
        stage_id: StageId::new(),
        run: RunId::new(),
        run_number: 1,
        number: 1,
        source: Source {
            repository: "team/app".to_owned(),
            clone_url: "file:///nowhere".to_owned(),
            login: None,
            reference: "refs/heads/main".to_owned(),
            sha: "0".repeat(40),
        },
        stage,
        env: Default::default(),
        contexts: Default::default(),
        secrets: Vec::new(),
        registry_login: None,
        deployment: None,
        trusted: true,
    }
}
