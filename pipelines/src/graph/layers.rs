//! Ranks and order: every stage in the row below the lowest of its needs, rows ordered so that few lines cross.
//!
//! An edge over several rows passes through the rows between, one way for all edges of a stage. The order is found by
//! sweeps that put each slot at the mean of its neighbours; the best of them is kept.

use super::{Edge, Graph};

/// More ways through rows than this are not drawn.
const MOST_WAYS: usize = 4000;
const SWEEPS: usize = 8;

/// Stages in rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layers {
    pub rows: Vec<Vec<Slot>>,
    /// By row: lines to the next one, as indexes in both.
    pub links: Vec<Vec<(usize, usize)>>,
}

/// A place in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Stage(usize),
    /// Edges of this stage pass through.
    Way(usize),
}

/// The row of each node: one below the lowest of those before it.
pub(super) fn ranks(nodes: usize, edges: &[Edge]) -> Vec<usize> {
    let mut open = vec![0_usize; nodes];
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    for edge in edges {
        if let (Some(count), Some(list)) = (open.get_mut(edge.to), next.get_mut(edge.from)) {
            *count += 1;
            list.push(edge.to);
        }
    }
    let mut ranks = vec![0_usize; nodes];
    let mut ready: Vec<usize> = (0..nodes).filter(|node| open.get(*node) == Some(&0)).collect();
    while let Some(node) = ready.pop() {
        let below = ranks.get(node).copied().unwrap_or_default() + 1;
        for to in next.get(node).into_iter().flatten() {
            if let (Some(rank), Some(count)) = (ranks.get_mut(*to), open.get_mut(*to)) {
                *rank = (*rank).max(below);
                *count -= 1;
                if *count == 0 {
                    ready.push(*to);
                }
            }
        }
    }
    ranks
}

/// Rows and lines; None when there are too many lines to be drawn.
pub(super) fn layers(graph: &Graph) -> Option<Layers> {
    let ranks = ranks(graph.nodes.len(), &graph.edges);
    let mut rows: Vec<Vec<Slot>> = vec![Vec::new(); ranks.iter().max().map_or(0, |most| most + 1)];
    for (node, rank) in ranks.iter().enumerate() {
        rows.get_mut(*rank)?.push(Slot::Stage(node));
    }
    let mut links: Vec<Vec<(usize, usize)>> = vec![Vec::new(); rows.len().saturating_sub(1)];
    let mut ways = 0;
    for edge in &graph.edges {
        let (from, to) = (*ranks.get(edge.from)?, *ranks.get(edge.to)?);
        let mut slot = Slot::Stage(edge.from);
        for rank in from..to {
            let below = if rank + 1 == to { Slot::Stage(edge.to) } else { Slot::Way(edge.from) };
            let row = rows.get_mut(rank + 1)?;
            let at = match row.iter().position(|one| *one == below) {
                Some(at) => at,
                None => {
                    ways += 1;
                    if ways > MOST_WAYS {
                        return None;
                    }
                    row.push(below);
                    row.len() - 1
                }
            };
            let above = rows.get(rank)?.iter().position(|one| *one == slot)?;
            let line = (above, at);
            let list = links.get_mut(rank)?;
            if !list.contains(&line) {
                list.push(line);
            }
            slot = below;
        }
    }
    let mut layers = Layers { rows, links };
    layers.untangle();
    Some(layers)
}

impl Layers {
    /// Orders the rows so that few lines cross.
    fn untangle(&mut self) {
        let mut best = (self.crossings(), self.clone());
        for _ in 0..SWEEPS {
            if best.0 == 0 {
                break;
            }
            for row in 1..self.rows.len() {
                self.order(row, true);
            }
            for row in (0..self.rows.len().saturating_sub(1)).rev() {
                self.order(row, false);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.clone());
            }
        }
        *self = best.1;
    }

    /// Orders one row by the means of its neighbours above or below.
    fn order(&mut self, row: usize, above: bool) {
        let count = self.rows.get(row).map_or(0, Vec::len);
        let mut sums = vec![(0_usize, 0_usize); count];
        let links =
            if above { row.checked_sub(1).and_then(|at| self.links.get(at)) } else { self.links.get(row) };
        for (up, down) in links.into_iter().flatten() {
            let (own, other) = if above { (down, up) } else { (up, down) };
            if let Some((sum, many)) = sums.get_mut(*own) {
                *sum += other;
                *many += 1;
            }
        }
        let mean = |at: usize| match sums.get(at) {
            Some((sum, many)) if *many > 0 => *sum as f64 / *many as f64,
            _ => at as f64,
        };
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)).then(a.cmp(b)));
        self.reorder(row, &order);
    }

    /// Puts a row into this order of its present indexes.
    fn reorder(&mut self, row: usize, order: &[usize]) {
        let mut new_index = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            if let Some(index) = new_index.get_mut(*old) {
                *index = new;
            }
        }
        if let Some(slots) = self.rows.get_mut(row) {
            *slots = order.iter().filter_map(|old| slots.get(*old).copied()).collect();
        }
        let moved = |old: usize| new_index.get(old).copied().unwrap_or(old);
        if let Some(links) = row.checked_sub(1).and_then(|at| self.links.get_mut(at)) {
            links.iter_mut().for_each(|(_, down)| *down = moved(*down));
        }
        if let Some(links) = self.links.get_mut(row) {
            links.iter_mut().for_each(|(up, _)| *up = moved(*up));
        }
    }

    /// How many pairs of lines cross: inversions of the lower ends when the upper ends are in order.
    pub(super) fn crossings(&self) -> usize {
        let mut all = 0;
        for (row, links) in self.links.iter().enumerate() {
            let mut links = links.clone();
            links.sort_unstable();
            let size = self.rows.get(row + 1).map_or(0, Vec::len) + 1;
            // A binary indexed tree of the lower ends seen so far.
            let mut tree = vec![0_usize; size + 1];
            for (seen, (_, down)) in links.iter().enumerate() {
                let mut at = down + 1;
                let mut not_right = 0;
                while at > 0 {
                    not_right += tree.get(at).copied().unwrap_or_default();
                    at &= at - 1;
                }
                all += seen - not_right;
                let mut at = down + 1;
                while let Some(count) = tree.get_mut(at) {
                    *count += 1;
                    at += at & at.wrapping_neg();
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::graph;

    #[test]
    fn stages_stand_below_all_that_they_need() {
        let graph = graph(&["a", "b", "c", "d"], &["a>b", "b>c", "a>d", "d>c"]);
        assert_eq!(ranks(4, &graph.edges), [0, 1, 2, 1]);
    }

    #[test]
    fn long_edges_pass_through_the_rows_between() {
        let graph = graph(&["a", "b", "c", "x"], &["a>b", "b>c", "x>c"]);
        let layers = layers(&graph).unwrap();
        assert_eq!(layers.rows.len(), 3);
        assert!(layers.rows[1].contains(&Slot::Way(3)), "{layers:?}");
        assert_eq!(layers.links[0].len() + layers.links[1].len(), 4);
    }

    #[test]
    fn crossings_are_counted_and_removed() {
        let graph = graph(&["a", "b", "c", "x", "y", "z"], &["a>z", "b>y", "c>x"]);
        let rows = vec![
            vec![Slot::Stage(0), Slot::Stage(1), Slot::Stage(2)],
            vec![Slot::Stage(3), Slot::Stage(4), Slot::Stage(5)],
        ];
        let tangled = Layers { rows, links: vec![vec![(0, 2), (1, 1), (2, 0)]] };
        assert_eq!(tangled.crossings(), 3);
        assert_eq!(layers(&graph).unwrap().crossings(), 0);
    }

    #[test]
    fn more_ways_than_can_be_drawn_are_refused() {
        let names: Vec<String> = (0..600).map(|number| format!("s{number}")).collect();
        let nodes: Vec<&str> = names.iter().map(String::as_str).collect();
        let chain = (0..299).map(|at| format!("s{at}>s{}", at + 1));
        let long = (300..600).map(|at| format!("s{at}>s299"));
        let edges: Vec<String> = chain.chain(long).collect();
        let edges: Vec<&str> = edges.iter().map(String::as_str).collect();
        assert_eq!(layers(&graph(&nodes, &edges)), None);
    }
}
