//! Whether a stage may go, as far as concurrency groups say. Pure.
//!
//! A call waits in its group as a whole: the first of its stages whose turn has come joins it for all of them, and it
//! leaves when the last one has ended. What waits for a person or for a place of a matrix joins no group yet, and is in
//! nobody's way.

use tidegate_pipelines::{
    Places,
    plan::{Concurrency, Template, group_key, path_of},
    render_template,
};
use tidegate_protocol::status::StageStatus;

use super::{
    action::Action,
    facts::{Facts, GroupTurn, StageFacts},
};

/// What concurrency groups say of a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// It may go, and with it these calls are at work from now on.
    Go(Vec<String>),
    /// Others go first; the end of a sentence about it.
    Wait(String),
    /// This is to be done first.
    First(Action),
}

/// Asks the groups of the calls that a stage is part of, the outermost first, and then its own.
pub fn ask(facts: &Facts, stage: &StageFacts, environment: Option<&str>) -> Word {
    if stage.rollback_of.is_some() {
        return Word::Go(Vec::new());
    }
    let mut begins = Vec::new();
    let mut held: Vec<(&str, &str)> = Vec::new();
    for call in path_of(&facts.calls, stage.plan.call.as_deref()) {
        let (Some(concurrency), Some(lenient)) = (&call.concurrency, &facts.lenient) else { continue };
        match facts.call_groups.get(&call.key) {
            Some(known) => {
                match &known.turn {
                    GroupTurn::Holds => {}
                    GroupTurn::First => begins.push(call.key.clone()),
                    GroupTurn::After(reason) => return Word::Wait(reason.clone()),
                }
                held.push((&known.group, &call.key));
            }
            None => {
                let group = lenient.group_of_call(call, &facts.ended()).map(|group| group_key(&group));
                return Word::First(match group.map_err(|error| error.to_string()) {
                    Ok(group) if group.is_empty() => untold(stage, "its name is empty"),
                    Ok(group) => match own_call(&held, &group) {
                        Some(reason) => failed(stage, reason),
                        None => Action::EnterCallGroup {
                            call: call.key.clone(),
                            group,
                            concurrency: concurrency.clone(),
                        },
                    },
                    Err(error) => untold(stage, &error),
                });
            }
        }
    }
    let Some(concurrency) = &stage.plan.concurrency else { return Word::Go(begins) };
    match &stage.turn {
        Some(GroupTurn::First | GroupTurn::Holds) => Word::Go(begins),
        Some(GroupTurn::After(reason)) => Word::Wait(reason.clone()),
        None => Word::First(enter(facts, stage, concurrency, environment, &held)),
    }
}

/// The calls that leave their groups, because all their stages have ended.
pub fn left(facts: &Facts) -> Vec<Action> {
    if facts.call_groups.is_empty() {
        return Vec::new();
    }
    let stages = facts.stages.iter().map(|stage| (&stage.plan, stage.status.is_final()));
    let ended = Places::ended_calls(stages, &facts.calls);
    let left = facts.call_groups.keys().filter(|call| ended.contains(call.as_str()));
    left.map(|call| Action::LeaveCallGroup { call: call.clone() }).collect()
}

/// The stage's own group is told now: it may depend on what came before.
fn enter(
    facts: &Facts,
    stage: &StageFacts,
    concurrency: &Concurrency,
    environment: Option<&str>,
    held: &[(&str, &str)],
) -> Action {
    let template = Template(concurrency.group.clone());
    match render_template(&template, Some(&stage.plan), &facts.context(&stage.plan, environment)) {
        Ok(group) => {
            let group = group_key(&group);
            match own_call(held, &group) {
                Some(reason) => failed(stage, reason),
                None => Action::EnterGroup { stage: stage.id, group },
            }
        }
        Err(error) => untold(stage, &error.to_string()),
    }
}

/// What would wait for a call that waits for it.
fn own_call(held: &[(&str, &str)], group: &str) -> Option<String> {
    let (_, call) = held.iter().find(|(known, _)| *known == group)?;
    Some(format!(
        "the concurrency group {group} is that of the call `{call}` which it is part of: each would wait for the other"
    ))
}

fn untold(stage: &StageFacts, why: &str) -> Action {
    failed(stage, format!("its concurrency group cannot be told: {why}"))
}

fn failed(stage: &StageFacts, reason: String) -> Action {
    Action::End { stage: stage.id, to: StageStatus::Failed, reason }
}
