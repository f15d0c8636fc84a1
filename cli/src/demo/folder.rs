//! What the demo keeps, and where: one folder with a settings file of ports and passwords that are made once.

use std::{
    env, fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::Uid;
use rand::{RngExt, distr::Alphanumeric};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::failure::{Doing, Failure, Outcome};

/// The demo's repository on the server.
pub const REPOSITORY: &str = "demo/tides";
/// The repository of its images in the registry.
pub const IMAGE_NAME: &str = "demo/tides";
/// The compose project of the demo in its usual place.
pub const USUAL_PROJECT: &str = "tidegate-demo";
/// The image that the sample service is tested in and built on.
pub const BASE_IMAGE: &str = "tidegate-demo/python:1";

/// What is made once, and then stays.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Compose projects are named after it.
    pub project: String,
    /// The server's port.
    pub server_port: u16,
    /// The registry's port.
    pub registry_port: u16,
    /// Staging's port.
    pub staging_port: u16,
    /// Production's port.
    pub production_port: u16,
    admin_password: String,
    dev_password: String,
    release_password: String,
}

/// A person of the demo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// Sets things up.
    Admin,
    /// Pushes.
    Dev,
    /// Decides at the gate.
    Release,
}

impl Person {
    /// The name to log in with.
    pub fn username(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }
}

impl Settings {
    /// A person's password.
    pub fn password(&self, person: Person) -> SecretString {
        match person {
            Person::Admin => &self.admin_password,
            Person::Dev => &self.dev_password,
            Person::Release => &self.release_password,
        }
        .clone()
        .into()
    }

    /// The server's base URL.
    pub fn server_url(&self) -> Outcome<Url> {
        local_url(self.server_port)
    }

    /// The registry's base URL.
    pub fn registry_url(&self) -> Outcome<Url> {
        local_url(self.registry_port)
    }

    /// Name, port and base URL of both environments.
    pub fn environments(&self) -> Outcome<[(&'static str, Url); 2]> {
        Ok([("staging", local_url(self.staging_port)?), ("production", local_url(self.production_port)?)])
    }

    fn new(project: &str) -> Outcome<Self> {
        // A demo beside the usual one keeps away from its ports, so that two that start at once do not meet.
        let usual = project == USUAL_PROJECT;
        Ok(Self {
            project: project.to_owned(),
            server_port: port(usual.then_some(7300))?,
            registry_port: port(usual.then_some(7305))?,
            staging_port: port(usual.then_some(7301))?,
            production_port: port(usual.then_some(7302))?,
            admin_password: password(),
            dev_password: password(),
            release_password: password(),
        })
    }
}

/// The demo's folder.
#[derive(Clone)]
pub struct Folder {
    root: PathBuf,
    /// What was made once.
    pub settings: Settings,
}

impl Folder {
    /// Where the demo is unless told: reachable by the database's unprivileged user for root, the user's own
    /// otherwise.
    pub fn default_root(name: &str) -> Outcome<PathBuf> {
        if Uid::effective().is_root() {
            return Ok(Path::new("/var/lib/tidegate").join(name));
        }
        env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))
            .map(|folder| folder.join("tidegate").join(name))
            .ok_or_else(|| {
                Failure::usage("there is no place for the demo: HOME is not set")
                    .mend("name a folder with --data-dir")
            })
    }

    /// Opens the folder, and makes it the first time.
    pub fn open(root: &Path, project: &str) -> Outcome<Self> {
        let root = std::path::absolute(root).doing(format!("cannot tell where {} is", root.display()))?;
        if let Some(folder) = Self::existing(&root)? {
            return Ok(folder);
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&root)
            .doing(format!("cannot make the demo's folder {}", root.display()))?;
        let settings = Settings::new(project)?;
        let text = serde_json::to_vec_pretty(&settings).doing("cannot write the demo's settings")?;
        let path = root.join("demo.json");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .doing(format!("cannot write {}", path.display()))?;
        file.write_all(&text).doing(format!("cannot write {}", path.display()))?;
        Ok(Self { root, settings })
    }

    /// Opens the folder if it was made.
    pub fn existing(root: &Path) -> Outcome<Option<Self>> {
        let root = std::path::absolute(root).doing(format!("cannot tell where {} is", root.display()))?;
        let path = root.join("demo.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).doing(format!("cannot read {}", path.display())),
        };
        let settings = serde_json::from_str(&text).map_err(|error| {
            Failure::new(format!("{} cannot be understood", path.display()))
                .because(error)
                .mend("start afresh with `tidegate demo --reset`")
        })?;
        Ok(Some(Self { root, settings }))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The data folder of server, database and runner.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The bare repository.
    pub fn bare(&self) -> PathBuf {
        self.root.join("tides.git")
    }

    /// The developer's clone.
    pub fn clone(&self) -> PathBuf {
        self.root.join("tides")
    }

    /// The registry's configuration and storage.
    pub fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }

    /// The secret that the bare repository's hook signs with.
    pub fn webhook_secret(&self) -> PathBuf {
        self.root.join("webhook.secret")
    }

    /// What the stand says.
    pub fn log(&self) -> PathBuf {
        self.root.join("stand.log")
    }

    /// Which process is ready: another server may answer at the same port.
    pub fn ready(&self) -> PathBuf {
        self.root.join("stand.ready")
    }

    /// Which program the stand was started from.
    pub fn program(&self) -> PathBuf {
        self.root.join("stand.program")
    }
}

fn local_url(port: u16) -> Outcome<Url> {
    Url::parse(&format!("http://127.0.0.1:{port}")).doing("cannot build a local URL")
}

/// The favourite port when it is free, else any.
fn port(favourite: Option<u16>) -> Outcome<u16> {
    let mut random = rand::rng();
    // Below those that the system gives to outgoing connections, which could take one before the stand does.
    let others = std::iter::repeat_with(|| random.random_range(20_000..32_000)).take(200);
    favourite
        .into_iter()
        .chain(others)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| Failure::new("there is no free TCP port"))
}

fn password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(20).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_made_once_and_kept_private() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("demo");
        assert!(Folder::existing(&root).unwrap().is_none());
        let first = Folder::open(&root, "x").unwrap();
        let second = Folder::open(&root, "y").unwrap();
        assert_eq!(first.settings.project, second.settings.project);
        assert_eq!(first.settings.admin_password, second.settings.admin_password);
        let ports = [first.settings.server_port, first.settings.registry_port, first.settings.staging_port];
        assert!(ports[0] != ports[1] && ports[1] != ports[2], "{ports:?}");
        assert_eq!(fs::metadata(root.join("demo.json")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
