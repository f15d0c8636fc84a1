//! Webhooks of GitHub.
//!
//! In this order, and no other: the size is bounded, the signature is checked over the raw bytes in constant
//! time, the delivery is stored durably, and only then is the answer 202. Nothing is parsed before the
//! signature is right (except, for the App's one webhook, nothing at all: its secret is not per repository).
//! What is stored already (the same delivery id, or the same bytes under another) is answered 202 too.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_protocol::ids::{DeliveryId, RepositoryId};

use super::{Shared, error::ApiError, extract::Path};
use crate::{app::App, error::Error, forge::events, repositories, store::NewDelivery};

/// What GitHub sends at most.
const LARGEST: usize = 25 << 20;
/// The same for everything that is wrong with a signature.
const WRONG: ApiError = ApiError::Unauthorized("the signature is missing or wrong");

/// The routes.
pub fn router() -> Router<Shared> {
    Router::new()
        .route("/webhooks/github", post(app_webhook))
        .route("/webhooks/github/{repository}", post(repository_webhook))
        .layer(DefaultBodyLimit::max(LARGEST))
}

type Answer = Result<(StatusCode, Json<Value>), ApiError>;

/// The webhook of one repository.
async fn repository_webhook(
    State(app): State<App>,
    Path(repository): Path<RepositoryId>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body = body?;
    let secret = match app.webhook_secrets.get(&app, repository).await {
        Ok(secret) => secret,
        // Does not tell which repositories there are.
        Err(Error::NotFound(_)) => return Err(WRONG),
        Err(error) => return Err(error.into()),
    };
    verify(&secret, &headers, &body)?;
    let answer = store(&app, repository, &headers, &body).await;
    if let Err(ApiError::Core(Error::NotFound(_))) = answer {
        app.webhook_secrets.forget(repository);
        return Err(WRONG);
    }
    answer
}

/// The webhook of a GitHub App: one for all repositories.
async fn app_webhook(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body = body?;
    let Some(secret) = app.config.github.as_ref().and_then(|github| github.webhook_secret.as_ref()) else {
        return Err(Error::NotFound("webhook: this server has no GitHub App").into());
    };
    verify(secret, &headers, &body)?;
    let repository = match events::repository_of(&body) {
        Some(name) => repositories::find(&app, &name).await?,
        None => None,
    };
    match repository {
        Some(repository) => store(&app, repository.id, &headers, &body).await,
        None => Ok((StatusCode::ACCEPTED, Json(json!({"ignored": "the repository is not built here"})))),
    }
}

/// Checks `X-Hub-Signature-256: sha256=<hex>`.
fn verify(secret: &SecretString, headers: &HeaderMap, body: &[u8]) -> Result<(), ApiError> {
    let header = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()).ok_or(WRONG)?;
    let claimed = header.strip_prefix("sha256=").and_then(|hex| hex::decode(hex).ok()).ok_or(WRONG)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .map_err(|_| Error::internal("a webhook secret cannot be used"))?;
    mac.update(body);
    mac.verify_slice(&claimed).map_err(|_| WRONG)
}

async fn store(app: &App, repository: RepositoryId, headers: &HeaderMap, body: &Bytes) -> Answer {
    let event = header(headers, "x-github-event")?;
    // What the server tells itself has a dot in its kind: nobody else can tell it.
    if !event.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return Err(
            Error::Invalid(format!("`{event}` is no kind of event: they are like `pull_request`")).into()
        );
    }
    let delivery_key = header(headers, "x-github-delivery")?;
    let content_key: [u8; 32] =
        Sha256::new().chain_update(event).chain_update([0]).chain_update(body).finalize().into();
    let new = NewDelivery {
        id: DeliveryId::new(),
        repository,
        delivery_key: delivery_key.to_owned(),
        content_key,
        event: event.to_owned(),
        body: body.clone(),
    };
    let id = app.intake.store(&app.db, &app.hub, new).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(match id {
            Some(id) => {
                app.metrics.deliveries.inc();
                tracing::info!(%repository, delivery = delivery_key, event, "a delivery was stored");
                json!({"delivery": id})
            }
            None => json!({"duplicate": true}),
        }),
    ))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Error> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|text| (1..=100).contains(&text.len()))
        .ok_or_else(|| {
            Error::Invalid(format!("the header {name} is missing or has more than 100 characters"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-hub-signature-256", signature.parse().unwrap());
        headers
    }

    /// The example of GitHub's documentation.
    #[test]
    fn signatures_are_those_of_the_forge() {
        let secret = SecretString::from("It's a Secret to Everybody");
        let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(verify(&secret, &headers(right), b"Hello, World!").is_ok());
        assert!(verify(&secret, &headers(right), b"Hello, World").is_err());
        assert!(verify(&secret, &headers("sha256=00"), b"Hello, World!").is_err());
        assert!(verify(&secret, &headers(&right[7..]), b"Hello, World!").is_err());
        assert!(verify(&secret, &HeaderMap::new(), b"Hello, World!").is_err());
        assert!(verify(&SecretString::from("other"), &headers(right), b"Hello, World!").is_err());
    }
}
