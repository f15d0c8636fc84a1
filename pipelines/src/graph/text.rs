//! Text: boxes in rows with lines between, as wide as the terminal allows; where it is too narrow (or the lines would
//! say something that is not so), a list of the rows.
//!
//! Between two rows, the stages that lead to the same others share one horizontal line, a bus. A bus must not run over
//! the column where another one comes down to its own stages: that orders the buses from top to bottom, and where no
//! order does, there is no drawing. A line that only crosses another is drawn over it without a joint.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Graph, Node,
    layers::{Layers, Slot, layers, ranks},
    place::{Columns, aligned, tight},
};

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// More than this is no picture any more.
const MOST_CELLS: usize = 400_000;

pub(super) fn draw(graph: &Graph, columns: usize) -> String {
    if graph.nodes.is_empty() {
        return String::new();
    }
    let layers = layers(graph);
    // Long labels first, then shorter ones.
    for longest in [36, 24, 16, 10] {
        if let Some(drawing) = layers.as_ref().and_then(|layers| boxes(graph, layers, columns, longest)) {
            return drawing;
        }
    }
    list(graph, columns)
}

/// What stands in a stage's box.
pub(super) fn lines(node: &Node) -> Vec<String> {
    let mut lines = vec![node.title.clone()];
    lines.extend(node.matrix.clone());
    match (&node.gate, node.verb) {
        (Some(gate), verb) => lines.push(format!("{verb} ⏸ {gate}")),
        (None, "run") => {}
        (None, verb) if verb == node.title => {}
        (None, verb) => lines.push(verb.to_owned()),
    }
    if node.after.is_empty() && node.conditional {
        lines.push("if …".to_owned());
    }
    if !node.after.is_empty() {
        lines.push(format!("after {}", node.after.join(", ")));
    }
    lines
}

/// At most so many letters, with an ellipsis where some are left out.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The drawing, if it fits.
fn boxes(graph: &Graph, layers: &Layers, columns: usize, longest: usize) -> Option<String> {
    let lines: Vec<Vec<String>> = graph
        .nodes
        .iter()
        .map(|node| lines(node).iter().map(|line| shortened(line, longest)).collect())
        .collect();
    let width_of = |slot: &Slot| match slot {
        Slot::Way(_) => 1,
        Slot::Stage(node) => {
            let longest = lines.get(*node).into_iter().flatten().map(|line| line.chars().count()).max();
            i64::try_from(longest.unwrap_or_default()).unwrap_or_default() + 4
        }
    };
    let widths: Vec<Vec<i64>> = layers.rows.iter().map(|row| row.iter().map(width_of).collect()).collect();
    let most = i64::try_from(columns).ok()?;
    let fitting = [aligned(layers, &widths, 2), tight(&widths, 2)];
    fitting
        .into_iter()
        .filter(|placed| placed.width <= most)
        .find_map(|placed| Drawing { layers, lines: &lines, widths: &widths, placed }.draw())
}

struct Drawing<'a> {
    layers: &'a Layers,
    lines: &'a [Vec<String>],
    widths: &'a [Vec<i64>],
    placed: Columns,
}

/// Stages that lead to the same others.
struct Bus {
    sources: BTreeSet<usize>,
    targets: BTreeSet<usize>,
    track: usize,
}

impl Bus {
    fn span(&self) -> (usize, usize) {
        let all = || self.sources.iter().chain(&self.targets).copied();
        (all().min().unwrap_or_default(), all().max().unwrap_or_default())
    }
}

impl Drawing<'_> {
    fn draw(&self) -> Option<String> {
        let width = usize::try_from(self.placed.width).ok()?;
        let mut out: Vec<Vec<char>> = Vec::new();
        for (row, slots) in self.layers.rows.iter().enumerate() {
            self.row(row, slots, width, &mut out);
            if row + 1 < self.layers.rows.len() {
                channel(&self.buses(row)?, width, &mut out);
            }
            if out.len() * width > MOST_CELLS {
                return None;
            }
        }
        let text = out.iter().map(|line| {
            let line: String = line.iter().collect();
            format!("{}\n", line.trim_end())
        });
        Some(text.collect())
    }

    fn left(&self, row: usize, at: usize) -> usize {
        let left = self.placed.left.get(row).and_then(|row| row.get(at)).copied().unwrap_or_default();
        usize::try_from(left).unwrap_or_default()
    }

    fn width(&self, row: usize, at: usize) -> usize {
        let width = self.widths.get(row).and_then(|row| row.get(at)).copied().unwrap_or_default();
        usize::try_from(width).unwrap_or_default()
    }

    fn middle(&self, row: usize, at: usize) -> usize {
        self.left(row, at) + self.width(row, at) / 2
    }

    /// The boxes of a row.
    fn row(&self, row: usize, slots: &[Slot], width: usize, out: &mut Vec<Vec<char>>) {
        let inside = slots.iter().map(|slot| match slot {
            Slot::Way(_) => 1,
            Slot::Stage(node) => self.lines.get(*node).map_or(1, Vec::len),
        });
        let height = inside.max().unwrap_or(1) + 2;
        let top = out.len();
        out.extend(std::iter::repeat_n(vec![' '; width], height));
        let has_line = |between: Option<usize>, at: usize, lower: bool| {
            let links = between.and_then(|between| self.layers.links.get(between));
            links.into_iter().flatten().any(|(up, down)| if lower { *down == at } else { *up == at })
        };
        for (at, slot) in slots.iter().enumerate() {
            let (left, wide, middle) = (self.left(row, at), self.width(row, at), self.middle(row, at));
            match slot {
                Slot::Way(_) => (0..height).for_each(|line| put(out, top + line, middle, '│')),
                Slot::Stage(node) => {
                    let frame = |ends: [char; 2]| -> Vec<char> {
                        let mut line = vec!['─'; wide];
                        if let [first, .., last] = line.as_mut_slice() {
                            (*first, *last) = (ends[0], ends[1]);
                        }
                        line
                    };
                    write(out, top, left, &frame(['┌', '┐']));
                    write(out, top + height - 1, left, &frame(['└', '┘']));
                    for line in 0..height - 2 {
                        let text = self.lines.get(*node).and_then(|lines| lines.get(line));
                        let text = text.map(String::as_str).unwrap_or_default();
                        let padded = format!("│ {text:<fill$} │", fill = wide.saturating_sub(4));
                        write(out, top + 1 + line, left, &padded.chars().collect::<Vec<_>>());
                    }
                    if has_line(row.checked_sub(1), at, true) {
                        put(out, top, middle, '┴');
                    }
                    if has_line(Some(row), at, false) {
                        put(out, top + height - 1, middle, '┬');
                    }
                }
            }
        }
    }

    /// The buses below a row, each with its track; None when there is no order of tracks.
    fn buses(&self, row: usize) -> Option<Vec<Bus>> {
        let mut targets: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (up, down) in self.layers.links.get(row)? {
            targets.entry(self.middle(row, *up)).or_default().insert(self.middle(row + 1, *down));
        }
        let mut groups: BTreeMap<BTreeSet<usize>, BTreeSet<usize>> = BTreeMap::new();
        for (source, targets) in targets {
            groups.entry(targets).or_default().insert(source);
        }
        let mut buses: Vec<Bus> =
            groups.into_iter().map(|(targets, sources)| Bus { sources, targets, track: 0 }).collect();
        // Those that lead to many first: others join their lines further down.
        buses.sort_by_key(|bus| (std::cmp::Reverse(bus.targets.len()), bus.span()));
        let mut left: Vec<Bus> = buses;
        let mut placed: Vec<Bus> = Vec::new();
        while !left.is_empty() {
            // One whose sources come down where no bus that is still to be placed has its track above.
            let free = left.iter().position(|bus| {
                left.iter().all(|other| std::ptr::eq(bus, other) || bus.targets.is_disjoint(&other.sources))
            })?;
            let mut bus = left.remove(free);
            let (from, to) = bus.span();
            let overlaps = |other: &Bus| {
                let (a, b) = other.span();
                a <= to + 1 && from <= b + 1
            };
            let above =
                placed.iter().filter(|other| !bus.targets.is_disjoint(&other.sources) || overlaps(other));
            bus.track = above.map(|other| other.track + 1).max().unwrap_or_default();
            placed.push(bus);
        }
        Some(placed)
    }
}

/// The lines between two rows.
fn channel(buses: &[Bus], width: usize, out: &mut Vec<Vec<char>>) {
    let height = buses.iter().map(|bus| bus.track + 1).max().unwrap_or(1);
    let top = out.len();
    out.extend(std::iter::repeat_n(vec![' '; width], height));
    let mut cells: BTreeMap<(usize, usize), u8> = BTreeMap::new();
    let targets: BTreeSet<usize> = buses.iter().flat_map(|bus| bus.targets.iter().copied()).collect();
    for bus in buses {
        let mut own: BTreeMap<(usize, usize), u8> = BTreeMap::new();
        let (from, to) = bus.span();
        for column in from..=to {
            let mut bits = 0;
            bits |= if column > from { LEFT } else { 0 };
            bits |= if column < to { RIGHT } else { 0 };
            *own.entry((bus.track, column)).or_default() |= bits;
        }
        for source in &bus.sources {
            (0..bus.track).for_each(|line| *own.entry((line, *source)).or_default() |= UP | DOWN);
            *own.entry((bus.track, *source)).or_default() |= UP;
        }
        for target in &bus.targets {
            (bus.track + 1..height).for_each(|line| *own.entry((line, *target)).or_default() |= UP | DOWN);
            *own.entry((bus.track, *target)).or_default() |= DOWN;
        }
        for ((line, column), bits) in own {
            let cell = cells.entry((line, column)).or_default();
            let joins = *cell == 0 || targets.contains(&column) && bus.targets.contains(&column);
            // A crossing: what goes down is drawn over what goes across.
            *cell = if joins { *cell | bits } else { (*cell | bits) & (UP | DOWN) };
        }
    }
    for ((line, column), bits) in cells {
        put(out, top + line, column, glyph(bits));
    }
}

fn glyph(bits: u8) -> char {
    const ALL: u8 = UP | DOWN | LEFT | RIGHT;
    match bits & ALL {
        0 => ' ',
        b if b & (LEFT | RIGHT) == 0 => '│',
        b if b & (UP | DOWN) == 0 => '─',
        b if b == UP | RIGHT => '└',
        b if b == UP | LEFT => '┘',
        b if b == DOWN | RIGHT => '┌',
        b if b == DOWN | LEFT => '┐',
        b if b == UP | DOWN | RIGHT => '├',
        b if b == UP | DOWN | LEFT => '┤',
        b if b == LEFT | RIGHT | DOWN => '┬',
        b if b == LEFT | RIGHT | UP => '┴',
        _ => '┼',
    }
}

fn put(out: &mut [Vec<char>], line: usize, column: usize, character: char) {
    if let Some(cell) = out.get_mut(line).and_then(|line| line.get_mut(column)) {
        *cell = character;
    }
}

fn write(out: &mut [Vec<char>], line: usize, column: usize, text: &[char]) {
    for (offset, character) in text.iter().enumerate() {
        put(out, line, column + offset, *character);
    }
}

/// Row by row, each stage with what it needs.
fn list(graph: &Graph, columns: usize) -> String {
    let ranks = ranks(graph.nodes.len(), &graph.edges);
    let mut order: Vec<usize> = (0..graph.nodes.len()).collect();
    order.sort_by_key(|node| ranks.get(*node));
    let mut before: Vec<Vec<&str>> = vec![Vec::new(); graph.nodes.len()];
    for edge in &graph.edges {
        if let (Some(list), Some(from)) = (before.get_mut(edge.to), graph.nodes.get(edge.from)) {
            list.push(&from.title);
        }
    }
    let mut out = String::new();
    let mut last = None;
    for index in order {
        let Some(node) = graph.nodes.get(index) else { continue };
        let rank = ranks.get(index).copied().unwrap_or_default();
        let number = if last == Some(rank) { String::new() } else { (rank + 1).to_string() };
        last = Some(rank);
        let mut line = format!("{number:>3}  {}", lines(node).join(" · "));
        if let Some(needs) = before.get(index).filter(|needs| !needs.is_empty()) {
            line.push_str(&format!("  ← {}", needs.join(", ")));
        }
        out.push_str(&shortened(&line, columns.max(20)));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::graph::tests::{delivery, graph, of};

    fn drawn(nodes: &[&str], edges: &[&str]) -> String {
        let text = graph(nodes, edges).text(80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        format!("\n{text}")
    }

    #[test]
    fn two_that_lead_to_one() {
        assert_eq!(
            drawn(&["lint", "test", "build"], &["lint>build", "test>build"]),
            "
┌──────┐  ┌──────┐
│ lint │  │ test │
└───┬──┘  └───┬──┘
    └────┬────┘
     ┌───┴───┐
     │ build │
     └───────┘
"
        );
    }

    #[test]
    fn a_long_way_passes_by() {
        let text = drawn(&["a", "b", "c", "x"], &["a>b", "b>c", "x>c"]);
        assert_eq!(
            text,
            "
┌───┐  ┌───┐
│ a │  │ x │
└─┬─┘  └─┬─┘
  │      │
┌─┴─┐    │
│ b │    │
└─┬─┘    │
  └──┬───┘
   ┌─┴─┐
   │ c │
   └───┘
"
        );
    }

    #[test]
    fn one_that_leads_to_three() {
        assert_eq!(
            drawn(&["a", "b", "c", "d"], &["a>b", "a>c", "a>d"]),
            "
       ┌───┐
       │ a │
       └─┬─┘
  ┌──────┼──────┐
┌─┴─┐  ┌─┴─┐  ┌─┴─┐
│ b │  │ c │  │ d │
└───┘  └───┘  └───┘
"
        );
    }

    #[test]
    fn what_is_too_wide_becomes_shorter_and_then_a_list() {
        let names: Vec<String> = (0..9).map(|number| format!("stage-number-{number}")).collect();
        let nodes: Vec<&str> = names.iter().map(String::as_str).chain(["end"]).collect();
        let edges: Vec<String> = names.iter().map(|name| format!("{name}>end")).collect();
        let edges: Vec<&str> = edges.iter().map(String::as_str).collect();
        let graph = graph(&nodes, &edges);
        assert!(graph.text(200).contains("│ stage-number-0 │"));
        assert!(graph.text(150).contains("│ stage-num… │"), "{}", graph.text(150));
        let list = graph.text(60);
        assert!(list.contains("  1  stage-number-0\n     stage-number-1\n"), "{list}");
        assert!(list.contains("  2  end  ← stage-number-0, ") && list.contains('…'), "{list}");
        assert!(list.lines().all(|line| line.chars().count() <= 60), "{list}");
    }

    #[test]
    fn deployments_matrices_and_conditions_are_marked() {
        let text = delivery().text(100);
        assert!(text.contains("deploy ⏸ "), "{text}");
        let text = of("
on: push
defaults: {image: \"debian:12\"}
stages:
  test: {matrix: {v: [1, 2]}, run: x}
  tell: {needs: {test: failed}, run: x}
  more: {needs: [test], if: \"git.branch == 'main'\", run: x}
")
        .text(80);
        for part in ["2 × v=1, 2", "after test failed", "if …"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
