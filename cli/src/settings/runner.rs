//! The runner's settings: flags, environment and file become a [`RunnerConfig`].

use std::{path::PathBuf, time::Duration};

use clap::Args;
use tidegate_runner::{actions::ActionSettings, config::RunnerConfig};
use url::Url;

use super::{file, secret};
use crate::failure::{Doing, Failure, Outcome};

/// Flags that `tidegate runner` and `tidegate up` share.
#[derive(Debug, Default, Args)]
pub struct RunnerArgs {
    /// Stages to execute at once [default: 2]
    #[arg(long, env = "TIDEGATE_SLOTS", value_name = "N")]
    pub slots: Option<usize>,
    /// The runner's name on the page [default: this machine's]
    #[arg(long = "runner-name", env = "TIDEGATE_RUNNER_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Labels that stages may ask for with `runs_on`, beside `docker`
    #[arg(long, env = "TIDEGATE_LABELS", value_delimiter = ',', value_name = "LABEL,…")]
    pub labels: Option<Vec<String>>,
    /// The container engine: unix:///path or tcp://host:port [default: DOCKER_HOST, else the local socket]
    #[arg(long, env = "TIDEGATE_DOCKER_HOST", value_name = "ADDRESS")]
    pub docker_host: Option<String>,
    /// Seconds a step may take to end after TERM [default: 10]
    #[arg(long, env = "TIDEGATE_GRACE_SECONDS", value_name = "SECONDS")]
    pub grace_seconds: Option<u64>,
}

impl RunnerArgs {
    /// The whole configuration, for this server and folder.
    pub fn resolve(
        &self,
        file: &file::Runner,
        server_url: Url,
        data_dir: PathBuf,
        allow_file_clone: bool,
    ) -> Outcome<RunnerConfig> {
        let slots = self.slots.or(file.slots).unwrap_or(2);
        if !(1..=256).contains(&slots) {
            return Err(Failure::usage(format!("a runner cannot execute {slots} stages at once"))
                .mend("choose between 1 and 256"));
        }
        let labels = self.labels.clone().or_else(|| file.labels.clone()).unwrap_or_default();
        if let Some(bad) = labels.iter().find(|label| label.is_empty() || label.contains(char::is_whitespace))
        {
            return Err(Failure::usage(format!("{bad:?} is no label")).because("a label is one word"));
        }
        Ok(RunnerConfig {
            server_url,
            name: self.name.clone().or_else(|| file.name.clone()).unwrap_or_else(super::host_name),
            labels,
            data_dir: std::path::absolute(&data_dir)
                .doing(format!("cannot tell where {} is", data_dir.display()))?,
            slots,
            enrolment_token: None,
            docker_host: self.docker_host.clone().or_else(|| file.docker_host.clone()),
            allow_file_clone,
            grace: Duration::from_secs(self.grace_seconds.or(file.grace_seconds).unwrap_or(10)),
            actions: actions(&file.actions)?,
        })
    }
}

/// The settings for actions, with folders that are there.
pub fn actions(file: &ActionSettings) -> Outcome<ActionSettings> {
    let mut actions = file.clone();
    for (name, folder) in [("node", &mut actions.node), ("tools", &mut actions.tools)] {
        let Some(path) = folder else { continue };
        let absolute =
            std::path::absolute(&*path).doing(format!("cannot tell where {} is", path.display()))?;
        if !absolute.is_dir() {
            return Err(Failure::usage(format!("there is no folder {}", absolute.display()))
                .because(format!("it is `runner.actions.{name}` of the configuration")));
        }
        *folder = Some(absolute);
    }
    if let Some(bad) = actions.sources.iter().find(|source| {
        let to =
            url::Url::parse(&source.to).map(|url| matches!(url.scheme(), "https" | "http" | "file" | "ssh"));
        source.from.is_empty() || !to.unwrap_or(false)
    }) {
        return Err(Failure::usage(format!("`{}` -> `{}` maps no source of actions", bad.from, bad.to))
            .because("`from` is an action, an owner with `/`, or the beginning of a URL; `to` is a URL"));
    }
    Ok(actions)
}

/// The enrolment token from the environment, or the file that it or the configuration names.
pub fn enrolment_token(file: &file::Runner) -> Outcome<Option<secrecy::SecretString>> {
    secret("TIDEGATE_ENROLMENT_TOKEN", file.enrolment_token_file.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(args: &RunnerArgs) -> Outcome<RunnerConfig> {
        let url = Url::parse("http://127.0.0.1:7300").unwrap();
        args.resolve(&file::Runner { slots: Some(7), ..file::Runner::default() }, url, "/srv/r".into(), false)
    }

    #[test]
    fn the_file_fills_what_flags_leave_open() {
        let config = resolve(&RunnerArgs { name: Some("a".into()), ..RunnerArgs::default() }).unwrap();
        assert_eq!((config.slots, config.name.as_str()), (7, "a"));
    }

    #[test]
    fn actions_come_from_where_the_file_says() {
        let file: ActionSettings = toml::from_str(
            "originals = [\"actions/cache\"]\nsources = [{ from = \"actions/\", to = \"file:///srv/actions/\" }]",
        )
        .unwrap();
        assert_eq!(actions(&file).unwrap().sources[0].from, "actions/");
        let missing = ActionSettings { node: Some("/nowhere/at/all".into()), ..ActionSettings::default() };
        assert_eq!(actions(&missing).unwrap_err().code, 2);
        let sources: ActionSettings = toml::from_str("sources = [{ from = \"a\", to = \"b\" }]").unwrap();
        assert_eq!(actions(&sources).unwrap_err().code, 2);
    }

    #[test]
    fn no_slots_and_labels_of_two_words_are_refused() {
        assert_eq!(resolve(&RunnerArgs { slots: Some(0), ..RunnerArgs::default() }).unwrap_err().code, 2);
        let labels = Some(vec!["two words".to_owned()]);
        assert_eq!(resolve(&RunnerArgs { labels, ..RunnerArgs::default() }).unwrap_err().code, 2);
    }
}
