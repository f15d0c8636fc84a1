//! Identity tokens: a job proves to somebody else (a cloud, a registry, a vault) which job it is, without a secret that
//! would have to be kept. This server is the issuer of an OpenID Connect trust: it publishes its keys
//! ([`document`], [`public_keys`]), and signs tokens with GitHub's claims, so that a trust that was set up for GitHub
//! needs another issuer and nothing else.
//!
//! A token is given only to the runner that holds the attempt, for a stage whose plan says so (`id-token: write`), in
//! a trusted run, and is short-lived. What it says of the repository is this server's own record of it, never the word of
//! an event: somebody who may send events of one repository must not get a token of another.

mod claims;
mod keys;

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};
use tidegate_protocol::{
    ids::{AttemptId, RunnerId},
    messages::IdToken,
};

pub use keys::keep;

use crate::{app::App, error::Error, leases::held, schedule::Lenient};

/// How long a token is good, in seconds.
const LIFETIME: i64 = 600;
/// The longest audience.
const LONGEST: usize = 1024;

/// Who signs: the server's public address.
pub fn issuer(app: &App) -> String {
    app.config.public_url.as_str().trim_end_matches('/').to_owned()
}

/// What those who are shown tokens read to find the keys.
pub fn document(app: &App) -> Value {
    let issuer = issuer(app);
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks"),
        "subject_types_supported": ["public"],
        "response_types_supported": ["id_token"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
        "claims_supported": claims::ALL,
    })
}

/// The keys that tokens are checked with.
pub async fn public_keys(app: &App) -> Result<Value, Error> {
    Ok(json!({ "keys": app.db.public_keys().await? }))
}

/// A token for the attempt's job.
pub async fn token(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    audience: Option<&str>,
) -> Result<IdToken, Error> {
    if audience.is_some_and(|audience| audience.is_empty() || audience.len() > LONGEST) {
        return Err(Error::Invalid(format!("an audience has 1 to {LONGEST} bytes")));
    }
    let mut tx = app.db.begin().await?;
    let held = held(app, &mut tx, runner, attempt, epoch, "id-token").await?;
    let run = tx.read_run(held.run).await?;
    let stages = tx.stages(held.run).await?;
    let stage = stages.iter().find(|stage| stage.id == held.stage).ok_or(Error::NotFound("stage"))?;
    if !run.trusted {
        return Err(Error::Invalid("a run of a fork has no identity tokens".to_owned()));
    }
    if !stage.plan.id_token {
        return Err(Error::Invalid(format!(
            "`{}` may not have identity tokens: its job needs `permissions: id-token: write`",
            stage.key
        )));
    }
    let repository = tx.clone_source(run.repository_id).await?.full_name;
    let lenient = Lenient::read(&mut tx, &run, &stages, stage.environment.as_deref()).await?;
    tx.commit().await?;
    let github = lenient
        .map(|lenient| lenient.contexts(&stage.plan, &Default::default()))
        .and_then(|mut contexts| contexts.remove("github"))
        .ok_or_else(|| Error::internal("a stage with identity tokens has no facts of its run"))?;
    let facts = claims::Facts {
        issuer: &issuer(app),
        audience,
        repository: &repository,
        repository_id: run.repository_id,
        environment: stage.environment.as_deref(),
        called: stage.plan.call.is_some(),
        now: jiff::Timestamp::now().as_second(),
        lifetime: LIFETIME,
    };
    let claims = claims::claims(&github, &facts);
    let (id, key) = keys::current(app).await?;
    let header = Header { kid: Some(id.to_string()), ..Header::new(Algorithm::RS256) };
    let token = jsonwebtoken::encode(&header, &claims, &key)
        .map_err(|error| Error::internal(format!("an identity token cannot be signed: {error}")))?;
    tracing::info!(run = %run.id, stage = %stage.key, subject = %claims["sub"], audience = %claims["aud"], "an identity token is given");
    Ok(IdToken { token })
}
