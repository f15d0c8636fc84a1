//! A pipeline's stages as a drawing: text for a terminal, Mermaid for documents, SVG for pages.
//!
//! ```text
//! plan -> Graph -> layers (rank, order) -> place (columns) -> text | svg
//!              \-> mermaid, which does its own layout
//! ```
//!
//! The stages of one matrix are one node. A need that follows from others is not drawn: between two stages there is
//! at most what a reader must know. All of it is bounded by the plan's own limits (1,000 stages, 20,000 needs).

mod layers;
mod mermaid;
mod place;
mod svg;
mod text;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::{
    expand::each_once,
    plan::{NeedState, Plan, StagePlan, Verb},
};

/// The stages of a pipeline and what comes before what.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The pipeline's name.
    name: String,
    nodes: Vec<Node>,
    /// From and to, as indexes of nodes; acyclic, without what follows from the others.
    edges: Vec<Edge>,
}

/// A stage, or all stages of a matrix.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    title: String,
    verb: &'static str,
    /// `4 × node=20, 22`
    matrix: Option<String>,
    /// The environment whose rules may hold it at a gate.
    gate: Option<String>,
    /// Needs that accept something else than success, as words.
    after: Vec<String>,
    conditional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edge {
    from: usize,
    to: usize,
    accepts: NeedState,
}

impl Graph {
    /// The graph of a plan.
    pub fn of(plan: &Plan) -> Self {
        let plan = each_once(plan);
        let mut index: HashMap<&str, usize> = HashMap::new();
        let mut groups: Vec<Vec<&StagePlan>> = Vec::new();
        for stage in &plan.stages {
            let at = *index.entry(stage.name.as_str()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.push(stage);
            }
        }
        let by_key: HashMap<&str, usize> = plan
            .stages
            .iter()
            .filter_map(|stage| Some((stage.key.0.as_str(), *index.get(stage.name.as_str())?)))
            .collect();
        let mut edges: BTreeMap<(usize, usize), NeedState> = BTreeMap::new();
        for stage in &plan.stages {
            let Some(to) = index.get(stage.name.as_str()) else { continue };
            for need in &stage.needs {
                if let Some(from) = by_key.get(need.stage.0.as_str()).filter(|from| *from != to) {
                    edges.insert((*from, *to), need.accepts);
                }
            }
        }
        let edges: Vec<Edge> =
            edges.into_iter().map(|((from, to), accepts)| Edge { from, to, accepts }).collect();
        let mut nodes: Vec<Node> = groups.iter().filter_map(|group| node(group)).collect();
        for edge in &edges {
            let word = match edge.accepts {
                NeedState::Succeeded => continue,
                NeedState::Failed => "failed",
                NeedState::Finished => "finished",
            };
            let from = nodes.get(edge.from).map(|node| node.title.clone()).unwrap_or_default();
            if let Some(node) = nodes.get_mut(edge.to) {
                node.after.push(format!("{from} {word}"));
            }
        }
        let edges = reduced(nodes.len(), edges);
        Self { name: plan.name.clone(), nodes, edges }
    }

    /// For a terminal of that many columns.
    pub fn text(&self, columns: usize) -> String {
        text::draw(self, columns)
    }

    /// As a Mermaid flowchart.
    pub fn mermaid(&self) -> String {
        mermaid::draw(self)
    }

    /// As an SVG image that needs nothing else, for light and dark pages.
    pub fn svg(&self) -> String {
        svg::draw(self)
    }
}

fn node(group: &[&StagePlan]) -> Option<Node> {
    let first = group.first()?;
    let gate = match &first.verb {
        // What is checked was let through already.
        Verb::Smoke(_) => None,
        _ => first.environment().map(|environment| environment.0.clone()),
    };
    let title = match (group, &first.title) {
        ([_], Some(title)) if !title.trim().is_empty() => title,
        _ => &first.name,
    };
    Some(Node {
        title: clean(title.trim()),
        verb: first.verb.name(),
        matrix: (!first.matrix.is_empty()).then(|| matrix(group)),
        gate: gate.map(|gate| clean(&gate)),
        after: Vec::new(),
        conditional: first.condition.is_some(),
    })
}

/// `4 × node=20, 22 os=…`
fn matrix(group: &[&StagePlan]) -> String {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in group.iter().flat_map(|stage| &stage.matrix) {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let known = values.entry(name).or_default();
        if known.len() < 8 && !known.contains(&text) {
            known.push(text);
        }
    }
    let axes: Vec<String> =
        values.into_iter().map(|(name, values)| format!("{name}={}", values.join(", "))).collect();
    clean(&format!("{} × {}", group.len(), axes.join(" ")))
}

/// One line without characters that steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Without the edges that say nothing new: a plain need of something that another need already waits for.
fn reduced(nodes: usize, edges: Vec<Edge>) -> Vec<Edge> {
    let words = nodes.div_ceil(64);
    let order = layers::ranks(nodes, &edges);
    let mut by_rank: Vec<usize> = (0..nodes).collect();
    by_rank.sort_by_key(|node| std::cmp::Reverse(order.get(*node).copied().unwrap_or_default()));
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    for edge in &edges {
        if let Some(list) = next.get_mut(edge.from) {
            list.push(edge.to);
        }
    }
    // By node: what can be reached from it, itself left out.
    let mut reach: Vec<Vec<u64>> = vec![vec![0; words]; nodes];
    for node in by_rank {
        let mut set = vec![0_u64; words];
        for to in next.get(node).into_iter().flatten() {
            for (word, more) in set.iter_mut().zip(reach.get(*to).into_iter().flatten()) {
                *word |= more;
            }
            if let Some(word) = set.get_mut(to / 64) {
                *word |= 1 << (to % 64);
            }
        }
        if let Some(own) = reach.get_mut(node) {
            *own = set;
        }
    }
    let reaches = |from: usize, to: usize| {
        reach.get(from).and_then(|set| set.get(to / 64)).is_some_and(|word| word >> (to % 64) & 1 == 1)
    };
    let implied = |edge: &Edge| {
        edge.accepts == NeedState::Succeeded
            && next.get(edge.from).into_iter().flatten().any(|via| *via != edge.to && reaches(*via, edge.to))
    };
    let keep: Vec<bool> = edges.iter().map(|edge| !implied(edge)).collect();
    edges.into_iter().zip(keep).filter_map(|(edge, keep)| keep.then_some(edge)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A graph of plain stages; edges are named like `a>b`.
    pub(crate) fn graph(nodes: &[&str], edges: &[&str]) -> Graph {
        let at = |name: &str| nodes.iter().position(|one| *one == name).unwrap();
        let edges = edges.iter().map(|edge| {
            let (from, to) = edge.split_once('>').unwrap();
            Edge { from: at(from), to: at(to), accepts: NeedState::Succeeded }
        });
        let edges = reduced(nodes.len(), edges.collect());
        let node = |title: &&str| Node {
            title: (*title).to_owned(),
            verb: "run",
            matrix: None,
            gate: None,
            after: Vec::new(),
            conditional: false,
        };
        Graph { name: "p".to_owned(), nodes: nodes.iter().map(node).collect(), edges }
    }

    pub(crate) fn delivery() -> Graph {
        let text = include_str!("../../tests/golden/delivery.yml");
        of(text)
    }

    pub(crate) fn of(text: &str) -> Graph {
        use crate::{
            Compiled, Setting, SourceFile, compile,
            event::{Event, EventKind, GitFacts},
        };
        let git = GitFacts::of_branch("main", &"a".repeat(40));
        let event = Event::new(EventKind::Push, "team/app", "main", git, "ann");
        let file = SourceFile { path: "p.yml", text };
        match compile(&file, &event, Setting::default()).result {
            Some(Compiled::Plan(plan)) => Graph::of(&plan),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_follows_from_other_needs_is_left_out() {
        let graph = graph(&["a", "b", "c", "d"], &["a>b", "b>c", "a>c", "c>d", "a>d", "b>d"]);
        let kept: Vec<_> = graph.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        assert_eq!(kept, [(0, 1), (1, 2), (2, 3)]);
    }

    #[test]
    fn a_matrix_is_one_node() {
        let graph = of("
on: push
defaults: {image: \"debian:12\"}
stages:
  test: {matrix: {os: [a, b], v: [1, 2]}, run: x}
  tell: {needs: {test: failed}, run: x}
");
        assert_eq!(graph.nodes.len(), 2);
        assert_eq!(graph.nodes[0].matrix.as_deref(), Some("4 × os=a, b v=1, 2"));
        assert_eq!(graph.nodes[1].after, ["test failed"]);
        assert_eq!(graph.edges, [Edge { from: 0, to: 1, accepts: NeedState::Failed }]);
    }

    proptest::proptest! {
        #[test]
        fn any_graph_can_be_drawn_in_any_width(
            size in 1_usize..14,
            pairs in proptest::collection::vec((0_usize..14, 0_usize..14), 0..40),
            columns in 20_usize..120,
        ) {
            let names: Vec<String> = (0..size).map(|number| format!("s{number}")).collect();
            let nodes: Vec<&str> = names.iter().map(String::as_str).collect();
            let edges: Vec<String> = pairs
                .iter()
                .filter(|(from, to)| from < to && *to < size)
                .map(|(from, to)| format!("s{from}>s{to}"))
                .collect();
            let edges: std::collections::BTreeSet<&str> = edges.iter().map(String::as_str).collect();
            let graph = graph(&nodes, &edges.into_iter().collect::<Vec<_>>());
            let text = graph.text(columns);
            for line in text.lines() {
                proptest::prop_assert!(line.chars().count() <= columns, "{}", text);
            }
            for name in &names {
                proptest::prop_assert!(text.contains(name.as_str()), "{} is missing:\n{}", name, text);
            }
            let image = graph.svg();
            proptest::prop_assert_eq!(image.matches("<path").count(), graph.edges.len());
            proptest::prop_assert!(graph.mermaid().lines().count() > size);
        }
    }

    #[test]
    fn deployments_are_marked_with_their_environment() {
        let graph = delivery();
        let gates: Vec<_> = graph.nodes.iter().filter_map(|node| node.gate.as_deref()).collect();
        assert!(!gates.is_empty() && graph.nodes.iter().any(|node| node.verb == "deploy"), "{graph:?}");
    }
}
