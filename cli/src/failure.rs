//! How a command fails: what went wrong, why, and how to mend it. Exit codes: 1 it failed, 2 it was called or
//! configured wrongly, 130 it was interrupted.

use std::{error::Error, fmt};

use owo_colors::OwoColorize;

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub code: u8,
    what: String,
    why: Vec<String>,
    mend: Option<String>,
    /// Nothing is left to say: the command printed its own findings.
    silent: bool,
}

impl Failure {
    /// Something that should have worked did not.
    pub fn new(what: impl fmt::Display) -> Self {
        Self { code: 1, what: what.to_string(), why: Vec::new(), mend: None, silent: false }
    }

    /// The command or its configuration is wrong.
    pub fn usage(what: impl fmt::Display) -> Self {
        Self { code: 2, ..Self::new(what) }
    }

    /// The command has printed what it found, and that is bad.
    pub fn told() -> Self {
        Self { silent: true, ..Self::new("") }
    }

    /// A person pressed Ctrl-C.
    pub fn interrupted(what: impl fmt::Display) -> Self {
        Self { code: 130, ..Self::new(what) }
    }

    /// Adds a reason.
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.why.push(why.to_string());
        self
    }

    /// Says how to mend it.
    pub fn mend(mut self, how: impl fmt::Display) -> Self {
        self.mend = Some(how.to_string());
        self
    }

    /// Prints it to standard error.
    pub fn print(&self) {
        anstream::eprint!("{}", self.render());
    }

    /// What is printed: a headline, then reasons and a way out on lines of their own.
    fn render(&self) -> String {
        if self.silent {
            return String::new();
        }
        let mut text = format!("{} {}\n", "error:".red().bold(), self.what);
        for why in &self.why {
            text.push_str(&format!("  {} {why}\n", "why:".bold()));
        }
        if let Some(mend) = &self.mend {
            text.push_str(&format!("  {} {mend}\n", "help:".cyan().bold()));
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for why in &self.why {
            write!(f, ": {why}")?;
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let mut chain = error.chain().map(ToString::to_string);
        let mut failure = Self::new(chain.next().unwrap_or_default());
        for why in chain {
            failure = failure.because(why);
        }
        failure
    }
}

/// Turns any error into a failure, with what was being done.
pub trait Doing<T> {
    /// `what` reads as the headline of the failure.
    fn doing(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: Error> Doing<T> for Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| {
            let mut failure = Failure::new(what).because(&error);
            let mut last = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                let text = cause.to_string();
                if !last.contains(&text) {
                    failure = failure.because(&text);
                }
                last = text;
                source = cause.source();
            }
            failure
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::harmless;

    fn plain(failure: &Failure) -> Vec<String> {
        failure.render().lines().map(harmless).collect()
    }

    #[test]
    fn a_failure_says_what_why_and_how_to_mend_it() {
        let failure =
            Failure::usage("which server?").because("nothing names it").mend("run `tidegate login URL`");
        assert_eq!(failure.code, 2);
        assert_eq!(
            plain(&failure),
            ["error: which server?", "  why: nothing names it", "  help: run `tidegate login URL`"]
        );
        assert_eq!(failure.to_string(), "which server?: nothing names it");
        assert_eq!(Failure::told().code, 1);
        assert!(plain(&Failure::told()).is_empty(), "what was told already is not told again");
    }

    #[test]
    fn reasons_are_told_once() {
        #[derive(Debug)]
        struct Layer(&'static str, Option<Box<Layer>>);
        impl fmt::Display for Layer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Layer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.1.as_deref().map(|layer| layer as _)
            }
        }
        let inner = Layer("no such file", None);
        let repeats = Layer("open x: no such file", Some(Box::new(inner)));
        let outer = Layer("cannot load", Some(Box::new(repeats)));
        let failure = Err::<(), _>(outer).doing("the start failed").unwrap_err();
        assert_eq!(
            plain(&failure),
            ["error: the start failed", "  why: cannot load", "  why: open x: no such file"]
        );
    }
}
