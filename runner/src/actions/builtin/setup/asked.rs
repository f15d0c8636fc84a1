//! Which version a step asks for: by an input, or by a file of the workspace.

use super::{super::Use, Setup};
use crate::stage::Failure;

impl Setup {
    /// The version that is asked for; none: any will do.
    pub(super) fn spec(self, step: &mut Use<'_>) -> Result<Option<String>, Failure> {
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
    }
}
