//! Checks against a small server that answers as it is told.

use std::collections::BTreeMap;

use tidegate_pipelines::plan::Template;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A server that answers every request with these bytes; gives its URL.
async fn server(answer: &'static str, delay: Duration) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            tokio::time::sleep(delay).await;
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    url
}

fn check(url: &str) -> HttpCheck {
    HttpCheck {
        name: "health".to_owned(),
        url: Template(url.to_owned()),
        method: "GET".to_owned(),
        status: vec![200, 204],
        body_contains: None,
        headers: BTreeMap::new(),
        max_latency_ms: None,
        deadline_ms: 5_000,
        interval_ms: 100,
    }
}

async fn asked(check: &HttpCheck) -> Result<String, String> {
    ask(&client().unwrap(), check, Instant::now() + Duration::from_secs(5)).await
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-version: 7\r\nconnection: close\r\n\r\nall ok";

#[tokio::test]
async fn what_is_asked_for_is_found() {
    let mut check = check(&server(OK, Duration::ZERO).await);
    check.headers.insert("x-version".to_owned(), Template::from("7"));
    check.body_contains = Some(Template::from("all"));
    assert!(asked(&check).await.unwrap().starts_with("200 in "));
}

#[tokio::test]
async fn each_difference_is_named() {
    let url = server(OK, Duration::from_millis(50)).await;
    let mut wrong = check(&url);
    wrong.status = vec![503];
    assert_eq!(asked(&wrong).await.unwrap_err(), "answered 200 (wanted 503)");
    let mut wrong = check(&url);
    wrong.headers.insert("x-version".to_owned(), Template::from("8"));
    assert_eq!(asked(&wrong).await.unwrap_err(), "answered with x-version: `7` (wanted `8`)");
    let mut wrong = check(&url);
    wrong.body_contains = Some(Template::from("broken"));
    assert!(asked(&wrong).await.unwrap_err().contains("without `broken`"));
    let mut wrong = check(&url);
    wrong.max_latency_ms = Some(1);
    assert!(asked(&wrong).await.unwrap_err().contains("wanted at most 1 ms"));
}

#[tokio::test]
async fn a_redirect_is_an_answer_of_its_own() {
    let url = server(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        Duration::ZERO,
    )
    .await;
    assert_eq!(asked(&check(&url)).await.unwrap_err(), "answered 302 (wanted 200 or 204)");
}

#[tokio::test]
async fn a_closed_port_is_said_plainly() {
    let text = asked(&check("http://127.0.0.1:1/")).await.unwrap_err();
    assert!(text.contains("refused"), "{text}");
}
