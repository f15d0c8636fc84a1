//! The floors: what the engine alone needs for the same.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bollard::{
    Docker,
    models::ContainerCreateBody,
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptionsBuilder,
        StartContainerOptions,
    },
};
use futures_util::StreamExt;
use tidegate_e2e::engine::IMAGE;

/// Create, attach, start, and the first byte of `echo hello`, through the engine's API.
pub async fn first_byte() -> Result<Duration> {
    let docker = Docker::connect_with_local_defaults()?.negotiate_version().await?;
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        cmd: Some(vec!["sh".to_owned(), "-c".to_owned(), "echo hello".to_owned()]),
        attach_stdout: Some(true),
        ..Default::default()
    };
    let start = Instant::now();
    let id = docker.create_container(None::<CreateContainerOptions>, body).await?.id;
    let options = AttachContainerOptionsBuilder::default().stdout(true).stream(true).build();
    let mut attached = docker.attach_container(&id, Some(options)).await?;
    docker.start_container(&id, None::<StartContainerOptions>).await?;
    attached.output.next().await.context("the container printed nothing")??;
    let taken = start.elapsed();
    docker.remove_container(&id, Some(RemoveContainerOptionsBuilder::default().force(true).build())).await?;
    Ok(taken)
}

/// `docker run` of a script with its output thrown away, engine's default log driver.
pub fn docker_run(script: &str) -> Result<Duration> {
    let start = Instant::now();
    let status = Command::new("docker")
        .args(["run", "--rm", IMAGE, "sh", "-c", script])
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "docker run: {status}");
    Ok(start.elapsed())
}
