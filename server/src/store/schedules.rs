//! Schedules: when a repository's default branch is due to run by itself.

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use tidegate_protocol::ids::RepositoryId;
use uuid::Uuid;

use super::Tx;
use crate::error::Error;

/// A schedule as a pipeline file has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileSchedule {
    /// The pipeline file.
    pub path: String,
    /// Five fields.
    pub cron: String,
    /// A name of the IANA database.
    pub time_zone: String,
}

/// A schedule that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueSchedule {
    /// Whose it is.
    pub repository: RepositoryId,
    /// The pipeline file that asks for it; empty: the repository's `pipeline_path`.
    pub path: String,
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
        schedules: &[(FileSchedule, Timestamp)],
    ) -> Result<(), Error> {
        let all = |pick: fn(&FileSchedule) -> &String| -> Vec<&str> {
            schedules.iter().map(|(schedule, _)| pick(schedule).as_str()).collect()
        };
        sqlx::query(
            "delete from schedules where repository_id = $1
             and (path, cron, time_zone) not in (select * from unnest($2::text[], $3::text[], $4::text[]))",
        )
        .bind(repository.0)
        .bind(all(|one| &one.path))
        .bind(all(|one| &one.cron))
        .bind(all(|one| &one.time_zone))
        .execute(&mut *self.inner)
        .await?;
        for (FileSchedule { path, cron, time_zone }, next) in schedules {
            sqlx::query(
                "insert into schedules (repository_id, path, cron, time_zone, next_at) values ($1, $2, $3, $4, $5)
                 on conflict do nothing",
            )
            .bind(repository.0)
            .bind(path)
            .bind(cron)
            .bind(time_zone)
            .bind(next.to_sqlx())
            .execute(&mut *self.inner)
            .await?;
        }
        Ok(())
    }

    /// Locks one schedule that is due; others who ask meanwhile get another one.
    pub async fn take_due_schedule(&mut self) -> Result<Option<DueSchedule>, Error> {
        let row: Option<(Uuid, String, String, String, SqlTimestamp, SqlTimestamp)> = sqlx::query_as(
            "select repository_id, path, cron, time_zone, next_at, now() from schedules where next_at <= now()
             order by next_at limit 1 for update skip locked",
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(|(repository, path, cron, time_zone, due_at, now)| DueSchedule {
            repository: RepositoryId(repository),
            path,
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
                "update schedules set next_at = $5
                 where repository_id = $1 and path = $2 and cron = $3 and time_zone = $4",
            )
            .bind(schedule.repository.0)
            .bind(&schedule.path)
            .bind(&schedule.cron)
            .bind(&schedule.time_zone)
            .bind(next.to_sqlx()),
            None => sqlx::query(
                "delete from schedules where repository_id = $1 and path = $2 and cron = $3 and time_zone = $4",
            )
            .bind(schedule.repository.0)
            .bind(&schedule.path)
            .bind(&schedule.cron)
            .bind(&schedule.time_zone),
        };
        query.execute(&mut *self.inner).await?;
        Ok(())
    }
}
