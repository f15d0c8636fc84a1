//! How large a plan is. A small file may stand for a large plan: what all stages share is in each of them, and a matrix
//! makes many. So whoever makes stages weighs them, and stops in time.

use std::io::{self, Write};

use serde::Serialize;

/// The most that the stages of a plan may weigh.
pub(crate) const MAX_PLAN: usize = 64 << 20;
/// What a word or sign of JSON takes in memory beside its text.
const PIECE: usize = 16;

/// About the bytes that something takes in memory: those of its JSON, and a little for each of its pieces. Nothing is
/// written anywhere.
pub(crate) fn weight(value: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    // Nothing in a plan is refused by JSON; if it were, what was counted so far would do.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

/// That there is too much, as a sentence's end.
pub(crate) fn too_heavy() -> String {
    format!("more than {} MiB in all its stages together", MAX_PLAN >> 20)
}

struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(PIECE + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn many_small_pieces_weigh_more_than_their_text() {
        let (text, many) = (json!(["x".repeat(4000)]), json!(vec![1; 2000]));
        assert_eq!(text.to_string().len(), 4004);
        assert_eq!(many.to_string().len(), 4001);
        assert!((4004..5000).contains(&super::weight(&text)), "{}", super::weight(&text));
        assert!(super::weight(&many) > 30_000, "{}", super::weight(&many));
    }
}
