//! How much there is of what, for monitoring.

use super::Db;
use crate::error::Error;

/// Name, meaning and value of a gauge.
pub type Gauge = (&'static str, &'static str, i64);

impl Db {
    /// All gauges.
    pub async fn gauges(&self) -> Result<Vec<Gauge>, Error> {
        let row: (i64, i64, i64, i64, i64, i64, i64, i64) = sqlx::query_as(
            "select (select count(*) from runs where finished_at is null),
                    (select count(*) from stages where status = 'queued'),
                    (select count(*) from attempts where status = 'running'),
                    (select count(*) from gates where status = 'open'),
                    (select count(*) from deliveries where state = 'received'),
                    (select count(*) from outbox where state = 'waiting'),
                    (select count(*) from outbox where state = 'dead'),
                    (select count(*) from runners where not disabled and last_seen_at > now() - interval '1 minute')",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(vec![
            ("open_runs", "Runs that have not ended", row.0),
            ("queued_stages", "Stages that wait for a runner", row.1),
            ("running_attempts", "Attempts at work", row.2),
            ("open_gates", "Gates that wait for people", row.3),
            ("waiting_deliveries", "Webhook deliveries not worked on yet", row.4),
            ("waiting_messages", "Messages to the forge not sent yet", row.5),
            ("dead_messages", "Messages to the forge that were given up", row.6),
            ("online_runners", "Runners that called within a minute", row.7),
        ])
    }
}
