//! The inbox: webhook deliveries, stored before they are answered, worked on in order per repository.

use std::time::Duration;

use bytes::Bytes;
use tidegate_protocol::ids::{DeliveryId, RepositoryId, RunId};
use uuid::Uuid;

use super::{Tx, is_orphan};
use crate::{error::Error, hub::Hint};

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
    /// No forge tells it, but the server: this run ended.
    pub ended: Option<RunId>,
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
            event: row.event,
            body: row.body,
            ended: row.run_id.map(RunId),
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
