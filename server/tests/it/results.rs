//! Artifacts and caches: what is stored comes back whole or not at all, and only to those it is for.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tidegate_pipelines::plan::{CacheScope, StageKey};
use tidegate_protocol::{
    ids::{ArtifactId, RunnerId},
    messages::{Lease, Outcome, Stored},
};
use tidegate_server::{
    error::Error,
    results::{self, BlobReader},
};

use crate::{
    leased::{finish, finished, lease, push, start},
    support::{MIGRATOR, World},
};

const BUNDLE: &str = "
on: push
stages:
  bundle: {image: debian, run: make, artifacts: [{name: dist, paths: [dist], retention: 3d}, {name: log, paths: [log]}]}
  deploy: {needs: [bundle], image: debian, run: ls, fetch: [bundle.dist]}
  other: {needs: [bundle], image: debian, run: ls}
";
const ONE: &str = "on: push\nstages:\n  one: {image: debian, run: make}\n";

/// A body that comes in pieces.
fn body(
    bytes: &[u8],
    piece: usize,
) -> impl futures_util::Stream<Item = Result<Bytes, String>> + Send + Unpin {
    let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

/// Bytes that do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

async fn put(
    world: &World,
    runner: RunnerId,
    lease: &Lease,
    name: &str,
    bytes: &[u8],
) -> Result<Stored, Error> {
    results::put_artifact(&world.app, runner, lease.attempt, lease.epoch, name, body(bytes, 100_000)).await
}

async fn get(
    world: &World,
    runner: RunnerId,
    lease: &Lease,
    stage: &str,
    name: &str,
) -> Result<BlobReader, Error> {
    let stage = StageKey(stage.to_owned());
    results::open_artifact_for_attempt(&world.app, runner, lease.attempt, lease.epoch, &stage, name).await
}

async fn all(reader: BlobReader) -> Result<Vec<u8>, Error> {
    Ok(reader.stream.try_collect::<Vec<Bytes>>().await?.concat())
}

async fn cache(
    world: &World,
    runner: RunnerId,
    lease: &Lease,
    key: &str,
    bytes: &[u8],
) -> Result<Stored, Error> {
    cache_in(world, runner, lease, CacheScope::Branch, key, bytes).await
}

async fn cache_in(
    world: &World,
    runner: RunnerId,
    lease: &Lease,
    scope: CacheScope,
    key: &str,
    bytes: &[u8],
) -> Result<Stored, Error> {
    results::put_cache(&world.app, runner, lease.attempt, lease.epoch, scope, key, body(bytes, 10)).await
}

/// The key that is found and its bytes.
async fn find(
    world: &World,
    runner: RunnerId,
    lease: &Lease,
    key: &str,
    restore: &[&str],
) -> Option<(String, Vec<u8>)> {
    find_in(world, runner, lease, CacheScope::Branch, key, restore).await
}

async fn find_in(
    world: &World,
    runner: RunnerId,
    lease: &Lease,
    scope: CacheScope,
    key: &str,
    restore: &[&str],
) -> Option<(String, Vec<u8>)> {
    let restore: Vec<String> = restore.iter().map(|prefix| (*prefix).to_owned()).collect();
    let (attempt, epoch) = (lease.attempt, lease.epoch);
    match results::find_cache(&world.app, runner, attempt, epoch, scope, key, &restore).await.unwrap() {
        Some((key, reader)) => Some((key, all(reader).await.unwrap())),
        None => None,
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_artifact_comes_back_to_the_stages_after_it(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    push(&world, &repository, BUNDLE).await;
    let runner = world.runner().await;
    let bundle = lease(&world, runner).await;
    // Three whole chunks and a part of one; nothing; the same once more under another name.
    let bytes = noise(3 * (1 << 20) + 17);
    let stored = put(&world, runner, &bundle, "dist", &bytes).await.unwrap();
    assert_eq!((stored.size, stored.sha256), (bytes.len() as u64, hex::encode(Sha256::digest(&bytes))));
    put(&world, runner, &bundle, "log", &bytes).await.unwrap();
    put(&world, runner, &bundle, "nothing", &[]).await.unwrap();
    assert_eq!(world.value::<i64>("select count(*) from blobs").await, 2);
    assert_eq!(world.value::<i64>("select count(*) from blob_chunks").await, 4);
    let days: f64 = world
        .value("select extract(epoch from expires_at - created_at)::float8 / 86400 from artifacts where name = 'dist'")
        .await;
    assert!((2.9..3.1).contains(&days), "{days}");
    finish(&world, runner, &bundle, finished(Outcome::Succeeded)).await.unwrap();

    let (first, second) = (lease(&world, runner).await, lease(&world, runner).await);
    for after in [&first, &second] {
        assert_eq!(all(get(&world, runner, after, "bundle", "dist").await.unwrap()).await.unwrap(), bytes);
        assert_eq!(all(get(&world, runner, after, "bundle", "nothing").await.unwrap()).await.unwrap(), b"");
        assert!(matches!(get(&world, runner, after, "bundle", "missing").await, Err(Error::NotFound(_))));
    }
    // Not from a stage beside, which may not even have begun.
    put(&world, runner, &first, "mine", b"x").await.unwrap();
    let listed = results::list_artifacts(&world.app, runner, second.attempt, second.epoch).await.unwrap();
    let names: Vec<_> =
        listed.iter().map(|artifact| (artifact.stage.0.as_str(), artifact.name.as_str())).collect();
    assert_eq!(names, [("bundle", "dist"), ("bundle", "log"), ("bundle", "nothing")]);
    assert_eq!(listed.first().map(|artifact| artifact.size), Some(bytes.len() as u64));
    let beside = get(&world, runner, &second, &first.stage.key.0, "mine").await;
    assert!(matches!(beside, Err(Error::Invalid(_))));
    // Not by another runner, and not for an attempt that ended.
    let stranger = get(&world, world.runner().await, &second, "bundle", "dist").await;
    assert!(matches!(stranger, Err(Error::Fenced(_))));
    assert!(matches!(put(&world, runner, &bundle, "late", b"x").await, Err(Error::Fenced(_))));

    // A stage removes what it kept itself, and nothing of another.
    for name in ["mine", "dist", "never"] {
        results::delete_artifact(&world.app, runner, first.attempt, first.epoch, name).await.unwrap();
    }
    let left: Vec<String> = world.value("select array_agg(name order by name) from artifacts").await;
    assert_eq!(left, ["dist", "log", "nothing"]);

    let id: uuid::Uuid = world.value("select id from artifacts where name = 'dist'").await;
    let reader = results::open_artifact(&world.app, ArtifactId(id)).await.unwrap();
    assert_eq!((reader.name.as_str(), reader.size), ("dist", bytes.len() as u64));
    assert_eq!(all(reader).await.unwrap(), bytes);
    // The uploads left no file behind.
    assert_eq!(std::fs::read_dir(world.app.config.data_dir.join("spool")).unwrap().count(), 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_damaged_blob_never_looks_whole(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    push(&world, &repository, BUNDLE).await;
    let runner = world.runner().await;
    let bundle = lease(&world, runner).await;
    let bytes = noise((1 << 20) + 1);
    put(&world, runner, &bundle, "dist", &bytes).await.unwrap();
    let id = ArtifactId(world.value("select id from artifacts").await);
    world.sql("create table saved as select * from blob_chunks").await;
    for damage in [
        "update blob_chunks set data = set_byte(data, 5, get_byte(data, 5) # 1) where index = 0",
        "delete from blob_chunks where index = 0",
        "delete from blob_chunks where index = 1",
        "update blob_chunks set data = data || '\\x00' where index = 1",
    ] {
        world.sql(damage).await;
        let reader = results::open_artifact(&world.app, id).await.unwrap();
        let pieces: Vec<_> = reader.stream.collect().await;
        assert!(pieces.last().unwrap().is_err(), "{damage}");
        let given: usize = pieces.iter().flatten().map(Bytes::len).sum();
        assert!(given < bytes.len(), "{damage}: {given} bytes");
        world.sql("delete from blob_chunks; insert into blob_chunks select * from saved").await;
    }
    assert_eq!(all(results::open_artifact(&world.app, id).await.unwrap()).await.unwrap(), bytes);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn uploads_that_are_too_large_or_break_off_leave_nothing(pool: PgPool) {
    let world = World::with(pool, |config| config.largest_blob = 1000).await;
    let repository = world.repository().await;
    push(&world, &repository, BUNDLE).await;
    let runner = world.runner().await;
    let bundle = lease(&world, runner).await;
    assert!(matches!(put(&world, runner, &bundle, "dist", &noise(1001)).await, Err(Error::Invalid(_))));
    put(&world, runner, &bundle, "dist", &noise(1000)).await.unwrap();
    let broken = stream::iter([Ok(Bytes::from_static(b"half")), Err("the line went dead")]);
    let refused = results::put_artifact(&world.app, runner, bundle.attempt, bundle.epoch, "half", broken)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("went dead"), "{refused}");
    for name in ["", "a\nb", &"x".repeat(201)] {
        assert!(matches!(put(&world, runner, &bundle, name, b"x").await, Err(Error::Invalid(_))), "{name:?}");
    }
    assert_eq!(world.value::<i64>("select count(*) from blobs").await, 1);
    // A later attempt's artifact takes the place of the earlier one's.
    put(&world, runner, &bundle, "dist", b"newer").await.unwrap();
    assert_eq!(world.value::<i64>("select count(*) from artifacts").await, 1);
    let id = ArtifactId(world.value("select id from artifacts").await);
    assert_eq!(all(results::open_artifact(&world.app, id).await.unwrap()).await.unwrap(), b"newer");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn caches_go_up_to_the_default_branch_and_never_sideways(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    let mut leases = Vec::new();
    for reference in ["refs/heads/main", "refs/heads/topic", "refs/heads/other"] {
        let run = push(&world, &repository, ONE).await;
        world.sql(&format!("update runs set reference = '{reference}' where id = '{run}'")).await;
        leases.push(lease(&world, runner).await);
    }
    let (main, topic, other) = (&leases[0], &leases[1], &leases[2]);
    cache(&world, runner, main, "pip-1", b"main's first").await.unwrap();
    cache(&world, runner, main, "pip-2", b"main's second").await.unwrap();
    cache(&world, runner, topic, "pip-3", b"topic's").await.unwrap();

    assert_eq!(find(&world, runner, main, "pip-1", &[]).await.unwrap().1, b"main's first");
    assert_eq!(find(&world, runner, topic, "pip-1", &[]).await.unwrap().1, b"main's first");
    let newest = find(&world, runner, other, "pip-9", &["npm-", "pip-"]).await.unwrap();
    assert_eq!(newest, ("pip-2".to_owned(), b"main's second".to_vec()));
    let own_first = find(&world, runner, topic, "pip-9", &["pip-"]).await.unwrap();
    assert_eq!(own_first.0, "pip-3");
    assert!(find(&world, runner, main, "pip-3", &[]).await.is_none());
    assert!(find(&world, runner, other, "pip-3", &[]).await.is_none());
    // A prefix is text, not a pattern.
    assert!(find(&world, runner, main, "x", &["pip_", "%", ""]).await.is_none());

    // Where a run would write, not where it reads.
    for (lease, there) in [(main, true), (topic, false), (other, false)] {
        let has =
            results::has_cache(&world.app, runner, lease.attempt, lease.epoch, CacheScope::Branch, "pip-1")
                .await
                .unwrap();
        assert_eq!(has, there, "{}", lease.source.reference);
    }

    // What is there stays, in its own scope.
    let stored = cache(&world, runner, main, "pip-1", b"another").await.unwrap();
    assert_eq!(stored.sha256, hex::encode(Sha256::digest(b"main's first")));
    cache(&world, runner, topic, "pip-1", b"topic's own").await.unwrap();
    assert_eq!(find(&world, runner, topic, "pip-1", &[]).await.unwrap().1, b"topic's own");
    assert_eq!(find(&world, runner, other, "pip-1", &[]).await.unwrap().1, b"main's first");
    assert!(matches!(cache(&world, runner, main, "schlüssel", b"x").await, Err(Error::Invalid(_))));

    // Another repository has none of it.
    push(&world, &world.repository().await, ONE).await;
    let elsewhere = lease(&world, runner).await;
    assert!(find(&world, runner, &elsewhere, "pip-1", &["pip-"]).await.is_none());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_caches_scope_says_whose_entries_are_read_and_written(pool: PgPool) {
    use CacheScope::{Branch, Pipeline, Repository};
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    let mut leases = Vec::new();
    for (reference, path, trusted) in [
        ("refs/heads/main", "one.yml", true),
        ("refs/heads/topic", "one.yml", true),
        ("refs/heads/topic", "two.yml", true),
        ("refs/heads/topic", "one.yml", false),
    ] {
        let run = start(&world, &repository, ONE, trusted).await;
        let change = format!("update runs set reference = '{reference}', path = '{path}' where id = '{run}'");
        world.sql(&change).await;
        leases.push(lease(&world, runner).await);
    }
    let [main, topic, second, fork] = &leases[..] else { panic!() };
    let found = async |lease: &Lease, scope: CacheScope| {
        find_in(&world, runner, lease, scope, "k", &[])
            .await
            .map(|(_, bytes)| String::from_utf8(bytes).unwrap())
    };
    for scope in [Branch, Pipeline, Repository] {
        cache_in(&world, runner, fork, scope, "k", b"poison").await.unwrap();
    }
    for lease in [main, topic, second] {
        for scope in [Branch, Pipeline, Repository] {
            assert_eq!(found(lease, scope).await, None, "{scope:?}");
        }
    }
    cache_in(&world, runner, main, Pipeline, "k", b"main's, of one").await.unwrap();
    assert_eq!(found(topic, Pipeline).await.as_deref(), Some("main's, of one"));
    assert_eq!(found(second, Pipeline).await, None);
    assert_eq!(found(main, Branch).await, None);
    cache_in(&world, runner, second, Repository, "k", b"everybody's").await.unwrap();
    for lease in [main, topic, second] {
        assert_eq!(found(lease, Repository).await.as_deref(), Some("everybody's"));
    }
    cache_in(&world, runner, topic, Branch, "k", b"topic's").await.unwrap();
    assert_eq!(found(second, Branch).await.as_deref(), Some("topic's"), "another pipeline of the branch");
    assert_eq!(found(main, Branch).await, None);
    for scope in [Branch, Pipeline, Repository] {
        assert_eq!(found(fork, scope).await.as_deref(), Some("poison"));
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_a_fork_caches_reaches_nobody(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    push(&world, &repository, ONE).await;
    let trusted = lease(&world, runner).await;
    start(&world, &repository, ONE, false).await;
    let fork = lease(&world, runner).await;
    assert!(!fork.trusted);
    // Both say that they are on main.
    cache(&world, runner, &fork, "pip", b"poison").await.unwrap();
    assert!(find(&world, runner, &trusted, "pip", &["p"]).await.is_none());
    cache(&world, runner, &trusted, "pip-main", b"good").await.unwrap();
    assert!(find(&world, runner, &fork, "pip-main", &["pip-"]).await.is_none());
    assert_eq!(find(&world, runner, &fork, "pip", &[]).await.unwrap().1, b"poison");
}
