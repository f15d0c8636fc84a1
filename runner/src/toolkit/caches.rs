//! Caches, as `@actions/cache` asks for them: by Twirp (from version 4) and by REST (before).
//!
//! An entry's archive is the library's own and is kept as it is. What tells archives of other paths apart (`version`)
//! stands before the key in the store, so entries of the built-in `actions/cache`, which are of another form, are others.
//! Who reads and writes what is the server's rule, as everywhere: by the run's ref, and apart for forks.

use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_pipelines::plan::CacheScope;

use super::{
    Shared, base,
    messages::{self, CacheEntry},
    trouble::Trouble,
    uploads::Goal,
};

/// What stands before a key in the store.
fn prefix(version: &str) -> String {
    let digest = hex::encode(Sha256::digest(version));
    format!("{}:", digest.get(..16).unwrap_or(&digest))
}

/// Which entry suits, and where it can be had.
pub(super) async fn find(shared: &Shared, asked: CacheEntry) -> Result<Value, Trouble> {
    let (keys, version) = asked.keys()?;
    Ok(match fetch(shared, &keys, &version).await? {
        None => json!({ "ok": false }),
        Some((key, url)) => json!({ "ok": true, "signed_download_url": url, "matched_key": key }),
    })
}

/// The same by REST.
pub(super) async fn rest_find(
    shared: &Shared,
    keys: &[String],
    version: &str,
) -> Result<Option<Value>, Trouble> {
    messages::check_keys(keys)?;
    let found = fetch(shared, keys, version).await?;
    Ok(found.map(|(key, url)| {
        let lease = &shared.ctx.lease;
        json!({
            "cacheKey": key, "cacheVersion": version, "scope": lease.source.reference, "archiveLocation": url,
        })
    }))
}

/// Looks for an entry and brings it to this machine: its key, and its URL.
async fn fetch(shared: &Shared, keys: &[String], version: &str) -> Result<Option<(String, String)>, Trouble> {
    let prefix = prefix(version);
    // The key itself may be the beginning of another one, too.
    let prefixes: Vec<String> = keys.iter().map(|key| format!("{prefix}{key}")).collect();
    let Some(exact) = prefixes.first() else { return Ok(None) };
    let (id, path) = shared.downloads.begin();
    let Some(found) = shared.ctx.results.find_cache(CacheScope::Branch, exact, &prefixes, &path).await?
    else {
        return Ok(None);
    };
    shared.downloads.offer(id)?;
    let key = found.key.strip_prefix(&prefix).unwrap_or(&found.key).to_owned();
    Ok(Some((key, download_url(shared, id))))
}

/// The URL of a file that is offered.
pub(super) fn download_url(shared: &Shared, id: u64) -> String {
    let path = format!("/blobs/down/{id}");
    format!("{}{path}?sig={}", base(), shared.keys.sign(&path))
}

/// The URL that a file is sent to.
pub(super) fn upload_url(shared: &Shared, id: u64) -> String {
    let path = format!("/blobs/up/{id}");
    format!("{}{path}?sig={}", base(), shared.keys.sign(&path))
}

/// A new entry, and where it is sent.
pub(super) async fn create(shared: &Shared, entry: CacheEntry) -> Result<Value, Trouble> {
    let id = begin(shared, entry).await?;
    Ok(json!({ "ok": true, "signed_upload_url": upload_url(shared, id) }))
}

/// The same by REST.
pub(super) async fn reserve(shared: &Shared, entry: CacheEntry) -> Result<Value, Trouble> {
    Ok(json!({ "cacheId": begin(shared, entry).await? }))
}

async fn begin(shared: &Shared, entry: CacheEntry) -> Result<u64, Trouble> {
    let (keys, version) = entry.keys()?;
    let key = keys.into_iter().next().unwrap_or_default();
    if shared.ctx.results.has_cache(CacheScope::Branch, &format!("{}{key}", prefix(&version))).await? {
        return Err(Trouble::exists(format!("there is a cache `{key}` already, and entries never change")));
    }
    shared.uploads.begin(Goal::Cache { key, version })
}

/// All of an entry was sent.
pub(super) async fn finish(shared: &Shared, entry: CacheEntry) -> Result<Value, Trouble> {
    let size = entry.size_bytes;
    let (keys, version) = entry.keys()?;
    let key = keys.into_iter().next().unwrap_or_default();
    let wanted = Goal::Cache { key, version };
    let upload = shared.uploads.latest(|goal| *goal == wanted)?;
    let upload = upload.ok_or_else(|| Trouble::not_found("no upload of this cache was begun"))?;
    store(shared, upload.id, size).await?;
    Ok(json!({ "ok": true, "entry_id": upload.id.to_string() }))
}

/// The same by REST.
pub(super) async fn commit(shared: &Shared, id: u64, size: Option<u64>) -> Result<(), Trouble> {
    store(shared, id, size).await
}

async fn store(shared: &Shared, id: u64, size: Option<u64>) -> Result<(), Trouble> {
    let _alone = shared.finishing.lock().await;
    let upload = shared.uploads.get(id)?;
    let Goal::Cache { key, version } = &upload.goal else {
        return Err(Trouble::not_found("there is no such upload of a cache"));
    };
    if upload.stored {
        return Ok(());
    }
    let (archive, _) = assembled(shared, id, size).await?;
    shared.ctx.results.put_cache(CacheScope::Branch, &format!("{}{key}", prefix(version)), &archive).await?;
    shared.uploads.end(upload)
}

/// The whole file of an upload, and its SHA-256.
pub(super) async fn assembled(
    shared: &Shared,
    id: u64,
    size: Option<u64>,
) -> Result<(PathBuf, String), Trouble> {
    let uploads = shared.uploads.clone();
    blocking(move || uploads.assemble(id, size)).await
}

/// Does what takes time on disk, away from the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Trouble::broken(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_other_versions_are_apart() {
        assert_ne!(prefix("a"), prefix("b"));
        assert_eq!(prefix("a").len(), 17, "other than the built-in action's");
    }
}
