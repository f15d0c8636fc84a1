//! Files of a release. They are of the workspace, so hostile: no link is followed, and no more than regular files read.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Body, Method};
use serde_json::Value;
use tokio_util::io::ReaderStream;

use super::{
    super::{
        Use,
        places::{Place, Places},
        selected::Selected,
    },
    api::{Api, id, text},
};
use crate::{archive::beneath::Root, stage::Failure};

/// The most files of one step.
const MOST: usize = 1000;
/// A file may take so long.
const LIMIT: Duration = Duration::from_secs(3600);

/// The files that the input `files` means, below the files' folder; each pattern by itself.
pub(super) async fn find(step: &mut Use<'_>) -> Result<Vec<PathBuf>, Failure> {
    let base = step.input("working_directory").trim_end_matches('/').to_owned();
    let mut patterns: Vec<String> =
        step.input("files").split([',', '\n']).map(|part| part.trim().to_owned()).collect();
    patterns.retain(|pattern| !pattern.is_empty());
    let strict = step.flag("fail_on_unmatched_files")?;
    let mut all: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let whole = match base.as_str() {
            "" => pattern.clone(),
            _ if pattern.starts_with(['/', '~']) => pattern.clone(),
            base => format!("{base}/{pattern}"),
        };
        let found = match Place::of(&whole) {
            Some(Place::Shared(_)) => one(step, whole).await?,
            _ => return Err(Failure::failed(format!("`{pattern}` is not below the workspace"))),
        };
        if found.is_empty() && strict {
            return Err(Failure::failed(format!(
                "no file is found at {pattern}, and `fail_on_unmatched_files` is set"
            )));
        }
        if found.is_empty() {
            step.warn(format!("no file is found at {pattern}"));
        }
        all.extend(found.into_iter().filter(|file| !all.contains(file)).collect::<Vec<_>>());
    }
    if all.len() > MOST {
        return Err(Failure::failed(format!(
            "`files` means {} files, and a release has at most {MOST}",
            all.len()
        )));
    }
    Ok(all)
}

async fn one(step: &Use<'_>, pattern: String) -> Result<Vec<PathBuf>, Failure> {
    let folder = step.ctx.dirs.files();
    let globs = Places::of(&[pattern]).globs;
    let found = tokio::task::spawn_blocking(move || Selected::below(&folder, &globs, true))
        .await
        .map_err(|error| Failure::infrastructure(error.to_string()))?
        .map_err(|error| Failure::failed(format!("`files` cannot be looked for: {error}")))?;
    Ok(found.files.into_iter().map(PathBuf::from).collect())
}

/// Sends the files, and gives what the forge says of each.
pub(super) async fn all(
    step: &mut Use<'_>,
    api: &Api,
    release: &Value,
    files: Vec<PathBuf>,
) -> Result<Vec<Value>, Failure> {
    let overwrite = step.flag("overwrite_files")?;
    let there: Vec<Value> = release.get("assets").and_then(Value::as_array).cloned().unwrap_or_default();
    let to = text(release, "upload_url").split('{').next().unwrap_or_default().to_owned();
    let mut sent = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The forge gives blanks another look.
        let known = there.iter().find(|asset| text(asset, "name") == name.replace(' ', "."));
        match known {
            Some(_) if !overwrite => {
                step.say(format!("{name} is there already, and `overwrite_files` is false"));
                continue;
            }
            Some(asset) => api.remove_file(id(asset)?).await?,
            None => {}
        }
        let (file, size) = open(&step.ctx.dirs.files(), &path)
            .map_err(|error| Failure::failed(format!("{} cannot be read: {error}", path.display())))?;
        let mut url = url::Url::parse(&to)
            .map_err(|error| Failure::failed(format!("the forge's `upload_url` `{to}` is none: {error}")))?;
        url.query_pairs_mut().append_pair("name", &name);
        let body = Body::wrap_stream(ReaderStream::with_capacity(tokio::fs::File::from_std(file), 256 << 10));
        let request = api
            .request(Method::POST, url.as_str())
            .header("content-type", kind(&path))
            .header("content-length", size)
            .timeout(LIMIT)
            .body(body);
        sent.push(api.web.send(request, &format!("{to} (upload of {name})")).await?.json());
        step.say(format!("{name}: {size} bytes"));
    }
    Ok(sent)
}

/// A regular file and its size.
fn open(folder: &Path, path: &Path) -> std::io::Result<(File, u64)> {
    let file = Root::open(folder)?.read(path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    Ok((file, data.len()))
}

/// What a file says it is.
fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "txt" | "md" | "log" | "sha256" | "asc" => "text/plain",
        "json" => "application/json",
        "gz" | "tgz" => "application/gzip",
        "zip" | "jar" | "whl" => "application/zip",
        "tar" => "application/x-tar",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}
