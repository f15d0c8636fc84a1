//! What every part of the server is handed.

use std::sync::Arc;

use crate::{
    config::ServerConfig, forge::Forge, hub::Hub, intake::Intake, metrics::Metrics, secrets::Keys, store::Db,
    webhook_secrets::WebhookSecrets,
};

/// The server's shared parts. Cloning is cheap.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub db: Db,
    /// What the server was told at its start.
    pub config: Arc<ServerConfig>,
    /// The key that secrets are sealed with.
    pub keys: Keys,
    /// The connection to the forge.
    pub forge: Arc<Forge>,
    /// Hints between tasks.
    pub hub: Hub,
    /// Webhooks on their way into the database.
    pub intake: Intake,
    /// What they are signed with.
    pub webhook_secrets: WebhookSecrets,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// When this process began: leases are not called lost right after a start, see [`crate::leases`].
    pub started: std::time::Instant,
}

impl App {
    /// Puts the parts together.
    pub fn new(db: Db, config: ServerConfig, keys: Keys) -> Self {
        Self {
            db,
            config: Arc::new(config),
            keys,
            forge: Arc::default(),
            hub: Hub::default(),
            intake: Intake::default(),
            webhook_secrets: WebhookSecrets::default(),
            metrics: Arc::new(Metrics::default()),
            started: std::time::Instant::now(),
        }
    }
}
