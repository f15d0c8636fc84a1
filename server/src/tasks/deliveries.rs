//! Works off the inbox: reads what the delivery says, fetches the pipeline files at its commit, makes their runs.
//!
//! Every step can be repeated: a run is made once per delivery and file, whatever happens in between. A delivery whose
//! worker died comes back when its hold ends. A file that cannot be worked on does not hold up the others; the delivery
//! is tried again for it.

use std::{sync::Arc, time::Duration};

use tidegate_pipelines::event::{Event, EventKind};

use crate::{
    app::App,
    error::Error,
    forge::events::{self, OF_DEFAULT_BRANCH, Parsed, Told, Which},
    git::{self, GitError, PipelineFile},
    repositories::{self, WORKFLOWS},
    runs::{self, Created, NewRun},
    store::{Delivery, FileSchedule, views::Repository},
};

/// Longer than a fetch may take.
const HOLD: Duration = Duration::from_secs(600);
/// How long what comes in goes before what is there.
const INTAKE_FIRST: Duration = Duration::from_millis(250);
/// After so many tries a delivery has failed.
const TRIES: i32 = 8;
/// What the native language calls the end of another pipeline's run.
const PIPELINE: &str = "pipeline";
/// Characters of a delivery's result.
const RESULT: usize = 4000;

enum Done {
    Processed(String),
    Ignored(String),
    Failed(String),
    Again(String),
}

/// Works on one delivery. False: there is none to work on now.
pub async fn once(app: &App) -> Result<bool, Error> {
    app.intake.quiet(INTAKE_FIRST).await;
    let mut tx = app.db.begin().await?;
    let Some(delivery) = tx.take_delivery(HOLD).await? else { return Ok(false) };
    tx.commit().await?;
    let done = match work(app, &delivery).await {
        Ok(done) => done,
        Err(error @ Error::Unavailable(_)) => Done::Again(error.to_string()),
        Err(Error::Internal(inner)) => {
            tracing::error!(delivery = %delivery.id, error = format!("{inner:#}"), "a delivery could not be worked on");
            Done::Again("an internal error; the server's log says which".to_owned())
        }
        Err(error) => Done::Failed(error.to_string()),
    };
    let mut tx = app.db.begin().await?;
    match &done {
        Done::Processed(result) => tx.close_delivery(delivery.id, "processed", result).await?,
        Done::Ignored(result) => tx.close_delivery(delivery.id, "ignored", result).await?,
        Done::Failed(result) => {
            tracing::warn!(delivery = %delivery.id, result, "a delivery failed");
            tx.close_delivery(delivery.id, "failed", result).await?;
        }
        Done::Again(result) if delivery.attempts >= TRIES => {
            tracing::warn!(delivery = %delivery.id, result, "a delivery failed for the last time");
            tx.close_delivery(delivery.id, "failed", result).await?;
        }
        Done::Again(result) => {
            let wait = Duration::from_secs(1 << delivery.attempts.clamp(0, 9));
            tracing::warn!(delivery = %delivery.id, result, wait = wait.as_secs(), "a delivery is tried again");
            tx.defer_delivery(delivery.id, wait, result).await?;
        }
    }
    tx.commit().await?;
    Ok(true)
}

/// What came of the events of a delivery.
#[derive(Default)]
struct Results {
    /// A sentence for each file or event.
    said: Vec<String>,
    runs: usize,
    gone: usize,
    again: bool,
}

impl Results {
    fn done(self) -> Done {
        let text: String = self.said.join("; ").chars().take(RESULT).collect();
        match self {
            Self { again: true, .. } => Done::Again(text),
            Self { runs: 1.., .. } => Done::Processed(text),
            Self { gone: 1.., .. } => Done::Failed(text),
            _ => Done::Ignored(text),
        }
    }
}

async fn work(app: &App, delivery: &Delivery) -> Result<Done, Error> {
    let repository = repositories::get(app, delivery.repository).await?;
    let (events, depth) = match delivery.of_run {
        Some((run, moment)) => {
            let run = app.db.run(run).await?;
            (runs::told_by_run(app, &run, moment, &repository), run.depth + 1)
        }
        None => match events::parse(&delivery.event, &delivery.body, &repository) {
            Ok(Parsed::Events(events)) => (events, 0),
            Ok(Parsed::Ignored(reason)) => return Ok(Done::Ignored(reason)),
            Err(reason) => return Ok(Done::Failed(reason)),
        },
    };
    let inbox = Inbox { app, repository: &repository, delivery, depth };
    let mut results = Results::default();
    for told in events {
        inbox.start(told, &mut results).await?;
    }
    Ok(results.done())
}

struct Inbox<'a> {
    app: &'a App,
    repository: &'a Repository,
    delivery: &'a Delivery,
    depth: i32,
}

impl Inbox<'_> {
    /// Makes the runs that an event asks for.
    async fn start(&self, told: Told, results: &mut Results) -> Result<(), Error> {
        let Self { app, repository, .. } = self;
        let Told { mut event, files: which } = told;
        if let Some(reason) = self.needless(&event, &which).await? {
            results.said.push(reason);
            return Ok(());
        }
        let places = repositories::places(repository);
        let wanted = git::Wanted {
            reference: &event.git.reference,
            sha: Some(event.git.sha.as_str()).filter(|sha| !sha.is_empty()),
            places: &places,
            base: event
                .pull_request
                .as_ref()
                .filter(|_| event.kind == EventKind::PullRequest)
                .map(|facts| facts.base_branch.as_str()),
        };
        let source = match git::read(app, repository, wanted).await {
            Ok(source) => source,
            Err(GitError::Gone(reason)) => {
                results.gone += 1;
                results.said.push(reason);
                return Ok(());
            }
            Err(GitError::Away(reason)) => {
                results.again = true;
                results.said.push(reason);
                return Ok(());
            }
            Err(GitError::Core(error)) => return Err(error),
        };
        let skip = runs::asks_for_nothing(&event, &source.commit.message);
        complete(&mut event, &source);
        let on_default =
            event.kind == EventKind::Push && event.git.branch.as_deref() == Some(&repository.default_branch);
        if on_default {
            note_default_branch(app, repository, &source.files).await?;
        }
        let event = Arc::new(event);
        results.gone += source.refused.len();
        results.said.extend(source.refused);
        let files: Vec<PipelineFile> =
            source.files.into_iter().filter(|file| is_asked(&which, &file.path)).collect();
        if files.is_empty() && results.gone == 0 {
            results.said.push(format!("there is no pipeline file at {}", event.git.sha));
        }
        for PipelineFile { path, text } in files {
            let new = NewRun {
                repository: repository.id,
                event: event.clone(),
                path: path.clone(),
                text,
                delivery: Some(self.delivery.id),
                rerun_of: None,
                depth: self.depth,
                skip: skip.clone(),
            };
            let said = match runs::create(app, new).await {
                Ok(Created::Run(run) | Created::Existing(run)) => {
                    results.runs += 1;
                    format!("run {run}")
                }
                Ok(Created::NotTriggered(reason)) => reason,
                Ok(Created::Skipped(reason)) => format!("skipped: {reason}"),
                Ok(Created::Later(reason)) => {
                    results.again = true;
                    reason
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    tracing::error!(?error, path, delivery = %self.delivery.id, "a pipeline file cannot be worked on");
                    results.again = true;
                    "it could not be worked on; the server's log says why".to_owned()
                }
            };
            results.said.push(format!("{path}: {said}"));
        }
        Ok(())
    }

    /// Why nothing is to be looked at for an event: no file of the default branch names it.
    async fn needless(&self, event: &Event, which: &Which) -> Result<Option<String>, Error> {
        let native_end = event.kind == EventKind::Upstream && *which == Which::Native;
        let name = if native_end { PIPELINE } else { event.name.as_deref().unwrap_or_default() };
        let of_default = native_end || OF_DEFAULT_BRANCH.contains(&name);
        if !of_default || self.app.db.may_name_event(self.repository.id, name).await? {
            return Ok(None);
        }
        Ok(Some(format!("no pipeline file of {} names `{name}`", self.repository.default_branch)))
    }
}

/// Whether an event is for a file.
fn is_asked(which: &Which, path: &str) -> bool {
    let workflow = path.strip_prefix(WORKFLOWS).is_some_and(|rest| rest.starts_with('/'));
    match which {
        Which::All => true,
        Which::Native => !workflow,
        Which::Workflows => workflow,
        Which::One(one) => path == one,
    }
}

/// What the repository knows better than the payload.
fn complete(event: &mut Event, source: &git::Source) {
    event.git.sha.clone_from(&source.commit.sha);
    event.git.author.clone_from(&source.commit.author);
    if event.pull_request.is_none() {
        event.git.message.clone_from(&source.commit.message);
    }
    if event.kind == EventKind::PullRequest {
        event.changed_paths.clone_from(&source.changed_paths);
    }
}

/// Takes over what the files of the default branch say for the time to come: their schedules, and which events it is
/// worth while to look at them for.
async fn note_default_branch(
    app: &App,
    repository: &Repository,
    files: &[PipelineFile],
) -> Result<(), Error> {
    let schedules: Vec<FileSchedule> = files
        .iter()
        .flat_map(|file| {
            let source = tidegate_pipelines::SourceFile { path: &file.path, text: &file.text };
            tidegate_pipelines::triggers(&source).schedules.into_iter().map(|schedule| FileSchedule {
                path: file.path.clone(),
                cron: schedule.cron,
                time_zone: schedule.time_zone,
            })
        })
        .collect();
    repositories::set_schedules(app, repository.id, &schedules).await?;
    // More than is meant may be named, never less.
    let named: Vec<&str> = OF_DEFAULT_BRANCH
        .iter()
        .copied()
        .chain([PIPELINE])
        .filter(|name| files.iter().any(|file| file.text.contains(name)))
        .collect();
    let mut tx = app.db.begin().await?;
    tx.set_named_events(repository.id, &named).await?;
    tx.commit().await
}
