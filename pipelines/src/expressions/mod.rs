//! Expressions: what stands in `if` and between `${{` and `}}`.
//!
//! ```text
//! text -> lexer -> parser -> Expression -> check    (names and types, when the file is compiled)
//!                                      \-> evaluate (values, when a stage is about to run)
//! ```
//!
//! All of it is bounded: the length of an expression, its nesting, and the length of every text it makes. There
//! is no loop, no recursion and no regular expression that could take more than linear time.

mod check;
mod evaluate;
mod fold;
mod functions;
mod lexer;
mod names;
mod parser;
mod scope;
mod template;

pub(crate) use check::{Finding, Type, check};
pub(crate) use evaluate::{evaluate, kind_name, to_text};
pub(crate) use fold::{expression_of, fold, literal, literal_text, replaced};
pub(crate) use functions::compile_regex;
pub(crate) use names::{Names, StageName};
pub(crate) use parser::{json_number, parse, parse_filled};
pub(crate) use scope::Scope;
pub(crate) use template::{Part, holds_expression, split};

use serde_json::Value;

use crate::diagnostic::{Place, Spanned};

/// The longest expression, in bytes.
pub(crate) const MAX_LENGTH: usize = 4096;
/// The most tokens of an expression, which bounds how deep its tree is.
pub(crate) const MAX_TOKENS: usize = 400;
/// The deepest nesting of parentheses, calls and brackets.
pub(crate) const MAX_NESTING: usize = 32;
/// The longest text that an expression or template may make, in bytes.
pub(crate) const MAX_TEXT: usize = 64 * 1024;

/// An expression; places are bytes of its own text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression {
    pub kind: Kind,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Literal(Value),
    /// A context: `git`, `stages`, ….
    Name(String),
    /// `base.name`
    Member(Box<Expression>, Spanned<String>),
    /// `base[index]`
    Index(Box<Expression>, Box<Expression>),
    /// `function(arguments)`
    Call(Spanned<String>, Vec<Expression>),
    Not(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// An expression that cannot be read or evaluated; the place is in its own text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub place: Place,
    pub message: String,
}

impl Fault {
    pub(crate) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into() }
    }
}

impl Expression {
    /// Whether any part of it satisfies `test`.
    pub(crate) fn any(&self, test: &dyn Fn(&Expression) -> bool) -> bool {
        test(self)
            || match &self.kind {
                Kind::Literal(_) | Kind::Name(_) => false,
                Kind::Member(base, _) | Kind::Not(base) => base.any(test),
                Kind::Index(left, right) | Kind::Binary(_, left, right) => left.any(test) || right.any(test),
                Kind::Call(_, arguments) => arguments.iter().any(|argument| argument.any(test)),
            }
    }

    /// The text of a literal that is one.
    pub(crate) fn literal_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Literal(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it reads what earlier steps left, or asks how they ended: what is known only between two steps.
    pub(crate) fn is_late(&self) -> bool {
        self.any(&|part| match &part.kind {
            Kind::Name(name) => name == "steps",
            Kind::Call(name, _) => functions::is_status(&name.value),
            _ => false,
        })
    }

    /// Whether it asks how earlier stages ended, so that success is not implied.
    pub(crate) fn asks_for_status(&self) -> bool {
        self.any(&|part| matches!(&part.kind, Kind::Call(name, _) if functions::is_status(&name.value)))
    }
}
