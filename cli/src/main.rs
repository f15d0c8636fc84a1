//! The `tidegate` command. Every subcommand is a thin door to a library; this file only picks the door.

mod api;
mod args;
mod commands;
mod demo;
mod failure;
mod files;
mod logging;
mod lsp;
mod parallel;
mod postgres;
mod settings;
mod stack;
mod terminal;
mod worktree;

use std::process::ExitCode;

use clap::Parser;

/// Gives memory back soon after a burst, which the C library's allocator does not; `.cargo/config.toml` says how soon.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything can make a TLS connection: one provider for the whole process.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anstream::eprintln!("error: a TLS provider was installed twice");
        return ExitCode::from(1);
    }
    let args = args::Args::parse();
    let result = commands::run(args);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}
