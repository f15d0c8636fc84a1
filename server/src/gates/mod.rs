//! Gates: who lets a deployment through.
//!
//! A gate opens when its stage's turn has come ([`crate::schedule`]). A decision, what follows from it and the stage's
//! being queued are one transaction under the run's lock: of a thousand people who press the button at once, exactly
//! as many count as are needed, and the stage is queued once.

use serde::Deserialize;
use serde_json::json;
use tidegate_protocol::{
    ids::GateId,
    status::{GateStatus, StageStatus},
};
use utoipa::ToSchema;

use crate::{
    actor::{Actor, Role},
    app::App,
    error::Error,
    schedule,
};

mod read;
pub mod rules;

pub(crate) use read::of_run;
pub use read::{get, list};
use rules::{ApprovalRules, Decider, may_decide};

/// What a person says at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No; final.
    Reject,
}

impl Verdict {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

/// Records a person's decision and does what follows from it, in one transaction.
pub async fn decide(
    app: &App,
    gate: GateId,
    verdict: Verdict,
    comment: &str,
    actor: &Actor,
) -> Result<GateStatus, Error> {
    let run = app.db.run_of_gate(gate).await?;
    let mut tx = app.db.begin().await?;
    let run = tx.lock_run(run).await?;
    let row = tx.gate(gate).await?;
    if row.status != GateStatus::Open || row.overdue {
        let word = if row.status == GateStatus::Open { "overdue" } else { row.status.as_str() };
        return Err(Error::Refused(format!("the gate is no longer open: it is {word}")));
    }
    let stage = tx.stage(row.stage_id).await?;
    if stage.status != StageStatus::Gated {
        return Err(Error::Refused(format!("the stage `{}` does not wait any more", stage.key)));
    }
    // The role counts that the person has now, not the one that the session began with.
    let (role, disabled) = tx.standing(actor.user).await?.ok_or(Error::NotFound("user"))?;
    let role: Role = role.parse()?;
    let now = Actor { role, ..actor.clone() };
    let environment = tx.environment_row(row.environment_id).await?;
    let decided: Vec<String> = tx.decisions(gate).await?.into_iter().map(|one| one.username).collect();
    let rules = ApprovalRules {
        approver_role: environment.approver_role.parse()?,
        approvers: &environment.approvers,
        allow_self_approval: environment.allow_self_approval,
    };
    let person = Decider { username: &actor.username, role, disabled };
    may_decide(rules, person, &tx.caused_by(run.id).await?, &decided).map_err(Error::Forbidden)?;
    if !tx.insert_decision(gate, &now, verdict.as_str(), comment).await? {
        return Err(Error::Refused(format!("{} has decided at this gate already", actor.username)));
    }
    let said = if comment.trim().is_empty() { String::new() } else { format!(": {}", comment.trim()) };
    let (word, status) = match verdict {
        Verdict::Reject => {
            let reason = format!("rejected by {}{said}", actor.username);
            tx.move_gate(gate, GateStatus::Open, GateStatus::Rejected, Some(&reason)).await?;
            ("rejected", GateStatus::Rejected)
        }
        Verdict::Approve if row.approvals + 1 >= i64::from(row.required_approvals) => {
            let reason = format!("approved by {}", actor.username);
            tx.move_gate(gate, GateStatus::Open, GateStatus::Approved, Some(&reason)).await?;
            ("approved", GateStatus::Approved)
        }
        Verdict::Approve => ("approved", GateStatus::Open),
    };
    let message = format!("{} {word} {}{said}", actor.username, stage.key);
    let detail =
        json!({ "gate": gate, "by": actor.username, "environment": environment.name, "image": row.image });
    tx.event(run.id, Some(&stage.key), &format!("gate.{word}"), &message, detail.clone()).await?;
    let subject = format!("run {} {}", run.number, stage.key);
    schedule::advance(&mut tx, run.id).await?;
    tx.audit(&actor.username, &format!("gate.{word}"), &subject, detail).await?;
    tx.commit().await?;
    Ok(status)
}
