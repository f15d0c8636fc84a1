//! `rules`, `only`, `except` and `when` of GitLab as a condition.

use crate::{
    import::reading::{Notes, get, get_text, items, text, texts},
    yaml::{Entry, Kind, Node},
};

/// When a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Runs {
    Always,
    If(String),
    AfterFailure,
    /// Whatever came before.
    Whatever,
    Never,
}

/// What a job's keys say together.
pub(super) fn rules<'n>(job: &Entry, get_key: &dyn Fn(&str) -> Option<&'n Node>, notes: &mut Notes) -> Runs {
    if let Some(rules) = get_key("rules") {
        return from_rules(rules, notes);
    }
    match get_key("when").and_then(text) {
        Some("never") => return Runs::Never,
        Some("on_failure") => return Runs::AfterFailure,
        Some("always") => return Runs::Whatever,
        Some("manual") => by_hand(job, notes),
        Some("delayed") => {
            notes.add(
                job.key.place,
                format!("`{}` was delayed", job.key.value),
                "stages begin as soon as they can",
            );
        }
        _ => {}
    }
    let only = get_key("only").map(|node| refs(node, "only", notes));
    let except = get_key("except").map(|node| refs(node, "except", notes));
    let condition = match (only.flatten(), except.flatten()) {
        (None, None) => return Runs::Always,
        (Some(only), None) => only,
        (None, Some(except)) => format!("!({except})"),
        (Some(only), Some(except)) => format!("({only}) && !({except})"),
    };
    Runs::If(condition)
}

fn by_hand(job: &Entry, notes: &mut Notes) {
    let what = format!("`{}` was started by hand", job.key.value);
    notes.add(
        job.key.place,
        what,
        "a deploy stage waits at its environment's gate; a pipeline of its own may have `on: manual`",
    );
}

/// Refs of `only` and `except`: one of them must be so.
fn refs(node: &Node, key: &str, notes: &mut Notes) -> Option<String> {
    if matches!(node.kind, Kind::Map(_)) {
        for other in ["changes", "kubernetes", "variables"] {
            if let Some(node) = get(node, other) {
                notes.add(
                    node.place,
                    format!("`{key}.{other}` was not carried over"),
                    "paths may stand under `on.push.paths`",
                );
            }
        }
    }
    let list = get(node, "refs").map(texts).unwrap_or_else(|| match node.kind {
        Kind::Map(_) => Vec::new(),
        _ => texts(node),
    });
    let mut parts = Vec::new();
    for name in list {
        match name {
            "branches" => parts.push("git.branch != null".to_owned()),
            "tags" => parts.push("git.tag != null".to_owned()),
            "merge_requests" => parts.push("event.kind == 'pull_request'".to_owned()),
            "pushes" => parts.push("event.kind == 'push'".to_owned()),
            "schedules" => parts.push("event.kind == 'schedule'".to_owned()),
            "web" | "api" => parts.push("event.kind == 'manual'".to_owned()),
            name if name.starts_with('/') => match regex(name) {
                Some(pattern) => parts.push(format!("matches(git.branch || git.tag, {})", literal(&pattern))),
                None => notes.add(
                    node.place,
                    format!("the pattern {name} of `{key}` was left out"),
                    "write it as `matches(git.branch, '…')`",
                ),
            },
            name if name.contains('@') || name.contains('$') => {
                notes.add(node.place, format!("`{name}` of `{key}` was left out"), "write it as an `if`");
            }
            name => parts.push(format!("(git.branch || git.tag) == {}", literal(name))),
        }
    }
    (!parts.is_empty()).then(|| parts.join(" || "))
}

/// The first rule that holds decides.
fn from_rules(node: &Node, notes: &mut Notes) -> Runs {
    // From the last to the first: what is decided when none of those before holds. None: not at all.
    let mut so_far: Option<Runs> = None;
    for rule in items(node).iter().rev() {
        for (key, todo) in [
            ("changes", "paths may stand under `on.push.paths`"),
            ("exists", "test it in the script"),
            ("variables", "set them under `env`"),
            ("needs", "write them under the stage's `needs`"),
        ] {
            if let Some(node) = get(rule, key) {
                notes.add(node.place, format!("`{key}` of a rule was not carried over"), todo);
            }
        }
        let runs = match get_text(rule, "when") {
            Some("never") => Runs::Never,
            Some("on_failure") => Runs::AfterFailure,
            Some("always") => Runs::Whatever,
            Some("manual") => {
                notes.add(
                    rule.place,
                    "a rule lets people start the job by hand",
                    "a deploy stage waits at its environment's gate",
                );
                Runs::Always
            }
            _ => Runs::Always,
        };
        let Some(condition) = get(rule, "if") else {
            so_far = Some(runs);
            continue;
        };
        let expression = match translate(text(condition).unwrap_or_default()) {
            Ok(expression) => expression,
            Err(why) => {
                notes.add(
                    condition.place,
                    format!("a rule was left out: {why}"),
                    "write it as an `if` over `git`, `event` and `inputs`",
                );
                continue;
            }
        };
        so_far = Some(match (runs, so_far.unwrap_or(Runs::Never)) {
            (Runs::Never, Runs::Never) => Runs::Never,
            (Runs::Never, Runs::If(rest)) => Runs::If(format!("!({expression}) && ({rest})")),
            (Runs::Never, _) => Runs::If(format!("!({expression})")),
            (_, Runs::Never) => Runs::If(expression),
            (_, Runs::If(rest)) => Runs::If(format!("({expression}) || {rest}")),
            (_, rest) => rest,
        });
    }
    so_far.unwrap_or(Runs::Never)
}

/// A text as a literal of expressions.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The pattern of `/…/` without flags that change what it matches.
fn regex(text: &str) -> Option<String> {
    let (pattern, flags) = text.strip_prefix('/')?.rsplit_once('/')?;
    let pattern = pattern.replace("\\/", "/");
    match flags {
        "" => Some(pattern),
        "i" => Some(format!("(?i){pattern}")),
        _ => None,
    }
}

/// An expression of `if`: variables, texts, patterns, `==`, `!=`, `=~`, `!~`, `&&`, `||`, brackets.
pub(super) fn translate(text: &str) -> Result<String, String> {
    let mut out: Vec<Part> = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (part, length) = match first {
            '$' => {
                let name: String =
                    rest.chars().skip(1).take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                (Part::Value(variable(&name)?), name.len() + 1)
            }
            '"' | '\'' => {
                let inside = rest.get(1..).unwrap_or_default();
                let end = inside.find(first).ok_or("a text does not end")?;
                (Part::Text(inside.get(..end).unwrap_or_default().to_owned()), end + 2)
            }
            '/' => {
                let inside = rest.get(1..).unwrap_or_default();
                let end = pattern_end(inside).ok_or("a pattern does not end")?;
                let flags = inside.get(end + 1..).unwrap_or_default();
                let flags = flags.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(flags.len());
                let length = end + 2 + flags;
                let whole = rest.get(..length).unwrap_or_default();
                (Part::Pattern(regex(whole).ok_or_else(|| format!("the pattern {whole} has flags"))?), length)
            }
            _ => {
                let sign = ["==", "!=", "=~", "!~", "&&", "||", "(", ")"]
                    .into_iter()
                    .find(|sign| rest.starts_with(sign));
                if let Some(sign) = sign {
                    (Part::Sign(sign), sign.len())
                } else if let Some(word) =
                    ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word))
                {
                    (Part::Value(word.to_owned()), word.len())
                } else {
                    return Err(format!(
                        "`{}` has no counterpart",
                        rest.chars().take(20).collect::<String>()
                    ));
                }
            }
        };
        out.push(part);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    joined(&out)
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Value(String),
    Text(String),
    Pattern(String),
    Sign(&'static str),
}

/// Comparisons put together; a variable alone asks whether it is set.
fn joined(parts: &[Part]) -> Result<String, String> {
    let mut out = String::new();
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        let text = |part: &Part, of_event: bool| match part {
            Part::Value(value) => Ok(value.clone()),
            Part::Text(text) if text.is_empty() => Ok("null".to_owned()),
            Part::Text(text) => Ok(literal(if of_event { event_word(text) } else { text })),
            Part::Pattern(pattern) => Ok(literal(pattern)),
            Part::Sign(sign) => Err(format!("`{sign}` stands where a value is expected")),
        };
        if let Part::Sign(sign) = part {
            out.push_str(match *sign {
                "&&" => " && ",
                "||" => " || ",
                "(" => "(",
                ")" => ")",
                sign => return Err(format!("`{sign}` stands alone")),
            });
            at += 1;
            continue;
        }
        let of_event =
            |other: Option<&Part>| matches!(other, Some(Part::Value(value)) if value == "event.kind");
        match (parts.get(at + 1), parts.get(at + 2)) {
            (Some(Part::Sign(sign @ ("==" | "!="))), Some(right)) => {
                let event = of_event(Some(part)) || of_event(Some(right));
                out.push_str(&format!("{} {sign} {}", text(part, event)?, text(right, event)?));
                at += 3;
            }
            (Some(Part::Sign(sign @ ("=~" | "!~"))), Some(right @ Part::Pattern(_))) => {
                let not = if *sign == "!~" { "!" } else { "" };
                out.push_str(&format!("{not}matches({}, {})", text(part, false)?, text(right, false)?));
                at += 3;
            }
            _ => {
                match part {
                    Part::Value(value) if matches!(value.as_str(), "true" | "false") => out.push_str(value),
                    Part::Value(value) => out.push_str(&format!("{value} != null")),
                    _ => return Err("a text stands alone".to_owned()),
                }
                at += 1;
            }
        }
    }
    Ok(out)
}

fn pattern_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'/' => return Some(at),
            _ => at += 1,
        }
    }
}

fn variable(name: &str) -> Result<String, String> {
    Ok(match name {
        "CI_COMMIT_BRANCH" => "git.branch",
        "CI_COMMIT_TAG" => "git.tag",
        "CI_COMMIT_REF_NAME" => "(git.branch || git.tag)",
        "CI_DEFAULT_BRANCH" => "event.default_branch",
        "CI_PIPELINE_SOURCE" => "event.kind",
        "CI_COMMIT_MESSAGE" | "CI_COMMIT_TITLE" => "git.message",
        "CI_MERGE_REQUEST_ID" | "CI_MERGE_REQUEST_IID" => "event.pull_request.number",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME" => "event.pull_request.base_branch",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME" => "event.pull_request.head_branch",
        "CI_PROJECT_PATH" => "event.repository",
        "GITLAB_USER_LOGIN" => "event.actor",
        _ => return Err(format!("`${name}` has no counterpart")),
    }
    .to_owned())
}

fn event_word(word: &str) -> &str {
    match word {
        "merge_request_event" => "pull_request",
        "web" | "api" | "trigger" => "manual",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_translated() {
        for (theirs, ours) in [
            ("$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", "git.branch == event.default_branch"),
            ("$CI_PIPELINE_SOURCE == \"merge_request_event\"", "event.kind == 'pull_request'"),
            ("$CI_COMMIT_TAG", "git.tag != null"),
            (
                "$CI_COMMIT_TAG =~ /^v\\d+$/ && ($CI_COMMIT_BRANCH != 'x')",
                "matches(git.tag, '^v\\d+$') && (git.branch != 'x')",
            ),
            ("$CI_COMMIT_BRANCH !~ /a\\/b/i", "!matches(git.branch, '(?i)a/b')"),
            ("$CI_COMMIT_TAG == null || $CI_COMMIT_BRANCH == \"\"", "git.tag == null || git.branch == null"),
        ] {
            assert_eq!(translate(theirs).as_deref(), Ok(ours));
        }
        for wrong in
            ["$OTHER == 'x'", "$CI_COMMIT_TAG =~ $X", "'open", "== 'a'", "$CI_COMMIT_TAG =~ /x/m", "'a'"]
        {
            assert!(translate(wrong).is_err(), "{wrong}");
        }
    }
}
