//! What a stage of each verb may and must have.

use crate::{
    codes,
    diagnostic::{Problems, Spanned},
    native::{
        file::{Commands, Concurrency, Pipeline, Stage, Verb},
        image,
    },
    nearest::{listed, nearest},
    plan::Network,
};

/// Keys that every stage may have.
const COMMON: &[&str] = &[
    "needs",
    "if",
    "matrix",
    "max_parallel",
    "fail_fast",
    "concurrency",
    "runs_on",
    "timeout",
    "retry",
    "continue_on_error",
];

/// Keys that stages of a verb may have beside the common ones and the verb itself.
fn own_keys(verb: &Verb) -> &'static [&'static str] {
    match verb {
        Verb::Run(_) => &[
            "image",
            "env",
            "secrets",
            "services",
            "artifacts",
            "fetch",
            "cache",
            "reports",
            "resources",
            "checkout",
            "shell",
            "working_directory",
            "network",
            "outputs",
            "emits",
        ],
        Verb::Build(_) => &["secrets", "fetch", "checkout"],
        Verb::Push(_) => &[],
        Verb::Deploy(_) => {
            &["env", "secrets", "fetch", "resources", "checkout", "shell", "working_directory", "outputs"]
        }
        Verb::Smoke(_) => &[
            "env",
            "secrets",
            "fetch",
            "artifacts",
            "reports",
            "resources",
            "checkout",
            "shell",
            "working_directory",
            "outputs",
        ],
    }
}

pub(super) fn check(pipeline: &Pipeline, stage: &Stage, problems: &mut Problems<'_>) {
    let Some(verb) = &stage.verb else { return };
    misplaced_keys(stage, verb, problems);
    if let (Verb::Deploy(_), Some(_)) = (verb, &stage.retry) {
        let message = "a deployment is carried out at most once, so it has no `retry`";
        let report = problems.report(codes::DEPLOY_RETRY, stage.place_of("retry"), message);
        report.help("if it fails it is rolled back; if its runner is lost a person decides");
    }
    matrix_keys(stage, problems);
    if let (Some(emits), Some(matrix)) = (&stage.emits, &stage.matrix) {
        let message = "a stage with a matrix adds no stages to the run";
        let report = problems.report(codes::BAD_EMISSION, emits.place, message);
        report.related(matrix.place, "the matrix").help("let a stage without a matrix do it");
    }
    if let (Verb::Deploy(_), Some(Concurrency { cancel_superseded: true, .. })) = (verb, &stage.concurrency) {
        let message = "a deployment that has begun is not stopped by a newer one";
        let report = problems.report(codes::EXCLUSIVE, stage.place_of("concurrency"), message);
        report.help("leave out `cancel_superseded`: the newer one waits for its turn");
    }
    if let Some(network) = stage.network.as_ref().filter(|network| network.value == Network::None)
        && let Some(service) = stage.services.first()
    {
        let message = "the stage has services, and its network reaches nothing";
        let report = problems.report(codes::EXCLUSIVE, network.place, message);
        report.related(service.name.place, "a service").help("write `network: services`");
    }
    for secret in &stage.secrets {
        if let Some((name, _)) = stage.env.iter().find(|(name, _)| name.value == secret.env.value) {
            let message = format!("the variable `{}` is in `secrets` and in `env`", name.value);
            problems.report(codes::REPEATED, secret.env.place, message).related(name.place, "in `env`");
        }
    }
    let commands: Option<&Commands> = match verb {
        Verb::Run(_) => {
            let misspelt = |key: &Spanned<String>| nearest(&key.value, ["image"]).is_some();
            if stage.image.is_none()
                && !has_default_image(pipeline, stage)
                && !stage.keys.iter().any(misspelt)
            {
                no_image(&stage.name, "the stage", problems);
            }
            None
        }
        Verb::Deploy(deploy) => deploy.command.as_ref(),
        Verb::Smoke(smoke) => smoke.commands.as_ref(),
        Verb::Build(_) | Verb::Push(_) => None,
    };
    if let Some(commands) = commands
        && commands.image.is_none()
        && !has_default_image(pipeline, stage)
    {
        no_image(&stage.name, "these commands", problems);
    }
    let images = stage.image.iter().chain(commands.and_then(|commands| commands.image.as_ref()));
    for name in images.chain(stage.services.iter().map(|service| &service.image)) {
        check_image(name, problems);
    }
}

/// What is about a matrix needs one.
fn matrix_keys(stage: &Stage, problems: &mut Problems<'_>) {
    let key = |name: &&Spanned<String>| matches!(name.value.as_str(), "max_parallel" | "fail_fast");
    for key in stage.keys.iter().filter(key).filter(|_| stage.matrix.is_none()) {
        let message = format!("`{}` is about a matrix, and the stage has none", key.value);
        problems.report(codes::BAD_MATRIX, key.place, message).help("give the stage a `matrix`");
    }
}

/// Also used for `defaults.image`, which belongs to no stage.
pub(super) fn check_image(name: &Spanned<String>, problems: &mut Problems<'_>) {
    if let Err((message, help)) = image::check_image(&name.value) {
        problems.report(codes::BAD_IMAGE, name.place, message).maybe_help(help);
    }
}

fn has_default_image(pipeline: &Pipeline, stage: &Stage) -> bool {
    pipeline.default_of(stage, |defaults| defaults.image.as_ref()).is_some()
}

fn no_image(stage: &Spanned<String>, what: &str, problems: &mut Problems<'_>) {
    let message = format!("stage `{}` has no image to run commands in", stage.value);
    let report = problems.report(codes::NO_IMAGE, stage.place, message);
    report.help(format!("give {what} an `image`, or all stages one under `defaults`"));
}

fn misplaced_keys(stage: &Stage, verb: &Verb, problems: &mut Problems<'_>) {
    let own = own_keys(verb);
    for key in &stage.keys {
        let name = key.value.as_str();
        let verb_key = matches!(name, "run" | "build" | "push" | "deploy" | "smoke");
        if COMMON.contains(&name) || own.contains(&name) || verb_key || !Stage::KEYS.contains(&name) {
            continue;
        }
        let help = match (name, verb) {
            ("image", Verb::Deploy(_)) => {
                "what is deployed stands in `deploy.image`, what commands run in in `deploy.command.image`"
                    .to_owned()
            }
            ("image", Verb::Smoke(_)) => {
                "the image of the commands stands in `smoke.commands.image`".to_owned()
            }
            ("env", Verb::Build(_)) => "values for the Dockerfile stand under `build.args`".to_owned(),
            ("secrets", Verb::Push(_)) => "the registry's log-in stands in `push.credentials`".to_owned(),
            _ => format!("it may have {}", listed(COMMON.iter().chain(own).copied())),
        };
        let message = format!("`{name}` has no meaning in a {} stage", verb.key());
        problems.report(codes::KEY_NOT_FOR_VERB, key.place, message).help(help);
    }
}
