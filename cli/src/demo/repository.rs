//! The demo's git repositories: a bare one with a hook that speaks like GitHub, and a developer's clone of it.
//!
//! Each round makes two commits: a good one, and one whose health check fails in production alone.

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    process::Command,
};

use rust_embed::Embed;
use secrecy::{ExposeSecret, SecretString};

use super::folder::{Folder, Person, REPOSITORY};
use crate::failure::{Doing, Failure, Outcome};

/// The sample service as it is at first.
#[derive(Embed)]
#[folder = "../demo/service/"]
struct Service;

/// The files that the second commit changes.
#[derive(Embed)]
#[folder = "../demo/second-commit/"]
struct SecondCommit;

/// The two repositories.
pub struct Repository<'a> {
    folder: &'a Folder,
}

impl<'a> Repository<'a> {
    /// Opens them, and makes them the first time.
    pub fn open(folder: &'a Folder) -> Outcome<Self> {
        let repository = Self { folder };
        if !folder.bare().join("HEAD").is_file() {
            git(
                folder.root(),
                &["init", "--quiet", "--bare", "--initial-branch=main", path(&folder.bare())?],
            )?;
        }
        if !folder.clone().join(".git").is_dir() {
            git(folder.root(), &["clone", "--quiet", path(&folder.bare())?, path(&folder.clone())?])?;
            git(&folder.clone(), &["checkout", "--quiet", "-B", "main"])?;
            git(&folder.clone(), &["config", "user.name", "Dev"])?;
            git(&folder.clone(), &["config", "user.email", "dev@example.org"])?;
        }
        Ok(repository)
    }

    /// Makes the hook that tells the server of a push.
    pub fn install_hook(&self, webhook_url: &str) -> Outcome {
        let program = std::env::current_exe().doing("cannot tell where this program is")?;
        let script = format!(
            "#!/bin/sh\n# Tells Tidegate of a push, as GitHub would.\nexec {} hook post-receive --url {} --secret-file {} --repository {REPOSITORY}\n",
            quoted(path(&program)?),
            quoted(webhook_url),
            quoted(path(&self.folder.webhook_secret())?),
        );
        let hook = self.folder.bare().join("hooks/post-receive");
        if let Some(parent) = hook.parent() {
            fs::create_dir_all(parent).doing(format!("cannot make {}", parent.display()))?;
        }
        fs::write(&hook, script).doing(format!("cannot write {}", hook.display()))?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).doing("cannot make the hook executable")
    }

    /// Keeps the secret that the hook signs with.
    pub fn keep_secret(&self, secret: &SecretString) -> Outcome {
        let place = self.folder.webhook_secret();
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&place)
            .doing(format!("cannot write {}", place.display()))?;
        file.write_all(secret.expose_secret().as_bytes()).doing(format!("cannot write {}", place.display()))
    }

    /// Whether a hook and its secret are there.
    pub fn has_hook(&self) -> bool {
        self.folder.webhook_secret().is_file() && self.folder.bare().join("hooks/post-receive").is_file()
    }

    /// Commits the service in its good state; gives the commit.
    pub fn commit_good(&self) -> Outcome<String> {
        // Two commits to a round; the second is missing where somebody said no, or stopped looking.
        let commits =
            git(&self.folder.clone(), &["rev-list", "--count", "--all"])?.trim().parse::<u32>().unwrap_or(0);
        let round = commits.div_ceil(2) + 1;
        for name in Service::iter() {
            if let Some(file) = Service::get(&name) {
                self.write(&name, &file.data)?;
            }
        }
        self.write(
            "NOTES.md",
            format!("# Notes\n\nRelease {round}: heights in metres above the datum of each place.\n")
                .as_bytes(),
        )?;
        self.commit(&if round == 1 {
            "Answer how high the water stands".to_owned()
        } else {
            format!("Release {round}")
        })
    }

    /// Commits the change whose health check fails in production.
    pub fn commit_bad(&self) -> Outcome<String> {
        for name in SecondCommit::iter() {
            if let Some(file) = SecondCommit::get(&name) {
                self.write(&name, &file.data)?;
            }
        }
        self.commit("Read the datums from the survey's table")
    }

    /// Pushes as the developer.
    pub fn push(&self) -> Outcome {
        let mut command = git_command(&self.folder.clone(), &["push", "--quiet", "origin", "main"]);
        command.env("TIDEGATE_PUSHER", Person::Dev.username());
        finish(command, "git push").map(drop)
    }

    fn commit(&self, message: &str) -> Outcome<String> {
        let place = self.folder.clone();
        git(&place, &["add", "--all"])?;
        git(&place, &["commit", "--quiet", "--allow-empty", "--message", message])?;
        Ok(git(&place, &["rev-parse", "HEAD"])?.trim().to_owned())
    }

    fn write(&self, name: &str, data: &[u8]) -> Outcome {
        let target = self.folder.clone().join(name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).doing(format!("cannot make {}", parent.display()))?;
        }
        let settings = &self.folder.settings;
        let text = String::from_utf8_lossy(data)
            .replace("@REGISTRY_PORT@", &settings.registry_port.to_string())
            .replace("@STAGING_PORT@", &settings.staging_port.to_string())
            .replace("@PRODUCTION_PORT@", &settings.production_port.to_string())
            .replace("@PROJECT@", &settings.project);
        fs::write(&target, text).doing(format!("cannot write {}", target.display()))
    }
}

fn git_command(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.current_dir(place).args(arguments).stdin(std::process::Stdio::null());
    // The surroundings' own settings have no part in the demo.
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    command
}

fn git(place: &Path, arguments: &[&str]) -> Outcome<String> {
    finish(git_command(place, arguments), &format!("git {}", arguments.first().unwrap_or(&"")))
}

fn finish(mut command: Command, name: &str) -> Outcome<String> {
    let output = command.output().doing(format!("cannot start {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Failure::new(format!("{name} failed")).because(said.trim()));
    }
    // What a hook says reaches the pusher here.
    if said.contains("error:") {
        return Err(Failure::new(format!("{name}: the hook failed")).because(said.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn path(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| {
        Failure::usage(format!("{} is not UTF-8", path.display())).mend("choose another folder")
    })
}

/// As one word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_compiles_without_a_mistake() {
        let file = Service::get(".tidegate/pipeline.yml").unwrap();
        let text = String::from_utf8_lossy(&file.data)
            .replace("@REGISTRY_PORT@", "5000")
            .replace("@PROJECT@", "demo");
        let source = tidegate_pipelines::SourceFile { path: ".tidegate/pipeline.yml", text: &text };
        let found = tidegate_pipelines::check(&source);
        assert!(found.is_empty(), "{}", tidegate_pipelines::render(&source, &found, false));
    }

    #[test]
    fn rounds_of_commits_go_back_and_forth() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path(), "demo").unwrap();
        let repository = Repository::open(&folder).unwrap();
        let datums = folder.clone().join("src/tides/datums.py");
        let first = repository.commit_good().unwrap();
        assert!(fs::read_to_string(&datums).unwrap().contains("nap"));
        let second = repository.commit_bad().unwrap();
        assert!(!fs::read_to_string(&datums).unwrap().contains("\nnap"));
        repository.push().unwrap();
        let third = Repository::open(&folder).unwrap().commit_good().unwrap();
        assert!(fs::read_to_string(&datums).unwrap().contains("\"nap\""));
        assert!(first != second && second != third && first != third);
        let pipeline = fs::read_to_string(folder.clone().join(".tidegate/pipeline.yml")).unwrap();
        assert!(!pipeline.contains("_PORT@"), "{pipeline}");
    }

    #[test]
    fn words_for_the_shell_stay_words() {
        assert_eq!(quoted("a b'c"), r"'a b'\''c'");
    }
}
