//! Every expression of the file: read, names and types checked, faults shown at their place in the file.

use crate::{
    InputKind, codes,
    diagnostic::{Place, Problems},
    expressions::{self, Finding, Names, Part, StageName, Type},
    native::{
        check::Graph,
        file::{Pipeline, Stage, Verb},
        reader::{Role, Use},
    },
};

pub(super) fn check(pipeline: &Pipeline, graph: &Graph, uses: &[Use], problems: &mut Problems<'_>) {
    let mut names_of: Option<(Option<usize>, Names<'_>)> = None;
    for item in uses {
        // Uses come stage by stage, so the names of the last one usually serve again.
        let mut names = match names_of.take() {
            Some((stage, names)) if stage == item.stage => names,
            _ => names(pipeline, graph, item.stage),
        };
        check_use(pipeline, item, &mut names, problems);
        names_of = Some((item.stage, names));
    }
}

fn check_use(pipeline: &Pipeline, item: &Use, names: &mut Names<'_>, problems: &mut Problems<'_>) {
    let text = item.text.value.as_str();
    let stage = item.stage.and_then(|index| pipeline.stages.get(index));
    let about_environment =
        stage.is_some_and(|stage| matches!(stage.verb, Some(Verb::Deploy(_) | Verb::Smoke(_))));
    names.environment = about_environment && item.role == Role::Template;
    names.condition = item.role == Role::Condition;
    if item.role == Role::Condition {
        let base = source(problems, item.text.place).and_then(|source| source.find(text));
        let locate = locator(item.text.place, base);
        let kind = check_expression(text, names, &locate, problems);
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
        check_expression(expression, names, &locator(item.text.place, base), problems);
    }
}

fn source<'a>(problems: &Problems<'a>, place: Place) -> Option<&'a str> {
    problems.text().get(place.start..place.end)
}

/// From a place in an expression to its place in the file: exact when the expression stands there as it is.
fn locator(whole: Place, base: Option<usize>) -> impl Fn(Place) -> Place {
    move |place| match base {
        Some(base) => Place::new(whole.start + base + place.start, whole.start + base + place.end),
        None => whole,
    }
}

fn check_expression(
    text: &str,
    names: &Names<'_>,
    locate: &impl Fn(Place) -> Place,
    problems: &mut Problems<'_>,
) -> Option<Type> {
    let expression = match expressions::parse(text) {
        Ok(expression) => expression,
        Err(fault) => {
            problems.report(codes::BAD_EXPRESSION, locate(fault.place), fault.message);
            return None;
        }
    };
    let (kind, findings) = expressions::check(&expression, names);
    for Finding { code, place, message, help } in findings {
        problems.report(code, locate(place), message).maybe_help(help);
    }
    Some(kind)
}

/// What expressions of a stage (or of the pipeline) may name.
fn names<'p>(pipeline: &'p Pipeline, graph: &Graph, stage: Option<usize>) -> Names<'p> {
    let inputs = pipeline.on.manual.iter().flat_map(|manual| &manual.inputs);
    let choices = inputs.clone().filter(|input| input.kind == InputKind::Choice).map(|input| {
        (input.name.value.as_str(), input.choices.iter().map(|choice| choice.value.as_str()).collect())
    });
    let choices = choices.collect();
    let inputs = inputs.map(|input| (input.name.value.as_str(), type_of(input.kind))).collect();
    let Some(index) = stage else { return Names { inputs, choices, ..Names::default() } };
    let stages = pipeline.stages.iter().enumerate();
    let stages = stages.map(|(other, stage)| stage_name(stage, graph.is_upstream(other, index))).collect();
    Names {
        inputs,
        choices,
        matrix: matrix_names(pipeline.stages.get(index)),
        stages: Some(stages),
        ..Names::default()
    }
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

fn stage_name(stage: &Stage, upstream: bool) -> StageName<'_> {
    let outputs: Option<&'static [&'static str]> = match &stage.verb {
        Some(Verb::Build(_)) => Some(&["image_id"]),
        Some(Verb::Push(_)) => Some(&["digest", "image"]),
        _ => None,
    };
    StageName { name: &stage.name.value, upstream, matrix: stage.matrix.is_some(), outputs }
}
