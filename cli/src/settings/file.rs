//! `tidegate.toml`, as it stands. A key that is not listed here is refused, with its line.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tidegate_runner::actions::ActionSettings;
use url::Url;

use crate::failure::{Doing, Failure, Outcome};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// `[server]`
    pub server: Server,
    /// `[runner]`
    pub runner: Runner,
}

/// `[server]`: for `tidegate server` and `tidegate up`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: Option<SocketAddr>,
    /// How people, runners and the forge reach it.
    pub public_url: Option<Url>,
    /// Holds the master key, and the embedded database.
    pub data_dir: Option<PathBuf>,
    /// A file with the database's URL, which holds a password.
    pub database_url_file: Option<PathBuf>,
    /// Seconds a lease lasts unless renewed.
    pub lease_seconds: Option<u64>,
    /// Connections to the database.
    pub max_connections: Option<u32>,
    /// Whether `file://` clone URLs are allowed.
    pub allow_file_clone: Option<bool>,
    /// Days until logs are deleted.
    pub log_retention_days: Option<u32>,
    /// Days until artifacts are deleted.
    pub artifact_retention_days: Option<u32>,
    /// Days until unread caches are deleted.
    pub cache_retention_days: Option<u32>,
    /// `[server.github]`
    pub github: Option<Github>,
    /// `[server.machines]`: an image for each label that stages ask for with `runs-on`.
    pub machines: BTreeMap<String, Machine>,
    /// `[[server.sources]]`: other repositories that pipelines may take files from.
    pub sources: Vec<SourceRule>,
}

/// A machine: an image, or an image and labels of its runner.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Machine {
    /// `ubuntu-latest = "image"`
    Image(String),
    /// `gpu = { image = "image", labels = ["gpu"] }`
    Full(tidegate_pipelines::Machine),
}

/// `[[server.sources]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRule {
    /// A glob over `owner/name`.
    pub from: String,
    /// Their clone URL; `{repository}` in it stands for the name.
    pub to: String,
}

/// `[server.github]`: a token, or an App.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Github {
    /// The API of an Enterprise Server.
    pub api_url: Option<Url>,
    /// A file with a token.
    pub token_file: Option<PathBuf>,
    /// The App's id.
    pub app_id: Option<u64>,
    /// A file with the App's private key (PEM).
    pub app_key_file: Option<PathBuf>,
    /// A file with the secret of the App's webhook.
    pub webhook_secret_file: Option<PathBuf>,
}

/// `[runner]`: for `tidegate runner` and `tidegate up`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runner {
    /// The server to work for.
    pub server_url: Option<Url>,
    /// A name for people.
    pub name: Option<String>,
    /// Labels that stages may ask for.
    pub labels: Option<Vec<String>>,
    /// Key, journal, mirrors and workspaces.
    pub data_dir: Option<PathBuf>,
    /// Stages at once.
    pub slots: Option<usize>,
    /// A file with an enrolment token.
    pub enrolment_token_file: Option<PathBuf>,
    /// The engine's address.
    pub docker_host: Option<String>,
    /// Whether `file://` clone URLs are allowed.
    pub allow_file_clone: Option<bool>,
    /// Seconds a step may take to end after TERM.
    pub grace_seconds: Option<u64>,
    /// `[runner.actions]`: where actions come from, and what they are lent.
    pub actions: ActionSettings,
}

impl File {
    /// Reads the file that was named, or `./tidegate.toml`, or `/etc/tidegate/tidegate.toml`; all defaults where
    /// there is none.
    pub fn read(named: Option<&Path>) -> Outcome<Self> {
        let path = match named {
            Some(path) => path,
            None => match ["tidegate.toml", "/etc/tidegate/tidegate.toml"]
                .map(Path::new)
                .into_iter()
                .find(|path| path.is_file())
            {
                Some(path) => path,
                None => return Ok(Self::default()),
            },
        };
        let text = fs::read_to_string(path).doing(format!("cannot read {}", path.display())).map_err(
            |mut failure| {
                failure.code = 2;
                failure
            },
        )?;
        Self::parse(&text).map_err(|error| {
            Failure::usage(format!("{} has a mistake", path.display()))
                .because(error.to_string().trim_end().replace('\n', "\n       "))
        })
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        let error = File::parse("[server]\nlisten = \"127.0.0.1:1\"\nlissten = 3\n").unwrap_err().to_string();
        assert!(error.contains("lissten"), "{error}");
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn every_section_is_read() {
        let file = File::parse(
            "[server]\nlease_seconds = 20\n[server.github]\napp_id = 7\n[runner]\nlabels = [\"gpu\"]\nslots = 3\n",
        )
        .unwrap();
        assert_eq!(file.server.lease_seconds, Some(20));
        assert_eq!(file.server.github.and_then(|github| github.app_id), Some(7));
        assert_eq!((file.runner.slots, file.runner.labels), (Some(3), Some(vec!["gpu".to_owned()])));
    }
}
