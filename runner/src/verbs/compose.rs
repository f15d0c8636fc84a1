//! `docker compose` for a deployment: up, wait, and a look at what really runs.
//!
//! The program is the operator's `docker compose` (or `docker-compose`), in a process group of its own that is killed
//! when the deployment is dropped, so a cancel leaves no half-living child behind.

use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

use super::build::below;
use crate::{
    logs::line,
    stage::{Failure, StageContext},
};

/// Between two looks at the containers.
const INTERVAL: Duration = Duration::from_millis(500);
/// How many looks in a row a container without a health check must be seen running.
const STEADY: u32 = 3;

/// One compose project to bring up.
pub(super) struct Stack<'a> {
    /// Compose file below the workspace.
    pub file: &'a str,
    /// Project name.
    pub project: &'a str,
    /// `ssh://…`; absent: the runner's engine.
    pub host: Option<&'a str>,
    /// Until when its services must be up.
    pub wait: Duration,
    /// What must run.
    pub image: &'a str,
    /// `TIDEGATE_…` values.
    pub facts: BTreeMap<String, String>,
}

/// A container as the engine tells of it.
#[derive(Debug, PartialEq, Eq)]
struct Container {
    name: String,
    status: String,
    health: String,
    exit_code: i64,
    image: String,
    restarts: u64,
}

/// What is to be done about a container.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Up,
    Wait(String),
    Broken(String),
}

impl Container {
    /// A line of [`FORMAT`].
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('\t');
        Some(Self {
            name: parts.next()?.trim_start_matches('/').to_owned(),
            status: parts.next()?.to_owned(),
            health: parts.next()?.to_owned(),
            exit_code: parts.next()?.parse().ok()?,
            image: parts.next()?.to_owned(),
            restarts: parts.next()?.parse().ok()?,
        })
    }

    fn verdict(&self) -> Verdict {
        match (self.status.as_str(), self.health.as_str()) {
            ("exited", _) if self.exit_code == 0 => Verdict::Up,
            ("exited" | "dead", _) => {
                Verdict::Broken(format!("{} ended with exit code {}", self.name, self.exit_code))
            }
            (_, "unhealthy") => Verdict::Broken(format!("{} is unhealthy", self.name)),
            ("restarting", _) => {
                Verdict::Wait(format!("{} keeps restarting (exit code {})", self.name, self.exit_code))
            }
            ("running", "healthy") => Verdict::Up,
            ("running", "none") if self.restarts == 0 => Verdict::Up,
            ("running", "none") => {
                Verdict::Wait(format!("{} was restarted {} times", self.name, self.restarts))
            }
            (status, health) => {
                Verdict::Wait(format!("{} is {status}, its health check says {health}", self.name))
            }
        }
    }
}

const FORMAT: &str = "{{.Name}}\t{{.State.Status}}\t{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}\t{{.State.ExitCode}}\t{{.Config.Image}}\t{{.RestartCount}}";

impl Stack<'_> {
    /// Brings it up, waits until every container is up, and checks that the wanted image runs.
    pub(super) async fn up(
        &self,
        context: &StageContext,
        step: u32,
    ) -> Result<BTreeMap<String, String>, Failure> {
        below(&context.dirs.workspace(), self.file)?;
        let compose = self.program(context).await?;
        line(
            &*context.log,
            step,
            format!("{} up: project {}, image {}", compose.join(" "), self.project, self.image),
        );
        let mut command = self.command(context, &compose);
        command.args(["up", "-d", "--remove-orphans"]);
        let code = self.run(context, step, command).await?;
        if code != Some(0) {
            let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            return Err(Failure::failed(format!(
                "compose could not bring up {}: it ended with {code}",
                self.project
            )));
        }
        self.wait_until_up(context, step).await?;
        line(&*context.log, step, format!("{} runs {}", self.project, self.image));
        Ok(BTreeMap::from([("image".to_owned(), self.image.to_owned())]))
    }

    async fn wait_until_up(&self, context: &StageContext, step: u32) -> Result<(), Failure> {
        let deadline = Instant::now() + self.wait;
        let mut steady = 0;
        loop {
            let containers = self.containers(context).await?;
            if containers.is_empty() {
                return Err(Failure::failed(format!("{} has no containers after `up`", self.project)));
            }
            let mut waiting = None;
            for container in &containers {
                match container.verdict() {
                    Verdict::Up => {}
                    Verdict::Wait(why) => waiting = Some((container, why)),
                    Verdict::Broken(why) => {
                        self.show_log(context, step, &container.name).await?;
                        return Err(Failure::failed(format!(
                            "the deployment of {} failed: {why}",
                            self.project
                        )));
                    }
                }
            }
            steady = if waiting.is_none() { steady + 1 } else { 0 };
            if steady >= STEADY {
                return self.check_image(&containers);
            }
            // What is up by then has only to stay so for the looks that are left.
            if let Some((container, why)) = waiting
                && Instant::now() > deadline
            {
                self.show_log(context, step, &container.name).await?;
                return Err(Failure::failed(format!(
                    "{} was not up within {} s: {why}",
                    self.project,
                    self.wait.as_secs()
                )));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn check_image(&self, containers: &[Container]) -> Result<(), Failure> {
        if containers.iter().any(|container| container.image == self.image) {
            return Ok(());
        }
        let running: Vec<_> = containers.iter().map(|container| container.image.as_str()).collect();
        Err(Failure::failed(format!(
            "{} runs {} and not {}; use `image: ${{TIDEGATE_IMAGE}}` in {}",
            self.project,
            running.join(", "),
            self.image,
            self.file
        )))
    }

    /// The project's containers, found by the labels that every version of compose gives them: its own `ps` takes up to
    /// a second, and the newer one leaves out what has ended.
    async fn containers(&self, context: &StageContext) -> Result<Vec<Container>, Failure> {
        let mut list = self.command(context, &["docker".to_owned()]);
        let project = format!("label=com.docker.compose.project={}", normal(self.project));
        list.args(["ps", "-aq", "--filter", &project, "--filter", "label=com.docker.compose.oneoff=False"]);
        let ids = output(list).await?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut inspect = self.command(context, &["docker".to_owned()]);
        inspect.args(["inspect", "--format", FORMAT]).args(ids);
        Ok(output(inspect).await?.lines().filter_map(Container::parse).collect())
    }

    /// The last lines that a container printed, into the step's log.
    async fn show_log(&self, context: &StageContext, step: u32, container: &str) -> Result<(), Failure> {
        line(&*context.log, step, format!("the last lines of {container}:"));
        let mut command = self.command(context, &["docker".to_owned()]);
        command.args(["logs", "--tail", "30", container]);
        self.run(context, step, command).await.map(|_| ())
    }

    /// `docker compose`, else `docker-compose`.
    async fn program(&self, context: &StageContext) -> Result<Vec<String>, Failure> {
        for program in [vec!["docker".to_owned(), "compose".to_owned()], vec!["docker-compose".to_owned()]] {
            let mut command = self.bare(context, &program);
            command.arg("version").stdout(Stdio::null()).stderr(Stdio::null());
            if command.status().await.is_ok_and(|status| status.success()) {
                return Ok(program);
            }
        }
        Err(Failure::infrastructure(
            "this runner has neither `docker compose` nor `docker-compose`: install one of them",
        ))
    }

    /// A program with this deployment's environment and nothing of the runner's own but the search path.
    fn bare(&self, context: &StageContext, program: &[String]) -> Command {
        let mut command = Command::new(program.first().map_or("docker", String::as_str));
        command.args(program.iter().skip(1)).env_clear().current_dir(context.dirs.workspace());
        for name in ["PATH", "HOME", "SSH_AUTH_SOCK"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(context.env()).envs(&self.facts);
        if let Some(host) = self.host.or(context.runner.docker_host.as_deref()) {
            command.env("DOCKER_HOST", host);
        } else if let Some(host) = std::env::var_os("DOCKER_HOST") {
            command.env("DOCKER_HOST", host);
        }
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        command
    }

    fn command(&self, context: &StageContext, program: &[String]) -> Command {
        let mut command = self.bare(context, program);
        if program.first().is_none_or(|name| name == "docker-compose") || program.len() > 1 {
            command.args(["-p", self.project, "-f", self.file]);
        }
        command
    }

    /// Runs a program with both outputs in the step's log; gives its exit code.
    async fn run(
        &self,
        context: &StageContext,
        step: u32,
        mut command: Command,
    ) -> Result<Option<i32>, Failure> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(cannot_run)?;
        let _group = Group::of(&child);
        let (out, errors) = (child.stdout.take(), child.stderr.take());
        let (_, _, status) =
            tokio::join!(copy(context, step, out), copy(context, step, errors), child.wait());
        Ok(status.map_err(cannot_run)?.code())
    }
}

/// A project's name as compose has it.
fn normal(project: &str) -> String {
    let plain =
        |letter: &char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(*letter);
    project.to_lowercase().chars().filter(plain).collect()
}

async fn copy(context: &StageContext, step: u32, from: Option<impl AsyncRead + Unpin>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        context.log.write(step, &buffer[..read]);
    }
}

/// What a program prints; a failure is an error with its own words.
async fn output(mut command: Command) -> Result<String, Failure> {
    let output = command.output().await.map_err(cannot_run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    Err(Failure::failed(format!("the deployment's containers cannot be looked at: {words}")))
}

fn cannot_run(error: std::io::Error) -> Failure {
    Failure::infrastructure(format!("docker cannot be run on this runner: {error}"))
}

/// Kills a process group when dropped; a group that is gone already is left alone.
struct Group(Option<i32>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // ESRCH: all of it has ended.
            let _ = nix::sys::signal::killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(line: &str) -> Verdict {
        Container::parse(line).unwrap().verdict()
    }

    #[test]
    fn containers_are_judged() {
        assert_eq!(verdict("/web\trunning\thealthy\t0\ti\t0"), Verdict::Up);
        assert_eq!(verdict("/web\trunning\tnone\t0\ti\t0"), Verdict::Up);
        assert_eq!(verdict("/migrate\texited\tnone\t0\ti\t0"), Verdict::Up);
        assert!(matches!(verdict("/web\trunning\tstarting\t0\ti\t0"), Verdict::Wait(_)));
        assert!(matches!(verdict("/web\trestarting\tnone\t1\ti\t2"), Verdict::Wait(_)));
        assert_eq!(
            verdict("/web\texited\tnone\t3\ti\t0"),
            Verdict::Broken("web ended with exit code 3".to_owned())
        );
        assert_eq!(
            verdict("/web\trunning\tunhealthy\t0\ti\t0"),
            Verdict::Broken("web is unhealthy".to_owned())
        );
        assert_eq!(Container::parse("nonsense"), None);
    }
}
