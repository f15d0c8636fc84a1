//! Configuration: flags before environment before `tidegate.toml` before defaults, checked before anything starts.
//!
//! `file` is the raw file, `server` and `runner` turn flags, environment and file into what the libraries take.

pub mod file;
pub mod runner;
pub mod server;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use nix::unistd::Uid;
use secrecy::SecretString;

use crate::failure::{Doing, Failure, Outcome};

/// Where `up` and `server` keep their data unless told: a system folder for root (an embedded database must be
/// reachable by an unprivileged user), the user's own otherwise.
pub fn default_data_dir() -> Outcome<PathBuf> {
    if Uid::effective().is_root() {
        return Ok(PathBuf::from("/var/lib/tidegate"));
    }
    env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/share")))
        .map(|folder| folder.join("tidegate"))
        .ok_or_else(|| {
            Failure::usage("there is no data folder: HOME is not set").mend("name one with --data-dir")
        })
}

/// A secret from a variable, or from the file that `<variable>_FILE` or the configuration names.
fn secret(variable: &str, file: Option<&Path>) -> Outcome<Option<SecretString>> {
    if let Some(value) = env::var(variable).ok().filter(|value| !value.is_empty()) {
        return Ok(Some(value.into()));
    }
    let named = env::var_os(format!("{variable}_FILE")).map(PathBuf::from);
    let Some(path) = named.as_deref().or(file) else { return Ok(None) };
    let text = fs::read_to_string(path).doing(format!("cannot read {} for {variable}", path.display()))?;
    let value = text.trim();
    if value.is_empty() {
        return Err(Failure::usage(format!("{} is empty", path.display()))
            .because(format!("it should hold {variable}")));
    }
    Ok(Some(value.into()))
}

/// A variable's value, parsed; a bad one is named.
pub fn variable<T: std::str::FromStr>(name: &str) -> Outcome<Option<T>>
where
    T::Err: std::fmt::Display,
{
    match env::var(name) {
        Ok(text) if !text.is_empty() => text
            .parse()
            .map(Some)
            .map_err(|error: T::Err| Failure::usage(format!("{name} is {text:?}")).because(error)),
        _ => Ok(None),
    }
}

/// This machine's name, for a runner that was given none.
fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|text| text.trim().to_owned())
        .unwrap_or_else(|_| "runner".to_owned())
}
