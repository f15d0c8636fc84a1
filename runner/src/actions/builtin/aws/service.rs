//! One of Amazon's services: where it is, and a signed request to it.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};

use super::super::{
    Use,
    web::{Answer, Trouble, Web},
};
use crate::stage::Failure;

/// Credentials of an account.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    /// Of keys that end some day.
    pub(super) session: Option<String>,
}

impl Keys {
    /// The ones that steps before left in the environment.
    pub(super) fn of_env(step: &Use<'_>) -> Option<Self> {
        Some(Self {
            id: variable(step, "AWS_ACCESS_KEY_ID")?,
            secret: variable(step, "AWS_SECRET_ACCESS_KEY")?,
            session: variable(step, "AWS_SESSION_TOKEN"),
        })
    }
}

/// A variable of the step; none where it is empty.
pub(super) fn variable(step: &Use<'_>, name: &str) -> Option<String> {
    step.env.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// A service in a region.
pub(super) struct Service {
    /// Its name in signatures.
    pub(super) name: &'static str,
    pub(super) region: String,
    pub(super) url: String,
}

impl Service {
    /// Where the service is: the usual place in that region, unless the step's environment has `AWS_ENDPOINT_URL_…`
    /// or `AWS_ENDPOINT_URL`.
    pub(super) fn of(step: &Use<'_>, name: &'static str, host: &str, region: &str) -> Result<Self, Failure> {
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(Failure::failed(format!("`{region}` is no region of AWS, such as `eu-central-1`")));
        }
        let own =
            format!("AWS_ENDPOINT_URL_{}", host.trim_start_matches("api.").replace('-', "_").to_uppercase());
        let given = variable(step, &own).or_else(|| variable(step, "AWS_ENDPOINT_URL"));
        let url = match given {
            Some(url) => format!("{}/", url.trim_end_matches('/')),
            None => usual(host, region),
        };
        match url::Url::parse(&url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.host().is_some() => {
                Ok(Self { name, region: region.to_owned(), url })
            }
            _ => Err(Failure::failed(format!("`{url}` ({own}) is no URL of a service"))),
        }
    }

    /// Posts, signed if there are keys for it.
    pub(super) async fn post(
        &self,
        web: &Web,
        keys: Option<&Keys>,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, Trouble> {
        let mut request = web.http.post(&self.url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(keys) = keys {
            let signed =
                self.sign(keys, headers, body.as_bytes(), SystemTime::now()).map_err(Trouble::Away)?;
            for (name, value) in signed {
                request = request.header(name, value);
            }
        }
        web.ask(request.body(body), &self.url).await
    }

    /// The headers that sign a request.
    fn sign(
        &self,
        keys: &Keys,
        headers: &[(&str, &str)],
        body: &[u8],
        at: SystemTime,
    ) -> Result<Vec<(String, String)>, String> {
        let wrong =
            |error: &dyn std::error::Error| format!("the request to {} cannot be signed: {error}", self.url);
        let mut credentials = Credentials::builder()
            .access_key_id(&keys.id)
            .secret_access_key(&keys.secret)
            .provider_name("step");
        credentials.set_session_token(keys.session.clone());
        let identity = credentials.build().into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.name)
            .time(at)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| wrong(&error))?
            .into();
        let request =
            SignableRequest::new("POST", &self.url, headers.iter().copied(), SignableBody::Bytes(body))
                .map_err(|error| wrong(&error))?;
        let (instructions, _) = sign(request, &parameters).map_err(|error| wrong(&error))?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// A service's usual place.
fn usual(host: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{host}.{region}.{domain}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is signed; the model of tests/it checks whole signatures with code of its own.
    #[test]
    fn a_request_is_signed_with_host_date_and_session() {
        let service = Service { name: "sts", region: "us-east-1".to_owned(), url: usual("sts", "us-east-1") };
        let keys = Keys { id: "AKIDEXAMPLE".into(), secret: "s".into(), session: Some("session".into()) };
        let signed = service.sign(&keys, &[], b"", SystemTime::UNIX_EPOCH).unwrap();
        let header =
            |name: &str| signed.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(header("x-amz-date"), Some("19700101T000000Z"));
        assert_eq!(header("x-amz-security-token"), Some("session"));
        let authorization = header("authorization").unwrap();
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/19700101/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date"
            ),
            "{authorization}"
        );
        assert_eq!(usual("api.ecr", "cn-north-1"), "https://api.ecr.cn-north-1.amazonaws.com.cn/");
    }
}
