//! What GitHub hears of runs and deployments, from the outbox to its API.

mod checks;
mod deployments;
mod statuses;
mod trouble;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sqlx::PgPool;
use tidegate_pipelines::{Diagnostic, Severity, Span};
use tidegate_protocol::{
    ids::{DeploymentId, RepositoryId, RunId},
    status::{DeploymentStatus, RunStatus},
};
use tidegate_server::{
    config::{GithubAuth, GithubConfig},
    forge::messages::{DeploymentMessage, Message, RunMessage},
    tasks::outbox,
};

use crate::{
    github_model::{APP, Callers, Model},
    support::World,
};

const TOKEN: &str = "ghp_right";

/// A server that is connected to a model of GitHub, and a repository there.
struct Scene {
    world: World,
    model: Model,
    repository: RepositoryId,
}

impl Scene {
    async fn token(pool: PgPool) -> Self {
        Self::new(pool, Model::start(Callers::Token(TOKEN)).await, GithubAuth::Token(TOKEN.into())).await
    }

    async fn app(pool: PgPool) -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der>::as_der(&key).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let model = Model::start(Callers::App(key.public_key().as_ref().to_vec())).await;
        Self::new(pool, model, GithubAuth::App { id: APP, private_key_pem: pem.into() }).await
    }

    async fn new(pool: PgPool, model: Model, auth: GithubAuth) -> Self {
        let api_url = model.api_url.clone();
        let world = World::with(pool, |config| {
            config.github = Some(GithubConfig { api_url, auth, webhook_secret: None });
        })
        .await;
        let repository = world.repository().await.id;
        world.sql("update repositories set forge = 'github'").await;
        Self { world, model, repository }
    }

    async fn enqueue(&self, key: &str, message: &Message) {
        let payload = serde_json::to_value(message).unwrap();
        let mut tx = self.world.app.db.begin().await.unwrap();
        tx.enqueue(self.repository, message.kind(), key, payload).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Tries one message; whether there was one.
    async fn once(&self) -> bool {
        outbox::once(&self.world.app).await.unwrap()
    }

    /// Tries until there is nothing more to do now.
    async fn drain(&self) {
        while self.once().await {}
    }

    /// Lets every wait end.
    async fn skip_waits(&self) {
        self.world.sql("update outbox set not_before = now()").await;
    }

    /// States of all messages in the order they were written.
    async fn states(&self) -> Vec<String> {
        sqlx::query_scalar("select state from outbox order by id").fetch_all(&self.world.pool).await.unwrap()
    }

    async fn last_error(&self) -> String {
        self.world.value("select coalesce(last_error, '') from outbox order by id desc limit 1").await
    }

    /// The last message's wait in seconds, about.
    async fn wait(&self) -> f64 {
        self.world
            .value(
                "select extract(epoch from not_before - now())::float8 from outbox order by id desc limit 1",
            )
            .await
    }
}

fn run(id: RunId, status: RunStatus) -> RunMessage {
    RunMessage {
        run: id,
        number: 12,
        pipeline: "delivery".to_owned(),
        sha: "a1".repeat(20),
        status,
        reason: None,
        diagnostics: Vec::new(),
        remarks: Vec::new(),
    }
}

fn deployment(id: DeploymentId, status: DeploymentStatus) -> DeploymentMessage {
    DeploymentMessage {
        deployment: id,
        run: RunId::new(),
        number: 12,
        environment: "production".to_owned(),
        environment_url: Some("https://app.example.org".to_owned()),
        sha: "a1".repeat(20),
        reference: "refs/heads/main".to_owned(),
        image: format!("registry.example/app@sha256:{}", "0".repeat(64)),
        status,
        reason: None,
    }
}

fn mistake(line: usize) -> Diagnostic {
    Diagnostic {
        code: "unknown-key".to_owned(),
        severity: Severity::Error,
        message: format!("unknown key `k{line}`"),
        file: ".tidegate/pipeline.yml".to_owned(),
        span: Span { line, column: 3, end_line: line, end_column: 6, ..Span::default() },
        help: Some("did you mean `image`?".to_owned()),
        related: Vec::new(),
    }
}

fn all<'a>(values: impl IntoIterator<Item = &'a Value>, field: &str) -> Vec<Value> {
    values.into_iter().map(|value| value[field].clone()).collect()
}
