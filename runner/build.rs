//! Builds the shim: static, for any image, by a cargo of its own, and hands its path to the crate.
//!
//! The outer build's flags must not reach it (a coverage or sanitizer build of the runner would make a shim that
//! needs libraries), so its environment is cleared of everything that cargo and rustc read, but where crates come
//! from.

use std::{
    env,
    error::Error,
    path::PathBuf,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=the shim could not be built: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let shim = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("shim");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("shim");
    let target = env::var("TARGET")?;
    for path in ["Cargo.toml", "Cargo.lock", "src"] {
        println!("cargo::rerun-if-changed={}", shim.join(path).display());
    }

    let mut cargo = Command::new(env::var("CARGO")?);
    for (name, _) in env::vars() {
        if is_build_setting(&name) {
            cargo.env_remove(name);
        }
    }
    let status = cargo
        .current_dir(&shim)
        .args(["build", "--release", "--locked", "--quiet", "--target", &target])
        .arg("--target-dir")
        .arg(&out)
        .env("CARGO_ENCODED_RUSTFLAGS", ["-C", "target-feature=+crt-static"].join("\u{1f}"))
        .status()?;
    if !status.success() {
        return Err(format!("cargo build in {} ended with {status}", shim.display()).into());
    }
    let program = out.join(&target).join("release").join("tidegate-shim");
    println!("cargo::rustc-env=TIDEGATE_SHIM={}", program.display());
    Ok(())
}

fn is_build_setting(name: &str) -> bool {
    const KEPT: [&str; 5] =
        ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_"];
    let of_cargo = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
    let of_rustc = (name.starts_with("RUSTC") || name.starts_with("RUSTFLAGS")) && name != "RUSTC";
    let of_build = ["TARGET", "HOST", "OUT_DIR", "PROFILE", "OPT_LEVEL", "DEBUG", "NUM_JOBS", "CLIPPY_ARGS"];
    of_cargo || of_rustc || of_build.contains(&name) || name.starts_with("DEP_")
}
