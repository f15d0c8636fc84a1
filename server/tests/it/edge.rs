//! The edge for people: who may call what, what another site cannot cause, and streams that go on where they broke off.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, BodyDataStream, to_bytes},
    http::{HeaderMap, Request, StatusCode},
    response::Response,
};
use futures_util::StreamExt as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::PgPool;
use tidegate_protocol::{messages::Outcome, status::StepStatus};
use tidegate_server::{
    actor::{Actor, Role},
    auth,
    http::{self, Access, TABLE},
    leases,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    leased::{append, finish, finished, lease, push, step},
    support::{MIGRATOR, World},
};

const HELLO: &str = "on: push\nstages:\n  hello: {image: debian, run: echo hello}\n";
const PASSWORD: &str = "correct horse";

struct Edge {
    world: World,
    router: Router,
}

impl Edge {
    async fn new(pool: PgPool) -> Self {
        Self::of(World::new(pool).await)
    }

    fn of(world: World) -> Self {
        let router = http::router(world.app.clone(), CancellationToken::new());
        Self { world, router }
    }

    /// A token of this person.
    async fn token(&self, actor: &Actor) -> String {
        let fresh = auth::fresh("tg_");
        let mut tx = self.world.app.db.begin().await.unwrap();
        tx.insert_token(actor.user, "test", &fresh.hash, None).await.unwrap();
        tx.commit().await.unwrap();
        fresh.key.expose_secret().to_owned()
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> Response {
        self.send("GET", path, &[("authorization", &format!("Bearer {token}"))], "").await
    }

    /// Logs this person in; answers the cookie's `name=value` and the whole header.
    async fn log_in(&self, username: &str) -> (String, String) {
        let hash = auth::hash_password(PASSWORD.to_owned().into()).await.unwrap();
        sqlx::query("update users set password_hash = $1 where username = $2")
            .bind(hash)
            .bind(username)
            .execute(&self.world.pool)
            .await
            .unwrap();
        let body = json!({ "username": username, "password": PASSWORD }).to_string();
        let answer = self.send("POST", "/api/v1/session", &[], &body).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        (cookie.split(';').next().unwrap().to_owned(), cookie)
    }
}

async fn json_of(answer: Response) -> Value {
    serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap_or(Value::Null)
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn every_call_is_open_to_exactly_those_that_the_table_names(pool: PgPool) {
    let edge = Edge::new(pool).await;
    let mut people = vec![(None, String::new())];
    for role in [Role::Viewer, Role::Developer, Role::ReleaseManager, Role::Admin] {
        let actor = edge.world.user(role.as_str().replace('_', "-").as_str(), role).await;
        people.push((Some(role), edge.token(&actor).await));
    }
    for (method, path, access) in TABLE {
        // Things that are not there: whoever may call is told so, and nothing changes.
        let path = path
            .replace("{id}", "01890000-0000-7000-8000-000000000000")
            .replace("{step}", "0")
            .replace("{name}", "NOTHING");
        for (role, token) in &people {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str())];
            let headers = if role.is_some() { &headers[..] } else { &[] };
            let body = if matches!(*method, "GET" | "DELETE") { "" } else { "{\"none\": 1}" };
            let answer = edge.send(method, &path, headers, body).await;
            let status = answer.status();
            let call = format!("{method} {path} by {role:?}: {status}");
            assert!(!status.is_server_error(), "{call}");
            let wanted = match (access, role) {
                (Access::Public, _) => None,
                (Access::From(_), None) => Some(StatusCode::UNAUTHORIZED),
                (Access::From(least), Some(role)) if role < least => Some(StatusCode::FORBIDDEN),
                (Access::From(_), Some(_)) => None,
            };
            match wanted {
                Some(wanted) => {
                    assert_eq!(status, wanted, "{call}");
                    let error = json_of(answer).await;
                    assert!(!error["error"]["message"].as_str().unwrap().is_empty(), "{call}");
                }
                None => assert!(
                    status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN,
                    "{call} should be let through"
                ),
            }
        }
    }
    let admin = &people[4].1;
    assert_eq!(edge.get("/api/v1/nowhere", admin).await.status(), StatusCode::NOT_FOUND);
    let wrong =
        edge.send("PATCH", "/api/v1/runs", &[("authorization", &format!("Bearer {admin}"))], "{}").await;
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn another_sites_page_changes_nothing(pool: PgPool) {
    let edge = Edge::new(pool).await;
    let (cookie, whole) = edge.log_in("anna").await;
    for flag in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=604800"] {
        assert!(whole.contains(flag), "{whole}");
    }
    assert!(!whole.contains("Secure"), "this address has no TLS: {whole}");
    let me = edge.send("GET", "/api/v1/session", &[("cookie", &cookie)], "").await;
    assert_eq!((me.status(), json_of(me).await["user"]["username"].as_str()), (StatusCode::OK, Some("anna")));

    let make = json!({ "name": "ci" }).to_string();
    for foreign in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8080")],
        &[("sec-fetch-site", "same-site")],
        &[],
    ] {
        let headers = [&[("cookie", cookie.as_str())][..], foreign].concat();
        let answer = edge.send("POST", "/api/v1/tokens", &headers, &make).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{foreign:?}");
    }
    let body = json!({ "username": "anna", "password": PASSWORD }).to_string();
    let foreign = edge.send("POST", "/api/v1/session", &[("origin", "https://evil.example")], &body).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN, "nobody is logged in by another site either");
    assert_eq!(edge.world.value::<i64>("select count(*) from api_tokens").await, 0);

    let own = [("cookie", cookie.as_str()), ("origin", "http://localhost:8080")];
    let made = edge.send("POST", "/api/v1/tokens", &own, &make).await;
    assert_eq!(made.status(), StatusCode::OK);
    // A token needs no such care, and one that is wrong is not made up for by a cookie.
    let token = json_of(made).await["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("origin", "https://evil.example")];
    let second = edge.send("POST", "/api/v1/tokens", &headers, &json!({ "name": "two" }).to_string()).await;
    assert_eq!(second.status(), StatusCode::OK);
    let headers = [("authorization", "Bearer wrong"), ("cookie", cookie.as_str())];
    let answer = edge.send("GET", "/api/v1/session", &headers, "").await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn behind_tls_the_cookie_is_for_this_host_alone(pool: PgPool) {
    let world =
        World::with(pool, |config| config.public_url = "https://ci.example.org".parse().unwrap()).await;
    let edge = Edge::of(world);
    let (_, whole) = edge.log_in("anna").await;
    assert!(whole.starts_with("__Host-tidegate=") && whole.contains("Secure"), "{whole}");
    assert!(!whole.contains("Domain"), "{whole}");
    let answer = edge.send("GET", "/health", &[], "").await;
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn who_is_shut_out_is_out_at_once(pool: PgPool) {
    let edge = Edge::new(pool).await;
    let rita = edge.world.user("rita", Role::Admin).await;
    let token = edge.token(&rita).await;
    let (cookie, _) = edge.log_in("rita").await;
    let ask = async |cookie: &str| {
        let by_cookie = edge.send("GET", "/api/v1/users", &[("cookie", cookie)], "").await.status();
        (by_cookie.as_u16(), edge.get("/api/v1/users", &token).await.status().as_u16())
    };
    assert_eq!(ask(&cookie).await, (200, 200));
    // A role that was taken away is gone with the next call.
    edge.world.sql("update users set role = 'viewer' where username = 'rita'").await;
    assert_eq!(ask(&cookie).await, (403, 403));
    edge.world.sql("update users set role = 'admin' where username = 'rita'").await;

    let anna = edge.token(&edge.world.admin).await;
    let bearer = format!("Bearer {anna}");
    let path = format!("/api/v1/users/{}", rita.user);
    let out = edge.send("PATCH", &path, &[("authorization", &bearer)], "{\"disabled\": true}").await;
    assert_eq!(out.status(), StatusCode::OK);
    assert_eq!(ask(&cookie).await, (401, 401));
    let body = json!({ "username": "rita", "password": PASSWORD }).to_string();
    assert_eq!(edge.send("POST", "/api/v1/session", &[], &body).await.status(), StatusCode::UNAUTHORIZED);
    // The last administrator cannot shut the door behind them.
    let path = format!("/api/v1/users/{}", edge.world.admin.user);
    let last = edge.send("PATCH", &path, &[("authorization", &bearer)], "{\"disabled\": true}").await;
    assert_eq!(last.status(), StatusCode::CONFLICT);

    let (cookie, _) = edge.log_in("anna").await;
    let own = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    let gone = edge.send("DELETE", "/api/v1/session", &own, "").await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert!(gone.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(edge.send("GET", "/api/v1/session", &own, "").await.status(), StatusCode::UNAUTHORIZED);
}

fn has_all(headers: &HeaderMap) {
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(headers.contains_key("cache-control"));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn every_answer_carries_what_keeps_a_browser_safe(pool: PgPool) {
    let edge = Edge::new(pool).await;
    let token = edge.token(&edge.world.admin).await;
    for path in
        ["/", "/health", "/api/v1/runs", "/api/v1/nowhere", "/api/openapi.json", "/runs/1", "/../etc/passwd"]
    {
        has_all(edge.get(path, &token).await.headers());
    }
    has_all(edge.send("GET", "/api/v1/runs", &[], "").await.headers());
    let answer = edge.get("/api/v1/runs", &token).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let huge = "x".repeat((1 << 20) + 1);
    let bearer = format!("Bearer {token}");
    let answer = edge.send("POST", "/api/v1/tokens", &[("authorization", &bearer)], &huge).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

/// Events of a stream: `(id, event, data)`.
struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    fn of(answer: Response) -> Self {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body().into_data_stream(), text: String::new() }
    }

    async fn next(&mut self) -> (i64, String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    line.unwrap_or_default().trim_start().to_owned()
                };
                let found = (field("id"), field("event"), field("data"));
                self.text = rest.to_owned();
                if found.0.is_empty() {
                    continue;
                }
                return (found.0.parse().unwrap(), found.1, serde_json::from_str(&found.2).unwrap());
            }
            let piece = tokio::time::timeout(Duration::from_secs(60), self.body.next()).await;
            let piece = piece.expect("nothing comes").expect("the stream ended").unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn events_go_on_where_they_broke_off(pool: PgPool) {
    let edge = Edge::new(pool).await;
    let token = edge.token(&edge.world.admin).await;
    let repository = edge.world.repository().await;
    let (run, other) =
        (push(&edge.world, &repository, HELLO).await, push(&edge.world, &repository, HELLO).await);
    let query = format!("select array_agg(seq order by seq) from events where run_id = '{run}'");
    let stored: Vec<i64> = edge.world.value(&query).await;
    assert!(stored.len() > 1);
    let path = format!("/api/v1/events?run={run}&after=0");
    let mut whole = Stream::of(edge.get(&path, &token).await);
    for seq in &stored {
        let (id, kind, event) = whole.next().await;
        assert_eq!((id, kind.as_str(), event["seq"].as_i64()), (*seq, "event", Some(*seq)));
    }
    // From the second on, by what the browser remembers, which goes before the address.
    let bearer = format!("Bearer {token}");
    let last = stored[0].to_string();
    let headers = [("authorization", bearer.as_str()), ("last-event-id", last.as_str())];
    let mut rest = Stream::of(edge.send("GET", &path, &headers, "").await);
    assert_eq!(rest.next().await.0, stored[1]);
    let bad = [("authorization", bearer.as_str()), ("last-event-id", "x")];
    assert_eq!(edge.send("GET", &path, &bad, "").await.status(), StatusCode::BAD_REQUEST);

    // What happens from now on comes too, and of this run alone.
    tidegate_server::runs::cancel(&edge.world.app, other, &edge.world.admin).await.unwrap();
    tidegate_server::runs::cancel(&edge.world.app, run, &edge.world.admin).await.unwrap();
    let (id, _, event) = whole.next().await;
    assert!(id > stored[stored.len() - 1]);
    assert_eq!(event["kind"], "run.cancelling");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_log_goes_on_where_it_broke_off_and_ends(pool: PgPool) {
    let edge = Edge::new(pool).await;
    let token = edge.token(&edge.world.admin).await;
    let repository = edge.world.repository().await;
    let runner = edge.world.runner().await;
    push(&edge.world, &repository, HELLO).await;
    let lease = lease(&edge.world, runner).await;
    leases::report_step(&edge.world.app, runner, lease.attempt, lease.epoch, &step(0, StepStatus::Running))
        .await
        .unwrap();
    append(&edge.world, runner, &lease, 0, 0, b"one\ntwo\n").await.unwrap();
    let path = format!("/api/v1/attempts/{}/steps/0/log/stream", lease.attempt);
    let mut whole = Stream::of(edge.get(&path, &token).await);
    let (id, _, data) = whole.next().await;
    assert_eq!((id, data), (8, json!({ "offset": 0, "text": "one\ntwo\n", "lines": 0 })));

    let mut part = Stream::of(edge.get(&format!("{path}?offset=4"), &token).await);
    let (id, _, data) = part.next().await;
    assert_eq!((id, data), (8, json!({ "offset": 4, "text": "two\n", "lines": 1 })));
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("last-event-id", "4")];
    let mut again = Stream::of(edge.send("GET", &path, &headers, "").await);
    assert_eq!(again.next().await.2["offset"], 4);

    append(&edge.world, runner, &lease, 0, 8, b"three\n").await.unwrap();
    finish(&edge.world, runner, &lease, finished(Outcome::Succeeded)).await.unwrap();
    for stream in [&mut whole, &mut part, &mut again] {
        let (id, _, data) = stream.next().await;
        assert_eq!((id, data), (14, json!({ "offset": 8, "text": "three\n", "lines": 2 })));
        let (id, kind, _) = stream.next().await;
        assert_eq!((id, kind.as_str()), (14, "end"));
        assert!(stream.body.next().await.is_none(), "nothing comes after the end");
    }
    let beyond = edge.get(&format!("{path}?offset=99"), &token).await;
    assert_eq!(beyond.status(), StatusCode::BAD_REQUEST);
    let nowhere = path.replace("steps/0", "steps/7");
    assert_eq!(edge.get(&nowhere, &token).await.status(), StatusCode::NOT_FOUND);
}
