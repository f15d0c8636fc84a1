//! Why a runner cannot work at all. What goes wrong with one stage is that stage's result, not one of these.

use std::path::PathBuf;

use crate::{client::ClientError, sandbox::EngineError};

/// Why a runner could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The engine does not answer; the text says what to do.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file or folder of the runner's own.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no key and no token to get one with.
    #[error(
        "this runner is not enrolled: there is no key in {}. Make an enrolment token (page \"Runners\", or `tidegate \
         runners token`) and start the runner with it once", .0.display()
    )]
    NotEnrolled(PathBuf),
    /// The server did not take the enrolment token.
    #[error(
        "the server refused the enrolment token: {0}. A token works once and for a limited time; make a new one"
    )]
    Enrolment(String),
    /// The server no longer knows this runner.
    #[error(
        "the server does not know this runner any more (it was removed or disabled): {reason}. To enrol it again, \
         delete {} and start it with a new token", key_file.display()
    )]
    Revoked {
        /// The server's words.
        reason: String,
        /// Where the key is.
        key_file: PathBuf,
    },
    /// Two runners on one data folder would destroy each other's sandboxes.
    #[error("another runner already works in {}; give each its own data folder", .0.display())]
    Locked(PathBuf),
    /// The client could not be set up.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// A local run that cannot begin.
    #[error("{0}")]
    Local(String),
}
