//! Names that the file itself defines: stages, artifacts, inputs, steps, values of a matrix.

use super::{
    loose::{Loose, unquoted},
    spot::{Seg, Spot},
};
use crate::Language;

/// The file as it is read here.
#[derive(Clone, Copy)]
pub(super) struct File<'f> {
    pub text: &'f str,
    pub loose: &'f Loose,
}

impl<'f> File<'f> {
    fn children(self, node: Option<usize>) -> &'f [usize] {
        node.and_then(|node| self.loose.nodes.get(node)).map_or(&[], |node| node.children.as_slice())
    }

    /// What the items of a list have under a key.
    fn values(self, list: Option<usize>, key: &str) -> Vec<&'f str> {
        let value = |item: &usize| {
            let node = self.loose.nodes.get(self.loose.find(*item, &[key])?)?;
            Some(unquoted(self.text.get(node.value.clone())?)).filter(|text| !text.is_empty())
        };
        self.children(list).iter().filter_map(value).collect()
    }
}

/// Names that the file itself defines, where one is asked for.
pub(super) fn names(language: Language, spot: &Spot, file: File<'_>) -> Vec<(String, &'static str)> {
    let keys: Vec<&str> = spot
        .path
        .iter()
        .map(|seg| match seg {
            Seg::Key(key) => key.as_str(),
            Seg::Item => "[]",
        })
        .collect();
    let units = |top: &str, own: &str, with: Option<&str>, about: &'static str| {
        let has = |node: &usize| with.is_none_or(|key| file.loose.find(*node, &[key]).is_some());
        let units = file.children(file.loose.find(0, &[top]));
        let names = units.iter().filter(|node| has(node)).filter_map(|node| file.loose.key(*node));
        names.filter(|name| *name != own).map(|name| (name.to_owned(), about)).collect::<Vec<_>>()
    };
    match (language, keys.as_slice()) {
        (Language::Native, ["stages", own, "needs", ..]) => {
            units("stages", own, None, "A stage of this pipeline.")
        }
        (Language::Actions, ["jobs", own, "needs", ..]) => {
            units("jobs", own, None, "A job of this workflow.")
        }
        (Language::Native, ["stages", own, "push", "from"]) => {
            units("stages", own, Some("build"), "A build stage of this pipeline.")
        }
        (Language::Native, ["stages", own, "fetch", ..]) => artifacts(file, own),
        _ => Vec::new(),
    }
}

/// `stage.artifact` of all other stages.
fn artifacts(file: File<'_>, own: &str) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for stage in file.children(file.loose.find(0, &["stages"])) {
        let Some(name) = file.loose.key(*stage).filter(|name| *name != own) else { continue };
        for artifact in file.values(file.loose.find(*stage, &["artifacts"]), "name") {
            found.push((format!("{name}.{artifact}"), "An artifact of that stage."));
        }
    }
    found
}

/// Properties that the file decides.
pub(super) fn properties(
    language: Language,
    context: &str,
    rest: &[&str],
    spot: &Spot,
    file: File<'_>,
) -> Vec<(String, &'static str)> {
    let loose = file.loose;
    let unit = match spot.path.as_slice() {
        [Seg::Key(top), Seg::Key(own), ..] if matches!(top.as_str(), "stages" | "jobs") => {
            loose.find(0, &[top, own])
        }
        _ => None,
    };
    let below = |keys: &[&str], from: Option<usize>, about: &'static str| -> Vec<(String, &'static str)> {
        let node = from.and_then(|from| loose.find(from, keys));
        node.map(|node| loose.keys(node).map(|key| (key.to_owned(), about)).collect()).unwrap_or_default()
    };
    let fixed = |list: &[(&str, &'static str)]| {
        list.iter().map(|(name, about)| ((*name).to_owned(), *about)).collect::<Vec<_>>()
    };
    match (language, context, rest) {
        (Language::Native, "stages", []) => {
            below(&["stages"], Some(0), "A stage; it must come before this one.")
        }
        (Language::Native, "stages", [_]) => {
            fixed(&[("status", "How it ended."), ("outputs", "What it hands on.")])
        }
        (Language::Native, "stages", [name, "outputs"]) => {
            let stage = loose.find(0, &["stages", name]);
            let has = |key: &str| stage.is_some_and(|stage| loose.find(stage, &[key]).is_some());
            match () {
                () if has("build") => fixed(&[("image_id", "The image's id in the engine.")]),
                () if has("push") => fixed(&[
                    ("digest", "`sha256:…`"),
                    ("image", "`repository@digest`, what deployments take."),
                ]),
                () => Vec::new(),
            }
        }
        (Language::Native, "inputs", []) => {
            below(&["on", "manual", "inputs"], Some(0), "An input of a manual run.")
        }
        (Language::Native, "matrix", []) => {
            let mut axes = below(&["matrix"], unit, "A value of the matrix.");
            axes.retain(|(name, _)| !matches!(name.as_str(), "include" | "exclude"));
            axes
        }
        (Language::Native, "steps", []) => {
            let steps = unit.and_then(|unit| loose.find(unit, &["run"]));
            let ids = file.values(steps, "id");
            ids.into_iter().map(|id| (id.to_owned(), "A step; it must come before this one.")).collect()
        }
        (Language::Native, "steps", [_]) => {
            fixed(&[("outputs", "What it hands on."), ("outcome", "How it ended.")])
        }
        (Language::Actions, "needs", []) => below(&["jobs"], Some(0), "A job; it must stand in `needs`."),
        (Language::Actions, "needs", [_]) => fixed(&[
            ("outputs", "What it hands on."),
            ("result", "`success`, `failure`, `cancelled` or `skipped`."),
        ]),
        (Language::Actions, "needs", [job, "outputs"]) => {
            below(&["jobs", job, "outputs"], Some(0), "An output of the job.")
        }
        (Language::Actions, "matrix", []) => {
            let mut axes = below(&["strategy", "matrix"], unit, "A value of the matrix.");
            axes.retain(|(name, _)| !matches!(name.as_str(), "include" | "exclude"));
            axes
        }
        (Language::Actions, "inputs", []) => {
            let mut all =
                below(&["on", "workflow_dispatch", "inputs"], Some(0), "An input of a run by hand.");
            all.extend(below(&["on", "workflow_call", "inputs"], Some(0), "An input of a call."));
            all
        }
        (Language::Actions, "env", []) => {
            let mut all = below(&["env"], Some(0), "An environment value of the workflow.");
            all.extend(below(&["env"], unit, "An environment value of the job."));
            all
        }
        (Language::Actions, "steps", []) => {
            let steps = unit.and_then(|unit| loose.find(unit, &["steps"]));
            let ids = file.values(steps, "id");
            ids.into_iter().map(|id| (id.to_owned(), "A step; it must come before this one.")).collect()
        }
        (Language::Actions, "steps", [_]) => fixed(&[
            ("outputs", "What it hands on."),
            ("outcome", "How it ended, before `continue-on-error`."),
            ("conclusion", "How it ended, after `continue-on-error`."),
        ]),
        _ => Vec::new(),
    }
}
