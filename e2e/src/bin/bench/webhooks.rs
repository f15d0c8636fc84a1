//! (e) Webhooks per second, signed, verified and durable, against the same one-row insert alone.

use std::sync::Arc;

use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgPoolOptions;
use tidegate_e2e::{repo::signature, stack::Stack};
use uuid::Uuid;

use crate::{row, timed};

const COUNT: usize = 3_000;
const CONNECTIONS: usize = 32;

/// Measures both, one after the other, on the same cluster.
pub async fn accepted(stack: &Stack) -> Result<()> {
    let project = stack.project("webhooks").await?;
    // A branch's end: verified, stored and processed like any push, and it starts nothing.
    let bodies: Vec<Vec<u8>> = (0..COUNT)
        .map(|number| {
            let push = tidegate_e2e::repo::Push {
                before: format!("{number:040x}"),
                after: "0".repeat(40),
                reference: format!("refs/heads/gone-{number}"),
                pusher: "dev".to_owned(),
                changed: vec!["src/".repeat(400)],
            };
            let mut body = project.repo.webhook(&push);
            body["deleted"] = json!(true);
            serde_json::to_vec(&body)
        })
        .collect::<Result<_, _>>()?;

    let pool = PgPoolOptions::new().max_connections(CONNECTIONS as u32).connect(stack.database_url()).await?;
    sqlx::query("create table bench_deliveries (like deliveries including all)").execute(&pool).await?;
    let repository: Uuid = project.id.parse()?;
    let (floor, ()) = timed(async {
        futures_util::stream::iter(&bodies)
            .map(|body| {
                sqlx::query(
                    "insert into bench_deliveries (id, repository_id, delivery_key, content_key, event, body) \
                     values ($1, $2, $3, $4, 'push', $5)",
                )
                .bind(Uuid::now_v7())
                .bind(repository)
                .bind(Uuid::new_v4().to_string())
                .bind(Sha256::digest(body).to_vec())
                .bind(body)
                .execute(&pool)
            })
            .buffer_unordered(CONNECTIONS)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    })
    .await?;

    let http = reqwest::Client::new();
    let project = Arc::new(project);
    let signed: Vec<(String, Vec<u8>)> = bodies
        .into_iter()
        .map(|body| Ok((signature(&project.webhook_secret, &body)?, body)))
        .collect::<Result<_>>()?;
    let (ours, ()) = timed(async {
        futures_util::stream::iter(signed)
            .map(|(signature, body)| {
                let request = http
                    .post(&project.webhook_url)
                    .header("content-type", "application/json")
                    .header("x-github-event", "push")
                    .header("x-github-delivery", Uuid::new_v4().to_string())
                    .header("x-hub-signature-256", signature)
                    .body(body);
                async move {
                    let status = request.send().await?.status();
                    ensure!(status == 202, "a webhook was answered {status}");
                    Ok(())
                }
            })
            .buffer_unordered(CONNECTIONS)
            .try_for_each(|()| async { Ok(()) })
            .await
    })
    .await?;
    let per_second = |taken: std::time::Duration| COUNT as f64 / taken.as_secs_f64();
    row(
        "(e) webhooks per second, verified, durable",
        per_second(ours),
        per_second(floor),
        "/s",
        "0.7 x one-row insert",
    );
    Ok(())
}
