//! A machine that things are deployed to: a container with an SSH server, nginx, and the Docker command line.
//!
//! It shares the network and the engine of the machine under it, so what is deployed there are containers beside it.

use std::{
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use crate::process::free_port;

/// Made by `scripts/images tools`; stands in for public images too.
pub const TOOLS: &str = "tidegate-test/tools:1";
/// Made by `scripts/images node`: what the examples' services are built on, and small, because it is pushed.
pub const NODE: &str = "tidegate-test/node:1";

/// Keys come by the environment, so that no file of the tester's is mounted. The user is root by another name: it may
/// use the engine's socket and reload nginx, as the examples ask of their hosts.
const START: &str = r#"set -e
useradd --non-unique --uid 0 --gid 0 --create-home --shell /bin/bash --password '*' deploy
mkdir -p /run/sshd /home/deploy/.ssh /srv
printf '%s\n' "$AUTHORIZED_KEY" >/home/deploy/.ssh/authorized_keys
umask 077
printf '%s\n' "$HOST_KEY" >/etc/ssh/host_key
umask 022
git config --system safe.directory '*'
rm -f /etc/nginx/sites-enabled/default
exec /usr/sbin/sshd -D -e -p "$SSH_PORT" -h /etc/ssh/host_key"#;

/// The container, removed when dropped.
pub struct Host {
    name: String,
    /// Where its SSH server listens.
    pub ssh_port: u16,
    /// The private key that logs in as `deploy`.
    pub key: String,
    host_key: String,
    folder: tempfile::TempDir,
}

impl Host {
    /// Starts one and waits until its SSH server listens.
    pub fn start() -> Result<Self> {
        Self::start_with(None)
    }

    /// As [`Host::start`], with a folder of this machine at a path in it.
    pub fn start_with(shared: Option<(&Path, &str)>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (key, public) = key_pair(folder.path(), "deploy")?;
        let (host_private, host_public) = key_pair(folder.path(), "host")?;
        let host = Self {
            name: format!("e2e-host-{}", Uuid::new_v4().simple()),
            ssh_port: free_port()?,
            key,
            host_key: host_public,
            folder,
        };
        let port = format!("SSH_PORT={}", host.ssh_port);
        let (authorized, host_private) =
            (format!("AUTHORIZED_KEY={public}"), format!("HOST_KEY={host_private}"));
        let volume = shared.map(|(folder, path)| format!("{}:{path}", folder.display()));
        let mut run = vec!["run", "--detach", "--name", &host.name, "--network", "host"];
        run.extend(["--volume", "/var/run/docker.sock:/var/run/docker.sock"]);
        run.extend(volume.iter().flat_map(|volume| ["--volume", volume]));
        run.extend(["--env", &port, "--env", &authorized, "--env", &host_private]);
        run.extend([TOOLS, "bash", "-c", START]);
        docker(&run)?;
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", host.ssh_port)).is_err() {
            if Instant::now() > end {
                bail!("the host's SSH server does not listen: {}", docker(&["logs", &host.name])?);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(host)
    }

    /// A line for `known_hosts`, for the name or address that it is called by.
    pub fn known_host(&self, name: &str) -> String {
        format!("[{name}]:{} {}", self.ssh_port, self.host_key)
    }

    /// Runs a script on it as root; gives what it printed.
    pub fn run(&self, script: &str) -> Result<String> {
        docker(&["exec", &self.name, "bash", "-ec", script])
    }

    /// Writes a file on it.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let here = self.folder.path().join("file");
        std::fs::write(&here, text)?;
        docker(&["cp", &here.display().to_string(), &format!("{}:{path}", self.name)])?;
        Ok(())
    }

    /// A folder with a program `ssh` that knows this host by a name: what an operator has in `~/.ssh`.
    pub fn ssh_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join("bin");
        std::fs::create_dir_all(&folder)?;
        let at = |file: &str| self.folder.path().join(file).display().to_string();
        std::fs::write(at("known_hosts"), self.known_host("127.0.0.1"))?;
        std::fs::write(
            at("config"),
            format!(
                "Host {name}\n  HostName 127.0.0.1\n  IdentityFile {}\n  UserKnownHostsFile {}\n  StrictHostKeyChecking yes\n",
                at("deploy"),
                at("known_hosts")
            ),
        )?;
        let program = folder.join("ssh");
        // The older docker-compose asks for port 22 by name, so the first word must be this.
        let text =
            format!("#!/bin/sh\nexec /usr/bin/ssh -F {} -o Port={} \"$@\"\n", at("config"), self.ssh_port);
        std::fs::write(&program, text)?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(folder)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Best effort; a container that is gone already is no mistake here.
        let _ = docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// The address of this machine that containers on every network reach.
pub fn machine_address() -> Result<String> {
    let config = docker(&[
        "network",
        "inspect",
        "bridge",
        "--format",
        "{{with index .IPAM.Config 0}}{{.Gateway}} {{.Subnet}}{{end}}",
    ])?;
    // An engine in its first life says no gateway; it is the first address then.
    match config.split_whitespace().collect::<Vec<_>>().as_slice() {
        [gateway, _] => Ok((*gateway).to_owned()),
        [subnet] => {
            let network: Ipv4Addr = subnet.split('/').next().unwrap_or_default().parse()?;
            Ok(Ipv4Addr::from(u32::from(network) + 1).to_string())
        }
        _ => bail!("the engine's bridge has no addresses: {config}"),
    }
}

/// Runs the Docker command line; gives what it printed.
pub fn docker(arguments: &[&str]) -> Result<String> {
    let Output { status, stdout, stderr } =
        Command::new("docker").args(arguments).output().context("running docker")?;
    if !status.success() {
        bail!("docker {}: {}", arguments.first().unwrap_or(&""), String::from_utf8_lossy(&stderr).trim());
    }
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}

/// A new key pair; gives its private and its public part.
fn key_pair(folder: &Path, name: &str) -> Result<(String, String)> {
    let path = folder.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "e2e", "-f"])
        .arg(&path)
        .output()?;
    if !made.status.success() {
        bail!("ssh-keygen: {}", String::from_utf8_lossy(&made.stderr));
    }
    let public = std::fs::read_to_string(path.with_extension("pub"))?;
    Ok((std::fs::read_to_string(&path)?.trim_end().to_owned(), public.trim_end().to_owned()))
}
