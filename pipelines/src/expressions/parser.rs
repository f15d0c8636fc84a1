//! Tokens to an expression, by precedence climbing (Pratt).
//!
//! From loosest to tightest: `||`, `&&`, `==` `!=`, `<` `<=` `>` `>=`, `!`, then `.name` `.*` `[index]` `[*]`.
//!
//! Recursion follows the nesting of the text and is bounded by it; a row of operators is a loop. Trees are measured
//! as they grow, so none is ever too high to be walked or dropped.

use serde_json::{Number, Value};

use super::{
    Comparison, Expression, Fault, Kind, Literal, Logic, MAX_TEXT,
    lexer::{Token, tokens},
    max_height, max_length, max_nesting,
};
use crate::{
    diagnostic::{Place, Spanned},
    plan::Expressions,
};

/// Reads one whole strict expression.
pub(crate) fn parse(text: &str) -> Result<Expression, Fault> {
    Parser::new(text, Expressions::Strict, max_length(Expressions::Strict))?.whole()
}

/// Reads a strict expression into which values were put by [`super::fold`].
pub(crate) fn parse_filled(text: &str) -> Result<Expression, Fault> {
    Parser::new(text, Expressions::Strict, MAX_TEXT)?.whole()
}

/// Reads one whole lenient expression; of nothing at all it is null.
pub(crate) fn parse_lenient(text: &str) -> Result<Expression, Fault> {
    let mut parser = Parser::new(text, Expressions::Lenient, max_length(Expressions::Lenient))?;
    if parser.tokens.is_empty() {
        return parser.node(Kind::Literal(Literal::Null), Place::new(0, text.len()));
    }
    parser.whole()
}

struct Parser {
    tokens: Vec<Spanned<Token>>,
    next: usize,
    end: usize,
    depth: usize,
    rules: Expressions,
}

impl Parser {
    fn new(text: &str, rules: Expressions, limit: usize) -> Result<Self, Fault> {
        Ok(Self { tokens: tokens(text, rules, limit)?, next: 0, end: text.len(), depth: 0, rules })
    }

    fn whole(&mut self) -> Result<Expression, Fault> {
        let expression = self.expression(0)?;
        match self.take() {
            None => Ok(expression),
            Some(token) => {
                let message =
                    format!("{} is one too many: the expression ended before it", token.value.describe());
                Err(Fault::parsing(token.place, message))
            }
        }
    }

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
                Fault::parsing(token.place, format!("expected {wanted}, found {}", token.value.describe()))
            }
            None => {
                let message = format!("the expression ends where {wanted} is expected");
                Fault::parsing(Place::new(self.end, self.end), message)
            }
        }
    }

    fn node(&self, kind: Kind, place: Place) -> Result<Expression, Fault> {
        let mut expression = Expression { kind, place, height: 1 };
        expression.height += expression.parts().iter().map(|part| part.height).max().unwrap_or_default();
        self.bounded(expression.height, max_height(self.rules), place)?;
        Ok(expression)
    }

    /// Two values with `&&` or `||` between them; rows of the same operator become one.
    fn row(&self, logic: Logic, left: Expression, right: Expression) -> Result<Expression, Fault> {
        let place = Place::new(left.place.start, right.place.end);
        let (mut row, left) = row_of(logic, left);
        let (more, right) = row_of(logic, right);
        row.extend(more);
        let height = 1 + left.max(right);
        self.bounded(height, max_height(self.rules), place)?;
        Ok(Expression { kind: Kind::Logic(logic, row), place, height })
    }

    fn bounded(&self, depth: usize, limit: usize, place: Place) -> Result<(), Fault> {
        if depth > limit {
            let message = format!("the expression is nested more than {limit} levels deep");
            return Err(Fault::parsing(place, message));
        }
        Ok(())
    }

    /// An expression whose operators all bind at least as tightly as `floor`.
    fn expression(&mut self, floor: u8) -> Result<Expression, Fault> {
        self.depth += 1;
        let place = self.tokens.get(self.next).map_or(Place::new(self.end, self.end), |token| token.place);
        self.bounded(self.depth, max_nesting(self.rules), place)?;
        let mut left = self.operand()?;
        while let Some(operator) = self.peek().and_then(operator) {
            if strength(operator) < floor {
                break;
            }
            self.next += 1;
            let right = self.expression(strength(operator) + 1)?;
            left = match operator {
                Operator::Logic(logic) => self.row(logic, left, right)?,
                Operator::Compare(comparison) => {
                    let place = Place::new(left.place.start, right.place.end);
                    self.node(Kind::Compare(comparison, Box::new(left), Box::new(right)), place)?
                }
            };
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
                return self.node(Kind::Not(Box::new(inner)), place);
            }
            Token::Open => {
                let inner = self.expression(0)?;
                let end = self.expect(&Token::Close)?;
                Expression { place: Place::new(place.start, end.end), ..inner }
            }
            Token::Text(text) => return self.literal(Literal::Text(text), place),
            Token::Number(number) => return self.literal(Literal::Number(number), place),
            Token::Name(name) if self.peek() == Some(&Token::Open) => self.call(Spanned::new(name, place))?,
            Token::Name(name) => match (name.as_str(), self.rules) {
                ("true", _) => return self.literal(Literal::Bool(true), place),
                ("false", _) => return self.literal(Literal::Bool(false), place),
                ("null", _) => return self.literal(Literal::Null, place),
                ("NaN", Expressions::Lenient) => return self.literal(Literal::Number(f64::NAN), place),
                ("Infinity", Expressions::Lenient) => {
                    return self.literal(Literal::Number(f64::INFINITY), place);
                }
                _ => self.node(Kind::Name(name), place)?,
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

    /// A literal. Nothing hangs on one, unless it stands in parentheses.
    fn literal(&mut self, literal: Literal, place: Place) -> Result<Expression, Fault> {
        if let Some(token @ (Token::Dot | Token::OpenBracket)) = self.peek() {
            let message = format!("{} cannot follow a value that is written down", token.describe());
            let place = self.tokens.get(self.next).map_or(place, |token| token.place);
            return Err(Fault::parsing(place, message));
        }
        self.node(Kind::Literal(literal), place)
    }

    /// Whether a `*` is next, and may be.
    fn take_star(&mut self) -> Option<Place> {
        let token = self.tokens.get(self.next).filter(|token| token.value == Token::Star)?;
        self.next += 1;
        Some(token.place)
    }

    fn member(&mut self, base: Expression) -> Result<Expression, Fault> {
        self.next += 1;
        let start = base.place.start;
        if let Some(place) = self.take_star() {
            return self.node(Kind::Filter(Box::new(base)), Place::new(start, place.end));
        }
        match self.take() {
            Some(Spanned { value: Token::Name(name), place }) => {
                let kind = Kind::Member(Box::new(base), Spanned::new(name, place));
                self.node(kind, Place::new(start, place.end))
            }
            found => Err(self.unexpected("a name after `.`", found)),
        }
    }

    fn index(&mut self, base: Expression) -> Result<Expression, Fault> {
        self.next += 1;
        let start = base.place.start;
        let kind = match self.take_star() {
            Some(_) => Kind::Filter(Box::new(base)),
            None => Kind::Index(Box::new(base), Box::new(self.expression(0)?)),
        };
        let end = self.expect(&Token::CloseBracket)?;
        self.node(kind, Place::new(start, end.end))
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
        self.node(Kind::Call(name, arguments), place)
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Logic(Logic),
    Compare(Comparison),
}

fn operator(token: &Token) -> Option<Operator> {
    match token {
        Token::Logic(logic) => Some(Operator::Logic(*logic)),
        Token::Compare(comparison) => Some(Operator::Compare(*comparison)),
        _ => None,
    }
}

/// The values of a row with this operator, or the one value that is none, and how high they are. How they are
/// bracketed makes no difference to `&&` and `||`.
fn row_of(logic: Logic, expression: Expression) -> (Vec<Expression>, usize) {
    let height = expression.height;
    match expression.kind {
        Kind::Logic(found, row) if found == logic => (row, height - 1),
        _ => (vec![expression], height),
    }
}

/// Tighter than every operator.
const TIGHTEST: u8 = 9;

fn strength(operator: Operator) -> u8 {
    match operator {
        Operator::Logic(Logic::Or) => 1,
        Operator::Logic(Logic::And) => 2,
        Operator::Compare(Comparison::Equal | Comparison::NotEqual) => 3,
        Operator::Compare(_) => 4,
    }
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
        let list =
            |list: &[Expression], between: &str| list.iter().map(shape).collect::<Vec<_>>().join(between);
        match &expression.kind {
            Kind::Literal(Literal::Null) => "null".to_owned(),
            Kind::Literal(Literal::Bool(value)) => value.to_string(),
            Kind::Literal(Literal::Number(value)) => value.to_string(),
            Kind::Literal(Literal::Text(value)) => format!("'{value}'"),
            Kind::Name(name) => name.clone(),
            Kind::Member(base, name) => format!("{}.{}", shape(base), name.value),
            Kind::Filter(base) => format!("{}.*", shape(base)),
            Kind::Index(base, index) => format!("{}[{}]", shape(base), shape(index)),
            Kind::Call(name, arguments) => format!("{}({})", name.value, list(arguments, ", ")),
            Kind::Not(inner) => format!("!{}", shape(inner)),
            Kind::Logic(logic, row) => format!("({})", list(row, &format!(" {} ", logic.sign()))),
            Kind::Compare(operator, left, right) => {
                format!("({} {} {})", shape(left), operator.sign(), shape(right))
            }
        }
    }

    #[test]
    fn precedence() {
        for (text, expected) in [
            ("a || b && c == d", "(a || (b && (c == d)))"),
            ("a && b || c", "((a && b) || c)"),
            ("a || b || (c || d)", "(a || b || c || d)"),
            ("!a == b", "(!a == b)"),
            ("!(a == b)", "!(a == b)"),
            ("a < 1 == true", "((a < 1) == true)"),
            ("stages.push-it.outputs['x y']", "stages.push-it.outputs['x y']"),
            ("contains(git.branch, 'x') && always()", "(contains(git.branch, 'x') && always())"),
            ("a == b == c", "((a == b) == c)"),
        ] {
            assert_eq!(shape(&parse(text).unwrap()), expected);
            assert_eq!(shape(&parse_lenient(text).unwrap()), expected);
        }
        for (text, expected) in [
            ("a.*.b[*] . c", "a.*.b.*.c"),
            ("(1).a", "1.a"),
            ("a . true [ 0 ]", "a.true[0]"),
            ("", "null"),
            (" ", "null"),
            ("!-.5", "!-0.5"),
            ("NaN", "NaN"),
            ("f (a)", "f(a)"),
        ] {
            assert_eq!(shape(&parse_lenient(text).unwrap()), expected);
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
            ("a.*", "`*` has no meaning in an expression"),
            ("'a'.b", "`.` cannot follow a value that is written down"),
        ] {
            assert_eq!(parse(text).unwrap_err().message, message, "{text}");
        }
        for text in ["a.()", "a b", "(1, 2)", "a.1", "*", "a[*.b]", "a.*b", "1[0]", "f(,)", "a.b()", "()"] {
            assert_eq!(parse_lenient(text).unwrap_err().phase, super::super::Phase::Parsing, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for read in [parse, parse_lenient] {
            assert!(read(&"(".repeat(300)).unwrap_err().message.contains("nested"));
            assert!(read(&"!".repeat(300)).unwrap_err().message.contains("nested"));
        }
        assert!(parse(&"a[".repeat(100)).unwrap_err().message.contains("nested"));
        // Long but flat is fine.
        assert!(parse(&["true"; 200].join("||")).is_ok());
        assert!(parse(&["true"; 300].join("||")).unwrap_err().message.contains("400"));
        assert!(parse_lenient(&["1"; 7000].join("||")).is_ok());
        assert!(parse_lenient(&["1"; 51].join("==")).unwrap_err().message.contains("nested"));
        assert!(parse_lenient(&["1"; 50].join("==")).is_ok());
        assert!(parse_lenient(&format!("a{}", ".b".repeat(49))).is_ok());
        assert!(parse_lenient(&format!("a{}", ".b".repeat(50))).is_err());
        assert!(parse_lenient(&format!("{}1{}", "(".repeat(150), ")".repeat(150))).is_ok());
    }
}
