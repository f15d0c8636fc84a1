//! What the server and its runners say to each other: ids, statuses and messages, versioned.
//!
//! Transport is HTTP with JSON bodies under [`messages::PREFIX`]; log chunks, artifacts and caches are raw
//! bodies. A runner authenticates every call with its own key (`Authorization: Bearer`), and every call about
//! an attempt carries that attempt's id in the path and its epoch in the body or in the
//! [`messages::EPOCH_HEADER`] header. A call with an epoch that is no longer the stage's is answered 409.

pub mod ids;
pub mod messages;
pub mod status;
