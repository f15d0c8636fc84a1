//! Permissions: a called workflow never has more than the job that calls it.

use crate::{
    actions::seam,
    codes,
    diagnostic::{Place, Problems, Spanned},
    yaml::{Entry, Node},
};

/// What a job may do with each scope, from nothing over reading to writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    None,
    Read,
    Write,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What a repository gives to workflows that ask for nothing themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Writing everywhere.
    #[default]
    Write,
    /// Reading contents and packages.
    LimitedRead,
}

/// The scopes that are compared.
const SCOPES: [&str; 16] = [
    "actions",
    "artifact-metadata",
    "attestations",
    "checks",
    "contents",
    "deployments",
    "discussions",
    "issues",
    "packages",
    "pages",
    "pull-requests",
    "repository-projects",
    "statuses",
    "security-events",
    "id-token",
    "models",
];

/// A level for each of [`SCOPES`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Levels(Vec<Level>);

/// What a file or job asks for; None: nothing is said.
pub(super) fn read(node: Option<&Node>) -> Option<Levels> {
    let node = node?;
    if let Some(word) = node.text() {
        let all = match word.as_str() {
            "write-all" => Level::Write,
            _ => Level::Read,
        };
        // Models can only be read.
        let level = |scope: &&str| if *scope == "models" { all.min(Level::Read) } else { all };
        return Some(Levels(SCOPES.iter().map(level).collect()));
    }
    let level = |scope: &&str| match node.get(scope).and_then(Node::text).as_deref() {
        Some("write") => Level::Write,
        Some("read") => Level::Read,
        _ => Level::None,
    };
    Some(Levels(SCOPES.iter().map(level).collect()))
}

/// Whether a file or job may ask for identity tokens; None: it says nothing of its permissions. No repository gives
/// this to those that do not ask.
pub(super) fn id_token(node: &Node) -> Option<bool> {
    let levels = read(node.get("permissions"))?;
    let at = SCOPES.iter().position(|scope| *scope == "id-token")?;
    levels.0.get(at).map(|level| *level == Level::Write)
}

impl Policy {
    fn levels(self) -> Levels {
        let level = |scope: &&str| match (self, *scope) {
            (Self::Write, "models") | (Self::LimitedRead, "contents" | "packages") => Level::Read,
            (Self::Write, _) => Level::Write,
            (Self::LimitedRead, _) => Level::None,
        };
        Levels(SCOPES.iter().map(level).collect())
    }
}

/// Reports, at the calling job, what a called workflow asks for and does not have.
pub(super) fn check(
    called: &Node,
    uses: &Spanned<String>,
    job: Place,
    granted: Option<&Levels>,
    policy: Policy,
    problems: &mut Problems<'_>,
) {
    let by_policy = policy.levels();
    let granted = granted.unwrap_or(&by_policy);
    let whole = read(called.get("permissions"));
    if let Some(asked) = &whole {
        compare("the workflow", asked, granted, uses, job, problems);
    }
    for Entry { key, value } in called.get("jobs").map_or(&[][..], Node::entries) {
        if let Some(asked) = read(value.get("permissions")) {
            let name = value.get("name").and_then(Node::filled).filter(|name| !seam::holds_expression(name));
            let who = format!("its job `{}`", name.unwrap_or_else(|| key.value.clone()));
            compare(&who, &asked, granted, uses, job, problems);
        }
    }
}

fn compare(
    who: &str,
    asked: &Levels,
    granted: &Levels,
    uses: &Spanned<String>,
    job: Place,
    problems: &mut Problems<'_>,
) {
    let pairs = SCOPES.iter().zip(asked.0.iter().zip(&granted.0));
    let more: Vec<String> = pairs
        .filter(|(_, (asked, granted))| asked > granted)
        .map(|(scope, (asked, granted))| {
            format!("`{scope}: {}` where it has `{}`", asked.word(), granted.word())
        })
        .collect();
    if !more.is_empty() {
        let message = format!("calling `{}`: {who} asks for {}", uses.value, more.join(", "));
        let help = "give the calling job these `permissions`, or ask for less in the called workflow";
        problems.report(codes::CALL_PERMISSIONS, job, message).help(help);
    }
}
