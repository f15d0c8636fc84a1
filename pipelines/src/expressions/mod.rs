//! Expressions: what stands in `if` and between `${{` and `}}`.
//!
//! ```text
//! text -> lexer -> parser -> Expression -> check    (names and types, when the file is compiled)
//!                                      \-> evaluate (values, when a stage is about to run)
//! ```
//!
//! There is one engine and two sets of rules, see [`Expressions`]: `strict` keeps types apart, `lenient` converts them
//! as GitHub does. They share the tree, the parser and the walk over the tree ([`evaluate::Rules`]); what differs
//! stands in the folders of their names, and in the few places of lexer and parser that ask which rules hold.
//!
//! All of it is bounded: the length of an expression, its nesting, and what it makes. There is no loop, no recursion
//! and no regular expression that could take more than linear time.

mod check;
mod evaluate;
mod fold;
mod functions;
mod lenient;
mod lexer;
mod names;
mod parser;
mod scope;
mod strict;
mod template;

pub(crate) use check::{Finding, Type, check};
pub(crate) use fold::{expression_of, fold, literal, literal_text, replaced};
pub(crate) use functions::compile_regex;
pub(crate) use lenient::check_lenient;
pub(crate) use lenient::{Ended, Lenient, MAX_MEMORY, Value as LenientValue, unknown};
pub(crate) use names::{Names, StageName, paths};
pub(crate) use parser::{json_number, parse, parse_filled, parse_lenient};
pub(crate) use scope::Scope;
pub(crate) use strict::{evaluate, kind_name, to_text};
pub(crate) use template::{Part, holds_expression, split, split_lenient};

use crate::{
    diagnostic::{Place, Spanned},
    plan::Expressions,
};

/// The longest expression, in bytes; where they are lenient, in units of UTF-16, as GitHub counts.
pub(crate) const fn max_length(rules: Expressions) -> usize {
    match rules {
        Expressions::Strict => 4096,
        Expressions::Lenient => 21_000,
    }
}
/// The most tokens of an expression, which bounds its tree. A lenient one is bounded by its height.
pub(crate) const MAX_TOKENS: usize = 400;
/// The deepest nesting of parentheses, calls and brackets, which bounds the parser's own recursion.
pub(crate) const fn max_nesting(rules: Expressions) -> usize {
    match rules {
        Expressions::Strict => 32,
        Expressions::Lenient => 200,
    }
}
/// The highest tree; parentheses alone add nothing to it, and neither does another `&&` in a row of them.
pub(crate) const fn max_height(rules: Expressions) -> usize {
    match rules {
        Expressions::Strict => MAX_TOKENS,
        Expressions::Lenient => 50,
    }
}
/// The longest text that a strict expression or template may make, in bytes.
pub(crate) const MAX_TEXT: usize = 64 * 1024;

/// An expression; places are bytes of its own text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression {
    pub kind: Kind,
    pub place: Place,
    /// Levels of its tree, itself included.
    pub height: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Literal(Literal),
    /// A context: `git`, `stages`, ….
    Name(String),
    /// `base.name`
    Member(Box<Expression>, Spanned<String>),
    /// `base.*` and `base[*]`, where expressions are lenient.
    Filter(Box<Expression>),
    /// `base[index]`
    Index(Box<Expression>, Box<Expression>),
    /// `function(arguments)`
    Call(Spanned<String>, Vec<Expression>),
    Not(Box<Expression>),
    /// A row of at least two values with `&&` or `||` between them.
    Logic(Logic, Vec<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
}

/// A value that is written down.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    /// Strict ones are finite.
    Number(f64),
    Text(String),
}

/// An operator whose right side is not looked at when the left side decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logic {
    Or,
    And,
}

impl Logic {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
        }
    }
}

/// An operator that compares two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// When a fault came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A word or sign cannot be read.
    Lexing,
    /// Words and signs do not make an expression, or name what does not exist.
    Parsing,
    /// The expression has no value.
    Evaluation,
}

/// An expression that cannot be read or evaluated; the place is in its own text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub phase: Phase,
    pub place: Place,
    pub message: String,
}

impl Fault {
    pub(crate) fn lexing(place: Place, message: impl Into<String>) -> Self {
        Self { phase: Phase::Lexing, place, message: message.into() }
    }

    pub(crate) fn parsing(place: Place, message: impl Into<String>) -> Self {
        Self { phase: Phase::Parsing, place, message: message.into() }
    }

    pub(crate) fn evaluation(place: Place, message: impl Into<String>) -> Self {
        Self { phase: Phase::Evaluation, place, message: message.into() }
    }
}

impl Expression {
    /// Its parts, in the order of the text.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Literal(_) | Kind::Name(_) => Vec::new(),
            Kind::Member(base, _) | Kind::Filter(base) | Kind::Not(base) => vec![base],
            Kind::Index(left, right) | Kind::Compare(_, left, right) => vec![left, right],
            Kind::Call(_, list) | Kind::Logic(_, list) => list.iter().collect(),
        }
    }

    /// The text of a literal that is one.
    pub(crate) fn literal_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Literal(Literal::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Visits it and all its parts.
    pub(crate) fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Self)) {
        visit(self);
        for part in self.parts() {
            part.walk(visit);
        }
    }

    /// Whether a strict one reads what earlier steps left, or asks how they ended: what is known only between two
    /// steps.
    pub(crate) fn is_late(&self) -> bool {
        let mut late = self.asks_for_status(Expressions::Strict);
        self.walk(&mut |part| late |= matches!(&part.kind, Kind::Name(name) if name == "steps"));
        late
    }

    /// Whether it asks how all that comes before has ended, so that success is not implied.
    pub(crate) fn asks_for_status(&self, rules: Expressions) -> bool {
        let mut asks = false;
        self.walk(&mut |part| {
            if let Kind::Call(name, _) = &part.kind {
                asks |= match rules {
                    Expressions::Strict => functions::is_status(&name.value),
                    Expressions::Lenient => lenient::is_status(&name.value),
                };
            }
        });
        asks
    }
}
