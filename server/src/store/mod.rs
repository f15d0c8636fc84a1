//! Everything that names the database. The only module of the server that names sqlx.
//!
//! Two types, so that a mistake does not compile: [`Db`] is the pool and only reads; [`Tx`] is a transaction
//! and is the only thing that writes and notifies. No function takes "any executor".
//!
//! Rows travel as JSON (`select to_json(stages) from stages`): typed ids, statuses and plans then read through
//! the serde that they have anyway, and a table's select list is the table. Bytes (logs, blobs, webhook
//! bodies) are bound and read as bytes.
//!
//! Locks are taken in one order: run, then its stages, then gates, deployments, environments, then attempts, and the
//! audit trail's last.
//! Runs are locked `for no key update`, so that rows which only refer to a run (events, attempts) can still
//! be inserted beside.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    PgPool, Postgres, Transaction,
    postgres::{PgListener, PgPoolOptions},
    types::Json,
};

use crate::{error::Error, hub::Hint};

mod artifacts;
mod attempts;
mod audit;
mod blobs;
mod caches;
mod deliveries;
mod deployments;
mod enrolment;
mod environments;
mod events;
mod forge_objects;
mod gates;
mod gauges;
mod groups;
mod logs;
mod outbox;
mod read;
mod reports;
mod repositories;
mod retention;
mod runners;
mod runs;
mod schedules;
mod secrets;
mod sessions;
mod signing_keys;
mod stages;
mod tokens;
mod users;
mod variables;
pub mod views;

pub use artifacts::BlobRef;
pub use attempts::{Begun, Candidate, CloneSource, Closing, Ending, Held};
pub use blobs::BLOB_CHUNK;
pub use deliveries::{Delivery, Moment, NewDelivery};
pub use deployments::{DeploymentRow, EnvironmentRow, NewDeployment, Occupant, Occupation};
pub use environments::EnvironmentLabel;
pub use forge_objects::ForgeObject;
pub use gates::{DecisionRow, GateRow, NewGate};
pub use groups::{CallGroup, GroupMember, Superseded};
pub use logs::{LogChunk, LogEnd};
pub use outbox::Outgoing;
pub use read::{GateFacts, GateFilter};
pub use repositories::RepositoryRow;
pub use runners::{Waiting, WaitingStage};
pub use runs::{InsertRun, RunRow};
pub use schedules::{DueSchedule, FileSchedule};
pub use secrets::SealedSecret;
pub use signing_keys::SigningKey;
pub use stages::StageRow;

/// The channel that hints are sent on.
const CHANNEL: &str = "tidegate";

/// The database, for reading.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
}

impl Db {
    /// Connects. The pool makes further connections as they are needed.
    pub async fn connect(url: &SecretString, max_connections: u32) -> Result<Self, Error> {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect(url.expose_secret())
            .await?;
        Ok(Self { pool })
    }

    /// Over a pool that exists (tests).
    pub fn from_pool(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<(), Error> {
        sqlx::migrate!("../migrations").run(&self.pool).await.map_err(|error| {
            Error::Internal(
                anyhow::Error::new(error).context("the database's schema could not be brought up to date"),
            )
        })
    }

    /// Opens a transaction; dropped without [`Tx::commit`] it is undone.
    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(Tx { inner: self.pool.begin().await? })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Hears hints; see [`crate::hub`].
    pub async fn listen(&self) -> Result<Listener, Error> {
        let mut inner = PgListener::connect_with(&self.pool).await?;
        inner.listen(CHANNEL).await?;
        Ok(Listener { inner })
    }

    /// Ends all connections once they are idle.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A connection that hears hints.
pub struct Listener {
    inner: PgListener,
}

impl Listener {
    /// The next hint. After a lost connection it is made anew and the answer is [`Hint::Resync`].
    pub async fn next(&mut self) -> Result<Hint, Error> {
        Ok(match self.inner.try_recv().await? {
            Some(notification) => Hint::parse(notification.payload()),
            None => Hint::Resync,
        })
    }
}

/// A transaction: the only thing that writes.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
}

impl Tx {
    /// Makes all of it true at once. Hints go out with it.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.inner.commit().await?)
    }

    /// Sends a hint when (and if) the transaction commits.
    pub async fn notify(&mut self, hint: Hint) -> Result<(), Error> {
        sqlx::query("select pg_notify('tidegate', $1)")
            .bind(hint.payload())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let away = match &error {
            E::Io(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Tls(_) | E::Protocol(_) => {
                true
            }
            // Shutting down, starting up, too many connections, out of disk or memory, serialisation, deadlock.
            E::Database(inner) => inner.code().is_some_and(|code| {
                code.starts_with("57P")
                    || code.starts_with("53")
                    || code.starts_with("08")
                    || code.starts_with("40")
            }),
            _ => false,
        };
        if away { Error::Unavailable(error.to_string()) } else { Error::Internal(error.into()) }
    }
}

/// Whether an error is a breach of a unique constraint.
pub(in crate::store) fn is_duplicate(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(inner) if inner.is_unique_violation())
}

/// Whether an error says that a row would belong to one that is not there.
pub(in crate::store) fn is_orphan(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(inner) if inner.is_foreign_key_violation())
}

/// A column of JSON, unwrapped.
pub(in crate::store) fn unwrap<T>(Json(value): Json<T>) -> T {
    value
}

/// Reads a `bytea` column of a row that travels as JSON (`\x…`).
pub(in crate::store) mod bytes_as_hex {
    use serde::{Deserialize, Deserializer, de::Error as _};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text.strip_prefix("\\x").unwrap_or(&text)).map_err(D::Error::custom)
    }

    pub mod option {
        use serde::{Deserialize, Deserializer, de::Error as _};

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| hex::decode(text.strip_prefix("\\x").unwrap_or(&text)).map_err(D::Error::custom))
                .transpose()
        }
    }
}
