//! What an attempt once heard of the world outside its own logic, so that a later process hears the same.
//!
//! After a restart the steps of a stage are gone through again, from the first one: what they printed and came to is
//! read once more from the shim's spool. Whatever else a decision rests on (was there a cancel by then, what was the
//! hash of those files, what did a built-in action do) is asked once, written down here before anything follows from
//! it, and read back afterwards. All that is left is computed from these, and comes out the same.
//!
//! The file holds one JSON object a line, in the order of asking. It may hold secrets: mode 0600, gone with the
//! attempt. A last line that was cut off by the end of a process was of no consequence yet, and is dropped.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::Failure;

/// One attempt's record.
pub(crate) struct Tape {
    file: File,
    /// What an earlier process heard and this one has not come to yet.
    ahead: VecDeque<(String, Value)>,
}

impl Tape {
    /// Opens the record, or begins one.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut ahead = VecDeque::new();
        let mut whole = 0;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            match serde_json::from_slice(&line) {
                Ok(entry) if line.ends_with(b"\n") => ahead.push_back(entry),
                _ => break,
            }
            whole += line.len() as u64;
            line.clear();
        }
        file.set_len(whole)?;
        Ok(Self { file, ahead })
    }

    /// What was heard under this key when it was asked at this very place before; none when it was not.
    pub(crate) fn heard<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Failure> {
        let Some((known, value)) = self.ahead.pop_front() else { return Ok(None) };
        let value = (known == key).then_some(value).and_then(|value| serde_json::from_value(value).ok());
        value.map(Some).ok_or_else(|| {
            Failure::infrastructure(format!(
                "the stage cannot be gone on with after a restart of the runner: its record has `{known}` where `{key}` \
                 is asked"
            ))
        })
    }

    /// Writes down what was heard.
    pub(crate) fn note<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), Failure> {
        let written = serde_json::to_vec(&(key, value)).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)
        });
        written.map_err(|error| {
            Failure::infrastructure(format!(
                "the record of what the stage rests on cannot be written: {error}"
            ))
        })
    }

    /// What was heard under this key, or now is.
    pub(crate) fn once<T: Serialize + DeserializeOwned>(
        &mut self,
        key: &str,
        ask: impl FnOnce() -> T,
    ) -> Result<T, Failure> {
        if let Some(value) = self.heard(key)? {
            return Ok(value);
        }
        let value = ask();
        self.note(key, &value)?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_once_is_heard_again_and_then_the_world_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape");
        let mut tape = Tape::open(&path).unwrap();
        assert_eq!(tape.once("a", || 1).unwrap(), 1);
        assert_eq!(tape.once("b", || "x".to_owned()).unwrap(), "x");
        drop(tape);
        // A process that ended in the middle of a line.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"[\"c\", 9").unwrap();
        let mut tape = Tape::open(&path).unwrap();
        assert_eq!(tape.once("a", || 2).unwrap(), 1);
        assert_eq!(tape.once("b", || "y".to_owned()).unwrap(), "x");
        assert_eq!(tape.once("c", || 3).unwrap(), 3);
        drop(tape);
        let mut tape = Tape::open(&path).unwrap();
        assert!(tape.once("other", || 1).is_err());
        let mut tape = Tape::open(&path).unwrap();
        for (key, value) in [("a", 1)] {
            assert_eq!(tape.once(key, || 0).unwrap(), value);
        }
    }
}
