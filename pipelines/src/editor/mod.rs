//! What an editor asks of a pipeline file: completion, hover, quick fixes. Pure: a text and an offset in, suggestions
//! out; `tidegate lsp` carries them to an editor.
//!
//! A file that is being typed is broken most of the time, so none of this needs it to be right: [`loose`] reads what
//! there is, by indentation and brackets, and [`spot`] says where the cursor is in it. What may stand there is known
//! from the language's JSON Schema ([`schema`]), so completion, hover and the checks speak of the same keys.

mod complete;
mod dotted;
mod expressions;
mod fixes;
mod hover;
mod loose;
mod names;
mod position;
mod schema;
mod spot;
mod workflow;

use std::ops::Range;

pub use complete::{Item, ItemKind};
pub use position::{Position, Text};

use crate::{Diagnostic, Language, format, language};
use loose::Loose;

/// The largest text that is looked into; a longer one gets diagnostics alone.
const LONGEST: usize = 1 << 20;

/// A file open in an editor.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its path inside the repository.
    path: String,
    language: Language,
    text: Text,
}

/// A change of text that mends something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What it does, in a few words.
    pub title: String,
    /// Bytes to be replaced.
    pub range: Range<usize>,
    /// By this.
    pub new_text: String,
}

/// What is known of the thing under the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hover {
    /// Markdown.
    pub text: String,
    /// The bytes that it is about.
    pub range: Range<usize>,
}

impl Document {
    /// A file; its path inside the repository decides its language.
    pub fn new(path: &str, text: String) -> Self {
        Self { path: path.to_owned(), language: language(path), text: Text::new(text) }
    }

    /// Whether a diagnostic's file is this one, and not another that it uses.
    pub fn is(&self, file: &str) -> bool {
        self.path == file
    }

    /// Its text in the usual look, where that is another one. Workflows stay as they are.
    pub fn formatted(&self) -> Option<String> {
        if self.language != Language::Native {
            return None;
        }
        let text = self.text.as_str();
        format(text).ok().filter(|formatted| formatted != text)
    }

    /// Its text.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// Its text, to be changed.
    pub fn text_mut(&mut self) -> &mut Text {
        &mut self.text
    }

    /// What may be written at this byte.
    pub fn complete(&self, offset: usize) -> Vec<Item> {
        if self.text.as_str().len() > LONGEST {
            return Vec::new();
        }
        complete::complete(self, self.text.boundary(offset))
    }

    /// What is known of the thing at this byte.
    pub fn hover(&self, offset: usize, diagnostics: &[Diagnostic]) -> Option<Hover> {
        if self.text.as_str().len() > LONGEST {
            return None;
        }
        let own: Vec<Diagnostic> = diagnostics.iter().filter(|one| self.is(&one.file)).cloned().collect();
        hover::hover(self, self.text.boundary(offset), &own)
    }

    /// What would mend a diagnostic.
    pub fn fixes(&self, diagnostic: &Diagnostic) -> Vec<Fix> {
        fixes::fixes(self.text.as_str(), diagnostic)
    }

    fn loose(&self) -> Loose {
        Loose::parse(self.text.as_str())
    }
}
