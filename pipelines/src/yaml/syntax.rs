//! What is said where the parser gives up: its own words, and a help where those explain a mistake badly.

use granit_parser::{ErrorKind, ScanError};

use super::Dialect;
use crate::{
    codes,
    diagnostic::{Place, Problems},
};

/// Tells where the parser gave up, and what is likely to be wrong. `open` is the bracket that is still open there.
pub(super) fn report(problems: &mut Problems<'_>, dialect: &Dialect, error: &ScanError, open: Option<Place>) {
    let text = problems.text();
    let at = error.marker().byte_offset().unwrap_or(text.len());
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        let message = too_deep(dialect);
        problems.report(codes::TOO_LARGE, Place::new(at, at), message);
        return;
    }
    let rest = text.get(at..).unwrap_or_default();
    let end = at + rest.find(['\n', '\r']).unwrap_or(rest.len()).min(1);
    let line_start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    // A bracket of an earlier line that is still open is the likelier mistake.
    let bracket = open.filter(|open| open.start < line_start);
    let bracket = bracket.map(|open| Place::new(open.start, open.start + 1));
    let report = problems.report(codes::SYNTAX, Place::new(at, end), format!("not YAML: {}", error.info()));
    match bracket {
        Some(place) => report.related(place, "opened here and not closed before").help("close the bracket"),
        None => report.maybe_help(syntax_help(line)),
    };
}

/// For what is nested too deeply, by brackets or by aliases.
pub(super) fn too_deep(dialect: &Dialect) -> String {
    format!("values are nested more than {} levels deep here", dialect.max_depth)
}

/// The two mistakes that YAML's own messages explain worst.
fn syntax_help(line: &str) -> Option<String> {
    if line.trim_start_matches(' ').starts_with('\t') {
        return Some("YAML is indented with spaces; this line has a tab".to_owned());
    }
    let (_, value) = line.split_once(": ")?;
    let special = value.trim_start().chars().next().filter(|first| "@`%*&{[|>\"'".contains(*first));
    if special.is_some() || value.contains(": ") {
        return Some(
            "text that holds `: ` or ` #`, or begins with a character that YAML uses itself, must be quoted"
                .to_owned(),
        );
    }
    None
}
