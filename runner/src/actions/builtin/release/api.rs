//! The calls about releases.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::super::{
    Use,
    web::{Trouble, Web},
};
use crate::stage::Failure;

/// As many releases are looked through for a draft, which no tag leads to.
const LOOKED_AT: usize = 100;

/// A repository at the forge.
pub(super) struct Api {
    pub(super) web: Web,
    /// `https://api.github.com/repos/owner/name`.
    base: String,
    token: String,
}

impl Api {
    /// The API for a repository `owner/name`.
    pub(super) fn of(step: &Use<'_>, repository: &str, token: &str) -> Result<Self, Failure> {
        let api = step.github("api_url").trim_end_matches('/').to_owned();
        if !matches!(url::Url::parse(&api), Ok(url) if matches!(url.scheme(), "http" | "https")) {
            return Err(Failure::failed(
                "this run's forge has no API like GitHub's (`github.api_url` is empty), so there are no releases at it",
            ));
        }
        let plain = |name: &str| {
            !name.is_empty()
                && !name.starts_with('.')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !repository.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name)) {
            return Err(Failure::failed(format!("`{repository}` is no repository, such as `owner/name`")));
        }
        if token.is_empty() {
            return Err(Failure::failed(
                "there is no token for the forge: give `GITHUB_TOKEN: ${{ github.token }}` in the step's `env`",
            ));
        }
        Ok(Self { web: Web::of(step)?, base: format!("{api}/repos/{repository}"), token: token.to_owned() })
    }

    /// A request with what every one carries.
    pub(super) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.web
            .http
            .request(method, url)
            .bearer_auth(&self.token)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let mut request = self.request(method, &format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(self.web.ask(request, &self.base).await?.json())
    }

    /// Makes a release.
    pub(super) async fn create(&self, release: &Value) -> Result<Value, Trouble> {
        self.call(Method::POST, "/releases", Some(release)).await
    }

    /// Changes a release.
    pub(super) async fn change(&self, id: u64, release: &Value) -> Result<Value, Trouble> {
        self.call(Method::PATCH, &format!("/releases/{id}"), Some(release)).await
    }

    /// Removes a file of a release.
    pub(super) async fn remove_file(&self, id: u64) -> Result<(), Trouble> {
        self.call(Method::DELETE, &format!("/releases/assets/{id}"), None).await.map(|_| ())
    }

    /// The release of a tag, drafts among them.
    pub(super) async fn find(&self, tag: &str) -> Result<Option<Value>, Trouble> {
        let name: String = url::form_urlencoded::byte_serialize(tag.as_bytes()).collect();
        let name = name.replace('+', "%20");
        match self.call(Method::GET, &format!("/releases/tags/{name}"), None).await {
            Ok(release) => return Ok(Some(release)),
            Err(Trouble::Refused(StatusCode::NOT_FOUND, _)) => {}
            Err(other) => return Err(other),
        }
        let all = self.call(Method::GET, &format!("/releases?per_page={LOOKED_AT}"), None).await?;
        let all = all.as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().find(|release| text(release, "tag_name") == tag))
    }
}

/// A property that is text.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The id of a release or a file.
pub(super) fn id(value: &Value) -> Result<u64, Failure> {
    value
        .get("id")
        .and_then(Value::as_u64)
        .ok_or_else(|| Failure::failed("the forge's answer has no `id`: is it an API like GitHub's?"))
}

/// The tag that is meant: a name, or a reference of one.
pub(super) fn tag(name: &str) -> String {
    name.strip_prefix("refs/tags/").unwrap_or(name).to_owned()
}

/// Tells the outputs that both actions have.
pub(super) fn tell(step: &mut Use<'_>, release: &Value) -> Result<(), Failure> {
    step.set_output("id", id(release)?.to_string());
    step.set_output("html_url", text(release, "html_url"));
    step.set_output("upload_url", text(release, "upload_url"));
    Ok(())
}

/// Adds a property unless it is empty.
pub(super) fn put(release: &mut Value, key: &str, value: &str) {
    if !value.is_empty() {
        release[key] = json!(value);
    }
}
