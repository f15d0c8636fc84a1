//! `tidegate hook post-receive`: makes a bare git repository speak like GitHub. Called by git after a push, it
//! sends one signed `push` webhook for each ref that changed.
//!
//! A hook runs after the refs have moved, so nothing here can undo a push: what fails is said on the pusher's
//! terminal, and git goes on.

use std::{io::BufRead, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use git2::{DiffOptions, Oid, Repository, Sort};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use crate::failure::{Doing, Failure, Outcome};

/// As GitHub does, a push names at most so many of its commits.
const MAX_COMMITS: usize = 2048;
const TRIES: u32 = 5;

/// Hooks for bare git repositories
#[derive(Subcommand)]
pub enum Hook {
    /// As `post-receive` hook: tell the server of a push
    PostReceive(PostReceive),
}

/// As `post-receive` hook: tell the server of a push
#[derive(Args)]
pub struct PostReceive {
    /// The repository's webhook URL
    #[arg(long)]
    url: Url,
    /// A file with the webhook's secret
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// The repository's name on the server
    #[arg(long, value_name = "OWNER/NAME")]
    repository: String,
    /// The default branch
    #[arg(long, default_value = "main")]
    default_branch: String,
    /// Who pushes
    #[arg(long, env = "TIDEGATE_PUSHER", default_value = "git")]
    pusher: String,
}

impl Hook {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let Self::PostReceive(hook) = self;
        hook.run().await
    }
}

impl PostReceive {
    async fn run(self) -> Outcome {
        let secret = std::fs::read_to_string(&self.secret_file)
            .doing(format!("cannot read the webhook's secret in {}", self.secret_file.display()))?;
        let repository = Repository::open_from_env().doing("cannot open the repository that git named")?;
        let mut bodies = Vec::new();
        for line in std::io::stdin().lock().lines() {
            let line = line.doing("cannot read what git told of the push")?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let [before, after, reference] = words.as_slice() else { continue };
            bodies.push(self.payload(&repository, before, after, reference)?);
        }
        drop(repository);
        for body in bodies {
            self.deliver(secret.trim().as_bytes(), &body).await?;
        }
        Ok(())
    }

    /// The body of GitHub's `push` event.
    fn payload(
        &self,
        repository: &Repository,
        before: &str,
        after: &str,
        reference: &str,
    ) -> Outcome<Vec<u8>> {
        let zero = |id: &str| id.chars().all(|digit| digit == '0');
        let (created, deleted) = (zero(before), zero(after));
        let commits = if deleted {
            Vec::new()
        } else {
            commits(repository, before, after).doing("cannot read the pushed commits")?
        };
        let forced = !created && !deleted && !descends(repository, before, after);
        let (owner, name) = self.repository.split_once('/').unwrap_or(("", &self.repository));
        let body = json!({
            "ref": reference,
            "before": before,
            "after": after,
            "created": created,
            "deleted": deleted,
            "forced": forced,
            "base_ref": null,
            "head_commit": commits.last(),
            "commits": commits,
            "repository": {
                "name": name,
                "full_name": self.repository,
                "owner": {"login": owner, "name": owner},
                "clone_url": file_url(repository),
                "default_branch": self.default_branch,
            },
            "pusher": {"name": self.pusher},
            "sender": {"login": self.pusher},
        });
        serde_json::to_vec(&body).doing("cannot write the webhook's body")
    }

    /// Sends one webhook, and again when the server is not there: the same delivery twice makes one run.
    async fn deliver(&self, secret: &[u8], body: &[u8]) -> Outcome {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()
            .doing("cannot set up an HTTP client")?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).doing("cannot sign with this secret")?;
        mac.update(body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let delivery = uuid::Uuid::new_v4().to_string();
        let mut failure = Failure::new("no try was made");
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
            }
            let answer = client
                .post(self.url.clone())
                .header("content-type", "application/json")
                .header("user-agent", "GitHub-Hookshot/tidegate")
                .header("x-github-event", "push")
                .header("x-github-delivery", &delivery)
                .header("x-hub-signature-256", &signature)
                .body(body.to_vec())
                .send()
                .await;
            failure = match answer {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) if answer.status().is_server_error() => {
                    Failure::new(format!("the server answered {}", answer.status()))
                }
                Ok(answer) => {
                    return Err(Failure::new(format!(
                        "the server refused the push's webhook ({})",
                        answer.status()
                    ))
                    .mend("the push itself is done; start the run with `tidegate runs start`"));
                }
                Err(error) => Failure::new("the server does not answer").because(error.without_url()),
            };
        }
        Err(failure
            .mend("the push itself is done; start the run with `tidegate runs start` once the server is up"))
    }
}

/// The new commits, oldest first, as GitHub writes them.
fn commits(repository: &Repository, before: &str, after: &str) -> Result<Vec<Value>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    // A tag's object is not a commit by itself.
    let tip = repository.find_object(Oid::from_str(after)?, None)?.peel_to_commit()?.id();
    walk.push(tip)?;
    if let Ok(old) = Oid::from_str(before)
        && !old.is_zero()
        && let Ok(commit) = repository.find_commit(old)
    {
        walk.hide(commit.id())?;
    }
    let ids = walk.collect::<Result<Vec<_>, _>>()?;
    ids.iter().skip(ids.len().saturating_sub(MAX_COMMITS)).map(|id| commit(repository, *id)).collect()
}

fn commit(repository: &Repository, id: Oid) -> Result<Value, git2::Error> {
    let commit = repository.find_commit(id)?;
    let parent = commit.parent(0).ok().and_then(|parent| parent.tree().ok());
    let diff = repository.diff_tree_to_tree(
        parent.as_ref(),
        Some(&commit.tree()?),
        Some(&mut DiffOptions::new()),
    )?;
    let (mut added, mut removed, mut modified) = (Vec::new(), Vec::new(), Vec::new());
    for delta in diff.deltas() {
        let path = |file: git2::DiffFile<'_>| file.path().map(|path| path.display().to_string());
        match delta.status() {
            git2::Delta::Added => added.extend(path(delta.new_file())),
            git2::Delta::Deleted => removed.extend(path(delta.old_file())),
            _ => modified.extend(path(delta.new_file())),
        }
    }
    let person = |person: git2::Signature<'_>| {
        json!({
            "name": String::from_utf8_lossy(person.name_bytes()),
            "email": String::from_utf8_lossy(person.email_bytes()),
        })
    };
    let time = jiff::Timestamp::from_second(commit.time().seconds())
        .map(|time| time.to_string())
        .unwrap_or_default();
    Ok(json!({
        "id": id.to_string(),
        "tree_id": commit.tree_id().to_string(),
        "distinct": true,
        "message": String::from_utf8_lossy(commit.message_bytes()),
        "timestamp": time,
        "author": person(commit.author()),
        "committer": person(commit.committer()),
        "added": added,
        "removed": removed,
        "modified": modified,
    }))
}

fn descends(repository: &Repository, before: &str, after: &str) -> bool {
    match (Oid::from_str(before), Oid::from_str(after)) {
        (Ok(before), Ok(after)) => repository.graph_descendant_of(after, before).unwrap_or(false),
        _ => false,
    }
}

fn file_url(repository: &Repository) -> Option<String> {
    Url::from_file_path(repository.path()).ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook() -> PostReceive {
        PostReceive {
            url: Url::parse("http://127.0.0.1:1/webhooks/github/x").unwrap(),
            secret_file: "secret".into(),
            repository: "demo/tides".into(),
            default_branch: "main".into(),
            pusher: "dev".into(),
        }
    }

    fn commit_file(repository: &Repository, name: &str, text: &str) -> Oid {
        let root = repository.workdir().unwrap();
        std::fs::write(root.join(name), text).unwrap();
        let mut index = repository.index().unwrap();
        index.add_path(std::path::Path::new(name)).unwrap();
        index.write().unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let author = git2::Signature::now("Dev", "dev@example.org").unwrap();
        let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        repository.commit(Some("HEAD"), &author, &author, &format!("change {name}"), &tree, &parents).unwrap()
    }

    #[test]
    fn a_push_is_told_as_github_tells_it() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init(folder.path()).unwrap();
        let first = commit_file(&repository, "a", "1").to_string();
        let second = commit_file(&repository, "b", "1").to_string();
        let third = commit_file(&repository, "a", "2").to_string();
        let zero = "0".repeat(40);
        let read = |before: &str, after: &str| -> Value {
            serde_json::from_slice(&hook().payload(&repository, before, after, "refs/heads/main").unwrap())
                .unwrap()
        };
        let body = read(&first, &third);
        let ids: Vec<_> =
            body["commits"].as_array().unwrap().iter().map(|commit| commit["id"].clone()).collect();
        assert_eq!(ids, [json!(second), json!(third)]);
        assert_eq!(body["commits"][0]["added"], json!(["b"]));
        assert_eq!(body["commits"][1]["modified"], json!(["a"]));
        assert_eq!((&body["created"], &body["forced"]), (&json!(false), &json!(false)));
        assert_eq!(body["repository"]["owner"]["login"], json!("demo"));
        let body = read(&zero, &third);
        assert_eq!((body["commits"].as_array().unwrap().len(), &body["created"]), (3, &json!(true)));
        assert_eq!(read(&third, &first)["forced"], json!(true));
        let body = read(&third, &zero);
        assert_eq!((&body["deleted"], &body["head_commit"]), (&json!(true), &Value::Null));
    }
}
