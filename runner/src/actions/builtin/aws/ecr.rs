//! `aws-actions/amazon-ecr-login`: credentials for Amazon's registries, made from the keys in the step's environment and
//! kept in the runner's memory, as `docker/login-action` keeps them.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tidegate_protocol::messages::RegistryLogin;

use super::{
    super::{Builtin, Use, docker::host, web::Web},
    service::{Keys, Service, variable},
};
use crate::stage::Failure;

/// The host of the public registry.
const PUBLIC: &str = "public.ecr.aws";

/// The action.
pub struct EcrLogin;

#[async_trait]
impl Builtin for EcrLogin {
    fn name(&self) -> &'static str {
        "aws-actions/amazon-ecr-login"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("http-proxy", ""),
            ("mask-password", "true"),
            ("registries", ""),
            ("registry-type", "private"),
            ("skip-logout", "false"),
        ]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        if !step.flag("mask-password")? {
            step.say("`mask-password` has no effect: the password stays with the runner, and is no output");
        }
        let logins = ask(step).await?;
        let hosts: Vec<String> = logins.iter().map(|(host, _)| host.clone()).collect();
        for (host, login) in logins {
            step.say(format!(
                "the runner keeps the credentials of {} for {host} until the stage ends",
                login.username
            ));
            let name: String =
                host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            step.set_output(&format!("docker_username_{name}"), &*login.username);
            step.log_in(&host, login);
        }
        if let [one] = hosts.as_slice() {
            step.set_output("registry", one);
        }
        step.save_state("hosts", hosts.join(" "));
        Ok(())
    }

    async fn recall(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        for (host, login) in ask(step).await? {
            step.log_in(&host, login);
        }
        Ok(())
    }

    fn post_if(&self) -> Option<&'static str> {
        Some("always()")
    }

    async fn post(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        if step.flag("skip-logout")? {
            return Ok(());
        }
        for host in step.state("hosts").to_owned().split_whitespace() {
            step.log_out(host);
            step.say(format!("the credentials for {host} are forgotten"));
        }
        Ok(())
    }
}

/// Asks for credentials: the hosts of registries with a name and a password each.
async fn ask(step: &Use<'_>) -> Result<Vec<(String, RegistryLogin)>, Failure> {
    let keys = Keys::of_env(step).ok_or_else(|| {
        Failure::failed(
            "there are no credentials of AWS in the environment: use aws-actions/configure-aws-credentials before",
        )
    })?;
    let region =
        variable(step, "AWS_REGION").or_else(|| variable(step, "AWS_DEFAULT_REGION")).ok_or_else(|| {
            Failure::failed(
                "there is no region: use aws-actions/configure-aws-credentials, or set AWS_REGION",
            )
        })?;
    let (service, target, public) = match step.input("registry-type") {
        "private" => {
            (Service::of(step, "ecr", "api.ecr", &region)?, "AmazonEC2ContainerRegistry_V20150921", false)
        }
        // It is in one region only.
        "public" => {
            (Service::of(step, "ecr-public", "api.ecr-public", "us-east-1")?, "SpencerFrontendService", true)
        }
        other => {
            return Err(Failure::failed(format!(
                "the input `registry-type` is private or public, and this is `{other}`"
            )));
        }
    };
    let ids: Vec<&str> =
        step.input("registries").split([',', '\n']).map(str::trim).filter(|id| !id.is_empty()).collect();
    let body = if ids.is_empty() || public { json!({}) } else { json!({ "registryIds": ids }) };
    let target = format!("{target}.GetAuthorizationToken");
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
    let web = Web::of(step)?;
    let answer = service.post(&web, Some(&keys), &headers, body.to_string()).await?.json();
    logins(&answer, public)
        .ok_or_else(|| Failure::failed(format!("{} gives no credentials that can be used", service.url)))
}

/// The credentials in an answer; none if there is any that cannot be read.
fn logins(answer: &Value, public: bool) -> Option<Vec<(String, RegistryLogin)>> {
    let data = answer.get("authorizationData")?;
    let all = if public { std::slice::from_ref(data) } else { data.as_array()?.as_slice() };
    let one = |data: &Value| {
        let text = |key: &str| data.get(key).and_then(Value::as_str);
        let token = String::from_utf8(STANDARD.decode(text("authorizationToken")?).ok()?).ok()?;
        let (username, password) = token.split_once(':').filter(|(_, password)| !password.is_empty())?;
        let registry = if public { PUBLIC.to_owned() } else { host(text("proxyEndpoint")?) };
        Some((registry, RegistryLogin { username: username.to_owned(), password: password.to_owned() }))
    };
    all.iter().map(one).collect::<Option<Vec<_>>>().filter(|logins| !logins.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_give_hosts_with_credentials() {
        let data = json!({ "authorizationToken": STANDARD.encode("AWS:pass:word"), "proxyEndpoint": "https://1.dkr.ecr.eu-west-1.amazonaws.com" });
        let found = logins(&json!({ "authorizationData": [data] }), false).unwrap();
        assert_eq!(found[0].0, "1.dkr.ecr.eu-west-1.amazonaws.com");
        assert_eq!((&*found[0].1.username, &*found[0].1.password), ("AWS", "pass:word"));
        assert_eq!(logins(&json!({ "authorizationData": data }), true).unwrap()[0].0, PUBLIC);
        for bad in [
            json!({}),
            json!({ "authorizationData": [] }),
            json!({ "authorizationData": [{ "authorizationToken": "%" }] }),
        ] {
            assert!(logins(&bad, false).is_none());
        }
    }
}
