//! Text to tokens.

use super::{Fault, MAX_TOKENS, Operator};
use crate::diagnostic::{Place, Spanned};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Number(f64),
    Operator(Operator),
    Not,
    Dot,
    Comma,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
}

impl Token {
    /// For `expected …, found …`.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Text(text) => format!("the text '{text}'"),
            Self::Number(number) => format!("the number {number}"),
            Self::Operator(operator) => format!("`{}`", operator.sign()),
            Self::Not => "`!`".to_owned(),
            Self::Dot => "`.`".to_owned(),
            Self::Comma => "`,`".to_owned(),
            Self::Open => "`(`".to_owned(),
            Self::Close => "`)`".to_owned(),
            Self::OpenBracket => "`[`".to_owned(),
            Self::CloseBracket => "`]`".to_owned(),
        }
    }
}

pub(super) fn tokens(text: &str, longest: usize) -> Result<Vec<Spanned<Token>>, Fault> {
    if text.len() > longest {
        let message = format!("an expression may have {longest} bytes, this one has {}", text.len());
        return Err(Fault::new(Place::new(0, text.len()), message));
    }
    let mut list = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = token(&text[at..], first)
            .map_err(|(length, message)| Fault::new(Place::new(at, at + length), message))?;
        if list.len() == MAX_TOKENS {
            let message = format!("an expression may have {MAX_TOKENS} words and signs");
            return Err(Fault::new(Place::new(at, text.len()), message));
        }
        list.push(Spanned::new(token, Place::new(at, at + length)));
        at += length;
    }
    Ok(list)
}

/// The token at the beginning of `rest` and its length; or the length of what is wrong, and why.
fn token(rest: &str, first: char) -> Result<(Token, usize), (usize, String)> {
    const SIGNS: [(&str, Token); 15] = [
        ("==", Token::Operator(Operator::Equal)),
        ("!=", Token::Operator(Operator::NotEqual)),
        ("<=", Token::Operator(Operator::LessOrEqual)),
        (">=", Token::Operator(Operator::GreaterOrEqual)),
        ("&&", Token::Operator(Operator::And)),
        ("||", Token::Operator(Operator::Or)),
        ("<", Token::Operator(Operator::Less)),
        (">", Token::Operator(Operator::Greater)),
        ("!", Token::Not),
        (".", Token::Dot),
        (",", Token::Comma),
        ("(", Token::Open),
        (")", Token::Close),
        ("[", Token::OpenBracket),
        ("]", Token::CloseBracket),
    ];
    if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Ok((token.clone(), sign.len()));
    }
    match first {
        '\'' | '"' => quoted(rest, first),
        '-' | '0'..='9' => number(rest),
        'a'..='z' | 'A'..='Z' | '_' => {
            let length = length_while(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            Ok((Token::Name(rest[..length].to_owned()), length))
        }
        '=' => Err((1, "`=` compares nothing; write `==`".to_owned())),
        '&' | '|' => Err((1, format!("write `{first}{first}`"))),
        other => Err((other.len_utf8(), format!("`{other}` has no meaning in an expression"))),
    }
}

/// Quoted text; the quote itself is written twice.
fn quoted(rest: &str, quote: char) -> Result<(Token, usize), (usize, String)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != quote {
            text.push(character);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Ok((Token::Text(text), at + 1));
        }
    }
    Err((rest.len(), format!("the text has no closing {quote}")))
}

fn number(rest: &str) -> Result<(Token, usize), (usize, String)> {
    let sign = usize::from(rest.starts_with('-'));
    let length = sign + length_while(&rest[sign..], |c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
    match rest[..length].parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Number(number), length)),
        _ => {
            Err((length.max(1), format!("`{}` is no number; text stands in quotes", &rest[..length.max(1)])))
        }
    }
}

fn length_while(text: &str, test: impl Fn(char) -> bool) -> usize {
    text.find(|c| !test(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expressions::MAX_LENGTH;

    fn kinds(text: &str) -> Vec<Token> {
        tokens(text, MAX_LENGTH).unwrap().into_iter().map(|token| token.value).collect()
    }

    #[test]
    fn names_may_hold_dashes_and_quotes_are_doubled() {
        assert_eq!(
            kinds("a-b.c == 'it''s'"),
            [
                Token::Name("a-b".into()),
                Token::Dot,
                Token::Name("c".into()),
                Token::Operator(Operator::Equal),
                Token::Text("it's".into())
            ]
        );
        assert_eq!(kinds("-1.5"), [Token::Number(-1.5)]);
    }

    #[test]
    fn faults_say_where() {
        for (text, place) in
            [("a = b", (2, 3)), ("a & b", (2, 3)), ("ü", (0, 2)), ("a == 'b", (5, 7)), ("1.2.3", (0, 5))]
        {
            assert_eq!(tokens(text, MAX_LENGTH).unwrap_err().place, Place::new(place.0, place.1), "{text}");
        }
    }
}
