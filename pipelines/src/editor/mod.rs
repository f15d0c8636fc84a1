//! What an editor asks of a pipeline file: completion, hover, quick fixes. Pure: a text and an offset in, suggestions
//! out; `tidegate lsp` carries them to an editor.
//!
//! A file that is being typed is broken most of the time, so none of this needs it to be right: [`loose`] reads what
//! there is, by indentation and brackets, and [`spot`] says where the cursor is in it. What may stand there is known
//! from the language's JSON Schema ([`schema`]), so completion, hover and the checks speak of the same keys.

mod complete;
mod expressions;
mod fixes;
mod hover;
mod loose;
mod position;
mod schema;
mod spot;
mod workflow;

use std::ops::Range;

pub use complete::{Item, ItemKind};
pub use position::{Position, Text};

use crate::Diagnostic;
use loose::Loose;

/// The largest text that is looked into; a longer one gets diagnostics alone.
const LONGEST: usize = 1 << 20;

/// The two languages, as far as an editor cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Native,
    Workflow,
}

/// A file open in an editor.
#[derive(Debug, Clone)]
pub struct Document {
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
        let workflow = path.starts_with(".github/workflows/") || path.contains("/.github/workflows/");
        let language = if workflow { Language::Workflow } else { Language::Native };
        Self { language, text: Text::new(text) }
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
        hover::hover(self, self.text.boundary(offset), diagnostics)
    }

    /// What would mend a diagnostic.
    pub fn fixes(&self, diagnostic: &Diagnostic) -> Vec<Fix> {
        fixes::fixes(self.text.as_str(), diagnostic)
    }

    fn loose(&self) -> Loose {
        Loose::parse(self.text.as_str())
    }
}
