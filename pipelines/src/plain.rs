//! A YAML file as plain data, for files that are no pipelines but lie beside them.

use serde_json::{Map, Value};

use crate::{
    SourceFile,
    diagnostic::{Diagnostic, Problems},
    yaml::{self, Kind, Node},
};

/// Reads a YAML file within the bounds of pipeline files. Scalars are text as written, but for nothing, which is null:
/// `1.10` stays `1.10`. The error is one sentence with its place.
pub fn yaml(file: &SourceFile<'_>) -> Result<Value, String> {
    let mut problems = Problems::new(file);
    let tree = yaml::parse(&mut problems, &yaml::Dialect::ACTIONS);
    let first = problems.finish().into_iter().find(Diagnostic::is_error);
    match (tree, first) {
        (Some(tree), None) => Ok(value(&tree)),
        (_, Some(error)) => {
            Err(format!("{}:{}:{}: {}", error.file, error.span.line, error.span.column, error.message))
        }
        (None, None) => Err(format!("{}: there is nothing in it", file.path)),
    }
}

fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(_) if node.is_null() => Value::Null,
        Kind::Scalar(scalar) => Value::String(scalar.text.clone()),
        Kind::List(items) => items.iter().map(value).collect(),
        Kind::Map(entries) => {
            let pairs = entries.iter().map(|entry| (entry.key.value.clone(), value(&entry.value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Kind::Broken => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_stay_as_written_and_mistakes_have_a_place() {
        let read = |text: &str| yaml(&SourceFile { path: "action.yml", text });
        assert_eq!(
            read("a: 1.10\nb: [true, ~]\nc:\n").unwrap(),
            serde_json::json!({ "a": "1.10", "b": ["true", null], "c": null })
        );
        assert!(read("a: 1\na: 2\n").unwrap_err().starts_with("action.yml:2:1: "));
        assert!(read("a: [").is_err());
    }
}
