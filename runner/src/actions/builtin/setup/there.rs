//! Which versions of a tool there are, and how one of the tool cache is used.

use std::path::Path;

use super::{
    super::{Use, versions::Version},
    Facts, Setup,
};
use crate::{archive::beneath::Root, stage::Failure};

/// Java 8 says `1.8`.
pub(super) fn old_java(tool: Setup, version: Version) -> Version {
    match (tool, Version::find("1.8"), Version::find("1.9"), Version::find("8")) {
        (Setup::Java, Some(from), Some(to), Some(eight)) if version >= from && version < to => eight,
        _ => version,
    }
}

/// What there is, where nothing fits.
pub(super) fn none_fits(
    facts: &Facts,
    spec: Option<&str>,
    said: &str,
    cached: &[(Version, String)],
) -> Failure {
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
pub(super) fn in_tool_cache(step: &Use<'_>, tool: &str) -> Vec<(Version, String)> {
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
    /// Puts a folder of the tool cache before the image's own tools.
    pub(super) fn use_folder(self, step: &mut Use<'_>, folder: &str) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_8_has_an_old_name() {
        let of = |text: &str| Version::find(text).unwrap();
        assert_eq!(old_java(Setup::Java, of("1.8.0_3")), of("8"));
        assert_eq!(old_java(Setup::Go, of("1.8.0")), of("1.8.0"));
    }
}
