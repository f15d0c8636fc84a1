//! Stages that a stage of a local run adds to it, from the file that it wrote. A server adds them by the same functions.

use tidegate_pipelines::{
    Setting, SourceFile, compile_emitted,
    plan::{Roll, StagePlan},
    render,
};
use tidegate_protocol::messages::{Finish, Outcome};

use super::Shared;
use crate::sync::lock;

/// Adds them to the plan; all that is wrong with the file is shown, and fails the stage.
pub(super) fn add(shared: &Shared, stage: &StagePlan, mut finish: Finish) -> Finish {
    let Some(text) = finish.emitted.take().filter(|_| finish.outcome == Outcome::Succeeded) else {
        return finish;
    };
    let Some(emits) = &stage.emits else { return finish };
    let mut plan = lock(&shared.plan);
    let setting = Setting { files: &*shared.run.files, ..Setting::default() };
    let emission = compile_emitted(&text, &stage.key, &plan, &shared.run.event, setting);
    if !emission.diagnostics.is_empty() {
        let shown = render(&SourceFile { path: &emits.file, text: &text }, &emission.diagnostics, false);
        shared.run.sink.log(&stage.key, 0, shown.as_bytes());
    }
    let entered = match emission.stages {
        None => Err("it has mistakes, which its log shows".to_owned()),
        Some(stages) => Roll::of(&plan.stages).enter(None, &stages).map(|()| plan.stages.extend(stages)),
    };
    if let Err(reason) = entered {
        finish.outcome = Outcome::Failed;
        finish.reason = Some(format!("the stages in {} cannot be added: {reason}", emits.file));
    }
    finish
}
