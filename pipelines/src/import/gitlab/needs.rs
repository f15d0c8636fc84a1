//! What a job waits for, and whose files it gets.

use std::collections::BTreeMap;

use super::{Job, files::patterns};
use crate::import::{
    draft::{Accepts, Stage},
    reading::{Notes, flag, get, get_text, get_texts, items, text, texts},
};

/// `needs` as written; without it, all jobs of the stage before.
pub(super) fn add(
    job: &Job<'_>,
    jobs: &[Job<'_>],
    order: &[String],
    own: &BTreeMap<&str, String>,
    stage: &mut Stage,
    notes: &mut Notes,
) {
    let stage_of = |job: &Job<'_>| {
        let name = job.text("stage").unwrap_or("test");
        order.iter().position(|one| one == name)
    };
    let with_files = |name: &str| {
        jobs.iter().any(|one| {
            one.entry.key.value == name
                && one.get("artifacts").is_some_and(|node| !patterns(&get_texts(node, "paths")).is_empty())
        })
    };
    let mut before: Vec<(&str, bool)> = Vec::new();
    if let Some(needs) = job.get("needs") {
        for need in items(needs) {
            let Some(name) = get_text(need, "job").or_else(|| text(need)) else { continue };
            if get(need, "project").is_some() || get(need, "pipeline").is_some() {
                notes.add(
                    need.place,
                    "a need of another project's job was not carried over",
                    "fetch what is needed in a script",
                );
                continue;
            }
            before.push((name, get(need, "artifacts").and_then(flag) != Some(false)));
        }
    } else if let Some(at) = stage_of(job) {
        let all = jobs.iter().filter_map(|one| Some((stage_of(one)?, one)));
        let nearest = all.clone().map(|(rank, _)| rank).filter(|rank| *rank < at).max();
        for (_, one) in all.filter(|(rank, _)| Some(*rank) == nearest) {
            before.push((one.entry.key.value.as_str(), true));
        }
    }
    let wanted = job.get("dependencies").map(texts);
    for (name, files) in before {
        let Some(own) = own.get(name).filter(|own| **own != stage.name) else { continue };
        if stage.needs.iter().any(|(need, _)| need == own) {
            continue;
        }
        stage.needs.push((own.clone(), Accepts::Success));
        let files = wanted.as_ref().map_or(files, |list| list.contains(&name));
        if files && with_files(name) {
            stage.fetch.push(format!("{own}.files"));
        }
    }
}
