//! The command as people, scripts and editors call it. Nothing here needs a server, a database or an engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod import;
mod lock;
mod lsp;
mod plan;
mod validate;

use std::{
    path::Path,
    process::{Command, Output},
};

pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(folder).env("NO_COLOR", "1").env_remove("TIDEGATE_CONFIG");
    command
}

/// What a call printed, and its exit code.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn tidegate(folder: &Path, arguments: &[&str]) -> Said {
    let Output { status, stdout, stderr } = command(folder).args(arguments).output().unwrap();
    Said {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

pub fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub const GOOD: &str = "on: push\nstages:\n  lint: {image: \"debian:12\", run: make lint}\n  test: {needs: [lint], image: \"debian:12\", run: make test}\n";
