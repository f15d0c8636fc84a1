//! `docker/login-action`: credentials for a registry, kept in the runner's memory for later built-in steps of this
//! stage. The registry itself is asked by the first pull or push, not here.

use async_trait::async_trait;
use tidegate_pipelines::{SourceFile, plain_yaml};
use tidegate_protocol::messages::RegistryLogin;

use super::super::{Builtin, Use};
use crate::stage::Failure;

/// Registries of one step.
const MOST: usize = 100;

/// The action.
pub struct Login;

#[async_trait]
impl Builtin for Login {
    fn name(&self) -> &'static str {
        "docker/login-action"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("registry", ""),
            ("username", ""),
            ("password", ""),
            ("scope", ""),
            ("ecr", "auto"),
            ("logout", "true"),
            ("registry-auth", ""),
        ]
    }

    fn hidden(&self) -> &'static [&'static str] {
        &["password", "registry-auth"]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let mut registries = Vec::new();
        for (registry, login) in given(step)? {
            step.say(format!(
                "the runner keeps the credentials of {} for {registry} until the stage ends",
                login.username
            ));
            step.log_in(&registry, login);
            registries.push(registry);
        }
        step.save_state("registries", registries.join("\n"));
        Ok(())
    }

    async fn recall(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        for (registry, login) in given(step)? {
            step.log_in(&registry, login);
        }
        Ok(())
    }

    fn post_if(&self) -> Option<&'static str> {
        Some("always()")
    }

    async fn post(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        if step.flag("logout")? {
            for registry in step.state("registries").to_owned().lines() {
                step.log_out(registry);
                step.say(format!("the credentials for {registry} are forgotten"));
            }
        }
        Ok(())
    }
}

/// Hosts and their credentials, as the inputs say.
fn given(step: &Use<'_>) -> Result<Vec<(String, RegistryLogin)>, Failure> {
    let many = step.input("registry-auth");
    if many.is_empty() {
        let login = RegistryLogin {
            username: step.required("username")?.to_owned(),
            password: step.required("password")?.to_owned(),
        };
        return Ok(vec![(host(step.input("registry")), login)]);
    }
    if let Some(other) = ["registry", "username", "password"].iter().find(|name| !step.input(name).is_empty())
    {
        return Err(Failure::failed(format!(
            "the input `{other}` has no meaning beside `registry-auth`: write it there"
        )));
    }
    listed(many).map_err(|reason| Failure::failed(format!("the input `registry-auth`: {reason}")))
}

/// The credentials of a list in YAML. An error has nothing of what it says.
fn listed(text: &str) -> Result<Vec<(String, RegistryLogin)>, String> {
    let no_list = || "it is a list in YAML, each with `registry`, `username` and `password`".to_owned();
    let list = plain_yaml(&SourceFile { path: "registry-auth", text }).map_err(|_| no_list())?;
    let list = list.as_array().filter(|list| !list.is_empty()).ok_or_else(no_list)?;
    let mut all: Vec<(String, RegistryLogin)> = Vec::new();
    for (at, one) in list.iter().enumerate() {
        let of = |key: &str| {
            one.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().trim().to_owned()
        };
        let (username, password) = (of("username"), of("password"));
        if username.is_empty() || password.is_empty() {
            return Err(format!("number {} has no `username` or no `password`", at + 1));
        }
        let host = host(&of("registry"));
        if all.iter().any(|(known, _)| *known == host) {
            return Err(format!("{host} is in it twice, and a registry has one login at a time"));
        }
        if all.len() >= MOST {
            return Err(format!("it has more than {MOST} registries"));
        }
        all.push((host, RegistryLogin { username, password }));
    }
    Ok(all)
}

/// The host that credentials are kept under.
pub(in super::super) fn host(registry: &str) -> String {
    let host = registry.trim_start_matches("https://").trim_start_matches("http://").split('/').next();
    match host.unwrap_or_default().to_lowercase().as_str() {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

/// The host of an image's repository.
pub(super) fn host_of(repository: &str) -> String {
    match repository.split_once('/') {
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => host(first),
        _ => host(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_credentials_meet_at_the_host() {
        assert_eq!(host("https://index.docker.io/v1/"), host_of("team/app"));
        assert_eq!(host("GHCR.io"), host_of("ghcr.io/team/app"));
        assert_eq!(host("http://localhost:5000"), host_of("localhost:5000/app"));
        assert_eq!(host_of("app"), "docker.io");
    }

    #[test]
    fn a_list_has_the_credentials_of_several_registries() {
        let text = "- username: me\n  password: one-word\n- registry: GHCR.io\n  username: you\n  password: 'two: words'\n";
        let all = listed(text).unwrap();
        let said: Vec<_> = all
            .iter()
            .map(|(host, login)| (host.as_str(), login.username.as_str(), login.password.as_str()))
            .collect();
        assert_eq!(said, [("docker.io", "me", "one-word"), ("ghcr.io", "you", "two: words")]);
        for bad in [
            "letmein77",
            "[]",
            "- username: letmein77",
            "- {username: a, password: b}\n- {username: letmein77, password: b}",
        ] {
            let error = listed(bad).err().unwrap();
            assert!(!error.contains("letmein77"), "{error}");
        }
    }
}
