//! `docker/setup-buildx-action` and `docker/setup-qemu-action`: there is nothing to set up. The engine's BuildKit
//! builds, and carries out instructions on the engine's own processor only.

use async_trait::async_trait;

use super::{
    super::{Builtin, Use},
    platform,
};
use crate::stage::Failure;

/// `docker/setup-buildx-action`.
pub struct Buildx;

#[async_trait]
impl Builtin for Buildx {
    fn name(&self) -> &'static str {
        "docker/setup-buildx-action"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("version", ""),
            ("driver", "docker-container"),
            ("driver-opts", ""),
            ("buildkitd-flags", ""),
            ("buildkitd-config", ""),
            ("buildkitd-config-inline", ""),
            ("config", ""),
            ("config-inline", ""),
            ("install", "false"),
            ("use", "true"),
            ("endpoint", ""),
            ("platforms", ""),
            ("append", ""),
            ("keep-state", "false"),
            ("cache-binary", "true"),
            ("cleanup", "true"),
            ("name", ""),
        ]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let platform = platform();
        if let "remote" | "kubernetes" = step.input("driver") {
            step.warn("the driver is left out of account: the engine's own BuildKit builds");
        }
        step.say(format!("nothing to set up: the engine's BuildKit builds, for {platform}"));
        for (name, value) in
            [("name", "default"), ("driver", "docker"), ("status", "running"), ("platforms", &*platform)]
        {
            step.set_output(name, value);
        }
        Ok(())
    }
}

/// `docker/setup-qemu-action`.
pub struct Qemu;

#[async_trait]
impl Builtin for Qemu {
    fn name(&self) -> &'static str {
        "docker/setup-qemu-action"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[("image", ""), ("platforms", "all"), ("cache-image", "true")]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let platform = platform();
        step.say(format!(
            "no other processor is emulated: what images run while they are built is of {platform}"
        ));
        step.set_output("platforms", platform);
        Ok(())
    }
}
