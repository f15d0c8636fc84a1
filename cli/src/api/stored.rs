//! The log-in that `tidegate login` keeps: a file of the user's alone, below the XDG configuration folder.

use std::{
    env, fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::failure::{Doing, Failure, Outcome};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    url: Url,
    token: String,
}

/// Which server, and with which token: the environment first, then the stored log-in.
pub fn find() -> Outcome<(Url, SecretString)> {
    let stored = read()?;
    let url = match (env::var("TIDEGATE_URL"), &stored) {
        (Ok(text), _) => Url::parse(&text).map_err(|error| {
            Failure::usage(format!("TIDEGATE_URL is {text:?}, which is no URL")).because(error)
        })?,
        (Err(_), Some(stored)) => stored.url.clone(),
        (Err(_), None) => {
            return Err(Failure::usage("which server?")
                .because("TIDEGATE_URL is not set, and `tidegate login` has stored none")
                .mend("run `tidegate login URL`, or set TIDEGATE_URL and TIDEGATE_TOKEN"));
        }
    };
    match (env::var("TIDEGATE_TOKEN"), stored) {
        (Ok(token), _) => Ok((url, token.into())),
        // A token is for the server it was made by, and is shown to no other.
        (Err(_), Some(stored)) if stored.url == url => Ok((url, stored.token.into())),
        _ => Err(Failure::usage(format!("there is no token for {url}"))
            .mend("run `tidegate login URL`, or set TIDEGATE_TOKEN")),
    }
}

/// Keeps a log-in; gives the path of its file.
pub fn write(url: &Url, token: &SecretString) -> Outcome<PathBuf> {
    let path = path()?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).doing(format!("cannot make {}", folder.display()))?;
    }
    let text = toml::to_string(&LogIn { url: url.clone(), token: token.expose_secret().to_owned() })
        .doing("cannot write the log-in down")?;
    let mut file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .doing(format!("cannot write {}", path.display()))?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
        .doing(format!("cannot close {} to others", path.display()))?;
    file.write_all(text.as_bytes()).doing(format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Forgets the log-in; false when there was none.
pub fn forget() -> Outcome<bool> {
    let path = path()?;
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).doing(format!("cannot remove {}", path.display())),
    }
}

fn read() -> Outcome<Option<LogIn>> {
    let path = path()?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(format!("cannot read {}", path.display())),
    };
    toml::from_str(&text).map(Some).map_err(|error| {
        Failure::usage(format!("{} is damaged", path.display()))
            .because(error.message())
            .mend("run `tidegate login URL` again")
    })
}

fn path() -> Outcome<PathBuf> {
    let folder = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".config")));
    match folder {
        Some(folder) => Ok(folder.join("tidegate/login.toml")),
        None => Err(Failure::usage("there is no place for a log-in: HOME is not set")
            .mend("set HOME or XDG_CONFIG_HOME, or use TIDEGATE_URL and TIDEGATE_TOKEN")),
    }
}
