//! What a decision consists of. Each action is carried out under the run's lock, with the old state in `WHERE`.

use tidegate_pipelines::plan::{Concurrency, StagePlan};
use tidegate_protocol::{
    ids::{DeploymentId, EnvironmentId, GateId, RunnerId, StageId},
    status::{DeploymentStatus, RunStatus, StageStatus},
};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The run moves on.
    MoveRun {
        /// Where to.
        to: RunStatus,
        /// Why.
        reason: Option<String>,
    },
    /// Only the run's reason changes.
    ExplainRun {
        /// Why it is where it is.
        reason: String,
    },
    /// The stage ends without having run (again).
    End {
        /// Which.
        stage: StageId,
        /// `skipped`, `cancelled` or `failed`.
        to: StageStatus,
        /// Why.
        reason: String,
    },
    /// The stage stood for others, which take its place.
    Expand {
        /// Which.
        stage: StageId,
        /// Those that it stands for, at least one.
        made: Vec<StagePlan>,
    },
    /// The stage is ready for a runner.
    Queue {
        /// Which.
        stage: StageId,
        /// Its environment, for deploy and smoke.
        environment: Option<String>,
        /// The only runner that may have it.
        pinned: Option<RunnerId>,
        /// The gate that is used up by it.
        gate: Option<GateId>,
        /// The calls that are at work in their concurrency groups from now on.
        begins: Vec<String>,
    },
    /// The stage joins the queue of its concurrency group.
    EnterGroup {
        /// Which.
        stage: StageId,
        /// The group.
        group: String,
    },
    /// The call joins the queue of its concurrency group.
    EnterCallGroup {
        /// The call's key.
        call: String,
        /// The group.
        group: String,
        /// Whose place it takes there.
        concurrency: Concurrency,
    },
    /// All stages of the call have ended, and others of its concurrency group may go.
    LeaveCallGroup {
        /// The call's key.
        call: String,
    },
    /// People are asked.
    OpenGate {
        /// Which.
        stage: StageId,
        /// Where to.
        environment: EnvironmentId,
        /// Its name.
        name: String,
        /// What an approval is for.
        image: String,
        /// How many people must approve.
        required: i32,
    },
    /// A gate that needs nobody is let through when its timer ends.
    PassGate {
        /// Which.
        gate: GateId,
        /// Its stage.
        stage: StageId,
    },
    /// Nobody decided in time.
    ExpireGate {
        /// Which.
        gate: GateId,
        /// Its stage.
        stage: StageId,
    },
    /// The stage waits for something else than its needs; the page says for what.
    Hold {
        /// Which.
        stage: StageId,
        /// Its environment, once known, so that the run is looked at again.
        environment: Option<String>,
        /// What for; the end of a sentence about it.
        reason: String,
    },
    /// The stage's runner is asked to stop it.
    Stop {
        /// Which.
        stage: StageId,
        /// Why, where that is not plain from the run.
        reason: Option<String>,
    },
    /// A deployment moves on.
    MoveDeployment {
        /// Which.
        deployment: DeploymentId,
        /// From where.
        from: DeploymentStatus,
        /// Where to.
        to: DeploymentStatus,
        /// Why.
        reason: Option<String>,
    },
    /// What the deployment replaced is put back, by further stages of the same run.
    RollBack {
        /// The failed deployment.
        deployment: DeploymentId,
        /// What is put back.
        to: DeploymentId,
    },
}
