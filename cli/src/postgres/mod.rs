//! The embedded default: a private Postgres cluster in the data folder, from the Postgres installed on the
//! machine, on a Unix socket only, with durability on.
//!
//! `binaries` finds the programs, `cluster` makes a data folder and drops root's rights, `supervise` starts the
//! server, starts it again when it dies, and stops it.

mod binaries;
mod cluster;
mod psql;
mod supervise;

pub use psql::Psql;
pub use supervise::Embedded;
