//! Runs that a person starts, and what there is to start.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use tidegate_pipelines::{
    InputKind, SourceFile,
    event::{Event, EventKind, GitFacts},
    triggers,
};
use tidegate_protocol::ids::{RepositoryId, RunId};

use super::{Created, NewRun};
use crate::{
    actor::{Actor, Role},
    app::App,
    error::Error,
    forge::events::plain,
    git::{self, PipelineFile, Source, Wanted},
    repositories,
    store::views::{PipelineInput, PipelineSummary, Repository},
};

/// A run to start by hand.
#[derive(Debug, Clone)]
pub struct Manual {
    /// A branch, a tag, a commit, or a full ref.
    pub reference: String,
    /// The pipeline file; none: the repository's own, or the only one that a person may start.
    pub pipeline: Option<String>,
    /// Inputs that the file declares.
    pub inputs: BTreeMap<String, Value>,
}

/// Starts a run by hand.
pub async fn start(app: &App, id: RepositoryId, manual: Manual, actor: &Actor) -> Result<RunId, Error> {
    actor.require(Role::Developer, "start a run")?;
    let repository = repositories::get(app, id).await?;
    let Source { reference, commit, files, refused, .. } = read(app, &repository, &manual.reference).await?;
    let PipelineFile { path, text } = chosen(&repository, &manual, files, &refused)?;
    let payload = json!({
        "inputs": manual.inputs,
        "ref": reference,
        "workflow": path,
        "repository": { "full_name": repository.full_name, "default_branch": repository.default_branch },
        "sender": { "login": actor.username },
    });
    let event = Event {
        kind: EventKind::Manual,
        git: GitFacts {
            sha: commit.sha,
            branch: reference.strip_prefix("refs/heads/").map(str::to_owned),
            tag: reference.strip_prefix("refs/tags/").map(str::to_owned),
            before: None,
            message: commit.message,
            author: commit.author,
            // A pull request's own ref holds what anybody may have proposed.
            reference: reference.clone(),
        },
        inputs: manual.inputs,
        payload: Some(payload),
        trusted: !reference.starts_with("refs/pull/"),
        ..plain("workflow_dispatch", actor.username.clone(), &repository)
    };
    let new = NewRun {
        repository: id,
        event: Arc::new(event),
        path,
        text,
        delivery: None,
        rerun_of: None,
        depth: 0,
        skip: None,
    };
    match super::create(app, new).await? {
        Created::Run(run) | Created::Existing(run) => Ok(run),
        Created::NotTriggered(reason) | Created::Skipped(reason) | Created::Later(reason) => {
            Err(Error::Refused(reason))
        }
    }
}

/// The pipeline files of a repository at a branch, a tag or a commit, with what a person gives who starts them.
pub async fn pipelines(
    app: &App,
    id: RepositoryId,
    reference: Option<&str>,
) -> Result<Vec<PipelineSummary>, Error> {
    let repository = repositories::get(app, id).await?;
    let source = read(app, &repository, reference.unwrap_or(&repository.default_branch)).await?;
    Ok(source.files.iter().map(summary).collect())
}

async fn read(app: &App, repository: &Repository, reference: &str) -> Result<Source, Error> {
    let places = repositories::places(repository);
    let wanted = Wanted { reference, sha: None, places: &places, base: None };
    Ok(git::read(app, repository, wanted).await?)
}

fn summary(file: &PipelineFile) -> PipelineSummary {
    let inputs = triggers(&SourceFile { path: &file.path, text: &file.text }).manual_inputs;
    let kind = |kind| match kind {
        InputKind::String => "string",
        InputKind::Boolean => "boolean",
        InputKind::Number => "number",
        InputKind::Choice => "choice",
        InputKind::Environment => "environment",
    };
    PipelineSummary {
        path: file.path.clone(),
        manual: inputs.is_some(),
        inputs: inputs
            .into_iter()
            .flatten()
            .map(|input| PipelineInput {
                name: input.name,
                kind: kind(input.kind).to_owned(),
                required: input.required,
                default: input.default,
                choices: input.choices,
                description: input.description,
            })
            .collect(),
    }
}

/// The file that is meant.
fn chosen(
    repository: &Repository,
    manual: &Manual,
    files: Vec<PipelineFile>,
    refused: &[String],
) -> Result<PipelineFile, Error> {
    let at = &manual.reference;
    let named = manual.pipeline.as_deref().filter(|path| !path.is_empty());
    let wanted = named.unwrap_or(&repository.pipeline_path);
    if let Some(at) = files.iter().position(|file| file.path == wanted) {
        let mut files = files;
        return Ok(files.swap_remove(at));
    }
    if let Some(reason) = refused.iter().find(|reason| reason.starts_with(wanted)) {
        return Err(Error::Refused(reason.clone()));
    }
    if let Some(path) = named {
        let there: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        return Err(Error::Refused(match there.as_slice() {
            [] => format!("there is no pipeline file at {at}"),
            there => format!("there is no pipeline file {path} at {at}; there is {}", there.join(", ")),
        }));
    }
    let mut startable: Vec<PipelineFile> = files.into_iter().filter(|file| summary(file).manual).collect();
    match startable.len() {
        0 => Err(Error::Refused(format!(
            "there is no {wanted} at {at}, nor another pipeline file that a person may start"
        ))),
        1 => Ok(startable.remove(0)),
        _ => {
            let paths: Vec<&str> = startable.iter().map(|file| file.path.as_str()).collect();
            Err(Error::Refused(format!("say which pipeline: {}", paths.join(", "))))
        }
    }
}
