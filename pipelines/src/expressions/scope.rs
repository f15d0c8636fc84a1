//! What an expression can see: the facts of the run, and the stage that it belongs to.

use serde_json::{Map, Value, json};

use super::functions;
use crate::{
    context::{Context, StageFacts, StepFacts, StepResult},
    plan::{NeedState, StageKey, StagePlan},
};

/// The names of an evaluation.
pub(crate) struct Scope<'a> {
    /// What is known of the run; None between steps, where all of it is filled in already.
    context: Option<&'a Context>,
    stage: Option<&'a StagePlan>,
    /// What the stage's steps came to so far.
    steps: Option<&'a StepFacts>,
    /// Whether an output that is not there is a fault (in a template, whose text would silently be wrong) or null
    /// (in a condition, which may ask).
    strict: bool,
}

impl<'a> Scope<'a> {
    /// For the templates of a stage, or of the pipeline itself.
    pub(crate) fn of_template(context: &'a Context, stage: Option<&'a StagePlan>) -> Self {
        Self { context: Some(context), stage, steps: None, strict: true }
    }

    /// For a stage's condition.
    pub(crate) fn of_condition(context: &'a Context, stage: &'a StagePlan) -> Self {
        Self { context: Some(context), stage: Some(stage), steps: None, strict: false }
    }

    /// For what is read between the steps of a stage.
    pub(crate) fn of_steps(steps: &'a StepFacts) -> Self {
        Self { context: None, stage: None, steps: Some(steps), strict: false }
    }

    /// A whole context.
    pub(super) fn whole(&self, name: &str) -> Result<Value, String> {
        if name == "steps" {
            return match self.steps {
                Some(facts) => Ok(steps(facts)),
                None => Err("`steps` is known only once the stage's steps run".to_owned()),
            };
        }
        let Some(context) = self.context else {
            return Err(format!("`{name}` is not known between steps"));
        };
        match name {
            "git" => Ok(git(context)),
            "event" => Ok(event(context)),
            "inputs" => Ok(context.inputs.clone().into_iter().collect::<Map<_, _>>().into()),
            "matrix" => {
                let values = self.stage.map(|stage| stage.matrix.clone()).unwrap_or_default();
                Ok(values.into_iter().collect::<Map<_, _>>().into())
            }
            "environment" => match &context.environment {
                Some(facts) => Ok(json!({ "name": facts.name, "url": facts.url })),
                None => Err("`environment` is known only in deploy and smoke stages".to_owned()),
            },
            "stages" => Ok(stages(context)),
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
        if let Some(facts) = self.steps {
            return Ok(match function {
                "always" => true,
                "failure" => facts.failed && !facts.cancelled,
                "cancelled" => facts.cancelled,
                _ => !facts.failed && !facts.cancelled,
            });
        }
        let (Some(stage), Some(context)) = (self.stage, self.context) else {
            return Err(format!("`{function}()` is known only in a stage"));
        };
        let status_of = |key| context.stages.get(key).map(|facts| facts.status.as_str());
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
}

fn git(context: &Context) -> Value {
    let git = &context.git;
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

fn event(context: &Context) -> Value {
    let event = &context.event;
    json!({
        "kind": event.kind.as_str(),
        "repository": event.repository,
        "default_branch": event.default_branch,
        "action": event.action(),
        "actor": event.actor,
        "trusted": event.trusted,
        "changed_paths": event.changed_paths,
        "pull_request": event.pull_request,
        "release": event.release(),
        "dispatch": event.dispatch(),
        "upstream": event.upstream(),
    })
}

/// Stages by key; the stages of one matrix or template also under their common name, with the worst of their states.
/// What a stage added to the run has its name before theirs, and that stays its own.
fn stages(context: &Context) -> Value {
    let mut all = Map::new();
    for (key, facts) in &context.stages {
        let of_none = |name: &&str| !context.stages.contains_key(&StageKey((*name).to_owned()));
        for name in groups(&key.0).filter(of_none) {
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

/// The names that a stage has together with others: that of its matrix, and those of the templates that it is part of.
fn groups(key: &str) -> impl Iterator<Item = &str> {
    let (name, matrix) = match key.split_once(" (") {
        Some((name, _)) => (name, Some(name)),
        None => (key, None),
    };
    name.match_indices(" / ").map(move |(at, _)| &name[..at]).chain(matrix)
}

/// Steps by their ids.
fn steps(facts: &StepFacts) -> Value {
    let step = |(id, result): (&String, &StepResult)| {
        (id.clone(), json!({ "outcome": result.outcome, "outputs": result.outputs }))
    };
    Value::Object(facts.steps.iter().map(step).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_keeps_its_name_beside_those_that_it_added() {
        let facts = |status: &str, word: &str| StageFacts {
            status: status.to_owned(),
            outputs: [("word".to_owned(), word.to_owned())].into(),
        };
        let event = serde_json::from_value(json!({
            "kind": "push", "repository": "a/b", "default_branch": "main", "actor": "dora", "trusted": true,
            "git": { "sha": "a".repeat(40), "reference": "refs/heads/main" },
        }))
        .unwrap();
        let plan = serde_json::from_value(json!({
            "version": 1, "name": "p", "source": { "path": "p.yml", "sha256": "" }, "stages": [],
        }))
        .unwrap();
        let mut context = Context::new(&plan, &event);
        for (key, facts) in [
            ("plan", facts("succeeded", "told")),
            ("plan / one", facts("failed", "other")),
            ("test (a)", facts("succeeded", "a")),
            ("test (b)", facts("failed", "b")),
        ] {
            context.stages.insert(StageKey(key.to_owned()), facts);
        }
        let all = stages(&context);
        assert_eq!(all["plan"], json!({ "status": "succeeded", "outputs": { "word": "told" } }));
        assert_eq!(all["test"], json!({ "status": "failed", "outputs": {} }));
    }
}
