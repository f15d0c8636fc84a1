//! The image in which programs that speak to machines elsewhere are stand-ins, made from `e2e/stand-ins`.

use std::path::Path;

use anyhow::{Context, Result};

use crate::host::docker;

/// Builds it, which is quick when nothing changed, and gives its name.
pub fn image() -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins");
    let id = docker(&["build", "--quiet", &folder.display().to_string()])?;
    // By its content, so that tests of two checkouts at a time do not take it from each other.
    let (_, hex) = id.rsplit_once(':').context("an image's id is a digest")?;
    let name = format!("tidegate-test/stand-ins:{}", hex.get(..12).context("a digest has 64 signs")?);
    docker(&["tag", &id, &name])?;
    Ok(name)
}
