//! Mermaid: hexagons are deployments, double frames are matrices, dotted lines accept something else than success.

use std::fmt::Write;

use super::{Graph, Node};
use crate::plan::NeedState;

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = "flowchart TD\n".to_owned();
    for (index, node) in graph.nodes.iter().enumerate() {
        let label = label(node);
        let _ = match (node.verb, &node.matrix) {
            ("deploy", _) => writeln!(out, "  s{index}{{{{\"{label}\"}}}}:::deploy"),
            (_, Some(_)) => writeln!(out, "  s{index}[[\"{label}\"]]"),
            _ => writeln!(out, "  s{index}[\"{label}\"]"),
        };
    }
    for edge in &graph.edges {
        let line = match edge.accepts {
            NeedState::Succeeded => "-->",
            NeedState::Failed => "-. failed .->",
            NeedState::Finished => "-. finished .->",
        };
        let _ = writeln!(out, "  s{} {line} s{}", edge.from, edge.to);
    }
    if graph.nodes.iter().any(|node| node.verb == "deploy") {
        out.push_str("  classDef deploy stroke:#d08700,stroke-width:2px\n");
    }
    out
}

fn label(node: &Node) -> String {
    let mut lines = vec![escaped(&node.title)];
    if let Some(matrix) = &node.matrix {
        lines.push(escaped(matrix));
    }
    match (&node.gate, node.verb) {
        (Some(gate), verb) => lines.push(format!("{verb} ⏸ {}", escaped(gate))),
        (None, "run") => {}
        (None, verb) if verb == node.title => {}
        (None, verb) => lines.push(verb.to_owned()),
    }
    lines.join("<br/>")
}

/// Mermaid's own entities, so that no title ends its label or becomes markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '#' | '<' | '>' | '&' | '`' | '{' | '}' | '[' | ']' | '\\' => {
                let _ = write!(out, "#{};", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::graph::tests::{delivery, graph};

    #[test]
    fn deployments_and_edges_are_there() {
        let text = delivery().mermaid();
        assert!(text.starts_with("flowchart TD\n"), "{text}");
        assert!(text.contains("}}:::deploy\n") && text.contains(" --> "), "{text}");
    }

    #[test]
    fn titles_stay_inside_their_labels() {
        let mut graph = graph(&["a", "b"], &["a>b"]);
        graph.nodes[0].title = "x\"] --> <b>#".to_owned();
        assert_eq!(
            graph.mermaid(),
            "flowchart TD\n  s0[\"x#34;#93; --#62; #60;b#62;#35;\"]\n  s1[\"b\"]\n  s0 --> s1\n"
        );
    }
}
