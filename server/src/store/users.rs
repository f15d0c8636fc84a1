//! People.

use sqlx::types::Json;
use tidegate_protocol::ids::UserId;

use super::{Db, Tx, is_duplicate, unwrap, views::User};
use crate::{actor::Role, error::Error};

impl Db {
    /// The person with this name and their password's hash, unless they are disabled.
    pub async fn user_for_login(&self, username: &str) -> Result<Option<(User, Option<String>)>, Error> {
        let row: Option<(Json<User>, Option<String>)> = sqlx::query_as(
            "select to_json(u), u.password_hash from users u where u.username = $1 and not u.disabled",
        )
        .bind(username)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(user, hash)| (unwrap(user), hash)))
    }

    /// Everybody, by name.
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        let rows: Vec<Json<User>> = sqlx::query_scalar("select to_json(u) from users u order by u.username")
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}

impl Tx {
    /// Whether there is an administrator who can log in. Others who ask the same wait for this transaction, so
    /// that two servers starting at once make one administrator.
    pub async fn has_admin(&mut self) -> Result<bool, Error> {
        sqlx::query("lock table users in share row exclusive mode").execute(&mut *self.inner).await?;
        Ok(sqlx::query_scalar(
            "select exists (select from users where role = 'admin' and not disabled and password_hash is not null)",
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// Adds a person.
    pub async fn insert_user(
        &mut self,
        username: &str,
        display_name: &str,
        password_hash: Option<&str>,
        role: Role,
    ) -> Result<User, Error> {
        let row: Json<User> = sqlx::query_scalar(
            "insert into users (id, username, display_name, password_hash, role) values ($1, $2, $3, $4, $5)
             returning to_json(users)",
        )
        .bind(UserId::new().0)
        .bind(username)
        .bind(display_name)
        .bind(password_hash)
        .bind(role.as_str())
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|error| {
            if is_duplicate(&error) {
                Error::Refused(format!("there is a user `{username}` already"))
            } else {
                error.into()
            }
        })?;
        Ok(unwrap(row))
    }

    /// A person, locked until the transaction ends.
    pub async fn lock_user(&mut self, id: UserId) -> Result<User, Error> {
        let row: Option<Json<User>> =
            sqlx::query_scalar("select to_json(u) from users u where u.id = $1 for update")
                .bind(id.0)
                .fetch_optional(&mut *self.inner)
                .await?;
        row.map(unwrap).ok_or(Error::NotFound("user"))
    }

    /// Changes a person; the password only when there is a new hash.
    pub async fn update_user(&mut self, user: &User, password_hash: Option<&str>) -> Result<(), Error> {
        sqlx::query(
            "update users set display_name = $2, role = $3, disabled = $4, password_hash = coalesce($5, password_hash)
             where id = $1",
        )
        .bind(user.id.0)
        .bind(&user.display_name)
        .bind(user.role.as_str())
        .bind(user.disabled)
        .bind(password_hash)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Gives the person with this name another password and ends all sessions; false when there is nobody.
    pub async fn replace_password(&mut self, username: &str, password_hash: &str) -> Result<bool, Error> {
        let id: Option<uuid::Uuid> = sqlx::query_scalar(
            "update users set password_hash = $2, disabled = false where username = $1 returning id",
        )
        .bind(username)
        .bind(password_hash)
        .fetch_optional(&mut *self.inner)
        .await?;
        if let Some(id) = id {
            self.delete_sessions_of(UserId(id), None).await?;
        }
        Ok(id.is_some())
    }

    /// How many administrators there are who may log in.
    pub async fn count_admins(&mut self) -> Result<i64, Error> {
        Ok(sqlx::query_scalar("select count(*) from users where role = 'admin' and not disabled")
            .fetch_one(&mut *self.inner)
            .await?)
    }
}
