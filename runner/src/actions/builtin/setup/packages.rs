//! What a package manager fetched, kept from one run to the next.

use super::{
    super::{Use, cache, versions::Version},
    Setup,
};
use crate::stage::{self, Failure};

impl Setup {
    /// Restores the package manager's cache, if the step asks for it.
    pub(super) async fn restore(self, step: &mut Use<'_>, version: Version) -> Result<(), Failure> {
        let manager = step.input("cache").to_owned();
        if matches!(manager.as_str(), "" | "false") {
            return Ok(());
        }
        let Some((paths, locks)) = self.kept_by(&manager) else {
            step.warn(format!("`cache: {manager}` has no effect here: use actions/cache"));
            step.set_output("cache-hit", "false");
            return Ok(());
        };
        let mut locks: Vec<String> = locks.iter().map(|one| (*one).to_owned()).collect();
        let given = step.lines("cache-dependency-path");
        if !given.is_empty() {
            locks = given;
        }
        let (workspace, patterns) = (step.workspace(), locks.clone());
        let hash = tokio::task::spawn_blocking(move || stage::hash(&workspace, &patterns)).await;
        let hash = hash.unwrap_or_else(|error| Err(error.to_string())).map_err(Failure::failed)?;
        if hash.is_empty() {
            step.warn(format!("`cache: {manager}` has no effect: no file is found at {}", locks.join(", ")));
            step.set_output("cache-hit", "false");
            return Ok(());
        }
        let paths: Vec<String> = paths.iter().map(|one| (*one).to_owned()).collect();
        let tool = self.facts().cached.to_lowercase();
        let key = format!("setup-{tool}-{}-{manager}-{version}-{hash}", std::env::consts::ARCH);
        let found = cache::fetch(step, &key, &[], &paths, false).await?;
        step.set_output("cache-hit", (found.as_ref() == Some(&key)).to_string());
        step.save_state("matched", found.unwrap_or_default());
        step.save_state("key", key);
        step.save_state("paths", paths.join("\n"));
        Ok(())
    }

    /// Where a package manager keeps what it fetched, and the files that say what that is.
    fn kept_by(self, manager: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
        Some(match (self, manager) {
            (Self::Node, "npm") => (&["~/.npm"], &["package-lock.json", "npm-shrinkwrap.json", "yarn.lock"]),
            (Self::Node, "yarn") => (&["~/.cache/yarn", "~/.yarn/berry/cache"], &["yarn.lock"]),
            (Self::Node, "pnpm") => (&["~/.local/share/pnpm/store"], &["pnpm-lock.yaml"]),
            (Self::Python, "pip") => (&["~/.cache/pip"], &["**/requirements.txt", "**/pyproject.toml"]),
            (Self::Java, "maven") => (&["~/.m2/repository"], &["**/pom.xml"]),
            (Self::Java, "gradle") => (
                &["~/.gradle/caches", "~/.gradle/wrapper"],
                &["**/*.gradle*", "**/gradle-wrapper.properties", "**/libs.versions.toml"],
            ),
            (Self::Go, "true") => (&["~/go/pkg/mod", "~/.cache/go-build"], &["go.sum"]),
            _ => return None,
        })
    }
}
