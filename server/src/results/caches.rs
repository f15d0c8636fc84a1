//! Caches: files kept for speed, apart by where they come from.
//!
//! An entry is in a place, which [`CacheScope::places`] tells from the run and from the scope that is asked for. A run
//! writes to one place and may read another one. What an untrusted run writes is in a place of its own that nobody else
//! reads, whatever it asks for: what a fork wrote must never reach a run that holds secrets.

use bytes::Bytes;
use futures_util::Stream;
use tidegate_pipelines::plan::{CacheScope, CacheUser};
use tidegate_protocol::{
    ids::{AttemptId, RunnerId},
    messages::Stored,
};

use super::{BlobReader, blobs, held};
use crate::{
    app::App,
    error::Error,
    store::{BlobRef, RunRow},
};

/// The longest key: GitHub's 512, and what a runner puts before it.
const LONGEST: usize = 560;
/// Prefixes that are tried.
const PREFIXES: usize = 20;

/// The places that a run reads, in order; it writes to the first.
fn places(scope: CacheScope, run: &RunRow) -> Vec<String> {
    scope.places(&CacheUser {
        reference: &run.reference,
        default_branch: &run.event.default_branch,
        pipeline: &run.path,
        trusted: run.trusted,
    })
}

/// Keys travel in a header.
fn check_key(key: &str) -> Result<(), Error> {
    if !key.is_empty() && key.len() <= LONGEST && key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    Err(Error::Invalid(format!("a cache's key has 1 to {LONGEST} printable ASCII characters")))
}

/// Stores a cache entry; a key that is there already stays as it is.
pub async fn put_cache<S, E>(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    scope: CacheScope,
    key: &str,
    body: S,
) -> Result<Stored, Error>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: std::fmt::Display + Send,
{
    check_key(key)?;
    let mut tx = app.db.begin().await?;
    held(app, &mut tx, runner, attempt, epoch, "caches").await?;
    tx.commit().await?;

    // Also when the key is there: a sender that is cut short cannot tell that from a failure.
    let received = blobs::receive(app, body).await?;
    let blob = BlobRef {
        name: key.to_owned(),
        sha256: received.sha256.to_vec(),
        size: i64::try_from(received.size).unwrap_or(i64::MAX),
    };
    let mut tx = app.db.begin().await?;
    let now = held(app, &mut tx, runner, attempt, epoch, "caches").await?;
    let place = places(scope, &tx.read_run(now.run).await?).into_iter().next().unwrap_or_default();
    let there = tx.cache(now.repository, &place, key).await?;
    tx.commit().await?;
    if let Some(there) = there {
        return stored(&there);
    }
    received.store(app).await?;

    let mut tx = app.db.begin().await?;
    let now = held(app, &mut tx, runner, attempt, epoch, "caches").await?;
    tx.put_cache(now.repository, &place, &blob).await?;
    let there = tx.cache(now.repository, &place, key).await?;
    tx.commit().await?;
    stored(&there.unwrap_or(blob))
}

fn stored(blob: &BlobRef) -> Result<Stored, Error> {
    let size = u64::try_from(blob.size).map_err(|_| Error::internal("a blob has a negative size"))?;
    Ok(Stored { sha256: hex::encode(&blob.sha256), size })
}

/// Whether the place that the attempt's run writes to has an entry of this key.
pub async fn has_cache(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    scope: CacheScope,
    key: &str,
) -> Result<bool, Error> {
    check_key(key)?;
    let mut tx = app.db.begin().await?;
    let held = held(app, &mut tx, runner, attempt, epoch, "caches").await?;
    let place = places(scope, &tx.read_run(held.run).await?).into_iter().next().unwrap_or_default();
    let there = tx.cache(held.repository, &place, key).await?.is_some();
    tx.commit().await?;
    Ok(there)
}

/// The cache entry with this key, else the newest whose key begins with one of the prefixes, in their order.
/// Answers its key too.
pub async fn find_cache(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    scope: CacheScope,
    key: &str,
    restore: &[String],
) -> Result<Option<(String, BlobReader)>, Error> {
    check_key(key)?;
    let mut tx = app.db.begin().await?;
    let held = held(app, &mut tx, runner, attempt, epoch, "caches").await?;
    let places = places(scope, &tx.read_run(held.run).await?);
    let mut found = None;
    for place in &places {
        if found.is_none() {
            found = tx.cache(held.repository, place, key).await?;
        }
    }
    for prefix in restore.iter().filter(|prefix| !prefix.is_empty()).take(PREFIXES) {
        for place in &places {
            if found.is_none() {
                found = tx.newest_cache(held.repository, place, prefix).await?;
            }
        }
    }
    tx.commit().await?;
    Ok(match found {
        Some(blob) => Some((blob.name.clone(), blobs::open(app, blob)?)),
        None => None,
    })
}
