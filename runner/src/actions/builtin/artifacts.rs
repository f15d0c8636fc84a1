//! `actions/upload-artifact` and `actions/download-artifact`: files that stages of a run hand to each other and to
//! people.
//!
//! An artifact belongs to its stage. A download looks at this stage's own ones, of which copies stay in the attempt's
//! scratch folder, and at those of the stages before it; several of one name come all together.

use std::{
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tidegate_pipelines::plan::StageKey;

use super::{
    Builtin, Use,
    places::{Place, Places},
    selected::Selected,
};
use crate::{
    actions::kept::{self, Kept},
    archive::{self, beneath::Root},
    stage::{Failure, ResultsError},
};

/// Keeps files.
pub struct Upload;

/// Brings files of artifacts into the workspace.
pub struct Download;

#[async_trait]
impl Builtin for Upload {
    fn name(&self) -> &'static str {
        "actions/upload-artifact"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("name", "artifact"),
            ("path", ""),
            ("if-no-files-found", "warn"),
            ("retention-days", ""),
            ("compression-level", "6"),
            ("overwrite", "false"),
            ("include-hidden-files", "false"),
        ]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let name = step.required("name")?.to_owned();
        step.required("path")?;
        kept::check_name(&name).map_err(Failure::failed)?;
        let missing = step.input("if-no-files-found").to_owned();
        if !matches!(missing.as_str(), "warn" | "error" | "ignore") {
            return Err(Failure::failed(format!(
                "the input `if-no-files-found` is warn, error or ignore, and this is `{missing}`"
            )));
        }
        let (overwrite, hidden) = (step.flag("overwrite")?, step.flag("include-hidden-files")?);
        if !matches!(step.input("retention-days"), "" | "0") {
            step.say("`retention-days` has no effect here: artifacts are kept as long as the server's settings say");
        }
        let copy = Kept::of(&step.ctx.dirs, &name);
        // Begun again after a restart, it finds what it left itself.
        let by = copy.by();
        if !by.is_empty() && by != step.page.to_string() && !overwrite {
            return Err(Failure::failed(format!(
                "an earlier step kept an artifact `{name}`: choose another name, or set `overwrite: true`"
            )));
        }
        let patterns = step.lines("path");
        let places = Places::of(&patterns);
        for refused in &places.refused {
            step.warn(refused);
        }
        let outside = places.stage();
        if let Some(script) = &outside
            && step.shell(script, &Places::env()).await?.exit_code != Some(0)
        {
            return Err(Failure::failed(
                "files outside the workspace cannot be copied; the lines above say why",
            ));
        }
        let (folder, to) = (step.ctx.dirs.files(), copy.fresh());
        let globs = places.globs;
        let packed = blocking(move || pack(&folder, &globs, hidden, &to)).await?;
        for note in &packed.notes {
            step.say(note);
        }
        if packed.entries == 0 {
            let what = format!("no files are found at {}; nothing is kept as `{name}`", patterns.join(", "));
            match missing.as_str() {
                "error" => return Err(Failure::failed(what)),
                "warn" => step.warn(what),
                _ => step.say(what),
            }
            return Ok(());
        }
        let results = step.ctx.results.clone();
        let stored = results
            .put_artifact(&name, &copy.fresh())
            .await
            .map_err(|error| failed(&format!("the artifact `{name}` is not kept"), &error))?;
        let page = step.page.to_string();
        let called = name.clone();
        blocking(move || {
            copy.keep(&called, &page).map_err(|error| format!("{}: {error}", copy.archive().display()))
        })
        .await?;
        if outside.is_some() {
            step.shell(Places::REMOVE, &Places::env()).await?;
        }
        let stage = step.ctx.lease.stage.key.clone();
        step.say(format!("kept the artifact {name}: {} files, {} bytes", packed.entries, stored.size));
        step.set_output("artifact-id", kept::number(&stage, &name).to_string());
        step.set_output("artifact-digest", stored.sha256);
        let run = format!(
            "{}/{}/actions/runs/{}",
            step.github("server_url"),
            step.github("repository"),
            step.github("run_id")
        );
        step.set_output("artifact-url", format!("{run}/artifacts/{}", kept::number(&stage, &name)));
        Ok(())
    }
}

fn pack(folder: &Path, globs: &[String], hidden: bool, to: &Path) -> Result<archive::Packed, String> {
    let selected = Selected::below(folder, globs, hidden).map_err(|error| error.to_string())?;
    if selected.files.is_empty() {
        return Ok(archive::Packed::default());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    }
    let opened = Root::open(folder).and_then(|root| root.read(Path::new(&selected.root)));
    let opened = opened.map_err(|error| format!("{} cannot be opened: {error}", selected.root))?;
    let file = File::create(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let prefix = if selected.root.is_empty() { String::new() } else { format!("{}/", selected.root) };
    let chosen = |path: &str| selected.files.contains(&format!("{prefix}{path}"));
    archive::pack_chosen(&by_descriptor(&opened), &chosen, file).map_err(|error| error.to_string())
}

/// That very folder, whatever its path leads to by now.
fn by_descriptor(folder: &File) -> PathBuf {
    format!("/proc/self/fd/{}", folder.as_raw_fd()).into()
}

#[async_trait]
impl Builtin for Download {
    fn name(&self) -> &'static str {
        "actions/download-artifact"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("name", ""),
            ("artifact-ids", ""),
            ("path", ""),
            ("pattern", ""),
            ("merge-multiple", "false"),
            ("github-token", ""),
            ("repository", "${{ github.repository }}"),
            ("run-id", "${{ github.run_id }}"),
            ("digest-mismatch", "error"),
        ]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let other = step.input("run-id") != step.github("run_id")
            || !step.input("repository").eq_ignore_ascii_case(step.github("repository"));
        if other {
            return Err(Failure::failed(
                "artifacts of other runs and repositories cannot be had by the built-in actions/download-artifact: \
                 leave out `run-id` and `repository`, or keep the files in a registry or a cache",
            ));
        }
        let path = step.input("path").to_owned();
        let place = match Place::of(if path.is_empty() { "." } else { &path }) {
            Some(Place::Shared(below)) => below,
            _ => {
                return Err(Failure::failed(format!(
                    "the input `path`: `{path}` is neither below the workspace nor below RUNNER_TEMP"
                )));
            }
        };
        let merge = step.flag("merge-multiple")?;
        let name = step.input("name").to_owned();
        let mut wanted = Vec::new();
        if name.is_empty() {
            let ids = step.input("artifact-ids").to_owned();
            wanted = listed(step, &ids).await?;
            if wanted.is_empty() {
                step.warn("no artifact is found that is meant");
            }
        } else {
            let upstream = step.ctx.lease.stage.upstream.iter().cloned().map(Some);
            wanted.extend(upstream.chain([None]).map(|stage| (stage, name.clone())));
        }
        let single = !name.is_empty() || (!step.input("artifact-ids").is_empty() && wanted.len() == 1);
        let mut count = 0;
        for (stage, artifact) in wanted {
            let Some(archive) = get(step, stage.as_ref(), &artifact).await? else { continue };
            let to = if single || merge { place.clone() } else { format!("{place}/{artifact}") };
            let (folder, from) = (step.ctx.dirs.files(), archive.clone());
            blocking(move || unpack(&folder, Path::new(&to), &from)).await?;
            if stage.is_some() {
                let _ = fs::remove_file(&archive);
            }
            let of = stage.map(|stage| format!(" of {stage}")).unwrap_or_default();
            step.say(format!("unpacked the artifact {artifact}{of}"));
            count += 1;
        }
        if count == 0 && !name.is_empty() {
            return Err(Failure::failed(format!(
                "there is no artifact `{name}` of this job or of one that it needs, directly or further up: \
                 look at the upload's name, and put its job into `needs`"
            )));
        }
        step.set_output("download-path", format!("/{place}"));
        Ok(())
    }
}

/// The artifacts that are meant by number or by pattern, those of earlier stages first.
async fn listed(step: &Use<'_>, ids: &str) -> Result<Vec<(Option<StageKey>, String)>, Failure> {
    let results = step.ctx.results.clone();
    let all = results.list_artifacts().await.map_err(|error| failed("artifacts cannot be listed", &error))?;
    let own = step.ctx.lease.stage.key.clone();
    let mut found: Vec<_> = all
        .into_iter()
        .filter(|artifact| step.ctx.lease.stage.upstream.contains(&artifact.stage))
        .map(|artifact| (Some(artifact.stage), artifact.name))
        .collect();
    found.extend(Kept::all(&step.ctx.dirs).into_iter().map(|(name, _)| (None, name)));
    // They are folders' names below.
    found.retain(|(_, name)| !name.contains('/') && name != "." && name != "..");
    let pattern = step.input("pattern");
    if !ids.is_empty() {
        let ids: Vec<&str> = ids.split([',', '\n']).map(str::trim).collect();
        found.retain(|(stage, name)| {
            let number = kept::number(stage.as_ref().unwrap_or(&own), name).to_string();
            ids.contains(&number.as_str())
        });
    } else if !pattern.is_empty() {
        let glob = globset::Glob::new(pattern)
            .map_err(|error| Failure::failed(format!("the input `pattern`: {}", error.kind())))?
            .compile_matcher();
        found.retain(|(_, name)| glob.is_match(name));
    }
    Ok(found)
}

/// An artifact's archive on this machine; none when there is no such artifact.
async fn get(step: &Use<'_>, stage: Option<&StageKey>, name: &str) -> Result<Option<PathBuf>, Failure> {
    let Some(stage) = stage else {
        let copy = Kept::of(&step.ctx.dirs, name);
        return Ok(copy.is_there().then(|| copy.archive()));
    };
    let to = step.ctx.dirs.scratch().join(format!("artifact-{}.tar.zst", uuid::Uuid::now_v7().simple()));
    let results = step.ctx.results.clone();
    match results.get_artifact(stage, name, &to).await {
        Ok(()) => Ok(Some(to)),
        Err(ResultsError::NotFound(_)) => Ok(None),
        Err(error) => Err(failed(&format!("the artifact `{name}` of `{stage}` cannot be had"), &error)),
    }
}

fn unpack(folder: &Path, below: &Path, from: &Path) -> Result<(), String> {
    let says = |error: std::io::Error| format!("{}: {error}", below.display());
    let root = Root::open(folder).map_err(says)?;
    root.make_folders(below).map_err(says)?;
    let opened = root.read(below).map_err(says)?;
    let file = File::open(from).map_err(says)?;
    let unpacked = archive::unpack(file, &by_descriptor(&opened), archive::Limits::default());
    unpacked.map(|_| ()).map_err(|error| error.to_string())
}

fn failed(what: &str, error: &ResultsError) -> Failure {
    match error {
        ResultsError::Invalid(_) | ResultsError::NotFound(_) => Failure::failed(format!("{what}: {error}")),
        _ => Failure::infrastructure(format!("{what}: {error}")),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(error.to_string())).map_err(Failure::failed)
}
