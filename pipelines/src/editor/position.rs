//! Lines and columns as editors count them: columns are UTF-16 code units, both from 0. The text keeps an index of its
//! lines, so that a position is found without reading the file.

/// A place as an editor names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 0.
    pub line: u32,
    /// UTF-16 code units from the beginning of the line.
    pub character: u32,
}

/// A text with an index of its lines.
#[derive(Debug, Clone)]
pub struct Text {
    text: String,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
}

impl Text {
    /// Indexes a text.
    pub fn new(text: String) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        Self { text, lines }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The byte that a position is at; past the end of a line (or of the text) that end.
    pub fn offset(&self, position: Position) -> usize {
        let line = usize::try_from(position.line).unwrap_or(usize::MAX);
        let Some(start) = self.lines.get(line).copied() else { return self.text.len() };
        let rest = self.text.get(start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut units = 0;
        for (at, character) in line.char_indices() {
            if units >= position.character {
                return start + at;
            }
            units += u32::try_from(character.len_utf16()).unwrap_or(1);
        }
        start + line.len()
    }

    /// The position of a byte.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.boundary(offset);
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or_default();
        let units: usize =
            self.text.get(start..offset).map_or(0, |text| text.chars().map(char::len_utf16).sum());
        Position {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            character: u32::try_from(units).unwrap_or(u32::MAX),
        }
    }

    /// The nearest byte before (or at) this one where a character begins.
    pub fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    /// Replaces what is between two positions.
    pub fn replace(&mut self, from: Position, to: Position, new: &str) {
        let (from, to) = (self.offset(from), self.offset(to));
        self.text.replace_range(from..to.max(from), new);
        *self = Self::new(std::mem::take(&mut self.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn columns_are_utf16_units() {
        let text = Text::new("a: ü\n😀✓: x\r\nend".to_owned());
        let x = text.as_str().find('x').unwrap();
        assert_eq!(text.position(x), at(1, 5));
        assert_eq!(text.offset(at(1, 5)), x);
        // Inside a character of two units: behind it.
        assert_eq!(text.offset(at(1, 1)), text.as_str().find('✓').unwrap());
        assert_eq!(text.offset(at(1, 99)), x + 1, "the line break is no part of the line");
        assert_eq!(text.offset(at(9, 0)), text.as_str().len());
        assert_eq!(text.position(usize::MAX), at(2, 3));
        assert_eq!(text.position(4), at(0, 3), "inside a character: where it begins");
    }

    #[test]
    fn changes_apply_one_after_the_other() {
        let mut text = Text::new("one\ntwö\nthree\n".to_owned());
        text.replace(at(1, 2), at(1, 3), "o");
        text.replace(at(0, 0), at(1, 0), "");
        text.replace(at(9, 9), at(9, 9), "four");
        text.replace(at(1, 3), at(0, 1), "!");
        assert_eq!(text.as_str(), "two\nthr!ee\nfour");
    }

    proptest::proptest! {
        #[test]
        fn every_character_is_found_again(text in "[a-zü😀\n]{0,40}") {
            let indexed = Text::new(text.clone());
            for (offset, character) in text.char_indices() {
                if character != '\n' {
                    proptest::prop_assert_eq!(indexed.offset(indexed.position(offset)), offset);
                }
            }
        }
    }
}
