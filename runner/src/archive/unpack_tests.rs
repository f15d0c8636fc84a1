//! Archives there and back, and a hostile corpus made here.

use std::{os::unix::fs::symlink, process::Command};

use super::*;
use crate::archive::pack;

fn all() -> Vec<String> {
    vec!["**".to_owned()]
}

/// An archive with entries as they come, however illegal.
fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let is_link = kind.is_symlink() || kind.is_hard_link();
        if is_link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_size(if is_link { 0 } else { content.len() as u64 });
        header.set_cksum();
        tar.append(&header, if is_link { &b""[..] } else { content.as_bytes() }).unwrap();
    }
    zstd::encode_all(tar.into_inner().unwrap().as_slice(), 1).unwrap()
}

#[test]
fn a_tree_goes_there_and_back() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(from.path().join("deep/er")).unwrap();
    std::fs::write(from.path().join("deep/er/file"), vec![7; 100_000]).unwrap();
    std::fs::write(from.path().join("ä ✓"), "name").unwrap();
    symlink("er/file", from.path().join("deep/link")).unwrap();
    symlink("/etc/passwd", from.path().join("out")).unwrap();
    let mut bytes = Vec::new();
    let packed = pack(from.path(), &all(), &mut bytes).unwrap();
    assert_eq!(packed.entries, 3);
    assert_eq!(packed.notes.len(), 1, "{:?}", packed.notes);
    assert!(unpack(bytes.as_slice(), to.path(), Limits::default()).unwrap() >= 3);
    assert_eq!(std::fs::read(to.path().join("deep/link")).unwrap(), vec![7; 100_000]);
    assert_eq!(std::fs::read_to_string(to.path().join("ä ✓")).unwrap(), "name");

    let mut again = Vec::new();
    pack(from.path(), &all(), &mut again).unwrap();
    assert_eq!(bytes, again, "the same files give the same bytes");
    let file = from.path().with_extension("tar.zst");
    std::fs::write(&file, &bytes).unwrap();
    let plain = Command::new("tar").args(["--zstd", "-tf"]).arg(&file).output();
    if let Ok(listed) = plain.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()) {
        assert!(listed.is_empty() || listed.contains("deep/er/file"), "{listed}");
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn what_leads_out_is_refused_and_touches_nothing() {
    use tar::EntryType as E;
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "safe").unwrap();
    let absolute = victim.to_str().unwrap().to_owned();
    let hostile: Vec<Vec<u8>> = vec![
        archive(&[("../victim", E::Regular, "x")]),
        archive(&[("a/../../victim", E::Regular, "x")]),
        archive(&[(&absolute, E::Regular, "x")]),
        archive(&[("l", E::Symlink, "/etc"), ("l/passwd", E::Regular, "x")]),
        archive(&[("l", E::Symlink, "..")]),
        archive(&[("d/l", E::Symlink, "../../x")]),
        archive(&[("a", E::Regular, "x"), ("l", E::Symlink, "a"), ("l/b", E::Regular, "x")]),
        archive(&[("h", E::Link, "/etc/passwd")]),
        archive(&[("c", E::Char, "")]),
        archive(&[("b", E::Block, "")]),
        archive(&[("f", E::Fifo, "")]),
        archive(&[("a", E::Regular, "x"), ("a", E::Regular, "y")]),
        archive(&[("a", E::Regular, "x"), ("./a", E::Regular, "y")]),
    ];
    for (number, bytes) in hostile.iter().enumerate() {
        let root = tempfile::tempdir_in(outside.path()).unwrap();
        let error = unpack(bytes.as_slice(), root.path(), Limits::default()).unwrap_err();
        assert!(matches!(error, ArchiveError::Refused(_)), "{number}: {error}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "safe", "{number}");
    }
}

#[test]
fn a_link_that_stands_in_the_way_is_replaced_not_followed() {
    let (outside, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "safe").unwrap();
    symlink(&victim, root.path().join("file")).unwrap();
    symlink(outside.path(), root.path().join("folder")).unwrap();
    let bytes = archive(&[("file", tar::EntryType::Regular, "new")]);
    unpack(bytes.as_slice(), root.path(), Limits::default()).unwrap();
    assert_eq!(std::fs::read_to_string(root.path().join("file")).unwrap(), "new");
    let bytes = archive(&[("folder/victim", tar::EntryType::Regular, "new")]);
    assert!(unpack(bytes.as_slice(), root.path(), Limits::default()).is_err());
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "safe");
}

#[test]
fn bombs_are_stopped() {
    let root = tempfile::tempdir().unwrap();
    let large = "0".repeat(1 << 20);
    let bytes = archive(&[("a", tar::EntryType::Regular, &large), ("b", tar::EntryType::Regular, &large)]);
    assert!(bytes.len() < 10_000);
    let error = unpack(bytes.as_slice(), root.path(), Limits { entries: 10, bytes: 1 << 20 }).unwrap_err();
    assert!(matches!(error, ArchiveError::Refused(_) | ArchiveError::Io { .. }), "{error}");
    let many: Vec<String> = (0..20).map(|number| format!("f{number}")).collect();
    let entries: Vec<_> = many.iter().map(|name| (name.as_str(), tar::EntryType::Regular, "x")).collect();
    let error = unpack(archive(&entries).as_slice(), root.path(), Limits { entries: 10, bytes: 1 << 20 })
        .unwrap_err();
    assert!(error.to_string().contains("10 entries"), "{error}");
}

#[test]
fn a_swap_race_reads_nothing_from_outside() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("file"), "SECRET").unwrap();
    let (folder, link) = (root.path().join("folder"), root.path().join("link"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), "public").unwrap();
    symlink(outside.path(), &link).unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let (stop, folder, link, spare) = (stop.clone(), folder.clone(), link, root.path().join("spare"));
        move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // folder -> spare, link -> folder, and back.
                let _ = std::fs::rename(&folder, &spare);
                let _ = std::fs::rename(&link, &folder);
                let _ = std::fs::rename(&folder, &link);
                let _ = std::fs::rename(&spare, &folder);
            }
        }
    });
    let mut whole = 0;
    for _ in 0..2_000 {
        let mut bytes = Vec::new();
        whole += pack(root.path(), &["folder/**".to_owned()], &mut bytes).map_or(0, |packed| packed.entries);
        let plain = zstd::decode_all(bytes.as_slice()).unwrap_or_default();
        assert!(!plain.windows(6).any(|window| window == b"SECRET"));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.join().unwrap();
    assert!(whole > 0, "the race let the file through at times, so the loop did race");
}
