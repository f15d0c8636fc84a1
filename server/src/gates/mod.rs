//! Gates: who lets a deployment through.

pub mod rules;

use serde::Deserialize;
use tidegate_protocol::{ids::GateId, status::GateStatus};
use utoipa::ToSchema;

use crate::{actor::Actor, app::App, error::Error, store::views::Gate};

/// What a person says at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No; final.
    Reject,
}

impl Verdict {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

/// Records a person's decision and does what follows from it, in one transaction.
pub async fn decide(
    _app: &App,
    _gate: GateId,
    _verdict: Verdict,
    _comment: &str,
    _actor: &Actor,
) -> Result<GateStatus, Error> {
    Err(Error::internal("not built yet"))
}

/// Gates, oldest first, as this person sees them.
pub async fn list(_app: &App, _status: Option<GateStatus>, _viewer: &Actor) -> Result<Vec<Gate>, Error> {
    Err(Error::internal("not built yet"))
}

/// One gate, as this person sees it.
pub async fn get(_app: &App, _gate: GateId, _viewer: &Actor) -> Result<Gate, Error> {
    Err(Error::internal("not built yet"))
}
