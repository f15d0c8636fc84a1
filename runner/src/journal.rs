//! What survives a restart of this process: one file per attempt, replaced as a whole and fsynced before what it
//! announces begins.
//!
//! It holds the lease with its secrets (mode 0600 in a folder of mode 0700, removed with the attempt): without them
//! a stage cannot be continued.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};
use tidegate_protocol::messages::{Finish, Lease};

use crate::{clock, sandbox::NetworkId, sync::lock};

const VERSION: u32 = 1;

/// How far an attempt has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing of the stage's own has begun: it may begin again from nothing.
    Preparing,
    /// Steps run in a sandbox; its shim keeps what happens meanwhile.
    Steps,
    /// The runner itself builds, pushes, deploys or checks.
    Verb,
    /// The result is known and on its way to the server.
    Finished(Finish),
}

/// One attempt, as written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    version: u32,
    /// The boot in which the times below count.
    pub boot_id: String,
    /// Milliseconds since boot at which the lease ends, as last heard.
    pub expires_ms: u64,
    /// Milliseconds since boot at which the stage's own time is up.
    pub deadline_ms: u64,
    /// The lease.
    pub lease: Lease,
    /// How far it has come.
    pub phase: Phase,
    /// The stage's network, once there is one.
    pub network: Option<NetworkId>,
}

/// An attempt's journal.
pub struct Journal {
    path: PathBuf,
    entry: Mutex<Entry>,
}

impl Journal {
    /// Begins the journal of a new attempt.
    pub fn begin(path: &Path, lease: &Lease, expires_ms: u64, deadline_ms: u64) -> io::Result<Self> {
        let entry = Entry {
            version: VERSION,
            boot_id: clock::boot_id(),
            expires_ms,
            deadline_ms,
            lease: lease.clone(),
            phase: Phase::Preparing,
            network: None,
        };
        write(path, &entry)?;
        Ok(Self { path: path.to_owned(), entry: Mutex::new(entry) })
    }

    /// Reads the journal of an earlier process. `None`: it is of another version, or was never whole.
    pub fn read(path: &Path) -> Option<Self> {
        let entry: Entry = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (entry.version == VERSION).then(|| Self { path: path.to_owned(), entry: Mutex::new(entry) })
    }

    /// What is written down now.
    pub fn entry(&self) -> Entry {
        lock(&self.entry).clone()
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        lock(&self.entry).phase.clone()
    }

    /// Changes it, on disk before this returns.
    pub fn update(&self, change: impl FnOnce(&mut Entry)) -> io::Result<()> {
        let mut entry = lock(&self.entry);
        let mut changed = entry.clone();
        change(&mut changed);
        write(&self.path, &changed)?;
        *entry = changed;
        Ok(())
    }
}

fn write(path: &Path, entry: &Entry) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec(entry)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
