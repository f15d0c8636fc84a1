//! Compiles a pipeline file in its setting: the other files that it names, the server's machines, the repository's
//! variables. Off the async threads, because files may have to be fetched.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_pipelines::{Compilation, Setting, SourceFile, compile, event::Event};

use super::NewRun;
use crate::{
    app::App,
    error::Error,
    git::OtherFiles,
    repositories,
    store::views::{Repository, Variable},
};

/// Compiles the file. The inner error is a sentence about what could not be read just now.
pub(super) async fn compiled(app: &App, new: &NewRun) -> Result<Result<Compilation, String>, Error> {
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
    event: Arc<Event>,
}

impl Work {
    fn done(self) -> Result<Compilation, String> {
        let file = SourceFile { path: &self.path, text: &self.text };
        let setting = Setting {
            files: &self.files,
            machines: &self.app.config.machines,
            variables: &self.variables,
            any_machine: false,
        };
        let compilation = compile(&file, &self.event, setting);
        // A plan that came about without it does not need it.
        match self.files.away() {
            Some(reason) if compilation.result.is_none() => Err(reason),
            _ => Ok(compilation),
        }
    }
}
