//! Moves on what waits for time or for another run: gates whose timer ended or that expired, deployments held by a
//! frozen or busy environment, runs behind others of their concurrency group.
//!
//! It decides nothing itself: it asks [`crate::schedule`] again. A run that somebody else has locked is being looked
//! at anyway.

use crate::{app::App, error::Error, schedule};

/// Runs looked at in one go.
const AT_ONCE: i64 = 500;

/// Looks at every run that waits. False: there is nothing more to do before the next poll.
pub async fn once(app: &App) -> Result<bool, Error> {
    for run in app.db.runs_that_wait(AT_ONCE).await? {
        let mut tx = app.db.begin().await?;
        if tx.try_lock_run(run).await?.is_some() {
            schedule::advance(&mut tx, run).await?;
            tx.commit().await?;
        }
    }
    Ok(false)
}
