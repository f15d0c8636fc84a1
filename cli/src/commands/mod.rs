//! One file per subcommand. Each is a thin door: arguments in, one library call or a few API calls, words out.

pub mod admin;
pub mod completions;
pub mod demo;
pub mod env;
pub mod explain;
pub mod fmt;
pub mod gates;
pub mod graph;
pub mod hook;
pub mod import;
pub mod lock;
pub mod login;
pub mod logs;
pub mod lsp;
pub mod plan;
pub mod repos;
pub mod rollback;
pub mod run;
pub mod runner;
pub mod runners;
pub mod runs;
pub mod secrets;
pub mod server;
pub mod tokens;
pub mod up;
pub mod users;
pub mod validate;
pub mod variables;

use std::{future::Future, io::Write};

use serde_json::Value;
use tidegate_pipelines::{Diagnostic, SourceFile, render};
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api,
    args::{Args, Command},
    failure::{Doing, Failure, Outcome},
    settings::file::File,
};

/// Picks the door.
pub fn run(args: Args) -> Outcome {
    let config = args.config.as_deref();
    match args.command {
        Command::Up(command) => asynchronous(command.run(File::read(config)?)),
        Command::Server(command) => asynchronous(command.run(File::read(config)?)),
        Command::Runner(command) => asynchronous(command.run(File::read(config)?)),
        Command::Run(command) => asynchronous(command.run(File::read(config)?)),
        Command::Validate(command) => command.run(File::read(config)?),
        Command::Explain(command) => command.run(),
        Command::Fmt(command) => command.run(),
        Command::Plan(command) => command.run(File::read(config)?),
        Command::Graph(command) => command.run(File::read(config)?),
        Command::Lsp(command) => command.run(File::read(config)?),
        Command::Lock(command) => command.run(File::read(config)?),
        Command::Import(command) => command.run(),
        Command::Demo(command) => asynchronous(command.run()),
        Command::Schema => print_json(&tidegate_pipelines::json_schema()),
        Command::Login(command) => asynchronous(command.run()),
        Command::Logout => login::log_out(),
        Command::Runs(command) => asynchronous(command.run()),
        Command::Logs(command) => asynchronous(command.run()),
        Command::Gates(command) => asynchronous(command.run()),
        Command::Approve(command) => asynchronous(command.run("approve")),
        Command::Reject(command) => asynchronous(command.run("reject")),
        Command::Rollback(command) => asynchronous(command.run()),
        Command::Settle(command) => asynchronous(command.run()),
        Command::Env(command) => asynchronous(command.run()),
        Command::Repos(command) => asynchronous(command.run()),
        Command::Secrets(command) => asynchronous(command.run()),
        Command::Variables(command) => asynchronous(command.run()),
        Command::Users(command) => asynchronous(command.run()),
        Command::Tokens(command) => asynchronous(command.run()),
        Command::Runners(command) => asynchronous(command.run()),
        Command::Hook(command) => asynchronous(command.run()),
        Command::Admin(command) => asynchronous(command.run(File::read(config)?)),
        Command::Completions(command) => command.run(),
        Command::Version => {
            anstream::println!("tidegate {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

fn asynchronous(future: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .doing("cannot start the asynchronous runtime")?;
    runtime.block_on(future)
}

/// A token that is cancelled by the first SIGTERM or SIGINT. A second one ends the process at once.
pub fn until_signal() -> Outcome<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).doing("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).doing("cannot listen for SIGINT")?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping; once more ends at once");
        cancelled.cancel();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        std::process::exit(130);
    });
    Ok(token)
}

/// Calls a file as it was named. Diagnostics may also be about files that it uses.
pub fn as_named(diagnostics: &mut [Diagnostic], path: &str, name: &str) {
    for diagnostic in diagnostics {
        let related = diagnostic.related.iter_mut().filter_map(|related| related.file.as_mut());
        for file in related.chain([&mut diagnostic.file]).filter(|file| *file == path) {
            name.clone_into(file);
        }
    }
}

/// Prints what is wrong with a file to standard error, so that standard output is the result alone.
pub fn show_diagnostics(file: &SourceFile<'_>, diagnostics: &[Diagnostic]) -> Outcome {
    use std::io::IsTerminal;
    let stderr = std::io::stderr();
    let text = render(file, diagnostics, stderr.is_terminal());
    match stderr.lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).doing("cannot write to standard error")
        }
        _ => Ok(()),
    }
}

/// Prints JSON for scripts.
pub fn print_json(value: &Value) -> Outcome {
    let text = serde_json::to_string_pretty(value).doing("cannot write JSON")?;
    write_out(text.as_bytes())?;
    write_out(b"\n")
}

/// Writes bytes as they are to standard output. A reader that has had enough is no failure.
pub fn write_out(bytes: &[u8]) -> Outcome {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).doing("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Text as a part of a query.
pub fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The id of a repository that is named `owner/name` (or by its id).
pub async fn repository_id(api: &Api, name: &str) -> Outcome<String> {
    let all: Value = api.get("repositories").await?;
    let found = all["repositories"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["full_name"] == name || one["id"] == name)
        .and_then(|one| one["id"].as_str());
    found.map(str::to_owned).ok_or_else(|| {
        Failure::new(format!("there is no repository {name}"))
            .mend("`tidegate repos list` shows the ones there are")
    })
}

/// The id of a run that is named by its id, or by its number as `12`, `#12` or `owner/name#12`.
pub async fn run_id(api: &Api, name: &str) -> Outcome<String> {
    if name.parse::<uuid::Uuid>().is_ok() {
        return Ok(name.to_owned());
    }
    let (repository, number) = run_number(name).ok_or_else(|| {
        Failure::usage(format!("`{}` names no run", crate::terminal::harmless(name)))
            .mend("give its number as `12` or `owner/name#12`, or its id: `tidegate runs list` shows both")
    })?;
    let mut query = "runs?limit=100".to_owned();
    if let Some(repository) = repository {
        query.push_str(&format!("&repository={}", repository_id(api, repository).await?));
    }
    let page: crate::api::views::Runs = api.get(&query).await?;
    let found: Vec<_> = page.runs.iter().filter(|run| run.number == number).collect();
    match found.as_slice() {
        [run] => Ok(run.id.clone()),
        [] => Err(Failure::new(format!("there is no run #{number} among the newest hundred"))
            .mend("an older one can be named by its id, which is in its page's address")),
        [first, ..] => Err(Failure::usage(format!("several repositories have a run #{number}"))
            .mend(format!("say which one, for example `{}#{number}`", first.repository))),
    }
}

/// Splits `owner/name#12`, `#12` and `12`.
fn run_number(name: &str) -> Option<(Option<&str>, i64)> {
    let (repository, number) = name.rsplit_once('#').unwrap_or(("", name));
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some((Some(repository).filter(|repository| !repository.is_empty()), number))
}

/// Reads a secret: from a terminal without an echo, else the first line of standard input.
pub fn read_secret(prompt: &str) -> Outcome<secrecy::SecretString> {
    use std::io::IsTerminal;
    let value = if std::io::stdin().is_terminal() {
        rpassword::prompt_password(format!("{prompt}: ")).doing("cannot read from the terminal")?
    } else {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).doing("cannot read from standard input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if value.is_empty() {
        return Err(Failure::usage(format!("{prompt}: nothing was given")));
    }
    Ok(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_named_by_number() {
        assert_eq!(run_number("12"), Some((None, 12)));
        assert_eq!(run_number("#12"), Some((None, 12)));
        assert_eq!(run_number("demo/tides#3"), Some((Some("demo/tides"), 3)));
        for wrong in ["", "#", "x", "0", "-1", "demo/tides", "demo/tides#"] {
            assert_eq!(run_number(wrong), None, "{wrong}");
        }
    }
}
