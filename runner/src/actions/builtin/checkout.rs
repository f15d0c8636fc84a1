//! `actions/checkout`: the repository's files into the workspace, from the runner's own mirror.
//!
//! Fetching writes to a folder that the sandbox does not see. Only then do its entries move to their place, which is
//! opened below the workspace without following a link: a step before may have put one there that leads out of it.

use std::{
    fs, io,
    os::fd::AsRawFd as _,
    path::{Component, Path, PathBuf},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tidegate_protocol::messages::Source;

use super::{Builtin, Use};
use crate::{
    actions::source::url,
    archive::beneath::Root,
    source::{self, Depth, Wish},
    stage::{Failure, WorkspaceFrom, copy_tree},
};

/// The action.
pub struct Checkout;

#[async_trait]
impl Builtin for Checkout {
    fn name(&self) -> &'static str {
        "actions/checkout"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("repository", "${{ github.repository }}"),
            ("ref", ""),
            ("token", "${{ github.token }}"),
            ("ssh-key", ""),
            ("ssh-known-hosts", ""),
            ("ssh-strict", "true"),
            ("ssh-user", "git"),
            ("persist-credentials", "true"),
            ("path", ""),
            ("clean", "true"),
            ("filter", ""),
            ("sparse-checkout", ""),
            ("sparse-checkout-cone-mode", "true"),
            ("fetch-depth", "1"),
            ("fetch-tags", "false"),
            ("show-progress", "true"),
            ("lfs", "false"),
            ("submodules", "false"),
            ("set-safe-directory", "true"),
            ("github-server-url", ""),
        ]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        for (name, what) in [("submodules", "submodules are"), ("lfs", "files of Git LFS are")] {
            if !matches!(step.input(name), "" | "false") {
                step.warn(format!("{what} not fetched by the built-in actions/checkout"));
            }
        }
        for name in ["sparse-checkout", "filter"] {
            if !step.input(name).is_empty() {
                step.say(format!("`{name}` is left out of account: all files come from the runner's mirror"));
            }
        }
        let place = below(step.input("path"))?;
        let clean = step.flag("clean")?;
        let depth: u32 = step
            .input("fetch-depth")
            .parse()
            .map_err(|_| Failure::failed("the input `fetch-depth` is a number, 0 for all of the history"))?;
        let depth = if depth == 0 { Depth::All } else { Depth::Commits(depth) };
        let wish = Wish { depth, tags: step.flag("fetch-tags")? };
        let own = step.input("repository").eq_ignore_ascii_case(&step.ctx.lease.source.repository);
        let fresh = step.ctx.dirs.scratch().join(format!("checkout-{}", uuid::Uuid::now_v7().simple()));
        let persisted = step.flag("persist-credentials")?.then(|| step.input("token").to_owned());

        let got = match step.ctx.workspace_from.clone() {
            WorkspaceFrom::Tree(tree) if own && step.input("ref").is_empty() => {
                let sha = step.ctx.lease.source.sha.clone();
                let what = format!("the working tree {}", tree.display());
                let to = fresh.clone();
                blocking(move || {
                    fs::create_dir_all(&to).map_err(|error| error.to_string())?;
                    copy_tree(&tree, &to)
                })
                .await?;
                Got {
                    what,
                    reference: step.ctx.lease.source.reference.clone(),
                    sha,
                    notes: Vec::new(),
                    url: None,
                }
            }
            _ => fetch(step, own, fresh.clone(), wish).await?,
        };
        for note in &got.notes {
            step.say(note);
        }
        let header = got.url.as_deref().zip(persisted.filter(|token| !token.is_empty()));
        if let Some((url, token)) = header {
            let (config, section) = (fresh.join(".git/config"), header_of(url, &token));
            step.hide(&STANDARD.encode(format!("x-access-token:{token}")));
            blocking(move || append(&config, &section).map_err(|error| error.to_string())).await?;
            step.save_state("config", place.join(".git/config").to_string_lossy().into_owned());
        }
        let workspace = step.workspace();
        blocking(move || {
            let moved = put_in_place(&workspace, &place, &fresh, clean);
            let _ = fs::remove_dir_all(&fresh);
            moved.map_err(|error| format!("the files cannot be put into the workspace: {error}"))
        })
        .await?;
        step.say(format!("checked out {} at {}", got.what, got.sha));
        step.set_output("commit", got.sha.clone());
        step.set_output("ref", got.reference);
        Ok(())
    }

    fn post_if(&self) -> Option<&'static str> {
        Some("always()")
    }

    /// Takes the credentials out of the repository's configuration again.
    async fn post(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let config = step.state("config").to_owned();
        if config.is_empty() {
            return Ok(());
        }
        let workspace = step.workspace();
        blocking(move || {
            let root = Root::open(&workspace).map_err(|error| error.to_string())?;
            let path = Path::new(&config);
            // Whoever removed it removed the credentials too.
            let Ok(file) = root.read(path) else { return Ok(()) };
            let text = io::read_to_string(io::Read::take(file, 1 << 20)).unwrap_or_default();
            let Some(kept) = without_header(&text) else { return Ok(()) };
            let mut file = root.create(path, 0o644).map_err(|error| error.to_string())?;
            io::Write::write_all(&mut file, kept.as_bytes()).map_err(|error| error.to_string())
        })
        .await
    }
}

struct Got {
    what: String,
    reference: String,
    sha: String,
    notes: Vec<String>,
    /// The remote, where there is one.
    url: Option<String>,
}

/// Finds the commit and writes it to a folder of its own.
async fn fetch(step: &Use<'_>, own: bool, to: PathBuf, wish: Wish) -> Result<Got, Failure> {
    let lease = step.ctx.lease.clone();
    let repository = step.input("repository").to_owned();
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !matches!(repository.split('/').collect::<Vec<_>>()[..], [owner, name] if plain(owner) && plain(name))
    {
        return Err(Failure::failed(format!(
            "the input `repository` is `owner/name`, and this is `{repository}`"
        )));
    }
    let (clone_url, mapped, login) = if own {
        (lease.source.clone_url.clone(), step.ctx.runner.allow_file_clone, lease.source.login.clone())
    } else {
        other_url(step, &repository)
    };
    let asked = step.input("ref").to_owned();
    let mut source = Source { repository, clone_url, login, ..lease.source.clone() };
    let what = source.repository.clone();
    let mirrors = step.ctx.runner.mirrors.clone();
    let url = source.clone_url.clone();
    let done = blocking(move || {
        let mut notes = Vec::new();
        let shown = if !own || !asked.is_empty() {
            source.reference = if asked.is_empty() { "HEAD".to_owned() } else { asked.clone() };
            let found = source::resolve(&mirrors, &source, mapped).map_err(|error| error.to_string())?;
            notes.extend(found.stale.map(|why| format!("the repository could not be asked: {why}")));
            source.reference =
                found.full.clone().unwrap_or_else(|| format!("refs/tidegate/{}", found.commit));
            source.sha = found.commit;
            if asked.is_empty() { source.reference.clone() } else { asked }
        } else {
            source.reference.clone()
        };
        let done =
            source::checkout_as(&mirrors, &source, &to, mapped, &wish).map_err(|error| error.to_string())?;
        notes.extend(done.notes);
        Ok((shown, source.sha, notes))
    })
    .await;
    let (reference, sha, notes) =
        done.map_err(|failure| Failure { reason: step.ctx.log.mask(&failure.reason), ..failure })?;
    Ok(Got { what, reference, sha, notes, url: Some(url) })
}

/// Where another repository is: as the runner's settings map it, else beside the stage's own, else at GitHub. The
/// step's token goes there only when it is the host that the token is of.
fn other_url(step: &Use<'_>, repository: &str) -> (String, bool, Option<(String, String)>) {
    let source = &step.ctx.lease.source;
    let (by_settings, mapped) = url(repository, &step.ctx.runner.actions.sources);
    let beside = source
        .clone_url
        .strip_suffix(".git")
        .unwrap_or(&source.clone_url)
        .strip_suffix(source.repository.as_str())
        .map(|base| format!("{base}{repository}"))
        .filter(|_| !mapped && step.ctx.lease.trusted);
    let server = step.input("github-server-url").trim_end_matches('/');
    let clone_url = match beside {
        _ if !server.is_empty() && !mapped => format!("{server}/{repository}"),
        Some(beside) => beside,
        None => by_settings,
    };
    let host = |url: &str| url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let homes = [source.clone_url.as_str(), step.github("server_url")];
    let ours =
        host(&clone_url).is_some_and(|there| homes.iter().any(|home| host(home).as_ref() == Some(&there)));
    let token = step.input("token");
    let login = (ours && !token.is_empty()).then(|| ("x-access-token".to_owned(), token.to_owned()));
    (clone_url, mapped || step.ctx.runner.allow_file_clone, login)
}

/// A folder below the workspace; empty for the workspace itself.
fn below(path: &str) -> Result<PathBuf, Failure> {
    let mut clean = PathBuf::new();
    let path = path.strip_prefix(crate::sandbox::WORKSPACE).map_or(path, |rest| rest.trim_start_matches('/'));
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => {
                return Err(Failure::failed(format!(
                    "the input `path`: `{path}` is not below the workspace"
                )));
            }
        }
    }
    Ok(clean)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(error.to_string())).map_err(Failure::failed)
}

/// Moves what is in `fresh` to its place below the workspace. `clean`: nothing of what was there stays.
fn put_in_place(workspace: &Path, place: &Path, fresh: &Path, clean: bool) -> io::Result<()> {
    let root = Root::open(workspace)?;
    root.make_folders(place)?;
    let folder = root.read(place)?;
    // Through the descriptor, so that it is that very folder whatever its path leads to by now.
    let there = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    if clean {
        for entry in fs::read_dir(&there)? {
            remove(&there.join(entry?.file_name()))?;
        }
    }
    for entry in fs::read_dir(fresh)? {
        let entry = entry?;
        let to = there.join(entry.file_name());
        remove(&to)?;
        fs::rename(entry.path(), to)?;
    }
    Ok(())
}

/// Removes a file, a link, or a folder with all in it; nothing when there is none.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

const BEGIN: &str = "# credentials of actions/checkout, for this stage only\n";
const END: &str = "# end of credentials\n";

/// What makes git use the token for the repository's host.
fn header_of(url: &str, token: &str) -> String {
    let origin = url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let basic = STANDARD.encode(format!("x-access-token:{token}"));
    format!("{BEGIN}[http \"{origin}/\"]\n\textraheader = AUTHORIZATION: basic {basic}\n{END}")
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().append(true).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// The configuration without what [`header_of`] added; none when it is not in it.
fn without_header(text: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_replace_what_was_there_and_never_leave_the_workspace() {
        let (workspace, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let fresh = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("src")).unwrap();
            fs::write(folder.path().join("src/a"), text).unwrap();
            folder
        };
        let at = |path: &str| workspace.path().join(path);
        fs::create_dir(at("src")).unwrap();
        fs::write(at("src/old"), "").unwrap();
        fs::write(at("left"), "").unwrap();
        let one = fresh("one");
        put_in_place(workspace.path(), Path::new(""), one.path(), false).unwrap();
        assert!(at("left").exists() && !at("src/old").exists());
        let two = fresh("two");
        put_in_place(workspace.path(), Path::new(""), two.path(), true).unwrap();
        assert!(!at("left").exists());
        assert_eq!(fs::read_to_string(at("src/a")).unwrap(), "two");
        // A link that a step put in the way.
        std::os::unix::fs::symlink(outside.path(), at("link")).unwrap();
        assert!(put_in_place(workspace.path(), Path::new("link/x"), fresh("no").path(), true).is_err());
        assert!(put_in_place(workspace.path(), Path::new("link"), fresh("no").path(), true).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        put_in_place(workspace.path(), Path::new("deep/down"), fresh("three").path(), true).unwrap();
        assert_eq!(fs::read_to_string(at("deep/down/src/a")).unwrap(), "three");
    }

    #[test]
    fn credentials_come_out_as_they_went_in() {
        let config = "[core]\n\tbare = false\n";
        let with =
            format!("{config}{}[user]\n\tname = x\n", header_of("https://git.example.org/a/b.git", "tok"));
        assert!(with.contains("[http \"https://git.example.org/\"]"));
        assert_eq!(without_header(&with).unwrap(), format!("{config}[user]\n\tname = x\n"));
        assert_eq!(without_header(config), None);
    }

    #[test]
    fn a_place_is_below_the_workspace() {
        assert_eq!(below("./a/b").unwrap(), Path::new("a/b"));
        assert_eq!(below("/workspace/a").unwrap(), Path::new("a"));
        assert!(below("../a").is_err() && below("/etc").is_err());
    }
}
