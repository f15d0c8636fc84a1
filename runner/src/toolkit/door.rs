//! The socket of the services, and HTTP on it: who may ask is checked, bodies are bounded, answers are written.
//!
//! After a restart of the runner the socket is a new one under the same name; the shim looks it up for each connection.

use std::{
    convert::Infallible,
    fs, io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, BodyStream, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    net::UnixListener,
    sync::Semaphore,
};
use tokio_util::{io::ReaderStream, sync::CancellationToken};

use super::{
    Shared, artifacts, caches, identity,
    keys::equal,
    messages,
    route::{Call, Right, Sent, route},
    trouble::Trouble,
    uploads::Part,
};
use crate::sandbox::shim::wire::TOOLKIT_SOCKET;

/// Connections at a time.
const MOST: usize = 64;
/// Bytes of a body that is read whole. A list of fifty thousand blocks has five mebibytes.
const LARGEST_BODY: usize = 8 << 20;
/// How long a sender may take for a request's head.
const HEAD: Duration = Duration::from_secs(60);

type Body = BoxBody<Bytes, io::Error>;

/// Listens in the folder. The path of a socket may have a hundred bytes only, so it is bound through the folder's own
/// descriptor.
pub(super) fn listen(folder: &Path) -> io::Result<UnixListener> {
    let name = TOOLKIT_SOCKET.rsplit('/').next().unwrap_or(TOOLKIT_SOCKET);
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let opened = fs::File::open(folder)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd()))?;
    // A sandbox's programs may run as any user.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Serves until `stop`, and cuts off what is open then.
pub(super) async fn serve(listener: UnixListener, shared: Arc<Shared>, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let connection = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the services for actions was not taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (shared, stop) = (shared.clone(), stop.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(|request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(answer(&shared, request).await) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(256 << 10);
            tokio::select! {
                served = builder.serve_connection(TokioIo::new(connection), service) => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "a connection to the services for actions broke off");
                    }
                }
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    match carry_out(shared, request).await {
        Ok(response) => response,
        Err(trouble) => {
            // Not at the level of warnings: what a sandbox asks for is its own business.
            tracing::debug!(%method, path, status = trouble.status.as_u16(), %trouble, "refused");
            json(trouble.status, &trouble.body())
        }
    }
}

async fn carry_out(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, Trouble> {
    let (head, body) = request.into_parts();
    let (call, right) = route(&head.method, head.uri.path(), head.uri.query().unwrap_or_default())?;
    allow(shared, &head, &right)?;
    let header = |name: header::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    Ok(match call {
        Call::FindCache => found(caches::find(shared, read(body).await?).await?),
        Call::CreateCache => found(caches::create(shared, read(body).await?).await?),
        Call::FinishCache => found(caches::finish(shared, read(body).await?).await?),
        Call::RestFind { keys, version } => match caches::rest_find(shared, &keys, &version).await? {
            Some(entry) => found(entry),
            None => empty(StatusCode::NO_CONTENT),
        },
        // Entries of other keys are nobody's business; the library asks only to help with debugging.
        Call::RestList => found(serde_json::json!({ "totalCount": 0, "artifactCaches": [] })),
        Call::RestReserve => json(StatusCode::CREATED, &caches::reserve(shared, read(body).await?).await?),
        Call::RestPart(id) => {
            let (first, length) =
                header(header::CONTENT_RANGE).and_then(messages::content_range).ok_or_else(|| {
                    Trouble::invalid("a part of a cache needs a header Content-Range: `bytes FIRST-LAST/*`")
                })?;
            shared.uploads.receive(id, &Part::At(first), Some(length), pieces(body)).await?;
            empty(StatusCode::NO_CONTENT)
        }
        Call::RestCommit(id) => {
            let commit: messages::Commit = read(body).await?;
            caches::commit(shared, id, commit.size).await?;
            empty(StatusCode::NO_CONTENT)
        }
        Call::CreateArtifact => found(artifacts::create(shared, &read(body).await?)?),
        Call::FinishArtifact => found(artifacts::finish(shared, read(body).await?).await?),
        Call::ListArtifacts => found(artifacts::list(shared, &read(body).await?).await?),
        Call::ArtifactUrl => found(artifacts::url(shared, &read(body).await?).await?),
        Call::DeleteArtifact => found(artifacts::delete(shared, &read(body).await?).await?),
        Call::Send(id, sent) => {
            let length = header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
            match sent {
                Sent::Whole => shared.uploads.receive(id, &Part::Whole, length, pieces(body)).await?,
                Sent::Block(block) => {
                    shared.uploads.receive(id, &Part::Block(block), length, pieces(body)).await?;
                }
                Sent::Blocks => {
                    let bytes = collect(body).await?;
                    let list = std::str::from_utf8(&bytes)
                        .map_err(|_| Trouble::invalid("the list of blocks is not UTF-8"))?;
                    shared.uploads.order_blocks(id, messages::block_list(list)?)?;
                }
            }
            empty(StatusCode::CREATED)
        }
        Call::Fetch(id) => fetch(shared, id, &head.method, header(header::RANGE)).await?,
        Call::IdToken(audience) => found(identity::answer(shared, audience.as_deref()).await?),
    })
}

/// Whether the request has the right that it needs.
fn allow(shared: &Shared, head: &hyper::http::request::Parts, right: &Right<'_>) -> Result<(), Trouble> {
    let allowed = match right {
        Right::Signature(signature) => shared.keys.signed(head.uri.path(), signature),
        Right::Runtime => bearer(head).is_some_and(|token| equal(token, shared.keys.runtime.as_bytes())),
        Right::Identity => bearer(head).is_some_and(|token| equal(token, shared.keys.identity.as_bytes())),
    };
    if allowed { Ok(()) } else { Err(Trouble::unauthorized()) }
}

fn bearer(head: &hyper::http::request::Parts) -> Option<&[u8]> {
    let value = head.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().as_bytes())
}

async fn collect(body: Incoming) -> Result<Bytes, Trouble> {
    let collected = Limited::new(body, LARGEST_BODY).collect().await;
    let bytes = collected.map_err(|error| Trouble::invalid(format!("the body cannot be read: {error}")))?;
    Ok(bytes.to_bytes())
}

async fn read<T: serde::de::DeserializeOwned>(body: Incoming) -> Result<T, Trouble> {
    messages::read(&collect(body).await?)
}

/// A body as it comes.
fn pieces(body: Incoming) -> impl futures_util::Stream<Item = Result<Bytes, hyper::Error>> + Send + Unpin {
    BodyStream::new(body).try_filter_map(|frame| std::future::ready(Ok(frame.into_data().ok())))
}

/// A file that is offered, or a range of it.
async fn fetch(
    shared: &Shared,
    id: u64,
    method: &Method,
    range: Option<&str>,
) -> Result<Response<Body>, Trouble> {
    let (file, size) = shared.downloads.read(id)?;
    let builder = Response::builder()
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{id}\""))
        // What artifacts are; the libraries do not look at it where a cache is meant.
        .header(header::CONTENT_TYPE, "application/zip");
    let (builder, first, length) = match messages::range(range, size) {
        Ok(None) => (builder, 0, size),
        Ok(Some((first, length))) => {
            let said = format!("bytes {first}-{}/{size}", first + length - 1);
            (builder.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, said), first, length)
        }
        Err(()) => {
            let builder = builder
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{size}"));
            return built(builder.body(nothing()));
        }
    };
    let builder = builder.header(header::CONTENT_LENGTH, length);
    if method == Method::HEAD {
        return built(builder.body(nothing()));
    }
    let mut file = tokio::fs::File::from_std(file);
    file.seek(io::SeekFrom::Start(first)).await?;
    let stream = ReaderStream::with_capacity(file.take(length), 256 << 10);
    built(builder.body(StreamBody::new(stream.map_ok(Frame::data)).boxed()))
}

fn built(response: hyper::http::Result<Response<Body>>) -> Result<Response<Body>, Trouble> {
    response.map_err(Trouble::broken)
}

fn nothing() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(nothing());
    *response.status_mut() = status;
    response
}

fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn found(value: Value) -> Response<Body> {
    json(StatusCode::OK, &value)
}
