//! A registry that fails when the first manifest comes, and takes it when it comes again. It keeps nothing but names.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, Uri},
    routing::any,
};
use sha2::{Digest as _, Sha256};

#[derive(Default)]
struct Kept {
    uploads: usize,
    blobs: BTreeSet<String>,
    /// Manifests that came, with the answer.
    manifests: Vec<StatusCode>,
}

/// A registry of one test.
pub struct FailingRegistry {
    pub host: String,
    kept: Arc<Mutex<Kept>>,
    server: tokio::task::JoinHandle<()>,
}

impl FailingRegistry {
    pub async fn start() -> Self {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let router =
            Router::new().fallback(any(answer)).layer(DefaultBodyLimit::disable()).with_state(kept.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, kept, server }
    }

    /// How the manifests that came were answered.
    pub fn manifests(&self) -> Vec<u16> {
        self.kept.lock().unwrap().manifests.iter().map(StatusCode::as_u16).collect()
    }
}

impl Drop for FailingRegistry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn digest(body: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(body)))
}

async fn answer(
    State(kept): State<Arc<Mutex<Kept>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> (StatusCode, HeaderMap) {
    let mut kept = kept.lock().unwrap();
    let path = uri.path();
    let last = path.rsplit('/').next().unwrap_or_default();
    let found = |digest: String| (HeaderName::from_static("docker-content-digest"), digest);
    let (status, headers) = match method {
        Method::GET if path == "/v2/" => (StatusCode::OK, vec![]),
        Method::HEAD if kept.blobs.contains(last) => (StatusCode::OK, vec![found(last.to_owned())]),
        Method::POST => {
            kept.uploads += 1;
            let place = format!("{path}{}", kept.uploads);
            (StatusCode::ACCEPTED, vec![(HeaderName::from_static("location"), place)])
        }
        Method::PATCH => {
            let range = format!("0-{}", body.len().saturating_sub(1));
            let place = (HeaderName::from_static("location"), path.to_owned());
            (StatusCode::ACCEPTED, vec![place, (HeaderName::from_static("range"), range)])
        }
        Method::PUT if path.contains("/blobs/") => {
            let query = uri.query().unwrap_or_default().replace("%3A", ":");
            let blob = query.split_once("digest=").map(|(_, digest)| digest.to_owned()).unwrap_or_default();
            kept.blobs.insert(blob.clone());
            (StatusCode::CREATED, vec![found(blob)])
        }
        Method::PUT => {
            let manifest: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let layers = manifest["layers"].as_array().into_iter().flatten();
            let mut named =
                layers.chain(manifest.get("config")).map(|one| one["digest"].as_str().unwrap_or(""));
            let status = match kept.manifests.is_empty() {
                true => StatusCode::INTERNAL_SERVER_ERROR,
                false if named.all(|digest| kept.blobs.contains(digest)) => StatusCode::CREATED,
                false => StatusCode::BAD_REQUEST,
            };
            kept.manifests.push(status);
            (status, vec![found(digest(&body))])
        }
        _ => (StatusCode::NOT_FOUND, vec![]),
    };
    (status, headers.into_iter().map(|(name, value)| (name, value.parse().unwrap())).collect())
}
