//! `actions/create-release`: a release for a tag.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    super::{Builtin, Use, web::Trouble},
    api::{Api, put, tag, tell, text},
};
use crate::stage::Failure;

/// As much of a file becomes a release's text.
pub(super) const LONGEST_BODY: u64 = 1 << 20;

/// The action.
pub struct CreateRelease;

#[async_trait]
impl Builtin for CreateRelease {
    fn name(&self) -> &'static str {
        "actions/create-release"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("tag_name", ""),
            ("release_name", ""),
            ("body", ""),
            ("body_path", ""),
            ("draft", "false"),
            ("prerelease", "false"),
            ("commitish", ""),
            ("owner", ""),
            ("repo", ""),
        ]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let tag = tag(step.required("tag_name")?);
        let own = step.github("repository").to_owned();
        let (owner, name) = own.split_once('/').unwrap_or_default();
        let or = |input: &str, own: &str| if input.is_empty() { own.to_owned() } else { input.to_owned() };
        let repository = format!("{}/{}", or(step.input("owner"), owner), or(step.input("repo"), name));
        let token = step.env.get("GITHUB_TOKEN").cloned().unwrap_or_default();
        let body = match step.input("body_path") {
            "" => step.input("body").to_owned(),
            path => step.read_file(path, LONGEST_BODY)?,
        };
        let mut release = json!({
            "tag_name": tag,
            "name": step.required("release_name")?.replacen("refs/tags/", "", 1),
            "body": body,
            "draft": step.flag("draft")?,
            "prerelease": step.flag("prerelease")?,
        });
        let commit = or(step.input("commitish"), step.github("sha"));
        put(&mut release, "target_commitish", &commit);
        let api = Api::of(step, &repository, &token)?;
        let made = match api.create(&release).await {
            Ok(made) => made,
            // Begun again after a restart of the runner it finds what it made itself.
            Err(Trouble::Refused(status, reason)) if reason.contains("already_exists") => {
                let there = api.find(&tag).await?.filter(|there| is_same(there, &release));
                there.ok_or_else(|| Failure::from(Trouble::Refused(status, reason)))?
            }
            Err(other) => return Err(other.into()),
        };
        tell(step, &made)?;
        step.say(format!("the release of {tag} is at {}", text(&made, "html_url")));
        Ok(())
    }
}

/// Whether a release is what was asked for.
fn is_same(there: &Value, asked: &Value) -> bool {
    ["name", "body", "draft", "prerelease"].iter().all(|key| there.get(key) == asked.get(key))
}
