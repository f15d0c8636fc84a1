//! Expressions of GitHub Actions as native ones, as far as the same can be said: contexts are renamed, names of events
//! translated, everything else stays as it is. Types are stricter here; what does not fit is found by the checks.

use crate::import::draft::variable;

/// What stands for an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A native expression.
    Expression(String),
    /// A secret.
    Secret(String),
    /// An environment value.
    Env(String),
}

/// What an expression may speak of.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// From a job's id to the stage's name.
    pub stage: &'a dyn Fn(&str) -> Option<String>,
}

/// The expression, or why there is none.
pub(super) fn translate(text: &str, scope: Scope<'_>) -> Result<Value, String> {
    let text = text.trim();
    if let Some(name) = text.strip_prefix("secrets.").filter(|name| is_word(name)) {
        return Ok(Value::Secret(name.to_owned()));
    }
    if let Some(name) = text.strip_prefix("env.").filter(|name| is_word(name)) {
        return Ok(Value::Env(name.to_owned()));
    }
    let mut out = String::new();
    let mut rest = text;
    // The last name, for the words that it is compared with.
    let mut last = String::new();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (literal, more) = literal(rest).ok_or("a text does not end")?;
            let inside = literal.trim_matches('\'');
            let word = word(&last, inside);
            out.push_str(&format!("'{word}'"));
            rest = more;
        } else if first.is_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '*')))
                .unwrap_or(rest.len());
            let (path, more) = rest.split_at_checked(end).ok_or("a name does not end")?;
            rest = more;
            if more.trim_start().starts_with('(') {
                out.push_str(function(path)?);
            } else {
                let (native, more) = name(path, more, scope)?;
                out.push_str(&native);
                last = native;
                rest = more;
            }
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(Value::Expression(out))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// A quoted text and what follows it.
fn literal(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return text.split_at_checked(at + 1),
            _ => at += 1,
        }
    }
}

fn function(name: &str) -> Result<&'static str, String> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "contains" => "contains",
        "startswith" => "startsWith",
        "endswith" => "endsWith",
        "format" => "format",
        "join" => "join",
        "tojson" => "toJSON",
        "fromjson" => "fromJSON",
        "success" => "success",
        "failure" => "failure",
        "always" => "always",
        "cancelled" => "cancelled",
        "hashfiles" => return Err("`hashFiles` has no counterpart".to_owned()),
        _ => return Err(format!("there is no function `{name}`")),
    })
}

/// A text that is compared with a name, in the words that the name has here.
fn word<'t>(name: &str, text: &'t str) -> &'t str {
    if name == "event.kind" {
        return event_word(text);
    }
    match text {
        "success" if name.ends_with(".status") || name.ends_with(".outcome") => "succeeded",
        "failure" if name.ends_with(".status") || name.ends_with(".outcome") => "failed",
        other => other,
    }
}

/// What GitHub calls an event, as `event.kind` calls it.
fn event_word(word: &str) -> &str {
    match word {
        "workflow_dispatch" => "manual",
        "pull_request_target" => "pull_request",
        "repository_dispatch" => "dispatch",
        "workflow_run" => "upstream",
        other => other,
    }
}

/// A context with its properties; what follows may belong to it (`inputs['x']`).
fn name<'t>(path: &str, more: &'t str, scope: Scope<'_>) -> Result<(String, &'t str), String> {
    let parts: Vec<&str> = path.split('.').collect();
    let native = match parts.as_slice() {
        ["true" | "false" | "null"] => path.to_owned(),
        ["github", "sha"] => "git.sha".to_owned(),
        ["github", "ref"] => "git.reference".to_owned(),
        ["github", "ref_name"] => "(git.branch || git.tag)".to_owned(),
        ["github", "event_name"] => "event.kind".to_owned(),
        ["github", "repository"] => "event.repository".to_owned(),
        ["github", "actor" | "triggering_actor"] => "event.actor".to_owned(),
        ["github", "head_ref"] | ["github", "event", "pull_request", "head", "ref"] => {
            "event.pull_request.head_branch".to_owned()
        }
        ["github", "base_ref"] | ["github", "event", "pull_request", "base", "ref"] => {
            "event.pull_request.base_branch".to_owned()
        }
        ["github", "event", "pull_request", "head", "sha"] | ["github", "event", "after"] => {
            "git.sha".to_owned()
        }
        ["github", "event", "before"] => "git.before".to_owned(),
        ["github", "event", "ref"] => "git.reference".to_owned(),
        ["github", "event", "head_commit", "message"] => "git.message".to_owned(),
        ["github", "event", "pull_request", fact @ ("number" | "title")] => {
            format!("event.pull_request.{fact}")
        }
        ["github", "event", "number"] => "event.pull_request.number".to_owned(),
        ["github", "event", "action"] => "event.pull_request.action".to_owned(),
        ["github", "event", "repository", "default_branch"] => "event.default_branch".to_owned(),
        ["github", "event", "repository", "full_name"] => "event.repository".to_owned(),
        ["github", "event", "inputs", input] | ["inputs", input] => format!("inputs.{input}"),
        ["matrix", axis] => format!("matrix.{axis}"),
        ["needs", job, rest @ ..] => {
            let stage = (scope.stage)(job).ok_or_else(|| format!("there is no job `{job}`"))?;
            match rest {
                ["result"] => format!("stages.{stage}.status"),
                ["outputs", output] => format!("stages.{stage}.outputs.{output}"),
                _ => return Err(format!("`{path}` has no counterpart")),
            }
        }
        ["steps", step, "outputs", output] => format!("steps.{step}.outputs.{output}"),
        ["steps", step, "outcome"] => format!("steps.{step}.outcome"),
        ["github", "event", "release", "tag_name"] => "event.release.tag".to_owned(),
        ["github", "event", "release", fact @ ("name" | "draft" | "prerelease")] => {
            format!("event.release.{fact}")
        }
        ["github", "event", "client_payload", rest @ ..] => {
            let rest: String = rest.iter().map(|part| format!(".{part}")).collect();
            format!("event.dispatch.payload{rest}")
        }
        _ => return Err(format!("`{path}` has no counterpart")),
    };
    Ok((native, more))
}

/// A template of GitHub Actions cut into its texts and expressions.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("${{") {
        let (before, from) = rest.split_at_checked(open).unwrap_or((rest, ""));
        let inside = from.get(3..).unwrap_or_default();
        let Some(close) = inside.find("}}") else { break };
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Expression(inside.get(..close).unwrap_or_default()));
        rest = inside.get(close + 2..).unwrap_or_default();
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    Expression(&'t str),
}

/// A variable's name for an expression.
pub(super) fn variable_of(expression: &str) -> String {
    let known = [
        ("github.sha", "TIDEGATE_SHA"),
        ("github.ref", "TIDEGATE_REF"),
        ("github.repository", "TIDEGATE_REPOSITORY"),
        ("github.actor", "TIDEGATE_ACTOR"),
        ("github.event_name", "TIDEGATE_EVENT"),
        ("github.run_number", "TIDEGATE_RUN_NUMBER"),
        ("github.run_id", "TIDEGATE_RUN_ID"),
        ("github.workspace", "PWD"),
    ];
    let text = expression.trim();
    match known.iter().find(|(name, _)| *name == text) {
        Some((_, own)) => (*own).to_owned(),
        None => variable(text),
    }
}

/// Whether the runner sets this variable by itself.
pub(super) fn is_given(variable: &str) -> bool {
    variable.starts_with("TIDEGATE_") || variable == "PWD"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(text: &str) -> Result<Value, String> {
        let stage = |job: &str| (job == "build it").then(|| "build-it".to_owned()).or(Some(job.to_owned()));
        translate(text, Scope { stage: &stage })
    }

    fn expression(text: &str) -> String {
        match native(text).unwrap() {
            Value::Expression(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn contexts_are_renamed_and_the_rest_stays() {
        assert_eq!(
            expression("github.ref == 'refs/heads/main' && github.event_name != 'workflow_dispatch'"),
            "git.reference == 'refs/heads/main' && event.kind != 'manual'"
        );
        assert_eq!(
            expression("!startsWith(github.head_ref, 'it''s')"),
            "!startsWith(event.pull_request.head_branch, 'it''s')"
        );
        assert_eq!(expression("matrix.node == 20 || inputs.dry"), "matrix.node == 20 || inputs.dry");
        assert_eq!(expression("needs.build.outputs.tag"), "stages.build.outputs.tag");
        assert_eq!(expression("needs.build.result == 'failure'"), "stages.build.status == 'failed'");
        assert_eq!(expression("steps.a.outcome != 'success'"), "steps.a.outcome != 'succeeded'");
        assert_eq!(native("secrets.TOKEN"), Ok(Value::Secret("TOKEN".into())));
        assert_eq!(native(" env.A "), Ok(Value::Env("A".into())));
    }

    #[test]
    fn what_has_no_counterpart_says_so() {
        for text in [
            "hashFiles('x')",
            "runner.os",
            "steps.x.conclusion",
            "github.event.issue.title",
            "'open",
            "vars.X",
            "secrets.A == 'x'",
        ] {
            assert!(native(text).is_err(), "{text}");
        }
    }

    #[test]
    fn templates_are_cut() {
        assert_eq!(
            pieces("a${{ x }}b${{"),
            [Piece::Text("a"), Piece::Expression(" x "), Piece::Text("b${{")]
        );
    }
}
