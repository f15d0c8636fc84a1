//! Archives as these libraries have them: ZIP on their side, `tar.zst` on ours. Blocking.
//!
//! What comes out of either is hostile: an entry's path is taken only where it stays inside, only plain files are
//! carried over, into a folder that is made for it and that nobody else sees, and entries and bytes are bounded. As on
//! GitHub, modes do not survive.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read as _},
    path::{Path, PathBuf},
};

use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::archive::{self, Limits};

/// Makes our archive at `to` of what was sent: a ZIP archive, or (with its name) a file. `scratch` is a folder that is
/// not there yet.
pub(super) fn to_archive(
    sent: &Path,
    what: Result<(), &str>,
    scratch: &Path,
    to: &Path,
) -> Result<(), String> {
    let says = |error: io::Error| error.to_string();
    fs::create_dir_all(scratch).map_err(says)?;
    match what {
        Ok(()) => unzip(sent, scratch, Limits::default())?,
        Err(name) => {
            let Some(name) = Path::new(name).file_name() else { return Err("it has no name".to_owned()) };
            fs::rename(sent, scratch.join(name)).map_err(says)?;
        }
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(says)?;
    }
    let file = File::create(to).map_err(says)?;
    archive::pack(scratch, &["**".to_owned()], file).map(|_| ()).map_err(|error| error.to_string())
}

fn unzip(sent: &Path, to: &Path, limits: Limits) -> Result<(), String> {
    let file = File::open(sent).map_err(|error| error.to_string())?;
    let wrong =
        |error: zip::result::ZipError| format!("what was sent is no ZIP archive that can be read: {error}");
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(wrong)?;
    if archive.len() as u64 > limits.entries {
        return Err(format!("it has more than {} entries", limits.entries));
    }
    let mut left = limits.bytes;
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(wrong)?;
        if entry.is_dir() {
            continue;
        }
        let says = |error: io::Error| error.to_string();
        let path = entry.enclosed_name().filter(|_| !entry.is_symlink());
        let path = path.ok_or_else(|| {
            format!("its entry `{}` is no plain file inside of it", entry.name().unwrap_or_default())
        })?;
        let path = to.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(says)?;
        }
        let mut file = File::create(&path).map_err(says)?;
        // What an archive says of its sizes may be a lie.
        let count = io::copy(&mut entry.take(left.saturating_add(1)), &mut file).map_err(says)?;
        left = left
            .checked_sub(count)
            .ok_or_else(|| format!("it holds more than {} GiB", limits.bytes >> 30))?;
    }
    Ok(())
}

/// Makes a ZIP archive at `to` of one of ours. It is not compressed: it only crosses this machine. `scratch` is a folder
/// that is not there yet.
pub(super) fn from_archive(archive: &Path, scratch: &Path, to: &Path) -> Result<(), String> {
    let says = |error: io::Error| error.to_string();
    fs::create_dir_all(scratch).map_err(says)?;
    let file = File::open(archive).map_err(says)?;
    archive::unpack(file, scratch, Limits::default()).map_err(|error| error.to_string())?;
    let mut zip = ZipWriter::new(BufWriter::new(File::create(to).map_err(says)?));
    let inside = fs::canonicalize(scratch).map_err(says)?;
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let mut names: Vec<_> = Vec::new();
        for entry in fs::read_dir(scratch.join(&below)).map_err(says)? {
            names.push(entry.map_err(says)?.file_name());
        }
        names.sort();
        for name in names {
            let below = below.join(name);
            let path = scratch.join(&below);
            let kind = fs::symlink_metadata(&path).map_err(says)?;
            if kind.is_dir() {
                open.push(below);
                continue;
            }
            // A link is what it leads to, as long as that is a file inside.
            let real =
                fs::canonicalize(&path).ok().filter(|real| real.starts_with(&inside) && real.is_file());
            let (Some(real), Some(name)) = (real, below.to_str()) else { continue };
            let data = fs::metadata(&real).map_err(says)?;
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .large_file(data.len() >= u64::from(u32::MAX));
            zip.start_file(name, options).map_err(|error| error.to_string())?;
            io::copy(&mut File::open(real).map_err(says)?, &mut zip).map_err(says)?;
        }
    }
    let written = zip.finish().map_err(|error| error.to_string())?;
    written.into_inner().map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn zipped(folder: &Path, entries: &[(&str, &str)]) -> PathBuf {
        let path = folder.join("sent.zip");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, text) in entries {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    #[test]
    fn files_go_there_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let sent = zipped(folder.path(), &[("a/b.txt", "one"), ("c", "two")]);
        to_archive(&sent, Ok(()), &at("in"), &at("kept.tar.zst")).unwrap();
        from_archive(&at("kept.tar.zst"), &at("out"), &at("back.zip")).unwrap();
        let mut back = ZipArchive::new(File::open(at("back.zip")).unwrap()).unwrap();
        let mut text = String::new();
        back.by_name("a/b.txt").unwrap().read_to_string(&mut text).unwrap();
        back.by_name("c").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), back.len()), ("onetwo", 2));
    }

    #[test]
    fn a_file_that_is_no_archive_is_kept_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("sent"), "text").unwrap();
        assert!(to_archive(&at("sent"), Ok(()), &at("x"), &at("x.tar.zst")).unwrap_err().contains("no ZIP"));
        to_archive(&at("sent"), Err("notes.txt"), &at("in"), &at("kept.tar.zst")).unwrap();
        fs::create_dir(at("out")).unwrap();
        archive::unpack(File::open(at("kept.tar.zst")).unwrap(), &at("out"), Limits::default()).unwrap();
        assert_eq!(fs::read_to_string(at("out/notes.txt")).unwrap(), "text");
    }

    #[test]
    fn entries_stay_inside_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("to");
        fs::create_dir(&to).unwrap();
        let of = |entries: &[(&str, &str)], limits| unzip(&zipped(folder.path(), entries), &to, limits);
        let refused = of(&[("../outside", "x")], Limits::default()).unwrap_err();
        assert!(refused.contains("`../outside`"), "{refused}");
        assert!(!folder.path().join("outside").exists());
        let small = || Limits { entries: 2, bytes: 4 };
        assert!(of(&[("a", "1"), ("b", "2")], small()).is_ok());
        assert!(of(&[("a", "1"), ("b", "2"), ("c", "3")], small()).unwrap_err().contains("2 entries"));
        assert!(of(&[("a", "12345")], small()).is_err());
    }
}
