//! Which contexts and functions there are, by themselves and in one place of a workflow.

use super::functions::{self, FUNCTIONS, Function, LOCAL};
use crate::{
    codes,
    expressions::{Expression, Finding, Kind},
    nearest::{did_you_mean, listed},
};

/// Every context of a workflow.
pub(crate) const CONTEXTS: &[&str] = &[
    "github", "env", "vars", "job", "jobs", "steps", "runner", "secrets", "strategy", "matrix", "needs",
    "inputs",
];

/// The contexts and functions of one place. GitHub's schema of workflows lists them as `github` and
/// `hashFiles(1,255)`.
pub(super) struct Allowed<'a> {
    contexts: Vec<&'a str>,
    functions: Vec<(&'a str, usize, usize)>,
}

impl<'a> Allowed<'a> {
    pub(super) fn new(list: &[&'a str]) -> Self {
        let mut allowed = Self { contexts: Vec::new(), functions: Vec::new() };
        for item in list {
            let Some((name, counts)) = item.split_once('(') else {
                allowed.contexts.push(item);
                continue;
            };
            let (least, most) = counts.trim_end_matches(')').split_once(',').unwrap_or((counts, "MAX"));
            let count = |text: &str, other| text.trim().parse().unwrap_or(other);
            allowed.functions.push((name, count(least, 0), count(most, usize::MAX)));
        }
        allowed
    }

    /// Whether a status function may be asked here, which is so in `if` alone.
    pub(super) fn is_condition(&self) -> bool {
        self.functions.iter().any(|(name, ..)| functions::is_status(name))
    }

    fn context(&self, name: &str) -> Result<(), Wrong> {
        if self.contexts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        let here = || match self.contexts.as_slice() {
            [] => "no context is known here".to_owned(),
            known => format!("known here: {}", listed(known.iter().copied())),
        };
        if CONTEXTS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err((format!("`{name}` is not known here"), here()));
        }
        let help = did_you_mean(name, self.contexts.iter().copied()).unwrap_or_else(here);
        Err((format!("there is no context `{name}`"), help))
    }

    /// How many arguments a function takes here.
    fn function(&self, name: &str) -> Result<(usize, usize), Wrong> {
        let local = self.functions.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        if let Some((_, least, most)) = local {
            return Ok((*least, *most));
        }
        if let Some(function) = FUNCTIONS.iter().find(|function| function.name.eq_ignore_ascii_case(name)) {
            return Ok((function.least, function.most));
        }
        let known =
            || FUNCTIONS.iter().map(|function| function.name).chain(self.functions.iter().map(|f| f.0));
        let here = || format!("the functions are {}", listed(known()));
        if let Some(Function { name, .. }) = functions::find(name) {
            let help = if functions::is_status(name) {
                format!("`{name}()` asks how all that comes before has ended, and that belongs into `if`")
            } else {
                here()
            };
            return Err((format!("`{name}` is not known here"), help));
        }
        let help = did_you_mean(name, known()).unwrap_or_else(here);
        Err((format!("there is no function `{name}`"), help))
    }
}

/// Names and counts of arguments that are wrong in this place.
pub(super) fn findings(expression: &Expression, allowed: &Allowed<'_>) -> Vec<Finding> {
    wrong(expression, &|name| allowed.context(name), &|name| allowed.function(name))
}

/// The first name or count of arguments that is wrong wherever it may stand.
pub(crate) fn unknown(expression: &Expression, knows: impl Fn(&str) -> bool) -> Option<Finding> {
    let context = |name: &str| {
        if knows(name) {
            return Ok(());
        }
        let help = did_you_mean(name, CONTEXTS.iter().copied())
            .unwrap_or_else(|| format!("the contexts are {}", listed(CONTEXTS.iter().copied())));
        Err((format!("there is no context `{name}`"), help))
    };
    let function = |name: &str| match functions::find(name) {
        Some(function) => Ok((function.least, function.most)),
        None => {
            let known = || FUNCTIONS.iter().chain(LOCAL).map(|function| function.name);
            let help = did_you_mean(name, known())
                .unwrap_or_else(|| format!("the functions are {}", listed(known())));
            Err((format!("there is no function `{name}`"), help))
        }
    };
    wrong(expression, &context, &function).into_iter().next()
}

/// What is wrong with a name, and how to mend it.
type Wrong = (String, String);
/// Whether there is a context of this name.
type Context<'n> = &'n dyn Fn(&str) -> Result<(), Wrong>;
/// How many arguments the function of this name takes, at least and at most.
type Counts<'n> = &'n dyn Fn(&str) -> Result<(usize, usize), Wrong>;

fn wrong(expression: &Expression, context: Context<'_>, function: Counts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |code, place, message, help| {
        findings.push(Finding { code, place, message, help });
    };
    expression.walk(&mut |part| match &part.kind {
        Kind::Name(name) => {
            if let Err((message, help)) = context(name) {
                find(codes::UNKNOWN_NAME, part.place, message, Some(help));
            }
        }
        Kind::Call(name, arguments) => match function(&name.value) {
            Err((message, help)) => find(codes::UNKNOWN_NAME, name.place, message, Some(help)),
            Ok((least, most)) if !(least..=most).contains(&arguments.len()) => {
                let message = format!("`{}` does not take {} arguments", name.value, arguments.len());
                find(codes::BAD_EXPRESSION, part.place, message, Some(takes(least, most)));
            }
            Ok(_) if name.value.eq_ignore_ascii_case("case") && arguments.len() % 2 == 0 => {
                let message = "`case` takes pairs of a condition and a value, and a last value".to_owned();
                let help = "add the value for when no condition holds";
                find(codes::BAD_EXPRESSION, part.place, message, Some(help.to_owned()));
            }
            Ok(_) => {}
        },
        _ => {}
    });
    findings
}

fn takes(least: usize, most: usize) -> String {
    match (least, most) {
        (least, usize::MAX) => format!("it takes at least {least}"),
        (least, most) if least == most => format!("it takes {least}"),
        (least, most) => format!("it takes {least} to {most}"),
    }
}
