//! The bodies of the services' calls. Pure.
//!
//! Twirp's JSON has names in either case, numbers of 64 bits as text, and leaves out what is empty; wrapped values come
//! bare. Ids of runs and jobs say nothing about whose a request is; its token does.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::trouble::Trouble;

/// Characters of a cache's key.
const LONGEST_KEY: usize = 512;
/// How many keys may be looked for.
const MOST_KEYS: usize = 10;
/// How many blocks a file may have, as in Azure's storage.
pub(super) const MOST_BLOCKS: usize = 50_000;

/// A cache entry: its key, and what tells archives of other paths and compressions apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct CacheEntry {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) version: String,
    /// Keys to look for after that one.
    #[serde(default, alias = "restoreKeys")]
    pub(super) restore_keys: Vec<String>,
    /// How many bytes were sent.
    #[serde(default, alias = "sizeBytes", deserialize_with = "number")]
    pub(super) size_bytes: Option<u64>,
}

impl CacheEntry {
    /// All keys, in the order of preference, once they are found to be usable.
    pub(super) fn keys(self) -> Result<(Vec<String>, String), Trouble> {
        let keys: Vec<String> = [self.key].into_iter().chain(self.restore_keys).collect();
        check_keys(&keys)?;
        Ok((keys, self.version))
    }
}

/// Whether the keys can be looked for.
pub(super) fn check_keys(keys: &[String]) -> Result<(), Trouble> {
    if keys.is_empty() || keys.len() > MOST_KEYS {
        return Err(Trouble::invalid(format!("1 to {MOST_KEYS} keys can be looked for at a time")));
    }
    let usable = |key: &String| !key.is_empty() && key.chars().count() <= LONGEST_KEY && !key.contains(',');
    match keys.iter().find(|key| !usable(key)) {
        None => Ok(()),
        Some(_) => {
            Err(Trouble::invalid(format!("a cache's key has 1 to {LONGEST_KEY} characters and no comma")))
        }
    }
}

/// The end of an upload by the REST calls.
#[derive(Debug, Deserialize)]
pub(super) struct Commit {
    #[serde(deserialize_with = "number")]
    pub(super) size: Option<u64>,
}

/// An artifact, as calls name it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Artifact {
    #[serde(default)]
    pub(super) name: String,
    /// Which of several of one name: what a list said of it.
    #[serde(default, alias = "workflowJobRunBackendId")]
    pub(super) workflow_job_run_backend_id: String,
    /// What the file is, if it is no ZIP archive.
    #[serde(default, alias = "mimeType")]
    mime_type: Option<Value>,
    #[serde(default, deserialize_with = "number")]
    pub(super) size: Option<u64>,
    /// `sha256:…` of what was sent.
    #[serde(default)]
    hash: Option<Value>,
    #[serde(default, alias = "nameFilter")]
    name_filter: Option<Value>,
    #[serde(default, alias = "idFilter")]
    id_filter: Option<Value>,
}

impl Artifact {
    /// Whether a ZIP archive is sent, as it is where nothing is said.
    pub(super) fn is_zip(&self) -> bool {
        let kind = wrapped(self.mime_type.as_ref());
        kind.is_none_or(|kind| matches!(kind.as_str(), "" | "zip" | "application/zip"))
    }

    /// The SHA-256 of what was sent, hex.
    pub(super) fn sha256(&self) -> Option<String> {
        Some(wrapped(self.hash.as_ref())?.strip_prefix("sha256:")?.to_ascii_lowercase())
    }

    /// The one name that is wanted.
    pub(super) fn name_filter(&self) -> Option<String> {
        wrapped(self.name_filter.as_ref())
    }

    /// The one number that is wanted.
    pub(super) fn id_filter(&self) -> Option<String> {
        wrapped(self.id_filter.as_ref())
    }
}

/// A value of one of the wrapper types, bare or in an object.
fn wrapped(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(object) => wrapped(object.get("value")),
        _ => None,
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    let Some(text) = wrapped(value.as_ref()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| serde::de::Error::custom(format!("`{text}` is no count of bytes")))
}

/// Reads a body.
pub(super) fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Trouble> {
    serde_json::from_slice(bytes)
        .map_err(|error| Trouble::invalid(format!("the body cannot be read: {error}")))
}

/// Where a part of a file belongs: `bytes FIRST-LAST/*`, as (first, length).
pub(super) fn content_range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.trim().strip_prefix("bytes ")?.split_once('/')?.0.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some((first, length))
}

/// Which bytes of a file are wanted (`bytes=FIRST-LAST`, `bytes=FIRST-`, `bytes=-LENGTH`), as (first, length). None: all,
/// also where the header is not understood or names several ranges. An error: there are no such bytes.
pub(super) fn range(header: Option<&str>, size: u64) -> Result<Option<(u64, u64)>, ()> {
    let Some((first, last)) =
        header.and_then(|text| text.trim().strip_prefix("bytes=")).and_then(|text| text.split_once('-'))
    else {
        return Ok(None);
    };
    let number = |text: &str| text.trim().parse::<u64>();
    let (first, end) = match (number(first), number(last)) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, size),
        (Err(_), Ok(length)) if first.trim().is_empty() => (size.saturating_sub(length), size),
        _ => return Ok(None),
    };
    if first >= end { Err(()) } else { Ok(Some((first, end - first))) }
}

/// The ids of a file's blocks in their order, from the list as the storage library sends it.
pub(super) fn block_list(xml: &str) -> Result<Vec<String>, Trouble> {
    let wrong = || Trouble::invalid("the list of blocks cannot be read");
    let inside = xml.split_once("<BlockList").and_then(|(_, rest)| rest.split_once('>')).ok_or_else(wrong)?.1;
    let mut rest = inside.split_once("</BlockList>").map_or("", |(inside, _)| inside).trim_start();
    let mut blocks = Vec::new();
    while let Some(after) = rest.strip_prefix('<') {
        let (tag, after) = after.split_once('>').ok_or_else(wrong)?;
        if !matches!(tag, "Latest" | "Uncommitted" | "Committed") || blocks.len() == MOST_BLOCKS {
            return Err(wrong());
        }
        let (id, after) = after.split_once("</").ok_or_else(wrong)?;
        let after = after.strip_prefix(tag).and_then(|after| after.strip_prefix('>')).ok_or_else(wrong)?;
        blocks.push(id.trim().to_owned());
        rest = after.trim_start();
    }
    if rest.is_empty() { Ok(blocks) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_either_case_and_numbers_as_text() {
        let entry: CacheEntry =
            read(br#"{"key":"a","restoreKeys":["b"],"version":"v","sizeBytes":"12","metadata":{}}"#).unwrap();
        assert_eq!(entry.size_bytes, Some(12));
        assert_eq!(entry.keys().unwrap(), (vec!["a".to_owned(), "b".to_owned()], "v".to_owned()));
        let entry: CacheEntry = read(br#"{"key":"a","restore_keys":["b"],"size_bytes":7}"#).unwrap();
        assert_eq!((entry.size_bytes, entry.restore_keys.len()), (Some(7), 1));
        assert!(read::<CacheEntry>(br#"{"key":"a","size_bytes":"-1"}"#).is_err());
        for bad in [r#"{"key":""}"#, r#"{"key":"a,b"}"#] {
            assert!(read::<CacheEntry>(bad.as_bytes()).unwrap().keys().is_err(), "{bad}");
        }
    }

    #[test]
    fn wrapped_values_are_bare_or_not() {
        let artifact: Artifact = read(
            br#"{"name":"a","mime_type":"text/plain","hash":{"value":"sha256:AB"},"idFilter":"3","size":"1"}"#,
        )
        .unwrap();
        assert!(!artifact.is_zip());
        assert_eq!(artifact.sha256().as_deref(), Some("ab"));
        assert_eq!((artifact.id_filter().as_deref(), artifact.name_filter()), (Some("3"), None));
        assert!(read::<Artifact>(br#"{"name":"a"}"#).unwrap().is_zip());
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 0-199/*"), Some((0, 200)));
        for bad in ["bytes 5-4/*", "0-1/*", "bytes 0-18446744073709551615/*", "bytes a-b/*", "bytes 0-1"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
        assert_eq!(range(Some("bytes=2-3"), 10), Ok(Some((2, 2))));
        assert_eq!(range(Some("bytes=2-"), 10), Ok(Some((2, 8))));
        assert_eq!(range(Some("bytes=-3"), 10), Ok(Some((7, 3))));
        assert_eq!(range(Some("bytes=8-99"), 10), Ok(Some((8, 2))));
        assert_eq!(range(Some("bytes=10-"), 10), Err(()));
        for all in [None, Some("bytes=1-2,4-5"), Some("items=1-2"), Some("bytes=3-2")] {
            assert_eq!(range(all, 10), Ok(None), "{all:?}");
        }
    }

    #[test]
    fn lists_of_blocks_are_read() {
        let list = |inside: &str| {
            block_list(&format!("<?xml version=\"1.0\"?><BlockList>{inside}</BlockList>")).ok()
        };
        assert_eq!(
            list("<Latest>QQ==</Latest>\n<Latest>Qg==</Latest>"),
            Some(vec!["QQ==".into(), "Qg==".into()])
        );
        assert_eq!(list(""), Some(vec![]));
        for bad in ["<Other>a</Other>", "<Latest>a</Other>", "<Latest>a", "x", "<Latest>a</Latest>x"] {
            assert_eq!(list(bad), None, "{bad}");
        }
        assert!(block_list("no list").is_err());
        assert!(
            block_list(&format!("<BlockList>{}</BlockList>", "<Latest>a</Latest>".repeat(MOST_BLOCKS + 1)))
                .is_err()
        );
    }
}
