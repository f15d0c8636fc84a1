//! Secrets, sealed. A row's version belongs to its place, so whoever writes one locks its repository first.

use sqlx::types::Json;
use tidegate_protocol::ids::RepositoryId;
use uuid::Uuid;

use super::{Db, Tx, unwrap, views::SecretName};
use crate::error::Error;

/// A secret as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub struct SealedSecret {
    /// None: of all repositories.
    pub repository_id: Option<Uuid>,
    /// None: for every stage.
    pub environment: Option<String>,
    /// Its name.
    pub name: String,
    /// What the vault made of its value.
    pub sealed: Vec<u8>,
    /// Grows with each change.
    pub version: i32,
}

impl Db {
    /// The names of a repository's secrets.
    pub async fn secret_names(&self, repository: RepositoryId) -> Result<Vec<SecretName>, Error> {
        let rows: Vec<Json<SecretName>> = sqlx::query_scalar(
            "select to_json(q) from (select name, environment, version, updated_at, updated_by from secrets
             where repository_id = $1 order by name, environment nulls first) q",
        )
        .bind(repository.0)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}

impl Tx {
    /// The version that a secret has now; 0: there is none.
    pub async fn secret_version(
        &mut self,
        repository: RepositoryId,
        environment: Option<&str>,
        name: &str,
    ) -> Result<i32, Error> {
        let version: Option<i32> = sqlx::query_scalar(
            "select version from secrets
             where repository_id = $1 and environment is not distinct from $2 and name = $3",
        )
        .bind(repository.0)
        .bind(environment)
        .bind(name)
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(version.unwrap_or(0))
    }

    /// Stores this version of a secret.
    pub async fn put_secret(
        &mut self,
        repository: RepositoryId,
        secret: &SealedSecret,
        by: &str,
    ) -> Result<(), Error> {
        sqlx::query(
            "insert into secrets (id, repository_id, environment, name, sealed, version, updated_by)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (repository_id, environment, name) do update set sealed = excluded.sealed,
                 version = excluded.version, updated_at = now(), updated_by = excluded.updated_by",
        )
        .bind(Uuid::now_v7())
        .bind(repository.0)
        .bind(&secret.environment)
        .bind(&secret.name)
        .bind(&secret.sealed)
        .bind(secret.version)
        .bind(by)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Deletes a secret.
    pub async fn delete_secret(
        &mut self,
        repository: RepositoryId,
        environment: Option<&str>,
        name: &str,
    ) -> Result<(), Error> {
        let done = sqlx::query(
            "delete from secrets
             where repository_id = $1 and environment is not distinct from $2 and name = $3",
        )
        .bind(repository.0)
        .bind(environment)
        .bind(name)
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 0 { Err(Error::NotFound("secret")) } else { Ok(()) }
    }

    /// The names of all secrets that a stage may see.
    pub async fn secret_names_in_reach(
        &mut self,
        repository: RepositoryId,
        environment: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        Ok(sqlx::query_scalar(
            "select distinct name from secrets
             where (repository_id = $1 or repository_id is null) and (environment = $2 or environment is null)
             order by name",
        )
        .bind(repository.0)
        .bind(environment)
        .fetch_all(&mut *self.inner)
        .await?)
    }

    /// The secrets with these names that a stage sees, the nearest of each: the environment's own before the
    /// repository's, those before everybody's.
    pub async fn secrets_in_reach(
        &mut self,
        repository: RepositoryId,
        environment: Option<&str>,
        names: &[String],
    ) -> Result<Vec<SealedSecret>, Error> {
        Ok(sqlx::query_as(
            "select distinct on (name) repository_id, environment, name, sealed, version from secrets
             where name = any($3) and (repository_id = $1 or repository_id is null)
               and (environment = $2 or environment is null)
             order by name, repository_id nulls last, environment nulls last",
        )
        .bind(repository.0)
        .bind(environment)
        .bind(names)
        .fetch_all(&mut *self.inner)
        .await?)
    }
}
