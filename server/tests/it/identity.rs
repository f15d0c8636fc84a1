//! Identity tokens: who is given one, what it says, and that anybody can check it by what the server publishes.

use axum::body::{Body, to_bytes};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};
use sqlx::PgPool;
use tidegate_protocol::{
    ids::RunnerId,
    messages::{Lease, Outcome},
};
use tidegate_server::{error::Error, http, identity, store::views::Repository, tasks::retention};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    leased::{finish, finished, lease, start_workflow},
    support::{MIGRATOR, World, pushed},
    workflows::with_machine,
};

const ISSUER: &str = "https://ci.example.org";

async fn world(pool: PgPool) -> World {
    World::with(pool, |config| {
        with_machine(config);
        config.public_url = format!("{ISSUER}/").parse().unwrap();
    })
    .await
}

/// A run of a workflow for an event of this name, which says that it is of another repository.
async fn start(world: &World, repository: &Repository, name: &str, trusted: bool, text: &str) {
    let mut event = pushed(repository);
    event["repository"] = "somebody/else".into();
    event["kind"] = name.into();
    event["name"] = name.into();
    event["payload"] = json!({ "sender": { "id": 7 } });
    event["trusted"] = trusted.into();
    if name == "pull_request" {
        event["pull_request"] = json!({
            "number": 7, "action": "opened", "title": "fix it", "base_branch": "main", "head_branch": "fix",
            "from_fork": !trusted,
        });
    }
    start_workflow(world, repository, text, event).await;
}

fn workflow(permissions: &str, job: &str) -> String {
    format!(
        "name: CI\non: [push, pull_request]\n{permissions}\njobs:\n  one:\n    runs-on: ubuntu-latest\n    {job}\n    steps: [{{run: make}}]\n"
    )
}

async fn token(
    world: &World,
    runner: RunnerId,
    lease: &Lease,
    audience: Option<&str>,
) -> Result<String, Error> {
    let given = identity::token(&world.app, runner, lease.attempt, lease.epoch, audience).await;
    given.map(|given| given.token)
}

/// What somebody reads who knows nothing but the issuer.
async fn get(world: &World, path: &str) -> Value {
    let request = axum::http::Request::get(path).body(Body::empty()).unwrap();
    let answer = http::router(world.app.clone(), CancellationToken::new()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap()
}

/// The claims of a token, checked by what is published.
async fn checked(world: &World, token: &str, audience: &str) -> Value {
    let document = get(world, "/.well-known/openid-configuration").await;
    let place = document["jwks_uri"].as_str().unwrap().strip_prefix(ISSUER).unwrap().to_owned();
    let keys: JwkSet = serde_json::from_value(get(world, &place).await).unwrap();
    let header = decode_header(token).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).expect("the key is published");
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[document["issuer"].as_str().unwrap()]);
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    validation.validate_nbf = true;
    decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_token_says_which_job_it_is_and_anybody_can_check_it(pool: PgPool) {
    let world = world(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    start(&world, &repository, "push", true, &workflow("permissions: {id-token: write}", "")).await;
    let one = lease(&world, runner).await;
    let given = token(&world, runner, &one, Some("sts.example.com")).await.unwrap();
    let claims = checked(&world, &given, "sts.example.com").await;
    let name = &repository.full_name;
    for (key, value) in [
        ("sub", json!(format!("repo:{name}:ref:refs/heads/main"))),
        ("repository", json!(name)),
        ("repository_owner", json!("acme")),
        ("ref", json!("refs/heads/main")),
        ("sha", json!("a".repeat(40))),
        ("workflow", json!("CI")),
        ("event_name", json!("push")),
        ("actor", json!("dora")),
        ("run_id", json!(one.run)),
        ("run_number", json!("1")),
        ("job_workflow_ref", json!(format!("{name}/.github/workflows/ci.yml@refs/heads/main"))),
        ("runner_environment", json!("self-hosted")),
    ] {
        assert_eq!(claims[key], value, "{key} in {claims}");
    }
    assert!(!claims.to_string().contains("somebody"), "an event's word on the repository counts for nothing");
    let usual = token(&world, runner, &one, None).await.unwrap();
    checked(&world, &usual, &format!("{ISSUER}/acme")).await;
    assert!(matches!(token(&world, runner, &one, Some("")).await, Err(Error::Invalid(_))));
    // Not to another runner, and not once the attempt has ended.
    let stranger = world.runner().await;
    assert!(matches!(token(&world, stranger, &one, None).await, Err(Error::Fenced(_))));
    finish(&world, runner, &one, finished(Outcome::Succeeded)).await.unwrap();
    assert!(matches!(token(&world, runner, &one, None).await, Err(Error::Fenced(_))));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn only_jobs_that_ask_for_it_have_one_and_no_fork(pool: PgPool) {
    let world = world(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    let asked = "permissions: {id-token: write}";
    for (event, trusted, permissions, job, subject) in [
        ("push", true, "", "permissions: {id-token: write}", Some("ref:refs/heads/main")),
        ("push", true, "permissions: write-all", "", Some("ref:refs/heads/main")),
        ("pull_request", true, asked, "", Some("pull_request")),
        ("push", true, "", "", None),
        ("push", true, "permissions: read-all", "", None),
        ("push", true, asked, "permissions: {contents: read}", None),
        ("pull_request", false, asked, "", None),
    ] {
        start(&world, &repository, event, trusted, &workflow(permissions, job)).await;
        let one = lease(&world, runner).await;
        let given = token(&world, runner, &one, Some("a")).await;
        let told = format!("{event} {trusted} {permissions} {job}");
        assert_eq!(one.stage.id_token, subject.is_some(), "{told}");
        match (given, subject) {
            (Ok(given), Some(subject)) => {
                let claims = checked(&world, &given, "a").await;
                assert_eq!(claims["sub"], format!("repo:{}:{subject}", repository.full_name), "{told}");
            }
            (Err(Error::Invalid(_)), None) => {}
            (given, _) => panic!("{told}: {given:?}"),
        }
        finish(&world, runner, &one, finished(Outcome::Succeeded)).await.unwrap();
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn keys_are_changed_and_the_one_before_is_published_for_a_while(pool: PgPool) {
    let world = world(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    start(&world, &repository, "push", true, &workflow("permissions: {id-token: write}", "")).await;
    let one = lease(&world, runner).await;
    // Two servers that find none make one.
    let (first, second) = tokio::join!(identity::keep(&world.app), identity::keep(&world.app));
    first.unwrap();
    second.unwrap();
    assert_eq!(world.value::<i64>("select count(*) from signing_keys").await, 1);
    let sealed: Vec<u8> = world.value("select sealed from signing_keys").await;
    assert!(!sealed.windows(4).any(|bytes| bytes == [0x30, 0x82, 0x04, 0xbd]), "no private key in the clear");
    let old = token(&world, runner, &one, Some("a")).await.unwrap();
    world.sql("update signing_keys set created_at = now() - interval '91 days'").await;
    let new = token(&world, runner, &one, Some("a")).await.unwrap();
    assert_ne!(decode_header(&old).unwrap().kid, decode_header(&new).unwrap().kid);
    checked(&world, &old, "a").await;
    checked(&world, &new, "a").await;
    retention::once(&world.app).await.unwrap();
    assert_eq!(world.value::<i64>("select count(*) from signing_keys").await, 2);
    world.sql("update signing_keys set created_at = created_at - interval '25 hours'").await;
    retention::once(&world.app).await.unwrap();
    assert_eq!(world.value::<i64>("select count(*) from signing_keys").await, 1);
    checked(&world, &new, "a").await;
}
