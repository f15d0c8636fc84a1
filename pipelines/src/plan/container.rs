//! What is asked of a container beside its image, and nothing that would weaken its isolation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Template;

/// What is asked of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Environment values of the container itself, which its first process has too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Template>,
    /// The user inside it, `name`, `id` or `id:group`; absent: root in a sandbox, the image's own in a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Template>,
    /// In place of the image's entry point. A sandbox's first process is the runner's own, whatever is said here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<Template>,
    /// What its registry is asked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Ports of a service that steps reach at `localhost`, as in the file: `8080`, `8080:80` or `53:53/udp`. Every
    /// port is reachable by the service's name anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Template>,
}

impl Container {
    /// Whether nothing is asked.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A user and password of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The user.
    pub username: Template,
    /// The password, usually an expression that reads a secret.
    pub password: Template,
}
