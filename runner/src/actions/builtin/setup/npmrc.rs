//! The `.npmrc` that `actions/setup-node` writes for a registry.

use std::collections::BTreeMap;

use super::{super::Use, Setup};
use crate::stage::Failure;

impl Setup {
    /// Writes the `.npmrc` that a registry's URL asks for.
    pub(super) async fn registry(self, step: &mut Use<'_>) -> Result<(), Failure> {
        let registry = step.input("registry-url").trim_end_matches('/').to_owned();
        if registry.is_empty() {
            return Ok(());
        }
        let bare = registry.split_once("://").map(|(_, rest)| rest.to_owned());
        let bare =
            bare.filter(|rest| !rest.is_empty() && !registry.contains(char::is_whitespace)).ok_or_else(
                || Failure::failed(format!("the input `registry-url` is a URL, and this is `{registry}`")),
            )?;
        let mut scope = step.input("scope").to_lowercase();
        if scope.is_empty() && bare.starts_with("npm.pkg.github.com") {
            scope = step.github("repository_owner").to_lowercase();
        }
        let scope = match scope.trim_start_matches('@') {
            "" => String::new(),
            name => format!("@{name}:"),
        };
        // The token itself is never written: npm reads it from the environment.
        let text = format!("//{bare}/:_authToken=${{NODE_AUTH_TOKEN}}\n{scope}registry={registry}/");
        let script = "printf '%s\\n' \"$TIDEGATE_NPMRC\" > \"$TIDEGATE_NPMRC_FILE\"\n";
        let file = "/tidegate/temp/.npmrc";
        let env = BTreeMap::from([
            ("TIDEGATE_NPMRC".to_owned(), text),
            ("TIDEGATE_NPMRC_FILE".to_owned(), file.to_owned()),
        ]);
        if step.shell(script, &env).await?.exit_code != Some(0) {
            return Err(Failure::failed(format!("{file} cannot be written; the lines above say why")));
        }
        step.export("NPM_CONFIG_USERCONFIG", file);
        // So that npm does not fail for want of it where it is not needed.
        if !step.env.contains_key("NODE_AUTH_TOKEN") {
            step.export("NODE_AUTH_TOKEN", "XXXXX-XXXXX-XXXXX-XXXXX");
        }
        Ok(())
    }
}
