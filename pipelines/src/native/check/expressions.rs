//! Every expression of the file: read, names and types checked, faults shown at their place in the file.

use std::collections::HashMap;

use crate::{
    InputKind, codes,
    diagnostic::{Place, Problems},
    expressions::{self, Finding, Names, Part, StageName, Type},
    native::{
        check::Graph,
        file::{Local, Pipeline, Stage, Step, Verb},
        reader::{Role, Use},
        rewrite::Rewriter,
    },
    plan::Expressions,
};

pub(super) fn check(
    pipeline: &Pipeline,
    graph: &Graph,
    rewriter: &Rewriter<'_>,
    uses: &[Use],
    problems: &mut Problems<'_>,
) {
    let mut names_of = None;
    for item in uses {
        // Uses come stage by stage, so the names of the last one usually serve again.
        let key = (item.stage, item.scope, is_outside(pipeline, item), item.role == Role::TemplateOutput);
        let mut names = match names_of.take() {
            Some((found, names)) if found == key => names,
            _ => names(pipeline, graph, item),
        };
        check_use(pipeline, rewriter, item, &mut names, problems);
        names_of = Some((key, names));
    }
}

/// Whether a text belongs to no stage itself: to the pipeline, to a use of a template, or to what makes a matrix.
fn is_outside(pipeline: &Pipeline, item: &Use) -> bool {
    let stage = item.stage.and_then(|index| pipeline.stages.get(index));
    matches!(item.role, Role::Matrix | Role::Argument | Role::TemplateOutput)
        || stage.is_none_or(|stage| stage.scope != item.scope)
}

fn check_use(
    pipeline: &Pipeline,
    rewriter: &Rewriter<'_>,
    item: &Use,
    names: &mut Names<'_>,
    problems: &mut Problems<'_>,
) {
    let text = item.text.value.as_str();
    let stage = item.stage.and_then(|index| pipeline.stages.get(index));
    let about_environment = !is_outside(pipeline, item)
        && stage.is_some_and(|stage| matches!(stage.verb, Some(Verb::Deploy(_) | Verb::Smoke(_))));
    names.environment = about_environment && matches!(item.role, Role::Template | Role::Condition);
    names.condition = item.role == Role::Condition;
    names.step = item.step.or((item.role == Role::Output).then_some(usize::MAX));
    let checked = |expression: &str, names: &Names<'_>, base: Option<usize>, problems: &mut Problems<'_>| {
        check_expression(expression, item, names, rewriter, base, problems)
    };
    if item.role == Role::Condition {
        let base = source(problems, item.text.place).and_then(|source| source.find(text));
        let kind = checked(text, names, base, problems);
        if let Some(kind) = kind.filter(|kind| !matches!(kind, Type::Bool | Type::Any)) {
            let message = format!("a condition is true or false, and this is {}", kind.describe());
            let report = problems.report(codes::TYPE_MISMATCH, item.text.place, message);
            report.help("compare it with something, for example `== 'main'` or `!= null`");
        }
        return;
    }
    let parts = match expressions::split(text) {
        Ok(parts) => parts,
        Err(fault) => {
            problems.report(codes::BAD_EXPRESSION, item.text.place, fault.message);
            return;
        }
    };
    if item.role == Role::Matrix && parts.len() != 1 {
        let message = "a matrix is told by one expression with nothing beside it";
        let report = problems.report(codes::BAD_MATRIX, item.text.place, message);
        report.help("write `${{ fromJSON(stages.list.outputs.targets) }}`, or a list of values");
        return;
    }
    // Where a template is read between steps it becomes one expression, which has a limit too.
    if names.step.is_some()
        && let Ok(whole) = expressions::expression_of(text)
        && parts.len() > 1
        && let Err(fault) = expressions::parse(&whole)
        && whole.len() > expressions::max_length(Expressions::Strict)
    {
        problems.report(codes::BAD_EXPRESSION, item.text.place, fault.message);
    }
    let inner = parts.iter().filter_map(|part| match part {
        Part::Expression(range) => Some(&text[range.clone()]),
        Part::Text(_) => None,
    });
    // The n-th `${{` of the text is the n-th in the source, unless escapes of YAML are in the way.
    let mut searched = 0;
    for expression in inner {
        let base = source(problems, item.text.place).and_then(|source| {
            let at = searched + source.get(searched..)?.find("${{")? + 3;
            source.get(at..)?.starts_with(expression).then_some(at)
        });
        if let Some(base) = base {
            searched = base + expression.len();
        }
        let kind = checked(expression, names, base, problems);
        if item.role == Role::Matrix
            && let Some(kind) = kind.filter(|kind| !matches!(kind, Type::List | Type::Map | Type::Any))
        {
            let message = format!("a matrix is a mapping or list, and this is {}", kind.describe());
            let report = problems.report(codes::TYPE_MISMATCH, item.text.place, message);
            report.help("`fromJSON` makes a list of text: `${{ fromJSON(stages.list.outputs.targets) }}`");
        }
    }
}

fn source<'a>(problems: &Problems<'a>, place: Place) -> Option<&'a str> {
    problems.source(place)
}

/// From a place in an expression to its place in the file: exact when the expression stands there as it is.
fn locator(whole: Place, base: Option<usize>) -> impl Fn(Place) -> Place {
    move |place| match base {
        Some(base) => {
            Place::new(whole.start + base + place.start, whole.start + base + place.end).in_file_of(whole)
        }
        None => whole,
    }
}

fn check_expression(
    text: &str,
    item: &Use,
    names: &Names<'_>,
    rewriter: &Rewriter<'_>,
    base: Option<usize>,
    problems: &mut Problems<'_>,
) -> Option<Type> {
    let locate = locator(item.text.place, base);
    let expression = match expressions::parse(text) {
        Ok(expression) => expression,
        Err(fault) => {
            problems.report(codes::BAD_EXPRESSION, locate(fault.place), fault.message);
            return None;
        }
    };
    let (kind, findings) = expressions::check(&expression, names);
    if findings.is_empty()
        && let Err(fault) = rewriter.expression(item.scope, text)
    {
        problems.report(codes::BAD_EXPRESSION, locate(fault.place), fault.message);
    }
    for Finding { code, place, message, help } in findings {
        problems.report(code, locate(place), message).maybe_help(help);
    }
    Some(kind)
}

/// What a text may name.
fn names<'p>(pipeline: &'p Pipeline, graph: &Graph, item: &Use) -> Names<'p> {
    let scope = pipeline.scope(item.scope);
    let declared = match scope.filter(|scope| scope.call.is_some()) {
        Some(scope) => scope.inputs.as_slice(),
        None => pipeline.on.manual.as_ref().map_or(&[][..], |manual| &manual.inputs),
    };
    let choices = declared.iter().filter(|input| input.kind == InputKind::Choice).map(|input| {
        (input.name.value.as_str(), input.choices.iter().map(|choice| choice.value.as_str()).collect())
    });
    let choices = choices.collect();
    let inputs = declared.iter().map(|input| (input.name.value.as_str(), type_of(input.kind))).collect();
    let in_template = scope.is_some_and(|scope| scope.call.is_some());
    let Some(index) = item.stage.or(last_of(pipeline, item)) else {
        return Names { inputs, choices, in_template, ..Names::default() };
    };
    // What a template hands on is read by whoever comes after all of it.
    let after = |other: usize| item.role == Role::TemplateOutput || graph.is_upstream(other, index);
    let stages = pipeline.names_of(item.scope).into_iter().filter_map(|name| {
        let local = pipeline.lookup(item.scope, name)?;
        stage_name(pipeline, name, local, &after)
    });
    // Names of the file itself come first, so they are found first.
    let before = pipeline.before.iter().filter(|_| item.scope == 1).map(|stage| StageName {
        name: &stage.name,
        upstream: true,
        matrix: stage.matrix,
        outputs: stage.outputs.as_ref().map(|outputs| outputs.iter().map(String::as_str).collect()),
    });
    let stages = Some(stages.chain(before).collect());
    if is_outside(pipeline, item) {
        return Names { inputs, choices, in_template, stages, ..Names::default() };
    }
    let stage = pipeline.stages.get(index);
    Names {
        inputs,
        choices,
        in_template,
        matrix: matrix_names(stage),
        open_matrix: stage
            .and_then(|stage| stage.matrix.as_ref())
            .is_some_and(|matrix| matrix.value.is_open()),
        stages,
        steps: step_names(stage),
        ..Names::default()
    }
}

/// The last stage of a template, for what it hands on.
fn last_of(pipeline: &Pipeline, item: &Use) -> Option<usize> {
    let call = pipeline.scope(item.scope)?.call.as_ref().filter(|_| item.role == Role::TemplateOutput)?;
    call.stages.clone().next_back()
}

/// The steps of a stage that have an id.
fn step_names<'s>(stage: Option<&'s Stage>) -> HashMap<&'s str, usize> {
    let steps = match stage.and_then(|stage| stage.verb.as_ref()) {
        Some(Verb::Run(steps)) => Some(steps),
        Some(Verb::Deploy(deploy)) => deploy.command.as_ref().map(|commands| &commands.run),
        Some(Verb::Smoke(smoke)) => smoke.commands.as_ref().map(|commands| &commands.run),
        Some(Verb::Build(_) | Verb::Push(_)) | None => None,
    };
    let named = |step: &'s Step| Some((step.id.as_ref()?.value.as_str(), step.index));
    steps.into_iter().flatten().filter_map(named).collect()
}

fn type_of(kind: InputKind) -> Type {
    match kind {
        InputKind::String | InputKind::Choice | InputKind::Environment => Type::Text,
        InputKind::Boolean => Type::Bool,
        InputKind::Number => Type::Number,
    }
}

fn matrix_names(stage: Option<&Stage>) -> Option<Vec<&str>> {
    let matrix = &stage?.matrix.as_ref()?.value;
    let included = matrix.include.iter().flatten().map(|(name, _)| name);
    Some(matrix.axes.iter().map(|(name, _)| name).chain(included).map(|name| name.value.as_str()).collect())
}

/// A stage, or the stages of a use together.
fn stage_name<'p>(
    pipeline: &'p Pipeline,
    name: &'p str,
    local: Local,
    after: &impl Fn(usize) -> bool,
) -> Option<StageName<'p>> {
    match local {
        Local::Stage(index) => {
            let stage = pipeline.stages.get(index)?;
            let outputs = outputs_of(stage);
            Some(StageName { name, upstream: after(index), matrix: stage.matrix.is_some(), outputs })
        }
        Local::Call(inner) => {
            let scope = pipeline.scope(inner)?;
            let range = scope.call.as_ref()?.stages.clone();
            let declared: Vec<_> = scope.outputs.iter().map(|(name, _)| name.value.as_str()).collect();
            let upstream = !range.is_empty() && range.clone().all(after);
            // The only stage of a template that names no outputs hands on its own.
            let only = pipeline.stages.get(range.start).filter(|_| range.len() == 1 && declared.is_empty());
            Some(match only {
                Some(stage) => {
                    StageName { name, upstream, matrix: stage.matrix.is_some(), outputs: outputs_of(stage) }
                }
                None => StageName { name, upstream, matrix: false, outputs: Some(declared) },
            })
        }
    }
}

fn outputs_of(stage: &Stage) -> Option<Vec<&str>> {
    match &stage.verb {
        Some(Verb::Build(_)) => Some(vec!["image_id"]),
        Some(Verb::Push(_)) => Some(vec!["digest", "image"]),
        _ if stage.outputs.is_empty() => None,
        _ => Some(stage.outputs.iter().map(|(name, _)| name.value.as_str()).collect()),
    }
}
