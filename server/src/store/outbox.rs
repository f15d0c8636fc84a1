//! The outbox: messages for the forge, written with what caused them, sent in order per repository and subject.
//!
//! A taken message is held for a while; whoever holds it is told apart by the number of the try, so that a
//! sender that was thought dead changes nothing when it comes back late.

use std::time::Duration;

use serde_json::Value;
use sqlx::types::Json;
use tidegate_protocol::ids::RepositoryId;
use uuid::Uuid;

use super::Tx;
use crate::{error::Error, hub::Hint};

/// A message to send.
#[derive(Debug)]
pub struct Outgoing {
    /// Its id; grows in the order of writing.
    pub id: i64,
    /// Whose forge it is for.
    pub repository: RepositoryId,
    /// What it says: a [`crate::forge::messages::Message`].
    pub payload: Value,
    /// Which try this is, from 1.
    pub attempts: i32,
    /// Whether a later message about the same run or deployment waits.
    pub superseded: bool,
}

impl Tx {
    /// Writes a message. One with this key exists already: nothing happens.
    pub async fn enqueue(
        &mut self,
        repository: RepositoryId,
        kind: &str,
        idempotency_key: &str,
        payload: Value,
    ) -> Result<(), Error> {
        let written = sqlx::query(
            "insert into outbox (idempotency_key, kind, repository_id, payload) values ($1, $2, $3, $4)
             on conflict (idempotency_key) do nothing",
        )
        .bind(idempotency_key)
        .bind(kind)
        .bind(repository.0)
        .bind(payload)
        .execute(&mut *self.inner)
        .await?;
        if written.rows_affected() == 1 { self.notify(Hint::Outbox).await } else { Ok(()) }
    }

    /// Takes the next message for so long; nobody else gets it until then. Only the oldest of a repository and
    /// subject is ever handed out, so an older status never overtakes a newer one.
    pub async fn take_outgoing(&mut self, hold: Duration) -> Result<Option<Outgoing>, Error> {
        let row: Option<(i64, Uuid, Json<Value>, i32, bool)> = sqlx::query_as(
            "update outbox m set attempts = attempts + 1, not_before = now() + make_interval(secs => $1)
             where id = (select o.id from outbox o where o.state = 'waiting' and o.not_before <= now()
                         and not exists (select from outbox e where e.repository_id = o.repository_id
                             and e.subject = o.subject and e.state = 'waiting' and e.id < o.id)
                         order by o.not_before, o.id limit 1 for update skip locked)
             returning id, repository_id, payload, attempts,
                 exists (select from outbox l where l.repository_id = m.repository_id and l.subject = m.subject
                         and l.thing = m.thing and l.state = 'waiting' and l.id > m.id)",
        )
        .bind(hold.as_secs_f64())
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(|(id, repository, Json(payload), attempts, superseded)| Outgoing {
            id,
            repository: RepositoryId(repository),
            payload,
            attempts,
            superseded,
        }))
    }

    /// A message is done with; the note says why when it was not sent after all. The next of its subject may go.
    pub async fn sent_outgoing(&mut self, message: &Outgoing, note: Option<&str>) -> Result<(), Error> {
        self.close_outgoing(message, "sent", note).await
    }

    /// A message will never be sent, and why.
    pub async fn dead_outgoing(&mut self, message: &Outgoing, reason: &str) -> Result<(), Error> {
        self.close_outgoing(message, "dead", Some(reason)).await
    }

    async fn close_outgoing(
        &mut self,
        message: &Outgoing,
        state: &str,
        note: Option<&str>,
    ) -> Result<(), Error> {
        let closed = sqlx::query(
            "update outbox set state = $3, last_error = $4 where id = $1 and attempts = $2 and state = 'waiting'",
        )
        .bind(message.id)
        .bind(message.attempts)
        .bind(state)
        .bind(note)
        .execute(&mut *self.inner)
        .await?;
        if closed.rows_affected() == 1 { self.notify(Hint::Outbox).await } else { Ok(()) }
    }

    /// A message is to be tried again later.
    pub async fn retry_outgoing(
        &mut self,
        message: &Outgoing,
        wait: Duration,
        reason: &str,
    ) -> Result<(), Error> {
        sqlx::query(
            "update outbox set not_before = now() + make_interval(secs => $3), last_error = $4
             where id = $1 and attempts = $2 and state = 'waiting'",
        )
        .bind(message.id)
        .bind(message.attempts)
        .bind(wait.as_secs_f64())
        .bind(reason)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Nothing of this owner's repositories is sent for so long: the forge limits the rate.
    pub async fn pause_outgoing(&mut self, owner: &str, wait: Duration) -> Result<(), Error> {
        // In one order: two that pause the same owner must not wait for each other.
        sqlx::query(
            "update outbox set not_before = greatest(not_before, now() + make_interval(secs => $2))
             where id in (select o.id from outbox o where o.state = 'waiting' and o.repository_id in
                     (select id from repositories where lower(split_part(full_name, '/', 1)) = lower($1))
                 order by o.id for update)",
        )
        .bind(owner)
        .bind(wait.as_secs_f64())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
