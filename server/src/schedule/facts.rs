//! What a decision is made from: everything about one run, read in one transaction. Plain data.

use std::collections::BTreeMap;

use tidegate_pipelines::{
    Context, EnvironmentFacts, Machine, Places, StageFacts as EndedStage, Standing,
    plan::{Call, StageKey, StagePlan, Verb},
};
use tidegate_protocol::{
    ids::{DeploymentId, EnvironmentId, GateId, RunnerId, StageId},
    status::{DeploymentStatus, GateStatus, RunStatus, StageStatus},
};

use super::lenient::{Ended, Lenient};
use crate::store::{Occupant, Occupation};

/// All about a run.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The run's number in its repository.
    pub number: i64,
    /// Where the run is.
    pub status: RunStatus,
    /// Why.
    pub reason: Option<String>,
    /// Who asked it to stop.
    pub cancel_requested: Option<String>,
    /// The number of the run of its concurrency group that goes first.
    pub behind: Option<i64>,
    /// What its expressions see, without stages and environment.
    pub base: Context,
    /// What stages read and are decided by that fill in their templates themselves; none where no such stage waits.
    pub lenient: Option<Lenient>,
    /// Where stages run that tell it only once their needs have ended, by the machine's label.
    pub machines: BTreeMap<String, Machine>,
    /// Its stages, in order.
    pub stages: Vec<StageFacts>,
    /// The calls that stages are part of.
    pub calls: Vec<Call>,
    /// The concurrency groups that calls are in, by the call's key.
    pub call_groups: BTreeMap<String, CallTurn>,
    /// The environments of its repository, by name.
    pub environments: BTreeMap<String, Surroundings>,
    /// Its deployments, oldest first.
    pub deployments: Vec<DeploymentFacts>,
    /// The runner of each stage's last attempt.
    pub runners: BTreeMap<StageKey, RunnerId>,
}

/// A stage.
#[derive(Debug, Clone)]
pub struct StageFacts {
    /// Its id.
    pub id: StageId,
    /// What it does.
    pub plan: StagePlan,
    /// Where it is.
    pub status: StageStatus,
    /// Why.
    pub reason: Option<String>,
    /// A runner had it, since it was last started over.
    pub has_begun: bool,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// The deployment that it undoes. Such a stage needs no gate, and a cancelled run still finishes it.
    pub rollback_of: Option<DeploymentId>,
    /// Its runner was asked to stop it.
    pub cancel_requested: bool,
    /// Its newest gate.
    pub gate: Option<GateFacts>,
    /// Its place in its concurrency group, once it has one.
    pub turn: Option<GroupTurn>,
}

/// A call in its concurrency group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTurn {
    /// The group.
    pub group: String,
    /// Its place there.
    pub turn: GroupTurn,
}

/// The place of a stage or call in its concurrency group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupTurn {
    /// It is at work there.
    Holds,
    /// It may go.
    First,
    /// Another goes first; the end of a sentence about it.
    After(String),
}

impl StageFacts {
    /// Its key in the plan.
    pub fn key(&self) -> &StageKey {
        &self.plan.key
    }

    /// Where it is, as far as its matrices ask.
    fn standing(&self) -> Standing {
        match self.status {
            StageStatus::Blocked | StageStatus::Gated => Standing::Waiting,
            StageStatus::Queued | StageStatus::Running => Standing::AtWork,
            StageStatus::Failed => Standing::Failed,
            _ if self.has_begun => Standing::Ended,
            _ => Standing::Passed,
        }
    }

    /// The deploy stage that it checks, if it is a smoke stage.
    pub fn checks(&self) -> Option<&StageKey> {
        match &self.plan.verb {
            Verb::Smoke(smoke) => Some(&smoke.deploy),
            _ => None,
        }
    }
}

/// A gate.
#[derive(Debug, Clone)]
pub struct GateFacts {
    /// Its id.
    pub id: GateId,
    /// Where it is.
    pub status: GateStatus,
    /// Why.
    pub reason: Option<String>,
    /// Its stage was queued by it.
    pub consumed: bool,
    /// Its wait timer ended.
    pub ready: bool,
    /// Nobody decided in time.
    pub overdue: bool,
    /// How many people must approve.
    pub required: i32,
    /// How many did.
    pub approvals: i64,
}

/// An environment and what goes on there.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Its id.
    pub id: EnvironmentId,
    /// Where it can be reached.
    pub url: Option<String>,
    /// How many people must approve.
    pub required_approvals: i32,
    /// Seconds between the gate's opening and the deployment, at least.
    pub wait_seconds: i32,
    /// Globs of the branches and tags that may deploy.
    pub branches: Vec<String>,
    /// Nothing is deployed, and why.
    pub frozen: Option<String>,
    /// The number of the run that deployed what it runs; none when that was put back by a rollback.
    pub current_run: Option<i64>,
    /// Whose turn it is there.
    pub occupants: Vec<Occupant>,
}

/// Who goes first at an environment, if it is not this stage: the end of a sentence about it. A rollback goes before
/// every deployment, or what it puts back could be older than what was deployed in between; rollbacks that only wait
/// go in the order they were asked for, or two would wait for each other.
pub fn goes_first(occupants: &[Occupant], stage: StageId, puts_back: bool) -> Option<String> {
    let other = occupants.iter().find(|other| {
        let only_waits = other.state == Occupation::PuttingBack;
        other.stage != stage && (!only_waits || !puts_back || other.stage < stage)
    })?;
    let number = other.run_number;
    Some(match other.state {
        Occupation::Working => format!("run {number} is at work there"),
        Occupation::PuttingBack => format!("run {number} is about to put back there what ran before"),
        Occupation::Unknown => {
            format!("nobody knows how far the deployment of run {number} came: say first how it ended")
        }
    })
}

/// A deployment of this run.
#[derive(Debug, Clone)]
pub struct DeploymentFacts {
    /// Its id.
    pub id: DeploymentId,
    /// Its stage.
    pub stage: StageId,
    /// Where it is.
    pub status: DeploymentStatus,
    /// What could be put back.
    pub previous: Option<DeploymentId>,
    /// The deployment that it undoes.
    pub rollback_of: Option<DeploymentId>,
}

impl Facts {
    /// The stage with this key.
    pub fn stage(&self, key: &StageKey) -> Option<&StageFacts> {
        self.stages.iter().find(|stage| stage.key() == key)
    }

    /// The places of its matrices. A stage at its gate, or one that a gate took back, takes none; what puts something
    /// back is in no matrix.
    pub fn places(&self) -> Places<'_> {
        let members = self.stages.iter().filter(|stage| stage.rollback_of.is_none());
        Places::of(members.map(|stage| (&stage.plan, stage.standing())), &self.calls)
    }

    /// The stages that have ended.
    pub fn ended(&self) -> Ended {
        self.stages
            .iter()
            .filter(|stage| stage.status.is_final())
            .map(|stage| {
                let ended =
                    EndedStage { status: stage.status.as_str().to_owned(), outputs: stage.outputs.clone() };
                (stage.key().clone(), ended)
            })
            .collect()
    }

    /// What the expressions of a stage see now.
    pub fn context(&self, stage: &StagePlan, environment: Option<&str>) -> Context {
        let mut context = self.base.clone();
        context.stages = self.ended();
        if let Some(lenient) = self.lenient.as_ref().filter(|_| !stage.expressions.is_strict()) {
            context.contexts = lenient.contexts(stage, &context.stages);
        }
        context.environment = environment.map(|name| EnvironmentFacts {
            name: name.to_owned(),
            url: self.environments.get(name).and_then(|one| one.url.clone()),
        });
        context
    }
}
