//! The page for people: files of `web/dist`, built into the program (in a debug build, read from disk).
//!
//! What is no file is the page itself, because its router reads the path. Calls that do not exist are 404 and
//! never the page.

use axum::{
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};

use super::error::ApiError;
use crate::error::Error;

#[derive(rust_embed::Embed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Files;

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><title>Tidegate</title><h1>Tidegate</h1>\
    <p>This server was built without its page. Build it in <code>web/</code> (<code>make web</code>) and build the \
    server again. The API works: <a href=\"/api/openapi.json\">its description</a>.</p></html>";

/// Paths that are never the page's.
const CALLS: &[&str] = &["api/", "runner/", "webhooks/"];

/// Serves a file, or the page.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if CALLS.iter().any(|call| path.starts_with(call)) {
        return ApiError::from(Error::NotFound("call")).into_response();
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if !path.is_empty()
        && path != "index.html"
        && let Some(file) = Files::get(path)
    {
        // Names in this folder hold a hash of the content.
        let cache =
            if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        return answer(path, cache, file, &headers);
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    if last.contains('.') && path != "index.html" {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    }
    match Files::get("index.html") {
        Some(file) => answer("index.html", "no-cache", file, &headers),
        None => Html(NOT_BUILT).into_response(),
    }
}

fn answer(path: &str, cache: &'static str, file: rust_embed::EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let about = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, cache.to_owned())];
    if known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, kind(path))], file.data.into_owned()).into_response()
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
