//! Whole runs without a database: random graphs, runners that fail or get lost, people who approve, reject or cancel.
//! A small model carries the actions out; after each one the promises of scheduling are looked at.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use tidegate_pipelines::{
    Compiled, Context, Setting, SourceFile, compile,
    event::{Event, EventKind, GitFacts},
    plan::{Plan, StageKey, StagePlan, Strategy, Verb, replace_stage},
};
use tidegate_protocol::{
    ids::{DeploymentId, EnvironmentId, GateId, StageId},
    messages::Outcome,
    status::{AttemptStatus, DeploymentStatus, GateStatus, RunStatus, StageStatus},
};

use super::{
    action::Action,
    decide::decide,
    facts::{DeploymentFacts, Facts, GateFacts, GroupTurn, StageFacts, Surroundings},
    retry::{AttemptEnd, Next, after},
};
use crate::store::{Occupant, Occupation};

fn event() -> Event {
    Event {
        kind: EventKind::Push,
        repository: "acme/shop".to_owned(),
        default_branch: "main".to_owned(),
        git: GitFacts {
            sha: "a".repeat(40),
            reference: "refs/heads/main".to_owned(),
            branch: Some("main".to_owned()),
            ..GitFacts::default()
        },
        actor: "dora".to_owned(),
        changed_paths: None,
        inputs: BTreeMap::new(),
        pull_request: None,
        name: None,
        activity: None,
        payload: None,
        trusted: true,
    }
}

fn plan(text: &str) -> Plan {
    let compilation = compile(&SourceFile { path: "pipeline.yml", text }, &event(), Setting::default());
    match compilation.result {
        Some(Compiled::Plan(plan)) => plan,
        other => panic!("{other:?} {:?}", compilation.diagnostics),
    }
}

/// A stage that nothing has happened to.
fn fresh(plan: StagePlan) -> StageFacts {
    StageFacts {
        id: StageId::new(),
        plan,
        status: StageStatus::Blocked,
        reason: None,
        outputs: BTreeMap::new(),
        rollback_of: None,
        cancel_requested: false,
        gate: None,
        turn: None,
    }
}

/// What the model of a database knows beside the facts.
struct World {
    plan: Plan,
    facts: Facts,
    attempts: BTreeMap<StageId, i32>,
    /// Stages that were ever handed out, in order.
    handed_out: Vec<StageId>,
    started: BTreeSet<DeploymentId>,
}

impl World {
    fn new(plan: &Plan, approvals: i32, has_previous: bool) -> Self {
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
            environments: BTreeMap::from([("production".to_owned(), production)]),
            deployments: Vec::new(),
            runners: BTreeMap::new(),
        };
        let started = BTreeSet::from_iter(has_previous.then(DeploymentId::new));
        Self { plan: plan.clone(), facts, attempts: BTreeMap::new(), handed_out: Vec::new(), started }
    }

    fn stage(&mut self, id: StageId) -> &mut StageFacts {
        self.facts.stages.iter_mut().find(|stage| stage.id == id).unwrap()
    }

    /// The stages that only run commands.
    fn run_stages(&self) -> Vec<StageId> {
        let run = |stage: &&StageFacts| matches!(stage.plan.verb, Verb::Run(_));
        self.facts.stages.iter().filter(run).map(|stage| stage.id).collect()
    }

    /// Decides and carries out until nothing is left to do.
    fn settle(&mut self) {
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

    fn carry_out(&mut self, action: Action) {
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

    fn replace(&mut self, id: StageId, made: Vec<StagePlan>) {
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

    fn occupy(&mut self) {
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
    fn check_matrix(&self) {
        let mut matrices: BTreeMap<&str, (&Strategy, Vec<&StageFacts>)> = BTreeMap::new();
        for stage in &self.facts.stages {
            if let Some(strategy) = &stage.plan.strategy {
                matrices.entry(&stage.plan.name).or_insert((strategy, Vec::new())).1.push(stage);
            }
        }
        for (Strategy { max_parallel, fail_fast, .. }, members) in matrices.into_values() {
            let at_work =
                |stage: &&&StageFacts| matches!(stage.status, StageStatus::Queued | StageStatus::Running);
            let working: Vec<_> = members.iter().filter(at_work).collect();
            assert!(max_parallel.is_none_or(|most| working.len() <= most as usize), "too many at once");
            if *fail_fast && members.iter().any(|stage| stage.status == StageStatus::Failed) {
                let on = members.iter().find(|stage| !stage.status.is_final() && !stage.cancel_requested);
                assert!(on.is_none(), "{:?} goes on", on.map(|stage| (stage.key(), stage.status)));
            }
        }
    }

    /// A runner takes a queued stage, as the claim and its guard do.
    fn take(&mut self, id: StageId) {
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

    fn end(&mut self, id: StageId, status: AttemptStatus) {
        self.end_telling(id, status, "[1, 2, 3]");
    }

    /// The attempt ends; what succeeded tells a matrix.
    fn end_telling(&mut self, id: StageId, status: AttemptStatus, told: &str) {
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

/// Twelve stages at most: some run, two deploy with a smoke test each.
fn pipeline(edges: &[(usize, usize)], retries: u32) -> Plan {
    pipeline_with(edges, retries, |_, _| None)
}

/// As [`pipeline`]; the commands of some stages are in a matrix that a stage which they need tells.
fn pipeline_with(
    edges: &[(usize, usize)],
    retries: u32,
    told_by: impl Fn(usize, &BTreeSet<&String>) -> Option<String>,
) -> Plan {
    let mut stages = serde_json::Map::new();
    let names: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
    for (index, name) in names.iter().enumerate() {
        let needs: BTreeSet<&String> = edges
            .iter()
            .filter(|(to, from)| to % 8 == index && from % 8 < index)
            .map(|(_, from)| &names[from % 8])
            .collect();
        let mut stage = json!({ "image": "i:1", "run": "true", "needs": needs, "timeout": "1m",
            "retry": { "max": retries, "when": ["failure"] } });
        if let Some(by) = told_by(index, &needs) {
            stage["matrix"] = format!("${{{{ fromJSON(stages.{by}.outputs.matrix) }}}}").into();
            stage["max_parallel"] = 2.into();
            stage["fail_fast"] = (index % 4 == 1).into();
        }
        stages.insert(name.clone(), stage);
    }
    for (name, need) in [("one", "s7"), ("two", "s3")] {
        stages.insert(
            format!("deploy-{name}"),
            json!({ "needs": [need], "deploy": { "environment": "production", "image": "r/shop@sha256:1",
                    "compose": { "file": "c.yml", "project": "p" } }, "timeout": "1m" }),
        );
        stages.insert(
            format!("smoke-{name}"),
            json!({ "needs": [format!("deploy-{name}")], "timeout": "1m",
                    "smoke": { "environment": "production", "checks": [{ "url": "http://x/" }] } }),
        );
    }
    plan(&json!({ "name": "p", "on": { "push": { "branches": ["main"] } }, "stages": stages }).to_string())
}

/// Makes the first stages those of one matrix.
fn put_into_matrix(plan: &mut Plan, size: usize, max_parallel: Option<u32>, fail_fast: bool) {
    let run = |stage: &&mut StagePlan| matches!(stage.verb, Verb::Run(_));
    for (index, stage) in (0..).zip(plan.stages.iter_mut().filter(run).take(size)) {
        stage.name = "matrix".to_owned();
        let total = u32::try_from(size).unwrap();
        stage.strategy = Some(Strategy { index, total, fail_fast, max_parallel });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_run_comes_to_an_honest_end(
        edges in proptest::collection::vec((0usize..8, 0usize..8), 0..14),
        retries in 1u32..4,
        approvals in 0i32..2,
        has_previous: bool,
        matrix in proptest::option::of((2usize..8, proptest::option::of(1u32..4), any::<bool>())),
        open in any::<u8>(),
        choices in proptest::collection::vec(any::<u8>(), 120),
    ) {
        // Stages of a told matrix have no single output, so those with an even number tell.
        let told_by = |index: usize, needs: &BTreeSet<&String>| {
            let told = matrix.is_none() && index % 2 == 1 && open & (1 << index) != 0;
            let even = |name: &&&String| name.ends_with(['0', '2', '4', '6']);
            needs.iter().find(even).filter(|_| told).map(|name| (**name).clone())
        };
        let mut plan = pipeline_with(&edges, retries, told_by);
        if let Some((size, max_parallel, fail_fast)) = matrix {
            put_into_matrix(&mut plan, size, max_parallel, fail_fast);
        }
        let mut world = World::new(&plan, approvals, has_previous);
        let mut cancelled = false;
        for choice in choices.iter().cycle().take(2000) {
            world.settle();
            if world.facts.status.is_final() {
                break;
            }
            let of = |status: StageStatus| -> Vec<StageId> {
                world.facts.stages.iter().filter(|stage| stage.status == status).map(|stage| stage.id).collect()
            };
            let (queued, running, gated) = (of(StageStatus::Queued), of(StageStatus::Running), of(StageStatus::Gated));
            let unknown = of(StageStatus::Unknown);
            let pick = |list: &[StageId]| list[usize::from(*choice) % list.len()];
            if *choice == 7 && !cancelled {
                world.facts.cancel_requested = Some("dora".to_owned());
                cancelled = true;
            } else if !queued.is_empty() && choice % 2 == 0 {
                world.take(pick(&queued));
            } else if !running.is_empty() {
                let id = pick(&running);
                let stopping = world.stage(id).cancel_requested;
                let told = ["[1, 2, 3]", "[1]", "[]", "[1, 1]", "nonsense"][usize::from(*choice) % 5];
                let ended = match choice % 16 {
                    _ if stopping => AttemptStatus::Cancelled,
                    1 | 2 => AttemptStatus::Failed,
                    3 => AttemptStatus::Lost,
                    _ => AttemptStatus::Succeeded,
                };
                world.end_telling(id, ended, told);
            } else if !gated.is_empty()
                && queued.is_empty()
                && let Some(gate) = world.stage(pick(&gated)).gate.as_mut()
            {
                (gate.status, gate.approvals) = match choice % 8 {
                    0 => (GateStatus::Rejected, 0),
                    _ => (GateStatus::Approved, 1),
                };
            } else if let [lost, ..] = unknown[..] {
                // The rest waits until somebody says how it ended.
                world.stage(lost).status =
                    if choice % 2 == 0 { StageStatus::Failed } else { StageStatus::Succeeded };
            }
        }
        world.settle();
        let facts = &world.facts;
        prop_assert!(facts.status.is_final(), "stuck: {:?}", facts.stages.iter().map(|s| (s.key(), s.status, &s.reason)).collect::<Vec<_>>());
        let bad = facts.stages.iter().any(|stage| matches!(stage.status, StageStatus::Failed | StageStatus::Unknown));
        prop_assert!(!(bad && facts.status == RunStatus::Succeeded), "a red run is never green");
        prop_assert!(bad || cancelled || facts.status != RunStatus::Failed);
        for one in &facts.deployments {
            // What failed went back, where there was something to go back to and the way back did not fail itself.
            if one.status == DeploymentStatus::Failed && one.previous.is_some() && one.rollback_of.is_none() {
                let tried = facts.stages.iter().filter(|stage| stage.rollback_of == Some(one.id)).count();
                prop_assert_eq!(tried, 1);
            }
            let twice = world.handed_out.iter().filter(|id| **id == one.stage).count();
            prop_assert_eq!(twice, 1, "a deployment is handed out once");
        }
    }
}

#[test]
fn a_run_behind_another_of_its_group_says_so_once() {
    let mut world = World::new(&pipeline(&[], 1), 0, false);
    world.facts.status = RunStatus::Pending;
    world.facts.behind = Some(3);
    world.settle();
    assert_eq!(world.facts.reason.as_deref(), Some("waits for run 3 of its concurrency group"));
    world.facts.behind = None;
    world.settle();
    assert_eq!(world.facts.status, RunStatus::Running);
}

#[test]
fn an_older_run_does_not_overtake_a_newer_one() {
    let mut world = World::new(&pipeline(&[], 1), 1, false);
    let first = world.run_stages();
    world.settle();
    for id in first {
        world.take(id);
        world.end(id, AttemptStatus::Succeeded);
    }
    world.settle();
    world.facts.environments.get_mut("production").unwrap().current_run = Some(2);
    world.settle();
    let deploy = world.facts.stages.iter().find(|stage| stage.plan.name == "deploy-one").unwrap();
    assert_eq!(deploy.status, StageStatus::Failed);
    assert!(deploy.reason.as_deref().unwrap().contains("run 2 deployed"));
}

#[test]
fn a_frozen_environment_holds_deployments_and_shows_why() {
    let mut world = World::new(&pipeline(&[], 1), 0, false);
    world.facts.environments.get_mut("production").unwrap().frozen = Some("stocktaking".to_owned());
    let ids = world.run_stages();
    world.settle();
    for id in ids {
        world.take(id);
        world.end(id, AttemptStatus::Succeeded);
    }
    world.settle();
    let deploy = world.facts.stages.iter().find(|stage| stage.plan.name == "deploy-one").unwrap();
    assert_eq!(deploy.status, StageStatus::Blocked);
    assert!(deploy.reason.as_deref().unwrap().contains("frozen: stocktaking"));
}

#[test]
fn stages_of_a_matrix_wait_for_each_other_and_say_so() {
    let mut plan = pipeline(&[], 1);
    put_into_matrix(&mut plan, 4, Some(2), true);
    let mut world = World::new(&plan, 0, false);
    world.settle();
    let ids = world.run_stages();
    let of = |world: &World, index: usize| {
        let stage = world.facts.stages.iter().find(|stage| stage.id == ids[index]).unwrap();
        (stage.id, stage.status, stage.reason.clone().unwrap_or_default())
    };
    assert_eq!(of(&world, 1).1, StageStatus::Queued);
    assert_eq!(
        (of(&world, 2).1, of(&world, 2).2.as_str()),
        (StageStatus::Blocked, "waits: 2 of 2 of its matrix are at work")
    );
    world.take(of(&world, 0).0);
    world.take(of(&world, 1).0);
    world.end(of(&world, 0).0, AttemptStatus::Succeeded);
    world.settle();
    assert_eq!((of(&world, 2).1, of(&world, 3).1), (StageStatus::Queued, StageStatus::Blocked));
    // One fails: what waits is cancelled, what is at work is asked to stop.
    world.end(of(&world, 1).0, AttemptStatus::Failed);
    world.take(of(&world, 2).0);
    world.settle();
    assert!(world.stage(ids[2]).cancel_requested);
    let (_, status, reason) = of(&world, 3);
    assert_eq!(
        (status, reason.as_str()),
        (StageStatus::Cancelled, "`s1` of its matrix failed, which stops the others")
    );
    world.end(of(&world, 2).0, AttemptStatus::Cancelled);
    world.settle();
    assert_eq!(of(&world, 2).1, StageStatus::Cancelled);
}

/// `first` tells the matrices of two others, of which one is needed by a third; `last` comes after all.
fn told() -> World {
    let stage = |needs: &[&str], matrix: Option<&str>| {
        let mut stage = json!({ "image": "i:1", "run": "true", "needs": needs });
        if let Some(output) = matrix {
            stage["matrix"] = format!("${{{{ fromJSON(stages.first.outputs.{output}) }}}}").into();
        }
        stage
    };
    let mut one = stage(&["first"], Some("matrix"));
    (one["max_parallel"], one["fail_fast"]) = (1.into(), true.into());
    let stages = json!({
        "first": stage(&[], None), "one": one, "two": stage(&["first"], Some("matrix")),
        "three": stage(&["first", "one"], Some("other")), "last": stage(&["one", "two", "three"], None),
    });
    let text = json!({ "name": "p", "on": "push", "stages": stages }).to_string();
    let mut world = World::new(&plan(&text), 0, false);
    world.settle();
    world
}

impl World {
    fn keyed(&self, key: &str) -> &StageFacts {
        let found = self.facts.stages.iter().find(|stage| stage.key().0 == key);
        found.unwrap_or_else(|| panic!("no `{key}` among {:?}", self.keys()))
    }

    fn keys(&self) -> Vec<&str> {
        self.facts.stages.iter().map(|stage| stage.key().0.as_str()).collect()
    }

    fn run_to(&mut self, key: &str, status: AttemptStatus) {
        let id = self.keyed(key).id;
        self.take(id);
        self.end(id, status);
        self.settle();
    }
}

#[test]
fn stages_that_an_earlier_one_tells_take_the_place_of_the_one_that_stood_for_them() {
    let mut world = told();
    world.facts.stages[0].outputs.insert("other".to_owned(), r#"["x"]"#.to_owned());
    world.run_to("first", AttemptStatus::Succeeded);
    let one = ["one (value=1)", "one (value=2)", "one (value=3)"];
    let two = ["two (value=1)", "two (value=2)", "two (value=3)"];
    assert_eq!(world.keys(), [&["first"][..], &one, &two, &["three", "last"]].concat());
    let statuses: Vec<_> = one.iter().map(|key| world.keyed(key).status).collect();
    assert_eq!(statuses, [StageStatus::Queued, StageStatus::Blocked, StageStatus::Blocked], "one at a time");
    assert!(two.iter().all(|key| world.keyed(key).status == StageStatus::Queued));
    let needs =
        |key: &str| world.keyed(key).plan.needs.iter().map(|need| need.stage.0.as_str()).collect::<Vec<_>>();
    assert_eq!(needs("three"), [&["first"][..], &one].concat());
    assert_eq!(needs("last"), [&one[..], &two, &["three"]].concat());
    for key in one {
        world.run_to(key, AttemptStatus::Succeeded);
    }
    assert_eq!(world.keyed("three (value=x)").status, StageStatus::Queued);
    world.run_to("three (value=x)", AttemptStatus::Succeeded);
    for key in two {
        assert_eq!(world.keyed("last").status, StageStatus::Blocked);
        world.run_to(key, AttemptStatus::Succeeded);
    }
    world.run_to("last", AttemptStatus::Succeeded);
    assert_eq!(world.facts.status, RunStatus::Succeeded);
}

#[test]
fn the_failure_of_a_told_stage_stops_the_others_of_its_matrix() {
    let mut world = told();
    world.run_to("first", AttemptStatus::Succeeded);
    world.run_to("one (value=1)", AttemptStatus::Failed);
    let stopped = world.keyed("one (value=3)");
    assert_eq!(stopped.status, StageStatus::Cancelled);
    assert!(stopped.reason.as_deref().unwrap().contains("`one (value=1)` of its matrix failed"));
    assert_eq!(world.keyed("three").status, StageStatus::Skipped, "it is not told what it stands for");
    assert_eq!(world.keyed("two (value=2)").status, StageStatus::Queued);
}

#[test]
fn a_matrix_that_is_told_badly_fails_and_an_empty_one_is_skipped_with_the_reason() {
    for (told, status, why) in [
        ("[]", StageStatus::Skipped, "its matrix is empty"),
        ("3", StageStatus::Failed, "a matrix is a mapping or list"),
        ("[1, 1]", StageStatus::Failed, "`one (value=1)` twice"),
    ] {
        let mut world = self::told();
        world.take(world.keyed("first").id);
        world.end_telling(world.keyed("first").id, AttemptStatus::Succeeded, told);
        world.settle();
        let one = world.keyed("one");
        assert_eq!(one.status, status);
        assert!(one.reason.as_deref().unwrap().contains(why), "{:?}", one.reason);
        assert_eq!(world.keyed("last").status, StageStatus::Skipped);
    }
}

#[test]
fn a_run_does_not_grow_beyond_its_bounds() {
    let many: String = serde_json::to_string(&(0..250).collect::<Vec<_>>()).unwrap();
    let names: Vec<String> = (0..5).map(|n| format!("m{n}")).collect();
    let mut stages = json!({ "first": { "image": "i:1", "run": "true" } });
    for name in &names {
        stages[name] = json!({ "image": "i:1", "run": "true", "needs": ["first"],
            "matrix": "${{ fromJSON(stages.first.outputs.matrix) }}" });
    }
    let text = json!({ "name": "p", "on": "push", "stages": stages }).to_string();
    let mut world = World::new(&plan(&text), 0, false);
    world.settle();
    world.take(world.keyed("first").id);
    world.end_telling(world.keyed("first").id, AttemptStatus::Succeeded, &many);
    world.settle();
    // All five were decided upon at once.
    let failed: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| world.keys().contains(name)).collect();
    assert_eq!(failed, ["m3", "m4"]);
    assert_eq!(world.facts.stages.len(), 1 + 3 * 250 + 2);
    for name in failed {
        let stage = world.keyed(name);
        assert_eq!(stage.status, StageStatus::Failed);
        assert!(stage.reason.as_deref().unwrap().contains("more than 1000"), "{:?}", stage.reason);
    }
}
