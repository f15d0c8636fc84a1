//! The secrets that webhooks are signed with, opened once each, so that a burst of webhooks asks the database nothing.
//!
//! What is kept cannot be outdated: a repository's secret never changes, and no id is given out twice. Only its
//! repository may be gone, deleted by another server; then storing the delivery finds nothing to belong to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::SecretString;
use tidegate_protocol::ids::RepositoryId;

use crate::{app::App, error::Error, repositories};

/// At most one for each repository.
#[derive(Clone, Default)]
pub struct WebhookSecrets {
    opened: Arc<Mutex<HashMap<RepositoryId, SecretString>>>,
}

impl WebhookSecrets {
    /// A repository's.
    pub async fn get(&self, app: &App, id: RepositoryId) -> Result<SecretString, Error> {
        if let Some(secret) = self.kept().get(&id) {
            return Ok(secret.clone());
        }
        let secret = repositories::webhook_secret(app, id).await?;
        self.kept().insert(id, secret.clone());
        Ok(secret)
    }

    /// The repository is gone.
    pub fn forget(&self, id: RepositoryId) {
        self.kept().remove(&id);
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<RepositoryId, SecretString>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
