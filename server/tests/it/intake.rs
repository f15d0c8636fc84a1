//! Webhooks that come at the same time: each has its own answer, and each delivery is stored once.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use bytes::Bytes;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::Sha256;
use sqlx::PgPool;
use tidegate_protocol::ids::{DeliveryId, RepositoryId};
use tidegate_server::{http, repositories, store::NewDelivery};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::support::{MIGRATOR, World};

fn delivery(repository: RepositoryId, key: &str, content: u8) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(),
        repository,
        delivery_key: key.to_owned(),
        content_key: [content; 32],
        event: "push".to_owned(),
        body: Bytes::from(vec![content; 1000]),
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn of_a_burst_each_is_stored_once_and_knows_it(pool: PgPool) {
    let world = World::new(pool).await;
    let app = &world.app;
    let repository = world.repository().await.id;
    // Every delivery three times: as it is, under another key, and with other bytes.
    let burst = (0..100_u8).flat_map(|n| {
        let key = format!("key-{n}");
        [
            delivery(repository, &key, n),
            delivery(repository, &format!("other-{n}"), n),
            delivery(repository, &key, n),
        ]
    });
    let answers = join_all(burst.map(|new| app.intake.store(&app.db, &app.hub, new))).await;
    let stored = answers.into_iter().filter_map(Result::unwrap).count();
    assert_eq!(stored, 100);
    assert_eq!(world.value::<i64>("select count(*) from deliveries").await, 100);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn one_that_cannot_be_stored_takes_no_other_with_it(pool: PgPool) {
    let world = World::new(pool).await;
    let app = &world.app;
    let repository = world.repository().await.id;
    let burst = (0..40_u8).map(|n| {
        // As if the repository had been deleted after its secret was read.
        let whose = if n % 10 == 3 { RepositoryId::new() } else { repository };
        delivery(whose, &format!("key-{n}"), n)
    });
    let answers = join_all(burst.map(|new| app.intake.store(&app.db, &app.hub, new))).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), n % 10 == 3, "{n}: {answer:?}");
    }
    assert_eq!(world.value::<i64>("select count(*) from deliveries").await, 36);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_secret_is_worth_nothing_once_its_repository_is_gone(pool: PgPool) {
    let world = World::new(pool).await;
    let router = http::router(world.app.clone(), CancellationToken::new());
    let repository = world.repository().await.id;
    let secret = repositories::webhook_secret(&world.app, repository).await.unwrap();
    let post = async |event: &str, key: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).unwrap();
        mac.update(key.as_bytes());
        let request = Request::post(format!("/webhooks/github/{repository}"))
            .header("x-github-event", event)
            .header("x-github-delivery", key)
            .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
            .body(Body::from(key.to_owned()))
            .unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(post("ping", "one").await, StatusCode::ACCEPTED);
    // What the server tells itself nobody else can tell it.
    assert_eq!(post("run.requested", "another").await, StatusCode::BAD_REQUEST);
    // By another server: this one has not heard of it.
    world.sql(&format!("delete from repositories where id = '{repository}'")).await;
    assert_eq!(post("ping", "two").await, StatusCode::UNAUTHORIZED);
    assert_eq!(post("ping", "three").await, StatusCode::UNAUTHORIZED);
}
