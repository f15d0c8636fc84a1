//! Which program reads a script.

/// The program and its arguments, and the ones to use where there is no such program.
pub(super) struct Shell {
    pub(super) argv: Vec<String>,
    pub(super) fallback: Vec<String>,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Shell {
    /// A plan's argument vector; empty: the first of bash and sh that the image has.
    pub(super) fn of_plan(argv: &[String]) -> Self {
        if argv.is_empty() {
            return Self { argv: words(&["bash", "-e", "{0}"]), fallback: words(&["sh", "-e", "{0}"]) };
        }
        Self { fallback: other_name(argv), argv: argv.to_vec() }
    }

    /// `shell:` as a composite action has it: a known name, or a command line with `{0}`. The error is one sentence.
    pub(super) fn of_word(text: &str) -> Result<Self, String> {
        let argv = match text.trim() {
            "bash" => words(&["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "{0}"]),
            "sh" => words(&["sh", "-e", "{0}"]),
            "python" => words(&["python", "{0}"]),
            "pwsh" | "powershell" => words(&[text.trim(), "-command", ". '{0}'"]),
            custom if custom.contains("{0}") => split(custom),
            other => {
                return Err(format!(
                    "`{other}` is no shell: it is bash, sh, python, pwsh, or a command line with {{0}} where the \
                     script's path goes"
                ));
            }
        };
        Ok(Self { fallback: other_name(&argv), argv })
    }

    /// How it is shown.
    pub(super) fn shown(&self) -> String {
        self.argv.join(" ")
    }

    /// The script with what its interpreter needs around it to fail when a command does.
    pub(super) fn complete(&self, script: &str) -> String {
        match self.argv.first().map(String::as_str) {
            Some("pwsh" | "powershell") => format!(
                "$ErrorActionPreference = 'stop'\n{script}\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) {{ \
                 exit $LASTEXITCODE }}\n"
            ),
            _ => script.to_owned(),
        }
    }
}

/// The same under the name that the program has where it has not the usual one: Debian's Python is `python3`.
fn other_name(argv: &[String]) -> Vec<String> {
    match argv.split_first() {
        Some((program, rest)) if program == "python" => [&["python3".to_owned()], rest].concat(),
        _ => Vec::new(),
    }
}

/// Words of a command line; quotes hold words together.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut open, mut begun) = (None, false);
    for c in line.chars() {
        match (open, c) {
            (Some(quote), c) if c == quote => open = None,
            (None, '"' | '\'') => (open, begun) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_and_command_lines() {
        assert_eq!(Shell::of_word("bash").unwrap().shown(), "bash --noprofile --norc -e -o pipefail {0}");
        let custom = Shell::of_word("perl -w '{0}' \"a b\"").unwrap();
        assert_eq!(custom.argv, ["perl", "-w", "{0}", "a b"]);
        assert!(Shell::of_word("fish").err().unwrap().contains("{0}"));
        assert_eq!(Shell::of_plan(&[]).fallback, ["sh", "-e", "{0}"]);
        assert_eq!(Shell::of_word("python").unwrap().fallback, ["python3", "{0}"]);
        assert!(Shell::of_plan(&words(&["ruby", "{0}"])).fallback.is_empty());
    }

    #[test]
    fn powershell_ends_with_its_last_commands_code() {
        let shell = Shell::of_word("pwsh").unwrap();
        assert!(shell.complete("exit 3").contains("exit $LASTEXITCODE"));
        assert_eq!(Shell::of_word("sh").unwrap().complete("exit 3"), "exit 3");
    }
}
