//! The server on bytes in memory.

use super::*;

const URI: &str = "file:///srv/app/.tidegate/p.yml";

/// All that the server says to these messages, `initialize` before and `shutdown` and `exit` behind them.
fn talk(messages: &[Value]) -> Vec<Value> {
    let mut bytes = Vec::new();
    wire::write(&mut bytes, &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}))
        .unwrap();
    for message in messages {
        wire::write(&mut bytes, message).unwrap();
    }
    wire::write(&mut bytes, &json!({"jsonrpc": "2.0", "id": 99, "method": "shutdown"})).unwrap();
    wire::write(&mut bytes, &json!({"jsonrpc": "2.0", "method": "exit"})).unwrap();
    let mut output = Vec::new();
    serve(std::io::Cursor::new(bytes), &mut output, BTreeMap::new()).unwrap();
    let mut output = std::io::Cursor::new(output);
    let mut said = Vec::new();
    while let wire::Read::Message(message) = wire::read(&mut output).unwrap() {
        said.push(message);
    }
    assert_eq!(said.remove(0)["result"]["capabilities"]["positionEncoding"], "utf-16");
    assert_eq!(said.pop().unwrap()["result"], Value::Null);
    said
}

fn open(text: &str) -> Value {
    let document = json!({"uri": URI, "languageId": "yaml", "version": 1, "text": text});
    json!({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": document}})
}

fn ask(method: &str, line: u32, character: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": {
        "textDocument": {"uri": URI}, "position": {"line": line, "character": character},
    }})
}

fn change(changes: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {
        "textDocument": {"uri": URI, "version": 2}, "contentChanges": changes,
    }})
}

#[test]
fn mistakes_are_published_in_utf16_and_go_away_with_their_mending() {
    let said = talk(&[
        open("on: push\nname: 😀\nstages: {ü: 1, 'a😀': {imgae: \"a:1\", run: x}}\n"),
        change(&json!([
            {"range": {"start": {"line": 2, "character": 9}, "end": {"line": 2, "character": 15}}, "text": ""},
            {"range": {"start": {"line": 2, "character": 9}, "end": {"line": 2, "character": 14}}, "text": "a"},
        ])),
        change(&json!([{"text": "on: push\nstages: {a: {image: \"a:1\", run: x}}\n"}])),
        json!({"jsonrpc": "2.0", "method": "textDocument/didClose", "params": {"textDocument": {"uri": URI}}}),
    ]);
    let found = said[0]["params"]["diagnostics"].as_array().unwrap();
    let misspelt = found.iter().find(|one| one["code"] == "TG0201").unwrap();
    assert_eq!(
        misspelt["range"],
        json!({
            "start": {"line": 2, "character": 23}, "end": {"line": 2, "character": 28},
        })
    );
    assert_eq!(said[0]["params"]["version"], 1);
    let found = said[1]["params"]["diagnostics"].as_array().unwrap();
    assert!(!found.is_empty() && found.iter().all(|one| one["range"]["start"]["line"] == 2), "{found:?}");
    assert!(found.iter().any(|one| one["range"]["start"]["character"] == 13), "{found:?}");
    assert_eq!(said[2]["params"]["diagnostics"], json!([]));
    assert_eq!(said[3]["params"]["diagnostics"], json!([]));
}

#[test]
fn a_range_that_is_none_changes_nothing() {
    let nowhere = json!({"start": {"line": -1, "character": 0}, "end": {"line": 0, "character": 1}});
    let said = talk(&[
        open("on: push\nstages: {a: {image: \"a:1\", run: x}}\n"),
        change(&json!([{"range": nowhere, "text": "nothing of the kind"}])),
    ]);
    assert_eq!(said[1]["params"]["diagnostics"], json!([]));
}

#[test]
fn completion_hover_and_quick_fixes() {
    let said = talk(&[
        open("on: push\nstages:\n  a:\n    imgae: a:1\n    run: x\n  b:\n    needs: []\n    tim\n"),
        ask("textDocument/completion", 6, 12),
        ask("textDocument/completion", 7, 7),
        ask("textDocument/hover", 6, 6),
        json!({"jsonrpc": "2.0", "id": 6, "method": "textDocument/codeAction", "params": {
            "textDocument": {"uri": URI}, "context": {"diagnostics": []},
            "range": {"start": {"line": 3, "character": 5}, "end": {"line": 3, "character": 5}},
        }}),
    ]);
    assert_eq!(said[1]["result"]["items"][0]["label"], "a");
    let item = &said[2]["result"]["items"][0];
    assert_eq!(
        (item["label"].as_str(), item["textEdit"]["newText"].as_str()),
        (Some("timeout"), Some("timeout: "))
    );
    assert_eq!(item["textEdit"]["range"]["start"], json!({"line": 7, "character": 4}));
    assert!(said[3]["result"]["contents"]["value"].as_str().unwrap().starts_with("`needs`"));
    // The file is not YAML while `tim` stands alone, so there is one mistake, and no word to put in its place.
    assert_eq!(said[4]["result"], json!([]));
    let said = talk(&[
        open("on: push\nstages:\n  a:\n    imgae: a:1\n    run: x\n"),
        json!({"jsonrpc": "2.0", "id": 6, "method": "textDocument/codeAction", "params": {
            "textDocument": {"uri": URI}, "context": {"diagnostics": []},
            "range": {"start": {"line": 3, "character": 5}, "end": {"line": 3, "character": 5}},
        }}),
    ]);
    let edit = &said[1]["result"][0]["edit"]["changes"][URI][0];
    assert_eq!(edit["newText"], "image");
    assert_eq!(edit["range"]["end"], json!({"line": 3, "character": 9}));
}

#[test]
fn what_makes_no_sense_is_answered_and_changes_nothing() {
    let said = talk(&[
        json!({"jsonrpc": "2.0", "id": 1, "method": "workspace/symbol", "params": {}}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "textDocument/completion"}),
        json!({"jsonrpc": "2.0", "id": 3, "method": "textDocument/codeAction", "params": {}}),
        json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 1}}),
        json!({"jsonrpc": "2.0", "id": 7, "result": null}),
        json!([1, 2]),
        change(&json!([{"text": "x"}])),
    ]);
    let codes: Vec<i64> = said.iter().map(|one| one["error"]["code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [METHOD_NOT_FOUND, INVALID_PARAMS, INVALID_PARAMS]);
}

#[test]
fn the_usual_look_and_mistakes_of_other_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("ci")).unwrap();
    std::fs::write(folder.path().join("ci/t.yml"), "stages:\n  t: {image: \"a:1\", rnu: x}\n").unwrap();
    let uri = format!("file://{}/.tidegate/p.yml", folder.path().display());
    let text = "on:   push\nstages: {a: {use: ./ci/t.yml}}\n";
    let said = talk(&[
        json!({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {
            "textDocument": {"uri": uri, "version": 1, "text": text},
        }}),
        json!({"jsonrpc": "2.0", "id": 4, "method": "textDocument/formatting", "params": {
            "textDocument": {"uri": uri}, "options": {"tabSize": 2, "insertSpaces": true},
        }}),
    ]);
    let found = said[0]["params"]["diagnostics"].as_array().unwrap();
    let misspelt = found.iter().find(|one| one["code"] == "TG0201").unwrap();
    assert!(misspelt["message"].as_str().unwrap().starts_with("ci/t.yml:2:"), "{misspelt}");
    assert_eq!(misspelt["range"]["start"], json!({"line": 0, "character": 0}));
    let edit = &said[1]["result"][0];
    assert!(edit["newText"].as_str().unwrap().starts_with("on: push\n"), "{edit}");
    assert_eq!(edit["range"]["end"], json!({"line": 2, "character": 0}));
}

/// What one file says of another that is open too follows what is written there, saved or not.
#[test]
fn files_that_are_open_are_read_as_they_are_in_the_editor() {
    let folder = tempfile::tempdir().unwrap();
    let workflows = folder.path().join(".github/workflows");
    std::fs::create_dir_all(&workflows).unwrap();
    let called = |input: &str| {
        format!(
            "on: {{workflow_call: {{inputs: {{{input}: {{type: string, required: true}}}}}}}}\njobs: {{a: {{runs-on: x, \
             timeout-minutes: 1, steps: [{{run: x}}]}}}}\n"
        )
    };
    std::fs::write(workflows.join("called.yml"), called("level")).unwrap();
    let uri = |name: &str| format!("file://{}/{name}", workflows.display());
    let document = |method: &str, name: &str, more: Value| {
        let mut params = json!({ "textDocument": { "uri": uri(name), "version": 1 } });
        for (key, value) in more.as_object().unwrap() {
            match key.as_str() {
                "text" => params["textDocument"]["text"] = value.clone(),
                key => params[key] = value.clone(),
            }
        }
        json!({ "jsonrpc": "2.0", "method": method, "params": params })
    };
    let caller = "on: push\njobs: {c: {uses: ./.github/workflows/called.yml, with: {level: x}}}\n";
    let said = talk(&[
        document("textDocument/didOpen", "caller.yml", json!({ "text": caller })),
        document("textDocument/didOpen", "called.yml", json!({ "text": called("level") })),
        document(
            "textDocument/didChange",
            "called.yml",
            json!({ "contentChanges": [{ "text": called("depth") }] }),
        ),
        document("textDocument/didClose", "called.yml", json!({})),
        document("textDocument/didSave", "caller.yml", json!({})),
    ]);
    let told: Vec<(String, Vec<String>)> = said
        .iter()
        .map(|one| {
            let params = &one["params"];
            let codes = params["diagnostics"].as_array().unwrap().iter();
            let name = params["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            (name, codes.map(|one| one["code"].as_str().unwrap().to_owned()).collect())
        })
        .collect();
    let row = |name: &str, codes: &[&str]| {
        (name.to_owned(), codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(
        told,
        [
            row("caller.yml", &[]),
            row("called.yml", &[]),
            row("called.yml", &[]),
            row("caller.yml", &["TG1304", "TG1304"]),
            row("called.yml", &[]),
            row("caller.yml", &[]),
        ]
    );
}

#[test]
fn files_that_are_no_pipelines_are_passed_over() {
    let document = json!({"uri": "file:///srv/app/compose.yml", "version": 1, "text": "services: {}\n"});
    let said = talk(&[
        json!({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": document}}),
        json!({"jsonrpc": "2.0", "id": 3, "method": "textDocument/hover", "params": {
            "textDocument": {"uri": "file:///srv/app/compose.yml"}, "position": {"line": 0, "character": 0},
        }}),
    ]);
    assert_eq!(said, [json!({"jsonrpc": "2.0", "id": 3, "result": null})]);
}

#[test]
fn an_editor_that_just_goes_is_no_failure_and_one_that_exits_is() {
    assert!(serve(std::io::Cursor::new(Vec::new()), Vec::new(), BTreeMap::new()).is_ok());
    let mut bytes = Vec::new();
    wire::write(&mut bytes, &json!({"method": "exit"})).unwrap();
    assert!(serve(std::io::Cursor::new(bytes), Vec::new(), BTreeMap::new()).is_err());
}
