//! The server's settings: flags, environment and file become a [`ServerConfig`].

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use secrecy::SecretString;
use tidegate_pipelines::Machine;
use tidegate_server::config::{GithubAuth, GithubConfig, ServerConfig, SourceRule};
use url::Url;

use super::{file, secret, variable};
use crate::failure::{Doing, Failure, Outcome};

/// Where the server listens unless told.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7300";

/// Flags of `tidegate server` and `tidegate up`.
#[derive(Debug, Default, Args)]
pub struct ServerArgs {
    /// Address and port to listen on [default: 127.0.0.1:7300]
    #[arg(long, env = "TIDEGATE_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// How people, runners and the forge reach the server [default: http:// and the address it listens on]
    #[arg(long, env = "TIDEGATE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<Url>,
    /// Folder for the master key and the embedded database [default: /var/lib/tidegate for root, else
    /// ~/.local/share/tidegate]
    #[arg(long, env = "TIDEGATE_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Seconds a runner's lease lasts unless renewed [default: 30]
    #[arg(long, env = "TIDEGATE_LEASE_SECONDS", value_name = "SECONDS")]
    pub lease_seconds: Option<u64>,
    /// Connections to the database at most [default: 20]
    #[arg(long, env = "TIDEGATE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<u32>,
    /// Allow repositories on this machine's disk (file:// clone URLs)
    #[arg(long, env = "TIDEGATE_ALLOW_FILE_CLONE", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "true|false")]
    pub allow_file_clone: Option<bool>,
    /// Days until the log of a finished run is deleted [default: 90]
    #[arg(long, env = "TIDEGATE_LOG_RETENTION_DAYS", value_name = "DAYS")]
    pub log_retention_days: Option<u32>,
}

impl ServerArgs {
    /// The folder for data.
    pub fn data_dir(&self, file: &file::Server) -> Outcome<PathBuf> {
        let chosen = self
            .data_dir
            .clone()
            .or_else(|| file.data_dir.clone())
            .map_or_else(super::default_data_dir, Ok)?;
        std::path::absolute(&chosen).doing(format!("cannot tell where {} is", chosen.display()))
    }

    /// The whole configuration, on this database.
    pub fn resolve(&self, file: &file::Server, database_url: SecretString) -> Outcome<ServerConfig> {
        let listen = match self.listen.or(file.listen) {
            Some(listen) => listen,
            None => DEFAULT_LISTEN.parse().doing("cannot read the default address")?,
        };
        let public_url = match self.public_url.clone().or_else(|| file.public_url.clone()) {
            Some(url) => check_public_url(url)?,
            None => own_url(listen)?,
        };
        let mut config = ServerConfig::new(database_url, listen, public_url, self.data_dir(file)?);
        if let Some(seconds) = self.lease_seconds.or(file.lease_seconds) {
            if !(3..=3600).contains(&seconds) {
                return Err(Failure::usage(format!("a lease of {seconds} seconds cannot work"))
                    .because("runners renew at a third of it, and a lost runner is noticed when it ends")
                    .mend("choose between 3 and 3600 seconds"));
            }
            config.lease = Duration::from_secs(seconds);
        }
        config.max_connections =
            self.max_connections.or(file.max_connections).unwrap_or(config.max_connections);
        if config.max_connections < 4 {
            return Err(Failure::usage("the server needs at least 4 connections to its database")
                .because(format!("max_connections is {}", config.max_connections)));
        }
        config.allow_file_clone = self.allow_file_clone.or(file.allow_file_clone).unwrap_or(false);
        config.log_retention_days =
            self.log_retention_days.or(file.log_retention_days).unwrap_or(config.log_retention_days);
        config.artifact_retention_days =
            file.artifact_retention_days.unwrap_or(config.artifact_retention_days);
        config.cache_retention_days = file.cache_retention_days.unwrap_or(config.cache_retention_days);
        config.github = github(file.github.as_ref())?;
        config.machines = machines_of(file)?;
        config.sources = sources(file, variable("TIDEGATE_SOURCES")?)?;
        Ok(config)
    }
}

/// The database that the surroundings name, if any: `DATABASE_URL`, or a file with it.
pub fn database_url(file: &file::Server) -> Outcome<Option<SecretString>> {
    secret("DATABASE_URL", file.database_url_file.as_deref())
}

/// The password for the first administrator, if one was chosen.
pub fn admin_password() -> Outcome<Option<SecretString>> {
    secret("TIDEGATE_ADMIN_PASSWORD", None)
}

fn check_public_url(url: Url) -> Outcome<Url> {
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        return Ok(url);
    }
    Err(Failure::usage(format!("{url} is no public URL")).mend("give an http:// or https:// URL with a host"))
}

/// The URL by which a server that listens there is reached from this machine.
pub fn own_url(listen: SocketAddr) -> Outcome<Url> {
    let host = if listen.ip().is_unspecified() { "127.0.0.1".to_owned() } else { listen.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Url::parse(&format!("http://{host}:{}", listen.port())).doing("cannot build the server's own URL")
}

/// GitHub from the environment and the file. A token wins over nothing, an App over a token is a contradiction.
fn github(file: Option<&file::Github>) -> Outcome<Option<GithubConfig>> {
    let path = |pick: fn(&file::Github) -> Option<&PathBuf>| file.and_then(pick).map(PathBuf::as_path);
    let token = secret("TIDEGATE_GITHUB_TOKEN", path(|github| github.token_file.as_ref()))?;
    let key = secret("TIDEGATE_GITHUB_APP_KEY", path(|github| github.app_key_file.as_ref()))?;
    let id = variable::<u64>("TIDEGATE_GITHUB_APP_ID")?.or(file.and_then(|github| github.app_id));
    let auth = match (token, id, key) {
        (None, None, None) => return Ok(None),
        (Some(token), None, None) => GithubAuth::Token(token),
        (None, Some(id), Some(private_key_pem)) => GithubAuth::App { id, private_key_pem },
        (Some(_), _, _) => {
            return Err(Failure::usage("GitHub is given a token and an App at once").mend(
                "keep one: TIDEGATE_GITHUB_TOKEN, or TIDEGATE_GITHUB_APP_ID and TIDEGATE_GITHUB_APP_KEY",
            ));
        }
        (None, _, _) => {
            return Err(Failure::usage("a GitHub App needs both its id and its private key")
                .mend("set TIDEGATE_GITHUB_APP_ID and TIDEGATE_GITHUB_APP_KEY_FILE"));
        }
    };
    let api_url = match variable::<Url>("TIDEGATE_GITHUB_API_URL")?
        .or_else(|| file.and_then(|github| github.api_url.clone()))
    {
        Some(url) => url,
        None => Url::parse("https://api.github.com").doing("cannot read GitHub's own URL")?,
    };
    let webhook_secret =
        secret("TIDEGATE_GITHUB_WEBHOOK_SECRET", path(|github| github.webhook_secret_file.as_ref()))?;
    Ok(Some(GithubConfig { api_url, auth, webhook_secret }))
}

/// What stages run in that ask for a machine by its label, as the server of this configuration would have it.
pub fn machines_of(file: &file::Server) -> Outcome<BTreeMap<String, Machine>> {
    machines(file, variable("TIDEGATE_MACHINES")?)
}

/// What stages run in that ask for a machine by its label: the file's, and over it `LABEL=IMAGE,…` of the environment.
/// The machines of `[server.machines]` and of a list like that of `TIDEGATE_MACHINES`, which goes before.
pub fn machines(file: &file::Server, listed: Option<String>) -> Outcome<BTreeMap<String, Machine>> {
    let mut machines: BTreeMap<String, Machine> = file
        .machines
        .iter()
        .map(|(label, machine)| {
            let machine = match machine.clone() {
                file::Machine::Image(image) => Machine { image, labels: Vec::new() },
                file::Machine::Full(machine) => machine,
            };
            (label.clone(), machine)
        })
        .collect();
    for (label, image) in pairs("TIDEGATE_MACHINES", "LABEL=IMAGE", listed.as_deref())? {
        machines.insert(label, Machine { image, labels: Vec::new() });
    }
    if let Some((label, _)) =
        machines.iter().find(|(label, one)| label.is_empty() || one.image.trim().is_empty())
    {
        return Err(Failure::usage(format!("the machine `{label}` has no image"))
            .mend("name one under [server.machines], for example `ubuntu-latest = \"ubuntu:24.04\"`"));
    }
    Ok(machines)
}

/// Other repositories that pipelines may take files from: those of the environment (`GLOB=URL,…`) before the file's.
fn sources(file: &file::Server, listed: Option<String>) -> Outcome<Vec<SourceRule>> {
    let listed = pairs("TIDEGATE_SOURCES", "GLOB=URL", listed.as_deref())?;
    let of_file = file.sources.iter().map(|rule| (rule.from.clone(), rule.to.clone()));
    let rules: Vec<SourceRule> =
        listed.into_iter().chain(of_file).map(|(from, to)| SourceRule { from, to }).collect();
    for rule in &rules {
        if let Err(reason) = tidegate_pipelines::check_pattern(&rule.from) {
            return Err(
                Failure::usage(format!("`{}` is no pattern of repositories", rule.from)).because(reason)
            );
        }
        if let Err(error) = Url::parse(&rule.to.replace("{repository}", "owner/name")) {
            return Err(Failure::usage(format!("`{}` is no clone URL", rule.to))
                .because(error)
                .mend("write for example `https://github.com/{repository}.git`"));
        }
    }
    Ok(rules)
}

/// `a=b,c=d`.
fn pairs(variable: &str, form: &str, text: Option<&str>) -> Outcome<Vec<(String, String)>> {
    let parts = text.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.split_once('=') {
            Some((left, right)) if !left.trim().is_empty() && !right.trim().is_empty() => {
                Ok((left.trim().to_owned(), right.trim().to_owned()))
            }
            _ => Err(Failure::usage(format!("{variable} holds {part:?}")).mend(format!("write {form},…"))),
        })
        .collect()
}

/// Makes the data folder, readable by its owner alone but for the way through to an embedded database.
pub fn make_data_dir(path: &Path) -> Outcome {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(path).map_err(|error| {
        Failure::new(format!("cannot make the data folder {}", path.display()))
            .because(error)
            .mend("choose another with --data-dir")
    })
}

/// A database is needed, and none was named.
pub fn no_database() -> Failure {
    Failure::usage("which database?")
        .because(if env::var_os("DATABASE_URL").is_some() { "DATABASE_URL is empty" } else { "DATABASE_URL is not set" })
        .mend("set DATABASE_URL=postgres://user:password@host/database; or use `tidegate up`, which brings its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let args =
            ServerArgs { lease_seconds: Some(10), data_dir: Some("/srv/t".into()), ..ServerArgs::default() };
        let file =
            file::Server { lease_seconds: Some(40), max_connections: Some(9), ..file::Server::default() };
        let config = args.resolve(&file, "postgres://localhost/x".into()).unwrap();
        assert_eq!((config.lease.as_secs(), config.max_connections), (10, 9));
        assert_eq!(config.public_url.as_str(), "http://127.0.0.1:7300/");
    }

    #[test]
    fn impossible_values_are_refused_before_anything_starts() {
        let args =
            ServerArgs { lease_seconds: Some(1), data_dir: Some("/srv/t".into()), ..ServerArgs::default() };
        let failure = args.resolve(&file::Server::default(), "postgres://localhost/x".into()).unwrap_err();
        assert_eq!(failure.code, 2);
        let args = ServerArgs {
            public_url: Some(Url::parse("mailto:a@b.example").unwrap()),
            data_dir: Some("/srv/t".into()),
            ..ServerArgs::default()
        };
        assert!(args.resolve(&file::Server::default(), "postgres://localhost/x".into()).is_err());
    }

    #[test]
    fn machines_and_sources_come_from_file_and_environment() {
        let file: file::Server = toml::from_str(
            "[machines]\nubuntu-latest = \"ubuntu:24.04\"\ngpu = { image = \"cuda:12\", labels = [\"gpu\"] }\n\
             [[sources]]\nfrom = \"acme/*\"\nto = \"https://git.example/{repository}.git\"\n",
        )
        .unwrap();
        let found = machines(&file, Some("ubuntu-latest=debian:13, mac=darwin:1".to_owned())).unwrap();
        let images: Vec<_> = found.iter().map(|(label, one)| (label.as_str(), one.image.as_str())).collect();
        assert_eq!(images, [("gpu", "cuda:12"), ("mac", "darwin:1"), ("ubuntu-latest", "debian:13")]);
        assert_eq!(found["gpu"].labels, ["gpu"]);
        let rules = sources(&file, Some("acme/ci=file:///srv/ci.git".to_owned())).unwrap();
        assert_eq!(rules.iter().map(|rule| rule.from.as_str()).collect::<Vec<_>>(), ["acme/ci", "acme/*"]);
        assert!(machines(&file, Some("ubuntu".to_owned())).is_err());
        assert!(sources(&file, Some("acme/*=no url".to_owned())).is_err());
    }

    #[test]
    fn a_server_on_every_address_is_reached_by_one() {
        assert_eq!(own_url("0.0.0.0:80".parse().unwrap()).unwrap().as_str(), "http://127.0.0.1/");
        assert_eq!(own_url("[::1]:81".parse().unwrap()).unwrap().as_str(), "http://[::1]:81/");
    }
}
