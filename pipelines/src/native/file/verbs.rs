//! What a stage does: the five verbs.

use schemars::JsonSchema;

use super::{Duration, Env, Step, shape};
use crate::diagnostic::Spanned;

/// What a stage does.
#[derive(Debug, Clone)]
pub(crate) enum Verb {
    Run(Vec<Step>),
    Build(Box<Build>),
    Push(Box<PushImage>),
    Deploy(Box<Deploy>),
    Smoke(Box<Smoke>),
}

impl Verb {
    /// The key in the file.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Build(_) => "build",
            Self::Push(_) => "push",
            Self::Deploy(_) => "deploy",
            Self::Smoke(_) => "smoke",
        }
    }
}

/// Only for the schema: exactly one of these keys.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "described, never made")]
struct VerbShape {
    /// Commands in a sandbox.
    run: Option<shape::Steps>,
    /// An image to build.
    build: Option<shape::BuildForm>,
    /// A built image to send to a registry.
    push: Option<PushImage>,
    /// A change of what an environment runs.
    deploy: Option<Deploy>,
    /// A check of what an environment runs; its failure rolls the deployment back.
    smoke: Option<Smoke>,
    /// A template whose stages take its place: `./path.yml`, or `owner/repository/path.yml@` and a full commit.
    r#use: Option<String>,
    /// What the template is given: its inputs, by name.
    with: Option<shape::Env>,
}

impl JsonSchema for Verb {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Verb".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        VerbShape::json_schema(generator)
    }
}

/// An image to build.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Build {
    /// The folder that is sent to the engine; absent: the whole workspace.
    #[schemars(with = "Option<String>")]
    pub context: String,
    /// Path of the Dockerfile below the context; absent: `Dockerfile`.
    #[schemars(with = "Option<String>")]
    pub dockerfile: String,
    /// The Dockerfile's stage to stop at.
    pub target: Option<Spanned<String>>,
    /// Build arguments.
    #[schemars(with = "Option<shape::Env>")]
    pub args: Env,
    /// Labels of the image.
    #[schemars(with = "Option<shape::Env>")]
    pub labels: Env,
}

impl Build {
    pub(crate) const KEYS: &'static [&'static str] = &["context", "dockerfile", "target", "args", "labels"];
}

/// A built image to send to a registry.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct PushImage {
    /// The build stage; absent: the only one that comes before.
    pub from: Option<Spanned<String>>,
    /// Registry and path without a tag, for example `registry.example.org/team/api`.
    pub repository: Spanned<String>,
    /// Tags to point at it; absent: the commit's.
    #[schemars(with = "Option<Vec<shape::Scalar>>")]
    pub tags: Vec<Spanned<String>>,
    /// The secret that holds `user:password` of the registry.
    pub credentials: Option<Spanned<String>>,
}

impl PushImage {
    pub(crate) const KEYS: &'static [&'static str] = &["from", "repository", "tags", "credentials"];
}

/// A change of what an environment runs, by one driver: `compose` or `command`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Deploy {
    /// The environment's name.
    pub environment: Spanned<String>,
    /// The image, by digest; absent: that of the only push stage that comes before.
    pub image: Option<Spanned<String>>,
    /// `docker compose up` of a file in the repository.
    pub compose: Option<Compose>,
    /// Commands in a sandbox.
    pub command: Option<Commands>,
}

impl Deploy {
    pub(crate) const KEYS: &'static [&'static str] = &["environment", "image", "compose", "command"];
}

/// `docker compose up` of a file in the repository; the image is in `TIDEGATE_IMAGE`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Compose {
    /// The compose file.
    pub file: Spanned<String>,
    /// The compose project's name; absent: repository and environment.
    pub project: Option<Spanned<String>>,
    /// `ssh://user@host`; absent: the runner's own engine.
    pub host: Option<Spanned<String>>,
    /// Time until its services must be up; absent: `60s`.
    #[schemars(with = "Option<Duration>")]
    pub wait: Duration,
}

impl Compose {
    pub(crate) const KEYS: &'static [&'static str] = &["file", "project", "host", "wait"];
}

/// Commands in a sandbox.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Commands {
    /// The image; absent: `defaults.image`.
    pub image: Option<Spanned<String>>,
    /// The commands.
    #[schemars(with = "shape::Steps")]
    pub run: Vec<Step>,
}

impl Commands {
    pub(crate) const KEYS: &'static [&'static str] = &["image", "run"];
}

/// A check of what an environment runs; its failure rolls the deployment back.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Smoke {
    /// The environment's name.
    pub environment: Spanned<String>,
    /// HTTP requests and what their answers must be.
    #[schemars(with = "Option<Vec<Check>>")]
    pub checks: Vec<Check>,
    /// Commands in a sandbox, after the checks.
    pub commands: Option<Commands>,
}

impl Smoke {
    pub(crate) const KEYS: &'static [&'static str] = &["environment", "checks", "commands"];
}

/// An HTTP request, repeated until its answer is right or the deadline passes.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Check {
    /// Absolute URL; usually begins with `${{ environment.url }}`.
    pub url: Spanned<String>,
    /// What the page shows; absent: method and URL.
    pub name: Option<Spanned<String>>,
    /// The request's method; absent: `GET`.
    #[schemars(with = "Option<String>")]
    pub method: String,
    /// Right status codes; absent: 200.
    #[schemars(with = "Option<shape::Statuses>")]
    pub status: Vec<u16>,
    /// Text that the body must contain.
    pub body_contains: Option<Spanned<String>>,
    /// Headers that the answer must have.
    #[schemars(with = "Option<shape::Env>")]
    pub headers: Env,
    /// The time an answer may take.
    pub max_latency: Option<Spanned<Duration>>,
    /// Time until the check is given up; absent: `30s`.
    #[schemars(with = "Option<Duration>")]
    pub deadline: Duration,
    /// Time between two tries; absent: `1s`.
    #[schemars(with = "Option<Duration>")]
    pub interval: Duration,
}

impl Check {
    pub(crate) const KEYS: &'static [&'static str] = &[
        "url",
        "name",
        "method",
        "status",
        "body_contains",
        "headers",
        "max_latency",
        "deadline",
        "interval",
    ];
}
