//! A real git repository with a bare origin, and the forge's webhook for a push to it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

/// A bare repository and a clone to work in.
pub struct Repo {
    folder: tempfile::TempDir,
    /// `owner/name`.
    pub full_name: String,
}

/// A push that happened, as a webhook tells it.
#[derive(Debug, Clone)]
pub struct Push {
    /// The commit before.
    pub before: String,
    /// The commit that was pushed.
    pub after: String,
    /// The full ref.
    pub reference: String,
    /// Who pushed.
    pub pusher: String,
    /// Paths that the commit touches.
    pub changed: Vec<String>,
}

impl Repo {
    /// A new pair, with an empty `main`.
    pub fn create(full_name: &str) -> Result<Self> {
        let repo = Self { folder: tempfile::tempdir()?, full_name: full_name.to_owned() };
        git(repo.folder.path(), &["init", "-q", "--bare", "--initial-branch=main", "origin.git"])?;
        git(repo.folder.path(), &["init", "-q", "--initial-branch=main", "work"])?;
        git(&repo.work(), &["remote", "add", "origin", &repo.clone_url()])?;
        Ok(repo)
    }

    /// The clone to work in.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// `file://` URL of the bare repository.
    pub fn clone_url(&self) -> String {
        format!("file://{}/origin.git", self.folder.path().display())
    }

    /// Writes the files, commits and pushes them to `main`.
    pub fn push(&self, files: &[(&str, &str)], message: &str) -> Result<Push> {
        let work = self.work();
        let before = git(&work, &["rev-parse", "-q", "--verify", "HEAD"]).unwrap_or_else(|_| "0".repeat(40));
        for (path, text) in files {
            let path = work.join(path);
            std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
            std::fs::write(path, text)?;
        }
        git(&work, &["add", "-A"])?;
        git(&work, &["commit", "-q", "--allow-empty", "-m", message])?;
        git(&work, &["push", "-q", "origin", "HEAD:main"])?;
        Ok(Push {
            before,
            after: git(&work, &["rev-parse", "HEAD"])?,
            reference: "refs/heads/main".to_owned(),
            pusher: "dev".to_owned(),
            changed: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
        })
    }

    /// The body that GitHub sends for this push.
    pub fn webhook(&self, push: &Push) -> Value {
        let (owner, name) = self.full_name.split_once('/').unwrap_or(("owner", "name"));
        let commit = json!({
            "id": push.after, "tree_id": push.after, "distinct": true, "message": "a change",
            "timestamp": "2026-01-02T03:04:05Z", "url": "https://example.org/commit",
            "author": {"name": "Dev", "email": "dev@example.org", "username": push.pusher},
            "committer": {"name": "Dev", "email": "dev@example.org", "username": push.pusher},
            "added": push.changed, "removed": [], "modified": [],
        });
        json!({
            "ref": push.reference, "before": push.before, "after": push.after,
            "created": false, "deleted": false, "forced": false, "base_ref": null,
            "compare": "https://example.org/compare",
            "commits": [commit], "head_commit": commit,
            "repository": {
                "id": 1, "name": name, "full_name": self.full_name, "private": true, "default_branch": "main",
                "owner": {"login": owner, "id": 1}, "clone_url": self.clone_url(), "fork": false,
            },
            "pusher": {"name": push.pusher, "email": "dev@example.org"},
            "sender": {"login": push.pusher, "id": 2, "type": "User"},
        })
    }
}

/// Posts a delivery as GitHub does: signed over the raw bytes, with its own id.
pub async fn deliver(url: &str, secret: &str, event: &str, body: &Value) -> Result<reqwest::StatusCode> {
    deliver_as(url, secret, event, body, &Uuid::new_v4().to_string()).await
}

/// As [`deliver`], with a delivery id of the caller's.
pub async fn deliver_as(
    url: &str,
    secret: &str,
    event: &str,
    body: &Value,
    delivery: &str,
) -> Result<reqwest::StatusCode> {
    let bytes = serde_json::to_vec(body)?;
    let answer = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-github-delivery", delivery)
        .header("x-hub-signature-256", signature(secret, &bytes)?)
        .body(bytes)
        .send()
        .await?;
    Ok(answer.status())
}

/// `sha256=…` over the raw bytes.
pub fn signature(secret: &str, bytes: &[u8]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(bytes);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

/// Runs git in a folder, away from the user's own configuration.
pub fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()?;
    if !output.status.success() {
        bail!("git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
