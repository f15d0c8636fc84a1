//! Reading values from the tree: each method takes a node, reports what is wrong with it, and gives what it could
//! read. Reading never stops at a mistake, so that all of them are reported at once.
//!
//! The reader also notes every text that may hold expressions, with the stage it belongs to. They are checked
//! once all stages are known ([`super::check`]).

use crate::{
    codes::{self, Code},
    diagnostic::{Place, Problems, Spanned},
    expressions::holds_expression,
    glob,
    native::{
        file::{Duration, Env, Size},
        words::{Naming, foreign_key, is_label, is_name, is_variable},
    },
    nearest::{did_you_mean, listed},
    quantity::{duration_ms, size_bytes},
    yaml::{Entry, Kind, Node, Scalar},
};

/// A text that may hold expressions.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub text: Spanned<String>,
    /// The stage it belongs to, by index; None: the pipeline.
    pub stage: Option<usize>,
    pub role: Role,
    /// The step it belongs to, by its place in the stage.
    pub step: Option<usize>,
    /// The scope whose names it reads. That of its stage, but for what a use of a template says.
    pub scope: usize,
}

/// What a text with expressions is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Text with `${{ }}` in it.
    Template,
    /// The name of an environment: a template that cannot read `environment` itself.
    Environment,
    /// The expression of an `if`, of a stage or of a step.
    Condition,
    /// A matrix, or a list of one: nothing but one `${{ }}`, whose value is a mapping or a list.
    Matrix,
    /// What a stage hands on: a template read after its last step.
    Output,
    /// What a template is given.
    Argument,
    /// What a template hands on, read where its last stage stands.
    TemplateOutput,
}

pub(crate) struct Reader<'p, 'a> {
    pub problems: &'p mut Problems<'a>,
    pub uses: Vec<Use>,
    /// The stage being read.
    pub stage: Option<usize>,
    /// The step being read.
    pub step: Option<usize>,
    /// The scope being read.
    pub scope: usize,
    /// A template could not be read, so it is not known which stages there are.
    pub incomplete: bool,
    /// The patterns so far.
    patterns: usize,
}

/// The most patterns of a pipeline with all that it uses: each becomes a program of its own.
const MAX_PATTERNS: usize = 1000;

/// A mapping with fixed keys.
pub(crate) struct Fields<'n> {
    what: &'static str,
    keys: &'static [&'static str],
    entries: &'n [Entry],
    pub place: Place,
}

impl<'n> Fields<'n> {
    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn entry(&self, key: &'static str) -> Option<&'n Entry> {
        debug_assert!(self.keys.contains(&key), "`{key}` is no key of {}", self.what);
        self.entries.iter().find(|entry| entry.key.value == key)
    }

    /// The keys that are there.
    pub(crate) fn present(&self) -> Vec<Spanned<String>> {
        self.entries.iter().map(|entry| entry.key.clone()).collect()
    }

    /// What a key holds, read by `read`.
    pub(crate) fn read<'p, 'a, T>(
        &self,
        key: &'static str,
        reader: &mut Reader<'p, 'a>,
        read: impl FnOnce(&mut Reader<'p, 'a>, &Node) -> Option<T>,
    ) -> Option<T> {
        read(reader, self.get(key)?)
    }

    /// As [`Self::read`], and reports a key that is not there.
    pub(crate) fn require<'p, 'a, T>(
        &self,
        key: &'static str,
        reader: &mut Reader<'p, 'a>,
        read: impl FnOnce(&mut Reader<'p, 'a>, &Node) -> Option<T>,
    ) -> Option<T> {
        if self.get(key).is_none() {
            let message = format!("{} needs the key `{key}`", self.what);
            reader.problems.report(codes::MISSING_KEY, self.place, message);
        }
        self.read(key, reader, read)
    }
}

impl<'p, 'a> Reader<'p, 'a> {
    pub(crate) fn new(problems: &'p mut Problems<'a>) -> Self {
        Self { problems, uses: Vec::new(), stage: None, step: None, scope: 0, incomplete: false, patterns: 0 }
    }
}

impl Reader<'_, '_> {
    pub(crate) fn wrong_type(&mut self, node: &Node, expected: &str) {
        if node.kind == Kind::Broken {
            return;
        }
        let message = if node.is_null() {
            format!("expected {expected}, found nothing")
        } else {
            format!("expected {expected}, found {}", node.describe())
        };
        self.problems.report(codes::WRONG_TYPE, node.place, message);
    }

    pub(crate) fn bad(&mut self, code: Code, place: Place, message: impl Into<String>, help: Option<String>) {
        self.problems.report(code, place, message).maybe_help(help);
    }

    /// A mapping with fixed keys; others are reported.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &'static str,
        keys: &'static [&'static str],
    ) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, &format!("a mapping with the keys of {what}"));
            return None;
        };
        for entry in entries {
            let key = entry.key.value.as_str();
            if !keys.contains(&key) && !self.problems.is_full() {
                let help = foreign_key(key)
                    .map(str::to_owned)
                    .or_else(|| did_you_mean(key, keys.iter().copied()))
                    .unwrap_or_else(|| format!("the keys of {what} are {}", listed(keys.iter().copied())));
                let message = format!("{what} has no key `{key}`");
                self.problems.report(codes::UNKNOWN_KEY, entry.key.place, message).help(help);
            }
        }
        Some(Fields { what, keys, entries, place: node.place })
    }

    /// A mapping whose keys are names that the file chooses.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, expected: &str) -> &'n [Entry] {
        if let Kind::Map(entries) = &node.kind {
            entries
        } else {
            self.wrong_type(node, expected);
            &[]
        }
    }

    fn scalar<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n Scalar> {
        match &node.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            _ => {
                self.wrong_type(node, expected);
                None
            }
        }
    }

    /// Text that is not empty and has no place for expressions.
    pub(crate) fn text(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.raw_text(node)?;
        if holds_expression(&text.value) {
            let message = "expressions have no place here: this is read before any run exists";
            self.problems.report(codes::NO_EXPRESSION_HERE, text.place, message);
            return None;
        }
        Some(text)
    }

    /// Text that may hold expressions.
    pub(crate) fn template(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.raw_text(node)?;
        self.note(&text, Role::Template);
        Some(text)
    }

    pub(crate) fn note(&mut self, text: &Spanned<String>, role: Role) {
        if role == Role::Condition || holds_expression(&text.value) {
            self.uses.push(Use {
                text: text.clone(),
                stage: self.stage,
                role,
                step: self.step,
                scope: self.scope,
            });
        }
    }

    /// Text of any kind, as it is written.
    pub(crate) fn raw_text(&mut self, node: &Node) -> Option<Spanned<String>> {
        let scalar = self.scalar(node, "text")?;
        if scalar.text.trim().is_empty() {
            self.problems.report(codes::BAD_VALUE, node.place, "the text is empty");
            return None;
        }
        Some(Spanned::new(scalar.text.clone(), node.place))
    }

    pub(crate) fn flag(&mut self, node: &Node) -> Option<bool> {
        let scalar = self.scalar(node, "`true` or `false`")?;
        let value = scalar.boolean();
        if value.is_none() {
            let quoted = matches!(scalar.text.as_str(), "true" | "false");
            let help = quoted.then(|| "write it without quotes".to_owned());
            let message = format!("expected `true` or `false`, found the text `{}`", scalar.text);
            self.bad(codes::WRONG_TYPE, node.place, message, help);
        }
        value
    }

    /// A whole number within bounds.
    pub(crate) fn integer(&mut self, node: &Node, least: i64, most: i64) -> Option<i64> {
        let expected = format!("a whole number from {least} to {most}");
        let scalar = self.scalar(node, &expected)?;
        let value = scalar.number().and_then(|number| number.as_i64());
        let value = value.filter(|value| (least..=most).contains(value));
        if value.is_none() {
            let message = format!("expected {expected}, found `{}`", scalar.text);
            self.bad(codes::BAD_VALUE, node.place, message, None);
        }
        value
    }

    /// A number within bounds.
    pub(crate) fn number(&mut self, node: &Node, least: f64, most: f64) -> Option<f64> {
        let expected = match (least, most) {
            (f64::MIN, f64::MAX) => "a number".to_owned(),
            _ => format!("a number from {least} to {most}"),
        };
        let scalar = self.scalar(node, &expected)?;
        let value =
            scalar.text.parse::<f64>().ok().filter(|value| scalar.plain && (least..=most).contains(value));
        if value.is_none() {
            let message = format!("expected {expected}, found `{}`", scalar.text);
            self.bad(codes::BAD_VALUE, node.place, message, None);
        }
        value
    }

    pub(crate) fn duration(&mut self, node: &Node) -> Option<Spanned<Duration>> {
        let scalar = self.scalar(node, "a duration such as `10m`")?;
        let value = duration_ms(&scalar.text);
        if value.is_none() {
            let message = format!("`{}` is no duration", scalar.text);
            let help = match scalar.number() {
                Some(number) => format!("say of what: `{number}s`, `{number}m`, …"),
                None => {
                    "write a number with a unit, or several: `500ms`, `30s`, `10m`, `1h30m`, `30d`".to_owned()
                }
            };
            self.bad(codes::BAD_DURATION, node.place, message, Some(help));
        }
        value.map(|ms| Spanned::new(Duration(ms), node.place))
    }

    /// A duration that is not zero and at most `most` hours.
    pub(crate) fn positive_duration(&mut self, node: &Node, most_hours: u64) -> Option<Spanned<Duration>> {
        let duration = self.duration(node)?;
        let most = most_hours.saturating_mul(3_600_000);
        if duration.value.0 == 0 || duration.value.0 > most {
            let message = format!("the duration must be more than nothing and at most {most_hours}h");
            self.bad(codes::BAD_DURATION, node.place, message, None);
            return None;
        }
        Some(duration)
    }

    pub(crate) fn size(&mut self, node: &Node) -> Option<Spanned<Size>> {
        let scalar = self.scalar(node, "a size such as `512MiB`")?;
        let value = size_bytes(&scalar.text).filter(|bytes| *bytes > 0);
        if value.is_none() {
            let message = format!("`{}` is no size", scalar.text);
            let help = "write a number with a unit: `512MiB`, `2GiB`, `500MB`";
            self.bad(codes::BAD_SIZE, node.place, message, Some(help.to_owned()));
        }
        value.map(|bytes| Spanned::new(Size(bytes), node.place))
    }

    /// One of these words.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node, words: &[(&'static str, T)]) -> Option<T> {
        let names = words.iter().map(|(name, _)| *name);
        let text = self.scalar(node, &format!("one of {}", listed(names.clone())))?.text.as_str();
        let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let message = format!("`{text}` is not one of {}", listed(names.clone()));
            self.bad(codes::BAD_VALUE, node.place, message, did_you_mean(text, names));
        }
        found
    }

    /// The items of a list, each read by `read`; those that cannot be read are left out.
    pub(crate) fn list<T>(
        &mut self,
        node: &Node,
        expected: &str,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Vec<T> {
        if let Kind::List(items) = &node.kind {
            items.iter().filter_map(|item| read(self, item)).collect()
        } else {
            self.wrong_type(node, expected);
            Vec::new()
        }
    }

    /// As [`Self::list`], and one item may stand for a list of one.
    pub(crate) fn one_or_many<T>(
        &mut self,
        node: &Node,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Vec<T> {
        match &node.kind {
            Kind::List(_) => self.list(node, "a list", read),
            _ => read(self, node).into_iter().collect(),
        }
    }

    /// Names and values that may hold expressions. A value is kept as it is written; nothing is empty text.
    pub(crate) fn env(&mut self, node: &Node, names: Naming) -> Env {
        self.values(node, names, Role::Template)
    }

    /// As [`Self::env`], for templates of another role.
    pub(crate) fn values(&mut self, node: &Node, names: Naming, role: Role) -> Env {
        let mut list = Vec::new();
        for entry in self.entries(node, "a mapping from names to values") {
            let (good, what, help) = match names {
                Naming::Variables => (
                    is_variable(&entry.key.value),
                    "a variable",
                    "a variable's name has letters, digits and `_`, and does not begin with a digit",
                ),
                Naming::Names => (
                    is_name(&entry.key.value),
                    "an output",
                    "such a name has letters, digits, `-` and `_`, and begins with a letter or digit",
                ),
                Naming::Labels => (
                    is_label(&entry.key.value),
                    "a label or header",
                    "such a name has letters, digits, `-`, `_`, `.` and `/`",
                ),
            };
            if !good {
                let message = format!("`{}` is no name of {what}", entry.key.value);
                self.bad(codes::BAD_NAME, entry.key.place, message, Some(help.to_owned()));
                continue;
            }
            let Kind::Scalar(scalar) = &entry.value.kind else {
                self.wrong_type(&entry.value, "text");
                continue;
            };
            let text = if scalar.is_null() { String::new() } else { scalar.text.clone() };
            let text = Spanned::new(text, entry.value.place);
            self.note(&text, role);
            list.push((entry.key.clone(), text));
        }
        list
    }

    /// A name as stages, inputs, services and artifacts have.
    pub(crate) fn name(&mut self, text: &Spanned<String>, what: &str) -> bool {
        let good = is_name(&text.value);
        if !good {
            let message = format!("`{}` is no name for {what}", text.value);
            let help =
                "a name has at most 64 letters, digits, `-` and `_`, and begins with a letter or digit";
            self.bad(codes::BAD_NAME, text.place, message, Some(help.to_owned()));
        }
        good
    }

    /// A path below the workspace.
    pub(crate) fn path(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.text(node)?;
        self.path_is_safe(&text.value, text.place).then_some(text)
    }

    fn path_is_safe(&mut self, path: &str, place: Place) -> bool {
        let problem = if path.starts_with(['/', '\\', '~']) {
            "is absolute"
        } else if path.split(['/', '\\']).any(|part| part == "..") {
            "leads out of its folder by `..`"
        } else if path.contains('\0') {
            "has a character that no path has"
        } else {
            return true;
        };
        let message = format!("the path `{path}` {problem}");
        self.bad(codes::UNSAFE_PATH, place, message, Some("name a path below the workspace".to_owned()));
        false
    }

    /// A pattern of paths below the workspace.
    pub(crate) fn path_pattern(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.pattern(node)?;
        self.path_is_safe(text.value.trim_start_matches('!'), text.place).then_some(text)
    }

    /// A pattern of names.
    pub(crate) fn pattern(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.text(node)?;
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            if self.patterns == MAX_PATTERNS + 1 {
                let message =
                    format!("this is one pattern more than the {MAX_PATTERNS} that a pipeline may have");
                self.bad(codes::BAD_GLOB, text.place, message, None);
            }
            return None;
        }
        match glob::check(&text.value) {
            Ok(()) => Some(text),
            Err(why) => {
                let message = format!("`{}` is no pattern: {why}", text.value);
                self.bad(codes::BAD_GLOB, text.place, message, None);
                None
            }
        }
    }
}
