//! Actions: what a step with `uses` means.
//!
//! | module | job |
//! | --- | --- |
//! | [`reference`] | what the step says: `owner/repository/path@reference`, `./path`, `docker://image` |
//! | [`manifest`] | `action.yml`, read. Pure |
//! | [`inputs`] | what an action is given: defaults, names of variables. Pure |
//! | [`lock`] | which commit a reference must lead to. Pure |
//! | [`source`] | from a reference to files: mirrors, other places for actions, commits |
//! | [`builtin`] | actions that the runner itself carries out |
//!
//! The steps' own logic (conditions, contexts, post steps) is in [`crate::stage`].

pub mod builtin;
pub mod inputs;
pub(crate) mod kept;
pub mod lock;
pub mod manifest;
pub mod reference;
pub mod source;

use std::{path::PathBuf, sync::Arc};

/// A runner's settings for actions.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionSettings {
    /// Where actions are fetched from instead; the longest `from` that fits wins.
    pub sources: Vec<SourceMapping>,
    /// A folder with `bin/node` that JavaScript actions run with where their image has no `node`. Lent to sandboxes,
    /// read-only.
    pub node: Option<PathBuf>,
    /// A folder of tools in the layout of GitHub's tool cache (`node/20.11.0/x64`). Lent to sandboxes, read-only.
    pub tools: Option<PathBuf>,
    /// Built-in actions that are fetched and run as they are instead, by name (`actions/cache`).
    pub originals: Vec<String>,
    /// Built-in actions beside the runner's own, of whoever embeds it.
    #[serde(skip)]
    pub more: Vec<Arc<dyn builtin::Builtin>>,
}

/// Where actions of some places are fetched from instead.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceMapping {
    /// An action (`actions/checkout`), an owner (`actions/`), or the beginning of a URL (`https://github.com/`).
    pub from: String,
    /// The repository's URL for an action, else what stands in place of the beginning: `https://…` or `file:///…`.
    pub to: String,
}
