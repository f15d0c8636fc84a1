//! Read models: what pages show, one struct per kind of thing, in the shape of the HTTP API.

mod environments;
mod repositories;
mod runs;
mod users;

pub use environments::*;
pub use repositories::*;
pub use runs::*;
pub use users::*;
