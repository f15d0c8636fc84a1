//! The rules of `docker/metadata-action`: from a run's facts to an image's tags and labels. Pure.
//!
//! A rule is a line `type=…,attribute=…`. Rules are ordered by priority; the first that gives a value names the version
//! and decides on `latest`.

use regex::{Regex, RegexBuilder};

use super::{
    csv::{fields, pairs},
    moustache::{Facts, render},
    versions::{Pep440, Semver},
};

/// The most rules that are looked at.
const RULES: usize = 256;
/// The most memory of a pattern of the type `match`, in bytes.
const PATTERN: usize = 1 << 20;

/// The rules when a step gives none.
pub const DEFAULT_RULES: [&str; 4] =
    ["type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr"];

/// What applies to all tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flavor {
    /// Whether there is a tag `latest`; none: the first rule decides.
    latest: Option<bool>,
    prefix: String,
    prefix_latest: bool,
    suffix: String,
    suffix_latest: bool,
}

/// What came of the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// The first tag; empty when no rule gave one.
    pub main: String,
    /// All tags' names, the first one first and `latest` last.
    pub names: Vec<String>,
    /// What is worth a warning.
    pub notes: Vec<String>,
}

/// Reads the lines of the input `flavor`.
pub fn flavor(lines: &[String]) -> Result<Flavor, String> {
    let mut flavor = Flavor::default();
    for line in lines {
        let mut last = "";
        for (key, value) in pairs(line)? {
            match key.as_str() {
                "latest" => {
                    flavor.latest = match value.as_str() {
                        "auto" => None,
                        other => Some(truth("flavor: latest", other)?),
                    }
                }
                "prefix" => (flavor.prefix, last) = (value, "prefix"),
                "suffix" => (flavor.suffix, last) = (value, "suffix"),
                "onlatest" => {
                    let on = truth("flavor: onlatest", &value)?;
                    match last {
                        "prefix" => flavor.prefix_latest = on,
                        "suffix" => flavor.suffix_latest = on,
                        _ => {
                            return Err("flavor: `onlatest` stands after a `prefix` or a `suffix`".to_owned());
                        }
                    }
                }
                other => {
                    return Err(format!("flavor: `{other}` is none of latest, prefix, suffix, onlatest"));
                }
            }
        }
    }
    Ok(flavor)
}

/// The images' names of the input `images`, in lower case, without those that are not enabled.
pub fn images(lines: &[String]) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for line in lines {
        let (mut own, mut enabled) = (Vec::new(), true);
        for field in fields(line)? {
            match field.split_once('=') {
                Some(("name", name)) => own.push(name.trim().to_lowercase()),
                Some(("enable", value)) => enabled = truth("images: enable", value.trim())?,
                Some((other, _)) => return Err(format!("images: `{other}` is none of name, enable")),
                None => own.push(field.to_lowercase()),
            }
        }
        if enabled {
            names.extend(own.into_iter().filter(|name| !name.is_empty()));
        }
    }
    Ok(names)
}

/// Applies the rules of the input `tags`.
pub fn version(lines: &[String], flavor: &Flavor, facts: &Facts<'_>) -> Result<Version, String> {
    if lines.len() > RULES {
        return Err(format!("tags: more than {RULES} rules"));
    }
    let mut rules = match lines {
        [] => DEFAULT_RULES.iter().map(|line| Rule::read(line)).collect::<Result<Vec<_>, _>>()?,
        lines => lines.iter().map(|line| Rule::read(line)).collect::<Result<Vec<_>, _>>()?,
    };
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    let mut version = Version::default();
    let mut latest = None;
    for rule in &rules {
        if !truth(
            &format!("tags: `{}`: enable", rule.line),
            &render(rule.get("enable").unwrap_or("true"), facts, &[])?,
        )? {
            continue;
        }
        let Some(value) = rule.value(facts, &mut version.notes)? else { continue };
        let prefix = rule.get("prefix").map_or(Ok(flavor.prefix.clone()), |text| render(text, facts, &[]))?;
        let suffix = rule.get("suffix").map_or(Ok(flavor.suffix.clone()), |text| render(text, facts, &[]))?;
        let name = clean(&format!("{prefix}{}{suffix}", value.text));
        latest.get_or_insert(value.latest);
        if !version.names.contains(&name) {
            version.names.push(name);
        }
    }
    version.main = version.names.first().cloned().unwrap_or_default();
    if !version.names.is_empty() && flavor.latest.or(latest).unwrap_or(false) {
        let prefix = if flavor.prefix_latest { flavor.prefix.as_str() } else { "" };
        let suffix = if flavor.suffix_latest { flavor.suffix.as_str() } else { "" };
        let name = clean(&format!("{prefix}latest{suffix}"));
        if !version.names.contains(&name) {
            version.names.push(name);
        }
    }
    Ok(version)
}

/// A rule's value, and whether it is the latest one.
struct Value {
    text: String,
    latest: bool,
}

struct Rule<'l> {
    line: &'l str,
    kind: String,
    attributes: Vec<(String, String)>,
    priority: i64,
}

impl<'l> Rule<'l> {
    fn read(line: &'l str) -> Result<Self, String> {
        let mut attributes = Vec::new();
        let mut kind = None;
        for field in fields(line)? {
            match field.split_once('=') {
                None => attributes.push(("value".to_owned(), field)),
                Some((key, value)) if key.trim().eq_ignore_ascii_case("type") => {
                    kind = Some(value.trim().to_lowercase())
                }
                Some((key, value)) => attributes.push((key.trim().to_lowercase(), value.trim().to_owned())),
            }
        }
        let kind = kind.unwrap_or_else(|| "raw".to_owned());
        let (usual, known): (i64, &[&str]) = match kind.as_str() {
            "schedule" => (1000, &["pattern"]),
            "semver" | "pep440" => (900, &["pattern", "value"]),
            "match" => (800, &["pattern", "group", "value"]),
            "edge" => (700, &["branch"]),
            "ref" => (600, &["event"]),
            "raw" => (200, &["value"]),
            "sha" => (100, &["format"]),
            other => return Err(format!("tags: `{line}`: there is no type `{other}`")),
        };
        let common = ["enable", "priority", "prefix", "suffix"];
        if let Some((other, _)) = attributes
            .iter()
            .find(|(key, _)| !known.contains(&key.as_str()) && !common.contains(&key.as_str()))
        {
            return Err(format!("tags: `{line}`: the type `{kind}` has no `{other}`"));
        }
        let mut rule = Self { line, kind, attributes, priority: usual };
        if let Some(priority) = rule.get("priority") {
            rule.priority =
                priority.parse().map_err(|_| format!("tags: `{line}`: the priority is a number"))?;
        }
        let usual = match (rule.kind.as_str(), rule.get("event")) {
            ("ref", Some("pr")) => "pr-",
            ("sha", _) => "sha-",
            _ => return Ok(rule),
        };
        if rule.get("prefix").is_none() {
            rule.attributes.push(("prefix".to_owned(), usual.to_owned()));
        }
        Ok(rule)
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.attributes.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn wrong(&self, what: impl std::fmt::Display) -> String {
        format!("tags: `{}`: {what}", self.line)
    }

    fn value(&self, facts: &Facts<'_>, notes: &mut Vec<String>) -> Result<Option<Value>, String> {
        let plain = |text: String| Some(Value { text, latest: false });
        let tag = facts.reference.strip_prefix("refs/tags/");
        let branch = facts.reference.strip_prefix("refs/heads/");
        // What versions are read from: the rule's own value, else the tag.
        let given = match self.get("value") {
            Some(value) if !value.is_empty() => Some(render(value, facts, &[])?),
            _ => tag.map(str::to_owned),
        };
        Ok(match self.kind.as_str() {
            "schedule" if facts.event != "schedule" => None,
            "schedule" => plain(render(self.get("pattern").unwrap_or("nightly"), facts, &[])?),
            "semver" => {
                let Some(given) = given else { return Ok(None) };
                let Some(found) = Semver::read(&given) else {
                    notes.push(self.wrong(format_args!("`{given}` is no semantic version")));
                    return Ok(None);
                };
                Some(self.versioned(facts, &found.fields(&given), found.is_final())?)
            }
            "pep440" => {
                let Some(given) = given else { return Ok(None) };
                let Some(found) = Pep440::read(&given) else {
                    notes.push(self.wrong(format_args!("`{given}` is no version by PEP 440")));
                    return Ok(None);
                };
                Some(self.versioned(facts, &found.fields(&given), found.is_final())?)
            }
            "match" => {
                let Some(given) = given else { return Ok(None) };
                let pattern = self.get("pattern").ok_or_else(|| self.wrong("the `pattern` is missing"))?;
                let regex = pattern_of(pattern).map_err(|error| self.wrong(error))?;
                let group: usize = self
                    .get("group")
                    .unwrap_or("0")
                    .parse()
                    .map_err(|_| self.wrong("the group is a number"))?;
                match regex.captures(&given).and_then(|found| found.get(group)) {
                    Some(found) => Some(Value { text: found.as_str().to_owned(), latest: true }),
                    None => {
                        notes.push(self.wrong(format_args!("`{given}` does not match")));
                        None
                    }
                }
            }
            "edge" => {
                let edge = match self.get("branch") {
                    Some(branch) if !branch.is_empty() => render(branch, facts, &[])?,
                    _ => facts.default_branch.to_owned(),
                };
                if branch == Some(edge.as_str()) { plain("edge".to_owned()) } else { None }
            }
            "ref" => match self.get("event") {
                Some("branch") => branch.and_then(|name| plain(name.to_owned())),
                Some("tag") => tag.map(|name| Value { text: name.to_owned(), latest: true }),
                Some("pr") => facts.reference.strip_prefix("refs/pull/").and_then(|rest| {
                    plain(rest.trim_end_matches("/merge").trim_end_matches("/head").to_owned())
                }),
                _ => return Err(self.wrong("the `event` is one of branch, tag, pr")),
            },
            "sha" => match self.get("format").unwrap_or("short") {
                "short" => plain(facts.short_sha().to_owned()),
                "long" => plain(facts.sha.to_owned()),
                _ => return Err(self.wrong("the `format` is one of short, long")),
            },
            _ => match self.get("value") {
                Some(value) => {
                    Some(render(value, facts, &[])?).filter(|text| !text.is_empty()).and_then(plain)
                }
                None => return Err(self.wrong("the `value` is missing")),
            },
        })
    }

    /// A version by its pattern. What is not final has no shorter names: it gets its whole one.
    fn versioned(
        &self,
        facts: &Facts<'_>,
        fields: &[(&str, String)],
        is_final: bool,
    ) -> Result<Value, String> {
        let pattern = self.get("pattern").filter(|pattern| !pattern.is_empty());
        let pattern = pattern.ok_or_else(|| self.wrong("the `pattern` is missing"))?;
        let raw = pattern.split_whitespace().collect::<String>() == "{{raw}}";
        let pattern = if is_final || raw { pattern } else { "{{version}}" };
        Ok(Value { text: render(pattern, facts, fields)?, latest: is_final })
    }
}

/// A pattern of the type `match`: itself, or `/pattern/flags`.
fn pattern_of(text: &str) -> Result<Regex, String> {
    let (pattern, flags) = match text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) {
        Some((pattern, flags)) if !pattern.is_empty() => (pattern, flags),
        _ => (text, ""),
    };
    RegexBuilder::new(pattern)
        .case_insensitive(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .size_limit(PATTERN)
        .build()
        .map_err(|error| format!("the pattern cannot be read: {error}"))
}

fn truth(what: &str, value: &str) -> Result<bool, String> {
    match value.to_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("{what} is true or false, and this is `{other}`")),
    }
}

/// What a tag may be made of; anything else becomes a hyphen.
fn clean(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut strange = false;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            out.push(c);
            strange = false;
        } else if !std::mem::replace(&mut strange, true) {
            out.push('-');
        }
    }
    out
}

/// Labels of an image: what is known of the run, then the step's own lines, which win.
pub fn labels(known: Vec<(String, String)>, own: &[String]) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = Vec::new();
    let own = own
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    for (key, value) in known.into_iter().chain(own) {
        match labels.iter_mut().find(|(name, _)| *name == key) {
            Some(label) => label.1 = value,
            None => labels.push((key, value)),
        }
    }
    labels
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
