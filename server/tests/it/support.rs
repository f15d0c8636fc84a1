//! What the tests on a database share. Each test has a database of its own (`#[sqlx::test]`, which needs
//! `DATABASE_URL` of a Postgres where it may make some).

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{PgPool, migrate::Migrator};
use tempfile::TempDir;
use tidegate_protocol::ids::{RunId, RunnerId};
use tidegate_server::{
    actor::{Actor, Role, Via},
    app::App,
    config::ServerConfig,
    repositories::{self, NewRepository},
    secrets::Keys,
    store::{Db, views::Repository},
    tasks::sweep,
};

/// The schema.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// A server's parts on a test's database, and people.
pub struct World {
    pub app: App,
    pub pool: PgPool,
    pub admin: Actor,
    counter: AtomicU32,
    folder: TempDir,
}

impl World {
    pub async fn new(pool: PgPool) -> Self {
        Self::with(pool, |_| {}).await
    }

    /// With another configuration.
    pub async fn with(pool: PgPool, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(
            "postgres://nobody@localhost/nothing".into(),
            ([127, 0, 0, 1], 0).into(),
            "http://localhost:8080".parse().unwrap(),
            folder.path().to_owned(),
        );
        config.allow_file_clone = true;
        change(&mut config);
        let app = App::new(Db::from_pool(pool.clone()), config, Keys::generate());
        let admin = add_user(&app, "anna", Role::Admin).await;
        Self { app, pool, admin, counter: AtomicU32::new(0), folder }
    }

    pub async fn user(&self, username: &str, role: Role) -> Actor {
        add_user(&self.app, username, role).await
    }

    /// A repository that was added now.
    pub async fn repository(&self) -> Repository {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let new = NewRepository {
            full_name: format!("acme/api-{number}"),
            forge: "git".to_owned(),
            clone_url: format!("file://{}/api-{number}.git", self.folder.path().display()),
            default_branch: None,
            pipeline_path: None,
            pipelines: None,
            clone_token: None,
        };
        let id = repositories::create(&self.app, new, &self.admin).await.unwrap().id;
        repositories::get(&self.app, id).await.unwrap()
    }

    /// A runner that enrolled.
    pub async fn runner(&self) -> RunnerId {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut tx = self.app.db.begin().await.unwrap();
        let runner =
            tx.enrol_runner(&format!("runner-{number}"), number.to_string().as_bytes()).await.unwrap();
        tx.commit().await.unwrap();
        runner
    }

    /// Looks once at everything that waits; true when something was done. A refused call leaves its transaction to be
    /// undone in the background, and the sweep passes over runs that somebody still holds: here it waits for that.
    pub async fn sweep(&self) -> bool {
        let open = "select count(*) from pg_stat_activity
            where datname = current_database() and state like 'idle in transaction%'";
        while self.value::<i64>(open).await > 0 {
            tokio::task::yield_now().await;
        }
        sweep::once(&self.app).await.unwrap()
    }

    /// Statements that arrange what no call makes by itself.
    pub async fn sql(&self, statements: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&self.pool).await.unwrap();
    }

    /// One value.
    pub async fn value<T>(&self, query: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// A run's row, straight into the database: `running`, by `dora`, with this plan's JSON.
    pub async fn run(&self, repository: &Repository, plan: &serde_json::Value) -> RunId {
        let run = RunId::new();
        sqlx::query(
            "insert into runs (id, repository_id, number, pipeline, status, event, event_kind, sha, reference, title,
                 actor, plan, plan_digest, trusted)
             values ($1, $2, (select count(*) + 1 from runs where repository_id = $2), 'ci', 'running', $3, 'push', $4,
                 'refs/heads/main', 'a change', 'dora', $5, '\\x00', true)",
        )
        .bind(run.0)
        .bind(repository.id.0)
        .bind(pushed(repository))
        .bind("a".repeat(40))
        .bind(plan)
        .execute(&self.pool)
        .await
        .unwrap();
        run
    }
}

/// A push of one commit to `main` by `dora`, as the server stores it.
pub fn pushed(repository: &Repository) -> serde_json::Value {
    serde_json::json!({
        "kind": "push", "repository": repository.full_name, "default_branch": "main", "actor": "dora",
        "git": { "sha": "a".repeat(40), "reference": "refs/heads/main", "branch": "main", "message": "a change" },
        "trusted": true,
    })
}

async fn add_user(app: &App, username: &str, role: Role) -> Actor {
    let mut tx = app.db.begin().await.unwrap();
    let user = tx.insert_user(username, username, None, role).await.unwrap();
    tx.commit().await.unwrap();
    Actor { user: user.id, username: user.username, role, via: Via::Session }
}
