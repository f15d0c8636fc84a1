//! What a request asks for, told from its method, path and query. Pure.
//!
//! Three ways in are known: Twirp (`/twirp/SERVICE/METHOD`), the older REST calls for caches
//! (`/_apis/artifactcache/…`), and files at signed URLs (`/blobs/…`), which speak as much of Azure's block blobs as the
//! storage library needs.

use hyper::Method;

use super::trouble::Trouble;

/// The longest query, and block id, that is looked at.
const LONGEST: usize = 16 << 10;

/// A request's meaning.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Caches: which entry suits, and where it can be had.
    FindCache,
    /// Caches: a new entry, and where it is sent.
    CreateCache,
    /// Caches: all of it was sent.
    FinishCache,
    /// REST: which entry suits.
    RestFind {
        keys: Vec<String>,
        version: String,
    },
    /// REST: which entries there are, for debugging.
    RestList,
    /// REST: a new entry.
    RestReserve,
    /// REST: a part of an entry.
    RestPart(u64),
    /// REST: all of it was sent.
    RestCommit(u64),
    /// Artifacts.
    CreateArtifact,
    FinishArtifact,
    ListArtifacts,
    ArtifactUrl,
    DeleteArtifact,
    /// A file on its way here.
    Send(u64, Sent),
    /// A file on its way there.
    Fetch(u64),
    /// An identity token for an audience.
    IdToken(Option<String>),
}

/// How a file is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// At once.
    Whole,
    /// A block of it, by its id.
    Block(String),
    /// The list of its blocks.
    Blocks,
}

/// By which right a request is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Right<'q> {
    /// The token for caches and artifacts.
    Runtime,
    /// The token for identity tokens.
    Identity,
    /// The path's signature.
    Signature(std::borrow::Cow<'q, str>),
}

/// What is asked for, and by which right.
pub(super) fn route<'q>(method: &Method, path: &str, query: &'q str) -> Result<(Call, Right<'q>), Trouble> {
    if query.len() > LONGEST {
        return Err(Trouble::invalid("the query is too long"));
    }
    let read = |name: &str| {
        url::form_urlencoded::parse(query.as_bytes()).find_map(|(key, value)| (key == name).then_some(value))
    };
    let unknown = || Trouble::not_found(format!("the runner does not know {method} {path}"));
    let id = |text: &str| text.parse::<u64>().map_err(|_| unknown());
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let call = match (method.as_str(), parts.as_slice()) {
        ("POST", ["twirp", service, name]) => twirp(service, name).ok_or_else(unknown)?,
        ("GET", ["_apis", "artifactcache", "cache"]) => {
            let keys = read("keys").unwrap_or_default();
            let keys = keys.split(',').map(str::to_owned).filter(|key| !key.is_empty()).collect();
            Call::RestFind { keys, version: read("version").unwrap_or_default().into_owned() }
        }
        ("GET", ["_apis", "artifactcache", "caches"]) => Call::RestList,
        ("POST", ["_apis", "artifactcache", "caches"]) => Call::RestReserve,
        ("PATCH", ["_apis", "artifactcache", "caches", upload]) => Call::RestPart(id(upload)?),
        ("POST", ["_apis", "artifactcache", "caches", upload]) => Call::RestCommit(id(upload)?),
        ("GET", ["id-token"]) => {
            let audience = read("audience").map(|audience| audience.into_owned());
            return Ok((Call::IdToken(audience.filter(|audience| !audience.is_empty())), Right::Identity));
        }
        ("PUT", ["blobs", "up", upload]) => {
            let sent = match read("comp").as_deref() {
                None => Sent::Whole,
                Some("block") => Sent::Block(
                    read("blockid")
                        .filter(|block| !block.is_empty())
                        .ok_or_else(|| Trouble::invalid("a block needs an id: `blockid`"))?
                        .into_owned(),
                ),
                Some("blocklist") => Sent::Blocks,
                Some(other) => {
                    return Err(Trouble::invalid(format!(
                        "`comp={other}` is not known: use block or blocklist"
                    )));
                }
            };
            return Ok((Call::Send(id(upload)?, sent), Right::Signature(read("sig").unwrap_or_default())));
        }
        ("GET" | "HEAD", ["blobs", "down", download]) => {
            return Ok((Call::Fetch(id(download)?), Right::Signature(read("sig").unwrap_or_default())));
        }
        _ => return Err(unknown()),
    };
    Ok((call, Right::Runtime))
}

fn twirp(service: &str, name: &str) -> Option<Call> {
    let service = service.strip_prefix("github.actions.results.api.v1.")?;
    Some(match (service, name) {
        ("CacheService", "GetCacheEntryDownloadURL") => Call::FindCache,
        ("CacheService", "CreateCacheEntry") => Call::CreateCache,
        ("CacheService", "FinalizeCacheEntryUpload") => Call::FinishCache,
        ("ArtifactService", "CreateArtifact") => Call::CreateArtifact,
        ("ArtifactService", "FinalizeArtifact") => Call::FinishArtifact,
        ("ArtifactService", "ListArtifacts") => Call::ListArtifacts,
        ("ArtifactService", "GetSignedArtifactURL") => Call::ArtifactUrl,
        ("ArtifactService", "DeleteArtifact") => Call::DeleteArtifact,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method, url: &str) -> Result<(Call, bool), u16> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        match route(&method, path, query) {
            Ok((call, right)) => Ok((call, right == Right::Runtime)),
            Err(trouble) => Err(trouble.status.as_u16()),
        }
    }

    #[test]
    fn the_three_ways_in_are_known() {
        let twirp = |rest: &str| of(Method::POST, &format!("/twirp/github.actions.results.api.v1.{rest}"));
        assert_eq!(twirp("CacheService/CreateCacheEntry"), Ok((Call::CreateCache, true)));
        assert_eq!(twirp("ArtifactService/ListArtifacts"), Ok((Call::ListArtifacts, true)));
        assert_eq!(twirp("ArtifactService/CreateCacheEntry"), Err(404));
        let rest = |method, rest: &str| of(method, &format!("/_apis/artifactcache/{rest}"));
        assert_eq!(
            rest(Method::GET, "cache?keys=npm-a%20b%2Cnpm-&version=v"),
            Ok((Call::RestFind { keys: vec!["npm-a b".into(), "npm-".into()], version: "v".into() }, true))
        );
        assert_eq!(rest(Method::PATCH, "caches/7"), Ok((Call::RestPart(7), true)));
        assert_eq!(rest(Method::PATCH, "caches/../7"), Err(404));
        assert_eq!(
            of(Method::PUT, "/blobs/up/7?sig=ab&comp=block&blockid=QUI%3D"),
            Ok((Call::Send(7, Sent::Block("QUI=".into())), false))
        );
        assert_eq!(of(Method::PUT, "/blobs/up/7?sig=ab&comp=block"), Err(400));
        assert_eq!(of(Method::PUT, "/blobs/up/7?comp=lease"), Err(400));
        assert_eq!(of(Method::GET, "/blobs/up/7"), Err(404));
        assert_eq!(
            of(Method::GET, "/id-token?v=1&audience=a%2Fb"),
            Ok((Call::IdToken(Some("a/b".into())), false))
        );
        assert_eq!(of(Method::GET, "/id-token?v=1&audience="), Ok((Call::IdToken(None), false)));
        assert_eq!(of(Method::GET, "/"), Err(404));
        assert_eq!(of(Method::GET, &format!("/id-token?{}", "x".repeat(20_000))), Err(400));
    }

    #[test]
    fn a_file_needs_its_signature() {
        let (_, right) = route(&Method::HEAD, "/blobs/down/1", "sig=abc").unwrap();
        assert_eq!(right, Right::Signature("abc".into()));
        let (_, right) = route(&Method::HEAD, "/blobs/down/1", "").unwrap();
        assert_eq!(right, Right::Signature("".into()));
    }
}
