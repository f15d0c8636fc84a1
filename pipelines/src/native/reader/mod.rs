//! Reading values from the tree: each method takes a node, reports what is wrong with it, and gives what it could
//! read. Reading never stops at a mistake, so that all of them are reported at once.
//!
//! The reader also notes every text that may hold expressions, with the stage it belongs to. They are checked
//! once all stages are known ([`super::check`]).

mod paths;
mod scalars;

use crate::{
    codes::{self, Code},
    diagnostic::{Place, Problems, Spanned},
    expressions::holds_expression,
    native::{
        file::Env,
        words::{Naming, foreign_key, is_label, is_name, is_variable},
    },
    nearest::{did_you_mean, listed},
    yaml::{Entry, Kind, Node},
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
}
