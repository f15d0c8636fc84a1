//! `tidegate demo`: the whole road on one machine, on real parts.
//!
//! Two processes. The *stand* (`demo --serve`, started in the background) is server, embedded database, runner and
//! image registry; it goes on running until `demo --stop`. The *show* (`demo`) is a client like any other: it
//! pushes commits, watches the run over the HTTP API, and decides at the gate. So a second `demo` finds the stand
//! up and begins at once, and the browser works all the time.
//!
//! `folder` knows what is kept where, `stand` starts and stops the background process, `registry` the image
//! registry, `repository` makes commits and pushes, `people` sets up users, repository and environments, `tree`
//! draws a run, `show` is the story, `summary` its end, `check` verifies it from outside.

mod check;
mod folder;
mod people;
mod registry;
mod repository;
mod show;
mod stand;
mod summary;
mod tree;

pub use check::{check, clean};
pub use folder::{Folder, Person, USUAL_PROJECT};
pub use show::{Approval, show};
pub use stand::{serve, stop};
