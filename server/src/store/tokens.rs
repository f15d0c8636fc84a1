//! Tokens for scripts, which act in a person's name.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;
use tidegate_protocol::ids::UserId;
use uuid::Uuid;

use super::{
    Db, Tx, is_duplicate, unwrap,
    views::{Token, User},
};
use crate::error::Error;

impl Db {
    /// Whose token this is, while it lasts, and whether its last use is worth noting again.
    pub async fn user_of_token(&self, hash: &[u8]) -> Result<Option<(User, bool)>, Error> {
        let row: Option<(Json<User>, bool)> = sqlx::query_as(
            "select to_json(u), coalesce(t.last_used_at < now() - interval '1 minute', true)
             from api_tokens t join users u on u.id = t.user_id
             where t.token_hash = $1 and (t.expires_at is null or t.expires_at > now()) and not u.disabled",
        )
        .bind(hash)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(user, stale)| (unwrap(user), stale)))
    }

    /// A person's tokens, newest first.
    pub async fn tokens_of(&self, user: UserId) -> Result<Vec<Token>, Error> {
        let rows: Vec<Json<Token>> = sqlx::query_scalar(
            "select to_json(t) from api_tokens t where t.user_id = $1 order by t.created_at desc",
        )
        .bind(user.0)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}

impl Tx {
    /// Adds a token.
    pub async fn insert_token(
        &mut self,
        user: UserId,
        name: &str,
        hash: &[u8],
        expires_at: Option<Timestamp>,
    ) -> Result<Token, Error> {
        let row: Json<Token> = sqlx::query_scalar(
            "insert into api_tokens (id, user_id, name, token_hash, expires_at) values ($1, $2, $3, $4, $5)
             returning to_json(api_tokens)",
        )
        .bind(Uuid::now_v7())
        .bind(user.0)
        .bind(name)
        .bind(hash)
        .bind(expires_at.map(|at| at.to_sqlx()))
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|error| {
            if is_duplicate(&error) {
                Error::Refused(format!("you have a token called `{name}` already"))
            } else {
                error.into()
            }
        })?;
        Ok(unwrap(row))
    }

    /// Deletes a person's token.
    pub async fn delete_token(&mut self, user: UserId, id: Uuid) -> Result<(), Error> {
        let done = sqlx::query("delete from api_tokens where id = $1 and user_id = $2")
            .bind(id)
            .bind(user.0)
            .execute(&mut *self.inner)
            .await?;
        if done.rows_affected() == 0 { Err(Error::NotFound("token")) } else { Ok(()) }
    }

    /// Notes that a token was used now.
    pub async fn touch_token(&mut self, hash: &[u8]) -> Result<(), Error> {
        sqlx::query("update api_tokens set last_used_at = now() where token_hash = $1")
            .bind(hash)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
