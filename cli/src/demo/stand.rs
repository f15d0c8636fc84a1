//! The demo's background process: server, database, runner and registry; started, found again, and stopped.
//!
//! The lock on the data folder tells whether it runs and who it is. It was started from some program; when this
//! program is another one (a newer build), the stand is started anew.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use tidegate_runner::config::RunnerConfig;
use tidegate_server::config::ServerConfig;

use super::{
    folder::{Folder, Person},
    registry,
};
use crate::{
    failure::{Doing, Failure, Outcome},
    stack::{Plan, Stack, lock_holder},
};

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(120);

/// The background process itself. Ends on a signal.
pub async fn serve(folder: Folder) -> Outcome {
    let settings = folder.settings.clone();
    let mut server = ServerConfig::new(
        String::new().into(),
        ([127, 0, 0, 1], settings.server_port).into(),
        settings.server_url()?,
        folder.data(),
    );
    server.allow_file_clone = true;
    let runner = RunnerConfig {
        server_url: settings.server_url()?,
        name: "demo".to_owned(),
        labels: Vec::new(),
        data_dir: folder.data().join("runner"),
        slots: 4,
        enrolment_token: None,
        docker_host: None,
        allow_file_clone: true,
        grace: Duration::from_secs(5),
        actions: tidegate_runner::actions::ActionSettings::default(),
    };
    let stop = crate::commands::until_signal()?;
    let admin_password = Some(settings.password(Person::Admin));
    let mut registry = registry::start(&folder).await?;
    let stack = Stack::start(Plan { server, runner, embedded: true, admin_password }).await?;
    let ready = folder.ready();
    fs::write(&ready, std::process::id().to_string()).doing(format!("cannot write {}", ready.display()))?;
    let result = stack.run(stop).await;
    registry.kill().await.doing("cannot stop the image registry")?;
    result
}

/// Whether this call started it, or it was up already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It ran.
    Running,
    /// It was started.
    Started,
}

/// Makes sure that it runs and is ready.
pub async fn ensure(folder: &Folder) -> Outcome<Found> {
    if lock_holder(&folder.data()).is_some() {
        if is_this_program(folder) && is_ready(folder).await {
            return Ok(Found::Running);
        }
        stop(folder).await?;
    }
    let program = std::env::current_exe().doing("cannot tell where this program is")?;
    let log = fs::File::create(folder.log()).doing("cannot open the stand's log")?;
    let errors = log.try_clone().doing("cannot share the stand's log")?;
    let mut child = Command::new(&program)
        .args(["demo", "--serve", "--data-dir"])
        .arg(folder.root())
        .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info,sqlx=error".to_owned()))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // Apart from this terminal: its Ctrl-C and its end are not the stand's.
        .process_group(0)
        .spawn()
        .doing("cannot start the demo's server")?;
    fs::write(folder.program(), fingerprint(&program)?).doing("cannot note the stand's program")?;
    let begun = Instant::now();
    while !is_ready(folder).await {
        let ended = child.try_wait().doing("cannot look after the demo's server")?;
        if ended.is_some() || begun.elapsed() > START_LIMIT {
            return Err(failed_start(folder));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Found::Started)
}

/// Stops it, if it runs, and waits for its end. True when it ran.
pub async fn stop(folder: &Folder) -> Outcome<bool> {
    let Some(pid) = lock_holder(&folder.data()) else { return Ok(false) };
    kill(Pid::from_raw(pid), Signal::SIGTERM)
        .doing(format!("cannot stop the demo's server (process {pid})"))?;
    let begun = Instant::now();
    while lock_holder(&folder.data()).is_some() || !is_gone(pid) {
        if begun.elapsed() > STOP_LIMIT {
            return Err(Failure::new(format!("the demo's server (process {pid}) does not stop"))
                .mend(format!("its log is {}", folder.log().display())));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(true)
}

/// Whether a process is there no more. One that this process started is collected on the way.
pub fn is_gone(pid: i32) -> bool {
    let pid = Pid::from_raw(pid);
    // An error means that it is not our child: then the system's word is all there is.
    let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    kill(pid, None).is_err()
}

/// Whether the process that holds the lock said that it is ready, and answers. The answer alone could be another
/// server's, while ours fails to take its port.
async fn is_ready(folder: &Folder) -> bool {
    let ready = fs::read_to_string(folder.ready()).ok().and_then(|pid| pid.parse().ok());
    if ready.is_none() || ready != lock_holder(&folder.data()) {
        return false;
    }
    let Ok(url) = folder.settings.server_url().and_then(|url| url.join("ready").doing("no URL")) else {
        return false;
    };
    reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success())
}

fn is_this_program(folder: &Folder) -> bool {
    let Ok(program) = std::env::current_exe() else { return false };
    fs::read_to_string(folder.program()).ok() == fingerprint(&program).ok()
}

/// A program's path and when it was built.
fn fingerprint(program: &Path) -> Outcome<String> {
    let metadata = fs::metadata(program).doing(format!("cannot look at {}", program.display()))?;
    let built = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let seconds = built.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    Ok(format!("{} {seconds}", program.display()))
}

/// The last error in the log, for people.
fn failed_start(folder: &Folder) -> Failure {
    let text = fs::read_to_string(folder.log()).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().collect();
    // A failure prints `error:` and what belongs to it; before that is the log.
    if let Some(at) = lines.iter().rposition(|line| line.starts_with("error:")) {
        lines.drain(..at);
    } else {
        lines.drain(..lines.len().saturating_sub(5));
    }
    Failure::new("the demo's server did not start")
        .because(lines.join("\n       "))
        .mend(format!("its whole log is {}; `tidegate demo --reset` starts afresh", folder.log().display()))
}
