//! Packing: the selected files below a root, in a fixed order, into `tar.zst`.

use std::{
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use super::{ArchiveError, Selection, beneath::Root};

/// What went into an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    /// Files and links in it.
    pub entries: u64,
    /// Their bytes before compression.
    pub bytes: u64,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// Packs what the globs select below `root` into `out`. Blocking. The order is the names', and times and owners are
/// left out, so the same files give the same bytes.
pub fn pack(root: &Path, globs: &[String], out: impl Write) -> Result<Packed, ArchiveError> {
    let encoder = zstd::Encoder::new(out, 3).map_err(ArchiveError::io("compress"))?;
    let (packed, encoder) = pack_plain(root, globs, encoder)?;
    encoder.finish().and_then(|mut out| out.flush()).map_err(ArchiveError::io("write the archive"))?;
    Ok(packed)
}

/// As [`pack`], of the paths that are chosen one by one. Blocking.
pub fn pack_chosen(
    root: &Path,
    chosen: &dyn Fn(&str) -> bool,
    out: impl Write,
) -> Result<Packed, ArchiveError> {
    let encoder = zstd::Encoder::new(out, 3).map_err(ArchiveError::io("compress"))?;
    let (packed, encoder) = pack_each(root, chosen, encoder)?;
    encoder.finish().and_then(|mut out| out.flush()).map_err(ArchiveError::io("write the archive"))?;
    Ok(packed)
}

/// As [`pack`], without compression: what engines take as a build's context. Gives `out` back.
pub fn pack_plain<W: Write>(root: &Path, globs: &[String], out: W) -> Result<(Packed, W), ArchiveError> {
    let selection = Selection::new(globs)?;
    pack_each(root, &|path| selection.includes(path), out)
}

fn pack_each<W: Write>(
    root: &Path,
    chosen: &dyn Fn(&str) -> bool,
    out: W,
) -> Result<(Packed, W), ArchiveError> {
    let root = Root::open(root).map_err(ArchiveError::io(format!("open {}", root.display())))?;
    let mut packer = Packer { root, chosen, tar: tar::Builder::new(out), packed: Packed::default() };
    packer.folder(&PathBuf::new())?;
    let out = packer.tar.into_inner().map_err(ArchiveError::io("write the archive"))?;
    Ok((packer.packed, out))
}

struct Packer<'c, W: Write> {
    root: Root,
    chosen: &'c dyn Fn(&str) -> bool,
    tar: tar::Builder<W>,
    packed: Packed,
}

impl<W: Write> Packer<'_, W> {
    fn folder(&mut self, path: &Path) -> Result<(), ArchiveError> {
        let names = match self.root.names(path) {
            Ok(names) => names,
            // Swapped or removed since it was listed.
            Err(error) => return self.leave_out(path, &error.to_string()),
        };
        for name in names {
            self.entry(&path.join(name))?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path) -> Result<(), ArchiveError> {
        let Some(text) = path.to_str() else {
            return self.leave_out(path, "its name is not UTF-8");
        };
        match self.root.is_link(path) {
            Ok(true) if (self.chosen)(text) => return self.link(path),
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => return self.leave_out(path, &error.to_string()),
        }
        let file = match self.root.read(path) {
            Ok(file) => file,
            Err(_) if !(self.chosen)(text) => return Ok(()),
            Err(error) => return self.leave_out(path, &error.to_string()),
        };
        let meta = file.metadata().map_err(ArchiveError::io(format!("read {}", path.display())))?;
        if meta.is_dir() {
            return self.folder(path);
        }
        if !(self.chosen)(text) {
            return Ok(());
        }
        if !meta.is_file() {
            return self.leave_out(path, "it is neither a file nor a link");
        }
        let mut header = header(tar::EntryType::Regular, meta.mode() & 0o777, meta.len());
        // A file that is still being written may be longer or shorter by now; the header's size is kept either way.
        let content = file.take(meta.len()).chain(io::repeat(0)).take(meta.len());
        self.tar
            .append_data(&mut header, path, content)
            .map_err(ArchiveError::io(format!("pack {}", path.display())))?;
        self.packed.entries += 1;
        self.packed.bytes += meta.len();
        Ok(())
    }

    fn link(&mut self, path: &Path) -> Result<(), ArchiveError> {
        let target = match self.root.link(path) {
            Ok(target) => target,
            Err(error) => return self.leave_out(path, &error.to_string()),
        };
        if !stays_inside(path, &target) {
            return self.leave_out(path, &format!("it is a link to {}, outside", target.display()));
        }
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        self.tar
            .append_link(&mut header, path, &target)
            .map_err(ArchiveError::io(format!("pack {}", path.display())))?;
        self.packed.entries += 1;
        Ok(())
    }

    fn leave_out(&mut self, path: &Path, why: &str) -> Result<(), ArchiveError> {
        // A hostile workspace may hold millions of these.
        if self.packed.notes.len() < 50 {
            self.packed.notes.push(format!("{} is left out: {why}", path.display()));
        }
        Ok(())
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Whether a link at `path` with this target leads to a place below the root, by its text alone.
pub(super) fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count() as i64 - 1;
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth -= 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}
