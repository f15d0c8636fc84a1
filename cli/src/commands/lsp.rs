//! `tidegate lsp`: the language server, started by an editor.

use std::io::{stdin, stdout};

use clap::Args;

use crate::{
    failure::Outcome,
    lsp,
    settings::{self, file::File},
};

/// Serve an editor: mistakes, completion, explanations and quick fixes, on standard input and output
#[derive(Args)]
pub struct Lsp {
    /// What clients of editors add that know several ways to speak; there is this one
    #[arg(long, hide = true)]
    stdio: bool,
}

impl Lsp {
    /// Serves until the editor goes.
    pub fn run(self, config: File) -> Outcome {
        let Self { stdio: _ } = self;
        let machines = settings::server::machines_of(&config.server)?;
        lsp::serve(stdin().lock(), stdout().lock(), machines)
    }
}
