//! Variables: values that pipelines read, by repository and environment.

use std::collections::BTreeMap;

use sqlx::types::Json;
use tidegate_protocol::ids::RepositoryId;
use uuid::Uuid;

use super::{Db, Tx, unwrap, views::Variable};
use crate::error::Error;

impl Db {
    /// The variables of a repository, by name.
    pub async fn variables(&self, repository: RepositoryId) -> Result<Vec<Variable>, Error> {
        let rows: Vec<Json<Variable>> = sqlx::query_scalar(
            "select to_json(q) from (select name, environment, value, updated_at, updated_by from variables
             where repository_id = $1 order by name, environment nulls first) q",
        )
        .bind(repository.0)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}

impl Tx {
    /// The variables that a stage sees: the environment's own before the repository's.
    pub async fn variables_in_reach(
        &mut self,
        repository: RepositoryId,
        environment: Option<&str>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select distinct on (name) name, value from variables
             where repository_id = $1 and (environment = $2 or environment is null)
             order by name, environment nulls last",
        )
        .bind(repository.0)
        .bind(environment)
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// Sets a variable. False: the repository has as many as it may.
    pub async fn put_variable(
        &mut self,
        repository: RepositoryId,
        variable: (Option<&str>, &str, &str),
        by: &str,
        most: i64,
    ) -> Result<bool, Error> {
        let (environment, name, value) = variable;
        let done = sqlx::query(
            "insert into variables (id, repository_id, environment, name, value, updated_by)
             select $1, $2, $3, $4, $5, $6 where (select count(*) from variables where repository_id = $2) < $7
                 or exists (select from variables
                     where repository_id = $2 and environment is not distinct from $3 and name = $4)
             on conflict (repository_id, environment, name) do update set value = excluded.value,
                 updated_at = now(), updated_by = excluded.updated_by",
        )
        .bind(Uuid::now_v7())
        .bind(repository.0)
        .bind(environment)
        .bind(name)
        .bind(value)
        .bind(by)
        .bind(most)
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a variable.
    pub async fn delete_variable(
        &mut self,
        repository: RepositoryId,
        environment: Option<&str>,
        name: &str,
    ) -> Result<(), Error> {
        let done = sqlx::query(
            "delete from variables
             where repository_id = $1 and environment is not distinct from $2 and name = $3",
        )
        .bind(repository.0)
        .bind(environment)
        .bind(name)
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 0 { Err(Error::NotFound("variable")) } else { Ok(()) }
    }
}
