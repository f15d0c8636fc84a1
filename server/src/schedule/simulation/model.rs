//! The model: what a database, its runners and its claims make of decisions. It refuses what must never be decided.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_pipelines::{
    Context,
    plan::{Plan, StageKey, StagePlan, Strategy, Verb, replace_stage},
};
use tidegate_protocol::{
    ids::{DeploymentId, EnvironmentId, GateId, StageId},
    messages::Outcome,
    status::{AttemptStatus, DeploymentStatus, GateStatus, RunStatus, StageStatus},
};

use super::pipelines::event;
use crate::{
    schedule::{
        action::Action,
        decide::decide,
        facts::{DeploymentFacts, Facts, GateFacts, GroupTurn, StageFacts, Surroundings},
        retry::{AttemptEnd, Next, after},
    },
    store::{Occupant, Occupation},
};

/// A stage that nothing has happened to.
pub(super) fn fresh(plan: StagePlan) -> StageFacts {
    StageFacts {
        id: StageId::new(),
        plan,
        status: StageStatus::Blocked,
        reason: None,
        has_begun: false,
        outputs: BTreeMap::new(),
        rollback_of: None,
        cancel_requested: false,
        gate: None,
        turn: None,
    }
}

/// What the model of a database knows beside the facts.
pub(super) struct World {
    plan: Plan,
    pub(super) facts: Facts,
    attempts: BTreeMap<StageId, i32>,
    /// Stages that were ever handed out, in order.
    pub(super) handed_out: Vec<StageId>,
    started: BTreeSet<DeploymentId>,
}

impl World {
    pub(super) fn new(plan: &Plan, approvals: i32, has_previous: bool) -> Self {
        let stages = plan.stages.iter().cloned().map(fresh);
        let production = Surroundings {
            id: EnvironmentId::new(),
            url: None,
            required_approvals: approvals,
            wait_seconds: 0,
            branches: Vec::new(),
            frozen: None,
            current_run: None,
            occupants: Vec::new(),
        };
        let facts = Facts {
            number: 1,
            status: RunStatus::Running,
            reason: None,
            cancel_requested: None,
            behind: None,
            base: Context::new(plan, &event()),
            lenient: None,
            machines: plan.machines.clone(),
            stages: stages.collect(),
            calls: plan.calls.clone(),
            call_groups: BTreeMap::new(),
            environments: BTreeMap::from([("production".to_owned(), production)]),
            deployments: Vec::new(),
            runners: BTreeMap::new(),
        };
        let started = BTreeSet::from_iter(has_previous.then(DeploymentId::new));
        Self { plan: plan.clone(), facts, attempts: BTreeMap::new(), handed_out: Vec::new(), started }
    }

    pub(super) fn stage(&mut self, id: StageId) -> &mut StageFacts {
        self.facts.stages.iter_mut().find(|stage| stage.id == id).unwrap()
    }

    /// The stages that only run commands.
    pub(super) fn run_stages(&self) -> Vec<StageId> {
        let run = |stage: &&StageFacts| matches!(stage.plan.verb, Verb::Run(_));
        self.facts.stages.iter().filter(run).map(|stage| stage.id).collect()
    }

    /// Decides and carries out until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            let actions = decide(&self.facts);
            if actions.is_empty() {
                return self.check_matrix();
            }
            for action in actions {
                self.carry_out(action);
            }
        }
        panic!("deciding does not end: {:?}", decide(&self.facts));
    }

    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::MoveRun { to, reason } => {
                assert!(!self.facts.status.is_final());
                if to.is_final() {
                    assert!(self.facts.stages.iter().all(|stage| stage.status.is_final()));
                    let busy = [DeploymentStatus::Deploying, DeploymentStatus::Verifying];
                    assert!(self.facts.deployments.iter().all(|one| !busy.contains(&one.status)));
                }
                self.facts.status = to;
                self.facts.reason = reason;
            }
            Action::ExplainRun { reason } => self.facts.reason = Some(reason),
            Action::End { stage, to, reason } => {
                let stage = self.stage(stage);
                assert!(!stage.status.is_final() && stage.status != StageStatus::Running);
                assert!(!reason.is_empty(), "every end has a shown reason");
                stage.status = to;
                stage.reason = Some(reason);
            }
            Action::Expand { stage, made } => self.replace(stage, made),
            Action::Queue { stage, gate, .. } => {
                assert!(!self.stage(stage).plan.is_open(), "what stands for others is never handed out");
                let needs = self.stage(stage).plan.needs.clone();
                for need in needs {
                    assert!(self.facts.stage(&need.stage).unwrap().status.is_final(), "a need has not ended");
                }
                let approvals = self.facts.environments["production"].required_approvals;
                let stage = self.stage(stage);
                if matches!(stage.plan.verb, Verb::Deploy(_)) && stage.rollback_of.is_none() && approvals > 0
                {
                    let used = stage.gate.as_mut().expect("a gate");
                    assert_eq!(Some(used.id), gate);
                    assert!(used.status == GateStatus::Approved && !used.consumed);
                    used.consumed = true;
                }
                stage.status = StageStatus::Queued;
                stage.reason = None;
            }
            Action::EnterGroup { stage, .. } => self.stage(stage).turn = Some(GroupTurn::First),
            Action::EnterCallGroup { .. } | Action::LeaveCallGroup { .. } => {
                panic!("the pipelines of the simulation have no calls")
            }
            Action::OpenGate { stage, required, .. } => {
                let stage = self.stage(stage);
                stage.status = StageStatus::Gated;
                stage.reason = Some(format!("waits for approval: 0 of {required}"));
                stage.gate = Some(GateFacts {
                    id: GateId::new(),
                    status: GateStatus::Open,
                    reason: None,
                    consumed: false,
                    ready: true,
                    overdue: false,
                    required,
                    approvals: 0,
                });
            }
            Action::PassGate { stage, .. } => {
                self.stage(stage).gate.as_mut().unwrap().status = GateStatus::Approved
            }
            Action::ExpireGate { stage, .. } => {
                self.stage(stage).gate.as_mut().unwrap().status = GateStatus::Expired
            }
            Action::Hold { stage, reason, .. } => self.stage(stage).reason = Some(reason),
            Action::Stop { stage, .. } => {
                assert_eq!(self.stage(stage).status, StageStatus::Running);
                self.stage(stage).cancel_requested = true;
            }
            Action::MoveDeployment { deployment, from, to, .. } => {
                let one = self.facts.deployments.iter_mut().find(|one| one.id == deployment).unwrap();
                assert_eq!(one.status, from);
                one.status = to;
                self.occupy();
            }
            Action::RollBack { deployment, .. } => {
                assert!(
                    !self.facts.stages.iter().any(|stage| stage.rollback_of == Some(deployment)),
                    "twice"
                );
                let failed = self.facts.deployments.iter().find(|one| one.id == deployment).unwrap();
                assert!(failed.rollback_of.is_none(), "a rollback is not rolled back");
                let mut copy =
                    self.facts.stages.iter().find(|stage| stage.id == failed.stage).unwrap().clone();
                copy.id = StageId::new();
                copy.plan.key.0 = format!("rollback: {}", copy.plan.key);
                copy.plan.needs.clear();
                copy.plan.condition = None;
                copy.status = StageStatus::Blocked;
                copy.gate = None;
                copy.cancel_requested = false;
                copy.rollback_of = Some(deployment);
                self.facts.stages.push(copy);
            }
        }
    }

    pub(super) fn replace(&mut self, id: StageId, made: Vec<StagePlan>) {
        let open = self.stage(id).clone();
        assert!(open.status == StageStatus::Blocked && open.plan.is_open() && !made.is_empty());
        assert!(made.iter().all(|one| !one.is_open() && one.needs == open.plan.needs));
        for need in &open.plan.needs {
            assert!(self.facts.stage(&need.stage).unwrap().status.is_final(), "a need has not ended");
        }
        self.plan.stages = self.facts.stages.iter().map(|stage| stage.plan.clone()).collect();
        replace_stage(&mut self.plan, open.key(), made);
        let mut before: BTreeMap<StageKey, StageFacts> = std::mem::take(&mut self.facts.stages)
            .into_iter()
            .filter(|stage| stage.id != id)
            .map(|stage| (stage.key().clone(), stage))
            .collect();
        let known = before.len();
        let stages = self.plan.stages.iter().map(|plan| match before.remove(&plan.key) {
            Some(stage) => StageFacts { plan: plan.clone(), ..stage },
            None => fresh(plan.clone()),
        });
        self.facts.stages = stages.collect();
        assert!(before.is_empty() && self.facts.stages.len() > known, "nothing else goes");
        for stage in &self.facts.stages {
            let named = stage.plan.needs.iter().map(|need| &need.stage).chain(&stage.plan.upstream);
            for key in named {
                assert!(self.facts.stage(key).is_some(), "`{key}` is named, and there is no such stage");
            }
        }
    }

    pub(super) fn occupy(&mut self) {
        let occupants = self
            .facts
            .deployments
            .iter()
            .filter_map(|one| {
                let state = match one.status {
                    DeploymentStatus::Deploying | DeploymentStatus::Verifying => Occupation::Working,
                    DeploymentStatus::Unknown => Occupation::Unknown,
                    _ => return None,
                };
                Some(Occupant { stage: one.stage, run_number: 1, state })
            })
            .collect::<Vec<_>>();
        assert!(occupants.len() <= 1, "two deployments at a time");
        self.facts.environments.get_mut("production").unwrap().occupants = occupants;
    }

    /// Of a matrix no more are queued or running than may, and nothing goes on after a failure that stops the others.
    pub(super) fn check_matrix(&self) {
        let mut matrices: BTreeMap<&str, (&Strategy, Vec<&StageFacts>)> = BTreeMap::new();
        for stage in &self.facts.stages {
            if let Some(strategy) = &stage.plan.strategy {
                matrices.entry(&stage.plan.name).or_insert((strategy, Vec::new())).1.push(stage);
            }
        }
        for (Strategy { max_parallel, fail_fast, .. }, members) in matrices.into_values() {
            let working: Vec<_> = members.iter().filter(|stage| stage.status.is_at_work()).collect();
            assert!(max_parallel.is_none_or(|most| working.len() <= most as usize), "too many at once");
            if *fail_fast && members.iter().any(|stage| stage.status == StageStatus::Failed) {
                let on = members.iter().find(|stage| !stage.status.is_final() && !stage.cancel_requested);
                assert!(on.is_none(), "{:?} goes on", on.map(|stage| (stage.key(), stage.status)));
            }
        }
    }

    /// A runner takes a queued stage, as the claim and its guard do.
    pub(super) fn take(&mut self, id: StageId) {
        let occupied = self.facts.environments["production"].occupants.iter().any(|one| one.stage != id);
        let previous = self.started.last().copied();
        let stage = self.stage(id);
        let (rollback_of, deploys) = (stage.rollback_of, matches!(stage.plan.verb, Verb::Deploy(_)));
        if deploys && occupied {
            if let Some(gate) = &mut stage.gate {
                gate.consumed = false;
            }
            stage.status = StageStatus::Gated;
            return;
        }
        stage.status = StageStatus::Running;
        stage.has_begun = true;
        *self.attempts.entry(id).or_default() += 1;
        self.handed_out.push(id);
        if deploys {
            let facts = DeploymentFacts {
                id: DeploymentId::new(),
                stage: id,
                status: DeploymentStatus::Deploying,
                previous,
                rollback_of,
            };
            self.facts.deployments.push(facts);
            self.occupy();
        }
    }

    pub(super) fn end(&mut self, id: StageId, status: AttemptStatus) {
        self.end_telling(id, status, "[1, 2, 3]");
    }

    /// The attempt ends; what succeeded tells a matrix.
    pub(super) fn end_telling(&mut self, id: StageId, status: AttemptStatus, told: &str) {
        let number = self.attempts[&id];
        let cancelled = self.facts.cancel_requested.is_some();
        let stage = self.stage(id);
        let outcome = (status == AttemptStatus::Failed).then_some(Outcome::Failed);
        let end = AttemptEnd {
            number,
            status,
            outcome,
            reason: Some("so it went".to_owned()),
            exit_code: Some(1),
            outputs: BTreeMap::new(),
        };
        match after(&stage.plan, &end, stage.cancel_requested || (cancelled && stage.rollback_of.is_none())) {
            Next::Again { .. } => {
                assert!(
                    !matches!(stage.plan.verb, Verb::Deploy(_)),
                    "a deployment is carried out at most once"
                );
                stage.status = StageStatus::Queued;
            }
            Next::End { to, reason } => {
                stage.status = to;
                stage.reason = reason;
                stage.outputs.insert("matrix".to_owned(), told.to_owned());
                if matches!(stage.plan.verb, Verb::Push(_)) {
                    stage.outputs.insert("image".to_owned(), "r/shop@sha256:1".to_owned());
                }
            }
        }
    }
}
