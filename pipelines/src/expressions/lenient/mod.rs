//! The lenient rules: those of GitHub.
//!
//! Values are converted into each other where an operator needs them in one type, names do not mind case, and what is
//! not there is null. What is made is bounded by the memory that an expression may use at one time, and by how much
//! may be looked at and made in all, so that many calls on large values end soon.

mod check;
mod functions;
mod index;
mod json;
mod names;
mod numbers;
mod text;
mod value;

use std::{borrow::Cow, cell::Cell, collections::BTreeMap};

use serde_json::Value as Json;

pub(crate) use check::check_lenient;
pub(crate) use functions::is_status;
pub(crate) use names::{CONTEXTS, unknown};
pub(crate) use numbers::parse_number;
pub(crate) use value::Value;

use super::{
    Comparison, Expression, Fault, Kind, Literal, Logic,
    evaluate::{Arguments, Rules, value_of},
};

/// What an expression may use at one time, in bytes as [`Value::size`] counts them. GitHub's limit.
pub(crate) const MAX_MEMORY: usize = 1024 * 1024;

/// What may be looked at and made in all, in about the same bytes.
const MAX_WORK: usize = 64 * 1024 * 1024;

/// How all that comes before has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// All of it well.
    pub success: bool,
    pub failure: bool,
    pub cancelled: bool,
}

/// Tells what `hashFiles` is of files that match patterns.
pub(super) type HashFiles<'a> = &'a dyn Fn(&[String]) -> Result<String, String>;

/// All that lenient expressions are evaluated with.
pub(crate) struct Lenient<'a> {
    contexts: &'a BTreeMap<String, Json>,
    ended: Ended,
    hash_files: HashFiles<'a>,
    used: Cell<usize>,
    /// Of all that was evaluated with these rules.
    worked: Cell<usize>,
}

impl<'a> Lenient<'a> {
    pub(crate) fn new(contexts: &'a BTreeMap<String, Json>, ended: Ended, hash_files: HashFiles<'a>) -> Self {
        Self { contexts, ended, hash_files, used: Cell::new(0), worked: Cell::new(0) }
    }

    pub(crate) fn evaluate(&self, expression: &Expression) -> Result<Value<'a>, Fault> {
        self.used.set(0);
        value_of(expression, self)
    }

    pub(crate) fn ended(&self) -> Ended {
        self.ended
    }

    /// Whether there is a context of this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        CONTEXTS.iter().any(|known| known.eq_ignore_ascii_case(name)) || self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&'a Json> {
        let same = |(key, value): (&String, &'a Json)| key.eq_ignore_ascii_case(name).then_some(value);
        self.contexts.get(name).or_else(|| self.contexts.iter().find_map(same))
    }

    /// Takes memory for something that is being made.
    fn take(&self, bytes: usize) -> Result<(), String> {
        self.spend(bytes)?;
        let used = self.used.get().saturating_add(bytes);
        self.used.set(used);
        if used > MAX_MEMORY {
            return Err(format!("it would need more than the {MAX_MEMORY} bytes that an expression may use"));
        }
        Ok(())
    }

    fn spend(&self, bytes: usize) -> Result<(), String> {
        let worked = self.worked.get().saturating_add(bytes);
        self.worked.set(worked);
        if worked > MAX_WORK {
            return Err(format!("its values are so large that more than {MAX_WORK} bytes would be handled"));
        }
        Ok(())
    }

    /// Accounts for looking at all of a value.
    fn look_at(&self, value: &Value<'_>) -> Result<(), String> {
        self.spend(value.width())
    }
}

impl<'a> Rules for Lenient<'a> {
    type Value = Value<'a>;

    fn literal(&self, literal: &Literal) -> Value<'a> {
        match literal {
            Literal::Null => Value::Null,
            Literal::Bool(value) => Value::Bool(*value),
            Literal::Number(number) => Value::Number(*number),
            Literal::Text(text) => Value::Text(Cow::Owned(text.clone())),
        }
    }

    fn context(&self, name: &str) -> Result<Value<'a>, String> {
        Ok(self.find(name).map_or(Value::Null, Value::borrowed))
    }

    fn member(&self, base: Value<'a>, name: &str, of: &Expression) -> Result<Value<'a>, String> {
        self.element(base, &Value::Text(Cow::Owned(name.to_owned())), of)
    }

    fn filter(&self, base: Value<'a>) -> Result<Value<'a>, String> {
        self.look_at(&base)?;
        Ok(Value::Filtered(index::filter(base)))
    }

    fn element(&self, base: Value<'a>, index: &Value<'a>, of: &Expression) -> Result<Value<'a>, String> {
        self.spend(index::cost(&base, index))?;
        Ok(index::element(base, index, minds_case(of)))
    }

    fn not(&self, value: &Value<'a>) -> Result<bool, String> {
        Ok(!value.truthy())
    }

    fn decides(&self, logic: Logic, value: &Value<'a>) -> Result<bool, String> {
        Ok(match logic {
            Logic::Or => value.truthy(),
            Logic::And => !value.truthy(),
        })
    }

    fn compare(&self, operator: Comparison, left: &Value<'a>, right: &Value<'a>) -> Result<bool, String> {
        self.look_at(left)?;
        self.look_at(right)?;
        Ok(value::compare(operator, left, right))
    }

    fn call(&self, name: &str, arguments: &Arguments<'_, Self>) -> Result<Value<'a>, Fault> {
        functions::call(self, name, arguments)
    }

    fn used(&self) -> usize {
        self.used.get()
    }

    fn keep(&self, used: usize, value: &Value<'a>) -> Result<(), String> {
        self.used.set(used);
        self.take(value.size())
    }
}

/// Whether the names of a value mind case: those of environment values do, because variables do.
fn minds_case(of: &Expression) -> bool {
    matches!(&of.kind, Kind::Name(name) if name.eq_ignore_ascii_case("env"))
}
