//! Models of an API like GitHub's, as far as releases go, and of Slack. They refuse what the real ones would.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use serde_json::{Value, json};

pub const TOKEN: &str = "token-of-the-forge";
pub const SLACK: &str = "xoxb-token-of-slack";

/// What was kept.
#[derive(Default)]
struct Kept {
    releases: Vec<Value>,
    files: Vec<(String, String, Vec<u8>)>,
    messages: Vec<(String, Value)>,
    next: u64,
}

/// Both, at one address.
pub struct Forge {
    pub url: String,
    kept: Arc<Mutex<Kept>>,
}

impl Forge {
    pub async fn start() -> Self {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (state, own) = (kept.clone(), url.clone());
        let app = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let (state, own) = (state.clone(), own.clone());
            async move {
                let (status, answer) =
                    answer(&mut state.lock().unwrap(), &own, &method, &uri, &headers, &body);
                (StatusCode::from_u16(status).unwrap(), answer)
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, kept }
    }

    pub fn releases(&self) -> Vec<Value> {
        self.kept.lock().unwrap().releases.clone()
    }

    /// Names, types and bytes of the files of all releases.
    pub fn files(&self) -> Vec<(String, String, Vec<u8>)> {
        self.kept.lock().unwrap().files.clone()
    }

    /// What came to Slack: the last part of the path, and the message.
    pub fn messages(&self) -> Vec<(String, Value)> {
        self.kept.lock().unwrap().messages.clone()
    }
}

fn answer(
    kept: &mut Kept,
    own: &str,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> (u16, String) {
    let path = uri.path();
    if path.starts_with("/slack/") {
        return slack(kept, path, headers, body);
    }
    if headers.get("authorization").is_none_or(|value| value != &format!("Bearer {TOKEN}")) {
        return (401, json!({ "message": "Bad credentials" }).to_string());
    }
    let not_found = (404, json!({ "message": "Not Found" }).to_string());
    if let Some(rest) = path.strip_prefix("/uploads/") {
        let name = uri.query().and_then(|query| query.strip_prefix("name=")).unwrap_or_default().to_owned();
        let size: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
        let id: u64 = rest.parse().unwrap();
        if size != body.len() || name.is_empty() || kept.files.iter().any(|(known, ..)| *known == name) {
            return (422, json!({ "message": "Validation Failed", "errors": [{ "code": "already_exists", "field": "name" }] }).to_string());
        }
        kept.next += 1;
        let asset = json!({ "id": kept.next, "name": name, "size": size });
        let Some(release) = kept.releases.iter_mut().find(|release| release["id"] == id) else {
            return not_found;
        };
        release["assets"].as_array_mut().unwrap().push(asset.clone());
        kept.files.push((name, headers["content-type"].to_str().unwrap().to_owned(), body.to_vec()));
        return (201, asset.to_string());
    }
    let Some(rest) = path.strip_prefix("/api/repos/team/app/releases") else { return not_found };
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_one = |asked: &Value| {
        asked["tag_name"].as_str().is_some_and(|tag| !tag.is_empty())
            && asked["draft"].is_boolean()
            && asked["prerelease"].is_boolean()
            && asked["body"].is_string()
            && asked["name"].is_string()
    };
    match (method.as_str(), rest) {
        ("POST", "") if !is_one(&asked) => (422, json!({ "message": "Invalid request" }).to_string()),
        ("POST", "") => {
            if kept.releases.iter().any(|release| release["tag_name"] == asked["tag_name"]) {
                let error = json!({ "resource": "Release", "code": "already_exists", "field": "tag_name" });
                return (422, json!({ "message": "Validation Failed", "errors": [error] }).to_string());
            }
            kept.next += 1;
            let id = kept.next;
            let mut release = asked;
            release["id"] = id.into();
            release["html_url"] = format!("{own}/team/app/releases/{id}").into();
            release["upload_url"] = format!("{own}/uploads/{id}{{?name,label}}").into();
            release["assets"] = json!([]);
            kept.releases.push(release.clone());
            (201, release.to_string())
        }
        ("GET", "") => (200, Value::Array(kept.releases.clone()).to_string()),
        ("GET", rest) => {
            let tag = rest.strip_prefix("/tags/").unwrap_or_default().replace("%2F", "/");
            let found =
                kept.releases.iter().find(|release| release["tag_name"] == tag && release["draft"] == false);
            found.map_or(not_found, |release| (200, release.to_string()))
        }
        ("PATCH", rest) => {
            let id: u64 = rest.trim_start_matches('/').parse().unwrap();
            let Some(release) = kept.releases.iter_mut().find(|release| release["id"] == id) else {
                return not_found;
            };
            if !is_one(&asked) {
                return (422, json!({ "message": "Invalid request" }).to_string());
            }
            release.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
            (200, release.to_string())
        }
        ("DELETE", rest) => {
            let id: u64 = rest.trim_start_matches("/assets/").parse().unwrap();
            for release in &mut kept.releases {
                let assets = release["assets"].as_array_mut().unwrap();
                if let Some(at) = assets.iter().position(|asset| asset["id"] == id) {
                    let asset = assets.remove(at);
                    kept.files.retain(|(name, ..)| asset["name"] != **name);
                    return (204, String::new());
                }
            }
            not_found
        }
        _ => not_found,
    }
}

fn slack(kept: &mut Kept, path: &str, headers: &HeaderMap, body: &[u8]) -> (u16, String) {
    let is_json = headers.get("content-type").is_some_and(|value| value == "application/json");
    let Ok(message) = serde_json::from_slice::<Value>(body) else {
        return (400, "invalid_payload".to_owned());
    };
    let last = path.rsplit('/').next().unwrap_or_default().to_owned();
    if !is_json || !message.is_object() {
        return (400, "invalid_payload".to_owned());
    }
    match path {
        "/slack/hook/incoming"
            if message["text"].is_string()
                || message["blocks"].is_array()
                || message["attachments"].is_array() =>
        {
            kept.messages.push((last, message));
            (200, "ok".to_owned())
        }
        "/slack/hook/workflow" if message.as_object().unwrap().values().all(Value::is_string) => {
            kept.messages.push((last, message));
            (200, "{\"ok\":true}".to_owned())
        }
        "/slack/api/chat.postMessage" => {
            let refuse = |error: &str| (200, json!({ "ok": false, "error": error }).to_string());
            if headers.get("authorization").is_none_or(|value| value != &format!("Bearer {SLACK}")) {
                return refuse("invalid_auth");
            }
            if message["channel"] != "C1" {
                return refuse("channel_not_found");
            }
            if !message["text"].is_string() {
                return refuse("no_text");
            }
            kept.messages.push((last, message));
            (200, json!({ "ok": true, "channel": "C1", "ts": "1700000000.000100" }).to_string())
        }
        _ => (400, "no_text".to_owned()),
    }
}
