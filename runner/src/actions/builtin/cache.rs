//! `actions/cache`, `actions/cache/restore`, `actions/cache/save`: files kept for speed, in the server's caches.
//!
//! A key belongs to its paths: two steps that use one key for different paths have two entries. That is kept by what
//! stands before the key in the store. A cache that cannot be had or kept is a pity and a warning, never a failure,
//! unless the step asks for one.

use std::{fs, fs::File};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tidegate_pipelines::plan::CacheScope;

use super::{Builtin, Use, places::Places};
use crate::{archive, stage::Failure};

/// The longest key.
const LONGEST: usize = 500;
/// Most keys that may be looked for.
const MOST: usize = 10;

/// Which of the three.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Restores, and saves afterwards.
    Both,
    /// Only restores.
    Restore,
    /// Only saves.
    Save,
}

#[async_trait]
impl Builtin for Cache {
    fn name(&self) -> &'static str {
        match self {
            Self::Both => "actions/cache",
            Self::Restore => "actions/cache/restore",
            Self::Save => "actions/cache/save",
        }
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        const ALL: &[(&str, &str)] = &[
            ("path", ""),
            ("key", ""),
            ("upload-chunk-size", ""),
            ("enableCrossOsArchive", "false"),
            ("restore-keys", ""),
            ("fail-on-cache-miss", "false"),
            ("lookup-only", "false"),
            ("save-always", "false"),
        ];
        match self {
            Self::Save => ALL.split_at(4).0,
            Self::Both | Self::Restore => ALL,
        }
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        for (name, why) in [
            ("enableCrossOsArchive", "caches of this system are of Linux"),
            ("save-always", "use actions/cache/restore and actions/cache/save with `if: always()`"),
        ] {
            if step.input(name).eq_ignore_ascii_case("true") {
                step.say(format!("`{name}` has no effect: {why}"));
            }
        }
        let (key, paths) = (key(step)?.to_owned(), step.lines("path"));
        if *self == Self::Save { save(step, &key, &paths).await } else { restore(step, &key, &paths).await }
    }

    fn post_if(&self) -> Option<&'static str> {
        (*self == Self::Both).then_some("success()")
    }

    async fn post(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let (key, paths) = (key(step)?.to_owned(), step.lines("path"));
        if step.state("matched") == key {
            step.say(format!("the cache {key} was there already, so it is not saved"));
            return Ok(());
        }
        save(step, &key, &paths).await
    }
}

fn key<'s>(step: &'s Use<'_>) -> Result<&'s str, Failure> {
    step.required("path")?;
    let key = step.required("key")?;
    check(key)?;
    Ok(key)
}

fn check(key: &str) -> Result<(), Failure> {
    if key.len() > LONGEST || key.contains(',') {
        return Err(Failure::failed(format!(
            "the cache key `{key}` cannot be used: a key has at most {LONGEST} bytes and no comma"
        )));
    }
    Ok(())
}

/// What stands before the keys of these paths in the store.
fn version(paths: &[String]) -> String {
    let digest = Sha256::digest(paths.join("\n"));
    format!("{}:", &hex::encode(digest)[..10])
}

/// Says which paths cannot be followed.
fn places(step: &mut Use<'_>, paths: &[String]) -> Places {
    let places = Places::of(paths);
    for refused in &places.refused {
        step.warn(refused);
    }
    places
}

/// Restores what `step`'s inputs ask for, and sets its outputs and the state `matched`.
async fn restore(step: &mut Use<'_>, key: &str, paths: &[String]) -> Result<(), Failure> {
    let restore_keys = step.lines("restore-keys");
    if restore_keys.len() >= MOST {
        return Err(Failure::failed(format!("`key` and `restore-keys` are at most {MOST} keys together")));
    }
    for key in &restore_keys {
        check(key)?;
    }
    let lookup_only = step.flag("lookup-only")?;
    let must = step.flag("fail-on-cache-miss")?;
    step.set_output("cache-primary-key", key);
    let found = fetch(step, key, &restore_keys, paths, lookup_only).await?;
    match found {
        Some(found) => {
            step.set_output("cache-hit", (found == key).to_string());
            step.set_output("cache-matched-key", &found);
            step.save_state("matched", found);
        }
        None if must => {
            return Err(Failure::failed(format!(
                "there is no cache for the key {key}, and `fail-on-cache-miss` is set"
            )));
        }
        None => step.set_output("cache-hit", ""),
    }
    Ok(())
}

/// Looks for a cache and unpacks it. Gives the key that it was found by.
pub(super) async fn fetch(
    step: &mut Use<'_>,
    key: &str,
    restore_keys: &[String],
    paths: &[String],
    lookup_only: bool,
) -> Result<Option<String>, Failure> {
    let places = places(step, paths);
    let version = version(paths);
    let archive = step.ctx.dirs.scratch().join(format!("cache-{}.tar.zst", uuid::Uuid::now_v7().simple()));
    // The key itself may be the beginning of another one, too.
    let prefixes: Vec<String> = [key]
        .into_iter()
        .chain(restore_keys.iter().map(String::as_str))
        .map(|key| format!("{version}{key}"))
        .collect();
    let results = step.ctx.results.clone();
    let found =
        match results.find_cache(CacheScope::Branch, &format!("{version}{key}"), &prefixes, &archive).await {
            Ok(found) => found,
            Err(error) => {
                step.warn(format!("caches cannot be asked for: {error}"));
                None
            }
        };
    let Some(found) = found else {
        step.say(format!("no cache is found for {key}"));
        return Ok(None);
    };
    let found = found.key.strip_prefix(&version).unwrap_or(&found.key).to_owned();
    if lookup_only {
        let _ = fs::remove_file(&archive);
        step.say(format!("there is a cache {found}; it is not restored, as `lookup-only` says"));
        return Ok(Some(found));
    }
    let (root, from) = (step.ctx.dirs.files(), archive.clone());
    let unpacked = tokio::task::spawn_blocking(move || {
        let file = File::open(&from).map_err(|error| error.to_string())?;
        archive::unpack(file, &root, archive::Limits::default()).map_err(|error| error.to_string())
    })
    .await
    .unwrap_or_else(|error| Err(error.to_string()));
    let _ = fs::remove_file(&archive);
    if let Err(reason) = unpacked {
        step.warn(format!("the cache {found} cannot be unpacked: {reason}"));
        return Ok(None);
    }
    if let Some(script) = places.put_back()
        && step.shell(&script, &Places::env()).await?.exit_code != Some(0)
    {
        step.warn(format!("the cache {found} cannot be copied to its places; the lines above say why"));
        return Ok(None);
    }
    step.say(format!("restored the cache {found}"));
    Ok(Some(found))
}

/// Packs and stores a cache.
pub(super) async fn save(step: &mut Use<'_>, key: &str, paths: &[String]) -> Result<(), Failure> {
    let places = places(step, paths);
    if places.is_empty() {
        step.warn(format!("the cache {key} is not saved: none of its paths can be kept"));
        return Ok(());
    }
    let outside = places.stage();
    if let Some(script) = &outside
        && step.shell(script, &Places::env()).await?.exit_code != Some(0)
    {
        step.warn(format!(
            "the cache {key} is not saved: its files cannot be copied; the lines above say why"
        ));
        return Ok(());
    }
    let archive = step.ctx.dirs.scratch().join(format!("cache-{}.tar.zst", uuid::Uuid::now_v7().simple()));
    let (root, globs, to) = (step.ctx.dirs.files(), places.globs, archive.clone());
    let packed = tokio::task::spawn_blocking(move || {
        let file = File::create(&to).map_err(|error| error.to_string())?;
        archive::pack(&root, &globs, file).map_err(|error| error.to_string())
    })
    .await
    .unwrap_or_else(|error| Err(error.to_string()));
    let stored = match packed {
        Ok(packed) => {
            for note in &packed.notes {
                step.say(note);
            }
            if packed.entries == 0 {
                Err(format!("there is nothing in {}", paths.join(", ")))
            } else {
                let results = step.ctx.results.clone();
                let key = format!("{}{key}", version(paths));
                results.put_cache(CacheScope::Branch, &key, &archive).await.map_err(|error| error.to_string())
            }
        }
        Err(reason) => Err(reason),
    };
    let _ = fs::remove_file(&archive);
    match stored {
        Ok(stored) => step.say(format!("saved the cache {key}, {} bytes", stored.size)),
        Err(reason) => step.warn(format!("the cache {key} is not saved: {reason}")),
    }
    if outside.is_some() {
        step.shell(Places::REMOVE, &Places::env()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_apart_by_their_paths() {
        let paths = |one: &str| vec![one.to_owned()];
        assert_ne!(version(&paths("a")), version(&paths("b")));
        assert_eq!(version(&paths("a")).len(), 11);
        assert!(check("a,b").is_err() && check(&"x".repeat(501)).is_err() && check("npm-1").is_ok());
    }
}
