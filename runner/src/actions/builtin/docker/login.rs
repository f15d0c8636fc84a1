//! `docker/login-action`: credentials for a registry, kept in the runner's memory for later built-in steps of this
//! stage. The registry itself is asked by the first pull or push, not here.

use async_trait::async_trait;
use tidegate_protocol::messages::RegistryLogin;

use super::super::{Builtin, Use};
use crate::stage::Failure;

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
        &["password"]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let (registry, login) = given(step)?;
        step.say(format!(
            "the runner keeps the credentials of {} for {registry} until the stage ends",
            login.username
        ));
        step.log_in(&registry, login);
        step.save_state("registry", registry);
        Ok(())
    }

    async fn recall(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let (registry, login) = given(step)?;
        step.log_in(&registry, login);
        Ok(())
    }

    fn post_if(&self) -> Option<&'static str> {
        Some("always()")
    }

    async fn post(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let registry = step.state("registry").to_owned();
        if step.flag("logout")? && !registry.is_empty() {
            step.log_out(&registry);
            step.say(format!("the credentials for {registry} are forgotten"));
        }
        Ok(())
    }
}

/// The host and its credentials, as the inputs say.
fn given(step: &Use<'_>) -> Result<(String, RegistryLogin), Failure> {
    if !step.input("registry-auth").is_empty() {
        return Err(Failure::failed(
            "the input `registry-auth` is not supported: use one step with docker/login-action for each registry",
        ));
    }
    let login = RegistryLogin {
        username: step.required("username")?.to_owned(),
        password: step.required("password")?.to_owned(),
    };
    Ok((host(step.input("registry")), login))
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
}
