//! What an expression can see: the facts of the run, and the stage that it belongs to.

use serde_json::{Map, Value, json};

use super::functions;
use crate::{
    context::{Context, StageFacts},
    plan::{NeedState, StagePlan},
};

/// The names of an evaluation.
pub(crate) struct Scope<'a> {
    context: &'a Context,
    stage: Option<&'a StagePlan>,
    /// Whether an output that is not there is a fault (in a template, whose text would silently be wrong) or null
    /// (in a condition, which may ask).
    strict: bool,
}

impl<'a> Scope<'a> {
    /// For the templates of a stage, or of the pipeline itself.
    pub(crate) fn of_template(context: &'a Context, stage: Option<&'a StagePlan>) -> Self {
        Self { context, stage, strict: true }
    }

    /// For a stage's condition.
    pub(crate) fn of_condition(context: &'a Context, stage: &'a StagePlan) -> Self {
        Self { context, stage: Some(stage), strict: false }
    }

    /// A whole context.
    pub(super) fn whole(&self, name: &str) -> Result<Value, String> {
        match name {
            "git" => Ok(self.git()),
            "event" => Ok(self.event()),
            "inputs" => Ok(self.context.inputs.clone().into_iter().collect::<Map<_, _>>().into()),
            "matrix" => {
                let values = self.stage.map(|stage| stage.matrix.clone()).unwrap_or_default();
                Ok(values.into_iter().collect::<Map<_, _>>().into())
            }
            "environment" => match &self.context.environment {
                Some(facts) => Ok(json!({ "name": facts.name, "url": facts.url })),
                None => Err("`environment` is known only in deploy and smoke stages".to_owned()),
            },
            "stages" => Ok(self.stages()),
            _ => Err(format!("there is no context `{name}`")),
        }
    }

    /// A property of a value, null when there is none. Of stages and their outputs that may be a fault.
    pub(super) fn property(&self, base: &Value, name: &str, of_stages: bool) -> Result<Value, String> {
        match base {
            Value::Object(map) => match map.get(name) {
                Some(value) => Ok(value.clone()),
                None if self.strict && of_stages => {
                    let known = map.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>();
                    Err(if known.is_empty() {
                        format!("there is no `{name}` here; there is nothing at all, did the stage run?")
                    } else {
                        format!("there is no `{name}` here, only {}", known.join(", "))
                    })
                }
                None => Ok(Value::Null),
            },
            Value::Null => Ok(Value::Null),
            other => Err(format!("{} has no property `{name}`", super::kind_name(other))),
        }
    }

    /// The functions about how earlier stages ended.
    pub(crate) fn status(&self, function: &str) -> Result<bool, String> {
        debug_assert!(functions::is_status(function));
        let Some(stage) = self.stage else {
            return Err(format!("`{function}()` is known only in a stage"));
        };
        let status_of = |key| self.context.stages.get(key).map(|facts| facts.status.as_str());
        Ok(match function {
            "always" => true,
            "failure" => {
                stage.upstream.iter().any(|key| matches!(status_of(key), Some("failed" | "unknown")))
            }
            "cancelled" => stage.upstream.iter().any(|key| status_of(key) == Some("cancelled")),
            _ => stage
                .needs
                .iter()
                .all(|need| status_of(&need.stage).is_some_and(|s| accepts(need.accepts, s))),
        })
    }

    fn git(&self) -> Value {
        let git = &self.context.git;
        json!({
            "sha": git.sha,
            "short_sha": git.sha.get(..12).unwrap_or(&git.sha),
            "reference": git.reference,
            "branch": git.branch,
            "tag": git.tag,
            "before": git.before,
            "message": git.message,
            "author": git.author,
        })
    }

    fn event(&self) -> Value {
        let event = &self.context.event;
        json!({
            "kind": event.kind.as_str(),
            "repository": event.repository,
            "default_branch": event.default_branch,
            "actor": event.actor,
            "trusted": event.trusted,
            "changed_paths": event.changed_paths,
            "pull_request": event.pull_request,
        })
    }

    /// Stages by key; the stages of one matrix also under their common name, with the worst of their states.
    fn stages(&self) -> Value {
        let mut all = Map::new();
        for (key, facts) in &self.context.stages {
            if let Some((name, _)) = key.0.split_once(" (") {
                let worst = match all.get(name).and_then(|group| group["status"].as_str()) {
                    Some(so_far) if badness(so_far) >= badness(&facts.status) => so_far.to_owned(),
                    _ => facts.status.clone(),
                };
                all.insert(name.to_owned(), json!({ "status": worst, "outputs": {} }));
            }
            let StageFacts { status, outputs } = facts;
            all.insert(key.0.clone(), json!({ "status": status, "outputs": outputs }));
        }
        Value::Object(all)
    }
}

/// Whether a stage that ended so satisfies a need.
fn accepts(need: NeedState, status: &str) -> bool {
    match need {
        NeedState::Succeeded => matches!(status, "succeeded" | "warned"),
        NeedState::Failed => matches!(status, "failed" | "unknown"),
        NeedState::Finished => {
            matches!(status, "succeeded" | "warned" | "failed" | "unknown" | "skipped" | "cancelled")
        }
    }
}

/// How much a state says about a whole matrix.
fn badness(status: &str) -> u8 {
    match status {
        "skipped" => 0,
        "succeeded" => 1,
        "warned" => 2,
        "cancelled" => 3,
        "unknown" => 4,
        "failed" => 5,
        _ => 6,
    }
}
