//! The walk over an expression that gives its value. What values are and how they go together is said by the
//! [`Rules`]; the walk says what is evaluated, in which order, and what is not.

use super::{Comparison, Expression, Fault, Kind, Literal, Logic};
use crate::diagnostic::Place;

/// One semantics of expressions. Messages get the place of the part that they are about.
pub(super) trait Rules: Sized {
    type Value;

    fn literal(&self, literal: &Literal) -> Self::Value;

    /// A whole context.
    fn context(&self, name: &str) -> Result<Self::Value, String>;

    /// `base.name`; `of` is the expression of the base.
    fn member(&self, base: Self::Value, name: &str, of: &Expression) -> Result<Self::Value, String>;

    /// `base.*`
    fn filter(&self, base: Self::Value) -> Result<Self::Value, String>;

    /// `base[index]`
    fn element(&self, base: Self::Value, index: &Self::Value, of: &Expression)
    -> Result<Self::Value, String>;

    /// Whether `!` of the value is true.
    fn not(&self, value: &Self::Value) -> Result<bool, String>;

    /// Whether the value is that of the whole row, so that nothing after it is looked at.
    fn decides(&self, logic: Logic, value: &Self::Value) -> Result<bool, String>;

    fn compare(&self, operator: Comparison, left: &Self::Value, right: &Self::Value) -> Result<bool, String>;

    /// A function's value; it takes from its arguments what it needs.
    fn call(&self, name: &str, arguments: &Arguments<'_, Self>) -> Result<Self::Value, Fault>;

    /// How much memory is in use.
    fn used(&self) -> usize {
        0
    }

    /// All that was made since `used` was told is gone, but for this value.
    fn keep(&self, _used: usize, _value: &Self::Value) -> Result<(), String> {
        Ok(())
    }
}

/// The arguments of a call, evaluated when they are asked for.
pub(super) struct Arguments<'e, R> {
    rules: &'e R,
    list: &'e [Expression],
    /// The call's own place.
    place: Place,
}

impl<R: Rules> Arguments<'_, R> {
    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// The value of one.
    pub(super) fn get(&self, index: usize) -> Result<R::Value, Fault> {
        match self.list.get(index) {
            Some(argument) => value_of(argument, self.rules),
            None => Err(self.fault(format!("there is no argument {}", index + 1))),
        }
    }

    /// The values of all.
    pub(super) fn all(&self) -> Result<Vec<R::Value>, Fault> {
        self.list.iter().map(|argument| value_of(argument, self.rules)).collect()
    }

    /// A fault of the call.
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::evaluation(self.place, message)
    }
}

/// The value of an expression.
pub(super) fn value_of<R: Rules>(expression: &Expression, rules: &R) -> Result<R::Value, Fault> {
    let used = rules.used();
    let value = walk(expression, rules)?;
    rules.keep(used, &value).map_err(|message| Fault::evaluation(expression.place, message))?;
    Ok(value)
}

fn walk<R: Rules>(expression: &Expression, rules: &R) -> Result<R::Value, Fault> {
    let fault = |message| Fault::evaluation(expression.place, message);
    match &expression.kind {
        Kind::Literal(literal) => Ok(rules.literal(literal)),
        Kind::Name(name) => rules.context(name).map_err(fault),
        Kind::Member(base, name) => rules
            .member(value_of(base, rules)?, &name.value, base)
            .map_err(|message| Fault::evaluation(name.place, message)),
        Kind::Filter(base) => rules.filter(value_of(base, rules)?).map_err(fault),
        Kind::Index(base, index) => {
            let found = value_of(base, rules)?;
            rules.element(found, &value_of(index, rules)?, base).map_err(fault)
        }
        Kind::Call(name, list) => {
            rules.call(&name.value, &Arguments { rules, list, place: expression.place })
        }
        Kind::Not(inner) => {
            let value = rules.not(&value_of(inner, rules)?).map_err(fault)?;
            Ok(rules.literal(&Literal::Bool(value)))
        }
        Kind::Logic(logic, row) => {
            let mut value = None;
            for (at, part) in row.iter().enumerate() {
                let found = value_of(part, rules)?;
                let last = at + 1 == row.len();
                let decided = !last
                    && rules
                        .decides(*logic, &found)
                        .map_err(|message| Fault::evaluation(part.place, message))?;
                value = Some(found);
                if decided {
                    break;
                }
            }
            Ok(value.unwrap_or_else(|| rules.literal(&Literal::Null)))
        }
        Kind::Compare(operator, left, right) => {
            let (left, right) = (value_of(left, rules)?, value_of(right, rules)?);
            let holds = rules.compare(*operator, &left, &right).map_err(fault)?;
            Ok(rules.literal(&Literal::Bool(holds)))
        }
    }
}
