//! Whether a blocked stage's turn has come: its needs, then its condition. Pure.

use tidegate_pipelines::{
    actions::Decision,
    condition,
    plan::{Need, NeedState},
};
use tidegate_protocol::status::StageStatus;

use super::facts::{Facts, StageFacts};

/// What a blocked stage's needs say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// A need has not ended.
    NotYet,
    /// It is the stage's turn.
    Come,
    /// It never comes, and why.
    Never(String),
    /// Its condition cannot be evaluated.
    Broken(String),
}

/// Whether a stage's turn has come.
pub fn turn(facts: &Facts, stage: &StageFacts) -> Turn {
    let plan = &stage.plan;
    if let Some(reason) = &plan.skip_reason {
        return Turn::Never(reason.clone());
    }
    let needs: Vec<(&Need, Option<&StageFacts>)> =
        plan.needs.iter().map(|need| (need, facts.stage(&need.stage))).collect();
    if needs.iter().any(|(_, before)| before.is_some_and(|before| !before.status.is_final())) {
        return Turn::NotYet;
    }
    asked(facts, stage, &needs)
}

/// What needs that have ended and the condition say.
fn asked(facts: &Facts, stage: &StageFacts, needs: &[(&Need, Option<&StageFacts>)]) -> Turn {
    let plan = &stage.plan;
    if let Some(lenient) = facts.lenient.as_ref().filter(|_| !plan.expressions.is_strict()) {
        return match lenient.decide(plan, &facts.ended()) {
            Ok(Decision::Run) => Turn::Come,
            Ok(Decision::Skip(reason)) => Turn::Never(reason),
            Err(error) => Turn::Broken(format!("its condition cannot be evaluated: {error}")),
        };
    }
    let unmet = needs.iter().find_map(|(need, before)| match before {
        Some(before) if accepts(need.accepts, before.status) => None,
        Some(before) => Some(unmet_reason(need, before)),
        None => Some(format!("it needs `{}`, which is not in the plan", need.stage)),
    });
    let Some(expression) = &plan.condition else {
        return unmet.map_or(Turn::Come, Turn::Never);
    };
    match condition(expression, plan, &facts.context(plan, None)) {
        Ok(true) => Turn::Come,
        Ok(false) => {
            Turn::Never(unmet.unwrap_or_else(|| format!("its condition `{expression}` does not hold")))
        }
        Err(error) => Turn::Broken(format!("its condition cannot be evaluated: {error}")),
    }
}

fn accepts(wanted: NeedState, status: StageStatus) -> bool {
    match wanted {
        NeedState::Succeeded => matches!(status, StageStatus::Succeeded | StageStatus::Warned),
        NeedState::Failed => matches!(status, StageStatus::Failed | StageStatus::Unknown),
        NeedState::Finished => status.is_final(),
    }
}

fn unmet_reason(need: &Need, before: &StageFacts) -> String {
    let key = before.key();
    match (need.accepts, before.status) {
        (NeedState::Failed, _) => {
            format!("it runs only when `{key}` fails, and `{key}` {}", ended(before.status))
        }
        (_, status) => format!("`{key}` {}", ended(status)),
    }
}

/// How a stage ended, as the end of a sentence.
pub fn ended(status: StageStatus) -> &'static str {
    match status {
        StageStatus::Succeeded => "succeeded",
        StageStatus::Warned => "failed, which it was allowed to",
        StageStatus::Failed => "failed",
        StageStatus::Skipped => "was skipped",
        StageStatus::Cancelled => "was cancelled",
        StageStatus::Unknown => "lost its runner, and nobody knows how far it came",
        StageStatus::Blocked | StageStatus::Gated | StageStatus::Queued | StageStatus::Running => {
            "has not ended"
        }
    }
}
