//! A new run: compiles the pipeline file for the event, and stores run, stages and the first decision in one
//! transaction. A file with mistakes makes a run too, `invalid`, so that people see what is wrong with it.
//!
//! The same delivery makes no second run of a file: a unique index says so, whoever comes first.

use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};
use tidegate_pipelines::{
    Compiled, Diagnostic, LeftOut, Severity,
    event::{Event, EventKind},
    plan::{Concurrency, Plan, group_key},
};
use tidegate_protocol::{
    ids::{DeliveryId, RepositoryId, RunId},
    status::RunStatus,
};

use super::setting::compiled;
use crate::{
    app::App,
    error::Error,
    forge::messages::SkippedMessage,
    schedule,
    store::{InsertRun, Moment, Tx},
};

/// A run to make.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its repository.
    pub repository: RepositoryId,
    /// What happened. Shared, because its payload may be large and a repository's files many.
    pub event: Arc<Event>,
    /// Path of the pipeline file.
    pub path: String,
    /// The pipeline file at the event's commit.
    pub text: String,
    /// The delivery it came by; the same delivery makes no second run of the file.
    pub delivery: Option<DeliveryId>,
    /// The run it repeats.
    pub rerun_of: Option<RunId>,
    /// How many other runs lie before it, each of which started the next.
    pub depth: i32,
    /// Why it is not to be started although the event asks for it, in one sentence.
    pub skip: Option<String>,
}

/// What came of a [`NewRun`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// A run; it may be `invalid`.
    Run(RunId),
    /// The file does not ask for a run on this event, and why.
    NotTriggered(String),
    /// It asks for one but for what changed, or was told not to: its mark at the forge says so.
    Skipped(String),
    /// The delivery made this run before.
    Existing(RunId),
    /// Something that it names cannot be read just now, and why.
    Later(String),
}

/// Compiles the file and makes the run.
pub async fn create(app: &App, new: NewRun) -> Result<Created, Error> {
    let compilation = match compiled(app, &new).await? {
        Ok(compilation) => compilation,
        Err(reason) => return Ok(Created::Later(reason)),
    };
    let mut plan = match (compilation.result, &new.skip) {
        (Some(Compiled::NotTriggered { reason, left_out: None, .. }), _) => {
            return Ok(Created::NotTriggered(reason));
        }
        (Some(Compiled::NotTriggered { pipeline, reason, left_out: Some(why) }), _) => {
            return skipped(app, &new, pipeline, reason, why).await;
        }
        (Some(Compiled::Plan(plan)), Some(reason)) => {
            return skipped(app, &new, plan.name, reason.clone(), LeftOut::Message).await;
        }
        (Some(Compiled::Plan(plan)), None) => Some(plan),
        (None, _) if !is_asked(&new) => {
            return Ok(Created::NotTriggered(mistakes(&new.path, &compilation.diagnostics)));
        }
        (None, _) => None,
    };
    let name = plan.as_ref().map_or_else(|| stem(&new.path), |plan| plan.name.clone());
    let created = insert(app, &new, &name, plan.as_mut(), &compilation.diagnostics).await?;
    // Also when it was there already: whoever made it may not have come as far as this.
    if let (Created::Run(run) | Created::Existing(run), Some(concurrency)) =
        (&created, plan.and_then(|plan| plan.concurrency))
    {
        supersede(app, &new, *run, &concurrency).await?;
    }
    Ok(created)
}

/// Whether a file with mistakes asks for this event, as far as can be told. Comments and labels are many: a file that
/// does not even name them has no run that shows its mistakes each time.
fn is_asked(new: &NewRun) -> bool {
    let rare = matches!(
        new.event.kind,
        EventKind::Release | EventKind::Dispatch | EventKind::Upstream | EventKind::Forge
    );
    new.rerun_of.is_some()
        || !rare
        || new.event.name.as_ref().is_some_and(|name| new.text.contains(name.as_str()))
}

/// Tells the forge that the pipeline is not started, unless it has a mark at this commit already. What it is told is a
/// success, and no message of a stranger may stand in for the checks of what the stranger proposes.
async fn skipped(
    app: &App,
    new: &NewRun,
    pipeline: String,
    reason: String,
    why: LeftOut,
) -> Result<Created, Error> {
    if why == LeftOut::Message && !new.event.trusted {
        return Ok(Created::Skipped(reason));
    }
    let sha = &new.event.git.sha;
    let mut tx = app.db.begin().await?;
    // Whoever makes a run of it meanwhile does so before or after; its own mark is the later one then.
    tx.lock_repository(new.repository).await?;
    if let Some(delivery) = new.delivery
        && !tx.has_run_at(new.repository, &pipeline, sha).await?
    {
        let message = SkippedMessage {
            id: format!("{delivery} {} {}", new.event.kind.as_str(), new.path),
            pipeline,
            sha: sha.clone(),
            reason: reason.clone(),
        };
        schedule::tell_skipped(&mut tx, new.repository, message).await?;
    }
    tx.commit().await?;
    Ok(Created::Skipped(reason))
}

async fn insert(
    app: &App,
    new: &NewRun,
    name: &str,
    mut plan: Option<&mut Plan>,
    diagnostics: &[Diagnostic],
) -> Result<Created, Error> {
    let mut tx = app.db.begin().await?;
    if let Some(run) = existing(&mut tx, new).await? {
        return Ok(Created::Existing(run));
    }
    let id = RunId::new();
    let number = tx.next_run_number(new.repository).await?;
    if let Some(plan) = &mut plan {
        schedule::name_run(plan, &id.to_string(), number);
    }
    let plan = plan.as_deref();
    let group =
        plan.and_then(|plan| plan.concurrency.as_ref()).map(|concurrency| group_key(&concurrency.group));
    let digest = plan.map(|plan| Ok::<_, Error>(Sha256::digest(serde_json::to_vec(plan)?))).transpose()?;
    let reason = plan.is_none().then(|| mistakes(&new.path, diagnostics));
    let status = match (plan, &group) {
        (None, _) => RunStatus::Invalid,
        // Whether it is this run's turn is decided under the group's lock, like every later time.
        (Some(_), Some(_)) => RunStatus::Pending,
        (Some(_), None) => RunStatus::Running,
    };
    let row = InsertRun {
        id,
        number,
        repository: new.repository,
        pipeline: name,
        path: &new.path,
        depth: new.depth,
        status,
        reason: reason.as_deref(),
        event: &new.event,
        plan,
        plan_digest: digest.as_ref().map(|digest| digest.as_slice()),
        source_text: Some(&new.text),
        diagnostics,
        concurrency_group: group.as_deref(),
        rerun_of: new.rerun_of,
        delivery: new.delivery,
        actor: &new.event.actor,
    };
    let Some(id) = tx.insert_run(&row).await? else {
        // Somebody else was faster with the same delivery; that one's transaction is through.
        drop(tx);
        let mut tx = app.db.begin().await?;
        let run = existing(&mut tx, new).await?;
        return run
            .map(Created::Existing)
            .ok_or_else(|| Error::internal("a duplicate run is nowhere to be found"));
    };
    tx.insert_stages(id, 0, plan.map_or(&[][..], |plan| &plan.stages)).await?;
    let message = match &reason {
        Some(reason) => format!("the run is invalid: {reason}"),
        None => format!("{} caused a run of {name} at {}", new.event.actor, short(&new.event.git.sha)),
    };
    tx.event(id, None, "run.created", &message, json!({})).await?;
    let run = tx.lock_run(id).await?;
    schedule::tell_run(&mut tx, &run, run.status, reason.as_deref(), diagnostics).await?;
    // A run that repeats another was asked for before.
    if run.plan.is_some() && run.rerun_of.is_none() {
        schedule::tell_pipelines(&mut tx, &run, Moment::Requested).await?;
    }
    if run.status == RunStatus::Running {
        schedule::tell_pipelines(&mut tx, &run, Moment::InProgress).await?;
    }
    schedule::advance(&mut tx, id).await?;
    tx.commit().await?;
    tracing::info!(run = %id, number = run.number, pipeline = name, status = %run.status, "a run was made");
    Ok(Created::Run(id))
}

async fn existing(tx: &mut Tx, new: &NewRun) -> Result<Option<RunId>, Error> {
    match new.delivery.filter(|_| new.rerun_of.is_none()) {
        Some(delivery) => tx.run_of_delivery(delivery, &new.path, new.event.kind).await,
        None => Ok(None),
    }
}

/// Asks the older runs of the group to stop, or those of them that wait. Each in a transaction of its own: they end when
/// their runners say so, and the new run waits for that.
async fn supersede(app: &App, new: &NewRun, run: RunId, concurrency: &Concurrency) -> Result<(), Error> {
    if !concurrency.cancel_superseded && !concurrency.replace_waiting {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    let open = tx.open_runs_of_group(new.repository, &group_key(&concurrency.group)).await?;
    drop(tx);
    let Some(number) = open.iter().find(|(id, _, _)| *id == run).map(|(_, number, _)| *number) else {
        return Ok(());
    };
    for (older, _, _) in open.iter().filter(|(_, older, _)| *older < number) {
        let by = format!("run {number}, which is newer");
        if concurrency.cancel_superseded {
            super::control::stop(app, *older, &by).await?;
        } else {
            super::control::stop_waiting(app, *older, &by).await?;
        }
    }
    Ok(())
}

/// How many mistakes, and the first.
pub(crate) fn mistakes(path: &str, diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<_> = diagnostics.iter().filter(|one| one.severity == Severity::Error).collect();
    let first = errors.first().map(|one| one.message.as_str()).unwrap_or("it cannot be read");
    match errors.len() {
        0 | 1 => format!("a mistake in {path}: {first}"),
        count => format!("{count} mistakes in {path}: {first}, …"),
    }
}

/// A pipeline without a readable name is called after its file.
fn stem(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".yml").or_else(|| file.strip_suffix(".yaml")).unwrap_or(file).to_owned()
}

fn short(sha: &str) -> &str {
    sha.get(..12).unwrap_or(sha)
}
