//! The shim's program, carried in this one, and the words it understands.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

#[path = "../../shim/src/wire.rs"]
pub mod wire;

/// A static program for any image; see `build.rs`.
static PROGRAM: &[u8] = include_bytes!(env!("TIDEGATE_SHIM"));

/// Puts the program into a folder, unless it is there already, and gives its path. The name carries its content's
/// length and sum, so a newer runner never replaces the file under a sandbox that an older one started.
pub fn install(folder: &Path) -> io::Result<PathBuf> {
    let sum = PROGRAM
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let path = folder.join(format!("shim-{sum:016x}"));
    if fs::metadata(&path).is_ok_and(|data| data.len() == PROGRAM.len() as u64) {
        return Ok(path);
    }
    fs::create_dir_all(folder)?;
    let fresh = folder.join(format!("shim-{sum:016x}.{}", std::process::id()));
    fs::write(&fresh, PROGRAM)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    fs::rename(&fresh, &path)?;
    Ok(path)
}
