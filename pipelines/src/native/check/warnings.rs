//! What runs, but probably not as meant.

use super::{links::Links, verbs::check_image};
use crate::{
    codes,
    diagnostic::{Problems, Spanned},
    native::{
        file::{Pipeline, Stage, Verb},
        image,
    },
};

pub(super) fn check(pipeline: &Pipeline, links: &[Links], problems: &mut Problems<'_>) {
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let checked = links.iter().any(|links| links.deploy == Some(index));
        if matches!(stage.verb, Some(Verb::Deploy(_))) && !checked {
            let message =
                format!("nothing checks what `{}` deploys, so nothing would roll it back", stage.name.value);
            let report = problems.report(codes::DEPLOY_WITHOUT_SMOKE, stage.name.place, message);
            report.help("add a stage with `smoke` of the same environment that needs this one");
        }
        without_timeout(pipeline, stage, problems);
        images(stage).for_each(|name| moving_image(name, problems));
    }
    let defaults = pipeline.scopes.iter().filter_map(|scope| scope.defaults.as_ref());
    for name in defaults.filter_map(|defaults| defaults.image.as_ref()) {
        check_image(name, problems);
        moving_image(name, problems);
    }
    secrets_in_pull_requests(pipeline, problems);
}

/// Only where it holds up others: one environment, or one group.
fn without_timeout(pipeline: &Pipeline, stage: &Stage, problems: &mut Problems<'_>) {
    let what = match &stage.verb {
        Some(Verb::Deploy(_)) => "other deployments wait",
        _ if stage.concurrency.is_some() => "other stages of its group wait",
        _ => return,
    };
    let said =
        stage.timeout.is_some() || pipeline.default_of(stage, |defaults| defaults.timeout.as_ref()).is_some();
    if !said {
        let message = format!("{what} while `{}` runs, and it has no timeout", stage.name.value);
        let report = problems.report(codes::HOLDS_OTHERS, stage.name.place, message);
        report.help("give it a `timeout`, or all stages one under `defaults`; absent it is one hour");
    }
}

fn images(stage: &Stage) -> impl Iterator<Item = &Spanned<String>> {
    let commands = match &stage.verb {
        Some(Verb::Deploy(deploy)) => deploy.command.as_ref(),
        Some(Verb::Smoke(smoke)) => smoke.commands.as_ref(),
        _ => None,
    };
    let of_commands = commands.and_then(|commands| commands.image.as_ref());
    stage.image.iter().chain(of_commands).chain(stage.services.iter().map(|service| &service.image))
}

fn moving_image(name: &Spanned<String>, problems: &mut Problems<'_>) {
    if image::check_image(&name.value).is_ok() && image::is_moving(&name.value) {
        let message = format!("`{}` may be another image tomorrow", name.value);
        let report = problems.report(codes::IMAGE_NOT_PINNED, name.place, message);
        report.help("name a version or a digest");
    }
}

/// A stage with `if` is left alone: it probably asks which event it was.
fn secrets_in_pull_requests(pipeline: &Pipeline, problems: &mut Problems<'_>) {
    let Some(trigger) = &pipeline.on.pull_request else { return };
    let stage = pipeline.stages.iter().find(|stage| !stage.secrets.is_empty() && stage.condition.is_none());
    if let Some(stage) = stage {
        let message = format!(
            "pull requests run stage `{}` with secrets before anybody reviewed them",
            stage.name.value
        );
        let report = problems.report(codes::SECRETS_IN_PULL_REQUESTS, trigger.place, message);
        report.related(stage.place_of("secrets"), "these secrets").help(
            "give the stage `if: event.kind != 'pull_request'`; pull requests from forks never get secrets",
        );
    }
}
