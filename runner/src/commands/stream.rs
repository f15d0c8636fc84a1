//! A step's output on its way to the log: commands are taken out and acted upon, all else passes as it is.
//!
//! One pass over the bytes. A line that does not begin with `::` or `##[` (after white space) is never copied or
//! decoded: whole stretches of such lines go on at once. Held back is only the beginning of a line that may still
//! become a command, so a prompt or a progress bar is seen when it is printed. What comes out does not depend on
//! how the bytes were cut.

use tidegate_protocol::messages::{Annotation, AnnotationLevel};

use super::{
    matchers::{self, LONGEST_LINE, Matchers},
    notes,
    parse::{Command, parse},
};

/// The longest command, in bytes; a longer line is ordinary output.
const LONGEST_COMMAND: usize = 1 << 20;
/// The grey of debug lines.
const GREY: u8 = 90;

/// The names that mean something.
const NAMES: [&str; 17] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "internal-set-repo-path",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
    "pause-logging",
];

/// What a step's environment says of commands.
#[derive(Debug, Clone, Copy, Default)]
pub struct StreamSettings {
    /// `::debug::` lines are shown, and every command.
    pub debug: bool,
    /// `::set-env::` and `::add-path::` work (`ACTIONS_ALLOW_UNSECURE_COMMANDS`).
    pub unsecure_commands: bool,
    /// `::stop-commands::` takes any word (`ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS`).
    pub unsecure_tokens: bool,
}

/// What a step said.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// Bytes for the log.
    Text(&'a [u8]),
    /// This is a secret.
    Mask(String),
    /// An output of the step.
    Output(String, String),
    /// A value for a later part of the same action.
    State(String, String),
    /// An environment value for later steps.
    Env(String, String),
    /// A search path for later steps.
    Path(String),
    /// An error, warning or notice. Its line in the log is a [`Said::Text`] of its own.
    Note(Annotation),
    /// A command that cannot be carried out: the step fails for this reason.
    Wrong(String),
}

/// The output of one step.
pub struct Stream {
    settings: StreamSettings,
    line: Line,
    /// The word that ends a silence of commands.
    stopped: Option<String>,
    echo: bool,
    matchers: Matchers,
    /// Reads a matcher file that a command names.
    load: Box<dyn Fn(&str) -> Result<String, String> + Send>,
    /// The current line for the matchers, while there are any.
    looked_at: Vec<u8>,
}

enum Line {
    /// At a line's beginning.
    Fresh,
    /// In a line that is no command.
    Text,
    /// In a line that may be one; nothing of it is out yet.
    Held(Vec<u8>),
}

type Tell<'t> = &'t mut dyn FnMut(Said<'_>);

impl Stream {
    /// A step's output from its beginning. `matchers` are the ones that earlier steps added.
    pub fn new(
        settings: StreamSettings,
        matchers: Matchers,
        load: Box<dyn Fn(&str) -> Result<String, String> + Send>,
    ) -> Self {
        Self {
            echo: settings.debug,
            settings,
            line: Line::Fresh,
            stopped: None,
            matchers,
            load,
            looked_at: Vec::new(),
        }
    }

    /// Whether commands are shown as they were printed.
    pub fn echoes(&self) -> bool {
        self.echo
    }

    /// The step has ended: what is held back is told. Its matchers go on with the next one.
    pub fn finish(mut self, tell: Tell<'_>) -> Matchers {
        if let Line::Held(line) = std::mem::replace(&mut self.line, Line::Fresh) {
            self.whole(&line, tell);
        }
        if !self.looked_at.is_empty() {
            self.match_line(tell);
        }
        self.matchers
    }

    /// Takes bytes.
    pub fn push(&mut self, mut bytes: &[u8], tell: Tell<'_>) {
        while !bytes.is_empty() {
            let taken = match std::mem::replace(&mut self.line, Line::Fresh) {
                Line::Fresh => self.pass(bytes, tell),
                Line::Text => {
                    let end = end_of_line(bytes);
                    self.text(&bytes[..end.unwrap_or(bytes.len())], tell);
                    self.line = if end.is_some() { Line::Fresh } else { Line::Text };
                    end.unwrap_or(bytes.len())
                }
                Line::Held(line) => self.go_on(line, bytes, tell),
            };
            bytes = &bytes[taken..];
        }
    }

    /// At a line's beginning: lets go of all before the next line that may be a command. Gives how much was taken.
    fn pass(&mut self, bytes: &[u8], tell: Tell<'_>) -> usize {
        let mut start = 0;
        while start < bytes.len() {
            match beginning(&bytes[start..]) {
                Beginning::Other => match end_of_line(&bytes[start..]) {
                    Some(end) => start += end,
                    None => {
                        self.line = Line::Text;
                        start = bytes.len();
                    }
                },
                Beginning::Command | Beginning::Open => {
                    self.line = Line::Held(Vec::new());
                    break;
                }
            }
        }
        if start > 0 {
            self.text(&bytes[..start], tell);
        }
        start
    }

    /// In a line that may be a command.
    fn go_on(&mut self, mut line: Vec<u8>, bytes: &[u8], tell: Tell<'_>) -> usize {
        let end = end_of_line(bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        line.extend_from_slice(part);
        if end.is_some() && line.len() <= LONGEST_COMMAND {
            self.whole(&line, tell);
        } else if end.is_none() && line.len() <= LONGEST_COMMAND && beginning(&line) != Beginning::Other {
            self.line = Line::Held(line);
        } else {
            self.text(&line, tell);
            self.line = if end.is_some() { Line::Fresh } else { Line::Text };
        }
        part.len()
    }

    /// A whole line that begins like a command.
    fn whole(&mut self, line: &[u8], tell: Tell<'_>) {
        // A beginning that was held may have gone on otherwise.
        if beginning(line) != Beginning::Command {
            return self.text(line, tell);
        }
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        let command = match &self.stopped {
            Some(word) => {
                let word = word.clone();
                if parse(text, &|name| name == word).is_some() {
                    self.stopped = None;
                } else {
                    self.text(line, tell);
                }
                return;
            }
            None => parse(text, &|name| NAMES.contains(&name)),
        };
        match command {
            Some(command) => self.obey(&command, text, tell),
            None => self.text(line, tell),
        }
    }

    fn obey(&mut self, command: &Command, line: &str, tell: Tell<'_>) {
        let data = &command.data;
        let done = match command.name.as_str() {
            "group" => return self.text(format!("##[group]{data}\n").as_bytes(), tell),
            "endgroup" => return self.text(b"##[endgroup]\n", tell),
            "error" => return self.note(AnnotationLevel::Error, command, tell),
            "warning" => return self.note(AnnotationLevel::Warning, command, tell),
            "notice" => return self.note(AnnotationLevel::Notice, command, tell),
            "debug" => {
                if self.settings.debug {
                    self.text(notes::coloured(&format!("Debug: {data}"), GREY).as_bytes(), tell);
                }
                return;
            }
            "add-mask" => {
                if self.echo {
                    self.text(b"::add-mask::***\n", tell);
                }
                if !data.trim().is_empty() {
                    tell(Said::Mask(data.clone()));
                }
                return;
            }
            "stop-commands" => self.stop(data),
            "echo" => self.set_echo(data),
            "set-output" => named(command).map(|name| tell(Said::Output(name, data.clone()))),
            "save-state" => named(command).map(|name| tell(Said::State(name, data.clone()))),
            "set-env" => self.unsecure(command, "GITHUB_ENV").and_then(|()| {
                let name = named(command)?;
                if name.eq_ignore_ascii_case("NODE_OPTIONS") {
                    return Err("`::set-env::` may not set NODE_OPTIONS".to_owned());
                }
                tell(Said::Env(name, data.clone()));
                Ok(())
            }),
            "add-path" => self.unsecure(command, "GITHUB_PATH").map(|()| tell(Said::Path(data.clone()))),
            "add-matcher" => self.add_matchers(data),
            "remove-matcher" => self.remove_matchers(command),
            // Where a checkout put the repository; nothing here depends on it.
            _ => Ok(()),
        };
        if self.echo && command.name != "echo" {
            self.text(format!("{line}\n").as_bytes(), tell);
        }
        if let Err(reason) = done {
            self.text(notes::coloured(&format!("Error: {reason}"), 31).as_bytes(), tell);
            tell(Said::Note(notes::placed(AnnotationLevel::Error, &reason, [None, None], [None, None])));
            tell(Said::Wrong(reason));
        }
    }

    fn note(&mut self, level: AnnotationLevel, command: &Command, tell: Tell<'_>) {
        let note = notes::of_command(level, command);
        self.text(notes::shown(&note).as_bytes(), tell);
        tell(Said::Note(note));
    }

    fn stop(&mut self, word: &str) -> Result<(), String> {
        let word = word.trim().to_lowercase();
        if !self.settings.unsecure_tokens && (word.is_empty() || NAMES.contains(&word.as_str())) {
            return Err(format!(
                "`::stop-commands::{word}`: take a word that nobody can guess and that is no command's name"
            ));
        }
        self.stopped = Some(word);
        Ok(())
    }

    fn set_echo(&mut self, data: &str) -> Result<(), String> {
        self.echo = match data.trim().to_lowercase().as_str() {
            "on" => true,
            "off" => false,
            other => return Err(format!("`::echo::{other}`: it is `on` or `off`")),
        };
        Ok(())
    }

    fn unsecure(&self, command: &Command, file: &str) -> Result<(), String> {
        if self.settings.unsecure_commands {
            return Ok(());
        }
        Err(format!(
            "`::{}::` does nothing, since whatever is printed could change later steps; write to ${file} instead",
            command.name
        ))
    }

    fn add_matchers(&mut self, path: &str) -> Result<(), String> {
        let read = (self.load)(path.trim()).and_then(|text| matchers::read(&text));
        self.matchers.add(
            read.map_err(|reason| format!("the problem matchers of `{path}` cannot be used: {reason}"))?,
        );
        Ok(())
    }

    fn remove_matchers(&mut self, command: &Command) -> Result<(), String> {
        match command.property("owner") {
            Some(owner) => self.matchers.remove(owner),
            None => {
                let path = command.data.trim();
                let read = (self.load)(path).and_then(|text| matchers::read(&text));
                for matcher in read.map_err(|reason| format!("`{path}`: {reason}"))? {
                    self.matchers.remove(matcher.owner());
                }
            }
        }
        Ok(())
    }

    /// Ordinary output: to the log, and before the matchers.
    fn text(&mut self, bytes: &[u8], tell: Tell<'_>) {
        if self.matchers.is_empty() {
            self.looked_at.clear();
            return tell(Said::Text(bytes));
        }
        tell(Said::Text(bytes));
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = (LONGEST_LINE + 1).saturating_sub(self.looked_at.len()).min(part.len());
            self.looked_at.extend_from_slice(&part[..room]);
            if part.ends_with(b"\n") {
                self.match_line(tell);
            }
        }
    }

    fn match_line(&mut self, tell: Tell<'_>) {
        let line = std::mem::take(&mut self.looked_at);
        if line.len() > LONGEST_LINE {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        if let Some(note) = self.matchers.look(text.trim_end_matches(['\n', '\r'])) {
            tell(Said::Note(note));
        }
    }
}

fn named(command: &Command) -> Result<String, String> {
    let name = command.property("name").map(str::to_owned);
    name.ok_or_else(|| format!("`::{}::` needs `name=`", command.name))
}

/// Behind the first newline.
fn end_of_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}

/// How a line begins, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Command,
    Other,
    /// It may become either.
    Open,
}

/// White space before a command that is looked through, in bytes.
const INDENT: usize = 256;

fn beginning(line: &[u8]) -> Beginning {
    let indent = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if indent > INDENT {
        return Beginning::Other;
    }
    match &line[indent..] {
        [] | [b':'] | [b'#'] | [b'#', b'#'] => Beginning::Open,
        [b':', b':', ..] | [b'#', b'#', b'[', ..] => Beginning::Command,
        _ => Beginning::Other,
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
