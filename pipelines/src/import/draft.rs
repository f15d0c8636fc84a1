//! A native pipeline that is being made: YAML values in the order in which people write them.

use std::collections::BTreeMap;

use crate::{
    diagnostic::Place,
    native::{is_name, is_variable},
};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    /// Text, quoted where it must be.
    Text(String),
    /// A number or boolean, as it is written.
    Plain(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
    /// A key with nothing behind it.
    Nothing,
}

impl Yaml {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Text(text.into())).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }
}

/// Keys and values, without those that hold nothing.
pub(super) fn map<const N: usize>(entries: [(&str, Option<Yaml>); N]) -> Yaml {
    let kept = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Yaml::Map(kept.filter(|(_, value)| !value.is_empty()).collect())
}

/// Names and values.
pub(super) fn pairs(env: &BTreeMap<String, String>) -> Option<Yaml> {
    let entries = env.iter().map(|(name, value)| (name.clone(), Yaml::text(value)));
    (!env.is_empty()).then(|| Yaml::Map(entries.collect()))
}

/// The whole pipeline.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub name: Option<String>,
    pub on: Vec<(String, Yaml)>,
    pub env: BTreeMap<String, String>,
    pub image: Option<String>,
    pub shell: Option<&'static str>,
    pub concurrency: Option<Yaml>,
    pub stages: Vec<Stage>,
}

/// A stage that runs commands.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub name: String,
    /// Where it comes from in the file that was read.
    pub place: Place,
    pub needs: Vec<(String, Accepts)>,
    pub condition: Option<String>,
    pub matrix: Option<Yaml>,
    pub max_parallel: Option<u64>,
    pub fail_fast: bool,
    pub concurrency: Option<Yaml>,
    pub outputs: BTreeMap<String, String>,
    pub image: Option<String>,
    pub runs_on: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Secret and variable.
    pub secrets: BTreeMap<String, String>,
    pub services: Vec<(String, Yaml)>,
    pub timeout: Option<String>,
    pub retry: Option<Yaml>,
    pub continue_on_error: bool,
    pub checkout: Option<bool>,
    pub artifacts: Vec<Yaml>,
    pub fetch: Vec<String>,
    pub cache: Vec<Yaml>,
    pub reports: Vec<Yaml>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    Success,
    Anything,
}

/// A step.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub name: Option<String>,
    pub id: Option<String>,
    pub condition: Option<String>,
    pub run: String,
    pub env: BTreeMap<String, String>,
    pub working_directory: Option<String>,
    pub timeout: Option<String>,
    pub when: Option<&'static str>,
    pub continue_on_error: bool,
    pub shell: Option<Yaml>,
}

impl Draft {
    pub(super) fn yaml(&self) -> Yaml {
        let defaults =
            map([("image", self.image.as_ref().map(Yaml::text)), ("shell", self.shell.map(Yaml::text))]);
        let stages = self.stages.iter().map(|stage| (stage.name.clone(), stage.yaml())).collect();
        map([
            ("name", self.name.as_ref().map(Yaml::text)),
            ("on", Some(Yaml::Map(self.on.clone()))),
            ("env", pairs(&self.env)),
            ("defaults", Some(defaults)),
            ("concurrency", self.concurrency.clone()),
            ("stages", Some(Yaml::Map(stages))),
        ])
    }
}

impl Stage {
    fn yaml(&self) -> Yaml {
        let plain = self.needs.iter().all(|(_, accepts)| *accepts == Accepts::Success);
        let needs = if plain {
            Yaml::texts(self.needs.iter().map(|(name, _)| name))
        } else {
            let word = |accepts: Accepts| match accepts {
                Accepts::Success => "succeeded",
                Accepts::Anything => "finished",
            };
            Yaml::Map(
                self.needs.iter().map(|(name, accepts)| (name.clone(), Yaml::text(word(*accepts)))).collect(),
            )
        };
        let secrets = self.secrets.iter().map(|(variable, secret)| {
            if variable == secret {
                Yaml::text(secret)
            } else {
                map([("name", Some(Yaml::text(secret))), ("env", Some(Yaml::text(variable)))])
            }
        });
        let run = match self.steps.as_slice() {
            [step] if step.is_script() => Yaml::text(step.text()),
            steps => Yaml::List(steps.iter().map(Step::yaml).collect()),
        };
        map([
            ("needs", Some(needs)),
            ("if", self.condition.as_ref().map(Yaml::text)),
            ("matrix", self.matrix.clone()),
            ("max_parallel", self.max_parallel.map(|most| Yaml::Plain(most.to_string()))),
            ("fail_fast", self.fail_fast.then(|| Yaml::Plain("true".to_owned()))),
            ("concurrency", self.concurrency.clone()),
            ("image", self.image.as_ref().map(Yaml::text)),
            ("runs_on", Some(Yaml::texts(&self.runs_on))),
            ("timeout", self.timeout.as_ref().map(Yaml::text)),
            ("retry", self.retry.clone()),
            ("continue_on_error", self.continue_on_error.then(|| Yaml::Plain("true".to_owned()))),
            ("checkout", self.checkout.map(|checkout| Yaml::Plain(checkout.to_string()))),
            ("env", pairs(&self.env)),
            ("secrets", Some(Yaml::List(secrets.collect()))),
            ("services", Some(Yaml::Map(self.services.clone()))),
            ("cache", Some(Yaml::List(self.cache.clone()))),
            ("fetch", Some(Yaml::texts(&self.fetch))),
            ("run", Some(run)),
            ("outputs", pairs(&self.outputs)),
            ("artifacts", Some(Yaml::List(self.artifacts.clone()))),
            ("reports", Some(Yaml::List(self.reports.clone()))),
        ])
    }
}

impl Step {
    /// A step that is a script alone.
    pub(super) fn script(run: impl Into<String>) -> Self {
        Self { run: run.into(), ..Self::default() }
    }

    /// The script; one of one line without its line end.
    fn text(&self) -> &str {
        let line = self.run.trim_end_matches('\n');
        if line.contains('\n') { &self.run } else { line }
    }

    fn is_script(&self) -> bool {
        self.name.is_none()
            && self.id.is_none()
            && self.condition.is_none()
            && self.env.is_empty()
            && self.working_directory.is_none()
            && self.timeout.is_none()
            && self.when.is_none()
            && !self.continue_on_error
            && self.shell.is_none()
    }

    fn yaml(&self) -> Yaml {
        if self.is_script() {
            return Yaml::text(self.text());
        }
        map([
            ("name", self.name.as_ref().map(Yaml::text)),
            ("id", self.id.as_ref().map(Yaml::text)),
            ("if", self.condition.as_ref().map(Yaml::text)),
            ("run", Some(Yaml::text(self.text()))),
            ("env", pairs(&self.env)),
            ("working_directory", self.working_directory.as_ref().map(Yaml::text)),
            ("timeout", self.timeout.as_ref().map(Yaml::text)),
            ("when", self.when.map(Yaml::text)),
            ("continue_on_error", self.continue_on_error.then(|| Yaml::Plain("true".to_owned()))),
            ("shell", self.shell.clone()),
        ])
    }
}

/// Names of stages made of names that may hold anything, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    given: BTreeMap<String, String>,
}

impl Names {
    /// The name here of what was called so there.
    pub(super) fn of(&mut self, there: &str) -> String {
        if let Some(known) = self.given.get(there) {
            return known.clone();
        }
        let base = name(there);
        let mut own = base.clone();
        let mut number = 2;
        while self.given.values().any(|one| *one == own) {
            own = format!("{base}-{number}");
            number += 1;
        }
        self.given.insert(there.to_owned(), own.clone());
        own
    }
}

/// A name in the characters that names have.
pub(super) fn name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let mut name: String = text.chars().map(plain).take(56).collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    let name = name.trim_matches(['-', '_']);
    if is_name(name) { name.to_owned() } else { "stage".to_owned() }
}

/// A variable's name in the characters that such names have.
pub(super) fn variable(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let mut name: String = text.chars().map(plain).take(100).collect();
    while name.contains("__") {
        name = name.replace("__", "_");
    }
    let name = name.trim_matches('_');
    if is_variable(name) { name.to_owned() } else { format!("VALUE_{name}").trim_end_matches('_').to_owned() }
}

/// Seconds as people write them.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0 => "1s".to_owned(),
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_anything_and_differ() {
        let mut names = Names::default();
        assert_eq!(names.of("build:linux 1/3"), "build-linux-1-3");
        assert_eq!(names.of("build linux 1/3"), "build-linux-1-3-2");
        assert_eq!(names.of("build:linux 1/3"), "build-linux-1-3");
        assert_eq!(names.of("✓"), "stage");
        assert_eq!(variable("github.event.pull_request.title"), "GITHUB_EVENT_PULL_REQUEST_TITLE");
        assert_eq!(variable("7"), "VALUE_7");
        assert_eq!([3600, 90, 172_800, 0].map(duration), ["1h", "90s", "2d", "1s"]);
    }
}
