//! What a stage stands for once its needs have ended: the one door for server and local runs, whatever the language.

use std::collections::BTreeMap;

use crate::{
    Context, Machine, ResolveError, Setting, expand, expand_native,
    plan::{StageKey, StagePlan},
};

/// The stages that a stage stands for whose turn has come; none: there is nothing to do, and it is skipped. `find` tells
/// the run's stages by key. A stage that leaves nothing open is given back as it is.
pub fn made<'a>(
    stage: &StagePlan,
    find: impl Fn(&StageKey) -> Option<&'a StagePlan>,
    context: &Context,
    machines: &BTreeMap<String, Machine>,
) -> Result<Vec<StagePlan>, ResolveError> {
    let mut stages = match &stage.expand {
        Some(_) => expand(stage, &context.contexts, Setting { machines, ..Setting::default() })?,
        None => expand_native(stage, context)?,
    };
    // Only now that its values are known can be told which artifacts of another matrix go with it.
    for one in &mut stages {
        let fetched = std::mem::take(&mut one.fetch);
        let goes = |key: &StageKey| find(key).is_none_or(|other| one.goes_with(other));
        one.fetch = fetched.into_iter().filter(|fetch| goes(&fetch.stage)).collect();
    }
    Ok(stages)
}
