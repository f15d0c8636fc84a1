//! Reads the facts that a decision is made from, under the run's lock.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_pipelines::{Context, event::EventKind, plan::Plan};
use tidegate_protocol::{
    ids::StageId,
    status::{RunStatus, StageStatus},
};

use super::{
    facts::{CallTurn, DeploymentFacts, Facts, GateFacts, GroupTurn, StageFacts, Surroundings},
    lenient::Lenient,
};
use crate::{
    error::Error,
    store::{CallGroup, DeploymentRow, EnvironmentRow, GateRow, RunRow, StageRow, Tx},
};

/// Reads everything about a run that is locked.
pub async fn gather(tx: &mut Tx, run: &RunRow, stages: &[StageRow]) -> Result<Facts, Error> {
    let behind = match (&run.concurrency_group, run.status) {
        (Some(group), RunStatus::Pending) => {
            tx.lock_group(run.repository_id, group).await?;
            let open = tx.open_runs_of_group(run.repository_id, group).await?;
            open.into_iter().map(|(_, number, _)| number).find(|number| *number < run.number)
        }
        _ => None,
    };
    let mut gates: BTreeMap<_, GateRow> =
        tx.newest_gates(run.id).await?.into_iter().map(|gate| (gate.stage_id, gate)).collect();
    let calls = plan_of(run)?.calls_with(stages.iter().map(|stage| &stage.plan));
    let asks = calls.iter().any(|call| call.concurrency.is_some());
    let in_groups = if asks { tx.call_groups(run.id).await? } else { Vec::new() };
    let mut turns = group_turns(tx, run, stages, in_groups).await?;
    let waits = |stage: &StageRow| matches!(stage.status, StageStatus::Blocked | StageStatus::Gated);
    let asks = stages.iter().any(|stage| waits(stage) && !stage.plan.expressions.is_strict());
    let lenient = if asks { Lenient::read(tx, run, stages, None).await? } else { None };
    let stages = stages
        .iter()
        .map(|row| stage_facts(row, gates.remove(&row.id), turns.stages.remove(&row.id)))
        .collect::<Vec<_>>();
    // Most runs never look at an environment: what costs queries is asked only where it matters.
    let deploys = stages.iter().any(|stage| stage.plan.environment().is_some());
    let environments = if deploys { tx.environments_of(run.repository_id).await? } else { Vec::new() };
    let deployments = if deploys { tx.deployments_of_run(run.id).await? } else { Vec::new() };
    let pins = stages.iter().any(|stage| stage.plan.same_runner_as.is_some());
    let runners = if pins { tx.last_runners(run.id).await? } else { BTreeMap::new() };
    Ok(Facts {
        number: run.number,
        status: run.status,
        reason: run.reason.clone(),
        cancel_requested: run.cancel_requested.clone(),
        behind,
        base: base_context(tx, run).await?,
        lenient,
        machines: plan_of(run)?.machines.clone(),
        stages,
        calls,
        call_groups: turns.calls,
        environments: environments.into_iter().map(surroundings).collect(),
        deployments: deployments.into_iter().map(deployment_facts).collect(),
        runners,
    })
}

/// The plan of a run that has one.
pub fn plan_of(run: &RunRow) -> Result<&Plan, Error> {
    run.plan.as_ref().ok_or_else(|| Error::internal(format!("run {} has stages and no plan", run.id)))
}

/// What the expressions of a run see, without stages and environment.
pub async fn base_context(tx: &mut Tx, run: &RunRow) -> Result<Context, Error> {
    let mut context = Context::new(plan_of(run)?, &run.event);
    // `event.release`, `event.dispatch` and `event.upstream` are read from what the forge said.
    if matches!(run.event.kind, EventKind::Release | EventKind::Dispatch | EventKind::Upstream) {
        context.event.payload = tx.payload(run.id).await?;
    }
    Ok(context)
}

/// Places in concurrency groups.
#[derive(Default)]
struct Turns {
    /// Of stages that wait.
    stages: BTreeMap<StageId, GroupTurn>,
    /// Of calls that have joined one.
    calls: BTreeMap<String, CallTurn>,
}

/// The places of what is in a concurrency group. Decisions about a group are made one after the other: its lock is held
/// until the end of the transaction. Names are locked in their order, so that two do not wait for each other.
async fn group_turns(
    tx: &mut Tx,
    run: &RunRow,
    stages: &[StageRow],
    calls: Vec<CallGroup>,
) -> Result<Turns, Error> {
    let mut turns = Turns::default();
    let waits = |stage: &&StageRow| matches!(stage.status, StageStatus::Blocked | StageStatus::Gated);
    let waiting = stages.iter().filter(waits);
    let mut groups: BTreeSet<String> = waiting.filter_map(|stage| stage.concurrency_group.clone()).collect();
    for call in calls {
        let group = call.concurrency_group;
        if call.at_work {
            turns.calls.insert(call.call, CallTurn { group, turn: GroupTurn::Holds });
        } else {
            groups.insert(group);
        }
    }
    for group in groups {
        tx.lock_group(run.repository_id, &format!("stages of {group}")).await?;
        let queue = tx.group_queue(run.repository_id, &group).await?;
        let working = queue.iter().find(|member| member.at_work);
        for (at, member) in queue.iter().enumerate().filter(|(_, member)| !member.at_work) {
            let before = working.or_else(|| queue.first().filter(|_| at > 0));
            let turn = match before {
                None => GroupTurn::First,
                Some(other) => GroupTurn::After(format!(
                    "waits for `{}` of run {}, which goes first in the concurrency group {group}",
                    other.key, other.run_number
                )),
            };
            if let Some(stage) = member.stage {
                turns.stages.insert(stage, turn);
            } else if let Some(call) = member.call.clone().filter(|_| member.run_id == run.id) {
                turns.calls.insert(call, CallTurn { group: group.clone(), turn });
            }
        }
    }
    Ok(turns)
}

fn stage_facts(row: &StageRow, gate: Option<GateRow>, turn: Option<GroupTurn>) -> StageFacts {
    StageFacts {
        id: row.id,
        plan: row.plan.clone(),
        status: row.status,
        reason: row.reason.clone(),
        has_begun: row.started_at.is_some(),
        outputs: row.outputs.clone(),
        rollback_of: row.rollback_of,
        cancel_requested: row.cancel_requested,
        turn,
        gate: gate.map(|gate| GateFacts {
            id: gate.id,
            status: gate.status,
            reason: gate.reason,
            consumed: gate.consumed_at.is_some(),
            ready: gate.ready,
            overdue: gate.overdue,
            required: gate.required_approvals,
            approvals: gate.approvals,
        }),
    }
}

fn surroundings(row: EnvironmentRow) -> (String, Surroundings) {
    let facts = Surroundings {
        id: row.id,
        url: row.url,
        required_approvals: row.required_approvals,
        wait_seconds: row.wait_seconds,
        branches: row.branches,
        frozen: row.frozen_reason,
        current_run: row.current_run,
        occupants: row.occupants,
    };
    (row.name, facts)
}

fn deployment_facts(row: DeploymentRow) -> DeploymentFacts {
    DeploymentFacts {
        id: row.id,
        stage: row.stage_id,
        status: row.status,
        previous: row.previous_id,
        rollback_of: row.rollback_of,
    }
}
