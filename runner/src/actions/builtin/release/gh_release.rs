//! `softprops/action-gh-release`: a release for a tag, made or changed, with files.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    super::{Builtin, Use},
    api::{Api, id, put, tag, tell, text},
    create::LONGEST_BODY,
    upload,
};
use crate::stage::Failure;

/// The action.
pub struct GhRelease;

#[async_trait]
impl Builtin for GhRelease {
    fn name(&self) -> &'static str {
        "softprops/action-gh-release"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("body", ""),
            ("body_path", ""),
            ("name", ""),
            ("tag_name", ""),
            ("draft", ""),
            ("prerelease", ""),
            ("preserve_order", ""),
            ("files", ""),
            ("working_directory", ""),
            ("overwrite_files", "true"),
            ("fail_on_unmatched_files", "false"),
            ("repository", ""),
            ("token", "${{ github.token }}"),
            ("target_commitish", ""),
            ("discussion_category_name", ""),
            ("generate_release_notes", "false"),
            ("append_body", "false"),
            ("make_latest", ""),
        ]
    }

    fn hidden(&self) -> &'static [&'static str] {
        &["token"]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let tag = match (step.input("tag_name"), step.github("ref").strip_prefix("refs/tags/")) {
            ("", Some(own)) => own.to_owned(),
            ("", None) => {
                return Err(Failure::failed(
                    "a release is of a tag: this run is not, so give the input `tag_name`",
                ));
            }
            (name, _) => tag(name),
        };
        let repository = match step.input("repository") {
            "" => step.github("repository").to_owned(),
            other => other.to_owned(),
        };
        // The variable counts before the input's default, as in the original.
        let token = match step.env.get("GITHUB_TOKEN").map(String::as_str).unwrap_or_default() {
            "" => step.input("token").to_owned(),
            own => own.to_owned(),
        };
        let files = upload::find(step).await?;
        let api = Api::of(step, &repository, &token)?;
        let found = api.find(&tag).await?;
        let release = wanted(step, &tag, found.as_ref())?;
        let made = match &found {
            Some(found) => api.change(id(found)?, &release).await?,
            None => api.create(&release).await?,
        };
        let what = if found.is_some() { "changed" } else { "made" };
        step.say(format!("the release of {tag} is {what}: {}", text(&made, "html_url")));
        let assets = upload::all(step, &api, &made, files).await?;
        tell(step, &made)?;
        step.set_output("url", text(&made, "html_url"));
        step.set_output("assets", Value::Array(assets).to_string());
        Ok(())
    }
}

/// What the release is to be.
fn wanted(step: &Use<'_>, tag: &str, found: Option<&Value>) -> Result<Value, Failure> {
    let before = |key: &str| found.map(|found| text(found, key)).unwrap_or_default();
    let mut body = match step.input("body_path") {
        "" => step.input("body").to_owned(),
        path => step.read_file(path, LONGEST_BODY)?,
    };
    if body.is_empty() {
        body = before("body").to_owned();
    } else if step.flag("append_body")? && !before("body").is_empty() {
        body = format!("{}\n{body}", before("body"));
    }
    let mut release = json!({ "tag_name": tag, "body": body });
    let name = [step.input("name"), before("name"), tag].into_iter().find(|name| !name.is_empty());
    put(&mut release, "name", name.unwrap_or_default());
    for key in ["draft", "prerelease"] {
        let kept = found.and_then(|found| found.get(key)).and_then(Value::as_bool).unwrap_or_default();
        release[key] = json!(if step.input(key).is_empty() { kept } else { step.flag(key)? });
    }
    for key in ["target_commitish", "discussion_category_name"] {
        put(&mut release, key, step.input(key));
    }
    if step.flag("generate_release_notes")? {
        release["generate_release_notes"] = json!(true);
    }
    match step.input("make_latest") {
        "" => {}
        value @ ("true" | "false" | "legacy") => release["make_latest"] = json!(value),
        other => {
            return Err(Failure::failed(format!(
                "the input `make_latest` is true, false or legacy, and this is `{other}`"
            )));
        }
    }
    Ok(release)
}
