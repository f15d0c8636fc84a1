//! What is to be done next about a run. Pure: the same facts always give the same actions, in the same order, and
//! doing them and asking again ends, because every action moves something forward or says something new.
//!
//! The order matters: deployments follow their stages first, rollbacks are added before the run can end, and the
//! run ends last, when nothing else is left to do.

use tidegate_pipelines::{
    Patterns, Places,
    event::{EventKind, GitFacts},
    plan::Verb,
    render_template,
};
use tidegate_protocol::status::{GateStatus, RunStatus, StageStatus};

use super::{
    action::Action,
    deployments,
    expand::Making,
    facts::{Facts, GateFacts, StageFacts, Surroundings, goes_first},
    groups::{self, Word},
    needs::{Turn, turn},
};

/// Decides.
pub fn decide(facts: &Facts) -> Vec<Action> {
    if facts.status.is_final() {
        return Vec::new();
    }
    if facts.status == RunStatus::Pending && facts.cancel_requested.is_none() {
        return match facts.behind {
            None => vec![Action::MoveRun { to: RunStatus::Running, reason: None }],
            Some(number) => explain_run(facts, format!("waits for run {number} of its concurrency group")),
        };
    }
    let mut actions = deployments::follow(facts);
    actions.extend(groups::left(facts));
    let mut places = facts.places();
    let mut making = Making::new(facts);
    for stage in &facts.stages {
        // What puts something back is finished even when the run is cancelled, unless that is all that the run does.
        let stoppable = stage.rollback_of.is_none() || facts.base.event.kind == EventKind::Rollback;
        let action = match (&facts.cancel_requested, failed_fast(&places, stage)) {
            (Some(by), _) if stoppable => stop(stage, format!("cancelled by {by}"), false),
            (_, Some(reason)) => stop(stage, reason, true),
            _ => match stage.status {
                StageStatus::Blocked => match turn(facts, stage) {
                    Turn::NotYet => None,
                    Turn::Never(reason) => Some(end(stage, StageStatus::Skipped, reason)),
                    Turn::Broken(reason) => Some(end(stage, StageStatus::Failed, reason)),
                    Turn::Come if stage.plan.is_open() => Some(making.made(stage)),
                    Turn::Come => in_its_place(facts, stage, &mut places),
                },
                StageStatus::Gated => in_its_place(facts, stage, &mut places),
                _ => None,
            },
        };
        actions.extend(action);
    }
    if actions.is_empty() { conclude(facts) } else { actions }
}

/// What puts something back stands for itself.
fn failed_fast(places: &Places<'_>, stage: &StageFacts) -> Option<String> {
    if stage.rollback_of.is_some() { None } else { places.failed_fast(&stage.plan) }
}

/// As [`go`], but a stage is queued only while its matrices have a place, and when its turn in its concurrency groups has
/// come.
fn in_its_place(facts: &Facts, stage: &StageFacts, places: &mut Places<'_>) -> Option<Action> {
    let mut action = go(facts, stage)?;
    let Action::Queue { environment, begins, .. } = &mut action else { return Some(action) };
    if let Some(full) = places.full(&stage.plan).filter(|_| stage.rollback_of.is_none()) {
        return held(stage, environment.clone(), full.to_string());
    }
    match groups::ask(facts, stage, environment.as_deref()) {
        Word::Go(calls) => *begins = calls,
        Word::Wait(reason) => return held(stage, environment.clone(), reason),
        Word::First(action) => return Some(action),
    }
    if stage.rollback_of.is_none() {
        places.take(&stage.plan);
    }
    Some(action)
}

fn end(stage: &StageFacts, to: StageStatus, reason: String) -> Action {
    Action::End { stage: stage.id, to, reason }
}

/// `tell`: a stage that is at work says why it is to stop.
fn stop(stage: &StageFacts, reason: String, tell: bool) -> Option<Action> {
    match stage.status {
        StageStatus::Blocked | StageStatus::Gated | StageStatus::Queued => {
            Some(end(stage, StageStatus::Cancelled, reason))
        }
        StageStatus::Running if !stage.cancel_requested => {
            Some(Action::Stop { stage: stage.id, reason: tell.then_some(reason) })
        }
        _ => None,
    }
}

/// What a stage whose turn has come does: it is queued, or waits at its gate or for its environment.
fn go(facts: &Facts, stage: &StageFacts) -> Option<Action> {
    let Some(template) = stage.plan.environment() else { return Some(queue(facts, stage, None, None)) };
    let name = match render_template(template, Some(&stage.plan), &facts.context(&stage.plan, None)) {
        Ok(name) => name,
        Err(error) => {
            return Some(end(stage, StageStatus::Failed, format!("its environment cannot be told: {error}")));
        }
    };
    let lenient = !stage.plan.expressions.is_strict();
    if lenient && name.trim().is_empty() {
        return Some(queue(facts, stage, None, None));
    }
    let Some(environment) = facts.environments.get(&name) else {
        if lenient {
            // As in Actions: an environment that nobody has set up has no rules, and no secrets either.
            return Some(queue(facts, stage, Some(name), None));
        }
        return Some(end(
            stage,
            StageStatus::Failed,
            format!(
                "there is no environment `{name}`: add it with `tidegate env set {} {name}`, then run this again",
                facts.base.event.repository
            ),
        ));
    };
    if matches!(stage.plan.verb, Verb::Smoke(_)) {
        return Some(queue(facts, stage, Some(name), None));
    }
    if stage.rollback_of.is_some() {
        return Some(match hold(stage, environment) {
            Some(reason) => return held(stage, Some(name), reason),
            None => queue(facts, stage, Some(name), None),
        });
    }
    let overtaken = || match &stage.plan.verb {
        Verb::Deploy(_) => overtaken(facts.number, &name, environment.current_run),
        _ => None,
    };
    if let Some(reason) = not_from_here(&facts.base.git, &name, &environment.branches).or_else(overtaken) {
        return Some(end(stage, StageStatus::Failed, reason));
    }
    let needs_gate = environment.required_approvals > 0 || environment.wait_seconds > 0;
    // A stage that starts over does not wait at a gate yet: the one it had, even a rejection, was for the time before.
    let gate = stage.gate.as_ref().filter(|gate| stage.status == StageStatus::Gated && !gate.consumed);
    match (needs_gate, gate) {
        (_, Some(gate)) if gate.status != GateStatus::Voided => {
            at_gate(facts, stage, name, environment, gate)
        }
        (true, _) => Some(open_gate(facts, stage, name, environment)),
        (false, _) => match hold(stage, environment) {
            Some(reason) => held(stage, Some(name), reason),
            None => Some(queue(facts, stage, Some(name), None)),
        },
    }
}

/// What an approval is for, given the stage with its image literal: the image that is deployed, or, for commands that
/// deploy by themselves, the commit that they are taken from.
pub(crate) fn subject(verb: &Verb, sha: &str) -> String {
    match verb {
        Verb::Deploy(deploy) => deploy.image.0.clone(),
        _ => format!("commit {sha}"),
    }
}

/// Rules of the environment about where a deployment may come from.
pub fn not_from_here(git: &GitFacts, name: &str, branches: &[String]) -> Option<String> {
    if branches.is_empty() {
        return None;
    }
    let from = git.branch.as_deref().or(git.tag.as_deref()).unwrap_or(&git.reference);
    let patterns = Patterns::new(branches.iter().map(String::as_str));
    (!patterns.matches(from))
        .then(|| format!("`{name}` takes deployments only from {}, and this is {from}", branches.join(", ")))
}

/// A deployment that waited while a newer run was deployed would take the environment back in time.
pub(crate) fn overtaken(number: i64, name: &str, current_run: Option<i64>) -> Option<String> {
    let newer = current_run.filter(|current| *current > number)?;
    Some(format!(
        "`{name}` runs what run {newer} deployed, which is newer: run this again to deploy it, or roll back"
    ))
}

fn open_gate(facts: &Facts, stage: &StageFacts, name: String, environment: &Surroundings) -> Action {
    let image = match &stage.plan.verb {
        Verb::Deploy(deploy) => {
            render_template(&deploy.image, Some(&stage.plan), &facts.context(&stage.plan, Some(&name)))
        }
        verb => Ok(subject(verb, &facts.base.git.sha)),
    };
    match image {
        Ok(image) => Action::OpenGate {
            stage: stage.id,
            environment: environment.id,
            name,
            image,
            required: environment.required_approvals,
        },
        Err(error) => end(stage, StageStatus::Failed, format!("its image cannot be told: {error}")),
    }
}

fn at_gate(
    facts: &Facts,
    stage: &StageFacts,
    name: String,
    environment: &Surroundings,
    gate: &GateFacts,
) -> Option<Action> {
    match gate.status {
        GateStatus::Rejected | GateStatus::Expired => {
            let reason = gate.reason.clone().unwrap_or_else(|| format!("its gate was {}", gate.status));
            Some(end(stage, StageStatus::Failed, reason))
        }
        GateStatus::Open if gate.overdue => Some(Action::ExpireGate { gate: gate.id, stage: stage.id }),
        GateStatus::Open if gate.required == 0 && gate.ready => {
            Some(Action::PassGate { gate: gate.id, stage: stage.id })
        }
        GateStatus::Open if gate.required == 0 => held(stage, Some(name), "waits for its timer".to_owned()),
        GateStatus::Open => {
            held(stage, Some(name), format!("waits for approval: {} of {}", gate.approvals, gate.required))
        }
        GateStatus::Approved if !gate.ready => {
            held(stage, Some(name), "approved; waits for its timer".to_owned())
        }
        GateStatus::Approved => match hold(stage, environment) {
            Some(reason) => held(stage, Some(name), format!("approved; {reason}")),
            None => Some(queue(facts, stage, Some(name), Some(gate))),
        },
        GateStatus::Voided => None,
    }
}

/// What keeps a deployment from an environment just now. Commands that deploy by themselves change nothing that is
/// recorded there, so they do not take turns.
fn hold(stage: &StageFacts, environment: &Surroundings) -> Option<String> {
    if let Some(reason) = environment.frozen.as_ref().filter(|_| stage.rollback_of.is_none()) {
        return Some(format!("the environment is frozen: {reason}"));
    }
    if !matches!(stage.plan.verb, Verb::Deploy(_)) {
        return None;
    }
    goes_first(&environment.occupants, stage.id, stage.rollback_of.is_some())
}

/// Says so, once.
fn held(stage: &StageFacts, environment: Option<String>, reason: String) -> Option<Action> {
    let known = stage.reason.as_deref() == Some(&reason);
    (!known).then_some(Action::Hold { stage: stage.id, environment, reason })
}

fn queue(facts: &Facts, stage: &StageFacts, environment: Option<String>, gate: Option<&GateFacts>) -> Action {
    let same = stage.plan.same_runner_as.as_ref();
    Action::Queue {
        stage: stage.id,
        environment,
        pinned: same.and_then(|key| facts.runners.get(key).copied()),
        gate: gate.map(|gate| gate.id),
        begins: Vec::new(),
    }
}

/// Where the run is when there is nothing to do about its stages.
fn conclude(facts: &Facts) -> Vec<Action> {
    let any = |status: StageStatus| facts.stages.iter().any(|stage| stage.status == status);
    if facts.stages.iter().all(|stage| stage.status.is_final()) {
        let (to, reason) = result(facts);
        // Only a run that is at work ends.
        return vec![Action::MoveRun { to, reason }];
    }
    let at_work = facts.stages.iter().any(|stage| stage.status.is_at_work());
    let to = if at_work || !any(StageStatus::Gated) { RunStatus::Running } else { RunStatus::Waiting };
    if facts.status == to {
        return Vec::new();
    }
    let reason = (to == RunStatus::Waiting).then(|| {
        let waits = facts.stages.iter().filter(|stage| stage.status == StageStatus::Gated);
        let keys: Vec<String> = waits.map(|stage| format!("`{}`", stage.key())).collect();
        format!("waits at the gate of {}", keys.join(", "))
    });
    vec![Action::MoveRun { to, reason }]
}

/// How a run ended, all of whose stages have. A rollback that went well does not make it green.
fn result(facts: &Facts) -> (RunStatus, Option<String>) {
    let all = |wanted: &[StageStatus]| {
        let hits = facts.stages.iter().filter(|stage| wanted.contains(&stage.status));
        hits.filter(|stage| !deployments::is_history(facts, stage))
            .map(|stage| format!("`{}`", stage.key()))
            .collect::<Vec<_>>()
    };
    let failed = all(&[StageStatus::Failed, StageStatus::Unknown]);
    if let Some(by) = &facts.cancel_requested {
        return (RunStatus::Cancelled, Some(format!("cancelled by {by}")));
    }
    if !failed.is_empty() {
        let back = facts.deployments.iter().any(|one| deployments::is_back(facts, one));
        let tail = if back { "; what ran before was put back" } else { "" };
        return (RunStatus::Failed, Some(format!("{} failed{tail}", failed.join(", "))));
    }
    let cancelled = all(&[StageStatus::Cancelled]);
    if !cancelled.is_empty() {
        return (RunStatus::Cancelled, Some(format!("{} was cancelled", cancelled.join(", "))));
    }
    let warned = all(&[StageStatus::Warned]);
    if !warned.is_empty() {
        return (RunStatus::Warned, Some(format!("{} failed, which was allowed", warned.join(", "))));
    }
    (RunStatus::Succeeded, None)
}

fn explain_run(facts: &Facts, reason: String) -> Vec<Action> {
    if facts.reason.as_deref() == Some(&reason) { Vec::new() } else { vec![Action::ExplainRun { reason }] }
}
