//! The inbox: webhook deliveries, stored before they are answered, worked on in order per repository.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate_protocol::ids::{DeliveryId, RepositoryId, RunId};
use uuid::Uuid;

use super::{Tx, is_orphan};
use crate::{error::Error, hub::Hint};

/// What of a run is told to the repository's other pipelines, through the server's own inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It was made.
    Requested,
    /// It runs, for the first time or again.
    InProgress,
    /// It ended.
    Completed,
}

impl Moment {
    /// As GitHub calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

/// What the kinds of such deliveries begin with, but for that of an end. No webhook's kind has a dot.
const OF_RUN: &str = "run.";

/// A delivery to store.
#[derive(Debug)]
pub struct NewDelivery {
    /// Its id; those of one server are in the order in which they came.
    pub id: DeliveryId,
    /// Whose webhook it came by.
    pub repository: RepositoryId,
    /// The forge's id of it.
    pub delivery_key: String,
    /// SHA-256 of its kind and bytes.
    pub content_key: [u8; 32],
    /// Its kind.
    pub event: String,
    /// Its bytes.
    pub body: Bytes,
}

/// A delivery to work on.
#[derive(Debug)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Whose webhook it came by.
    pub repository: RepositoryId,
    /// Its kind.
    pub event: String,
    /// Its bytes.
    pub body: Vec<u8>,
    /// No forge tells it, but the server, of this run.
    pub of_run: Option<(RunId, Moment)>,
    /// Which try this is, from 1.
    pub attempts: i32,
}

/// The same as a row.
#[derive(sqlx::FromRow)]
struct Taken {
    id: Uuid,
    repository_id: Uuid,
    event: String,
    body: Vec<u8>,
    attempts: i32,
    run_id: Option<Uuid>,
}

/// The body of such a delivery, but for that of an end, which has none.
#[derive(Serialize, Deserialize)]
struct OfRun {
    run: RunId,
}

/// The run that a delivery is about, and what of it is told.
fn of_run(row: &Taken) -> Option<(RunId, Moment)> {
    if let Some(run) = row.run_id {
        return Some((RunId(run), Moment::Completed));
    }
    let word = row.event.strip_prefix(OF_RUN)?;
    let moment = [Moment::Requested, Moment::InProgress].into_iter().find(|one| one.as_str() == word)?;
    let OfRun { run } = serde_json::from_slice(&row.body).ok()?;
    Some((run, moment))
}

impl Tx {
    /// Stores deliveries and gives the ids of those that are new; the others are there already, by their id or by
    /// their bytes.
    pub async fn insert_deliveries(&mut self, new: &[NewDelivery]) -> Result<Vec<DeliveryId>, Error> {
        let column = |of: fn(&NewDelivery) -> Uuid| new.iter().map(of).collect::<Vec<_>>();
        let text = |of: fn(&NewDelivery) -> &str| new.iter().map(of).collect::<Vec<_>>();
        let bytes = |of: fn(&NewDelivery) -> &[u8]| new.iter().map(of).collect::<Vec<_>>();
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "insert into deliveries (id, repository_id, delivery_key, content_key, event, body)
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::text[], $6::bytea[])
             on conflict do nothing returning id",
        )
        .bind(column(|one| one.id.0))
        .bind(column(|one| one.repository.0))
        .bind(text(|one| &one.delivery_key))
        .bind(bytes(|one| &one.content_key))
        .bind(text(|one| &one.event))
        .bind(bytes(|one| &one.body))
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|error| if is_orphan(&error) { Error::NotFound("repository") } else { error.into() })?;
        Ok(ids.into_iter().map(DeliveryId).collect())
    }

    /// Stores that a run was made or began, in the transaction that did it, where a pipeline may listen for it. A server
    /// that does not know such deliveries ignores them: their run stands in the body, and not where that of an end does.
    pub async fn insert_beginning(
        &mut self,
        repository: RepositoryId,
        run: RunId,
        moment: Moment,
    ) -> Result<(), Error> {
        let id = DeliveryId::new();
        let key = format!("{} {run}, {id}", moment.as_str());
        let stored = sqlx::query(
            "insert into deliveries (id, repository_id, delivery_key, content_key, event, body)
             select $1, id, $3, $4, $5, $6 from repositories
             where id = $2 and coalesce('workflow_run' = any(named_events), true)",
        )
        .bind(id.0)
        .bind(repository.0)
        .bind(&key)
        .bind(key.as_bytes())
        .bind(format!("{OF_RUN}{}", moment.as_str()))
        .bind(serde_json::to_vec(&OfRun { run })?)
        .execute(&mut *self.inner)
        .await?;
        match stored.rows_affected() {
            0 => Ok(()),
            _ => self.notify(Hint::Delivery).await,
        }
    }

    /// Stores that a run ended, in the transaction that ended it. A run that goes on and ends again is told again.
    pub async fn insert_end(&mut self, repository: RepositoryId, run: RunId) -> Result<(), Error> {
        let id = DeliveryId::new();
        let key = format!("end of {run}, {id}");
        sqlx::query(
            "insert into deliveries (id, repository_id, delivery_key, content_key, event, body, run_id)
             values ($1, $2, $3, $4, 'run', '', $5)",
        )
        .bind(id.0)
        .bind(repository.0)
        .bind(&key)
        .bind(key.as_bytes())
        .bind(run.0)
        .execute(&mut *self.inner)
        .await?;
        self.notify(Hint::Delivery).await
    }

    /// Takes the next delivery for so long; nobody else gets it until then. Only the oldest of a repository is
    /// ever handed out, so pushes are worked on in the order they came.
    pub async fn take_delivery(&mut self, hold: Duration) -> Result<Option<Delivery>, Error> {
        let row: Option<Taken> = sqlx::query_as(
            "update deliveries set attempts = attempts + 1, not_before = now() + make_interval(secs => $1)
             where id = (select d.id from deliveries d
                         where d.not_before <= now() and d.id in (
                             select oldest.id from repositories r cross join lateral (
                                 select o.id from deliveries o where o.repository_id = r.id and o.state = 'received'
                                 order by o.received_at, o.id limit 1) oldest)
                         order by d.received_at, d.id limit 1 for update of d skip locked)
               and state = 'received'
             returning id, repository_id, event, body, attempts, run_id",
        )
        .bind(hold.as_secs_f64())
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(|row| Delivery {
            id: DeliveryId(row.id),
            repository: RepositoryId(row.repository_id),
            of_run: of_run(&row),
            event: row.event,
            body: row.body,
            attempts: row.attempts,
        }))
    }

    /// A delivery is done with: `processed`, `ignored` or `failed`, and why.
    pub async fn close_delivery(&mut self, id: DeliveryId, state: &str, result: &str) -> Result<(), Error> {
        sqlx::query("update deliveries set state = $2, result = $3 where id = $1 and state = 'received'")
            .bind(id.0)
            .bind(state)
            .bind(result)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// A delivery is to be tried again later.
    pub async fn defer_delivery(
        &mut self,
        id: DeliveryId,
        wait: Duration,
        result: &str,
    ) -> Result<(), Error> {
        sqlx::query(
            "update deliveries set not_before = now() + make_interval(secs => $2), result = $3
             where id = $1 and state = 'received'",
        )
        .bind(id.0)
        .bind(wait.as_secs_f64())
        .bind(result)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
