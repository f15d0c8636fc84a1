//! GitHub: what it tells ([`events`]) and, later in the road, what it is told. The only module that names octocrab.

pub mod events;
pub mod messages;
