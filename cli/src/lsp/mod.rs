//! The language server: JSON-RPC on standard input and output. It carries texts to [`tidegate_pipelines::editor`] and
//! suggestions back; what is right or useful is decided there.
//!
//! Editors start it for all YAML, so files outside of the conventional folders are passed over in silence.
//!
//! A file is checked with those that it names: as they are open in the editor, else as they are in the working tree. So
//! when one changes the others that are open are checked too, and told again where that makes a difference.
//!
//! Messages are handled one after the other: a check takes milliseconds. Sizes are bounded ([`wire`]); what cannot be
//! understood is answered with an error and changes nothing.

mod answers;
mod wire;

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, Write},
    path::Path,
};

use serde_json::{Value, json};
use tidegate_pipelines::{
    Diagnostic, FileRef, Files, Machine,
    editor::{Document, Position},
};
use url::Url;

use crate::{
    failure::{Doing, Failure, Outcome},
    files::{self, TreeFiles},
};

const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INVALID_REQUEST: i64 = -32600;
const PARSE_ERROR: i64 = -32700;

/// Serves until the editor says `exit`, or goes away.
pub fn serve(mut input: impl BufRead, output: impl Write, machines: BTreeMap<String, Machine>) -> Outcome {
    let mut server = Server { output, open: HashMap::new(), machines, stopped: false };
    loop {
        let message = match wire::read(&mut input).doing("cannot read from the editor")? {
            wire::Read::Message(message) => message,
            wire::Read::NoJson(reason) => {
                server.fail(&Value::Null, PARSE_ERROR, &reason)?;
                continue;
            }
            wire::Read::End => return Ok(()),
        };
        if message["method"] == "exit" {
            let forgotten = Failure::new("the editor went away without saying so before (`shutdown`)");
            return if server.stopped { Ok(()) } else { Err(forgotten) };
        }
        server.handle(&message)?;
    }
}

/// A file open in the editor.
struct Open {
    document: Document,
    /// Inside its repository.
    path: String,
    /// The other files of its working tree.
    files: TreeFiles,
    found: Vec<Diagnostic>,
}

/// The files of a working tree, those that are open as they are in the editor.
struct Workspace<'s> {
    open: &'s HashMap<String, Open>,
    tree: &'s TreeFiles,
}

impl Files for Workspace<'_> {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        let FileRef::Same(path) = file else { return self.tree.read(file) };
        let is = |open: &&Open| open.path == *path && open.files.root() == self.tree.root();
        match self.open.values().find(is) {
            Some(open) => Ok(open.document.text().as_str().to_owned()),
            None => self.tree.read(file),
        }
    }
}

struct Server<W> {
    output: W,
    /// By URI.
    open: HashMap<String, Open>,
    /// Those that the settings name, if they name any.
    machines: BTreeMap<String, Machine>,
    /// The editor has said `shutdown`.
    stopped: bool,
}

impl<W: Write> Server<W> {
    fn handle(&mut self, message: &Value) -> Outcome {
        let (method, params) = (message["method"].as_str().unwrap_or_default(), &message["params"]);
        let Some(id) = message.get("id").filter(|_| !method.is_empty()) else {
            return self.notified(method, params);
        };
        if self.stopped {
            return self.fail(id, INVALID_REQUEST, "the server was told to shut down");
        }
        let result = match method {
            "initialize" => Ok(answers::capabilities()),
            "shutdown" => {
                self.stopped = true;
                Ok(Value::Null)
            }
            "textDocument/completion" => {
                self.at(params, |open, offset| answers::completion(&open.document, offset))
            }
            "textDocument/hover" => self.at(params, |open, offset| {
                let hover = open.document.hover(offset, &open.found);
                hover.map_or(Value::Null, |hover| answers::hover(&open.document, &hover))
            }),
            "textDocument/codeAction" => self
                .file(params)
                .map(|file| file.map_or(Value::Null, |(uri, open)| actions(uri, open, &params["range"]))),
            "textDocument/formatting" => self
                .file(params)
                .map(|file| file.map_or(Value::Null, |(_, open)| answers::formatting(&open.document))),
            _ => return self.fail(id, METHOD_NOT_FOUND, &format!("there is no method `{method}`")),
        };
        match result {
            Ok(result) => self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result })),
            Err(why) => self.fail(id, INVALID_PARAMS, &why),
        }
    }

    fn notified(&mut self, method: &str, params: &Value) -> Outcome {
        // Files on disk have changed, maybe one that an open one names.
        if matches!(method, "textDocument/didSave" | "workspace/didChangeWatchedFiles") {
            return self.again(|_, _| true);
        }
        let document = &params["textDocument"];
        let Some(uri) = document["uri"].as_str().map(str::to_owned) else { return Ok(()) };
        match method {
            "textDocument/didOpen" => {
                let text = document["text"].as_str().unwrap_or_default().to_owned();
                let Some((path, files)) = path(&uri) else { return Ok(()) };
                let open = Open { document: Document::new(&path, text), path, files, found: Vec::new() };
                self.open.insert(uri.clone(), open);
                self.publish(&uri, document["version"].as_i64())
            }
            "textDocument/didChange" => {
                let Some(open) = self.open.get_mut(&uri) else { return Ok(()) };
                for change in params["contentChanges"].as_array().into_iter().flatten() {
                    let text = change["text"].as_str().unwrap_or_default();
                    let range = &change["range"];
                    match (position(&range["start"]), position(&range["end"])) {
                        (Some(from), Some(to)) => open.document.text_mut().replace(from, to, text),
                        _ if range.is_null() => open.document = Document::new(&open.path, text.to_owned()),
                        _ => {}
                    }
                }
                self.publish(&uri, document["version"].as_i64())
            }
            "textDocument/didClose" => match self.open.remove(&uri) {
                Some(closed) => {
                    self.send(&answers::diagnostics(&uri, None, None, &[]))?;
                    // What was not saved counts no more.
                    self.again(|_, open| open.files.root() == closed.files.root())
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Checks a file and tells the editor what is wrong with it, and then the others of its working tree.
    fn publish(&mut self, uri: &str, version: Option<i64>) -> Outcome {
        let Some(open) = self.open.get(uri) else { return Ok(()) };
        let root = open.files.root().to_owned();
        let found = self.check(open);
        let message = answers::diagnostics(uri, version, Some(&open.document), &found);
        if let Some(open) = self.open.get_mut(uri) {
            open.found = found;
        }
        self.send(&message)?;
        self.again(|other, open| other != uri && open.files.root() == root)
    }

    /// Checks open files once more, and tells what is different.
    fn again(&mut self, which: impl Fn(&str, &Open) -> bool) -> Outcome {
        let mut changed: Vec<(String, Vec<Diagnostic>)> = Vec::new();
        for (uri, open) in self.open.iter().filter(|(uri, open)| which(uri.as_str(), open)) {
            let found = self.check(open);
            if found != open.found {
                changed.push((uri.clone(), found));
            }
        }
        changed.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (uri, found) in changed {
            let Some(open) = self.open.get_mut(&uri) else { continue };
            let message = answers::diagnostics(&uri, None, Some(&open.document), &found);
            open.found = found;
            self.send(&message)?;
        }
        Ok(())
    }

    fn check(&self, open: &Open) -> Vec<Diagnostic> {
        let files = Workspace { open: &self.open, tree: &open.files };
        files::check(&open.path, &files, &self.machines, true, open.document.text().as_str())
    }

    /// The file that a request is about, if it is one of ours.
    fn file<'p>(&self, params: &'p Value) -> Result<Option<(&'p str, &Open)>, String> {
        let uri = params["textDocument"]["uri"].as_str().ok_or("the request names no file")?;
        Ok(self.open.get(uri).map(|open| (uri, open)))
    }

    /// What is answered about a place of a file.
    fn at(&self, params: &Value, answer: impl FnOnce(&Open, usize) -> Value) -> Result<Value, String> {
        let position = position(&params["position"]).ok_or("the request names no position")?;
        let Some((_, open)) = self.file(params)? else { return Ok(Value::Null) };
        Ok(answer(open, open.document.text().offset(position)))
    }

    fn fail(&mut self, id: &Value, code: i64, why: &str) -> Outcome {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": why } }))
    }

    fn send(&mut self, message: &Value) -> Outcome {
        wire::write(&mut self.output, message).doing("cannot write to the editor")
    }
}

/// The path inside its repository of a pipeline file that the editor names, and the other files there.
fn path(uri: &str) -> Option<(String, TreeFiles)> {
    let whole = Url::parse(uri).ok()?.to_file_path().ok()?;
    let inside = files::inside(&whole)?;
    let up = Path::new(&inside).components().count();
    let files = TreeFiles::new(whole.ancestors().nth(up)?);
    Some((inside, files))
}

fn actions(uri: &str, open: &Open, range: &Value) -> Value {
    answers::code_actions(uri, &open.document, &open.found, range)
}

fn position(value: &Value) -> Option<Position> {
    let number = |key: &str| u32::try_from(value[key].as_u64()?).ok();
    Some(Position { line: number("line")?, character: number("character")? })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
