//! What a stage leaves behind: artifacts and reports, picked from its workspace by globs.

use std::{fs::File, io::Read, path::Path};

use tidegate_pipelines::plan::{ArtifactWhen, Thresholds};

use crate::{
    archive::{self, ArchiveError, Selection, beneath::Root},
    logs::line,
    stage::{Failure, ResultsError, StageContext},
};

/// The largest report that is handed in, in bytes.
const LARGEST_REPORT: u64 = 32 << 20;
/// The most files that one report rule may select.
const MOST_REPORTS: usize = 1_000;

/// Packs and stores the artifacts that are kept after this ending. Says in the log of `step` what it did.
pub async fn artifacts(context: &StageContext, succeeded: bool, step: u32) -> Result<(), Failure> {
    for rule in &context.lease.stage.artifacts {
        let kept = match rule.when {
            ArtifactWhen::Always => true,
            ArtifactWhen::Success => succeeded,
            ArtifactWhen::Failure => !succeeded,
        };
        if !kept {
            continue;
        }
        let (root, globs) = (context.dirs.workspace(), rule.paths.clone());
        let file = context.dirs.scratch().join(format!("artifact-{}.tar.zst", uuid::Uuid::new_v4()));
        let packed = blocking({
            let file = file.clone();
            move || {
                let out =
                    File::create(&file).map_err(ArchiveError::io(format!("write {}", file.display())))?;
                archive::pack(&root, &globs, out)
            }
        })
        .await
        .map_err(|error| Failure::failed(format!("artifact `{}` cannot be packed: {error}", rule.name)))?;
        for note in &packed.notes {
            line(&*context.log, step, format!("artifact {}: {note}", rule.name));
        }
        if packed.entries == 0 {
            line(
                &*context.log,
                step,
                format!("artifact {}: nothing matches {}", rule.name, rule.paths.join(", ")),
            );
        } else {
            context
                .results
                .put_artifact(&rule.name, &file)
                .await
                .map_err(|error| stored(&rule.name, &error))?;
            let summary = format!("artifact {}: {} files, {} bytes", rule.name, packed.entries, packed.bytes);
            line(&*context.log, step, summary);
        }
        // What is left in the scratch folder goes with the stage.
        let _ = std::fs::remove_file(&file);
    }
    Ok(())
}

/// Hands in the reports. A rule with thresholds and without any file fails the stage: they could not be judged.
pub async fn reports(context: &StageContext, step: u32) -> Result<(), Failure> {
    let mut missing = None;
    for rule in &context.lease.stage.reports {
        let (root, globs) = (context.dirs.workspace(), rule.paths.clone());
        let found = blocking(move || read_beneath(&root, &globs))
            .await
            .map_err(|error| Failure::failed(format!("the reports cannot be read: {error}")))?;
        if found.is_empty() {
            let what = format!("no file matches the report {}", rule.paths.join(", "));
            line(&*context.log, step, &what);
            if rule.fail_on != Thresholds::default() && missing.is_none() {
                missing = Some(Failure::failed(format!("{what}, so its thresholds cannot be judged")));
            }
        }
        if rule.fail_on != Thresholds::default() && !context.results.judges() {
            let what = rule.paths.join(", ");
            line(
                &*context.log,
                step,
                format!(
                    "report {what}: `fail_on` is judged by a server, which also has the reports that new findings are \
                     compared with; here reports are only kept"
                ),
            );
        }
        for (path, bytes) in found {
            match context.results.put_report(rule.kind, &path, bytes).await {
                Ok(()) => line(&*context.log, step, format!("report {path}")),
                Err(ResultsError::Invalid(reason)) => {
                    return Err(Failure::failed(format!("the report {path} cannot be read: {reason}")));
                }
                Err(error) => return Err(stored(&path, &error)),
            }
        }
    }
    missing.map_or(Ok(()), Err)
}

fn stored(what: &str, error: &ResultsError) -> Failure {
    match error {
        ResultsError::Invalid(_) => Failure::failed(format!("`{what}` was not stored: {error}")),
        _ => Failure::infrastructure(format!("`{what}` was not stored: {error}")),
    }
}

/// The selected files below a folder with their bytes, never through a link. Too large or too many is an error.
pub fn read_beneath(root: &Path, globs: &[String]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let selection = Selection::new(globs)?;
    let opened = Root::open(root).map_err(ArchiveError::io(format!("open {}", root.display())))?;
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for name in opened.names(&folder).unwrap_or_default() {
            let path = folder.join(name);
            // Links, vanished files and foreign names are not reports.
            let (Some(text), Ok(file)) = (path.to_str(), opened.read(&path)) else { continue };
            let Ok(meta) = file.metadata() else { continue };
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file() && selection.includes(text) {
                if meta.len() > LARGEST_REPORT {
                    return Err(ArchiveError::Refused(format!(
                        "{text} is larger than {} MiB",
                        LARGEST_REPORT >> 20
                    )));
                }
                if found.len() == MOST_REPORTS {
                    return Err(ArchiveError::Refused(format!("more than {MOST_REPORTS} files match")));
                }
                let mut bytes = Vec::new();
                file.take(LARGEST_REPORT)
                    .read_to_end(&mut bytes)
                    .map_err(ArchiveError::io(format!("read {text}")))?;
                found.push((text.to_owned(), bytes));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Runs file work away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ArchiveError::Io { what: "work on files".to_owned(), source: error.into() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_found_and_links_are_not_followed() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(root.path().join("reports/deep")).unwrap();
        std::fs::write(root.path().join("reports/a.xml"), "a").unwrap();
        std::fs::write(root.path().join("reports/deep/b.xml"), "b").unwrap();
        std::fs::write(outside.path().join("c.xml"), "c").unwrap();
        std::os::unix::fs::symlink(outside.path().join("c.xml"), root.path().join("reports/c.xml")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("reports/out")).unwrap();
        let found = read_beneath(root.path(), &["reports/**/*.xml".to_owned()]).unwrap();
        let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["reports/a.xml", "reports/deep/b.xml"]);
    }
}
