//! Artifacts, as `@actions/artifact` asks for them (from version 2): sent and fetched as ZIP archives, and kept as all
//! artifacts are, so that people, `fetch` and the built-in actions see the same ones.
//!
//! An artifact belongs to its stage. Seen are this stage's own ones, of which copies stay in the attempt's scratch folder
//! (the built-in actions put theirs there too), and those of the stages before it; several of one name stay apart by
//! their number. Only own ones can be deleted.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tidegate_pipelines::plan::StageKey;

use super::{
    Shared,
    caches::{assembled, blocking, download_url, upload_url},
    messages::Artifact,
    trouble::Trouble,
    uploads::Goal,
    zip,
};
use crate::actions::kept::{self, Kept};

/// An artifact that can be had.
struct Listed {
    /// None: this stage's own.
    stage: Option<StageKey>,
    name: String,
    size: u64,
    number: String,
}

fn check(name: &str) -> Result<(), Trouble> {
    kept::check_name(name).map_err(Trouble::invalid)
}

/// A new artifact, and where its archive is sent.
pub(super) fn create(shared: &Shared, asked: &Artifact) -> Result<Value, Trouble> {
    check(&asked.name)?;
    if Kept::of(&shared.ctx.dirs, &asked.name).is_there() {
        return Err(Trouble::exists(format!(
            "an earlier step kept an artifact `{}`: choose another name, or delete it first (`overwrite: true`)",
            asked.name
        )));
    }
    let id = shared.uploads.begin(Goal::Artifact { name: asked.name.clone(), zip: asked.is_zip() })?;
    Ok(json!({ "ok": true, "signed_upload_url": upload_url(shared, id) }))
}

/// All of it was sent.
pub(super) async fn finish(shared: &Shared, asked: Artifact) -> Result<Value, Trouble> {
    check(&asked.name)?;
    let _alone = shared.finishing.lock().await;
    let named = |goal: &Goal| matches!(goal, Goal::Artifact { name, .. } if *name == asked.name);
    let upload = shared.uploads.latest(named)?;
    let upload = upload.ok_or_else(|| Trouble::not_found("no upload of this artifact was begun"))?;
    let own = &shared.ctx.lease.stage.key;
    let answer = json!({ "ok": true, "artifact_id": kept::number(own, &asked.name).to_string() });
    if upload.stored {
        return Ok(answer);
    }
    let Goal::Artifact { zip, .. } = upload.goal else { return Ok(answer) };
    let (sent, sha256) = assembled(shared, upload.id, asked.size).await?;
    if asked.sha256().is_some_and(|said| said != sha256) {
        return Err(Trouble::invalid(format!(
            "what arrived has the SHA-256 {sha256}, and the sender says another"
        )));
    }
    let copy = Kept::of(&shared.ctx.dirs, &asked.name);
    let (archive, name) = (copy.fresh(), asked.name.clone());
    let scratch = shared.ctx.dirs.scratch().join(format!("toolkit-{}", upload.id));
    blocking(move || {
        let packed = zip::to_archive(&sent, zip.then_some(()).ok_or(name.as_str()), &scratch, &archive);
        let _ = fs::remove_dir_all(&scratch);
        packed.map_err(|reason| Trouble::invalid(format!("the artifact `{name}` cannot be kept: {reason}")))
    })
    .await?;
    shared.ctx.results.put_artifact(&asked.name, &copy.fresh()).await?;
    copy.keep(&asked.name, "toolkit")?;
    shared.uploads.end(upload)?;
    Ok(answer)
}

/// The artifacts that can be had.
async fn all(shared: &Shared) -> Result<Vec<Listed>, Trouble> {
    let stage = &shared.ctx.lease.stage;
    let earlier = shared.ctx.results.list_artifacts().await?.into_iter();
    let earlier =
        earlier.filter(|artifact| stage.upstream.contains(&artifact.stage)).map(|artifact| Listed {
            number: kept::number(&artifact.stage, &artifact.name).to_string(),
            stage: Some(artifact.stage),
            name: artifact.name,
            size: artifact.size,
        });
    let own = Kept::all(&shared.ctx.dirs).into_iter().map(|(name, size)| Listed {
        number: kept::number(&stage.key, &name).to_string(),
        stage: None,
        name,
        size,
    });
    Ok(earlier.chain(own).collect())
}

/// The artifacts that are wanted. Of one name, it is the one that was kept last, and this stage's own before others.
pub(super) async fn list(shared: &Shared, asked: &Artifact) -> Result<Value, Trouble> {
    let mut found = all(shared).await?;
    if let Some(number) = asked.id_filter() {
        found.retain(|artifact| artifact.number == number);
    }
    if let Some(name) = asked.name_filter() {
        found.retain(|artifact| artifact.name == name);
        found = found.pop().into_iter().collect();
    }
    let run = shared.ctx.lease.run.to_string();
    let artifacts: Vec<Value> = found
        .into_iter()
        .map(|artifact| {
            json!({
                "workflow_run_backend_id": run,
                // Comes back when the artifact is asked for, and tells which of several it is.
                "workflow_job_run_backend_id": artifact.number,
                "database_id": artifact.number,
                "name": artifact.name,
                "size": artifact.size.to_string(),
            })
        })
        .collect();
    Ok(json!({ "artifacts": artifacts }))
}

/// The artifact that is named, and no other of its name where its number is said.
async fn one(shared: &Shared, asked: &Artifact) -> Result<Listed, Trouble> {
    let mut found = all(shared).await?;
    found.retain(|artifact| artifact.name == asked.name);
    let by_number = found.iter().position(|artifact| artifact.number == asked.workflow_job_run_backend_id);
    let found = match by_number {
        Some(at) => Some(found.swap_remove(at)),
        None => found.pop(),
    };
    found.ok_or_else(|| {
        Trouble::not_found(format!(
            "there is no artifact `{}` of this job or of one that it needs, directly or further up",
            asked.name
        ))
    })
}

/// Where an artifact can be had as a ZIP archive.
pub(super) async fn url(shared: &Shared, asked: &Artifact) -> Result<Value, Trouble> {
    let artifact = one(shared, asked).await?;
    let (id, path) = shared.downloads.begin();
    let fetched = shared.ctx.dirs.scratch().join(format!("toolkit-{id}.tar.zst"));
    let archive: PathBuf = match &artifact.stage {
        None => Kept::of(&shared.ctx.dirs, &artifact.name).archive(),
        Some(stage) => {
            shared.ctx.results.get_artifact(stage, &artifact.name, &fetched).await?;
            fetched.clone()
        }
    };
    let scratch = shared.ctx.dirs.scratch().join(format!("toolkit-{id}"));
    blocking(move || {
        let zipped = zip::from_archive(&archive, &scratch, &path);
        let _ = fs::remove_dir_all(&scratch);
        let _ = fs::remove_file(&fetched);
        zipped.map_err(Trouble::broken)
    })
    .await?;
    shared.downloads.offer(id)?;
    Ok(json!({ "signed_url": download_url(shared, id) }))
}

/// Deletes an artifact of this stage.
pub(super) async fn delete(shared: &Shared, asked: &Artifact) -> Result<Value, Trouble> {
    let artifact = one(shared, asked).await?;
    if let Some(stage) = artifact.stage {
        return Err(Trouble::denied(format!(
            "the artifact `{}` is of `{stage}`: a job can delete only what it kept itself",
            artifact.name
        )));
    }
    let _alone = shared.finishing.lock().await;
    shared.ctx.results.delete_artifact(&artifact.name).await?;
    Kept::of(&shared.ctx.dirs, &artifact.name).forget()?;
    Ok(json!({ "ok": true, "artifact_id": artifact.number }))
}
