//! Compiles a pipeline file in its setting: the other files that it names, the server's machines, the repository's
//! variables. Off the async threads, because files may have to be fetched.

use std::collections::BTreeMap;

use tidegate_pipelines::{Compilation, Compiled, Setting, SourceFile, compile, event::Event};

use super::{NewRun, skip};
use crate::{
    app::App,
    error::Error,
    git::OtherFiles,
    repositories,
    store::views::{Repository, Variable},
};

/// What came of compiling.
pub(super) struct Compiling {
    /// Plan, mistakes, or why the event starts nothing.
    pub(super) compilation: Compilation,
    /// The pipeline's name when it would have been started but for what changed, or for what the commit's message asks:
    /// whoever waits for its mark is told.
    pub(super) owed: Option<String>,
}

/// Compiles the file. The inner error is a sentence about what could not be read just now.
pub(super) async fn compiling(app: &App, new: &NewRun) -> Result<Result<Compiling, String>, Error> {
    let repository = repositories::get(app, new.repository).await?;
    let variables = of_every_stage(app.db.variables(new.repository).await?);
    let work = Work {
        files: files(app, &repository, &new.event),
        app: app.clone(),
        variables,
        path: new.path.clone(),
        text: new.text.clone(),
        event: new.event.clone(),
    };
    tokio::task::spawn_blocking(move || work.done())
        .await
        .map_err(|_| Error::internal("compiling a pipeline file did not end well"))
}

/// The other files that one of the repository may name, at the event's commit.
pub(crate) fn files(app: &App, repository: &Repository, event: &Event) -> OtherFiles {
    OtherFiles::new(app, repository, &event.git.reference, &event.git.sha, event.trusted)
}

/// The variables that no environment has for itself.
pub(crate) fn of_every_stage(variables: Vec<Variable>) -> BTreeMap<String, String> {
    variables.into_iter().filter(|one| one.environment.is_none()).map(|one| (one.name, one.value)).collect()
}

struct Work {
    app: App,
    files: OtherFiles,
    variables: BTreeMap<String, String>,
    path: String,
    text: String,
    event: Event,
}

impl Work {
    fn done(self) -> Result<Compiling, String> {
        let file = SourceFile { path: &self.path, text: &self.text };
        let setting =
            Setting { files: &self.files, machines: &self.app.config.machines, variables: &self.variables };
        let compilation = compile(&file, &self.event, setting);
        let owed = match &compilation.result {
            Some(Compiled::NotTriggered { .. }) => {
                skip::unfiltered(&self.event).and_then(|event| match compile(&file, &event, setting).result {
                    Some(Compiled::Plan(plan)) => Some(plan.name),
                    _ => None,
                })
            }
            _ => None,
        };
        // A plan that came about without it does not need it.
        match self.files.away() {
            Some(reason) if compilation.result.is_none() => Err(reason),
            _ => Ok(Compiling { compilation, owed }),
        }
    }
}
