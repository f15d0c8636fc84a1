//! Matrices: one stage for every combination of values.

use std::collections::BTreeMap;

use serde_json::Value;

use super::file::{Matrix, Pipeline};
use crate::{
    codes,
    diagnostic::{Problems, Spanned},
    expressions::to_text,
    matrix::{self, MAX_MATRIX},
    nearest::{did_you_mean, listed},
    plan::{Row, StageKey},
};

/// The most stages of a pipeline.
pub(crate) const MAX_STAGES: usize = crate::plan::MOST_STAGES;

/// One stage of a matrix, or the stage itself.
#[derive(Debug, Clone)]
pub(crate) struct Expansion {
    pub key: StageKey,
    pub values: BTreeMap<String, Value>,
    /// Stands for stages that are known only when its turn has come.
    pub open: bool,
}

/// The stages of every matrix, by stage of the file.
pub(crate) fn expand(pipeline: &Pipeline, problems: &mut Problems<'_>) -> Vec<Vec<Expansion>> {
    let mut total = 0;
    let mut all = Vec::new();
    for stage in &pipeline.stages {
        let name = &stage.name.value;
        let expansions = match &stage.matrix {
            None => vec![Expansion { key: StageKey(name.clone()), values: BTreeMap::new(), open: false }],
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
    for exclude in &matrix.exclude {
        check_exclude(matrix, exclude, problems);
    }
    if matrix.is_dynamic() {
        return vec![Expansion { key: StageKey(name.to_owned()), values: BTreeMap::new(), open: true }];
    }
    let row = |row: &Vec<(Spanned<String>, Value)>| {
        row.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect()
    };
    let lists = Lists {
        axes: matrix.axes.iter().map(|(name, values)| (name.value.clone(), values.clone())).collect(),
        include: matrix.include.iter().map(row).collect(),
        exclude: matrix.exclude.iter().map(row).collect(),
    };
    let combinations = match combine(&lists) {
        Ok(combinations) => combinations,
        Err(message) => {
            problems.report(codes::TOO_MANY_STAGES, place, message);
            return Vec::new();
        }
    };
    if combinations.is_empty() && !matrix.broken {
        let report = problems.report(codes::EMPTY_MATRIX, place, "the matrix makes no stage at all");
        report.help("give it a list with values, or `include`");
    }
    let mut expansions: Vec<Expansion> = Vec::new();
    for combination in combinations {
        let key = key(name, &combination);
        if expansions.iter().any(|other| other.key == key) {
            problems.report(codes::BAD_MATRIX, place, format!("the matrix makes `{key}` twice"));
            continue;
        }
        expansions.push(Expansion { key, values: combination.into_iter().collect(), open: false });
    }
    expansions
}

/// The key of one stage of a matrix.
pub(crate) fn key(name: &str, combination: &Row) -> StageKey {
    let pairs = combination.iter().map(|(name, value)| format!("{name}={}", to_text(value)));
    StageKey(format!("{name} ({})", pairs.collect::<Vec<_>>().join(", ")))
}

/// A matrix all of whose values are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    pub axes: Vec<(String, Vec<Value>)>,
    pub include: Vec<Row>,
    pub exclude: Vec<Row>,
}

/// Every combination, or that they are too many.
pub(crate) fn combine(lists: &Lists) -> Result<Vec<Row>, String> {
    let too_many = || format!("the matrix makes more than {MAX_MATRIX} stages");
    let axes = &lists.axes;
    let product = axes.iter().try_fold(1_usize, |product, (_, values)| product.checked_mul(values.len()));
    let Some(product) = product.filter(|product| *product <= MAX_MATRIX * 16) else { return Err(too_many()) };
    if lists.include.len() > MAX_MATRIX * 16 {
        return Err(too_many());
    }
    let rows = || lists.include.iter().chain(&lists.exclude);
    let names = rows().flatten().map(|(name, _)| name).chain(axes.iter().map(|(name, _)| name));
    matrix::comparable(product + lists.include.len(), rows().map(Vec::len).sum(), names)?;
    let mut combinations = product_of(axes);
    for exclude in &lists.exclude {
        combinations
            .retain(|combination| !exclude.iter().all(|(name, value)| holds(combination, name, value)));
    }
    for include in &lists.include {
        add(&mut combinations, axes, include);
    }
    if combinations.len() > MAX_MATRIX {
        return Err(too_many());
    }
    Ok(combinations)
}

fn product_of(axes: &[(String, Vec<Value>)]) -> Vec<Row> {
    if axes.is_empty() {
        return Vec::new();
    }
    axes.iter().fold(vec![Vec::new()], |combinations, (name, values)| {
        let with = |combination: &Row, value: &Value| {
            let mut longer = combination.clone();
            longer.push((name.clone(), value.clone()));
            longer
        };
        combinations
            .iter()
            .flat_map(|one| values.iter().map(|value| with(one, value)).collect::<Vec<_>>())
            .collect()
    })
}

fn holds(combination: &Row, name: &str, value: &Value) -> bool {
    combination.iter().any(|(key, found)| key == name && found == value)
}

/// An `include` adds its other values to every combination that has its values of the matrix' own names; if there
/// is none, it is a combination of its own.
fn add(combinations: &mut Vec<Row>, axes: &[(String, Vec<Value>)], include: &Row) {
    let is_axis = |name: &str| axes.iter().any(|(axis, _)| axis == name);
    let (own, other): (Vec<_>, Vec<_>) = include.iter().partition(|(name, _)| is_axis(name));
    let mut found = false;
    for combination in combinations.iter_mut() {
        // Only combinations of the matrix itself are added to, not those of earlier includes.
        let of_matrix = axes.iter().all(|(axis, _)| combination.iter().any(|(name, _)| name == axis));
        if of_matrix && !axes.is_empty() && own.iter().all(|(name, value)| holds(combination, name, value)) {
            found = true;
            for (name, value) in &other {
                combination.retain(|(key, _)| key != name);
                combination.push((name.clone(), value.clone()));
            }
        }
    }
    if !found {
        combinations.push(include.clone());
    }
}

fn check_exclude(matrix: &Matrix, exclude: &[(Spanned<String>, Value)], problems: &mut Problems<'_>) {
    for (name, value) in exclude {
        let axes = matrix.axes.iter().map(|(axis, _)| axis.value.as_str());
        match matrix.axes.iter().find(|(axis, _)| axis.value == name.value) {
            None if matrix.is_open() => {}
            None => {
                let help = did_you_mean(&name.value, axes.clone())
                    .unwrap_or_else(|| format!("the lists of the matrix are {}", listed(axes)));
                let message = format!("the matrix has no list `{}`", name.value);
                problems.report(codes::BAD_MATRIX, name.place, message).help(help);
            }
            // What an expression tells is not known yet.
            Some(_) if matrix.told.contains_key(&name.value) => {}
            Some((_, values)) if !values.contains(value) => {
                let message = format!("`{}` is never {value}, so this leaves nothing out", name.value);
                problems.report(codes::BAD_MATRIX, name.place, message);
            }
            Some(_) => {}
        }
    }
}
