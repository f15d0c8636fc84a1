//! What the server is told at its start. The command line builds this from flags, environment and file.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use tidegate_pipelines::Machine;
use url::Url;

/// The server's configuration.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `postgres://…`.
    pub database_url: SecretString,
    /// Where HTTP listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// How people, runners and the forge reach the server.
    pub public_url: Url,
    /// Holds `master.key`.
    pub data_dir: PathBuf,
    /// How long a lease lasts unless renewed.
    pub lease: Duration,
    /// Connections to the database at most.
    pub max_connections: u32,
    /// GitHub, when it is to be told of results or its App is used.
    pub github: Option<GithubConfig>,
    /// Allow `file://` clone URLs (the demo and tests).
    pub allow_file_clone: bool,
    /// Days until the log of a finished run is deleted.
    pub log_retention_days: u32,
    /// Days until an artifact without a retention of its own is deleted.
    pub artifact_retention_days: u32,
    /// Days until a cache entry that nobody read is deleted.
    pub cache_retention_days: u32,
    /// Bytes of one artifact or cache entry at most.
    pub largest_blob: u64,
    /// Where stages run that ask for a machine of a kind (`runs-on: ubuntu-latest`), by its label.
    pub machines: BTreeMap<String, Machine>,
    /// Other repositories that pipelines may take files from, beside those that are built here.
    pub sources: Vec<SourceRule>,
}

/// Which repositories pipelines may take files from, and where those are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRule {
    /// A glob over `owner/name`.
    pub from: String,
    /// Their clone URL; `{repository}` in it stands for the name.
    pub to: String,
}

impl ServerConfig {
    /// A configuration with every default, for this database and folder.
    pub fn new(database_url: SecretString, listen: SocketAddr, public_url: Url, data_dir: PathBuf) -> Self {
        Self {
            database_url,
            listen,
            public_url,
            data_dir,
            lease: Duration::from_secs(30),
            max_connections: 20,
            github: None,
            allow_file_clone: false,
            log_retention_days: 90,
            artifact_retention_days: 30,
            cache_retention_days: 7,
            largest_blob: 2 << 30,
            machines: BTreeMap::new(),
            sources: Vec::new(),
        }
    }
}

/// How GitHub is reached.
#[derive(Debug, Clone)]
pub struct GithubConfig {
    /// `https://api.github.com`, or an Enterprise Server's API.
    pub api_url: Url,
    /// Who the server is there.
    pub auth: GithubAuth,
    /// Secret of the App's own webhook; repositories have their own.
    pub webhook_secret: Option<SecretString>,
}

/// Who the server is at GitHub.
#[derive(Debug, Clone)]
pub enum GithubAuth {
    /// A personal or fine-grained token.
    Token(SecretString),
    /// A GitHub App.
    App {
        /// The App's id.
        id: u64,
        /// Its private key.
        private_key_pem: SecretString,
    },
}
