//! `docker/metadata-action`: the run's facts from its contexts, the rules of [`super::metadata`] over them.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{Builtin, Use},
    metadata,
    moustache::Facts,
};
use crate::stage::Failure;

/// The action.
pub struct Metadata;

#[async_trait]
impl Builtin for Metadata {
    fn name(&self) -> &'static str {
        "docker/metadata-action"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("context", "workflow"),
            ("images", ""),
            ("tags", ""),
            ("flavor", ""),
            ("labels", ""),
            ("annotations", ""),
            ("sep-tags", ""),
            ("sep-labels", ""),
            ("sep-annotations", ""),
            ("bake-target", ""),
            ("github-token", ""),
        ]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let event =
            step.contexts.get("github").and_then(|github| github.get("event")).cloned().unwrap_or_default();
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let default_branch = text("/repository/default_branch");
        let facts = Facts {
            event: step.github("event_name"),
            reference: step.github("ref"),
            sha: step.github("sha"),
            default_branch: if default_branch.is_empty() { "main" } else { &default_branch },
            base_ref: step.github("base_ref"),
            now: Timestamp::now(),
            commit_date: text("/head_commit/timestamp").parse().ok(),
        };
        let flavor = metadata::flavor(&step.lines("flavor")).map_err(Failure::failed)?;
        let images = metadata::images(&step.lines("images")).map_err(Failure::failed)?;
        let version = metadata::version(&step.lines("tags"), &flavor, &facts).map_err(Failure::failed)?;
        let (repository, server) = (step.github("repository"), step.github("server_url"));
        let title = text("/repository/name");
        let title = if title.is_empty() {
            repository.rsplit('/').next().unwrap_or_default().to_owned()
        } else {
            title
        };
        let url = text("/repository/html_url");
        let url = if url.is_empty() { format!("{server}/{repository}") } else { url };
        let known = [
            ("created", format!("{:.3}", facts.now)),
            ("description", text("/repository/description")),
            ("licenses", text("/repository/license/spdx_id")),
            ("revision", facts.sha.to_owned()),
            ("source", url.clone()),
            ("title", title),
            ("url", url),
            ("version", version.main.clone()),
        ];
        let known = known
            .into_iter()
            .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value))
            .collect();
        let labels = metadata::labels(known, &step.lines("labels"));
        let tags: Vec<String> = match images.as_slice() {
            [] => version.names.clone(),
            images => images
                .iter()
                .flat_map(|image| version.names.iter().map(move |name| format!("{image}:{name}")))
                .collect(),
        };
        let lines: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pairs: serde_json::Map<String, Value> =
            labels.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
        let whole = json!({ "tags": tags, "tag-names": version.names, "labels": pairs, "annotations": [] });

        for note in version.notes {
            step.warn(note);
        }
        for name in ["annotations", "bake-target"] {
            if !step.input(name).is_empty() {
                step.say(format!(
                    "`{name}` is left out of account: there is no file for bake, and no annotation"
                ));
            }
        }
        let separator = |name: &str| match step.input(name) {
            "" => "\n".to_owned(),
            own => own.to_owned(),
        };
        let outputs = [
            ("version", version.main),
            ("tags", tags.join(&separator("sep-tags"))),
            ("labels", lines.join(&separator("sep-labels"))),
            ("json", whole.to_string()),
        ];
        for (name, value) in outputs {
            step.say(format!("{name}: {value}"));
            step.export(&format!("DOCKER_METADATA_OUTPUT_{}", name.to_uppercase()), &*value);
            step.set_output(name, value);
        }
        step.set_output("tag-names", version.names.join("\n"));
        Ok(())
    }
}
