//! The graph over `needs`: names that do not exist, circles, and what comes before what.

use std::collections::HashMap;

use crate::{
    codes,
    diagnostic::Problems,
    native::{expand::Expansion, file::Pipeline},
    nearest::{did_you_mean, listed},
};

/// The most needs of a pipeline, matrices expanded.
const MAX_NEEDS: usize = 20_000;

/// Stages by index.
pub(crate) struct Graph {
    /// Direct needs that exist.
    pub needs: Vec<Vec<usize>>,
    /// By stage: whether each other stage comes before it, directly or further up. With circles in the graph,
    /// everything does, so that one mistake does not look like many.
    upstream: Vec<Vec<bool>>,
    index: HashMap<String, usize>,
}

impl Graph {
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    pub(crate) fn is_upstream(&self, before: usize, after: usize) -> bool {
        self.upstream.get(after).and_then(|row| row.get(before)).copied().unwrap_or_default()
    }

    /// All stages before this one, in the order of the file.
    pub(crate) fn upstream_of(&self, stage: usize) -> Vec<usize> {
        (0..self.needs.len()).filter(|other| self.is_upstream(*other, stage)).collect()
    }
}

pub(super) fn graph(pipeline: &Pipeline, problems: &mut Problems<'_>) -> Graph {
    let stages = &pipeline.stages;
    let index: HashMap<_, _> =
        stages.iter().enumerate().map(|(index, stage)| (stage.name.value.clone(), index)).collect();
    let mut needs = vec![Vec::new(); stages.len()];
    for (stage, list) in stages.iter().zip(&mut needs) {
        for need in &stage.needs {
            match index.get(&need.stage.value) {
                Some(found) => list.push(*found),
                None => {
                    let names = stages.iter().map(|other| other.name.value.as_str());
                    let others: Vec<_> = names.filter(|name| *name != stage.name.value).collect();
                    let help = did_you_mean(&need.stage.value, others.iter().copied())
                        .unwrap_or_else(|| format!("the other stages are {}", listed(others)));
                    let message = format!("there is no stage `{}`", need.stage.value);
                    problems.report(codes::UNKNOWN_STAGE, need.stage.place, message).help(help);
                }
            }
        }
    }
    let order = topological(&needs);
    let upstream = match &order {
        Ok(order) => closure(&needs, order),
        Err(left) => {
            report_cycles(pipeline, &needs, left, problems);
            vec![vec![true; stages.len()]; stages.len()]
        }
    };
    Graph { needs, upstream, index }
}

/// A need between two matrices is one between each two of their stages, which adds up.
pub(super) fn limit(
    pipeline: &Pipeline,
    graph: &Graph,
    expansions: &[Vec<Expansion>],
    problems: &mut Problems<'_>,
) {
    let count = |stage: usize| expansions.get(stage).map_or(0, Vec::len);
    let mut total = 0_usize;
    for (index, (stage, needs)) in pipeline.stages.iter().zip(&graph.needs).enumerate() {
        total += count(index) * needs.iter().map(|need| count(*need)).sum::<usize>();
        if total > MAX_NEEDS {
            let message = format!("the pipeline has more than {MAX_NEEDS} needs between its stages");
            let report = problems.report(codes::TOO_MANY_STAGES, stage.place_of("needs"), message);
            report.help("put a stage between two matrices, or leave out needs that follow from others");
            return;
        }
    }
}

/// Stages so that each comes after its needs; or those that are in a circle or behind one.
fn topological(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut dependents = vec![Vec::new(); needs.len()];
    for (stage, list) in needs.iter().enumerate() {
        list.iter().for_each(|need| dependents[*need].push(stage));
    }
    let mut order: Vec<usize> = (0..needs.len()).filter(|stage| missing[*stage] == 0).collect();
    let mut next = 0;
    while let Some(stage) = order.get(next).copied() {
        next += 1;
        for dependent in &dependents[stage] {
            missing[*dependent] -= 1;
            if missing[*dependent] == 0 {
                order.push(*dependent);
            }
        }
    }
    if order.len() == needs.len() {
        return Ok(order);
    }
    Err((0..needs.len()).filter(|stage| missing[*stage] > 0).collect())
}

fn closure(needs: &[Vec<usize>], order: &[usize]) -> Vec<Vec<bool>> {
    let mut upstream = vec![vec![false; needs.len()]; needs.len()];
    for stage in order {
        let mut row = vec![false; needs.len()];
        for need in &needs[*stage] {
            row[*need] = true;
            row.iter_mut().zip(&upstream[*need]).for_each(|(mine, theirs)| *mine |= theirs);
        }
        upstream[*stage] = row;
    }
    upstream
}

/// Names every circle that has no stage with another one in common: from any stage that never begins, its needs
/// that never begin lead into one.
fn report_cycles(pipeline: &Pipeline, needs: &[Vec<usize>], left: &[usize], problems: &mut Problems<'_>) {
    let mut seen = vec![false; needs.len()];
    for start in left {
        let mut path = Vec::new();
        let mut stage = *start;
        while !seen[stage] {
            seen[stage] = true;
            path.push(stage);
            match needs[stage].iter().find(|need| left.contains(need)) {
                Some(next) => stage = *next,
                None => break,
            }
        }
        // The walk ends at a stage seen before: one of this walk closes a circle, another's was reported.
        if let Some(at) = path.iter().position(|one| *one == stage) {
            report_cycle(pipeline, &path[at..], problems);
        }
    }
}

fn report_cycle(pipeline: &Pipeline, circle: &[usize], problems: &mut Problems<'_>) {
    let name = |stage: usize| pipeline.stages[stage].name.value.as_str();
    let place = |from: usize, to: usize| {
        let need = pipeline.stages[from].needs.iter().find(|need| need.stage.value == name(to));
        need.map_or(pipeline.stages[from].name.place, |need| need.stage.place)
    };
    let next = |at: usize| circle[(at + 1) % circle.len()];
    let message = if let [alone] = circle {
        format!("stage `{}` needs itself", name(*alone))
    } else {
        let names = circle.iter().chain(circle.first()).map(|stage| format!("`{}`", name(*stage)));
        format!("these stages need each other in a circle: {}", names.collect::<Vec<_>>().join(" → "))
    };
    let mut report = problems.report(codes::CYCLE, place(circle[0], next(0)), message);
    for (at, stage) in circle.iter().enumerate().skip(1) {
        report =
            report.related(place(*stage, next(at)), format!("`{}` needs `{}`", name(*stage), name(next(at))));
    }
    report.help("remove one of these needs");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_closure() {
        let needs = vec![vec![], vec![0], vec![1], vec![0]];
        let order = topological(&needs).unwrap();
        let upstream = closure(&needs, &order);
        assert_eq!(upstream[2], [true, true, false, false]);
        assert_eq!(upstream[3], [true, false, false, false]);
        assert_eq!(topological(&[vec![1], vec![0], vec![]]), Err(vec![0, 1]));
    }
}
