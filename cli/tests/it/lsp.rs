//! The language server as an editor starts it: a process, and JSON-RPC over its pipes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{ChildStdin, ChildStdout, Stdio},
};

use serde_json::{Value, json};

use crate::command;

struct Editor {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Editor {
    fn say(&mut self, message: &Value) {
        let body = message.to_string();
        write!(self.to, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.to.flush().unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.from.read_line(&mut line).unwrap();
            match line.trim() {
                "" => break,
                header => length = header.strip_prefix("Content-Length: ").unwrap().parse().unwrap(),
            }
        }
        let mut body = vec![0; length];
        self.from.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    fn ask(&mut self, id: u32, method: &str, params: &Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let answer = self.hear();
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"].clone()
    }
}

#[test]
fn an_editor_opens_changes_completes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path())
        .args(["lsp", "--stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut editor =
        Editor { to: child.stdin.take().unwrap(), from: BufReader::new(child.stdout.take().unwrap()) };
    let able = editor.ask(1, "initialize", &json!({"processId": null, "rootUri": null, "capabilities": {}}));
    assert_eq!(able["capabilities"]["textDocumentSync"]["change"], 2);
    editor.say(&json!({"jsonrpc": "2.0", "method": "initialized", "params": {}}));

    let uri = format!("file://{}/.tidegate/pipeline.yml", folder.path().display());
    let text = "on: push\nstages:\n  lint: {image: \"debian:12\", run: make}\n  test: {image: \"debian:12\", run: make, needs: [lnit]}\n";
    editor.say(&json!({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {
        "textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": text},
    }}));
    let told = editor.hear();
    assert_eq!(told["method"], "textDocument/publishDiagnostics");
    assert_eq!(told["params"]["diagnostics"][0]["code"], "TG0305");
    let start = told["params"]["diagnostics"][0]["range"]["start"].clone();

    let document = json!({"uri": uri});
    let fixes = editor.ask(
        2,
        "textDocument/codeAction",
        &json!({
            "textDocument": document, "range": {"start": start, "end": start}, "context": {"diagnostics": []},
        }),
    );
    assert_eq!(fixes[0]["title"], "Change to `lint`");
    let edit = fixes[0]["edit"]["changes"][&uri][0].clone();
    editor.say(&json!({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {
        "textDocument": {"uri": uri, "version": 2},
        "contentChanges": [{"range": edit["range"], "text": edit["newText"]}],
    }}));
    assert_eq!(editor.hear()["params"]["diagnostics"], json!([]));

    let items =
        editor.ask(3, "textDocument/completion", &json!({"textDocument": document, "position": start}));
    assert_eq!(items["items"][0]["label"], "lint");
    let hover = editor.ask(
        4,
        "textDocument/hover",
        &json!({
            "textDocument": document, "position": {"line": 3, "character": 43},
        }),
    );
    assert!(hover["contents"]["value"].as_str().unwrap().contains("come before"), "{hover}");

    assert_eq!(editor.ask(5, "shutdown", &Value::Null), Value::Null);
    editor.say(&json!({"jsonrpc": "2.0", "method": "exit"}));
    assert!(child.wait().unwrap().success());
}
