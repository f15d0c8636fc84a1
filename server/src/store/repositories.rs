//! Repositories. What is sealed leaves this module only through the functions that are named for it.

use sqlx::types::Json;
use tidegate_protocol::ids::RepositoryId;

use super::{Db, Tx, is_duplicate, unwrap, views::Repository};
use crate::error::Error;

/// A repository's public columns.
macro_rules! repository {
    ($rest:literal) => {
        concat!(
            "select to_json(q) from (select id, full_name, forge, clone_url, default_branch, pipeline_path, pipelines,
                 created_at
             from repositories r ",
            $rest,
            ") q"
        )
    };
}

/// A repository to store.
#[derive(Debug)]
pub struct RepositoryRow<'a> {
    /// What is public of it.
    pub public: &'a Repository,
    /// The sealed webhook secret.
    pub webhook_secret: &'a [u8],
    /// The sealed clone token.
    pub clone_token: Option<&'a [u8]>,
}

impl Db {
    /// All repositories, by name.
    pub async fn repositories(&self) -> Result<Vec<Repository>, Error> {
        let rows: Vec<Json<Repository>> =
            sqlx::query_scalar(repository!("order by full_name")).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// One repository.
    pub async fn repository(&self, id: RepositoryId) -> Result<Repository, Error> {
        let row: Option<Json<Repository>> =
            sqlx::query_scalar(repository!("where id = $1")).bind(id.0).fetch_optional(&self.pool).await?;
        row.map(unwrap).ok_or(Error::NotFound("repository"))
    }

    /// One repository by `owner/name`.
    pub async fn find_repository(&self, full_name: &str) -> Result<Option<Repository>, Error> {
        let row: Option<Json<Repository>> = sqlx::query_scalar(repository!("where full_name = $1"))
            .bind(full_name)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(unwrap))
    }

    /// A repository's sealed webhook secret and clone token.
    pub async fn sealed_of_repository(&self, id: RepositoryId) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        let row = sqlx::query_as(
            "select webhook_secret_sealed, clone_token_sealed from repositories where id = $1",
        )
        .bind(id.0)
        .fetch_optional(&self.pool)
        .await?;
        row.ok_or(Error::NotFound("repository"))
    }
}

impl Db {
    /// Whether a pipeline file of the default branch may name an event: yes, too, while nobody has looked.
    pub async fn may_name_event(&self, id: RepositoryId, name: &str) -> Result<bool, Error> {
        let named: Option<bool> = sqlx::query_scalar(
            "select coalesce($2 = any(named_events), true) from repositories where id = $1",
        )
        .bind(id.0)
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        named.ok_or(Error::NotFound("repository"))
    }
}

impl Tx {
    /// Adds a repository.
    pub async fn insert_repository(&mut self, row: &RepositoryRow<'_>) -> Result<(), Error> {
        let new = row.public;
        sqlx::query(
            "insert into repositories (id, full_name, forge, clone_url, default_branch, pipeline_path, pipelines,
                                       webhook_secret_sealed, clone_token_sealed)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(new.id.0)
        .bind(&new.full_name)
        .bind(&new.forge)
        .bind(&new.clone_url)
        .bind(&new.default_branch)
        .bind(&new.pipeline_path)
        .bind(&new.pipelines)
        .bind(row.webhook_secret)
        .bind(row.clone_token)
        .execute(&mut *self.inner)
        .await
        .map_err(|error| {
            if is_duplicate(&error) {
                Error::Refused(format!("there is a repository `{}` already", new.full_name))
            } else {
                error.into()
            }
        })?;
        Ok(())
    }

    /// A repository, locked until the transaction ends; rows that refer to it can still be added beside.
    pub async fn lock_repository(&mut self, id: RepositoryId) -> Result<Repository, Error> {
        let row: Option<Json<Repository>> =
            sqlx::query_scalar(repository!("where id = $1 for no key update"))
                .bind(id.0)
                .fetch_optional(&mut *self.inner)
                .await?;
        row.map(unwrap).ok_or(Error::NotFound("repository"))
    }

    /// Changes a repository; the clone token only when told to (`Some(None)`: none any more).
    pub async fn update_repository(
        &mut self,
        changed: &Repository,
        clone_token: Option<Option<&[u8]>>,
    ) -> Result<(), Error> {
        sqlx::query(
            "update repositories set clone_url = $2, default_branch = $3, pipeline_path = $4, pipelines = $5,
                 named_events = null,
                 clone_token_sealed = case when $6 then $7 else clone_token_sealed end
             where id = $1",
        )
        .bind(changed.id.0)
        .bind(&changed.clone_url)
        .bind(&changed.default_branch)
        .bind(&changed.pipeline_path)
        .bind(&changed.pipelines)
        .bind(clone_token.is_some())
        .bind(clone_token.flatten())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Notes which events the pipeline files of the default branch name.
    pub async fn set_named_events(&mut self, id: RepositoryId, names: &[&str]) -> Result<(), Error> {
        sqlx::query("update repositories set named_events = $2 where id = $1")
            .bind(id.0)
            .bind(names)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Deletes a repository with all that is its own; answers its name. Refused while runs are in progress: a
    /// runner is at work on them, and a deployment must not lose its record half-way.
    pub async fn delete_repository(&mut self, id: RepositoryId) -> Result<String, Error> {
        // `for update` keeps new runs out until the end.
        let name: Option<String> =
            sqlx::query_scalar("select full_name from repositories where id = $1 for update")
                .bind(id.0)
                .fetch_optional(&mut *self.inner)
                .await?;
        let name = name.ok_or(Error::NotFound("repository"))?;
        let busy: i64 = sqlx::query_scalar(
            "select count(*) from runs where repository_id = $1 and finished_at is null and status <> 'invalid'",
        )
        .bind(id.0)
        .fetch_one(&mut *self.inner)
        .await?;
        if busy > 0 {
            let runs = if busy == 1 { "a run".to_owned() } else { format!("{busy} runs") };
            return Err(Error::Refused(format!("{name} has {runs} in progress; cancel what is left first")));
        }
        sqlx::query("delete from repositories where id = $1").bind(id.0).execute(&mut *self.inner).await?;
        Ok(name)
    }
}
