//! From suggestions, findings and fixes to the protocol's words.

use std::ops::Range;

use serde_json::{Value, json};
use tidegate_pipelines::{
    Diagnostic, Severity,
    editor::{Document, Hover, ItemKind},
};

/// What this server can do.
pub fn capabilities() -> Value {
    json!({
        "capabilities": {
            "positionEncoding": "utf-16",
            "textDocumentSync": { "openClose": true, "change": 2, "save": true },
            "completionProvider": { "triggerCharacters": [".", " ", ":", "[", "{", "-"] },
            "hoverProvider": true,
            "codeActionProvider": { "codeActionKinds": ["quickfix"] },
            "documentFormattingProvider": true,
        },
        "serverInfo": { "name": "tidegate", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// Bytes of a document as a range of the protocol.
pub fn range(document: &Document, range: &Range<usize>) -> Value {
    let place = |offset: usize| {
        let position = document.text().position(offset);
        json!({ "line": position.line, "character": position.character })
    };
    json!({ "start": place(range.start), "end": place(range.end) })
}

/// What is wrong with a file. Without a document: it was closed, and nothing is shown of it any more.
pub fn diagnostics(
    uri: &str,
    version: Option<i64>,
    document: Option<&Document>,
    found: &[Diagnostic],
) -> Value {
    let list: Vec<Value> =
        found.iter().filter_map(|one| document.map(|document| diagnostic(uri, document, one))).collect();
    let mut params = json!({ "uri": uri, "diagnostics": list });
    if let Some(version) = version {
        params["version"] = version.into();
    }
    json!({ "jsonrpc": "2.0", "method": "textDocument/publishDiagnostics", "params": params })
}

/// A mistake in this file, or in one that it uses: that one is not open here, so its place is told in words.
fn diagnostic(uri: &str, document: &Document, found: &Diagnostic) -> Value {
    let help = found.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
    let own = document.is(&found.file);
    let related = found.related.iter().filter(|related| own && related.file.is_none());
    let related: Vec<Value> = related
        .map(|related| {
            let range = range(document, &(related.span.start..related.span.end));
            json!({ "location": { "uri": uri, "range": range }, "message": related.message })
        })
        .collect();
    let (place, lead) = if own {
        (found.span.start..found.span.end, String::new())
    } else {
        (0..0, format!("{}:{}:{}: ", found.file, found.span.line, found.span.column))
    };
    json!({
        "range": range(document, &place),
        "severity": match found.severity { Severity::Error => 1, Severity::Warning => 2 },
        "code": found.code,
        "source": "tidegate",
        "message": format!("{lead}{}{help}", found.message),
        "relatedInformation": related,
    })
}

/// What may be written at a place.
pub fn completion(document: &Document, offset: usize) -> Value {
    let items: Vec<Value> = document
        .complete(offset)
        .iter()
        .enumerate()
        .map(|(index, item)| {
            json!({
                "label": item.label,
                // Property, keyword, reference, variable, function.
                "kind": match item.kind {
                    ItemKind::Key => 10,
                    ItemKind::Word => 14,
                    ItemKind::Name => 18,
                    ItemKind::Property => 6,
                    ItemKind::Function => 3,
                },
                "documentation": { "kind": "markdown", "value": item.about },
                "filterText": item.label,
                // In the order that they were given in.
                "sortText": format!("{index:04}"),
                "textEdit": { "range": range(document, &item.range), "newText": item.insert },
            })
        })
        .collect();
    json!({ "isIncomplete": false, "items": items })
}

/// What is known of the thing under the cursor.
pub fn hover(document: &Document, hover: &Hover) -> Value {
    json!({
        "contents": { "kind": "markdown", "value": hover.text },
        "range": range(document, &hover.range),
    })
}

/// The whole text anew, or nothing where it has the usual look already (or cannot be read).
pub fn formatting(document: &Document) -> Value {
    let text = document.text().as_str();
    match document.formatted() {
        Some(formatted) => json!([{ "range": range(document, &(0..text.len())), "newText": formatted }]),
        None => json!([]),
    }
}

/// Quick fixes of the mistakes in a range.
pub fn code_actions(uri: &str, document: &Document, found: &[Diagnostic], asked: &Value) -> Value {
    let offset = |end: &str, default: usize| {
        super::position(&asked[end]).map_or(default, |position| document.text().offset(position))
    };
    let (from, to) = (offset("start", 0), offset("end", usize::MAX));
    let own = found.iter().filter(|one| document.is(&one.file));
    let touched = own.filter(|one| one.span.start <= to && one.span.end >= from);
    touched
        .flat_map(|one| {
            document.fixes(one).into_iter().map(move |fix| {
                json!({
                    "title": fix.title,
                    "kind": "quickfix",
                    "diagnostics": [diagnostic(uri, document, one)],
                    "isPreferred": true,
                    "edit": { "changes": { uri: [
                        { "range": range(document, &fix.range), "newText": fix.new_text },
                    ]}},
                })
            })
        })
        .collect()
}
