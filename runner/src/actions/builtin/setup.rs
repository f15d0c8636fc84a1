//! `actions/setup-node`, `setup-python`, `setup-java`, `setup-go`: the tool that the image has, or one of the runner's
//! tool cache (`<tool>/<version>/<arch>`). Nothing is downloaded: where neither fits, the step says what there is.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;

use super::{
    Builtin, Use, cache,
    versions::{Version, Wanted},
};
use crate::{
    actions::inputs::lines,
    archive::beneath::Root,
    stage::{self, Failure},
};

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

    /// The version that a file asks for.
    fn asked_by_file(self, path: &str, text: &str) -> Option<String> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        if name == "package.json" {
            let package: serde_json::Value = serde_json::from_str(text).ok()?;
            let at =
                |path: &str| package.pointer(path).and_then(serde_json::Value::as_str).map(str::to_owned);
            return at("/volta/node")
                .or_else(|| at("/devEngines/runtime/version"))
                .or_else(|| at("/engines/node"));
        }
        if name == ".tool-versions" {
            let tools: &[&str] = match self {
                Self::Node => &["node", "nodejs"],
                Self::Python => &["python"],
                Self::Java => &["java"],
                Self::Go => &["golang", "go"],
            };
            let line = lines()
                .find(|line| line.split_whitespace().next().is_some_and(|tool| tools.contains(&tool)))?;
            return line.split_whitespace().nth(1).map(str::to_owned);
        }
        if matches!(name, "go.mod" | "go.work") {
            let said = |word: &str| {
                lines().find_map(|line| line.strip_prefix(word).map(|rest| rest.trim().to_owned()))
            };
            return said("toolchain go").or_else(|| said("go "));
        }
        if name == "pyproject.toml" {
            let line = lines().find(|line| line.starts_with("requires-python"))?;
            return line.split(['"', '\'']).nth(1).map(str::to_owned);
        }
        lines().next().map(str::to_owned)
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
        let cached = in_tool_cache(step, facts.cached);
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
                match there.filter(|version| takes(old_java(*self, *version))) {
                    Some(version) => {
                        step.say(format!("the image's own: {}", said.trim()));
                        old_java(*self, version)
                    }
                    None => return Err(none_fits(&facts, spec.as_deref(), &said, &cached)),
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

/// Java 8 says `1.8`.
fn old_java(tool: Setup, version: Version) -> Version {
    match (tool, Version::find("1.8"), Version::find("1.9"), Version::find("8")) {
        (Setup::Java, Some(from), Some(to), Some(eight)) if version >= from && version < to => eight,
        _ => version,
    }
}

fn none_fits(facts: &Facts, spec: Option<&str>, said: &str, cached: &[(Version, String)]) -> Failure {
    let spec = spec.map(|spec| format!("`{spec}`")).unwrap_or_else(|| "any version".to_owned());
    let image = match said.trim() {
        "" => "the image has none".to_owned(),
        said => format!("the image has `{said}`"),
    };
    let tools = match cached {
        [] => "the runner's tool cache has none".to_owned(),
        cached => {
            let versions: Vec<String> = cached.iter().map(|(version, _)| version.to_string()).collect();
            format!("the runner's tool cache has {}", versions.join(", "))
        }
    };
    Failure::failed(format!(
        "no {} fits {spec}: {image}, and {tools}. Choose an image that has it, such as `container: {}`, or have it put \
         into the runner's tool cache",
        facts.cached, facts.image
    ))
}

/// The versions of a tool in the tool cache, and their folders in the sandbox.
fn in_tool_cache(step: &Use<'_>, tool: &str) -> Vec<(Version, String)> {
    let text = |key: &str| {
        let value = step.contexts.get("runner").and_then(|runner| runner.get(key));
        value.and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let (cache, arch) = (text("tool_cache"), text("arch").to_lowercase());
    // The lent one is the runner's own folder; the other one is the stage's.
    let (host, below) = match (&step.ctx.runner.actions.tools, step.paths.on_host(&cache)) {
        (Some(lent), _) => (lent.clone(), Path::new("").to_owned()),
        (None, Some(place)) => place,
        (None, None) => return Vec::new(),
    };
    let Ok(root) = Root::open(&host) else { return Vec::new() };
    let names = root.names(&below.join(tool)).unwrap_or_default();
    let found = names.iter().filter_map(|name| {
        let name = name.to_str()?;
        root.names(&below.join(tool).join(name).join(&arch)).ok()?;
        Some((Version::find(name)?, format!("{cache}/{tool}/{name}/{arch}")))
    });
    found.collect()
}

impl Setup {
    /// The version that is asked for; none: any will do.
    fn spec(self, step: &mut Use<'_>) -> Result<Option<String>, Failure> {
        let facts = self.facts();
        let given = step.input(facts.version).to_owned();
        let file = step.input(facts.file).to_owned();
        if !given.is_empty() {
            if !file.is_empty() {
                step.warn(format!(
                    "both `{}` and `{}` are given: the first one counts",
                    facts.version, facts.file
                ));
            }
            let mut lines = given.lines().map(str::trim).filter(|line| !line.is_empty());
            let first = lines.next().unwrap_or_default().to_owned();
            if lines.next().is_some() {
                step.warn(format!("of several versions only the first one is set up: {first}"));
            }
            if first.starts_with("lts/") {
                step.say(format!(
                    "which versions `{first}` means is not known here: the newest one there is is taken"
                ));
                return Ok(None);
            }
            return Ok(Some(first));
        }
        if file.is_empty() {
            return Ok(None);
        }
        let text = step.read_file(&file, 1 << 20)?;
        let spec = self.asked_by_file(&file, &text);
        let spec = spec.ok_or_else(|| Failure::failed(format!("the file `{file}` names no version")))?;
        step.say(format!("{file} asks for {spec}"));
        Ok(Some(spec).filter(|spec| !spec.starts_with("lts/")))
    }

    fn use_folder(self, step: &mut Use<'_>, folder: &str) {
        step.add_path(format!("{folder}/bin"));
        match self {
            Self::Node => {}
            Self::Python => {
                for name in ["pythonLocation", "Python_ROOT_DIR", "Python3_ROOT_DIR"] {
                    step.export(name, folder);
                }
                step.set_output("python-path", format!("{folder}/bin/python"));
            }
            Self::Java => {
                step.export("JAVA_HOME", folder);
                step.set_output("path", folder);
            }
            Self::Go => step.export("GOROOT", folder),
        }
    }

    /// Restores the package manager's cache, if the step asks for it.
    async fn restore(self, step: &mut Use<'_>, version: Version) -> Result<(), Failure> {
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

    /// Writes the `.npmrc` that a registry's URL asks for.
    async fn registry(self, step: &mut Use<'_>) -> Result<(), Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_files_are_read() {
        for (tool, path, text, version) in [
            (Setup::Node, ".nvmrc", "v20.1\n", "v20.1"),
            (Setup::Node, "a/package.json", r#"{"engines":{"node":">=18"}}"#, ">=18"),
            (Setup::Node, ".tool-versions", "ruby 3\nnodejs 18.2.0\n", "18.2.0"),
            (Setup::Go, "go.mod", "module x\n\ngo 1.22\n", "1.22"),
            (Setup::Python, "pyproject.toml", "[project]\nrequires-python = \">=3.10\"\n", ">=3.10"),
            (Setup::Python, ".python-version", "# one\n3.12\n", "3.12"),
        ] {
            assert_eq!(tool.asked_by_file(path, text).as_deref(), Some(version), "{path}");
        }
        assert_eq!(Setup::Node.asked_by_file("package.json", "{}"), None);
        assert_eq!(old_java(Setup::Java, Version::find("1.8.0_3").unwrap()), Version::find("8").unwrap());
    }
}
