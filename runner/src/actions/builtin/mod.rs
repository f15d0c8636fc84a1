//! Actions that the runner itself carries out: no network for them, no Node.js in the image.
//!
//! # Writing one
//!
//! Implement [`Builtin`] in a file of this folder and add it to [`all`]. A step that uses an action of that name, at
//! any version, then gets it instead of the original, unless the runner's settings say otherwise
//! ([`super::ActionSettings::originals`]).
//!
//! [`Builtin::main`] is given a [`Use`]: the inputs (defaults filled in), the contexts, the workspace's folder on this
//! machine, [`StageContext`] with the way to the server ([`crate::stage::Results`]), and what to leave behind: outputs,
//! environment values, search paths, state for the post step. It speaks to the step's log by [`Use::say`],
//! [`Use::warn`] and [`Use::error`], and runs commands in the sandbox by [`Use::shell`].
//!
//! # What holds
//!
//! - **It may be dropped** at any `await`, when the stage is cancelled or out of time; a command in the sandbox is
//!   stopped then.
//! - **It may run twice.** When the runner is restarted in the middle of it, it is begun again from nothing, with the
//!   same inputs; a command of the sandbox that was sent is not sent again, its result is the first one's. Once it has
//!   ended it never runs again: what it said and left is in the attempt's record. So whatever it does outside (store,
//!   push) must bear repetition, and its commands must be the same when it begins again.
//! - **What it keeps for registries is written nowhere.** Credentials ([`Use::log_in`]) stay in memory; after a restart of
//!   the runner [`Builtin::recall`] makes them again from the same inputs.
//! - **Its files are hostile.** The workspace belongs to whatever ran before. Never open a path of it by the ordinary
//!   ways: [`crate::archive`] packs and unpacks without following links, [`Use::read_file`] reads.
//! - **It never sees the engine**, unless it is about images, and then by [`StageContext::engine`]'s [`Images`].
//! - Its failure is a [`Failure`]: `failed` for what the pipeline can mend, `infrastructure` for what it cannot.
//!
//! [`Images`]: crate::sandbox::Images

mod artifacts;
mod aws;
mod cache;
mod checkout;
mod docker;
mod places;
mod release;
mod selected;
mod setup;
mod slack;
mod step;
mod versions;
mod web;

use std::sync::Arc;

use async_trait::async_trait;

pub use step::{Hands, Left, Part, Use};

use super::reference::Remote;
use crate::stage::{Failure, StageContext};

/// An action that the runner itself carries out.
#[async_trait]
pub trait Builtin: Send + Sync {
    /// Its name in lower case, `owner/repository` or with a folder (`actions/cache/save`).
    fn name(&self) -> &'static str;

    /// The inputs it knows, each with its default: a template (`${{ github.token }}`). Others are given to it too, after
    /// a warning in the log.
    fn inputs(&self) -> &'static [(&'static str, &'static str)];

    /// The inputs that are hidden in the log before anything of the step is shown there.
    fn hidden(&self) -> &'static [&'static str] {
        &[]
    }

    /// Does it.
    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure>;

    /// Makes anew what [`Builtin::main`] kept in this process's memory only ([`Use::log_in`]), after a restart of the
    /// runner. The inputs are the same; it writes nothing to the log and runs nothing in the sandbox.
    async fn recall(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let _ = step;
        Ok(())
    }

    /// The `if` of its post step; none: it has none. `always()` is the usual one.
    fn post_if(&self) -> Option<&'static str> {
        None
    }

    /// Does what is left to do after the stage's last step. Runs only when [`Builtin::main`] was begun, with the same
    /// inputs and the state that it saved, in reverse order of the steps.
    async fn post(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let _ = step;
        Ok(())
    }
}

/// Every built-in action.
pub fn all() -> Vec<Arc<dyn Builtin>> {
    vec![
        Arc::new(checkout::Checkout),
        Arc::new(artifacts::Upload),
        Arc::new(artifacts::Download),
        Arc::new(cache::Cache::Both),
        Arc::new(cache::Cache::Restore),
        Arc::new(cache::Cache::Save),
        Arc::new(setup::Setup::Node),
        Arc::new(setup::Setup::Python),
        Arc::new(setup::Setup::Java),
        Arc::new(setup::Setup::Go),
        Arc::new(aws::Configure),
        Arc::new(aws::EcrLogin),
        Arc::new(docker::BuildPush),
        Arc::new(docker::Buildx),
        Arc::new(docker::Login),
        Arc::new(docker::Metadata),
        Arc::new(docker::Qemu),
        Arc::new(release::CreateRelease),
        Arc::new(release::GhRelease),
        Arc::new(slack::ActionSlack),
        Arc::new(slack::GithubAction),
        Arc::new(slack::Notify),
    ]
}

/// The built-in action for a reference, unless this runner runs the original.
pub fn find(ctx: &StageContext, action: &Remote) -> Option<Arc<dyn Builtin>> {
    let name = action.name();
    let settings = &ctx.runner.actions;
    if settings.originals.iter().any(|original| original.eq_ignore_ascii_case(&name)) {
        return None;
    }
    settings.more.iter().cloned().chain(all()).find(|builtin| builtin.name() == name)
}

impl std::fmt::Debug for dyn Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
