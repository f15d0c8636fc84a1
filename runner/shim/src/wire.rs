//! What runner and shim say to each other, compiled into both.
//!
//! Two append-only files carry it. `commands` holds one JSON [`Command`] a line, written by the runner.
//! `spool` holds frames, written by the shim: a header of twelve bytes (kind, three zero bytes, step and length
//! as little-endian u32) and the payload. Neither file ever shrinks, so whoever restarts reads on where it was,
//! or all over again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of this format; the shim says it in its first frame.
pub const VERSION: u32 = 2;
/// The exit code of a shim whose lease ran out.
pub const EXIT_LEASE: i32 = 75;
/// Bytes of a frame's header.
pub const HEADER: usize = 12;
/// The largest payload. A longer one is a broken spool.
pub const MAX_PAYLOAD: usize = 4 << 20;
/// Where a sandbox sees the socket of the runner's toolkit, if it has one.
pub const TOOLKIT_SOCKET: &str = "/.tidegate-toolkit/socket";
/// Where the shim listens for whoever wants the toolkit: of the sandbox's own loopback, and above the ports that
/// kernels hand out.
pub const TOOLKIT_ADDRESS: &str = "127.0.0.1:61017";

/// A line of `commands`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Run a step after the ones before it, or beside them ([`StepCommand::background`]).
    Step(StepCommand),
    /// Stop this step: TERM, grace, KILL. Nothing when it has ended.
    Cancel {
        /// The step.
        step: u32,
    },
    /// The lease now ends then, in milliseconds since boot. At that time the sandbox ends itself, though no runner
    /// may be left to end it.
    Lease {
        /// The time.
        until_ms: u64,
    },
    /// Nothing more comes: exit.
    End,
}

/// A step to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCommand {
    /// Its index in the attempt.
    pub index: u32,
    /// The program and its arguments. The script's path stands where they say `{0}`, else it is appended.
    pub argv: Vec<String>,
    /// The same, used when there is no such program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// The script's path below the channel folder; empty: there is none, the arguments are all.
    pub script: String,
    /// The stage's environment. What earlier steps wrote to `TIDEGATE_ENV` goes over it.
    pub env: BTreeMap<String, String>,
    /// The step's own environment, over all else.
    pub step_env: BTreeMap<String, String>,
    /// Search paths before all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// Gives the step the files of GitHub's runner too (`GITHUB_OUTPUT`, …), read by its rules. What it writes
    /// there goes to the runner alone, who gives later steps their whole environment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub github_files: bool,
    /// The steps after it do not wait for its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
    /// Absolute working directory.
    pub cwd: String,
    /// Milliseconds until it is stopped.
    pub timeout_ms: Option<u64>,
    /// Milliseconds between TERM and KILL.
    pub grace_ms: u64,
    /// Bytes of output that are kept; the rest is dropped, and a line says so.
    pub output_limit: u64,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The shim is up. Payload: [`Alive`].
    Alive,
    /// The step's process was started. No payload.
    Started,
    /// Bytes that the step printed.
    Output,
    /// The step ended. Payload: [`Finished`].
    Finished,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Alive => 1,
            Self::Started => 2,
            Self::Output => 3,
            Self::Finished => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Alive),
            2 => Some(Self::Started),
            3 => Some(Self::Output),
            4 => Some(Self::Finished),
            _ => None,
        }
    }
}

/// The shim's first words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// [`VERSION`] of the shim.
    pub version: u32,
    /// Why the sandbox is of no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How a step ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Its exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It was stopped because its time was up.
    pub timed_out: bool,
    /// It was stopped on request.
    pub cancelled: bool,
    /// The kernel killed a process of the sandbox for want of memory meanwhile.
    pub out_of_memory: bool,
    /// How long it took.
    pub duration_ms: u64,
    /// What it wrote to `TIDEGATE_OUTPUT`.
    pub outputs: BTreeMap<String, String>,
    /// What it wrote to `TIDEGATE_ENV`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What it wrote to `TIDEGATE_PATH`, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// What it wrote to `GITHUB_STATE`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, String>,
    /// What it wrote to `GITHUB_STEP_SUMMARY`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// What it wrote in vain, a sentence each; it does not fail for that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Why it could not be started, or its files could not be read. It counts as failed then.
    pub error: Option<String>,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// The step; 0 for [`Kind::Alive`].
    pub step: u32,
    /// Bytes of payload.
    pub len: usize,
}

impl Header {
    /// The header as bytes.
    pub fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.kind.byte();
        bytes[4..8].copy_from_slice(&self.step.to_le_bytes());
        bytes[8..12].copy_from_slice(&u32::try_from(self.len).unwrap_or(u32::MAX).to_le_bytes());
        bytes
    }

    /// Reads a header. `None`: these bytes are none, the spool is broken.
    pub fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let [kind, 0, 0, 0, a, b, c, d, e, f, g, h] = *bytes else { return None };
        let kind = Kind::from_byte(kind)?;
        let len = u32::from_le_bytes([e, f, g, h]) as usize;
        (len <= MAX_PAYLOAD).then_some(Self { kind, step: u32::from_le_bytes([a, b, c, d]), len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_trip() {
        for kind in [Kind::Alive, Kind::Started, Kind::Output, Kind::Finished] {
            let header = Header { kind, step: 70_000, len: MAX_PAYLOAD };
            assert_eq!(Header::decode(&header.encode()), Some(header));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let good = Header { kind: Kind::Output, step: 1, len: 5 }.encode();
        for (at, value) in [(0, 0), (0, 9), (1, 1), (3, 255), (11, 1)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Header::decode(&bad), None, "byte {at} = {value}");
        }
    }
}
