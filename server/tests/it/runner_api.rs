//! The runners' calls over HTTP: who is known, what is answered, and what a runner reads when it is refused.

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tidegate_protocol::messages::{EPOCH_HEADER, MAX_LOG_CHUNK};
use tidegate_server::{bootstrap, http};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    leased::push,
    support::{MIGRATOR, World},
};

const ONE: &str = "on: push\nstages:\n  hello: {image: debian, run: echo hello}\n";

struct Api {
    router: Router,
    key: Option<String>,
}

impl Api {
    fn new(world: &World) -> Self {
        Self { router: http::router(world.app.clone(), CancellationToken::new()), key: None }
    }

    async fn send(&self, path: &str, epoch: Option<i64>, body: impl Into<Body>) -> (StatusCode, Value) {
        let mut request = Request::post(format!("/runner/v1/{path}"));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(epoch) = epoch {
            request = request.header(EPOCH_HEADER, epoch);
        }
        let answer = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = answer.status();
        let bytes: Bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn enrol(&mut self, world: &World, name: &str) {
        let token = bootstrap::enrolment_token(&world.app).await.unwrap();
        let enrol = json!({ "protocol": 1, "token": token, "name": name }).to_string();
        let (status, enrolled) = self.send("enrol", None, enrol.clone()).await;
        assert_eq!(status, StatusCode::OK, "{enrolled}");
        self.key = Some(enrolled["key"].as_str().unwrap().to_owned());
        assert_eq!(self.send("enrol", None, enrol).await.0, StatusCode::UNAUTHORIZED, "a token is good once");
    }
}

fn claim() -> String {
    json!({ "protocol": 1, "labels": ["docker"], "free_slots": 1, "version": "0.1.0", "wait_ms": 0 })
        .to_string()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_stage_over_http(pool: PgPool) {
    let world = World::new(pool).await;
    let mut api = Api::new(&world);
    assert_eq!(api.send("claim", None, claim()).await.0, StatusCode::UNAUTHORIZED);
    api.enrol(&world, "one").await;
    assert_eq!(api.send("claim", None, claim()).await.0, StatusCode::NO_CONTENT);
    let repository = world.repository().await;
    let run = push(&world, &repository, ONE).await;
    let (status, lease) = api.send("claim", None, claim()).await;
    assert_eq!((status, lease["run"].as_str()), (StatusCode::OK, Some(run.to_string().as_str())));
    let at = |call: &str| format!("attempts/{}/{call}", lease["attempt"].as_str().unwrap());
    let epoch = lease["epoch"].as_i64();

    let renew = json!({ "backlog_bytes": 0 }).to_string();
    let (status, renewed) = api.send(&at("renew"), epoch, renew.clone()).await;
    assert_eq!((status, renewed), (StatusCode::OK, json!({ "expires_in_ms": 30_000, "cancel": false })));
    let begun =
        json!({ "index": 0, "name": "set-up", "status": "running", "exit_code": null, "duration_ms": null });
    assert_eq!(api.send(&at("steps"), epoch, begun.to_string()).await.0, StatusCode::NO_CONTENT);
    let frame = zstd::bulk::compress(b"hello\n", 1).unwrap();
    let (status, accepted) = api.send(&at("log?step=0&offset=0"), epoch, frame).await;
    assert_eq!((status, accepted), (StatusCode::OK, json!({ "next_offset": 6, "cancel": false })));
    // The largest chunk may be larger as a frame than as bytes.
    let mut noise = vec![0_u8; MAX_LOG_CHUNK];
    let mut state = 1_u32;
    for byte in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    let (status, accepted) =
        api.send(&at("log?step=0&offset=6"), epoch, zstd::bulk::compress(&noise, 1).unwrap()).await;
    assert_eq!((status, &accepted["next_offset"]), (StatusCode::OK, &json!(MAX_LOG_CHUNK + 6)));

    // A runner that reads 409 or 403 stops its sandbox, so nothing else may answer so.
    let (status, refused) = api.send(&at("renew"), Some(7), renew.clone()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["reason"].as_str().unwrap().contains("epoch"), "{refused}");
    for (call, epoch, body) in [
        ("renew", None, renew.as_str()),
        ("renew", epoch, "{"),
        ("log?step=0&offset=99999999999999999999", epoch, ""),
        ("log?step=0&offset=6", epoch, "no frame"),
        ("steps", epoch, "{\"index\": -1}"),
    ] {
        assert_eq!(
            api.send(&at(call), epoch, body.to_owned()).await.0,
            StatusCode::BAD_REQUEST,
            "{call} {body}"
        );
    }
    let huge = vec![0_u8; MAX_LOG_CHUNK * 2];
    assert_eq!(api.send(&at("log?step=0&offset=6"), epoch, huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);

    let end = json!({ "outcome": "succeeded", "reason": null, "exit_code": null, "outputs": {} }).to_string();
    assert_eq!(api.send(&at("finish"), epoch, end.clone()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(api.send(&at("finish"), epoch, end).await.0, StatusCode::NO_CONTENT);
    assert_eq!(api.send(&at("renew"), epoch, renew.clone()).await.0, StatusCode::CONFLICT);

    let mut other = Api::new(&world);
    other.enrol(&world, "two").await;
    let (status, refused) = other.send(&at("renew"), epoch, renew).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["reason"].as_str().unwrap().contains("another runner"), "{refused}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_runner_of_another_time_is_told_what_to_install(pool: PgPool) {
    let world = World::new(pool).await;
    let mut api = Api::new(&world);
    api.enrol(&world, "one").await;
    let newer = claim().replace("\"protocol\":1", "\"protocol\":3");
    let (status, answer) = api.send("claim", None, newer).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["error"]["message"].as_str().unwrap().contains("protocol 3"), "{answer}");
    let labels = vec!["x".repeat(101)];
    let body = json!({ "protocol": 1, "labels": labels, "free_slots": 1, "version": "1", "wait_ms": 0 });
    assert_eq!(api.send("claim", None, body.to_string()).await.0, StatusCode::BAD_REQUEST);
}
