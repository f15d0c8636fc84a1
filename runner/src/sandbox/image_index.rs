//! An index of images in a registry: one name for the images of several platforms. The engine pushes the images; what
//! none of its calls do is this list of them, so the runner speaks to the registry itself.
//!
//! Answers are bounded in size and in time. Credentials go to the registry, and to the place that it names for tokens, by
//! HTTPS unless the registry is this machine's own.

use std::{net::Ipv4Addr, time::Duration};

use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_protocol::messages::RegistryLogin;
use url::Url;

use super::{IndexRequest, images::PATIENCE};

const LIMIT: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 4 << 20;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The host of a repository, as it is written there.
pub(super) fn host(repository: &str) -> &str {
    match repository.split_once('/') {
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => first,
        _ => "docker.io",
    }
}

/// Puts an index under all tags, and gives its digest. `plain`: the registry is spoken to without encryption. An error is
/// a sentence.
pub(super) async fn put(request: &IndexRequest, plain: bool) -> Result<String, String> {
    let mut registry = Registry::of(request, plain)?;
    let mut entries = Vec::new();
    for (platform, digest) in &request.images {
        entries.push(registry.entry(platform, digest).await?);
    }
    let (kind, body) = index(entries);
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&body)));
    let names = if request.tags.is_empty() { vec![digest.clone()] } else { request.tags.clone() };
    for name in names {
        let path = format!("manifests/{name}");
        let answer = registry.ask(Method::PUT, &path, Some((kind, body.clone()))).await?;
        if !answer.status().is_success() {
            return Err(format!("the registry did not take the index as {name}: {}", said(answer).await));
        }
    }
    Ok(digest)
}

/// The index and its media type: Docker's own if the images are, so that what reads them reads it.
fn index(entries: Vec<Value>) -> (&'static str, String) {
    let oci = entries.iter().all(|entry| entry.get("mediaType").and_then(Value::as_str) == Some(OCI));
    let kind = if oci { INDEX } else { LIST };
    (kind, json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries }).to_string())
}

/// A platform as an index has it: `linux/arm/v7`.
fn platform(name: &str) -> Value {
    let mut parts = name.split('/');
    let mut platform = json!({
        "os": parts.next().unwrap_or_default(),
        "architecture": parts.next().unwrap_or_default(),
    });
    if let Some(variant) = parts.next() {
        platform["variant"] = variant.into();
    }
    platform
}

/// A repository in a registry.
struct Registry {
    http: reqwest::Client,
    base: String,
    plain: bool,
    login: Option<RegistryLogin>,
    /// What the registry let itself be asked by.
    authorization: Option<String>,
}

impl Registry {
    fn of(request: &IndexRequest, plain: bool) -> Result<Self, String> {
        let host = host(&request.repository);
        let path =
            request.repository.strip_prefix(host).unwrap_or(&request.repository).trim_start_matches('/');
        let (host, path) = match (host, path.contains('/')) {
            ("docker.io", false) => ("registry-1.docker.io", format!("library/{path}")),
            ("docker.io", true) => ("registry-1.docker.io", path.to_owned()),
            (host, _) => (host, path.to_owned()),
        };
        let plain = plain || is_own_machine(host);
        let scheme = if plain { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{path}");
        Url::parse(&base).map_err(|error| format!("`{}` is no repository: {error}", request.repository))?;
        let http = reqwest::Client::builder().timeout(LIMIT).build().map_err(|error| error.to_string())?;
        Ok(Self { http, base, plain, login: request.login.clone(), authorization: None })
    }

    /// An image as an index has it.
    async fn entry(&mut self, name: &str, digest: &str) -> Result<Value, String> {
        let answer = self.ask(Method::GET, &format!("manifests/{digest}"), None).await?;
        if !answer.status().is_success() {
            return Err(format!("the registry does not give {digest}: {}", said(answer).await));
        }
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.filter(|kind| [OCI, DOCKER].contains(kind)).map(str::to_owned);
        let kind = kind.ok_or_else(|| format!("the registry says that {digest} is no image"))?;
        let size = read(answer).await?.len();
        Ok(json!({ "mediaType": kind, "digest": digest, "size": size, "platform": platform(name) }))
    }

    /// Asks for a path of the repository, and once more with what the registry wants to be asked by.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Response, String> {
        let first = self.send(&method, path, body.as_ref()).await?;
        if first.status() != StatusCode::UNAUTHORIZED || self.authorization.is_some() {
            return Ok(first);
        }
        let wants = first.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let Some(challenge) = wants.and_then(Challenge::read) else { return Ok(first) };
        self.authorization = Some(match challenge {
            Challenge::Basic => match &self.login {
                Some(login) => basic(login),
                None => return Ok(first),
            },
            Challenge::Bearer { realm, service, scope } => {
                format!("Bearer {}", self.token(&realm, &service, &scope).await?)
            }
        });
        self.send(&method, path, body.as_ref()).await
    }

    /// Asks again where the registry fails by itself.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&(&str, String)>,
    ) -> Result<Response, String> {
        for wait in PATIENCE {
            let answer = self.send_once(method, path, body).await?;
            if !answer.status().is_server_error() {
                return Ok(answer);
            }
            tokio::time::sleep(wait).await;
        }
        self.send_once(method, path, body).await
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&(&str, String)>,
    ) -> Result<Response, String> {
        let mut request = self.http.request(method.clone(), format!("{}/{path}", self.base));
        request = request.header(header::ACCEPT, format!("{OCI}, {DOCKER}"));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some((kind, text)) = body {
            request = request.header(header::CONTENT_TYPE, *kind).body(text.clone());
        }
        request.send().await.map_err(|error| super::docker::words(&error.without_url()))
    }

    /// A token from the place that the registry names.
    async fn token(&self, realm: &str, service: &str, scope: &str) -> Result<String, String> {
        let no = |reason: &str| format!("the registry's token cannot be had: {reason}");
        let url = Url::parse_with_params(realm, [("service", service), ("scope", scope)])
            .map_err(|error| no(&error.to_string()))?;
        if url.scheme() != "https" && !(self.plain && url.scheme() == "http") {
            return Err(no("it names a place without encryption"));
        }
        let mut request = self.http.get(url);
        if let Some(login) = &self.login {
            request = request.header(header::AUTHORIZATION, basic(login));
        }
        let answer = request.send().await.map_err(|error| no(&super::docker::words(&error.without_url())))?;
        if !answer.status().is_success() {
            return Err(no(&format!("it answered {}", answer.status())));
        }
        let answer: Value =
            serde_json::from_slice(&read(answer).await?).map_err(|error| no(&error.to_string()))?;
        let token = ["token", "access_token"].iter().find_map(|key| answer.get(*key)?.as_str());
        token.map(str::to_owned).ok_or_else(|| no("the answer has none"))
    }
}

fn is_own_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name == "[::1]"
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

fn basic(login: &RegistryLogin) -> String {
    use base64::Engine as _;
    let both = format!("{}:{}", login.username, login.password);
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both))
}

/// What a registry wants to be asked by.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: String, scope: String },
}

impl Challenge {
    /// Reads `Bearer realm="…",service="…",scope="…"`.
    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if kind.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !kind.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |key: &str| {
            let (_, after) = rest.split_once(&format!("{key}=\""))?;
            after.split_once('"').map(|(value, _)| value.to_owned())
        };
        Some(Self::Bearer {
            realm: value("realm")?,
            service: value("service").unwrap_or_default(),
            scope: value("scope").unwrap_or_default(),
        })
    }
}

/// The registry's own words.
async fn said(answer: Response) -> String {
    let status = answer.status();
    let body = read(answer).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match body.pointer("/errors/0/message").and_then(Value::as_str) {
        Some(message) => format!("it answered {status}: {message}"),
        None => format!("it answered {status}"),
    }
}

async fn read(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LONGEST {
            return Err(format!("an answer has more than {LONGEST} bytes"));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_say_what_they_want_to_be_asked_by() {
        let bearer = "Bearer realm=\"https://auth.example/token\",service=\"r.example\",scope=\"repository:a:pull,push\"";
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: "r.example".to_owned(),
            scope: "repository:a:pull,push".to_owned(),
        };
        assert_eq!(Challenge::read(bearer), Some(expected));
        assert_eq!(Challenge::read("Basic realm=x"), Some(Challenge::Basic));
        assert_eq!((Challenge::read("Digest a"), Challenge::read("Bearer service=\"a\"")), (None, None));
    }

    #[test]
    fn repositories_are_found_at_their_registries() {
        let base = |repository: &str| {
            let request = IndexRequest {
                repository: repository.to_owned(),
                images: Vec::new(),
                tags: Vec::new(),
                login: None,
            };
            Registry::of(&request, false).unwrap().base
        };
        assert_eq!(base("ghcr.io/team/app"), "https://ghcr.io/v2/team/app");
        assert_eq!(base("127.0.0.1:5000/app"), "http://127.0.0.1:5000/v2/app");
        assert_eq!(base("127.example.org/app"), "https://127.example.org/v2/app");
        assert_eq!(base("app"), "https://registry-1.docker.io/v2/library/app");
        assert_eq!(base("team/app"), "https://registry-1.docker.io/v2/team/app");
    }

    #[test]
    fn an_index_is_of_its_images_kind() {
        let entry = |kind: &str| json!({ "mediaType": kind, "platform": platform("linux/arm/v7") });
        assert_eq!(index(vec![entry(OCI)]).0, INDEX);
        let (kind, body) = index(vec![entry(OCI), entry(DOCKER)]);
        assert_eq!(kind, LIST);
        let body: Value = serde_json::from_str(&body).unwrap();
        let expected = json!({ "os": "linux", "architecture": "arm", "variant": "v7" });
        assert_eq!(body["manifests"][0]["platform"], expected);
    }
}
