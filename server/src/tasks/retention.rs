//! Lets go of what has been kept long enough: logs, artifacts, caches, the blobs behind them, sessions, and what
//! came from and went to the forge. Runs, stages, deployments, decisions and the audit trail stay.

use crate::{app::App, error::Error, identity};

/// Rows of one batch.
const BATCH: i64 = 500;
/// Steps whose logs go in one batch, and blobs: each may be many chunks.
const HEAVY: i64 = 20;

/// Lets go of a batch of each. True: there may be more.
pub async fn once(app: &App) -> Result<bool, Error> {
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX).min(100 * 366);
    let kept = days(app.config.log_retention_days);
    let caches = days(app.config.cache_retention_days);
    let mut more = false;
    // Each batch is a transaction of its own: short locks, and an error in one takes nothing back from the others.
    macro_rules! batch {
        ($what:literal, $limit:expr, $purge:ident($($argument:expr),*)) => {{
            let mut tx = app.db.begin().await?;
            let gone = tx.$purge($($argument,)* $limit).await?;
            tx.commit().await?;
            if gone > 0 {
                tracing::info!(gone, what = $what, "kept long enough");
            }
            more |= gone >= $limit;
        }};
    }
    batch!("logs", HEAVY, purge_logs(kept));
    batch!("artifacts", BATCH, purge_artifacts());
    batch!("caches", BATCH, purge_caches(caches));
    batch!("blobs", HEAVY, purge_blobs());
    batch!("sessions", BATCH, purge_sessions());
    batch!("deliveries", BATCH, purge_deliveries(kept));
    batch!("outbox", BATCH, purge_outbox(kept));
    batch!("refused writes", BATCH, purge_refused_writes(kept));
    identity::keep(app).await?;
    Ok(more)
}
