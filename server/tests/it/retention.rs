//! Retention: what was kept long enough goes, all of it, and nothing else.

use bytes::Bytes;
use futures_util::stream;
use sqlx::PgPool;
use tidegate_pipelines::plan::CacheScope;
use tidegate_protocol::{
    messages::{Lease, Outcome},
    status::StepStatus,
};
use tidegate_server::{leases, results, tasks::retention};

use crate::{
    leased::{append, finish, finished, lease, push, step},
    support::{MIGRATOR, World},
};

const ONE: &str = "on: push\nstages:\n  one: {image: debian, run: make}\n";

fn body(text: &str) -> impl futures_util::Stream<Item = Result<Bytes, String>> + Send + Unpin {
    stream::iter([Ok(Bytes::copy_from_slice(text.as_bytes()))])
}

/// A run of one stage that ended, with a log, an artifact and a cache entry; all say the same.
async fn run(world: &World, text: &str) -> Lease {
    let repository = world.repository().await;
    push(world, &repository, ONE).await;
    let runner = world.runner().await;
    let lease = lease(world, runner).await;
    let (app, attempt, epoch) = (&world.app, lease.attempt, lease.epoch);
    leases::report_step(app, runner, attempt, epoch, &step(0, StepStatus::Running)).await.unwrap();
    append(world, runner, &lease, 0, 0, text.as_bytes()).await.unwrap();
    results::put_artifact(app, runner, attempt, epoch, "dist", body(text)).await.unwrap();
    results::put_cache(app, runner, attempt, epoch, CacheScope::Branch, "key", body(text)).await.unwrap();
    finish(world, runner, &lease, finished(Outcome::Succeeded)).await.unwrap();
    lease
}

async fn all(world: &World) {
    while retention::once(&world.app).await.unwrap() {}
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_young_stays(pool: PgPool) {
    let world = World::new(pool).await;
    run(&world, "young").await;
    world.sql("update blobs set created_at = now() - interval '3 days'").await;
    all(&world).await;
    for table in ["log_chunks", "artifacts", "caches", "blobs", "blob_chunks"] {
        assert_eq!(world.value::<i64>(&format!("select count(*) from {table}")).await, 1, "{table}");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_old_goes_and_its_blob_with_the_last_reference(pool: PgPool) {
    let world = World::new(pool).await;
    let old = run(&world, "same").await;
    run(&world, "same").await;
    let of_old = format!("(select stage_id from attempts where id = '{}')", old.attempt);
    world
        .sql(&format!(
            "update blobs set created_at = now() - interval '100 days';
             update runs set finished_at = now() - interval '91 days' where id = '{}';
             update artifacts set expires_at = now() - interval '1 second' where stage_id = {of_old};
             update caches set used_at = now() - interval '8 days'",
            old.run
        ))
        .await;
    all(&world).await;
    for (table, left) in [("log_chunks", 1), ("artifacts", 1), ("caches", 0), ("blobs", 1)] {
        assert_eq!(world.value::<i64>(&format!("select count(*) from {table}")).await, left, "{table}");
    }
    // The step stays, and says that there is nothing to read.
    let end: i64 =
        world.value(&format!("select log_bytes from steps where attempt_id = '{}'", old.attempt)).await;
    assert_eq!(end, 0);

    world.sql("update artifacts set expires_at = now() - interval '1 second'").await;
    all(&world).await;
    assert_eq!(world.value::<i64>("select count(*) from blobs").await, 0);
    assert_eq!(world.value::<i64>("select count(*) from blob_chunks").await, 0);
    assert_eq!(world.value::<i64>("select count(*) from runs").await, 2);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_blob_that_was_just_stored_is_spared(pool: PgPool) {
    let world = World::new(pool).await;
    run(&world, "new").await;
    world.sql("delete from artifacts; delete from caches").await;
    all(&world).await;
    assert_eq!(world.value::<i64>("select count(*) from blobs").await, 1);
    // One that nobody referred to for long is young again when it is stored again.
    world.sql("update blobs set created_at = now() - interval '9 days'").await;
    run(&world, "new").await;
    world.sql("delete from artifacts; delete from caches").await;
    all(&world).await;
    assert_eq!(world.value::<i64>("select count(*) from blobs").await, 1);
    world.sql("update blobs set created_at = now() - interval '2 days'").await;
    all(&world).await;
    assert_eq!(world.value::<i64>("select count(*) from blobs").await, 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn more_than_a_batch_goes_batch_by_batch(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    world
        .sql(&format!(
            "insert into sessions (token_hash, user_id, expires_at)
                 select sha256(n::text::bytea), (select id from users), now() + n * interval '1 hour' from generate_series(-1200, 1) n;
             insert into deliveries (id, repository_id, delivery_key, content_key, event, body, received_at, state)
                 select gen_random_uuid(), '{id}', n::text, sha256(n::text::bytea), 'push', 'body', now() - n * interval '1 day',
                     case when n = 500 then 'received' else 'processed' end from generate_series(1, 500, 499) n;
             insert into outbox (idempotency_key, kind, repository_id, payload, created_at, state)
                 select n::text, 'run', '{id}', '{{\"run\": 1}}', now() - n * interval '1 day', 'sent' from generate_series(1, 200, 199) n;
             insert into refused_writes (at, call, reason) values (now() - interval '91 days', 'log', ''), (now(), 'log', '');
             insert into deliveries (id, repository_id, delivery_key, content_key, event, body, received_at, state)
                 values (gen_random_uuid(), '{id}', 'old', sha256('old'), 'push', 'body', now() - interval '91 days', 'ignored')",
            id = repository.id
        ))
        .await;
    assert!(retention::once(&world.app).await.unwrap(), "a whole batch of sessions went");
    all(&world).await;
    assert_eq!(world.value::<i64>("select count(*) from sessions").await, 1);
    // Young ones and those still to be worked on keep their bodies; of the others the rows stay.
    assert_eq!(world.value::<i64>("select count(*) from deliveries").await, 3);
    let emptied: String =
        world.value("select string_agg(delivery_key, ' ') from deliveries where body = ''").await;
    assert_eq!(emptied, "old");
    let emptied: String =
        world.value("select string_agg(idempotency_key, ' ') from outbox where payload = 'null'").await;
    assert_eq!(emptied, "200");
    assert_eq!(world.value::<i64>("select count(*) from refused_writes").await, 1);
}
