//! Logs and artifacts: whole, in pieces, and as they grow.

use axum::{
    Json,
    body::Body as RawBody,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response, sse::Event},
};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_protocol::ids::{ArtifactId, AttemptId};
use utoipa::{IntoParams, ToSchema};

use super::super::{
    Shared,
    access::Caller,
    error::{ApiError, ErrorBody},
    extract::{Path, Query},
    runner::blob,
    sse::{self, Feed, Sender},
};
use crate::{app::App, error::Error, hub::Hint, logs, reports::Note, results};

/// A piece at most.
const LARGEST: usize = 8 << 20;
/// What is read at once for a download.
const DOWNLOAD: usize = 1 << 20;
/// What one event of a stream carries at most.
const EVENT: usize = 128 << 10;

/// Which part of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// From this byte on; absent: from the first.
    offset: Option<u64>,
    /// About so many bytes; absent: to the end of what there is.
    limit: Option<usize>,
}

/// A step's log, raw. The header `tidegate-next-offset` says where to go on, `tidegate-lines-before` how many
/// newlines come before the part.
#[utoipa::path(get, operation_id = "logs_read", path = "/api/v1/attempts/{id}/steps/{step}/log",
    params(("id" = Uuid, Path, description = "The attempt"), ("step" = u32, Path, description = "The step's index"), Part),
    responses((status = 200, content_type = "text/plain", body = String), (status = 404, body = ErrorBody)))]
pub(super) async fn read(
    State(app): State<App>,
    Path((attempt, step)): Path<(AttemptId, u32)>,
    Query(part): Query<Part>,
) -> Result<Response, ApiError> {
    let offset = part.offset.unwrap_or(0);
    let text = (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned());
    match part.limit {
        Some(limit) => {
            let piece = logs::read(&app, attempt, step, offset, limit.clamp(1, LARGEST)).await?;
            let headers = [
                text,
                (HeaderName::from_static("tidegate-next-offset"), piece.next_offset.to_string()),
                (HeaderName::from_static("tidegate-lines-before"), piece.lines_before.to_string()),
            ];
            Ok((headers, piece.bytes).into_response())
        }
        None => {
            // The first piece is read before the answer begins, so that what is not there is a 404.
            let first = logs::read(&app, attempt, step, offset, DOWNLOAD).await?;
            let name = format!("attachment; filename=\"{attempt}-step-{step}.log\"");
            let headers = [text, (header::CONTENT_DISPOSITION, name)];
            Ok((headers, RawBody::from_stream(download(app, attempt, step, first))).into_response())
        }
    }
}

fn download(
    app: App,
    attempt: AttemptId,
    step: u32,
    first: logs::LogPiece,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::try_unfold((app, Some(first)), move |(app, piece)| async move {
        let Some(piece) = piece.filter(|piece| !piece.bytes.is_empty()) else { return Ok(None) };
        let next = if piece.finished {
            None
        } else {
            let next = logs::read(&app, attempt, step, piece.next_offset, DOWNLOAD).await;
            Some(next.map_err(|error| {
                tracing::error!(?error, "a log broke off while it was read");
                std::io::Error::other("the log broke off")
            })?)
        };
        Ok(Some((piece.bytes, (app, next))))
    })
}

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// From this byte on. `Last-Event-ID` goes before it.
    offset: Option<u64>,
}

/// A step's log as it grows: `data` is `{offset, text, lines}` with the newlines before `offset`, `id` the next
/// offset; the event `end` says that nothing more comes.
#[utoipa::path(get, operation_id = "logs_stream", path = "/api/v1/attempts/{id}/steps/{step}/log/stream",
    params(("id" = Uuid, Path, description = "The attempt"), ("step" = u32, Path, description = "The step's index"), StreamQuery),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 404, body = ErrorBody)))]
pub(super) async fn stream(
    State(shared): State<Shared>,
    caller: Caller,
    Path((attempt, step)): Path<(AttemptId, u32)>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let offset = sse::resume(&headers, query.offset)?.unwrap_or(0);
    // What is not there is a 404, not a stream without events.
    logs::read(&shared.app, attempt, step, offset, 1).await?;
    Ok(sse::answer(&shared, caller, Log { attempt, step, offset }))
}

struct Log {
    attempt: AttemptId,
    step: u32,
    offset: u64,
}

impl Feed for Log {
    fn is_about(&self, hint: Hint) -> bool {
        hint == Hint::Log(self.attempt)
    }

    async fn send(&mut self, app: &App, out: &Sender) -> Result<bool, Error> {
        loop {
            let piece = logs::read(app, self.attempt, self.step, self.offset, EVENT).await?;
            let end = if piece.finished { piece.bytes.len() } else { whole_characters(&piece.bytes) };
            let bytes = piece.bytes.get(..end).unwrap_or_default();
            if !bytes.is_empty() {
                let next = self.offset + bytes.len() as u64;
                let data = json!({
                    "offset": self.offset, "text": String::from_utf8_lossy(bytes), "lines": piece.lines_before,
                });
                out.send(Event::default().id(next.to_string()).data(data.to_string())).await;
                self.offset = next;
            }
            if piece.finished {
                let end =
                    Event::default().id(self.offset.to_string()).event("end").data(self.offset.to_string());
                out.send(end).await;
                return Ok(true);
            }
            if bytes.is_empty() {
                return Ok(false);
            }
        }
    }
}

/// How many bytes there are before a character that is not all there yet.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let needs = match bytes[at] {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => return bytes.len(),
        };
        return if needs > back { at } else { bytes.len() };
    }
    bytes.len()
}

/// What steps wrote for the run's page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Notes {
    /// By step.
    notes: Vec<Note>,
}

/// What the steps of an attempt wrote for the run's page, as Markdown.
#[utoipa::path(get, operation_id = "logs_notes", path = "/api/v1/attempts/{id}/notes", params(("id" = Uuid, Path, description = "The attempt")),
    responses((status = 200, body = Notes)))]
pub(super) async fn notes(
    State(app): State<App>,
    Path(attempt): Path<AttemptId>,
) -> Result<Json<Notes>, ApiError> {
    Ok(Json(Notes { notes: results::notes(&app, attempt).await? }))
}

/// Downloads an artifact.
#[utoipa::path(get, operation_id = "logs_artifact", path = "/api/v1/artifacts/{id}", params(("id" = Uuid, Path, description = "The artifact")),
    responses((status = 200, content_type = "application/zstd", body = Vec<u8>), (status = 404, body = ErrorBody)))]
pub(super) async fn artifact(
    State(app): State<App>,
    Path(id): Path<ArtifactId>,
) -> Result<Response, ApiError> {
    let reader = results::open_artifact(&app, id).await?;
    let safe: String = reader
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .take(150)
        .collect();
    let name = if safe.ends_with(".tar.zst") { safe } else { format!("{safe}.tar.zst") };
    let mut response = blob(reader);
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
        .map_err(|_| Error::internal("an artifact's name does not fit into a header"))?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::whole_characters;

    #[test]
    fn characters_are_not_torn_apart() {
        let text = "aé€😀z".as_bytes();
        let whole = [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11];
        for (end, whole) in whole.into_iter().enumerate() {
            assert_eq!(whole_characters(&text[..end]), whole, "{end}");
        }
        assert_eq!(whole_characters(b"\xff\xff"), 2, "what is no character is not waited for");
        assert_eq!(whole_characters(b"\x80\x80\x80\x80"), 4);
    }
}
