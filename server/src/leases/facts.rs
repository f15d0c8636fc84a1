//! Facts of run and event as environment values of a stage. Names are those of `tidegate run`, which has no run.

use std::collections::BTreeMap;

use tidegate_pipelines::plan::StagePlan;
use tidegate_protocol::messages::Source;

use crate::{app::App, store::RunRow};

/// The values. Nothing here is put into a script; steps read them as `$NAME`.
pub(super) fn env(
    app: &App,
    run: &RunRow,
    source: &Source,
    stage: &StagePlan,
    environment: Option<&str>,
    attempt: i32,
) -> BTreeMap<String, String> {
    let git = &run.event.git;
    let base = app.config.public_url.as_str().trim_end_matches('/');
    let always = [
        ("CI", "true".to_owned()),
        ("TIDEGATE", "true".to_owned()),
        ("TIDEGATE_RUN_ID", run.id.to_string()),
        ("TIDEGATE_RUN_NUMBER", run.number.to_string()),
        ("TIDEGATE_RUN_URL", format!("{base}/runs/{}", run.id)),
        ("TIDEGATE_REPOSITORY", source.repository.clone()),
        ("TIDEGATE_SHA", source.sha.clone()),
        ("TIDEGATE_REF", source.reference.clone()),
        ("TIDEGATE_EVENT", run.event.kind.as_str().to_owned()),
        ("TIDEGATE_ACTOR", run.actor.clone()),
        ("TIDEGATE_PIPELINE", run.pipeline.clone()),
        ("TIDEGATE_STAGE", stage.key.0.clone()),
        ("TIDEGATE_ATTEMPT", attempt.to_string()),
    ];
    let sometimes = [
        ("TIDEGATE_BRANCH", git.branch.clone()),
        ("TIDEGATE_TAG", git.tag.clone()),
        ("TIDEGATE_ENVIRONMENT", environment.map(str::to_owned)),
    ];
    let sometimes = sometimes.into_iter().filter_map(|(name, value)| Some((name, value?)));
    always.into_iter().chain(sometimes).map(|(name, value)| (name.to_owned(), value)).collect()
}
