//! `tidegate explain`: what a message's code is about.

use clap::Args;
use owo_colors::OwoColorize;
use tidegate_pipelines::{
    Severity,
    codes::{self, Code},
};

use crate::{
    failure::{Failure, Outcome},
    terminal::Table,
};

/// Explain the code of a message; without one, list all codes
#[derive(Args)]
pub struct Explain {
    /// The code, as in `error[TG0201]`; `201` will do
    code: Option<String>,
}

impl Explain {
    /// Prints it.
    pub fn run(self) -> Outcome {
        match &self.code {
            Some(text) => one(text),
            None => {
                all();
                Ok(())
            }
        }
    }
}

fn one(text: &str) -> Outcome {
    let code = find(text).ok_or_else(|| {
        Failure::usage(format!("there is no code {}", crate::terminal::harmless(text)))
            .mend("codes look like TG0201; `tidegate explain` lists them all")
    })?;
    anstream::println!("{} ({})\n\n{}", code.id.bold(), word(code), code.explanation);
    if let Some(page) = code.page() {
        anstream::println!("\n{}\n\n{}\n", page.text, "Wrong:".bold());
        example(page.wrong);
        anstream::println!("\n{}\n", "Right:".bold());
        example(page.right);
    }
    Ok(())
}

fn example(text: &str) {
    for line in text.lines() {
        anstream::println!("    {line}");
    }
}

fn all() {
    let mut table = Table::new(&["code", "kind", "what it is about"]).prose(&["what it is about"]);
    for code in codes::ALL {
        table.row([code.id, word(code), code.explanation]);
    }
    table.print("there are no codes");
}

fn word(code: &Code) -> &'static str {
    match code.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The code that a person means: in any case, with or without its letters and leading zeros.
fn find(text: &str) -> Option<&'static Code> {
    let upper = text.trim().to_uppercase();
    let digits = upper.strip_prefix("TG").unwrap_or(&upper);
    if digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    codes::find(&format!("TG{digits:0>4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_however_they_are_written() {
        for text in ["TG0201", "tg0201", "0201", "201"] {
            assert_eq!(find(text).map(|code| code.id), Some("TG0201"), "{text}");
        }
        for text in ["", "TG", "TG9999", "TG00201", "x", "TG02O1"] {
            assert!(find(text).is_none(), "{text}");
        }
    }
}
