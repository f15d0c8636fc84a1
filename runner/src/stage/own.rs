//! Whose the files are that a stage's commands find, where the stage asks for another user than root.
//!
//! Everything that the runner writes (a checkout, a cache, what built-in actions fetch) and what container actions leave
//! belongs to somebody else, and that user could neither change nor `chmod` it. So it is handed over before the next
//! command. Only root may give files away, and only the image knows its users: a helper's container does it the first time,
//! which sees these files and nothing else, so the sandbox itself needs no rights for it. It costs some tenths of a second,
//! so from then on a runner that is root does it itself.

use std::path::Path;

use tidegate_pipelines::plan::{Container, Verb};

use super::{Failure, engine::Engine};
use crate::archive::owner;

/// The user that is asked for, unless that is root.
pub(super) fn other_user(container: &Container) -> Option<&str> {
    let user = container.user.as_ref()?.as_str();
    let name = user.split(':').next().unwrap_or_default();
    (name != "0" && name != "root").then_some(user)
}

impl Engine<'_> {
    /// Gives the stage's user what others wrote, before a command that was not sent yet.
    pub(super) async fn hand_over(&mut self, command: u32) -> Result<(), Failure> {
        let ctx = self.ctx;
        let Verb::Run(run) = &ctx.lease.stage.verb else { return Ok(()) };
        let Some(user) = other_user(&run.container) else { return Ok(()) };
        if !self.strange_files || self.talk.was_sent(command) {
            return Ok(());
        }
        let (owner, folder) = (ctx.owner(), ctx.dirs.files());
        if !self.give(&folder).await {
            ctx.engine.own_folder(&owner, run.image.as_str(), &ctx.runner.shim, &folder, user).await?;
            self.owner = owner::of(&folder).ok().filter(|(user, _)| *user != 0);
        }
        self.strange_files = false;
        Ok(())
    }

    /// Gives the files away without a helper, where that can be done: the first helper has told whose they are, and the
    /// runner is root.
    async fn give(&self, folder: &Path) -> bool {
        let Some(whom) = self.owner.filter(|_| nix::unistd::geteuid().is_root()) else { return false };
        let folder = folder.to_owned();
        let given = tokio::task::spawn_blocking(move || owner::give(&folder, whom)).await;
        match given {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::info!(%error, attempt = %self.ctx.lease.attempt, "files are given away by a helper");
                false
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_pipelines::plan::Template;

    use super::*;

    #[test]
    fn root_needs_nothing_handed_over() {
        let of = |user: &str| {
            let user = Some(Template(user.to_owned()));
            other_user(&Container { user, ..Container::default() }).map(str::to_owned)
        };
        assert_eq!((of("0"), of("root"), of("0:1000"), of("root:root")), (None, None, None, None));
        assert_eq!((of("node"), of("1001:0")), (Some("node".to_owned()), Some("1001:0".to_owned())));
        assert_eq!(other_user(&Container::default()), None);
    }
}
