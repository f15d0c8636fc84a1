//! `actions/setup-node`, `setup-python`, `setup-java`, `setup-go`: the tool that the image has, or one of the runner's
//! tool cache (`<tool>/<version>/<arch>`). Nothing is downloaded: where neither fits, the step says what there is.

mod asked;
mod npmrc;
mod packages;
mod there;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    Builtin, Use, cache,
    versions::{Version, Wanted},
};
use crate::{actions::inputs::lines, stage::Failure};

/// A tool that is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Node.js.
    Node,
    /// Python.
    Python,
    /// A JDK.
    Java,
    /// Go.
    Go,
}

/// What differs between the tools.
struct Facts {
    name: &'static str,
    /// The input with the version, the one with its file, and the output.
    version: &'static str,
    file: &'static str,
    /// Its name in the tool cache.
    cached: &'static str,
    /// Says its version, in the sandbox.
    asks: &'static str,
    /// An example of an image that has it.
    image: &'static str,
}

impl Setup {
    fn facts(self) -> Facts {
        let (name, word, cached, asks, image) = match self {
            Self::Node => (
                "actions/setup-node",
                ("node-version", "node-version-file"),
                "node",
                "node --version",
                "node:20",
            ),
            Self::Python => (
                "actions/setup-python",
                ("python-version", "python-version-file"),
                "Python",
                "python3 --version || python --version",
                "python:3.12",
            ),
            Self::Java => (
                "actions/setup-java",
                ("java-version", "java-version-file"),
                "Java_Temurin-Hotspot_jdk",
                "java -version 2>&1 | grep version",
                "eclipse-temurin:21",
            ),
            Self::Go => {
                ("actions/setup-go", ("go-version", "go-version-file"), "go", "go version", "golang:1.23")
            }
        };
        let (version, file) = word;
        Facts { name, version, file, cached, asks, image }
    }
}

#[async_trait]
impl Builtin for Setup {
    fn name(&self) -> &'static str {
        self.facts().name
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Node => &[
                ("node-version", ""),
                ("node-version-file", ""),
                ("architecture", ""),
                ("check-latest", "false"),
                ("registry-url", ""),
                ("scope", ""),
                ("token", ""),
                ("cache", ""),
                ("cache-dependency-path", ""),
                ("package-manager-cache", "false"),
                ("always-auth", "false"),
            ],
            Self::Python => &[
                ("python-version", ""),
                ("python-version-file", ""),
                ("architecture", ""),
                ("check-latest", "false"),
                ("token", ""),
                ("cache", ""),
                ("cache-dependency-path", ""),
                ("update-environment", "true"),
                ("allow-prereleases", "false"),
            ],
            Self::Java => &[
                ("java-version", ""),
                ("java-version-file", ""),
                ("distribution", ""),
                ("java-package", "jdk"),
                ("architecture", ""),
                ("check-latest", "false"),
                ("cache", ""),
                ("cache-dependency-path", ""),
            ],
            Self::Go => &[
                ("go-version", ""),
                ("go-version-file", ""),
                ("architecture", ""),
                ("check-latest", "false"),
                ("token", ""),
                ("cache", ""),
                ("cache-dependency-path", ""),
            ],
        }
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let facts = self.facts();
        let spec = self.spec(step)?;
        let wanted = spec
            .as_deref()
            .map(Wanted::new)
            .transpose()
            .map_err(|reason| Failure::failed(format!("{}: {reason}", facts.version)))?;
        let takes = |version: Version| wanted.as_ref().is_none_or(|wanted| wanted.takes(version));
        let cached = there::in_tool_cache(step, facts.cached);
        let version = match cached.iter().filter(|(version, _)| takes(*version)).max() {
            Some((version, folder)) => {
                self.use_folder(step, folder);
                step.say(format!("{} {version} of the tool cache: {folder}", facts.cached));
                *version
            }
            None => {
                let script = format!(
                    "said=$({} 2>/dev/null || true)\necho \"said=$(echo \"$said\" | head -n 1)\" >> \"$GITHUB_OUTPUT\"\n",
                    facts.asks
                );
                let finished = step.shell(&script, &BTreeMap::new()).await?;
                let said = finished.outputs.get("said").cloned().unwrap_or_default();
                let there = Version::find(&said);
                match there.filter(|version| takes(there::old_java(*self, *version))) {
                    Some(version) => {
                        step.say(format!("the image's own: {}", said.trim()));
                        there::old_java(*self, version)
                    }
                    None => return Err(there::none_fits(&facts, spec.as_deref(), &said, &cached)),
                }
            }
        };
        match self {
            Self::Node => self.registry(step).await?,
            Self::Java => step.set_output("distribution", step.input("distribution").to_owned()),
            Self::Python | Self::Go => {}
        }
        let shown = if *self == Self::Node { format!("v{version}") } else { version.to_string() };
        let output = if *self == Self::Java { "version" } else { facts.version };
        step.set_output(output, shown);
        self.restore(step, version).await?;
        Ok(())
    }

    fn post_if(&self) -> Option<&'static str> {
        Some("success()")
    }

    /// Saves what the step looked for and did not find.
    async fn post(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let (key, paths) = (step.state("key").to_owned(), lines(step.state("paths")));
        if key.is_empty() || step.state("matched") == key {
            step.say("there is no cache to save");
            return Ok(());
        }
        cache::save(step, &key, &paths).await
    }
}
