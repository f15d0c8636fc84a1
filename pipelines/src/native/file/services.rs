//! Containers beside a stage, and how to find out that they are ready.

use schemars::JsonSchema;

use super::{Duration, Env, shape};
use crate::{diagnostic::Spanned, plan::ReadyProbe};

/// A container beside the stage.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Service {
    #[schemars(skip)]
    pub name: Spanned<String>,
    /// Its image.
    pub image: Spanned<String>,
    /// Its environment values.
    #[schemars(with = "Option<shape::Env>")]
    pub env: Env,
    /// Arguments in place of the image's own.
    #[schemars(with = "Option<shape::Texts>")]
    pub command: Vec<Spanned<String>>,
    /// When it counts as ready; absent: its image's health check.
    pub ready: Option<Ready>,
}

impl Service {
    pub(crate) const KEYS: &'static [&'static str] = &["image", "env", "command", "ready"];
}

/// When a service counts as ready: one of `exec`, `tcp`, `http`, `log`.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub probe: ReadyProbe,
    pub interval: Duration,
    pub timeout: Duration,
}

impl Ready {
    pub(crate) const KEYS: &'static [&'static str] = &["exec", "tcp", "http", "log", "interval", "timeout"];
}

/// Only for the schema.
#[derive(JsonSchema)]
#[schemars(rename = "Ready", deny_unknown_fields)]
#[allow(dead_code, reason = "described, never made")]
struct ReadyShape {
    /// A command inside the service ends with 0.
    exec: Option<shape::Texts>,
    /// A TCP port accepts a connection.
    tcp: Option<u16>,
    /// An HTTP request is answered.
    http: Option<shape::HttpReadyForm>,
    /// A line of its output matches this regular expression.
    log: Option<String>,
    /// Time between two questions; absent: `1s`.
    interval: Option<Duration>,
    /// Time until the service is given up; absent: `60s`.
    timeout: Option<Duration>,
}

impl JsonSchema for Ready {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ready".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        ReadyShape::json_schema(generator)
    }
}
