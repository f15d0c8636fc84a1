//! Matrices: one stage for every combination of values.

use std::collections::BTreeMap;

use serde_json::Value;

use super::file::{Matrix, Pipeline};
use crate::{
    codes,
    diagnostic::{Place, Problems, Spanned},
    expressions::to_text,
    nearest::{did_you_mean, listed},
    plan::StageKey,
};

/// The most stages of one matrix.
const MAX_MATRIX: usize = 256;
/// The most stages of a pipeline.
const MAX_STAGES: usize = 1000;

/// One stage of a matrix, or the stage itself.
#[derive(Debug, Clone)]
pub(crate) struct Expansion {
    pub key: StageKey,
    pub values: BTreeMap<String, Value>,
}

type Combination = Vec<(String, Value)>;

/// The stages of every matrix, by stage of the file.
pub(crate) fn expand(pipeline: &Pipeline, problems: &mut Problems<'_>) -> Vec<Vec<Expansion>> {
    let mut total = 0;
    let mut all = Vec::new();
    for stage in &pipeline.stages {
        let name = &stage.name.value;
        let expansions = match &stage.matrix {
            None => vec![Expansion { key: StageKey(name.clone()), values: BTreeMap::new() }],
            Some(matrix) => expansions(name, matrix, problems),
        };
        total += expansions.len();
        all.push(expansions);
        if total > MAX_STAGES {
            let message = format!("the pipeline has more than {MAX_STAGES} stages");
            problems.report(codes::TOO_MANY_STAGES, stage.name.place, message);
            all.resize_with(pipeline.stages.len(), Vec::new);
            return all;
        }
    }
    all
}

/// Those of `others` whose values agree with `one` in every name that both have.
pub(crate) fn matching<'e>(one: &Expansion, others: &'e [Expansion]) -> Vec<&'e Expansion> {
    let agrees = |other: &&Expansion| {
        other.values.iter().all(|(name, value)| one.values.get(name).is_none_or(|mine| mine == value))
    };
    others.iter().filter(agrees).collect()
}

fn expansions(name: &str, matrix: &Spanned<Matrix>, problems: &mut Problems<'_>) -> Vec<Expansion> {
    let place = matrix.place;
    let matrix = &matrix.value;
    let product =
        matrix.axes.iter().try_fold(1_usize, |product, (_, values)| product.checked_mul(values.len()));
    if product.is_none_or(|product| product > MAX_MATRIX * 16) {
        too_many(place, problems);
        return Vec::new();
    }
    let mut combinations = product_of(&matrix.axes);
    for exclude in &matrix.exclude {
        check_exclude(matrix, exclude, problems);
        combinations.retain(|combination| {
            !exclude.iter().all(|(name, value)| holds(combination, &name.value, value))
        });
    }
    for include in &matrix.include {
        add(&mut combinations, matrix, include);
    }
    if combinations.len() > MAX_MATRIX {
        too_many(place, problems);
        return Vec::new();
    }
    if combinations.is_empty() && !matrix.broken {
        let report = problems.report(codes::EMPTY_MATRIX, place, "the matrix makes no stage at all");
        report.help("give it a list with values, or `include`");
    }
    let mut expansions: Vec<Expansion> = Vec::new();
    for combination in combinations {
        let key = StageKey(format!("{name} ({})", describe(&combination)));
        if expansions.iter().any(|other| other.key == key) {
            problems.report(codes::BAD_MATRIX, place, format!("the matrix makes `{key}` twice"));
            continue;
        }
        expansions.push(Expansion { key, values: combination.into_iter().collect() });
    }
    expansions
}

fn too_many(place: Place, problems: &mut Problems<'_>) {
    let message = format!("the matrix makes more than {MAX_MATRIX} stages");
    problems.report(codes::TOO_MANY_STAGES, place, message);
}

fn product_of(axes: &[(Spanned<String>, Vec<Value>)]) -> Vec<Combination> {
    if axes.is_empty() {
        return Vec::new();
    }
    axes.iter().fold(vec![Vec::new()], |combinations, (name, values)| {
        let with = |combination: &Combination, value: &Value| {
            let mut longer = combination.clone();
            longer.push((name.value.clone(), value.clone()));
            longer
        };
        combinations
            .iter()
            .flat_map(|one| values.iter().map(|value| with(one, value)).collect::<Vec<_>>())
            .collect()
    })
}

fn holds(combination: &Combination, name: &str, value: &Value) -> bool {
    combination.iter().any(|(key, found)| key == name && found == value)
}

/// An `include` adds its other values to every combination that has its values of the matrix' own names; if there
/// is none, it is a combination of its own.
fn add(combinations: &mut Vec<Combination>, matrix: &Matrix, include: &[(Spanned<String>, Value)]) {
    let is_axis = |name: &str| matrix.axes.iter().any(|(axis, _)| axis.value == name);
    let (own, other): (Vec<_>, Vec<_>) = include.iter().partition(|(name, _)| is_axis(&name.value));
    let mut found = false;
    for combination in combinations.iter_mut() {
        // Only combinations of the matrix itself are added to, not those of earlier includes.
        let of_matrix =
            matrix.axes.iter().all(|(axis, _)| combination.iter().any(|(name, _)| *name == axis.value));
        if of_matrix
            && !matrix.axes.is_empty()
            && own.iter().all(|(name, value)| holds(combination, &name.value, value))
        {
            found = true;
            for (name, value) in &other {
                combination.retain(|(key, _)| *key != name.value);
                combination.push((name.value.clone(), value.clone()));
            }
        }
    }
    if !found {
        combinations.push(include.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect());
    }
}

fn check_exclude(matrix: &Matrix, exclude: &[(Spanned<String>, Value)], problems: &mut Problems<'_>) {
    for (name, value) in exclude {
        let axes = matrix.axes.iter().map(|(axis, _)| axis.value.as_str());
        match matrix.axes.iter().find(|(axis, _)| axis.value == name.value) {
            None => {
                let help = did_you_mean(&name.value, axes.clone())
                    .unwrap_or_else(|| format!("the lists of the matrix are {}", listed(axes)));
                let message = format!("the matrix has no list `{}`", name.value);
                problems.report(codes::BAD_MATRIX, name.place, message).help(help);
            }
            Some((_, values)) if !values.contains(value) => {
                let message = format!("`{}` is never {value}, so this leaves nothing out", name.value);
                problems.report(codes::BAD_MATRIX, name.place, message);
            }
            Some(_) => {}
        }
    }
}

fn describe(combination: &Combination) -> String {
    let pairs = combination.iter().map(|(name, value)| format!("{name}={}", to_text(value)));
    pairs.collect::<Vec<_>>().join(", ")
}
