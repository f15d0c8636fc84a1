//! The demo's image registry: Debian's `docker-registry`, on this machine only.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

use super::folder::Folder;
use crate::failure::{Doing, Failure, Outcome};

const PROGRAMS: [&str; 2] = ["docker-registry", "registry"];

/// Starts the registry and waits until it answers. It ends with the returned child.
pub async fn start(folder: &Folder) -> Outcome<Child> {
    let place = folder.registry();
    fs::create_dir_all(&place).doing(format!("cannot make {}", place.display()))?;
    let config = place.join("config.yml");
    let port = folder.settings.registry_port;
    fs::write(
        &config,
        format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {:?}}}\n  delete: {{enabled: true}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            place.join("data").display().to_string()
        ),
    )
    .doing(format!("cannot write {}", config.display()))?;
    let log = fs::File::create(place.join("log")).doing("cannot open the registry's log")?;
    let mut child = spawn(&config, log)?;
    let url = folder.settings.registry_url()?;
    let begun = Instant::now();
    loop {
        let answer = reqwest::get(url.join("/v2/").doing("cannot build the registry's URL")?).await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(child);
        }
        let ended = child.try_wait().doing("cannot look after the registry")?;
        if ended.is_some() || begun.elapsed() > Duration::from_secs(30) {
            let said = fs::read_to_string(place.join("log")).unwrap_or_default();
            return Err(Failure::new("the image registry did not start")
                .because(said.lines().last().unwrap_or("it said nothing"))
                .mend(format!(
                    "is port {port} taken by another program? `tidegate demo --reset` chooses others"
                )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn spawn(config: &std::path::Path, log: fs::File) -> Outcome<Child> {
    for program in PROGRAMS {
        let output = log.try_clone().doing("cannot share the registry's log")?;
        let errors = log.try_clone().doing("cannot share the registry's log")?;
        let spawned = Command::new(program)
            .arg("serve")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        match spawned {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => return other.doing(format!("cannot start {program}")),
        }
    }
    Err(Failure::new("there is no image registry on this machine")
        .because("neither `docker-registry` nor `registry` is installed")
        .mend("install it (Debian and Ubuntu: apt install docker-registry), or run scripts/setup"))
}
