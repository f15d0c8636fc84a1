//! The guard in front of every deployment: whatever made its stage ready, it is looked at once more when a runner
//! asks for it, under the environment's lock. What was approved is what is deployed, by people who still may.

use tidegate_pipelines::plan::Verb;
use tidegate_protocol::{ids::GateId, status::StageStatus};

use crate::{
    error::Error,
    gates::rules::{ApprovalRules, Decider, may_decide},
    schedule,
    store::{EnvironmentRow, GateRow, RunRow, StageRow, Tx},
};

/// What the guard found.
enum Found {
    Clear,
    /// Later, perhaps; an approval stays good.
    Wait(String),
    /// Not with this approval.
    Void(String),
    /// Never.
    End(String),
}

/// Whether a queued stage may be handed out now. `Err(reason)`: it may not, and the guard has put it back or ended
/// it in this transaction. The run is locked.
pub async fn claim_guard(tx: &mut Tx, run: &RunRow, stage: &StageRow) -> Result<Result<(), String>, Error> {
    // A smoke test changes nothing; what has no environment has no rules.
    if stage.plan.environment().is_none() || matches!(stage.plan.verb, Verb::Smoke(_)) {
        return Ok(Ok(()));
    }
    let gate = tx.consumed_gate(stage.id).await?;
    let reason = match look(tx, run, stage, gate.as_ref()).await? {
        Found::Clear => return Ok(Ok(())),
        Found::Wait(reason) => {
            if let Some(gate) = gate {
                tx.consume_gate(gate.id, false).await?;
            }
            put_back(tx, run, stage, &reason).await?;
            reason
        }
        Found::Void(reason) => {
            tx.void_gates(stage.id, &reason).await?;
            put_back(tx, run, stage, &reason).await?;
            reason
        }
        Found::End(reason) => {
            schedule::end_stage(tx, run, stage, StageStatus::Failed, Some(&reason)).await?;
            reason
        }
    };
    schedule::advance(tx, run.id).await?;
    Ok(Err(reason))
}

async fn look(tx: &mut Tx, run: &RunRow, stage: &StageRow, gate: Option<&GateRow>) -> Result<Found, Error> {
    let name = stage.environment.clone().unwrap_or_default();
    let deploys = matches!(stage.plan.verb, Verb::Deploy(_));
    let Some(environment) = tx.lock_environment(run.repository_id, &name).await? else {
        return Ok(match (stage.plan.expressions.is_strict(), gate) {
            // Nobody has set it up, so it has no rules.
            (false, None) => Found::Clear,
            _ => Found::End(format!("the environment `{name}` is gone")),
        });
    };
    if deploys
        && let Some(reason) =
            schedule::goes_first(&environment.occupants, stage.id, stage.rollback_of.is_some())
    {
        return Ok(Found::Wait(reason));
    }
    if stage.rollback_of.is_some() {
        return Ok(Found::Clear);
    }
    if deploys && let Some(reason) = schedule::overtaken(run.number, &name, environment.current_run) {
        return Ok(Found::End(reason));
    }
    if let Some(reason) = &environment.frozen_reason {
        return Ok(Found::Wait(format!("the environment is frozen: {reason}")));
    }
    if let Some(reason) = schedule::not_from_here(&run.event.git, &name, &environment.branches) {
        return Ok(Found::End(reason));
    }
    let Some(gate) = gate else {
        return Ok(match environment.required_approvals {
            0 => Found::Clear,
            _ => Found::Void(format!("`{name}` asks for approval since its rules changed")),
        });
    };
    if gate.sha != run.sha || Some(&gate.plan_digest) != run.plan_digest.as_ref() {
        return Ok(Found::Void("the approval was for another commit or plan".to_owned()));
    }
    // Stages may be added to a run, and the run's digest is that of the plan as it was compiled: what binds an approval
    // to this very stage is the digest of the stage's own plan. Nothing that is added can change that, and a stage that
    // is replaced takes its gate with it.
    if gate.stage_digest.as_ref().is_some_and(|approved| *approved != stage.digest()) {
        return Ok(Found::Void("the approval was for other commands of this stage".to_owned()));
    }
    let stages = tx.stages(run.id).await?;
    let image = match schedule::resolve(tx, run, &stages, stage).await? {
        Ok(resolved) => schedule::subject(&resolved.verb, &run.sha),
        Err(error) => return Ok(Found::End(format!("its image cannot be told: {error}"))),
    };
    if gate.image != image {
        return Ok(Found::Void(format!("the approval was for {}, and this is {image}", gate.image)));
    }
    let good = good_approvals(tx, run, gate.id, &environment).await?;
    let wanted = gate.required_approvals.max(environment.required_approvals);
    if good < wanted {
        return Ok(Found::Void(format!(
            "{good} of {wanted} approvals are still good: an approver's rights or the rules changed"
        )));
    }
    Ok(Found::Clear)
}

/// The approvals by people who may approve now.
async fn good_approvals(
    tx: &mut Tx,
    run: &RunRow,
    gate: GateId,
    environment: &EnvironmentRow,
) -> Result<i32, Error> {
    let rules = ApprovalRules {
        approver_role: environment.approver_role.parse()?,
        approvers: &environment.approvers,
        allow_self_approval: environment.allow_self_approval,
    };
    let caused_by = tx.caused_by(run.id).await?;
    let mut good = 0;
    for decision in tx.decisions(gate).await?.into_iter().filter(|one| one.verdict == "approve") {
        let role = decision.role_now.parse()?;
        let person = Decider { username: &decision.username, role, disabled: decision.disabled_now };
        good += i32::from(may_decide(rules, person, &caused_by, &[]).is_ok());
    }
    Ok(good)
}

async fn put_back(tx: &mut Tx, run: &RunRow, stage: &StageRow, reason: &str) -> Result<(), Error> {
    tx.move_stage(stage.id, StageStatus::Queued, StageStatus::Gated, Some(reason)).await?;
    let message = format!("{} {reason}", stage.key);
    tx.event(run.id, Some(&stage.key), "stage.held", &message, serde_json::json!({})).await
}
