//! Who may call what: one table, and the guard in front of every route that asks it.
//!
//! A call that is not in the table is refused, so a new route is closed until somebody decides. The guard also
//! refuses changes by cookie that another site may have caused: a browser sends the cookie with those too, but
//! it cannot lie about where they come from. Tokens are not sent by browsers on their own and need no such care.

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use url::Url;

use super::{Shared, error::ApiError, extract::bearer};
use crate::{
    actor::{Actor, Role, Via},
    app::App,
    auth,
    error::Error,
    store::views::User,
};

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, logged in or not.
    Public,
    /// Whoever is logged in and has at least this role.
    From(Role),
}

use Access::{From as At, Public};
use Role::{Admin, Developer, ReleaseManager, Viewer};

/// Every call of the API for people, and who may make it.
pub const TABLE: &[(&str, &str, Access)] = &[
    ("POST", "/api/v1/session", Public),
    ("GET", "/api/v1/session", At(Viewer)),
    ("DELETE", "/api/v1/session", At(Viewer)),
    ("PUT", "/api/v1/session/password", At(Viewer)),
    ("GET", "/api/v1/runs", At(Viewer)),
    ("GET", "/api/v1/runs/{id}", At(Viewer)),
    ("POST", "/api/v1/runs/{id}/cancel", At(Developer)),
    ("POST", "/api/v1/runs/{id}/rerun", At(Developer)),
    ("POST", "/api/v1/repositories/{id}/runs", At(Developer)),
    ("GET", "/api/v1/repositories/{id}/pipelines", At(Developer)),
    ("POST", "/api/v1/stages/{id}/settle", At(ReleaseManager)),
    ("GET", "/api/v1/events", At(Viewer)),
    ("GET", "/api/v1/attempts/{id}/steps/{step}/log", At(Viewer)),
    ("GET", "/api/v1/attempts/{id}/steps/{step}/log/stream", At(Viewer)),
    ("GET", "/api/v1/artifacts/{id}", At(Viewer)),
    ("GET", "/api/v1/attempts/{id}/notes", At(Viewer)),
    ("GET", "/api/v1/gates", At(Viewer)),
    // The environment's own rules say who of these decides.
    ("POST", "/api/v1/gates/{id}/decision", At(Developer)),
    ("GET", "/api/v1/environments", At(Viewer)),
    ("GET", "/api/v1/environments/{id}/deployments", At(Viewer)),
    ("POST", "/api/v1/environments/{id}/freeze", At(ReleaseManager)),
    ("POST", "/api/v1/environments/{id}/rollback", At(ReleaseManager)),
    ("DELETE", "/api/v1/environments/{id}", At(Admin)),
    ("PUT", "/api/v1/repositories/{id}/environments/{name}", At(Admin)),
    ("GET", "/api/v1/repositories", At(Viewer)),
    ("POST", "/api/v1/repositories", At(Admin)),
    ("PATCH", "/api/v1/repositories/{id}", At(Admin)),
    ("DELETE", "/api/v1/repositories/{id}", At(Admin)),
    ("GET", "/api/v1/repositories/{id}/secrets", At(Developer)),
    ("PUT", "/api/v1/repositories/{id}/secrets/{name}", At(Admin)),
    ("DELETE", "/api/v1/repositories/{id}/secrets/{name}", At(Admin)),
    ("GET", "/api/v1/repositories/{id}/variables", At(Viewer)),
    ("PUT", "/api/v1/repositories/{id}/variables/{name}", At(Admin)),
    ("DELETE", "/api/v1/repositories/{id}/variables/{name}", At(Admin)),
    ("GET", "/api/v1/users", At(Admin)),
    ("POST", "/api/v1/users", At(Admin)),
    ("PATCH", "/api/v1/users/{id}", At(Admin)),
    ("GET", "/api/v1/tokens", At(Viewer)),
    ("POST", "/api/v1/tokens", At(Viewer)),
    ("DELETE", "/api/v1/tokens/{id}", At(Viewer)),
    ("GET", "/api/v1/runners", At(Viewer)),
    ("PATCH", "/api/v1/runners/{id}", At(Admin)),
    ("POST", "/api/v1/runners/enrolment-tokens", At(Admin)),
    ("GET", "/api/v1/audit", At(Admin)),
];

/// How a request proved whose it is, to be asked again by streams that outlive the answer.
#[derive(Debug, Clone)]
enum Proof {
    Session(String),
    Token(String),
}

/// Who makes a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who acts.
    pub actor: Actor,
    /// The person.
    pub user: User,
    proof: Proof,
}

impl Caller {
    /// Whether the session or token is still good for what this call needs.
    pub async fn is_still_good(&self, app: &App) -> Result<bool, Error> {
        let now = match &self.proof {
            Proof::Session(key) => auth::of_session(app, key).await?,
            Proof::Token(key) => auth::of_token(app, key).await?,
        };
        Ok(now.is_some_and(|(actor, _)| actor.role >= Viewer))
    }

    /// The session's key, when it is one.
    pub fn session(&self) -> Option<&str> {
        match &self.proof {
            Proof::Session(key) => Some(key),
            Proof::Token(_) => None,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Put there by the guard; a route without the guard has no caller.
        parts.extensions.get::<Self>().cloned().ok_or(NOBODY)
    }
}

/// Whoever makes a request, as the core wants to know it.
#[derive(Debug, Clone)]
pub struct AuthedUser(pub Actor);

impl<S: Send + Sync> FromRequestParts<S> for AuthedUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await.map(|caller| Self(caller.actor))
    }
}

const NOBODY: ApiError = ApiError::Unauthorized("log in first, or send a valid token");

/// Stands in front of every route of the API for people.
pub async fn guard(
    State(shared): State<Shared>,
    path: MatchedPath,
    jar: CookieJar,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
    let access = match look_up(method.as_str(), path.as_str()) {
        Some(access) => access,
        None if TABLE.iter().any(|entry| entry.1 == path.as_str()) => {
            return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        None => return Err(Error::Forbidden("nobody may make this call".to_owned()).into()),
    };
    match access {
        Public => {
            if !is_safe(&method) {
                same_site(request.headers(), &shared.app.config.public_url, true)?;
            }
        }
        At(role) => {
            let caller = identify(&shared.app, request.headers(), &jar).await?.ok_or(NOBODY)?;
            if caller.actor.via == Via::Session && !is_safe(&method) {
                same_site(request.headers(), &shared.app.config.public_url, false)?;
            }
            caller.actor.require(role, "do this")?;
            request.extensions_mut().insert(caller);
        }
    }
    Ok(next.run(request).await)
}

/// What the table says of a call.
fn look_up(method: &str, path: &str) -> Option<Access> {
    TABLE.iter().find(|entry| entry.0 == method && entry.1 == path).map(|entry| entry.2)
}

/// The cookie's name. With the prefix a browser takes it only over HTTPS and for this host alone.
pub fn cookie_name(public_url: &Url) -> &'static str {
    if public_url.scheme() == "https" { "__Host-tidegate" } else { "tidegate" }
}

async fn identify(app: &App, headers: &HeaderMap, jar: &CookieJar) -> Result<Option<Caller>, Error> {
    // A token that is none is not made up for by a cookie.
    let (proof, found) = if headers.contains_key(header::AUTHORIZATION) {
        let Some(key) = bearer(headers) else { return Ok(None) };
        (Proof::Token(key.to_owned()), auth::of_token(app, key).await?)
    } else {
        let Some(cookie) = jar.get(cookie_name(&app.config.public_url)) else { return Ok(None) };
        (Proof::Session(cookie.value().to_owned()), auth::of_session(app, cookie.value()).await?)
    };
    Ok(found.map(|(actor, user)| Caller { actor, user, proof }))
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Refuses what another site's page caused. Browsers say where a request comes from in `Sec-Fetch-Site`, older
/// ones in `Origin`; one that says neither is no browser, which is fine only where no cookie is at stake.
fn same_site(headers: &HeaderMap, public_url: &Url, without_browser: bool) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let foreign = || Error::Forbidden("this request comes from another site's page".to_owned()).into();
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin"), _) => Ok(()),
        (Some(_), _) => Err(foreign()),
        (None, Some(origin)) => {
            let Ok(origin) = Url::parse(origin) else { return Err(foreign()) };
            // `Host` is the browser's word too: a page elsewhere cannot choose it.
            // But where the public address has TLS, its name without TLS is anybody's on the way.
            let stripped =
                origin.host_str() == public_url.host_str() && origin.scheme() != public_url.scheme();
            let at_host = !stripped && text("host").is_some_and(|host| authority(&origin) == host);
            if origin.origin() == public_url.origin() || at_host { Ok(()) } else { Err(foreign()) }
        }
        (None, None) if without_browser => Ok(()),
        (None, None) => Err(Error::Forbidden(
            "a change by cookie must say where it comes from (Origin or Sec-Fetch-Site); scripts use tokens"
                .to_owned(),
        )
        .into()),
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)], without_browser: bool) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        same_site(&map, &Url::parse("https://ci.example.org/").unwrap(), without_browser).is_ok()
    }

    #[test]
    fn only_the_own_site_may_change_things_by_cookie() {
        assert!(check(&[("sec-fetch-site", "same-origin")], false));
        assert!(check(&[("origin", "https://ci.example.org")], false));
        assert!(check(&[("origin", "http://10.0.0.1:8080"), ("host", "10.0.0.1:8080")], false));
        assert!(!check(&[], false));
        assert!(check(&[], true), "a log-in by a script");
        for foreign in ["cross-site", "same-site", "none"] {
            assert!(
                !check(&[("sec-fetch-site", foreign), ("origin", "https://ci.example.org")], true),
                "{foreign}"
            );
        }
        for foreign in
            ["https://evil.example", "http://ci.example.org", "null", "https://ci.example.org.evil.example"]
        {
            assert!(!check(&[("origin", foreign), ("host", "ci.example.org")], true), "{foreign}");
        }
    }

    #[test]
    fn the_table_has_each_call_once() {
        let mut calls: Vec<_> = TABLE.iter().map(|(method, path, _)| (method, path)).collect();
        calls.sort_unstable();
        let all = calls.len();
        calls.dedup();
        assert_eq!(calls.len(), all);
    }
}
