//! The names that expressions may use: contexts, their properties, and the stages of the pipeline.

use std::collections::HashMap;

use super::{
    Expression, Kind, Literal,
    check::{Checker, Type},
};
use crate::{
    codes,
    diagnostic::Place,
    nearest::{did_you_mean, listed},
};

/// A stage as seen from an expression.
#[derive(Debug, Clone)]
pub(crate) struct StageName<'a> {
    pub name: &'a str,
    /// Comes before the stage that the expression belongs to.
    pub upstream: bool,
    /// Is several stages, so that its outputs have no single value.
    pub matrix: bool,
    /// The outputs that it makes; None: whatever its commands write.
    pub outputs: Option<Vec<&'a str>>,
}

/// What an expression may name where it stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names<'a> {
    /// The inputs of manual runs.
    pub inputs: Vec<(&'a str, Type)>,
    /// Stands in a template, whose inputs these are.
    pub in_template: bool,
    /// The inputs that are one of a few words, with these.
    pub choices: Vec<(&'a str, Vec<&'a str>)>,
    /// The names of the stage's matrix; None: it has none.
    pub matrix: Option<Vec<&'a str>>,
    /// The matrix may have names beside these: it is known only when the stage's turn has come.
    pub open_matrix: bool,
    /// The steps of the stage that have an id, with their places in it.
    pub steps: HashMap<&'a str, usize>,
    /// The steps before this one are known; None: it is read before any of them runs.
    pub step: Option<usize>,
    /// Stands in a deploy or smoke stage.
    pub environment: bool,
    /// The pipeline's stages; None: outside of stages.
    pub stages: Option<Vec<StageName<'a>>>,
    /// Stands in `if`, where earlier stages can be asked how they ended.
    pub condition: bool,
}

impl Checker<'_> {
    /// The type of a name and its properties, all of them known.
    pub(super) fn path(&mut self, path: &[(&str, Place)]) -> Type {
        let [(root, place), rest @ ..] = path else { return Type::Any };
        match *root {
            "git" => self.fixed("git", GIT, rest),
            "event" => match rest {
                [("pull_request", _), rest @ ..] => self.fixed("event.pull_request", PULL_REQUEST, rest),
                [("release", _), rest @ ..] => self.fixed("event.release", RELEASE, rest),
                [("dispatch", _), rest @ ..] => self.fixed("event.dispatch", DISPATCH, rest),
                [("upstream", _), rest @ ..] => self.fixed("event.upstream", UPSTREAM, rest),
                _ => self.fixed("event", EVENT, rest),
            },
            "inputs" => {
                let inputs = self.names.inputs.clone();
                let missing = match self.names.in_template {
                    true => "the template declares no input",
                    false => "`on.manual.inputs` declares no input",
                };
                self.named("inputs", &inputs, rest, missing)
            }
            "matrix" if self.names.open_matrix => match rest {
                [] => Type::Map,
                _ => Type::Any,
            },
            "matrix" => match &self.names.matrix {
                Some(axes) => {
                    let axes: Vec<_> = axes.iter().map(|name| (*name, Type::Any)).collect();
                    self.named("matrix", &axes, rest, "the matrix has no name")
                }
                None => {
                    let message = "there is no matrix here".to_owned();
                    self.find(
                        codes::UNKNOWN_NAME,
                        *place,
                        message,
                        Some("give the stage a `matrix`".to_owned()),
                    )
                }
            },
            "environment" if self.names.environment => self.fixed("environment", ENVIRONMENT, rest),
            "environment" => {
                let message = "`environment` is known only in deploy and smoke stages".to_owned();
                self.find(codes::UNKNOWN_NAME, *place, message, None)
            }
            "stages" => self.stage(*place, rest),
            "steps" => self.step(*place, rest),
            "secrets" => {
                let message = "secrets are never part of an expression".to_owned();
                let help = "name the secret under the stage's `secrets`; its commands read it as a variable";
                self.find(codes::UNKNOWN_NAME, *place, message, Some(help.to_owned()))
            }
            "env" => {
                let message = "there is no context `env`".to_owned();
                let help =
                    "commands read environment values as variables; expressions read `git`, `inputs`, …";
                self.find(codes::UNKNOWN_NAME, *place, message, Some(help.to_owned()))
            }
            unknown => {
                let known = ["git", "event", "inputs", "matrix", "environment", "stages", "steps"];
                let help = did_you_mean(unknown, known)
                    .unwrap_or_else(|| format!("the contexts are {}; text stands in quotes", listed(known)));
                self.find(codes::UNKNOWN_NAME, *place, format!("there is no context `{unknown}`"), Some(help))
            }
        }
    }

    /// All that an expression can be, where it is one of a few words.
    pub(super) fn words(&self, expression: &Expression) -> Option<Vec<&str>> {
        let path = path(expression)?;
        match path.iter().map(|(name, _)| *name).collect::<Vec<_>>().as_slice() {
            ["event", "kind"] => Some(KINDS.to_vec()),
            ["stages", _, "status"] => Some(STATES.to_vec()),
            ["inputs", name] => {
                self.names.choices.iter().find(|(input, _)| input == name).map(|(_, words)| words.clone())
            }
            _ => None,
        }
    }

    /// A context whose properties are always the same.
    fn fixed(&mut self, context: &str, known: &[(&str, Type)], rest: &[(&str, Place)]) -> Type {
        self.named(context, known, rest, &format!("`{context}` has no property"))
    }

    fn named(
        &mut self,
        context: &str,
        known: &[(&str, Type)],
        rest: &[(&str, Place)],
        missing: &str,
    ) -> Type {
        let [(name, place), deeper @ ..] = rest else { return Type::Map };
        let Some((_, kind)) = known.iter().find(|(key, _)| key == name) else {
            let words = known.iter().map(|(key, _)| *key);
            let help = did_you_mean(name, words.clone())
                .unwrap_or_else(|| format!("`{context}` has {}", listed(words)));
            return self.find(codes::UNKNOWN_NAME, *place, format!("{missing} `{name}`"), Some(help));
        };
        match (kind, deeper) {
            (kind, []) => *kind,
            (Type::Bool | Type::Number | Type::Text, [(deeper, place), ..]) => {
                let message =
                    format!("`{context}.{name}` is {}, it has no property `{deeper}`", kind.describe());
                self.find(codes::UNKNOWN_NAME, *place, message, None)
            }
            _ => Type::Any,
        }
    }

    fn stage(&mut self, place: Place, rest: &[(&str, Place)]) -> Type {
        let Some(stages) = &self.names.stages else {
            let message = "`stages` is known only in stages".to_owned();
            return self.find(codes::UNKNOWN_NAME, place, message, None);
        };
        let [(name, name_place), rest @ ..] = rest else { return Type::Map };
        // One stage of a matrix is named by its whole key, `test (node=20)`.
        let (base, one_of_matrix) = match name.split_once(" (") {
            Some((base, _)) => (base, true),
            None => (*name, false),
        };
        let Some(stage) = stages.iter().find(|stage| stage.name == base) else {
            let words: Vec<&str> = stages.iter().map(|stage| stage.name).collect();
            let help = did_you_mean(base, words.iter().copied())
                .unwrap_or_else(|| format!("the stages are {}", listed(words.iter().copied())));
            return self.find(
                codes::UNKNOWN_NAME,
                *name_place,
                format!("there is no stage `{base}`"),
                Some(help),
            );
        };
        if !stage.upstream {
            let message = format!("stage `{base}` does not come before this one, so nothing is known of it");
            let help = Some(format!("add `{base}` to `needs`"));
            return self.find(codes::NOT_UPSTREAM, *name_place, message, help);
        }
        let (outputs, matrix) = (stage.outputs.clone(), stage.matrix && !one_of_matrix);
        match rest {
            [] => Type::Map,
            [("status", _)] => Type::Text,
            [("outputs", place), ..] if matrix => {
                let message = format!("`{base}` has a matrix, so its outputs have no single value");
                let help = format!("name one of its stages: `stages['{base} (name=value)'].outputs`");
                self.find(codes::UNKNOWN_NAME, *place, message, Some(help))
            }
            [("outputs", _)] => Type::Map,
            [("outputs", _), output @ ..] => match outputs {
                Some(outputs) => {
                    let known: Vec<_> = outputs.into_iter().map(|name| (name, Type::Text)).collect();
                    self.named(&format!("stages.{base}.outputs"), &known, output, "this stage has no output")
                }
                None => Type::Text,
            },
            _ => {
                let known = [("status", Type::Text), ("outputs", Type::Map)];
                self.fixed(&format!("stages.{base}"), &known, rest)
            }
        }
    }
}

impl Checker<'_> {
    fn step(&mut self, place: Place, rest: &[(&str, Place)]) -> Type {
        let Some(before) = self.names.step else {
            let message =
                "`steps` is known only in later steps of the stage, and in its `outputs`".to_owned();
            return self.find(codes::UNKNOWN_NAME, place, message, None);
        };
        let [(name, name_place), rest @ ..] = rest else { return Type::Map };
        let steps = &self.names.steps;
        let found = steps.get(name).copied();
        if found.is_none_or(|index| index >= before) {
            let words: Vec<_> =
                steps.iter().filter(|(_, index)| **index < before).map(|(id, _)| *id).collect();
            let (message, help) = match found {
                Some(_) => (format!("step `{name}` does not come before this one"), None),
                None => (
                    format!("no step of this stage has the id `{name}`"),
                    did_you_mean(name, words.iter().copied())
                        .or_else(|| words.is_empty().then(|| "give an earlier step an `id`".to_owned())),
                ),
            };
            return self.find(codes::UNKNOWN_NAME, *name_place, message, help);
        }
        match rest {
            [("outputs", _), _] => Type::Text,
            _ => {
                let known = [("outcome", Type::Text), ("outputs", Type::Map)];
                self.fixed(&format!("steps.{name}"), &known, rest)
            }
        }
    }
}

const GIT: &[(&str, Type)] = &[
    ("sha", Type::Text),
    ("short_sha", Type::Text),
    ("reference", Type::Text),
    ("branch", Type::Text),
    ("tag", Type::Text),
    ("before", Type::Text),
    ("message", Type::Text),
    ("author", Type::Text),
];
const EVENT: &[(&str, Type)] = &[
    ("kind", Type::Text),
    ("repository", Type::Text),
    ("default_branch", Type::Text),
    ("action", Type::Text),
    ("actor", Type::Text),
    ("trusted", Type::Bool),
    ("changed_paths", Type::List),
    ("pull_request", Type::Map),
    ("release", Type::Map),
    ("dispatch", Type::Map),
    ("upstream", Type::Map),
];
const PULL_REQUEST: &[(&str, Type)] = &[
    ("number", Type::Number),
    ("action", Type::Text),
    ("title", Type::Text),
    ("base_branch", Type::Text),
    ("head_branch", Type::Text),
    ("from_fork", Type::Bool),
];
/// What `event.kind` can be.
const KINDS: &[&str] = &[
    "push",
    "tag",
    "pull_request",
    "schedule",
    "manual",
    "release",
    "dispatch",
    "upstream",
    "forge",
    "rollback",
];
/// How a stage can have ended.
const STATES: &[&str] = &["succeeded", "warned", "failed", "skipped", "cancelled", "unknown"];
const RELEASE: &[(&str, Type)] = &[
    ("action", Type::Text),
    ("tag", Type::Text),
    ("name", Type::Text),
    ("draft", Type::Bool),
    ("prerelease", Type::Bool),
];
const DISPATCH: &[(&str, Type)] = &[("type", Type::Text), ("payload", Type::Any)];
const UPSTREAM: &[(&str, Type)] = &[
    ("pipeline", Type::Text),
    ("status", Type::Text),
    ("branch", Type::Text),
    ("sha", Type::Text),
    ("run_number", Type::Number),
];
const ENVIRONMENT: &[(&str, Type)] = &[("name", Type::Text), ("url", Type::Text)];

/// Is told the names of one path.
type Visit<'v, 'e> = &'v mut dyn FnMut(&[(&'e str, Place)]);

/// Every name that an expression reads, with what stands behind it as far as that is written down, in the order of
/// the text: `a.b['c'].*` is `a`, `b`, `c`.
pub(crate) fn paths<'e>(expression: &'e Expression, visit: Visit<'_, 'e>) {
    match path(expression) {
        Some(names) => visit(&names),
        None => expression.parts().into_iter().for_each(|part| paths(part, visit)),
    }
}

/// `a.b['c']` as its parts, when all of them are known.
pub(super) fn path(expression: &Expression) -> Option<Vec<(&str, Place)>> {
    match &expression.kind {
        Kind::Name(name) => Some(vec![(name, expression.place)]),
        Kind::Member(base, name) => {
            let mut parts = path(base)?;
            parts.push((&name.value, name.place));
            Some(parts)
        }
        Kind::Index(base, index) => {
            let Kind::Literal(Literal::Text(name)) = &index.kind else { return None };
            let mut parts = path(base)?;
            parts.push((name, index.place));
            Some(parts)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::EventKind;

    #[test]
    fn all_kinds_of_events_are_known() {
        for kind in KINDS {
            let known: EventKind = serde_json::from_value(json!(kind)).unwrap();
            assert_eq!(known.as_str(), *kind);
        }
        // The list in the message about a kind that is none of them.
        let message = serde_json::from_value::<EventKind>(json!("?")).unwrap_err().to_string();
        assert_eq!(message.matches('`').count(), 2 * (KINDS.len() + 1), "{message}");
    }
}
