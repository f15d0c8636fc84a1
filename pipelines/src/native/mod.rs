//! The native language: `.tidegate/*.yml`.
//!
//! ```text
//! yaml::Node -> lower -> file::Pipeline -> check -> (triggers) -> plan
//! ```

mod check;
mod dynamic;
mod emitted;
mod expand;
mod file;
mod format;
mod image;
mod lower;
mod plan;
mod reader;
mod rewrite;
mod schema;
mod start;
mod words;

pub use dynamic::expand_native;
pub use emitted::{Emission, compile_emitted};
pub use format::format;
pub use schema::{json_schema, template_schema};
pub(crate) use words::{is_name, is_variable};

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{
    Compilation, Compiled, Diagnostic, Files, InputSpec, NoFiles, Schedule, Setting, SourceFile, Triggers,
    codes,
    context::Context,
    diagnostic::{Problems, Shelf, Spanned},
    event::Event,
    plan::{Concurrency, PLAN_VERSION, Plan, PlanSource, Template},
    refusal::Refusal,
    render_template, yaml,
};
use check::Checked;
use file::Pipeline;
use lower::Library;
use reader::Reader;

/// A file that was read and checked.
struct Source {
    pipeline: Pipeline,
    checked: Option<Checked>,
}

/// Reads a file and those that it uses. None for what was checked when not all of them could be read: nobody knows
/// which stages there are.
fn read(path: &str, files: &dyn Files, problems: &mut Problems<'_>) -> Option<Source> {
    let tree = yaml::parse(problems, &yaml::Dialect::NATIVE)?;
    let mut library = Library::new(files);
    let mut reader = Reader::new(problems);
    let pipeline = lower::pipeline(&mut reader, &tree, path, &mut library)?;
    let (uses, incomplete) = (std::mem::take(&mut reader.uses), reader.incomplete);
    starts_itself(&pipeline, path, problems);
    let checked = (!incomplete).then(|| check::check(&pipeline, &uses, problems));
    Some(Source { pipeline, checked })
}

/// A pipeline that is started by its own end would never end.
fn starts_itself(pipeline: &Pipeline, path: &str, problems: &mut Problems<'_>) {
    let own = pipeline.name.as_ref().map_or_else(|| stem(path), |name| name.value.clone());
    for name in pipeline.on.pipeline.iter().flat_map(|upstream| &upstream.names) {
        if name.value == own {
            let message = format!("`{own}` is this pipeline itself: its end would start it again");
            problems.report(codes::BAD_VALUE, name.place, message).help("name another pipeline");
        }
    }
}

/// Compiles a file for an event: parsing, checks, triggers, matrices.
pub fn compile(file: &SourceFile<'_>, event: &Event, setting: Setting<'_>) -> Compilation {
    let shelf = Shelf::default();
    let mut problems = Problems::with_others(file, &shelf);
    let source = read(file.path, setting.files, &mut problems);
    let result = match &source {
        Some(Source { pipeline, checked: Some(checked) }) if !problems.has_errors() => {
            result(file, event, pipeline, checked, &mut problems)
        }
        _ => None,
    };
    let result = result.filter(|_| !problems.has_errors());
    Compilation { result, diagnostics: problems.finish() }
}

fn result(
    file: &SourceFile<'_>,
    event: &Event,
    pipeline: &Pipeline,
    checked: &Checked,
    problems: &mut Problems<'_>,
) -> Option<Compiled> {
    let name = pipeline.name.as_ref().map_or_else(|| stem(file.path), |name| name.value.clone());
    let inputs = start::inputs(&pipeline.on, event).map_err(Refusal::from);
    let inputs = match start::starts(&pipeline.on, event).and(inputs) {
        Ok(inputs) => inputs,
        Err(Refusal { reason, left_out }) => {
            return Some(Compiled::NotTriggered { pipeline: name, reason, left_out });
        }
    };
    let mut plan = Plan {
        version: PLAN_VERSION,
        name,
        title: None,
        source: PlanSource {
            path: file.path.to_owned(),
            sha256: hex::encode(Sha256::digest(file.text.as_bytes())),
        },
        event_name: None,
        concurrency: None,
        inputs,
        calls: Vec::new(),
        machines: BTreeMap::new(),
        stages: plan::stages(pipeline, checked, event, problems),
    };
    if let Some(concurrency) = &pipeline.concurrency {
        let group = render_group(&concurrency.group, &plan, event, problems)?;
        let cancel_superseded = concurrency.cancel_superseded;
        plan.concurrency = Some(Concurrency { group, cancel_superseded, replace_waiting: false });
    }
    Some(Compiled::Plan(plan))
}

fn render_group(
    group: &Spanned<String>,
    plan: &Plan,
    event: &Event,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let rendered = render_template(&Template(group.value.clone()), None, &Context::new(plan, event));
    match rendered {
        Ok(text) => Some(text),
        Err(error) => {
            problems.report(codes::BAD_EXPRESSION, group.place, error.to_string());
            None
        }
    }
}

/// All that is wrong with a file, whatever the event. Templates cannot be read here, see [`check_in`].
pub fn check(file: &SourceFile<'_>) -> Vec<Diagnostic> {
    check_in(file, Setting::default())
}

/// As [`check`], with the other files that it names.
pub fn check_in(file: &SourceFile<'_>, setting: Setting<'_>) -> Vec<Diagnostic> {
    let shelf = Shelf::default();
    let mut problems = Problems::with_others(file, &shelf);
    read(file.path, setting.files, &mut problems);
    problems.finish()
}

/// What starts a file's pipeline. A file with mistakes starts nothing by itself; the files that it uses are not asked.
pub fn triggers(file: &SourceFile<'_>) -> Triggers {
    let mut problems = Problems::new(file);
    let source = read(file.path, &NoFiles, &mut problems);
    let unread = |one: &Diagnostic| one.code == codes::TEMPLATE_UNREADABLE.id;
    let wrong = problems.finish().iter().any(|one| one.is_error() && !unread(one));
    let Some(source) = source.filter(|_| !wrong) else { return Triggers::default() };
    let on = source.pipeline.on;
    let schedule = |schedule: file::Schedule| Schedule {
        cron: schedule.cron.value,
        time_zone: schedule.time_zone.map_or_else(|| "UTC".to_owned(), |zone| zone.value),
    };
    let input = |input: file::Input| InputSpec {
        name: input.name.value,
        kind: input.kind,
        required: input.required,
        default: input.default.map(|default| default.value),
        choices: input.choices.into_iter().map(|choice| choice.value).collect(),
        description: input.description.map(|text| text.value),
    };
    Triggers {
        push: on.push.is_some(),
        tag: on.tag.is_some(),
        pull_request: on.pull_request.is_some(),
        release: on.release.is_some(),
        repository_dispatch: on.repository_dispatch.is_some(),
        pipelines: on.pipeline.iter().flat_map(|one| &one.names).map(|name| name.value.clone()).collect(),
        schedules: on.schedule.into_iter().map(schedule).collect(),
        manual_inputs: on.manual.map(|manual| manual.inputs.into_iter().map(input).collect()),
    }
}

/// The file's name without folders and ending.
fn stem(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned()
}
