//! Where the Postgres programs are: `TIDEGATE_PG_BIN`, then the newest version in Debian's folders, then `PATH`.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::failure::{Failure, Outcome};

/// A folder with `initdb` and `postgres`, and the version they are of.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The folder.
    pub folder: PathBuf,
    /// Major version, for example 15.
    pub major: u32,
}

impl Binaries {
    /// Finds them, or says what to install.
    pub fn find() -> Outcome<Self> {
        if let Some(named) = env::var_os("TIDEGATE_PG_BIN") {
            let folder = PathBuf::from(named);
            return if is_complete(&folder) {
                Self::of(folder)
            } else {
                Err(Failure::usage(format!(
                    "TIDEGATE_PG_BIN names {}, which has no `initdb` and `postgres`",
                    folder.display()
                ))
                .mend("name the folder that holds them, for example /usr/lib/postgresql/15/bin"))
            };
        }
        let found = newest_below(Path::new("/usr/lib/postgresql")).or_else(|| on_path(env::var_os("PATH")));
        match found {
            Some(folder) => Self::of(folder),
            None => Err(Failure::new("no Postgres programs were found on this machine")
                .because("the embedded database needs `initdb` and `postgres`; /usr/lib/postgresql and PATH have neither")
                .mend("install them (Debian and Ubuntu: apt install postgresql), name their folder in TIDEGATE_PG_BIN, or give a database of your own in DATABASE_URL")),
        }
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn of(folder: PathBuf) -> Outcome<Self> {
        let program = folder.join("postgres");
        let output = std::process::Command::new(&program).arg("--version").current_dir("/").output();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        match major_version(&text) {
            Some(major) => Ok(Self { folder, major }),
            None => Err(Failure::new(format!("{} --version did not tell a version", program.display()))
                .because(format!("it printed {text:?}"))),
        }
    }
}

/// `postgres (PostgreSQL) 15.20 (Debian …)` is 15.
fn major_version(text: &str) -> Option<u32> {
    let number =
        text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

fn is_complete(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

/// The complete `<version>/bin` with the highest version.
fn newest_below(root: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(root).ok()?;
    entries
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, folder)| is_complete(folder))
        .max_by_key(|(version, _)| *version)
        .map(|(_, folder)| folder)
}

fn on_path(path: Option<std::ffi::OsString>) -> Option<PathBuf> {
    env::split_paths(&path?)
        // A link in PATH may stand alone; beside its target are the others.
        .filter_map(|folder| {
            std::fs::canonicalize(folder.join("initdb")).ok()?.parent().map(Path::to_path_buf)
        })
        .find(|folder| is_complete(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for name in ["initdb", "postgres"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
    }

    #[test]
    fn versions_are_read_from_what_it_prints() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("no such file"), None);
    }

    #[test]
    fn the_newest_complete_version_wins() {
        let root = tempfile::tempdir().unwrap();
        install(&root.path().join("9/bin"));
        install(&root.path().join("15/bin"));
        std::fs::create_dir_all(root.path().join("17/bin")).unwrap();
        assert_eq!(newest_below(root.path()), Some(root.path().join("15/bin")));
    }

    #[test]
    fn a_link_in_path_leads_to_its_folder() {
        let root = tempfile::tempdir().unwrap();
        let (real, links) = (root.path().join("real"), root.path().join("links"));
        install(&real);
        std::fs::create_dir_all(&links).unwrap();
        std::os::unix::fs::symlink(real.join("initdb"), links.join("initdb")).unwrap();
        assert_eq!(on_path(Some(links.into_os_string())), Some(real.canonicalize().unwrap()));
    }
}
