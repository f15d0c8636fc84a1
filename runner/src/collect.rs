//! What a stage leaves behind: artifacts and reports, picked from its workspace by globs, and the file with the stages
//! that it adds to its run.

use std::{fs::File, io::Read, path::Path};

use tidegate_pipelines::plan::{ArtifactWhen, Emits, Thresholds};

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

/// The file with further stages, secrets masked; none where the stage wrote none.
pub async fn emitted(context: &StageContext, emits: &Emits, step: u32) -> Result<Option<String>, Failure> {
    let (root, path) = (context.dirs.workspace(), emits.file.clone());
    let read = blocking(move || read_text(&root, &path, Emits::MOST_BYTES)).await;
    let read = read
        .map_err(|error| Failure::failed(format!("the stages in {} cannot be added: {error}", emits.file)))?;
    match &read {
        Some(text) => line(&*context.log, step, format!("stages {}, {} bytes", emits.file, text.len())),
        None => line(&*context.log, step, format!("there is no {}, so no stages are added", emits.file)),
    }
    Ok(read.map(|text| context.log.mask(&text)))
}

/// The text of a file below a folder, never through a link; none where there is nothing. What is no file, too large or
/// no text is an error.
fn read_text(root: &Path, path: &str, most: usize) -> Result<Option<String>, ArchiveError> {
    let opened = Root::open(root).map_err(ArchiveError::io(format!("open {}", root.display())))?;
    let file = match opened.read(Path::new(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ArchiveError::io(format!("open {path} (links are not followed)"))(error)),
    };
    let meta = file.metadata().map_err(ArchiveError::io(format!("read {path}")))?;
    if !meta.is_file() {
        return Err(ArchiveError::NoText(format!("{path} is no file")));
    }
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(ArchiveError::io(format!("read {path}")))?;
    if bytes.len() > most {
        return Err(ArchiveError::NoText(format!("{path} is larger than {} KiB", most >> 10)));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| ArchiveError::NoText(format!("{path} is no text: it is to be UTF-8")))
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
    fn the_file_with_further_stages_is_text_of_bounded_size_and_no_link() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("out/folder")).unwrap();
        std::fs::write(at("out/good.yml"), "stages: {}").unwrap();
        std::fs::write(at("out/large.yml"), "12345678901").unwrap();
        std::fs::write(at("out/binary"), b"\xff\xfe").unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), at("out/link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), at("away")).unwrap();
        nix::unistd::mkfifo(&at("out/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let read = |path: &str| read_text(root.path(), path, 10);
        assert_eq!(read("out/good.yml").unwrap().as_deref(), Some("stages: {}"));
        assert_eq!(read("out/none.yml").unwrap(), None);
        assert_eq!(read("none/none.yml").unwrap(), None);
        let secret = outside.path().join("secret");
        for (path, why) in [
            ("out/large.yml", "larger than"),
            ("out/binary", "no text"),
            ("out/folder", "no file"),
            ("out/pipe", "no file"),
            ("out/link", "links are not followed"),
            ("away/secret", "links are not followed"),
            ("../secret", "links are not followed"),
            (secret.to_str().unwrap(), "links are not followed"),
        ] {
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains(why), "{path}: {error}");
        }
    }

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
