//! GitHub: what it tells ([`events`]) and what it is told ([`messages`]). The only module that names octocrab.

pub mod events;
pub mod messages;
