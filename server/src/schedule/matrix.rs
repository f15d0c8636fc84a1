//! Stages of one matrix: the failure of one stops the others, and so many run at once. Pure.
//!
//! Who is at work is counted by what is queued or with a runner, so that no more can ever be leased than may run; a stage
//! at its gate, or one that a gate took back, takes no place.

use std::collections::BTreeMap;

use tidegate_protocol::status::StageStatus;

use super::facts::{Facts, StageFacts};

/// Places of the matrices of a run, as one decision gives them away.
pub struct Places<'a> {
    taken: BTreeMap<&'a str, usize>,
}

impl<'a> Places<'a> {
    /// As they are now.
    pub fn of(facts: &'a Facts) -> Self {
        let mut taken = BTreeMap::new();
        for stage in members(facts).filter(|stage| is_at_work(stage.status)) {
            *taken.entry(stage.plan.name.as_str()).or_default() += 1;
        }
        Self { taken }
    }

    /// Why a stage has to wait for others of its matrix, if it has to; the end of a sentence about it.
    pub fn full(&self, stage: &StageFacts) -> Option<String> {
        let most = stage.plan.strategy.as_ref()?.max_parallel?.max(1);
        let taken = self.taken.get(stage.plan.name.as_str()).copied().unwrap_or_default();
        let full = usize::try_from(most).is_ok_and(|most| taken >= most);
        full.then(|| format!("waits: {taken} of {most} of its matrix are at work"))
    }

    /// A stage is given a place.
    pub fn take(&mut self, stage: &'a StageFacts) {
        if stage.plan.strategy.is_some() {
            *self.taken.entry(stage.plan.name.as_str()).or_default() += 1;
        }
    }
}

/// Why a stage is to stop because another of its matrix failed, if it is to.
pub fn failed_fast(facts: &Facts, stage: &StageFacts) -> Option<String> {
    stage.plan.strategy.as_ref()?;
    if stage.rollback_of.is_some() {
        return None;
    }
    let failed = members(facts).find(|other| {
        other.id != stage.id
            && other.plan.name == stage.plan.name
            && other.status == StageStatus::Failed
            && other.plan.strategy.as_ref().is_some_and(|strategy| strategy.fail_fast)
    })?;
    Some(format!("`{}` of its matrix failed, which stops the others", failed.key()))
}

fn members(facts: &Facts) -> impl Iterator<Item = &StageFacts> {
    facts.stages.iter().filter(|stage| stage.plan.strategy.is_some() && stage.rollback_of.is_none())
}

fn is_at_work(status: StageStatus) -> bool {
    matches!(status, StageStatus::Queued | StageStatus::Running)
}
