//! Names, paths and patterns: texts whose signs matter.

use super::Reader;
use crate::{
    codes,
    diagnostic::{Place, Spanned},
    glob,
    native::words::is_name,
    yaml::Node,
};

/// The most patterns of a pipeline with all that it uses: each becomes a program of its own.
const MAX_PATTERNS: usize = 1000;

impl Reader<'_, '_> {
    /// A name as stages, inputs, services and artifacts have.
    pub(crate) fn name(&mut self, text: &Spanned<String>, what: &str) -> bool {
        let good = is_name(&text.value);
        if !good {
            let message = format!("`{}` is no name for {what}", text.value);
            let help =
                "a name has at most 64 letters, digits, `-` and `_`, and begins with a letter or digit";
            self.bad(codes::BAD_NAME, text.place, message, Some(help.to_owned()));
        }
        good
    }

    /// A path below the workspace.
    pub(crate) fn path(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.text(node)?;
        self.path_is_safe(&text.value, text.place).then_some(text)
    }

    fn path_is_safe(&mut self, path: &str, place: Place) -> bool {
        let problem = if path.starts_with(['/', '\\', '~']) {
            "is absolute"
        } else if path.split(['/', '\\']).any(|part| part == "..") {
            "leads out of its folder by `..`"
        } else if path.contains('\0') {
            "has a character that no path has"
        } else {
            return true;
        };
        let message = format!("the path `{path}` {problem}");
        self.bad(codes::UNSAFE_PATH, place, message, Some("name a path below the workspace".to_owned()));
        false
    }

    /// A pattern of paths below the workspace.
    pub(crate) fn path_pattern(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.pattern(node)?;
        self.path_is_safe(text.value.trim_start_matches('!'), text.place).then_some(text)
    }

    /// A pattern of names.
    pub(crate) fn pattern(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.text(node)?;
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            if self.patterns == MAX_PATTERNS + 1 {
                let message =
                    format!("this is one pattern more than the {MAX_PATTERNS} that a pipeline may have");
                self.bad(codes::BAD_GLOB, text.place, message, None);
            }
            return None;
        }
        match glob::check(&text.value) {
            Ok(()) => Some(text),
            Err(why) => {
                let message = format!("`{}` is no pattern: {why}", text.value);
                self.bad(codes::BAD_GLOB, text.place, message, None);
                None
            }
        }
    }
}
