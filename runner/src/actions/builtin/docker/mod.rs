//! Docker's own actions. The engine's BuildKit does what they ask; no Docker program is in the sandbox, and neither
//! are a registry's credentials.

mod build_inputs;
mod build_push;
mod csv;
mod goal;
mod login;
mod metadata;
mod metadata_action;
mod moustache;
mod setup;
mod versions;

pub use build_push::BuildPush;
pub use login::Login;
pub(super) use login::host;
pub use metadata_action::Metadata;
pub use setup::{Buildx, Qemu};

/// The platform of this runner's engine.
fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{arch}")
}
