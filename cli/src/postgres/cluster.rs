//! A cluster's folder: made once, owned by an unprivileged user, of one major version.
//!
//! Layout below the folder: `data/` is Postgres's own, `socket/` holds the socket, `postgres.log` its output.
//! Whoever may enter `socket/` may use the database, so that folder is its owner's alone.

use std::{
    fs,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, User, chown};
use sha2::{Digest, Sha256};

use super::binaries::Binaries;
use crate::failure::{Doing, Failure, Outcome};

/// The database in the cluster.
const DATABASE: &str = "tidegate";
/// A socket's path may be this long, the file name Postgres gives it included.
const SOCKET_PATH_LIMIT: usize = 107;

/// The user that Postgres runs as.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    uid: u32,
    gid: u32,
    /// We are root and have to step down.
    drops: bool,
}

impl Owner {
    /// Ourselves; for root `postgres`, or `nobody` where that does not exist: Postgres refuses to run as root.
    fn choose() -> Outcome<Self> {
        if !Uid::effective().is_root() {
            return Ok(Self { uid: Uid::effective().as_raw(), gid: Gid::effective().as_raw(), drops: false });
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                return Ok(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), drops: true });
            }
        }
        Err(Failure::new("no unprivileged user for the database was found")
            .because("Postgres refuses to run as root, and this system has no user `postgres` or `nobody`")
            .mend("run Tidegate as an ordinary user, or give a database of your own in DATABASE_URL"))
    }

    /// Whether a folder with this metadata may be passed through by the owner.
    fn may_enter(&self, metadata: &fs::Metadata) -> bool {
        let mode = metadata.permissions().mode();
        match () {
            () if metadata.uid() == self.uid => mode & 0o100 != 0,
            () if metadata.gid() == self.gid => mode & 0o010 != 0,
            () => mode & 0o001 != 0,
        }
    }
}

/// A cluster's folder, ready to be started from.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The programs it is started with.
    pub binaries: Binaries,
    /// Postgres's own folder.
    pub data: PathBuf,
    /// Where the socket is.
    pub socket: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    owner: Owner,
}

impl Cluster {
    /// Opens the cluster in `folder`, and makes it the first time.
    pub fn open(folder: &Path) -> Outcome<Self> {
        let binaries = Binaries::find()?;
        let owner = Owner::choose()?;
        make_folder(folder, 0o755, None)?;
        let folder = folder.canonicalize().doing(format!("cannot open {}", folder.display()))?;
        check_parents(&folder, owner)?;
        let cluster = Self {
            data: folder.join("data"),
            socket: socket_folder(&folder),
            log: folder.join("postgres.log"),
            binaries,
            owner,
        };
        make_folder(&cluster.socket, 0o700, Some(owner))?;
        if cluster.data.join("PG_VERSION").is_file() {
            cluster.check_version()?;
        } else {
            cluster.create()?;
        }
        Ok(cluster)
    }

    /// How sqlx connects to it.
    pub fn url(&self) -> Outcome<String> {
        let mut url =
            url::Url::parse("postgres://postgres@localhost:5432").doing("cannot build a database URL")?;
        url.set_path(DATABASE);
        url.query_pairs_mut().append_pair("host", &self.socket.to_string_lossy());
        Ok(url.into())
    }

    /// One of Postgres's programs, as the cluster's owner, apart from our terminal and working directory.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.program(program));
        command.current_dir("/").process_group(0).stdin(Stdio::null()).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
        if self.owner.drops {
            command.uid(self.owner.uid).gid(self.owner.gid);
        }
        command
    }

    fn check_version(&self) -> Outcome {
        let path = self.data.join("PG_VERSION");
        let text = fs::read_to_string(&path).doing(format!("cannot read {}", path.display()))?;
        let version = text.trim();
        if version == self.binaries.major.to_string() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the database in {} was made by Postgres {version}, and {} is Postgres {}",
            self.data.display(),
            self.binaries.folder.display(),
            self.binaries.major
        ))
        .because("a Postgres server reads only data of its own major version")
        .mend(format!(
            "install Postgres {version} and name its folder in TIDEGATE_PG_BIN; or move the data with pg_upgrade, or with pg_dump under {version} and a restore into a new data folder"
        )))
    }

    /// Makes the cluster beside its place and moves it there when it is whole, so that an interruption leaves
    /// nothing half made behind.
    fn create(&self) -> Outcome {
        let new = self.data.with_file_name("data.new");
        if new.exists() {
            fs::remove_dir_all(&new).doing(format!("cannot remove {}", new.display()))?;
        }
        make_folder(&new, 0o700, Some(self.owner))?;
        let mut command = self.command("initdb");
        command.arg("--pgdata").arg(&new);
        command.args([
            "--username=postgres",
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        run("initdb", &mut command, None)?;
        let mut command = self.command("postgres");
        command.arg("--single").arg("-D").arg(&new).arg("postgres");
        run("postgres --single", &mut command, Some(&format!("create database {DATABASE};\n")))?;
        fs::rename(&new, &self.data).doing(format!("cannot move {} into place", new.display()))
    }
}

/// Runs one of Postgres's programs to its end.
fn run(name: &str, command: &mut Command, input: Option<&str>) -> Outcome {
    use std::io::Write;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().doing(format!("cannot start {name}"))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes()).doing(format!("cannot speak to {name}"))?;
    }
    let output = child.wait_with_output().doing(format!("cannot wait for {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().rev().take(6).collect();
    Err(Failure::new(format!("{name} could not make the embedded database ({})", output.status))
        .because(lines.into_iter().rev().collect::<Vec<_>>().join("\n       ")))
}

fn make_folder(path: &Path, mode: u32, owner: Option<Owner>) -> Outcome {
    if !path.is_dir() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .doing(format!("cannot make the folder {}", path.display()))?;
    }
    if let Some(owner) = owner.filter(|owner| owner.drops) {
        chown(path, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
            .doing(format!("cannot hand {} to the database's user", path.display()))?;
    }
    Ok(())
}

/// The folder of the socket: beside the data, or below `/tmp` when that path is too long for a socket.
fn socket_folder(folder: &Path) -> PathBuf {
    let beside = folder.join("socket");
    if beside.join(".s.PGSQL.5432").as_os_str().len() <= SOCKET_PATH_LIMIT {
        return beside;
    }
    let hash = hex::encode(Sha256::digest(folder.as_os_str().as_encoded_bytes()));
    let (name, _) = hash.split_at(16);
    PathBuf::from(format!("/tmp/tidegate-{name}"))
}

/// Refuses a folder that the owner cannot reach, and names the parent that is closed.
fn check_parents(folder: &Path, owner: Owner) -> Outcome {
    for parent in folder.ancestors() {
        let metadata = fs::metadata(parent).doing(format!("cannot look at {}", parent.display()))?;
        if owner.drops && !owner.may_enter(&metadata) {
            return Err(Failure::new(format!(
                "the embedded database cannot be kept in {}",
                folder.display()
            ))
            .because(format!(
                "as root, Tidegate runs the database as an unprivileged user, and that user may not enter {}",
                parent.display()
            ))
            .mend(
                "choose another --data-dir, for example below /var/lib; or run Tidegate as an ordinary user",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_gets_a_short_socket() {
        let long = PathBuf::from(format!("/{}", "x".repeat(120)));
        let socket = socket_folder(&long);
        assert!(socket.starts_with("/tmp"), "{}", socket.display());
        assert_eq!(socket, socket_folder(&long));
        assert_eq!(socket_folder(Path::new("/srv/t")), Path::new("/srv/t/socket"));
    }

    #[test]
    fn a_closed_parent_is_named() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("closed/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(root.path().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Owner { uid: 65_533, gid: 65_533, drops: true };
        let failure = check_parents(&inner, stranger).unwrap_err();
        assert!(failure.to_string().contains("may not enter"), "{failure}");
        assert!(failure.to_string().contains("closed"), "{failure}");
        fs::set_permissions(root.path().join("closed"), fs::Permissions::from_mode(0o711)).unwrap();
        check_parents(&inner, stranger).unwrap();
    }
}
