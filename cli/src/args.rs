//! The command line: one variant per subcommand, each defined beside its code.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::*;

/// Tidegate: a self-hosted CI/CD runner.
///
/// Exit codes: 0 it worked, 1 it failed, 2 it was called or configured wrongly, 130 it was interrupted.
#[derive(Parser)]
#[command(name = "tidegate", version, propagate_version = true, max_term_width = 110)]
pub struct Args {
    /// Configuration file [default: ./tidegate.toml, then /etc/tidegate/tidegate.toml]
    #[arg(long, global = true, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands, in the order of their use.
#[derive(Subcommand)]
pub enum Command {
    /// Start server, embedded database and runner in one process
    Up(up::Up),
    /// Start a server alone, on the database in DATABASE_URL
    Server(server::Server),
    /// Start a runner alone
    Runner(runner::Runner),
    /// Run a pipeline of the working tree on the local engine, without a server
    Run(run::Run),
    /// Show all mistakes in pipeline files
    Validate(validate::Validate),
    /// Explain the code of a message; without one, list all codes
    Explain(explain::Explain),
    /// Give pipeline files the usual look
    Fmt(fmt::Fmt),
    /// Show what an event would start: stages, needs, matrices, steps and conditions
    Plan(plan::Plan),
    /// Draw a pipeline's stages: text, Mermaid or SVG
    Graph(graph::Draw),
    /// Serve an editor: mistakes, completion, explanations and quick fixes
    Lsp(lsp::Lsp),
    /// Pin the remote actions of workflows to commits
    Lock(lock::Lock),
    /// Write a native pipeline for a file of another CI system
    Import(import::Import),
    /// Show the whole road on this machine: push, checks, image, gate, deployment, rollback
    Demo(demo::Demo),
    /// Print the JSON Schema of the pipeline language
    Schema,
    /// Log in to a server, and keep a token for it
    Login(login::Login),
    /// Forget the stored log-in
    Logout,
    /// Look at runs, start, cancel and rerun them
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Print the log of a run's stages
    Logs(logs::Logs),
    /// Look at gates
    #[command(subcommand)]
    Gates(gates::Gates),
    /// Let a stage through its gate
    Approve(gates::Decide),
    /// Refuse a stage at its gate
    Reject(gates::Decide),
    /// Put a previous deployment back
    Rollback(rollback::Rollback),
    /// Say how a deployment of unknown ending went
    Settle(rollback::Settle),
    /// Environments and their rules
    #[command(subcommand)]
    Env(env::Env),
    /// Repositories
    #[command(subcommand)]
    Repos(repos::Repos),
    /// Secrets of repositories and environments
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// Variables of repositories and environments
    #[command(subcommand)]
    Variables(variables::Variables),
    /// People
    #[command(subcommand)]
    Users(users::Users),
    /// API tokens of your own
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Runners
    #[command(subcommand)]
    Runners(runners::Runners),
    /// Hooks for bare git repositories
    #[command(subcommand)]
    Hook(hook::Hook),
    /// What only the operator of the server's machine may do
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Print completions for a shell
    Completions(completions::Completions),
    /// Print the version
    Version,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent_and_every_command_says_what_it_does() {
        let command = super::Args::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{} has no description", sub.get_name());
        }
    }
}
