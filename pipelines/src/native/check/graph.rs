//! The graph over `needs`: names that do not exist, circles, and what comes before what.

use crate::{
    codes,
    diagnostic::{Place, Problems},
    native::{
        expand::Expansion,
        file::{Local, Need, Pipeline},
    },
    nearest::{did_you_mean, listed},
    plan::NeedState,
};

/// The most needs of a pipeline, matrices expanded.
const MAX_NEEDS: usize = 20_000;

/// A need, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    /// The stage that comes before.
    pub to: usize,
    pub accepts: NeedState,
    /// Where it is said.
    pub place: Place,
}

/// Stages by index.
pub(crate) struct Graph {
    /// Direct needs that exist.
    pub needs: Vec<Vec<Edge>>,
    /// By stage: whether each other stage comes before it, directly or further up. With circles in the graph,
    /// everything does, so that one mistake does not look like many.
    upstream: Vec<Vec<bool>>,
}

impl Graph {
    pub(crate) fn is_upstream(&self, before: usize, after: usize) -> bool {
        self.upstream.get(after).and_then(|row| row.get(before)).copied().unwrap_or_default()
    }

    /// All stages before this one, in the order of the file.
    pub(crate) fn upstream_of(&self, stage: usize) -> Vec<usize> {
        (0..self.needs.len()).filter(|other| self.is_upstream(*other, stage)).collect()
    }

    /// Whether one is a direct need of the other.
    pub(crate) fn is_needed(&self, before: usize, after: usize) -> bool {
        self.needs.get(after).is_some_and(|edges| edges.iter().any(|edge| edge.to == before))
    }
}

pub(super) fn graph(pipeline: &Pipeline, problems: &mut Problems<'_>) -> Graph {
    let count = pipeline.stages.len();
    let mut resolver = Resolver { pipeline, last: vec![None; pipeline.scopes.len()] };
    let mut needs = Vec::with_capacity(count);
    for index in 0..count {
        needs.push(resolver.edges(index, problems));
    }
    let order = topological(&needs);
    let upstream = match &order {
        Ok(order) => closure(&needs, order),
        Err(left) => {
            report_cycles(pipeline, &needs, left, problems);
            vec![vec![true; count]; count]
        }
    };
    Graph { needs, upstream }
}

/// From the names under `needs` to stages.
struct Resolver<'p> {
    pipeline: &'p Pipeline,
    /// By scope: the last stages of a use, once they were asked for.
    last: Vec<Option<Vec<usize>>>,
}

impl<'p> Resolver<'p> {
    fn edges(&mut self, index: usize, problems: &mut Problems<'_>) -> Vec<Edge> {
        let Some((needs, scope)) = self.needs_of(index, None) else { return Vec::new() };
        let mut edges: Vec<Edge> = Vec::new();
        for need in needs {
            let targets = match self.targets(scope, &need.stage.value) {
                Some(targets) => targets,
                None => {
                    self.report_unknown(index, scope, need, problems);
                    continue;
                }
            };
            for to in targets {
                if !edges.iter().any(|edge| edge.to == to && edge.accepts == need.accepts) {
                    edges.push(Edge { to, accepts: need.accepts, place: need.stage.place });
                }
            }
        }
        edges
    }

    /// What a stage needs, and the scope of those names: a stage without needs of its own has those of the use that
    /// it is part of. Nothing of `within` or around it.
    fn needs_of(&self, index: usize, within: Option<usize>) -> Option<(&'p [Need], usize)> {
        let stage = self.pipeline.stages.get(index)?;
        let (mut needs, mut scope) = (stage.needs.as_slice(), stage.scope);
        while needs.is_empty() {
            if within == Some(scope) {
                return None;
            }
            let call = self.pipeline.scope(scope)?.call.as_ref()?;
            (needs, scope) = (&call.needs, call.parent);
        }
        Some((needs, scope))
    }

    /// The stages behind a name. Of a use those after which nothing else of it comes.
    fn targets(&mut self, scope: usize, name: &str) -> Option<Vec<usize>> {
        match self.pipeline.lookup(scope, name)? {
            Local::Stage(index) => Some(vec![index]),
            Local::Call(inner) => Some(self.last_of(inner)),
        }
    }

    /// Looks only at what is inside of the use, so that circles around it do not matter.
    fn last_of(&mut self, scope: usize) -> Vec<usize> {
        if let Some(Some(known)) = self.last.get(scope) {
            return known.clone();
        }
        let call = self.pipeline.scope(scope).and_then(|scope| scope.call.as_ref());
        let range = call.map_or(0..0, |call| call.stages.clone());
        let mut needed = vec![false; range.len()];
        for index in range.clone() {
            let Some((needs, names)) = self.needs_of(index, Some(scope)) else { continue };
            for target in needs
                .iter()
                .filter_map(|need| self.targets(names, &need.stage.value))
                .flatten()
                .collect::<Vec<_>>()
            {
                if let Some(needed) = target.checked_sub(range.start).and_then(|at| needed.get_mut(at)) {
                    *needed = true;
                }
            }
        }
        let last: Vec<usize> =
            range.zip(needed).filter(|(_, needed)| !needed).map(|(index, _)| index).collect();
        if let Some(known) = self.last.get_mut(scope) {
            *known = Some(last.clone());
        }
        last
    }

    fn report_unknown(&self, index: usize, scope: usize, need: &Need, problems: &mut Problems<'_>) {
        let own = self.pipeline.lookup(scope, &need.stage.value) == Some(Local::Stage(index));
        let others = self.pipeline.names_of(scope);
        let own_name = |name: &&str| self.pipeline.lookup(scope, name) == Some(Local::Stage(index));
        let others: Vec<_> = others.into_iter().filter(|name| own || !own_name(name)).collect();
        let help = did_you_mean(&need.stage.value, others.iter().copied()).unwrap_or_else(|| {
            match others.as_slice() {
                [] => "it is the only stage of the file".to_owned(),
                others => format!("the other stages are {}", listed(others.iter().copied())),
            }
        });
        let message = format!("there is no stage `{}`", need.stage.value);
        problems.report(codes::UNKNOWN_STAGE, need.stage.place, message).help(help);
    }
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
        total += count(index) * needs.iter().map(|need| count(need.to)).sum::<usize>();
        if total > MAX_NEEDS {
            let message = format!("the pipeline has more than {MAX_NEEDS} needs between its stages");
            let report = problems.report(codes::TOO_MANY_STAGES, stage.place_of("needs"), message);
            report.help("put a stage between two matrices, or leave out needs that follow from others");
            return;
        }
    }
}

/// Stages so that each comes after its needs; or those that are in a circle or behind one.
fn topological(needs: &[Vec<Edge>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut dependents = vec![Vec::new(); needs.len()];
    for (stage, list) in needs.iter().enumerate() {
        list.iter().for_each(|need| dependents[need.to].push(stage));
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

fn closure(needs: &[Vec<Edge>], order: &[usize]) -> Vec<Vec<bool>> {
    let mut upstream = vec![vec![false; needs.len()]; needs.len()];
    for stage in order {
        let mut row = vec![false; needs.len()];
        for need in &needs[*stage] {
            row[need.to] = true;
            row.iter_mut().zip(&upstream[need.to]).for_each(|(mine, theirs)| *mine |= theirs);
        }
        upstream[*stage] = row;
    }
    upstream
}

/// Names every circle that has no stage with another one in common: from any stage that never begins, its needs
/// that never begin lead into one.
fn report_cycles(pipeline: &Pipeline, needs: &[Vec<Edge>], left: &[usize], problems: &mut Problems<'_>) {
    let mut seen = vec![false; needs.len()];
    for start in left {
        let mut path = Vec::new();
        let mut stage = *start;
        while !seen[stage] {
            seen[stage] = true;
            path.push(stage);
            match needs[stage].iter().map(|need| need.to).find(|need| left.contains(need)) {
                Some(next) => stage = next,
                None => break,
            }
        }
        // The walk ends at a stage seen before: one of this walk closes a circle, another's was reported.
        if let Some(at) = path.iter().position(|one| *one == stage) {
            report_cycle(pipeline, needs, &path[at..], problems);
        }
    }
}

fn report_cycle(pipeline: &Pipeline, needs: &[Vec<Edge>], circle: &[usize], problems: &mut Problems<'_>) {
    let name = |stage: usize| pipeline.stages[stage].name.value.as_str();
    let place = |from: usize, to: usize| {
        let need = needs[from].iter().find(|need| need.to == to);
        need.map_or(pipeline.stages[from].name.place, |need| need.place)
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
        let edge = |to| Edge { to, accepts: NeedState::Succeeded, place: Place::default() };
        let needs = vec![vec![], vec![edge(0)], vec![edge(1)], vec![edge(0)]];
        let order = topological(&needs).unwrap();
        let upstream = closure(&needs, &order);
        assert_eq!(upstream[2], [true, true, false, false]);
        assert_eq!(upstream[3], [true, false, false, false]);
        assert_eq!(topological(&[vec![edge(1)], vec![edge(0)], vec![]]), Err(vec![0, 1]));
    }
}
