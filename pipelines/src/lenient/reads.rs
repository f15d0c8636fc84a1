//! What templates and conditions read, told without evaluating them: which secrets a stage must be given, and which
//! stages it must come after.

use std::collections::BTreeSet;

use super::{error, expressions_of};
use crate::{
    context::ResolveError,
    expressions::{Expression, Kind, Literal, parse_lenient},
    plan::Expressions,
};

/// What a template or condition reads, told without evaluating it. Names are as written, contexts in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// The contexts.
    pub contexts: BTreeSet<String>,
    /// The names of `secrets.NAME` and `secrets['NAME']`.
    pub secrets: BTreeSet<String>,
    /// Secrets are read whose names cannot be told: `secrets[…]`, `secrets.*`, `toJSON(secrets)`.
    pub any_secret: bool,
    /// The names of `needs.NAME` and `needs['NAME']`.
    pub needs: BTreeSet<String>,
    /// Needs are read whose names cannot be told.
    pub any_need: bool,
    /// Asks how all that comes before has ended: `success()`, `failure()`, `cancelled()`, `always()`.
    pub status: bool,
}

/// What a template, or (with `condition`) an `if`, reads.
pub fn reads(text: &str, condition: bool) -> Result<Reads, ResolveError> {
    let mut reads = Reads::default();
    for text in expressions_of(text, condition)? {
        let expression = parse_lenient(text).map_err(|fault| error(text, fault.message))?;
        reads.status |= expression.asks_for_status(Expressions::Lenient);
        note(&expression, None, &mut reads);
    }
    Ok(reads)
}

/// Notes what an expression reads; `name` is how its value is read further, when that can be told.
fn note(expression: &Expression, name: Option<&str>, reads: &mut Reads) {
    match &expression.kind {
        Kind::Name(context) => {
            let context = context.to_ascii_lowercase();
            let (names, any) = match context.as_str() {
                "secrets" => (Some(&mut reads.secrets), Some(&mut reads.any_secret)),
                "needs" => (Some(&mut reads.needs), Some(&mut reads.any_need)),
                _ => (None, None),
            };
            match (name, names, any) {
                (Some(name), Some(names), _) => {
                    names.insert(name.to_owned());
                }
                (None, _, Some(any)) => *any = true,
                _ => {}
            }
            reads.contexts.insert(context);
        }
        Kind::Member(base, name) => note(base, Some(&name.value), reads),
        Kind::Index(base, index) => {
            let name = match &index.kind {
                Kind::Literal(Literal::Text(name)) => Some(name.as_str()),
                _ => None,
            };
            note(base, name, reads);
            note(index, None, reads);
        }
        _ => {
            for part in expression.parts() {
                note(part, None, reads);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_told_without_evaluating() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let found =
            reads("a ${{ secrets.A }} ${{ Secrets['b'] || needs.x.outputs.y }} ${{ env.E }}", false).unwrap();
        assert_eq!(found.secrets, set(&["A", "b"]));
        assert_eq!(found.needs, set(&["x"]));
        assert_eq!(found.contexts, set(&["env", "needs", "secrets"]));
        assert!(!found.any_secret && !found.any_need && !found.status);
        for dynamic in ["toJSON(secrets)", "secrets[matrix.n]", "secrets.*", "secrets"] {
            assert!(reads(&format!("${{{{ {dynamic} }}}}"), false).unwrap().any_secret, "{dynamic}");
        }
        let found = reads("contains(needs.*.result, 'x') && !failure()", true).unwrap();
        assert!(found.any_need && found.status && !found.any_secret);
        assert_eq!(reads("secrets.A", false), Ok(Reads::default()));
        assert_eq!(reads("needs[matrix[needs.a]]", true).unwrap().needs, set(&["a"]));
        assert!(reads("a ==", true).is_err());
    }
}
