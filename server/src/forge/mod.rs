//! GitHub: what it tells ([`events`]) and what it is told ([`messages`]). The only module that names octocrab.
//!
//! What it is told goes through the outbox: a [`messages::Message`] becomes requests ([`calls`], in the words of
//! [`words`]) that [`report`] has [`github`] send.

use std::sync::OnceLock;

use crate::config::GithubConfig;

pub mod calls;
pub mod events;
pub mod github;
pub mod messages;
pub mod report;
pub mod words;

/// The server's connection to GitHub, made when it is first needed and kept, because it keeps tokens.
#[derive(Default)]
pub struct Forge {
    connection: OnceLock<Result<github::Github, String>>,
}

impl Forge {
    /// The connection; the error is a sentence about the configuration. Within a tokio runtime.
    pub fn github(&self, config: &GithubConfig) -> Result<&github::Github, String> {
        self.connection.get_or_init(|| github::Github::new(config)).as_ref().map_err(Clone::clone)
    }
}
