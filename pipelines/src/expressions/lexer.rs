//! Text to tokens.
//!
//! The two sets of rules differ in what a number and a name may look like, in quotes, and in where a token ends:
//! a strict one where the next character cannot belong to it, a lenient one only before a sign or a blank, so that
//! `a@b` is one word that cannot be read.

use super::{Comparison, Fault, Logic, MAX_TOKENS, lenient};
use crate::{
    diagnostic::{Place, Spanned},
    plan::Expressions,
};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Number(f64),
    Logic(Logic),
    Compare(Comparison),
    Not,
    Dot,
    Star,
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
            Self::Logic(operator) => format!("`{}`", operator.sign()),
            Self::Compare(operator) => format!("`{}`", operator.sign()),
            Self::Not => "`!`".to_owned(),
            Self::Dot => "`.`".to_owned(),
            Self::Star => "`*`".to_owned(),
            Self::Comma => "`,`".to_owned(),
            Self::Open => "`(`".to_owned(),
            Self::Close => "`)`".to_owned(),
            Self::OpenBracket => "`[`".to_owned(),
            Self::CloseBracket => "`]`".to_owned(),
        }
    }
}

const SIGNS: [(&str, Token); 15] = [
    ("==", Token::Compare(Comparison::Equal)),
    ("!=", Token::Compare(Comparison::NotEqual)),
    ("<=", Token::Compare(Comparison::LessOrEqual)),
    (">=", Token::Compare(Comparison::GreaterOrEqual)),
    ("&&", Token::Logic(Logic::And)),
    ("||", Token::Logic(Logic::Or)),
    ("<", Token::Compare(Comparison::Less)),
    (">", Token::Compare(Comparison::Greater)),
    ("!", Token::Not),
    (".", Token::Dot),
    (",", Token::Comma),
    ("(", Token::Open),
    (")", Token::Close),
    ("[", Token::OpenBracket),
    ("]", Token::CloseBracket),
];

/// The tokens of an expression that is at most so long.
pub(super) fn tokens(text: &str, rules: Expressions, limit: usize) -> Result<Vec<Spanned<Token>>, Fault> {
    check_length(text, rules, limit)?;
    let mut list: Vec<Spanned<Token>> = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let found = match rules {
            Expressions::Strict => token(&text[at..], first),
            Expressions::Lenient => lenient_token(&text[at..], first, !may_have_members(&list)),
        };
        let (token, length) =
            found.map_err(|(length, message)| Fault::lexing(Place::new(at, at + length), message))?;
        if rules == Expressions::Strict && list.len() == MAX_TOKENS {
            let message = format!("an expression may have {MAX_TOKENS} words and signs");
            return Err(Fault::parsing(Place::new(at, text.len()), message));
        }
        list.push(Spanned::new(token, Place::new(at, at + length)));
        at += length;
    }
    Ok(list)
}

fn check_length(text: &str, rules: Expressions, limit: usize) -> Result<(), Fault> {
    let (length, unit) = match rules {
        Expressions::Strict => (text.len(), "bytes"),
        // Bytes are never fewer, so most texts need not be counted.
        Expressions::Lenient if text.len() > limit => (text.encode_utf16().count(), "characters"),
        Expressions::Lenient => return Ok(()),
    };
    if length > limit {
        let message = format!("an expression may have {limit} {unit}, this one has {length}");
        return Err(Fault::parsing(Place::new(0, text.len()), message));
    }
    Ok(())
}

/// A token and its length; or the length of what is wrong, and why.
type Found = Result<(Token, usize), (usize, String)>;

/// The token at the beginning of `rest`.
fn token(rest: &str, first: char) -> Found {
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
        '=' => Err((1, ASSIGNMENT.to_owned())),
        '&' | '|' => Err((1, format!("write `{first}{first}`"))),
        other => Err((other.len_utf8(), format!("`{other}` has no meaning in an expression"))),
    }
}

const ASSIGNMENT: &str = "`=` compares nothing; write `==`";

/// Quoted text; the quote itself is written twice.
fn quoted(rest: &str, quote: char) -> Found {
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

fn number(rest: &str) -> Found {
    let sign = usize::from(rest.starts_with('-'));
    let length = sign + length_while(&rest[sign..], |c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
    match rest[..length].parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Number(number), length)),
        _ => Err((length.max(1), no_number(&rest[..length.max(1)]))),
    }
}

fn no_number(text: &str) -> String {
    format!("`{text}` is no number; text stands in quotes")
}

/// Whether a `.` after these tokens asks for a member. Else it begins a number.
fn may_have_members(tokens: &[Spanned<Token>]) -> bool {
    let (last, before) = match tokens {
        [.., before, last] => (&last.value, Some(&before.value)),
        [last] => (&last.value, None),
        [] => return false,
    };
    match last {
        Token::Close | Token::CloseBracket | Token::Star => true,
        Token::Name(name) => {
            let is_value = matches!(name.as_str(), "true" | "false" | "null" | "NaN" | "Infinity");
            !is_value || before == Some(&Token::Dot)
        }
        _ => false,
    }
}

/// The lenient token at the beginning of `rest`; `fresh`: a `.` begins a number here.
fn lenient_token(rest: &str, first: char, fresh: bool) -> Found {
    if first == '*' {
        return Ok((Token::Star, 1));
    }
    if first == '.' && fresh || matches!(first, '-' | '+' | '0'..='9') {
        let length = first.len_utf8() + length_while(&rest[1..], |c| c == '.' || !ends_token(c));
        let word = &rest[..length];
        let number = lenient::parse_number(word);
        return if number.is_nan() {
            Err((length, no_number(word)))
        } else {
            Ok((Token::Number(number), length))
        };
    }
    if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Ok((token.clone(), sign.len()));
    }
    if first == '\'' {
        return quoted(rest, first);
    }
    let length = first.len_utf8() + length_while(&rest[first.len_utf8()..], |c| !ends_token(c));
    let word = &rest[..length];
    let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match first {
        _ if is_name => Ok((Token::Name(word.to_owned()), length)),
        '=' => Err((length, ASSIGNMENT.to_owned())),
        '&' | '|' => Err((length, format!("write `{first}{first}`"))),
        '"' => Err((length, "text stands in single quotes".to_owned())),
        _ => Err((length, format!("`{word}` has no meaning in an expression"))),
    }
}

/// Whether a lenient word ends before this character.
fn ends_token(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | ',' | '.' | '!' | '<' | '>' | '=' | '&' | '|')
}

fn length_while(text: &str, test: impl Fn(char) -> bool) -> usize {
    text.find(|c| !test(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expressions::max_length;

    fn tokens(text: &str, rules: Expressions) -> Result<Vec<Spanned<Token>>, Fault> {
        super::tokens(text, rules, max_length(rules))
    }

    fn kinds(text: &str, rules: Expressions) -> Vec<Token> {
        tokens(text, rules).unwrap().into_iter().map(|token| token.value).collect()
    }

    #[test]
    fn names_may_hold_dashes_and_quotes_are_doubled() {
        for rules in [Expressions::Strict, Expressions::Lenient] {
            assert_eq!(
                kinds("a-b.c == 'it''s'", rules),
                [
                    Token::Name("a-b".into()),
                    Token::Dot,
                    Token::Name("c".into()),
                    Token::Compare(Comparison::Equal),
                    Token::Text("it's".into())
                ]
            );
            assert_eq!(kinds("-1.5", rules), [Token::Number(-1.5)]);
        }
        assert_eq!(kinds("\"a\"", Expressions::Strict), [Token::Text("a".into())]);
    }

    #[test]
    fn lenient_numbers() {
        for (text, number) in [
            (".25", 0.25),
            ("+7", 7.0),
            ("0x1F", 31.0),
            ("0o17", 15.0),
            ("2.5e-1", 0.25),
            ("-Infinity", f64::NEG_INFINITY),
            ("5.", 5.0),
        ] {
            assert_eq!(kinds(text, Expressions::Lenient), [Token::Number(number)], "{text}");
        }
        assert_eq!(kinds("a.*", Expressions::Lenient), [Token::Name("a".into()), Token::Dot, Token::Star]);
        assert_eq!(kinds("!.5", Expressions::Lenient), [Token::Not, Token::Number(0.5)]);
    }

    #[test]
    fn faults_say_where() {
        for (text, place) in
            [("a = b", (2, 3)), ("a & b", (2, 3)), ("ü", (0, 2)), ("a == 'b", (5, 7)), ("1.2.3", (0, 5))]
        {
            for rules in [Expressions::Strict, Expressions::Lenient] {
                assert_eq!(tokens(text, rules).unwrap_err().place, Place::new(place.0, place.1), "{text}");
            }
        }
        // Words end only at signs and blanks.
        for (text, place) in [
            ("x.a@b c", (2, 5)),
            ("\"a\"", (0, 3)),
            ("1 =2", (2, 4)),
            ("a/b.c", (0, 3)),
            ("..a/b && 1", (0, 5)),
            ("-0x1", (0, 4)),
            ("1-2", (0, 3)),
            ("a*", (0, 2)),
            ("a..b", (2, 4)),
            ("'a'.b", (3, 5)),
            ("true.b", (4, 6)),
        ] {
            let fault = tokens(text, Expressions::Lenient).unwrap_err();
            assert_eq!(
                (fault.phase, fault.place),
                (super::super::Phase::Lexing, Place::new(place.0, place.1)),
                "{text}"
            );
        }
    }

    #[test]
    fn length_is_bounded() {
        assert!(tokens(&" ".repeat(4097), Expressions::Strict).is_err());
        assert!(tokens(&" ".repeat(21_000), Expressions::Lenient).is_ok());
        assert!(tokens(&" ".repeat(21_001), Expressions::Lenient).is_err());
        // Two units of UTF-16 and four bytes.
        assert!(tokens(&format!("'{}'", "😀".repeat(10_499)), Expressions::Lenient).is_ok());
        assert!(tokens(&format!("'{}'", "😀".repeat(10_500)), Expressions::Lenient).is_err());
    }
}
