//! A file put together from its parts.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{super::trouble::Trouble, MOST_BYTES, Uploads};

impl Uploads {
    /// Puts the file together. Blocking; nobody else does it for this upload meanwhile. `size`: how many bytes it must
    /// have, where the sender says so. Gives the file and its SHA-256.
    pub(in super::super) fn assemble(
        &self,
        id: u64,
        size: Option<u64>,
    ) -> Result<(PathBuf, String), Trouble> {
        let folder = self.place(id);
        let files: Vec<String> = match fs::read(folder.join("list.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(Trouble::broken)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => contiguous(&folder)?,
            Err(error) => return Err(error.into()),
        };
        let content = folder.join("content.new");
        let mut to = Hashed { file: File::create(&content)?, hash: Sha256::new(), size: 0 };
        for file in &files {
            io::copy(&mut File::open(folder.join(file))?, &mut to)?;
            // Twice as much as was sent, for the moment, and no more: a list may name a block many times.
            if to.size > MOST_BYTES {
                return Err(Trouble::too_much("the file is larger than the runner keeps"));
            }
        }
        if let Some(size) = size.filter(|size| *size != to.size) {
            return Err(Trouble::invalid(format!("{} bytes were sent, and the sender says {size}", to.size)));
        }
        Ok((content, hex::encode(to.hash.finalize())))
    }
}

/// The parts that were sent by their offsets, in order and without a gap.
fn contiguous(folder: &Path) -> Result<Vec<String>, Trouble> {
    let mut parts = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let offset = name.strip_prefix("at-").and_then(|offset| offset.parse::<u64>().ok());
        parts.extend(offset.map(|offset| (offset, name)));
    }
    parts.sort();
    let mut end = 0;
    for (offset, name) in &parts {
        if *offset != end {
            return Err(Trouble::invalid(format!("what was sent has a gap or an overlap at byte {end}")));
        }
        end += fs::metadata(folder.join(name))?.len();
    }
    if parts.is_empty() {
        return Err(Trouble::invalid("nothing was sent"));
    }
    Ok(parts.into_iter().map(|(_, name)| name).collect())
}

struct Hashed {
    file: File,
    hash: Sha256,
    size: u64,
}

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
