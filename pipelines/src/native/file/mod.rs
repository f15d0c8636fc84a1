//! The file as it is written: one type per mapping of the language, values read but nothing worked out.
//!
//! The JSON Schema is generated from these types, so their documentation is what editors show. Where the language
//! lets people write something in more than one form, the type here is the full form and [`shape`] describes
//! all of them. `KEYS` beside each type is what lowering accepts; a test holds the two together.

mod pipeline;
mod results;
mod scope;
mod services;
pub(crate) mod shape;
mod stage;
mod step;
mod values;
mod verbs;

pub(crate) use pipeline::{
    Concurrency, Defaults, Dispatch, Input, Manual, On, Pipeline, PullRequest, Push, Release, Schedule,
    Upstream,
};
pub(crate) use results::{Artifact, Cache, Coverage, Fetch, Report, Thresholds};
pub(crate) use scope::{Before, Call, Local, Scope, Template};
pub(crate) use services::{Ready, Service};
pub(crate) use stage::{Emits, Matrix, Need, Resources, Retry, Secret, Stage};
pub(crate) use step::Step;
pub(crate) use values::{Duration, Env, Size};
pub(crate) use verbs::{Build, Check, Commands, Compose, Deploy, PushImage, Smoke, Verb};

/// Every mapping with fixed keys: its name in the schema and the keys that lowering accepts.
#[cfg(test)]
pub(crate) const TABLES: &[(&str, &[&str])] = &[
    ("Pipeline", Pipeline::KEYS),
    ("On", On::KEYS),
    ("Push", Push::KEYS),
    ("PullRequest", PullRequest::KEYS),
    ("Release", Release::KEYS),
    ("Dispatch", Dispatch::KEYS),
    ("Upstream", Upstream::KEYS),
    ("Schedule", Schedule::KEYS),
    ("Manual", Manual::KEYS),
    ("Input", Input::KEYS),
    ("Concurrency", Concurrency::KEYS),
    ("Defaults", Defaults::KEYS),
    ("Template", Template::KEYS),
    ("Stage", Stage::KEYS),
    ("Emits", Emits::KEYS),
    ("Secret", Secret::KEYS),
    ("Service", Service::KEYS),
    ("Ready", Ready::KEYS),
    ("HttpReady", shape::HttpReady::KEYS),
    ("Step", Step::KEYS),
    ("Retry", Retry::KEYS),
    ("ExitCodes", shape::ExitCodes::KEYS),
    ("Artifact", Artifact::KEYS),
    ("Cache", Cache::KEYS),
    ("Report", Report::KEYS),
    ("Coverage", Coverage::KEYS),
    ("Thresholds", Thresholds::KEYS),
    ("Resources", Resources::KEYS),
    ("Build", Build::KEYS),
    ("PushImage", PushImage::KEYS),
    ("Deploy", Deploy::KEYS),
    ("Compose", Compose::KEYS),
    ("Commands", Commands::KEYS),
    ("Smoke", Smoke::KEYS),
    ("Check", Check::KEYS),
];
