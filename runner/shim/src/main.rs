//! Process 1 of a sandbox: runs a stage's steps one after the other and frames what they print.
//!
//! It needs nothing of the image: no libc, no shell, no `/tmp`. It follows `commands` and appends to `spool`
//! (see [`wire`]), so the runner may come and go. Outside a sandbox, in tests, it does the same as a plain process.

#![allow(missing_docs)]

mod files;
mod forward;
mod own;
mod probe;
mod serve;
mod step;
#[cfg_attr(not(test), expect(dead_code, reason = "the reading half is the runner's"))]
mod wire;

use std::path::PathBuf;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next();
    let folder = arguments.next().map(PathBuf::from);
    let rest: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let path = rest.first();
    let done = match (command.as_deref().and_then(|word| word.to_str()), folder) {
        (Some("serve"), Some(folder)) => serve::serve(&folder, &rest),
        (Some("own"), Some(folder)) => own::own(path.map_or("", String::as_str), &folder),
        (Some("empty"), Some(folder)) => empty(&folder),
        (Some("probe-tcp"), Some(address)) => probe::tcp(&address.to_string_lossy()).map(|_| ()),
        (Some("probe-http"), Some(address)) => {
            probe::http(&address.to_string_lossy(), path.map_or("", String::as_str))
        }
        _ => Err("usage: shim serve FOLDER [PORT=ADDRESS ...] | shim empty FOLDER | shim own FOLDER USER | \
                  shim probe-tcp ADDRESS | shim probe-http ADDRESS PATH"
            .to_owned()),
    };
    if let Err(message) = done {
        eprintln!("tidegate-shim: {message}");
        std::process::exit(71);
    }
}

/// Removes all that is in a folder, whoever owns it, and leaves the folder. Links are removed, not followed.
fn empty(folder: &std::path::Path) -> Result<(), String> {
    let says = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(says)? {
        let entry = entry.map_err(says)?;
        let path = entry.path();
        let removed = if entry.file_type().map_err(says)?.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
