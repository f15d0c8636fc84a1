use crate::{actor::Actor, app::App, error::Error, store::views::Gate};
use tidegate_protocol::{
    ids::{GateId, RunId},
    status::GateStatus,
};
pub async fn list(_app: &App, _status: Option<GateStatus>, _viewer: &Actor) -> Result<Vec<Gate>, Error> {
    Err(Error::internal("x"))
}
pub async fn get(_app: &App, _gate: GateId, _viewer: &Actor) -> Result<Gate, Error> {
    Err(Error::internal("x"))
}
pub(crate) async fn of_run(_app: &App, _run: RunId, _viewer: &Actor) -> Result<Vec<Gate>, Error> {
    Err(Error::internal("x"))
}
