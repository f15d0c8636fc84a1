//! Schedules: when a repository's default branch is due to run by itself.

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use tidegate_protocol::ids::RepositoryId;
use uuid::Uuid;

use super::Tx;
use crate::error::Error;

/// A schedule that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueSchedule {
    /// Whose it is.
    pub repository: RepositoryId,
    /// Five fields.
    pub cron: String,
    /// A name of the IANA database.
    pub time_zone: String,
    /// When it was due first.
    pub due_at: Timestamp,
    /// The database's clock.
    pub now: Timestamp,
}

impl Tx {
    /// Sets a repository's schedules. One that is there already keeps its next time, so that a push just before
    /// it does not lose it.
    pub async fn set_schedules(
        &mut self,
        repository: RepositoryId,
        schedules: &[(String, String, Timestamp)],
    ) -> Result<(), Error> {
        let crons: Vec<&str> = schedules.iter().map(|(cron, ..)| cron.as_str()).collect();
        let zones: Vec<&str> = schedules.iter().map(|(_, zone, _)| zone.as_str()).collect();
        sqlx::query(
            "delete from schedules where repository_id = $1
             and (cron, time_zone) not in (select * from unnest($2::text[], $3::text[]))",
        )
        .bind(repository.0)
        .bind(&crons)
        .bind(&zones)
        .execute(&mut *self.inner)
        .await?;
        for (cron, zone, next) in schedules {
            sqlx::query(
                "insert into schedules (repository_id, cron, time_zone, next_at) values ($1, $2, $3, $4)
                 on conflict do nothing",
            )
            .bind(repository.0)
            .bind(cron)
            .bind(zone)
            .bind(next.to_sqlx())
            .execute(&mut *self.inner)
            .await?;
        }
        Ok(())
    }

    /// Locks one schedule that is due; others who ask meanwhile get another one.
    pub async fn take_due_schedule(&mut self) -> Result<Option<DueSchedule>, Error> {
        let row: Option<(Uuid, String, String, SqlTimestamp, SqlTimestamp)> = sqlx::query_as(
            "select repository_id, cron, time_zone, next_at, now() from schedules where next_at <= now()
             order by next_at limit 1 for update skip locked",
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(|(repository, cron, time_zone, due_at, now)| DueSchedule {
            repository: RepositoryId(repository),
            cron,
            time_zone,
            due_at: due_at.to_jiff(),
            now: now.to_jiff(),
        }))
    }

    /// Moves a schedule on; without a next time it is deleted.
    pub async fn move_schedule(
        &mut self,
        schedule: &DueSchedule,
        next: Option<Timestamp>,
    ) -> Result<(), Error> {
        let query = match next {
            Some(next) => sqlx::query(
                "update schedules set next_at = $4 where repository_id = $1 and cron = $2 and time_zone = $3",
            )
            .bind(schedule.repository.0)
            .bind(&schedule.cron)
            .bind(&schedule.time_zone)
            .bind(next.to_sqlx()),
            None => {
                sqlx::query("delete from schedules where repository_id = $1 and cron = $2 and time_zone = $3")
                    .bind(schedule.repository.0)
                    .bind(&schedule.cron)
                    .bind(&schedule.time_zone)
            }
        };
        query.execute(&mut *self.inner).await?;
        Ok(())
    }
}
