//! What the database itself refuses: transitions that are in no table, and changes to the trail. And what it keeps
//! together: a change and the message about it.

use std::collections::BTreeSet;

use sqlx::PgPool;
use tidegate_protocol::messages::Outcome;
use tidegate_server::{
    environments::Rules,
    gates::{self, Verdict},
};

use crate::{
    deployed::{Site, TEXT},
    leased::push,
    support::{MIGRATOR, World},
};

const STATES: [(&str, &[&str]); 5] = [
    ("runs", &["pending", "running", "waiting", "succeeded", "warned", "failed", "cancelled", "invalid"]),
    (
        "stages",
        &[
            "blocked",
            "gated",
            "queued",
            "running",
            "succeeded",
            "warned",
            "failed",
            "skipped",
            "cancelled",
            "unknown",
        ],
    ),
    ("attempts", &["running", "succeeded", "failed", "cancelled", "lost"]),
    ("gates", &["open", "approved", "rejected", "expired", "voided"]),
    ("deployments", &["deploying", "verifying", "succeeded", "failed", "rolled_back", "unknown"]),
];

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_is_in_no_table_is_refused(pool: PgPool) {
    let site = Site::new(World::new(pool).await, Rules { required_approvals: 1, ..Rules::default() }).await;
    let run = site.packed("r/api@sha256:1").await;
    gates::decide(&site.world.app, site.gate().await, Verdict::Approve, "", &site.world.admin).await.unwrap();
    site.take(run, "deploy").await;
    let query = "select array_agg(entity || ' ' || from_state || ' ' || to_state) from transitions";
    let listed: BTreeSet<String> = site.world.value::<Vec<String>>(query).await.into_iter().collect();
    let (mut allowed, mut refused) = (0, 0);
    for (table, states) in STATES {
        for from in states {
            for to in states.iter().filter(|to| *to != from) {
                // One row, put into its state behind the trigger's back; undone with the statement that fails.
                let change = format!(
                    "begin; set local session_replication_role = replica;
                     update {table} set status = '{from}' where id = (select id from {table} order by id limit 1);
                     set local session_replication_role = default;
                     update {table} set status = '{to}' where id = (select id from {table} order by id limit 1);
                     rollback"
                );
                let mut connection = site.world.pool.acquire().await.unwrap();
                let answer = sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&mut *connection).await;
                let pair = format!("{table} {from} {to}");
                match (listed.contains(&pair), answer) {
                    (true, Ok(_)) => allowed += 1,
                    (false, Err(error)) => {
                        sqlx::raw_sql("rollback").execute(&mut *connection).await.unwrap();
                        let wanted = format!("illegal transition of {table}: {from} -> {to}");
                        assert!(error.to_string().contains(&wanted), "{pair}: {error}");
                        refused += 1;
                    }
                    (listed, answer) => panic!("{pair}: listed {listed}, {answer:?}"),
                }
            }
        }
        let unheard_of = format!("update {table} set status = 'asleep'");
        let answer = sqlx::raw_sql(sqlx::AssertSqlSafe(unheard_of)).execute(&site.world.pool).await;
        assert!(answer.is_err(), "{table}");
    }
    assert_eq!(allowed, listed.len(), "each that is listed is one of these states'");
    assert!(refused > 100, "{refused}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_trail_cannot_be_changed(pool: PgPool) {
    let site = Site::new(World::new(pool).await, Rules::default()).await;
    let entries: i64 = site.world.value("select count(*) from audit").await;
    assert!(entries > 0);
    for change in ["update audit set actor = 'eve'", "delete from audit", "truncate audit"] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(change)).execute(&site.world.pool).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{change}: {refused}");
    }
    assert_eq!(site.world.value::<i64>("select count(*) from audit").await, entries);
}

/// Whether the newest message was written by the transaction that wrote this row last.
async fn together(site: &Site, row: &str) -> bool {
    let query = format!(
        "select (select xmin::text from outbox order by id desc limit 1) = (select xmin::text from {row})"
    );
    site.world.value(&query).await
}

async fn told(site: &Site) -> Vec<String> {
    site.world
        .value(
            "select coalesce(array_agg(kind || ' ' || (payload->>'status') order by id), '{}') from outbox",
        )
        .await
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_the_forge_is_told_is_written_with_what_it_is_about(pool: PgPool) {
    let site = Site::new(World::new(pool).await, Rules::default()).await;
    site.deploy("r/api@sha256:1").await;
    assert_eq!(told(&site).await, Vec::<String>::new(), "a plain repository has nobody to tell");

    site.world.sql("update repositories set forge = 'github'").await;
    let run = push(&site.world, &site.repository, TEXT).await;
    let the_run = format!("runs where id = '{run}'");
    assert_eq!(told(&site).await, ["run running"]);
    assert!(together(&site, &the_run).await);
    site.pack(run, "r/api@sha256:2").await;
    site.carry_out(run, "deploy", Outcome::Succeeded).await;
    assert_eq!(told(&site).await[1..], ["deployment deploying", "deployment verifying"]);
    let the_deployment = "deployments order by created_at desc limit 1";
    assert!(together(&site, the_deployment).await);
    site.carry_out(run, "check", Outcome::Failed).await;
    assert_eq!(told(&site).await[3..], ["deployment failed"]);
    assert!(together(&site, the_deployment).await);
    let failed = format!("attempts where run_id = '{run}' order by id desc limit 1");
    assert!(together(&site, &failed).await);
    site.carry_out(run, "rollback: deploy", Outcome::Succeeded).await;
    site.carry_out(run, "rollback: check", Outcome::Succeeded).await;
    assert_eq!(
        told(&site).await[4..],
        ["deployment deploying", "deployment verifying", "deployment succeeded", "run failed"]
    );
    assert!(together(&site, &the_run).await);
}
