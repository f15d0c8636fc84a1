//! Follows the shim's spool: bytes in, frames out, across restarts of this process.
//!
//! A sandbox can write to its own spool, so nothing in it is trusted further than the stage that it belongs to:
//! the file is opened without following links and kept open, lengths are bounded, and a spool that shrinks or
//! holds what is no frame fails its stage with a reason.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use super::shim::wire::{HEADER, Header, Kind};

/// How many bytes are read at once.
const READ: usize = 4 << 20;

/// A frame, borrowed from the reader's buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// The step.
    pub step: u32,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Why a spool cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file became shorter.
    #[error("the sandbox's spool was cut: {0} bytes were read and only {1} are left")]
    Shrunk(u64, u64),
    /// There is something that is no frame.
    #[error("the sandbox's spool is broken at byte {0}")]
    Broken(u64),
    /// The disk.
    #[error("the sandbox's spool cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Reads a spool from its beginning.
pub struct SpoolReader {
    file: File,
    /// Bytes of the file that were handed out as frames.
    consumed: u64,
    buffer: Vec<u8>,
    start: usize,
}

impl SpoolReader {
    /// Opens the spool.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
        Ok(Self { file, consumed: 0, buffer: Vec::new(), start: 0 })
    }

    /// Reads what is there and hands every whole frame to `take`. Returns the number of new bytes; 0 means that
    /// nothing was added since.
    pub fn read(&mut self, mut take: impl FnMut(Frame<'_>)) -> Result<usize, SpoolError> {
        let held = self.buffer.len() - self.start;
        let at = self.consumed + held as u64;
        let size = self.file.metadata()?.len();
        if size < at {
            return Err(SpoolError::Shrunk(at, size));
        }
        let want = usize::try_from(size - at).unwrap_or(READ).min(READ);
        if want == 0 {
            return Ok(0);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.resize(held + want, 0);
        let count = self.file.read_at(&mut self.buffer[held..], at)?;
        self.buffer.truncate(held + count);
        self.frames(&mut take)?;
        Ok(count)
    }

    fn frames(&mut self, take: &mut impl FnMut(Frame<'_>)) -> Result<(), SpoolError> {
        loop {
            let rest = &self.buffer[self.start..];
            let Some((head, body)) = rest.split_first_chunk::<HEADER>() else { return Ok(()) };
            let Some(header) = Header::decode(head) else { return Err(SpoolError::Broken(self.consumed)) };
            let Some(payload) = body.get(..header.len) else { return Ok(()) };
            take(Frame { kind: header.kind, step: header.step, payload });
            self.start += HEADER + header.len;
            self.consumed += (HEADER + header.len) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn encode(kind: Kind, step: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Header { kind, step, len: payload.len() }.encode().to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    proptest! {
        /// However the bytes arrive, the same frames come out.
        #[test]
        fn frames_survive_any_split(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            cuts in prop::collection::vec(1usize..60, 1..40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("spool");
            let mut file = File::create(&path).unwrap();
            let all: Vec<u8> = payloads.iter().enumerate()
                .flat_map(|(step, payload)| encode(Kind::Output, step as u32, payload)).collect();
            let mut reader = SpoolReader::open(&path).unwrap();
            let mut seen = Vec::new();
            let mut rest = &all[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                file.write_all(now).unwrap();
                rest = later;
                reader.read(|frame| seen.push((frame.step, frame.payload.to_vec()))).unwrap();
            }
            let expected: Vec<_> = payloads.iter().enumerate().map(|(step, p)| (step as u32, p.clone())).collect();
            prop_assert_eq!(seen, expected);
        }

        /// Whatever a sandbox writes there, reading it ends, with frames or with a reason.
        #[test]
        fn any_bytes_are_frames_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("spool");
            std::fs::write(&path, &bytes).unwrap();
            let mut reader = SpoolReader::open(&path).unwrap();
            let mut total = 0;
            let _ = reader.read(|frame| total += HEADER + frame.payload.len());
            prop_assert!(total <= bytes.len());
        }
    }

    #[test]
    fn a_spool_that_shrinks_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        std::fs::write(&path, encode(Kind::Started, 1, b"")).unwrap();
        let mut reader = SpoolReader::open(&path).unwrap();
        reader.read(|_| ()).unwrap();
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(reader.read(|_| ()), Err(SpoolError::Shrunk(12, 0))));
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), folder.path().join("spool")).unwrap();
        assert!(SpoolReader::open(&folder.path().join("spool")).is_err());
    }
}
