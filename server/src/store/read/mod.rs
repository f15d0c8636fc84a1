//! Queries of pages: one statement each, so that what a page shows was true at one moment.

mod gates;
mod runs;

pub use gates::{GateFacts, GateFilter};
