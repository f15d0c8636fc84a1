//! Columns: as wide as their widest cell, less where the terminal is narrow; a column that is empty throughout is left
//! out.

use owo_colors::OwoColorize;

use super::{columns, shorten_styled, width};

/// Between two columns.
const GAP: usize = 2;
/// What a column that may be cut keeps.
const LEAST: usize = 8;

/// A table. Colour codes may stand in cells.
pub struct Table {
    head: Vec<&'static str>,
    /// Columns of prose. All others are things to be copied or compared, and stay whole.
    prose: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), prose: Vec::new(), rows: Vec::new() }
    }

    /// Lets these columns be cut in a narrow terminal.
    pub fn prose(mut self, titles: &[&'static str]) -> Self {
        self.prose = titles.to_vec();
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table as text for this terminal, without a line end after the last row.
    pub fn render(&self) -> String {
        self.render_in(columns())
    }

    /// The same for a terminal of that many columns; without one nothing is cut.
    pub fn render_in(&self, most: Option<usize>) -> String {
        let kept: Vec<usize> = (0..self.head.len())
            .filter(|column| self.rows.iter().any(|row| !cell(row, *column).is_empty()))
            .collect();
        let mut widths: Vec<usize> = kept
            .iter()
            .map(|column| {
                let cells = self.rows.iter().map(|row| width(cell(row, *column)));
                cells.chain(self.head.get(*column).map(|title| width(title))).max().unwrap_or(0)
            })
            .collect();
        if let Some(most) = most {
            self.narrow(&kept, &mut widths, most);
        }
        let line = |cells: Vec<String>| {
            let mut text = String::new();
            for (cell, wide) in cells.iter().zip(&widths) {
                let cell = shorten_styled(cell, *wide);
                text.push_str(&cell);
                text.push_str(&" ".repeat(wide.saturating_sub(width(&cell)) + GAP));
            }
            text.trim_end().to_owned()
        };
        let titles =
            kept.iter().filter_map(|column| self.head.get(*column)).map(|title| title.dimmed().to_string());
        let mut lines = vec![line(titles.collect())];
        for row in &self.rows {
            lines.push(line(kept.iter().map(|column| cell(row, *column).to_owned()).collect()));
        }
        lines.join("\n")
    }

    /// Takes from the widest column of prose until the lines fit, or nothing is left to take.
    fn narrow(&self, kept: &[usize], widths: &mut [usize], most: usize) {
        while widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) > most {
            let widest = kept
                .iter()
                .zip(widths.iter_mut())
                .filter(|(column, wide)| {
                    self.head.get(**column).is_some_and(|title| self.prose.contains(title)) && **wide > LEAST
                })
                .max_by_key(|(_, wide)| **wide);
            let Some((_, wide)) = widest else { return };
            *wide -= 1;
        }
    }

    /// Prints it, or a sentence when it has no rows.
    pub fn print(&self, when_empty: &str) {
        if self.rows.is_empty() {
            anstream::println!("{}", when_empty.dimmed());
        } else {
            anstream::println!("{}", self.render());
        }
    }
}

fn cell(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::harmless;

    fn plain(text: &str) -> Vec<String> {
        text.lines().map(harmless).collect()
    }

    #[test]
    fn columns_line_up_whatever_their_colours() {
        let mut table = Table::new(&["stage", "result"]);
        table.row(["lint".to_owned(), "ok".green().to_string()]);
        table.row(["deploy-production".bold().to_string(), "failed".to_owned()]);
        assert_eq!(
            plain(&table.render_in(None)),
            ["stage              result", "lint               ok", "deploy-production  failed"]
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_prose_and_nothing_else() {
        let mut table = Table::new(&["run", "title", "empty", "id"]).prose(&["title"]);
        table.row([
            "#1".to_owned(),
            "Answer how high the water stands".green().to_string(),
            String::new(),
            "01a20abd".to_owned(),
        ]);
        let rendered = table.render_in(Some(30));
        assert_eq!(plain(&rendered), ["run  title            id", "#1   Answer how hig…  01a20abd"]);
        assert!(rendered.contains("\u{1b}[39m"), "the colour ends where it was cut: {rendered:?}");
        // Too narrow even so: whole rather than useless.
        assert_eq!(plain(&table.render_in(Some(5))), ["run  title     id", "#1   Answer …  01a20abd"]);
    }
}
