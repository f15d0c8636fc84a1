//! A stage that stands for others whose turn has come: which they are (pure), and that they take its place.
//!
//! The stage's row goes and theirs come, with all that names it, in the transaction of the decision: a crash undoes all
//! of it and it is decided anew, and afterwards there is no such stage to decide about. The run's own plan stays as it
//! was compiled, because approvals are for it; which stages a run has is told by their rows.

use serde_json::json;
use tidegate_pipelines::{
    made,
    plan::{Roll, StageKey, StagePlan, replace_stage},
};
use tidegate_protocol::status::StageStatus;

use super::{
    action::Action,
    facts::{Facts, StageFacts},
    gather::plan_of,
};
use crate::{
    error::Error,
    store::{RunRow, StageRow, Tx},
};

/// Keys that an event's sentence names; all are in its detail.
const NAMED: usize = 5;

/// The stages that one decision makes. Several may be made at once, and all of them count.
pub struct Making<'a> {
    facts: &'a Facts,
    roll: Option<Roll>,
}

impl<'a> Making<'a> {
    /// None yet.
    pub fn new(facts: &'a Facts) -> Self {
        Self { facts, roll: None }
    }

    /// What becomes of a stage that stands for others.
    pub fn made(&mut self, stage: &StageFacts) -> Action {
        let facts = self.facts;
        let find = |key: &StageKey| facts.stage(key).map(|found| &found.plan);
        let told = made(&stage.plan, find, &facts.context(&stage.plan, None), &facts.machines);
        let entered = told.map_err(|error| format!("its stages cannot be told: {error}")).and_then(|made| {
            let plans = || facts.stages.iter().map(|one| &one.plan);
            self.roll.get_or_insert_with(|| Roll::of(plans())).enter(Some(&stage.plan.key), &made)?;
            Ok(made)
        });
        let (to, reason) = match entered {
            Ok(made) if !made.is_empty() => return Action::Expand { stage: stage.id, made },
            Ok(_) => (StageStatus::Skipped, "its matrix is empty, so there is nothing to do".to_owned()),
            Err(reason) => (StageStatus::Failed, reason),
        };
        Action::End { stage: stage.id, to, reason }
    }
}

/// Puts stages into the place of the one that stood for them. The run is locked.
pub(super) async fn replace(
    tx: &mut Tx,
    run: &RunRow,
    open: &StageRow,
    made: &[StagePlan],
) -> Result<(), Error> {
    // Read again: what the same decision did before may have replaced another.
    let rows = tx.stages(run.id).await?;
    let mut plan = plan_of(run)?.grown(rows.iter().map(|row| row.plan.clone()).collect());
    replace_stage(&mut plan, &open.key, made.to_vec());
    tx.remove_stage(open.id).await?;
    for row in rows.iter().filter(|row| row.id != open.id) {
        if let Some(changed) = plan.stage(&row.key).filter(|changed| **changed != row.plan) {
            tx.set_stage_plan(row.id, changed).await?;
        }
    }
    tx.make_room(run.id, open.position, made.len()).await?;
    tx.insert_stages(run.id, open.position, made).await?;
    let keys: Vec<&StageKey> = made.iter().map(|stage| &stage.key).collect();
    let message = format!("{} is {}", open.key, listed(&keys));
    tx.event(run.id, Some(&open.key), "stage.expanded", &message, json!({ "stages": keys })).await
}

/// Adds the stages that a stage brought, after all others. The run is locked, and they are entered in its roll.
pub(crate) async fn add(
    tx: &mut Tx,
    run: &RunRow,
    rows: &[StageRow],
    by: &StageRow,
    stages: &[StagePlan],
) -> Result<(), Error> {
    let first = rows.iter().map(|row| row.position).max().unwrap_or_default() + 1;
    tx.insert_stages(run.id, first, stages).await?;
    let keys: Vec<&StageKey> = stages.iter().map(|stage| &stage.key).collect();
    let message = format!("{} adds {}", by.key, listed(&keys));
    tx.event(run.id, Some(&by.key), "stage.added", &message, json!({ "stages": keys })).await
}

/// `3 stages: a, b, c`.
fn listed(keys: &[&StageKey]) -> String {
    let names: Vec<String> = keys.iter().take(NAMED).map(|key| format!("`{key}`")).collect();
    let (word, more) =
        (if keys.len() == 1 { "stage" } else { "stages" }, if keys.len() > NAMED { ", …" } else { "" });
    format!("{} {word}: {}{more}", keys.len(), names.join(", "))
}
