//! Stages that a stage adds to its run: a file of the same language, written by what ran in its sandbox.
//!
//! The file is read and checked as a whole before anything is added. Whatever wrote it may have been anybody's code,
//! so its stages have no more than the pipeline's own file lets them have ([`Emits`]): no other secrets, environments
//! or runner labels. They come after the stage that wrote them and before nothing, so the graph stays acyclic. How
//! many they are, and how deep stages add stages, is bounded over the whole run.

use super::{
    check,
    expand::Expansion,
    file::{Before, Call, Input, Pipeline, Scope, Stage, Verb},
    lower::{self, Library},
    plan,
    reader::Reader,
};
use crate::{
    Diagnostic, InputKind, Setting, SourceFile, codes,
    diagnostic::{Place, Problems, Shelf, Spanned},
    event::Event,
    expressions::holds_expression,
    nearest::listed,
    plan::{Emits, Need, NeedState, Plan, StageKey, StagePlan},
    yaml,
};

/// The most stages that are added to a run.
const MAX_EMITTED: usize = 256;
/// How deep added stages may add stages.
const MAX_DEPTH: usize = 3;

/// What came of a file that a stage wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// The stages to add; None exactly when there is an error among the diagnostics.
    pub stages: Option<Vec<StagePlan>>,
    /// All that is wrong with the file, and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles the file that the stage `emitter` wrote. `plan` is that of the run with all stages added so far.
pub fn compile_emitted(
    text: &str,
    emitter: &StageKey,
    plan: &Plan,
    event: &Event,
    setting: Setting<'_>,
) -> Emission {
    let by = plan.stage(emitter).and_then(|stage| Some((stage, stage.emits.as_deref()?)));
    let path = by.map_or("stages.yml", |(_, emits)| emits.file.as_str());
    let file = SourceFile { path, text };
    let shelf = Shelf::default();
    let mut problems = Problems::with_others(&file, &shelf);
    let stages = match by {
        Some((stage, emits)) => compiled(&mut problems, stage, emits, plan, event, setting),
        None => {
            let message = format!("the stage `{emitter}` adds no stages: it has no `emits`");
            problems.report(codes::BAD_EMISSION, Place::default(), message);
            None
        }
    };
    let stages = stages.filter(|_| !problems.has_errors());
    Emission { stages, diagnostics: problems.finish() }
}

fn compiled(
    problems: &mut Problems<'_>,
    emitter: &StagePlan,
    emits: &Emits,
    plan: &Plan,
    event: &Event,
    setting: Setting<'_>,
) -> Option<Vec<StagePlan>> {
    let depth = std::iter::successors(Some(emitter), |stage| plan.stage(stage.emitted_by.as_ref()?)).count();
    if depth > MAX_DEPTH {
        let message = format!("stages may add stages {MAX_DEPTH} levels deep");
        problems.report(codes::EMISSION_LIMIT, Place::default(), message);
        return None;
    }
    let tree = yaml::parse(problems, &yaml::Dialect::NATIVE)?;
    let mut library = Library::new(setting.files);
    let mut reader = Reader::new(problems);
    let pipeline = lower::emitted(&mut reader, &tree, &emits.file, scope(emitter, plan), &mut library);
    let (uses, incomplete) = (std::mem::take(&mut reader.uses), reader.incomplete);
    let pipeline = Pipeline { before: before(emitter, plan), ..pipeline? };
    for stage in &pipeline.stages {
        only_what_is_let(stage, emitter, emits, problems);
    }
    let defaults = pipeline.scopes.iter().filter_map(|scope| scope.defaults.as_ref()?.runs_on.as_ref());
    for label in defaults.flatten() {
        let allowed = emitter.runner_labels.iter().chain(&emits.runner_labels).cloned().collect::<Vec<_>>();
        refuse(label, "the runner label", &allowed, "runs_on", problems);
    }
    if incomplete {
        return None;
    }
    let checked = check::check(&pipeline, &uses, problems);
    let so_far = plan.stages.iter().filter(|stage| stage.emitted_by.is_some()).count();
    let count: usize = checked.expansions.iter().map(Vec::len).sum();
    if so_far + count > MAX_EMITTED {
        let message =
            format!("with these {count} the stages that are added to the run are more than {MAX_EMITTED}");
        problems.report(codes::EMISSION_LIMIT, Place::default(), message);
    }
    let taken = |one: &&Expansion| plan.stage(&one.key).is_some();
    if let Some(one) = checked.expansions.iter().flatten().find(taken) {
        let message = format!("the run has a stage `{}` already", one.key);
        problems.report(codes::REPEATED, Place::default(), message);
    }
    if problems.has_errors() {
        return None;
    }
    let mut stages = plan::stages(&pipeline, &checked, event, problems);
    for stage in &mut stages {
        stage.emitted_by = Some(emitter.key.clone());
        if stage.needs.is_empty() {
            stage.needs.push(Need { stage: emitter.key.clone(), accepts: NeedState::Succeeded });
        }
        stage.upstream.extend(emitter.upstream.iter().chain([&emitter.key]).cloned());
        if stage.runner_labels.is_empty() {
            stage.runner_labels.clone_from(&emitter.runner_labels);
        }
    }
    Some(stages)
}

/// The names of the added stages hold in a scope of their own. The run's inputs are theirs too.
fn scope(emitter: &StagePlan, plan: &Plan) -> Scope {
    let at = |text: &str| Spanned::new(text.to_owned(), Place::default());
    let kind = |value: &serde_json::Value| match value {
        serde_json::Value::Bool(_) => InputKind::Boolean,
        serde_json::Value::Number(_) => InputKind::Number,
        _ => InputKind::String,
    };
    let input = |(name, value): (&String, &serde_json::Value)| Input {
        name: at(name),
        kind: kind(value),
        default: None,
        required: false,
        choices: Vec::new(),
        description: None,
    };
    let call = Call {
        parent: 0,
        name: at(&emitter.key.0),
        place: Place::default(),
        needs: Vec::new(),
        condition: None,
        with: plan.inputs.keys().map(|name| (name.clone(), at(&format!("inputs.{name}")))).collect(),
        stages: 0..0,
    };
    Scope {
        call: Some(call),
        prefix: format!("{} / ", emitter.key),
        inputs: plan.inputs.iter().map(input).collect(),
        ..Scope::default()
    }
}

/// What the added stages may read: the stage that added them, and all before it.
fn before(emitter: &StagePlan, plan: &Plan) -> Vec<Before> {
    let mut list: Vec<Before> = Vec::new();
    for stage in emitter.upstream.iter().filter_map(|key| plan.stage(key)).chain([emitter]) {
        if list.iter().any(|other| other.name == stage.name) {
            continue;
        }
        let outputs = match &stage.verb {
            crate::plan::Verb::Build(_) => Some(vec!["image_id".to_owned()]),
            crate::plan::Verb::Push(_) => Some(vec!["digest".to_owned(), "image".to_owned()]),
            _ if stage.outputs.is_empty() => None,
            _ => Some(stage.outputs.keys().cloned().collect()),
        };
        list.push(Before { name: stage.name.clone(), matrix: !stage.matrix.is_empty(), outputs });
    }
    list
}

/// Reports what an added stage asks for and its emitter's `emits` does not name.
fn only_what_is_let(stage: &Stage, emitter: &StagePlan, emits: &Emits, problems: &mut Problems<'_>) {
    for secret in stage.secret_names() {
        refuse(secret, "the secret", &emits.secrets, "secrets", problems);
    }
    let environment = match &stage.verb {
        Some(Verb::Deploy(deploy)) => Some(&deploy.environment),
        Some(Verb::Smoke(smoke)) => Some(&smoke.environment),
        _ => None,
    };
    let nested = stage.emits.iter().flat_map(|emits| &emits.value.environments);
    for environment in environment.into_iter().chain(nested) {
        refuse(environment, "the environment", &emits.environments, "environments", problems);
    }
    let labels: Vec<String> = emitter.runner_labels.iter().chain(&emits.runner_labels).cloned().collect();
    let nested = stage.emits.iter().flat_map(|emits| &emits.value.runs_on);
    for label in stage.runs_on.iter().flatten().chain(nested) {
        refuse(label, "the runner label", &labels, "runs_on", problems);
    }
}

fn refuse(text: &Spanned<String>, what: &str, let_have: &[String], key: &str, problems: &mut Problems<'_>) {
    if let_have.contains(&text.value) {
        return;
    }
    let message = match holds_expression(&text.value) {
        true => format!("in an added stage {what} is named without an expression"),
        false => format!("an added stage may not have {what} `{}`", text.value),
    };
    let may = match let_have {
        [] => "it may have none".to_owned(),
        some => format!("it may have {}", listed(some.iter().map(String::as_str))),
    };
    let report = problems.report(codes::BAD_EMISSION, text.place, message);
    report.help(format!("{may}; more stands in `emits.{key}` of the stage that adds it"));
}
