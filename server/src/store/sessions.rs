//! Sessions of browsers. A disabled person's sessions open nothing, whatever they hold.

use std::time::Duration;

use sqlx::types::Json;
use tidegate_protocol::ids::UserId;

use super::{Db, Tx, unwrap, views::User};
use crate::error::Error;

impl Db {
    /// Whose session this is, while it lasts.
    pub async fn user_of_session(&self, hash: &[u8]) -> Result<Option<User>, Error> {
        let row: Option<Json<User>> = sqlx::query_scalar(
            "select to_json(u) from sessions s join users u on u.id = s.user_id
             where s.token_hash = $1 and s.expires_at > now() and not u.disabled",
        )
        .bind(hash)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(unwrap))
    }
}

impl Tx {
    /// Adds a session, and forgets those that have ended.
    pub async fn insert_session(
        &mut self,
        hash: &[u8],
        user: UserId,
        lifetime: Duration,
        user_agent: &str,
    ) -> Result<(), Error> {
        sqlx::query("delete from sessions where expires_at < now()").execute(&mut *self.inner).await?;
        sqlx::query(
            "insert into sessions (token_hash, user_id, expires_at, user_agent)
             values ($1, $2, now() + make_interval(secs => $3), $4)",
        )
        .bind(hash)
        .bind(user.0)
        .bind(lifetime.as_secs_f64())
        .bind(user_agent)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Ends a session.
    pub async fn delete_session(&mut self, hash: &[u8]) -> Result<(), Error> {
        sqlx::query("delete from sessions where token_hash = $1")
            .bind(hash)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Ends all sessions of a person, but one.
    pub async fn delete_sessions_of(&mut self, user: UserId, but: Option<[u8; 32]>) -> Result<(), Error> {
        sqlx::query("delete from sessions where user_id = $1 and token_hash is distinct from $2")
            .bind(user.0)
            .bind(but.map(|hash| hash.to_vec()))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
