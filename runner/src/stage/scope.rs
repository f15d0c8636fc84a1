//! What the steps of a stage read of each other: contexts and environment, as they are when a step's turn has come.
//! The steps of a composite action have a scope of their own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use tidegate_pipelines::lenient::Status;
use tidegate_protocol::messages::RegistryLogin;
use tokio::time::Instant;

/// How deep composite actions may use each other.
pub(super) const DEEPEST: usize = 10;

/// The environment that all steps of the stage share.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    /// Facts of run and runner, and secrets; no expression reads them as `env`.
    pub(super) facts: BTreeMap<String, String>,
    /// The stage's own values, and what steps handed on.
    pub(super) env: BTreeMap<String, String>,
    /// Search paths that steps handed on, latest first.
    pub(super) path: Vec<String>,
    /// Credentials for registries that built-in actions left, by host. In memory only.
    pub(super) logins: BTreeMap<String, RegistryLogin>,
}

impl World {
    /// Takes over what a step hands on.
    pub(super) fn adopt(&mut self, env: BTreeMap<String, String>, path: Vec<String>) {
        self.env.extend(env);
        for entry in path {
            self.path.retain(|known| *known != entry);
            self.path.insert(0, entry);
        }
    }

    /// Takes over or forgets credentials for registries.
    pub(super) fn log_in(&mut self, logins: BTreeMap<String, RegistryLogin>, logouts: &BTreeSet<String>) {
        self.logins.retain(|host, _| !logouts.contains(host));
        self.logins.extend(logins);
    }
}

/// How a step came out, in the words of the `steps` context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Success,
    Failure,
    Cancelled,
    Skipped,
}

impl Ending {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// The properties of `github` that are about the action at work.
const ACTION: [&str; 4] = ["action", "action_path", "action_ref", "action_repository"];

/// What `github` says of the action at work.
#[derive(Debug, Clone, Default)]
pub(super) struct Action([Option<Value>; 4]);

/// Steps that see each other.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// All contexts but `env` and the status.
    pub(super) contexts: BTreeMap<String, Value>,
    /// Values of the step that uses the composite action, over the world's.
    pub(super) env: BTreeMap<String, String>,
    /// A step of a composite action failed.
    pub(super) failed: bool,
    /// 0 for the stage's own steps.
    pub(super) depth: usize,
    /// When the time of the step that uses the composite action is up.
    pub(super) until: Option<Instant>,
    /// Names given to steps without an id.
    given: BTreeMap<String, usize>,
}

impl Scope {
    /// The stage's own.
    pub(super) fn of_stage(contexts: BTreeMap<String, Value>) -> Self {
        Self { contexts, env: BTreeMap::new(), failed: false, depth: 0, until: None, given: BTreeMap::new() }
    }

    /// A composite action's, with its inputs.
    pub(super) fn inside(
        &self,
        inputs: &BTreeMap<String, String>,
        env: BTreeMap<String, String>,
        until: Option<Instant>,
    ) -> Self {
        let mut contexts = self.contexts.clone();
        contexts.insert("inputs".to_owned(), json!(inputs));
        contexts.insert("steps".to_owned(), json!({}));
        // An action gets what it is given, and nothing else.
        contexts.remove("secrets");
        Self { contexts, env, failed: false, depth: self.depth + 1, until, given: BTreeMap::new() }
    }

    /// Whether it is the stage's own.
    pub(super) fn is_top(&self) -> bool {
        self.depth == 0
    }

    /// Notes how a step came out. `outcome` is before its leave to fail counts, `conclusion` after.
    pub(super) fn note(
        &mut self,
        id: Option<&str>,
        outcome: Ending,
        conclusion: Ending,
        outputs: &BTreeMap<String, String>,
    ) {
        let Some(id) = id else { return };
        let facts = json!({ "outputs": outputs, "outcome": outcome.word(), "conclusion": conclusion.word() });
        if let Some(steps) = self.object("steps") {
            steps.insert(id.to_owned(), facts);
        }
    }

    /// Sets a property of `github`.
    pub(super) fn set_github(&mut self, key: &str, value: impl Into<Value>) {
        if let Some(github) = self.object("github") {
            github.insert(key.to_owned(), value.into());
        }
    }

    /// What `github` says of the action at work.
    pub(super) fn action(&self) -> Action {
        let github = self.contexts.get("github");
        Action(ACTION.map(|key| github.and_then(|github| github.get(key)).cloned()))
    }

    /// Puts back what [`Scope::action`] gave.
    pub(super) fn restore_action(&mut self, action: Action) {
        let Some(github) = self.object("github") else { return };
        for (key, value) in ACTION.into_iter().zip(action.0) {
            match value {
                Some(value) => github.insert(key.to_owned(), value),
                None => github.remove(key),
            };
        }
    }

    /// An action is at work: its folder in the sandbox, and where it is from.
    pub(super) fn set_action(&mut self, folder: &str, repository: &str, reference: &str) {
        self.set_github("action_path", folder);
        self.set_github("action_repository", repository);
        self.set_github("action_ref", reference);
    }

    /// Sets what expressions read as `env` and `job.status`.
    pub(super) fn set_now(&mut self, env: &BTreeMap<String, String>, status: Status) {
        self.contexts.insert("env".to_owned(), json!(env));
        let word = match status {
            Status::Success => "success",
            Status::Failure => "failure",
            Status::Cancelled => "cancelled",
        };
        if let Some(job) = self.object("job") {
            job.insert("status".to_owned(), word.into());
        }
    }

    /// What `github.action` says of a step: its id, else a name made of what it does.
    pub(super) fn name_step(&mut self, id: Option<&str>, made_of: &str) -> String {
        if let Some(id) = id {
            return id.to_owned();
        }
        let plain: String =
            made_of.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let base = format!("__{plain}");
        let count = self.given.entry(base.clone()).or_default();
        *count += 1;
        if *count == 1 { base } else { format!("{base}_{count}") }
    }

    fn object(&mut self, context: &str) -> Option<&mut Map<String, Value>> {
        self.contexts.get_mut(context).and_then(Value::as_object_mut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composite_actions_steps_see_only_what_they_are_given() {
        let contexts = BTreeMap::from([
            ("secrets".to_owned(), json!({ "A": "x" })),
            ("github".to_owned(), json!({ "sha": "1" })),
            ("steps".to_owned(), json!({})),
        ]);
        let mut scope = Scope::of_stage(contexts);
        scope.note(
            Some("one"),
            Ending::Failure,
            Ending::Success,
            &BTreeMap::from([("o".into(), "v".into())]),
        );
        assert_eq!(
            scope.contexts["steps"]["one"],
            json!({ "outputs": { "o": "v" }, "outcome": "failure", "conclusion": "success" })
        );
        let inside =
            scope.inside(&BTreeMap::from([("in".to_owned(), "1".to_owned())]), BTreeMap::new(), None);
        assert_eq!(inside.contexts["inputs"]["in"], "1");
        assert_eq!(inside.contexts["steps"], json!({}));
        assert!(!inside.contexts.contains_key("secrets") && inside.depth == 1);
    }

    #[test]
    fn the_latest_search_path_comes_first_and_once() {
        let mut world = World::default();
        world.adopt(BTreeMap::new(), vec!["/a".to_owned(), "/b".to_owned()]);
        world.adopt(BTreeMap::new(), vec!["/a".to_owned()]);
        assert_eq!(world.path, ["/a", "/b"]);
    }

    #[test]
    fn steps_without_an_id_get_a_name() {
        let mut scope = Scope::of_stage(BTreeMap::new());
        let names = [(Some("x"), "run"), (None, "run"), (None, "run"), (None, "actions/checkout")];
        let names = names.map(|(id, made_of)| scope.name_step(id, made_of));
        assert_eq!(names, ["x", "__run", "__run_2", "__actions_checkout"]);
    }
}
