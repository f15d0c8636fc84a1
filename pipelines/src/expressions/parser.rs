//! Tokens to an expression, by precedence climbing (Pratt).
//!
//! From loosest to tightest: `||`, `&&`, `==` `!=`, `<` `<=` `>` `>=`, `!`, then `.name` `[index]`.

use serde_json::{Number, Value};

use super::{
    Expression, Fault, Kind, MAX_LENGTH, MAX_NESTING, MAX_TEXT, Operator,
    lexer::{Token, tokens},
};
use crate::diagnostic::{Place, Spanned};

/// Reads one whole expression.
pub(crate) fn parse(text: &str) -> Result<Expression, Fault> {
    parse_within(text, MAX_LENGTH)
}

/// Reads an expression into which values were put by [`super::fold`].
pub(crate) fn parse_filled(text: &str) -> Result<Expression, Fault> {
    parse_within(text, MAX_TEXT)
}

fn parse_within(text: &str, longest: usize) -> Result<Expression, Fault> {
    let mut parser = Parser { tokens: tokens(text, longest)?, next: 0, end: text.len(), depth: 0 };
    let expression = parser.expression(0)?;
    match parser.take() {
        None => Ok(expression),
        Some(token) => {
            let message =
                format!("{} is one too many: the expression ended before it", token.value.describe());
            Err(Fault::new(token.place, message))
        }
    }
}

struct Parser {
    tokens: Vec<Spanned<Token>>,
    next: usize,
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|token| &token.value)
    }

    fn take(&mut self) -> Option<Spanned<Token>> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    /// Takes this very token.
    fn expect(&mut self, wanted: &Token) -> Result<Place, Fault> {
        match self.take() {
            Some(token) if token.value == *wanted => Ok(token.place),
            found => Err(self.unexpected(&wanted.describe(), found)),
        }
    }

    fn unexpected(&self, wanted: &str, found: Option<Spanned<Token>>) -> Fault {
        match found {
            Some(token) => {
                Fault::new(token.place, format!("expected {wanted}, found {}", token.value.describe()))
            }
            None => {
                let message = format!("the expression ends where {wanted} is expected");
                Fault::new(Place::new(self.end, self.end), message)
            }
        }
    }

    /// An expression whose operators all bind at least as tightly as `floor`.
    fn expression(&mut self, floor: u8) -> Result<Expression, Fault> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            let place =
                self.tokens.get(self.next).map_or(Place::new(self.end, self.end), |token| token.place);
            return Err(Fault::new(
                place,
                format!("the expression is nested more than {MAX_NESTING} levels deep"),
            ));
        }
        let mut left = self.operand()?;
        while let Some(Token::Operator(operator)) = self.peek() {
            let operator = *operator;
            let strength = strength(operator);
            if strength < floor {
                break;
            }
            self.next += 1;
            let right = self.expression(strength + 1)?;
            let place = Place::new(left.place.start, right.place.end);
            left = Expression { kind: Kind::Binary(operator, Box::new(left), Box::new(right)), place };
        }
        self.depth -= 1;
        Ok(left)
    }

    /// A value, with what is hung on it.
    fn operand(&mut self) -> Result<Expression, Fault> {
        let token = self.take().ok_or_else(|| self.unexpected("a value", None))?;
        let place = token.place;
        let mut value = match token.value {
            Token::Not => {
                let inner = self.expression(TIGHTEST)?;
                let place = Place::new(place.start, inner.place.end);
                return Ok(Expression { kind: Kind::Not(Box::new(inner)), place });
            }
            Token::Open => {
                let inner = self.expression(0)?;
                let end = self.expect(&Token::Close)?;
                Expression { kind: inner.kind, place: Place::new(place.start, end.end) }
            }
            Token::Text(text) => literal(Value::String(text), place),
            Token::Number(number) => literal(json_number(number), place),
            Token::Name(name) if self.peek() == Some(&Token::Open) => self.call(Spanned::new(name, place))?,
            Token::Name(name) => match name.as_str() {
                "true" => literal(Value::Bool(true), place),
                "false" => literal(Value::Bool(false), place),
                "null" => literal(Value::Null, place),
                _ => Expression { kind: Kind::Name(name), place },
            },
            other => return Err(self.unexpected("a value", Some(Spanned::new(other, place)))),
        };
        loop {
            value = match self.peek() {
                Some(Token::Dot) => self.member(value)?,
                Some(Token::OpenBracket) => self.index(value)?,
                _ => return Ok(value),
            };
        }
    }

    fn member(&mut self, base: Expression) -> Result<Expression, Fault> {
        self.next += 1;
        match self.take() {
            Some(Spanned { value: Token::Name(name), place }) => {
                let whole = Place::new(base.place.start, place.end);
                Ok(Expression { kind: Kind::Member(Box::new(base), Spanned::new(name, place)), place: whole })
            }
            found => Err(self.unexpected("a name after `.`", found)),
        }
    }

    fn index(&mut self, base: Expression) -> Result<Expression, Fault> {
        self.next += 1;
        let index = self.expression(0)?;
        let end = self.expect(&Token::CloseBracket)?;
        let place = Place::new(base.place.start, end.end);
        Ok(Expression { kind: Kind::Index(Box::new(base), Box::new(index)), place })
    }

    fn call(&mut self, name: Spanned<String>) -> Result<Expression, Fault> {
        self.expect(&Token::Open)?;
        let mut arguments = Vec::new();
        if self.peek() != Some(&Token::Close) {
            arguments.push(self.expression(0)?);
            while self.peek() == Some(&Token::Comma) {
                self.next += 1;
                arguments.push(self.expression(0)?);
            }
        }
        let end = self.expect(&Token::Close)?;
        let place = Place::new(name.place.start, end.end);
        Ok(Expression { kind: Kind::Call(name, arguments), place })
    }
}

/// Tighter than every operator.
const TIGHTEST: u8 = 9;

fn strength(operator: Operator) -> u8 {
    match operator {
        Operator::Or => 1,
        Operator::And => 2,
        Operator::Equal | Operator::NotEqual => 3,
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => 4,
    }
}

fn literal(value: Value, place: Place) -> Expression {
    Expression { kind: Kind::Literal(value), place }
}

/// Whole numbers stay whole, so that they are written as such.
pub(crate) fn json_number(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expression with every bracket written out.
    fn shape(expression: &Expression) -> String {
        match &expression.kind {
            Kind::Literal(value) => value.to_string(),
            Kind::Name(name) => name.clone(),
            Kind::Member(base, name) => format!("{}.{}", shape(base), name.value),
            Kind::Index(base, index) => format!("{}[{}]", shape(base), shape(index)),
            Kind::Call(name, arguments) => {
                format!("{}({})", name.value, arguments.iter().map(shape).collect::<Vec<_>>().join(", "))
            }
            Kind::Not(inner) => format!("!{}", shape(inner)),
            Kind::Binary(operator, left, right) => {
                format!("({} {} {})", shape(left), operator.sign(), shape(right))
            }
        }
    }

    #[test]
    fn precedence() {
        for (text, expected) in [
            ("a || b && c == d", "(a || (b && (c == d)))"),
            ("a && b || c", "((a && b) || c)"),
            ("!a == b", "(!a == b)"),
            ("!(a == b)", "!(a == b)"),
            ("a < 1 == true", "((a < 1) == true)"),
            ("stages.push-it.outputs['x y']", "stages.push-it.outputs[\"x y\"]"),
            ("contains(git.branch, 'x') && always()", "(contains(git.branch, \"x\") && always())"),
            ("a == b == c", "((a == b) == c)"),
        ] {
            assert_eq!(shape(&parse(text).unwrap()), expected);
        }
    }

    #[test]
    fn faults_name_what_was_expected() {
        for (text, message) in [
            ("", "the expression ends where a value is expected"),
            ("a ==", "the expression ends where a value is expected"),
            ("(a", "the expression ends where `)` is expected"),
            ("a b", "`b` is one too many: the expression ended before it"),
            ("a.1", "expected a name after `.`, found the number 1"),
            ("f(a,)", "expected a value, found `)`"),
        ] {
            assert_eq!(parse(text).unwrap_err().message, message, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(parse(&"(".repeat(300)).unwrap_err().message.contains("nested"));
        assert!(parse(&"!".repeat(300)).unwrap_err().message.contains("nested"));
        assert!(parse(&"a[".repeat(100)).unwrap_err().message.contains("nested"));
        // Long but flat is fine.
        assert!(parse(&["true"; 200].join("||")).is_ok());
        assert!(parse(&["true"; 300].join("||")).unwrap_err().message.contains("400"));
    }
}
