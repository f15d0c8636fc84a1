//! SVG: the same rows as in the terminal, with curves. Colours are classes that follow the reader's light or dark
//! setting; there is no script, no font and no picture from elsewhere.

use std::fmt::Write;

use super::{
    Graph, Node,
    layers::{Layers, Slot, layers, ranks},
    place::{Columns, aligned},
};
use crate::plan::NeedState;

/// Pixels of a column, near the width of a letter.
const COLUMN: i64 = 8;
const LINE: i64 = 18;
const BETWEEN: i64 = 46;
const MARGIN: i64 = 16;
/// The longest label, in letters.
const LONGEST: usize = 40;

const STYLE: &str = "text{font:13px ui-sans-serif,system-ui,sans-serif;fill:#1f2328}\
.d{font-size:11px;fill:#59636e}.b{fill:#fff;stroke:#8c959f}.y{stroke:#bc6b00;stroke-width:2}\
.m{stroke-width:2}.e{fill:none;stroke:#8c959f;stroke-width:1.5}.o{stroke-dasharray:4 4}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.d{fill:#9198a1}.b{fill:#161b22;stroke:#6e7681}\
.y{stroke:#e3a008}.e{stroke:#6e7681}}";

pub(super) fn draw(graph: &Graph) -> String {
    // Where there are too many lines for ways of their own, they go straight.
    let layers = layers(graph).unwrap_or_else(|| plain(graph));
    let lines: Vec<Vec<String>> = graph.nodes.iter().map(lines).collect();
    // Even numbers, so that what stands below each other has one middle, and lines between them are straight.
    let width_of = |slot: &Slot| match slot {
        Slot::Way(_) => 2,
        Slot::Stage(node) => {
            let longest = lines.get(*node).into_iter().flatten().map(|line| line.chars().count()).max();
            let longest = i64::try_from(longest.unwrap_or_default()).unwrap_or_default();
            longest + longest % 2 + 4
        }
    };
    let widths: Vec<Vec<i64>> = layers.rows.iter().map(|row| row.iter().map(width_of).collect()).collect();
    let columns = aligned(&layers, &widths, 3);
    let mut tops = Vec::new();
    let mut y = MARGIN;
    for row in &layers.rows {
        let most = row.iter().map(|slot| match slot {
            Slot::Way(_) => 0,
            Slot::Stage(node) => lines.get(*node).map_or(0, Vec::len),
        });
        let height = i64::try_from(most.max().unwrap_or_default()).unwrap_or_default() * LINE + 14;
        tops.push((y, height));
        y += height + BETWEEN;
    }
    let scene = Scene { layers: &layers, columns: &columns, widths: &widths, tops: &tops };
    let (width, height) = (columns.width * COLUMN + 2 * MARGIN, y - BETWEEN + MARGIN);
    let name = escaped(&graph.name);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"Stages of {name}\">\n<title>{name}</title>\n<style>{STYLE}</style>\n"
    );
    for edge in &graph.edges {
        scene.edge(edge.from, edge.to, edge.accepts, &mut out);
    }
    for (row, slots) in layers.rows.iter().enumerate() {
        for (at, slot) in slots.iter().enumerate() {
            if let Slot::Stage(node) = slot
                && let (Some(node), Some(lines)) = (graph.nodes.get(*node), lines.get(*node))
            {
                scene.node(row, at, node, lines, &mut out);
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

struct Scene<'a> {
    layers: &'a Layers,
    columns: &'a Columns,
    widths: &'a [Vec<i64>],
    /// Top and height of each row.
    tops: &'a [(i64, i64)],
}

impl Scene<'_> {
    /// Left edge and width of a slot, in pixels.
    fn span(&self, row: usize, at: usize) -> (i64, i64) {
        let left = self.columns.left.get(row).and_then(|row| row.get(at)).copied().unwrap_or_default();
        let width = self.widths.get(row).and_then(|row| row.get(at)).copied().unwrap_or_default();
        (left * COLUMN + MARGIN, width * COLUMN)
    }

    fn find(&self, slot: Slot) -> Option<(usize, usize)> {
        self.layers
            .rows
            .iter()
            .enumerate()
            .find_map(|(row, slots)| slots.iter().position(|one| *one == slot).map(|at| (row, at)))
    }

    /// A curve from the lower edge of one stage through its ways to the upper edge of another.
    fn edge(&self, from: usize, to: usize, accepts: NeedState, out: &mut String) {
        let (Some((row, at)), Some((last, end))) = (self.find(Slot::Stage(from)), self.find(Slot::Stage(to)))
        else {
            return;
        };
        let middle = |row: usize, at: usize| {
            let (left, width) = self.span(row, at);
            left + width / 2
        };
        let (top, height) = self.tops.get(row).copied().unwrap_or_default();
        let (mut x, mut y) = (middle(row, at), top + height);
        let mut path = format!("M{x} {y}");
        for between in row + 1..last {
            let slots = self.layers.rows.get(between).map_or(&[][..], Vec::as_slice);
            let Some(way) = slots.iter().position(|slot| *slot == Slot::Way(from)) else { continue };
            let (top, height) = self.tops.get(between).copied().unwrap_or_default();
            let next = middle(between, way);
            let _ = write!(path, "C{x} {} {next} {} {next} {top}V{}", y + 24, top - 24, top + height);
            (x, y) = (next, top + height);
        }
        let (top, _) = self.tops.get(last).copied().unwrap_or_default();
        let next = middle(last, end);
        let _ = write!(path, "C{x} {} {next} {} {next} {top}", y + 24, top - 24);
        let class = if accepts == NeedState::Succeeded { "e" } else { "e o" };
        let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    fn node(&self, row: usize, at: usize, node: &Node, lines: &[String], out: &mut String) {
        let (left, width) = self.span(row, at);
        let (top, height) = self.tops.get(row).copied().unwrap_or_default();
        if node.matrix.is_some() {
            let _ = writeln!(
                out,
                "<rect class=\"b\" x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>",
                left + 4,
                top + 4
            );
        }
        let class = if node.gate.is_some() { "b y" } else { "b" };
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>"
        );
        for (index, line) in lines.iter().enumerate() {
            let class = if index == 0 { "" } else { " class=\"d\"" };
            let y = top + LINE * (i64::try_from(index).unwrap_or_default() + 1) + 2;
            let x = left + width / 2;
            let _ = writeln!(
                out,
                "<text{class} x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                escaped(line)
            );
        }
    }
}

/// Rows without ways.
fn plain(graph: &Graph) -> Layers {
    let ranks = ranks(graph.nodes.len(), &graph.edges);
    let mut rows = vec![Vec::new(); ranks.iter().max().map_or(0, |most| most + 1)];
    for (node, rank) in ranks.iter().enumerate() {
        if let Some(row) = rows.get_mut(*rank) {
            row.push(Slot::Stage(node));
        }
    }
    let links = vec![Vec::new(); rows.len().saturating_sub(1)];
    Layers { rows, links }
}

fn lines(node: &Node) -> Vec<String> {
    super::text::lines(node).iter().map(|line| super::text::shortened(line, LONGEST)).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::graph::tests::{delivery, graph};

    #[test]
    fn an_image_stands_alone_and_follows_the_readers_setting() {
        let image = delivery().svg();
        assert!(image.starts_with("<svg xmlns=") && image.ends_with("</svg>\n"));
        assert!(image.contains("prefers-color-scheme:dark"));
        assert_eq!(image.matches("http").count(), 1, "only the name space: {image}");
        assert!(image.contains("class=\"b y\""), "{image}");
    }

    #[test]
    fn titles_are_text() {
        let mut graph = graph(&["a", "b", "c"], &["a>b", "b>c", "a>c"]);
        graph.nodes[1].title = "<script>\"&\u{1b}".to_owned();
        let image = graph.svg();
        assert!(image.contains("&lt;script&gt;&quot;&amp; </text>"), "{image}");
        assert_eq!(image.matches("<path").count(), 2);
    }

    #[test]
    fn what_stands_below_each_other_is_joined_straight() {
        let image = graph(&["a", "four", "three", "x"], &["a>four", "four>three", "three>x"]).svg();
        let paths: Vec<&str> =
            image.split("d=\"M").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert_eq!(paths.len(), 3);
        for path in paths {
            let numbers: Vec<&str> = path.split([' ', 'C']).collect();
            assert_eq!(numbers[0], numbers[numbers.len() - 2], "the first x and the last of {path}");
        }
    }
}
