//! Leases: which runner works at which stage, and the fence around its writes.

use bytes::Bytes;
use tidegate_protocol::{
    ids::{AttemptId, RunnerId},
    messages::{Claim, Finish, Lease, LogAccepted, Renew, Renewed, StepReport},
};

use crate::{app::App, error::Error};

fn later<T>() -> Result<T, Error> {
    Err(Error::internal("not built yet"))
}

/// Leases a stage to the runner; waits up to the claim's `wait_ms` for one.
pub async fn claim(_app: &App, _runner: RunnerId, _claim: &Claim) -> Result<Option<Lease>, Error> {
    later()
}

/// The runner is still at work.
pub async fn renew(
    _app: &App,
    _runner: RunnerId,
    _attempt: AttemptId,
    _epoch: i64,
    _renew: &Renew,
) -> Result<Renewed, Error> {
    later()
}

/// A step began or ended.
pub async fn report_step(
    _app: &App,
    _runner: RunnerId,
    _attempt: AttemptId,
    _epoch: i64,
    _report: &StepReport,
) -> Result<(), Error> {
    later()
}

/// Stores a chunk of log.
pub async fn append_log(
    _app: &App,
    _runner: RunnerId,
    _attempt: AttemptId,
    _epoch: i64,
    _step: u32,
    _offset: u64,
    _frame: Bytes,
) -> Result<LogAccepted, Error> {
    later()
}

/// The attempt ended. The same report again is answered the same.
pub async fn finish(
    _app: &App,
    _runner: RunnerId,
    _attempt: AttemptId,
    _epoch: i64,
    _finish: Finish,
) -> Result<(), Error> {
    later()
}
