//! Whole runs without a database: random graphs, runners that fail or get lost, people who approve, reject or cancel.
//! A small model carries the actions out; after each one the promises of scheduling are looked at.

mod cases;
mod model;
mod pipelines;
mod random;
mod told;
