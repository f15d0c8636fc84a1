//! Checks over the whole file, once all of it is read: the graph, what verbs refer to, expressions, warnings.

mod expressions;
mod graph;
mod links;
mod verbs;
mod warnings;

pub(crate) use graph::{Edge, Graph};
pub(crate) use links::Links;

use super::{
    expand::{self, Expansion},
    file::Pipeline,
    reader::Use,
    rewrite::Rewriter,
};
use crate::diagnostic::Problems;

/// What the checks worked out, for the plan.
pub(crate) struct Checked {
    pub graph: Graph,
    /// By stage: what it refers to.
    pub links: Vec<Links>,
    /// By stage: the stages that its matrix makes, or itself.
    pub expansions: Vec<Vec<Expansion>>,
}

/// All checks. What is worked out is complete only when nothing was reported.
pub(crate) fn check(pipeline: &Pipeline, uses: &[Use], problems: &mut Problems<'_>) -> Checked {
    let graph = graph::graph(pipeline, problems);
    let expansions = expand::expand(pipeline, problems);
    graph::limit(pipeline, &graph, &expansions, problems);
    for stage in &pipeline.stages {
        verbs::check(pipeline, stage, problems);
    }
    let rewriter = Rewriter::new(pipeline, problems);
    let links = links::links(pipeline, &graph, &expansions, &rewriter, problems);
    expressions::check(pipeline, &graph, &rewriter, uses, problems);
    warnings::check(pipeline, &links, problems);
    Checked { graph, links, expansions }
}
