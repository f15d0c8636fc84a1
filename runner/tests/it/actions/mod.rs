//! Steps that use actions, on the scripted engine: composite, JavaScript (run by a shell script that calls itself
//! `node`), containers and built-in ones; from the workspace and from repositories of this machine.

mod built_in;
mod fetched;
mod kinds;
mod restarts;

use serde_json::{Value, json};
use tidegate_protocol::messages::Lease;
use tidegate_runner::actions::SourceMapping;

use crate::{
    steps::with,
    support::{
        agent::{lease, lenient, sh},
        git::git,
    },
};

pub fn uses(action: &str, inputs: Value) -> Value {
    json!({ "uses": { "action": action, "with": inputs }, "name": action })
}

/// A step that writes files into the workspace, as a checkout would.
pub fn files(files: &[(&str, &str)]) -> Value {
    let mut script = String::new();
    for (path, text) in files {
        // The script is a template itself.
        let text = text.replace("${{", "${{ '${{' }}");
        script.push_str(&format!(
            "mkdir -p \"$(dirname {path})\"\ncat > {path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE\n"
        ));
    }
    with(sh(&script), json!({ "name": "files" }))
}

/// A `node` that runs its file as a shell script, first on the search path.
pub fn node() -> Value {
    let program = "#!/bin/sh\nexec /bin/sh \"$@\"";
    let step = files(&[("bin/node", program)]);
    let mut step = step;
    let script = format!(
        "{}chmod +x bin/node; echo $PWD/bin >> $GITHUB_PATH",
        step["run"]["script"].as_str().unwrap()
    );
    step["run"]["script"] = script.into();
    step["name"] = "node".into();
    step
}

/// A repository on this machine.
pub struct Origin {
    pub folder: tempfile::TempDir,
}

impl Origin {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let origin = Self { folder: tempfile::tempdir().unwrap() };
        origin.git(&["init", "-q", "--initial-branch=main"]);
        origin.commit(files);
        origin
    }

    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(self.folder.path(), arguments)
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    /// A lease of a stage of this repository.
    pub fn lease(&self, steps: Value) -> Lease {
        let mut lease = lease(lenient(steps));
        lease.source.clone_url = self.url();
        lease.source.sha = self.git(&["rev-parse", "HEAD"]);
        lease
    }
}

pub fn mapped(from: &str, origin: &Origin) -> SourceMapping {
    SourceMapping { from: from.to_owned(), to: origin.url() }
}
