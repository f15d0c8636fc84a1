//! The formatter of pipeline files: one look, and never another meaning.
//!
//! ```text
//! text -> blocks (where each entry stands) -> print (lines anew) -> compare (the same values?) -> text
//! ```
//!
//! Only what holds the file together is written anew: indentation, blank lines, the order of the keys of the file and
//! of its stages. Values are copied as they stand, with their comments, anchors and quotes. What the formatter does
//! not understand (a comment in an unusual place, an explicit indentation) leaves the file as it is. Before a text is
//! given back it is read again and compared with what there was, so a mistake here cannot become one of the file.

mod blocks;
mod comments;
mod order;
mod print;
mod values;

use crate::{
    Diagnostic, SourceFile,
    diagnostic::Problems,
    yaml::{self, Kind, Node},
};
use order::Order;

/// The file in the usual look, or why it cannot be read. Formatting what was formatted changes nothing, and a formatted
/// file compiles to the same plan.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let before = tree(text)?;
    let lines = text.replace("\r\n", "\n");
    for order in [Order::Usual, Order::AsWritten] {
        let printed = blocks::read(&lines).and_then(|root| print::print(&lines, &root, order));
        if let Some(printed) = printed
            && tree(&printed).is_ok_and(|after| same(&before, &after, order, 0))
        {
            return Ok(printed);
        }
    }
    Ok(text.to_owned())
}

fn tree(text: &str) -> Result<Node, Vec<Diagnostic>> {
    let file = SourceFile { path: "pipeline.yml", text };
    let mut problems = Problems::new(&file);
    match yaml::parse(&mut problems, &yaml::Dialect::NATIVE) {
        Some(tree) if !problems.has_errors() => Ok(tree),
        _ => Err(problems.finish()),
    }
}

/// Whether two trees say the same. Keys of the file and of a stage may have changed places.
fn same(one: &Node, other: &Node, order: Order, depth: usize) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Scalar(one), Kind::Scalar(other)) => one == other,
        (Kind::List(one), Kind::List(other)) => {
            // What is in lists is never a stage.
            let below = 3;
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| same(one, other, order, below))
        }
        (Kind::Map(one), Kind::Map(other)) => {
            // A mapping with more keys than a stage or file has is none of them.
            let free = order == Order::Usual && matches!(depth, 0 | 2) && one.len() <= 64;
            one.len() == other.len()
                && one.iter().zip(other).all(|(entry, beside)| {
                    let found = match free {
                        true => other.iter().find(|other| other.key.value == entry.key.value),
                        false => Some(beside),
                    };
                    found.is_some_and(|found| {
                        let below = if depth == 0 && entry.key.value != "stages" { 3 } else { depth + 1 };
                        found.key.value == entry.key.value && same(&entry.value, &found.value, order, below)
                    })
                })
        }
        (Kind::Broken, Kind::Broken) => true,
        _ => false,
    }
}
