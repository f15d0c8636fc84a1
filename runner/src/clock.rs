//! The clock of leases: it counts while the machine sleeps, and nobody can set it.
//!
//! It is the same for all processes of a machine, in sandboxes too, so a shim can keep a lease's time without the
//! runner. It begins anew with each boot, so a time on disk is only good with its boot's id.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since this machine's boot.
pub(crate) fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// This boot's id; empty where the kernel does not say, which never equals a stored one.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
