//! One running step: its process group, its clock, its end.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{File, OpenOptions, Permissions},
    io::ErrorKind,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        signal::{SigSet, Signal, killpg},
        wait::WaitStatus,
    },
    unistd::Pid,
};

use crate::{
    serve::Carried,
    wire::{Finished, StepCommand},
};

/// Used where neither image nor stage sets one.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A step whose process was started and whose end was not reported yet.
pub struct Running {
    /// Its index.
    pub index: u32,
    /// The read end of its output, non-blocking; none once it was closed by all.
    pub pipe: Option<File>,
    /// How its main process ended.
    pub status: Option<WaitStatus>,
    /// It was stopped on request.
    pub cancelled: bool,
    /// Where it writes what it hands on.
    pub files: Files,
    /// Others run beside it.
    pub background: bool,
    /// It has GitHub's files, and they are read by GitHub's rules.
    pub github_files: bool,
    pid: Pid,
    started: Instant,
    deadline: Option<Instant>,
    kill_at: Option<Instant>,
    killed: bool,
    timed_out: bool,
    grace: Duration,
    room: u64,
    oom_before: u64,
}

/// The files by which a step hands something on.
pub struct Files {
    /// Outputs.
    pub output: PathBuf,
    /// Environment values.
    pub env: PathBuf,
    /// Search paths.
    pub path: PathBuf,
    /// Values for a later part of the same action.
    pub state: PathBuf,
    /// A text for the run's page.
    pub summary: PathBuf,
}

impl Files {
    fn make(folder: &Path, index: u32) -> Result<Self, (i32, String)> {
        let file = |name: &str| -> Result<PathBuf, (i32, String)> {
            let path = folder.join("files").join(format!("{name}-{index}"));
            let made = OpenOptions::new().write(true).create_new(true).open(&path);
            // A step may give up its rights before it writes here.
            made.and_then(|file| file.set_permissions(Permissions::from_mode(0o666)))
                .map_err(|error| broken(&path.display().to_string(), &error))?;
            Ok(path)
        };
        Ok(Self {
            output: file("output")?,
            env: file("env")?,
            path: file("path")?,
            state: file("state")?,
            summary: file("summary")?,
        })
    }

    fn variables(&self, github: bool) -> Vec<(&'static str, &Path)> {
        let mut all: Vec<(&str, &Path)> = vec![
            ("TIDEGATE_OUTPUT", &self.output),
            ("TIDEGATE_ENV", &self.env),
            ("TIDEGATE_PATH", &self.path),
        ];
        if github {
            all.extend([
                ("GITHUB_OUTPUT", self.output.as_path()),
                ("GITHUB_ENV", &self.env),
                ("GITHUB_PATH", &self.path),
                ("GITHUB_STATE", &self.state),
                ("GITHUB_STEP_SUMMARY", &self.summary),
            ]);
        }
        all
    }

    /// Removes them: what they held is known by now, and their folder is small.
    pub fn remove(&self) {
        for path in [&self.output, &self.env, &self.path, &self.state, &self.summary] {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> (i32, String) {
    (126, format!("{what}: {error}"))
}

impl Running {
    /// Starts the step's process in a group of its own. An error is an exit code and a sentence.
    pub fn start(folder: &Path, command: &StepCommand, carried: &Carried) -> Result<Self, (i32, String)> {
        if command.argv.is_empty() {
            return Err((127, "the step has no shell".to_owned()));
        }
        if !Path::new(&command.cwd).is_dir() {
            return Err((127, format!("the working directory `{}` does not exist", command.cwd)));
        }
        let files = Files::make(folder, command.index)?;

        let (reader, writer) = std::io::pipe().map_err(|error| broken("pipe", &error))?;
        let reader = File::from(OwnedFd::from(reader));
        let flags = fcntl(reader.as_fd(), FcntlArg::F_GETFL).map_err(|error| broken("pipe", &error))?;
        let flags = OFlag::from_bits_truncate(flags) | OFlag::O_NONBLOCK;
        fcntl(reader.as_fd(), FcntlArg::F_SETFL(flags)).map_err(|error| broken("pipe", &error))?;
        // Fewer wake-ups; a kernel that says no keeps its default.
        let _ = fcntl(reader.as_fd(), FcntlArg::F_SETPIPE_SZ(1 << 20));

        let script = (!command.script.is_empty()).then(|| folder.join(&command.script));
        let env = environment(command, carried);
        let spawn = |argv: &[String]| -> std::io::Result<Child> {
            let (program, arguments) = argv.split_first().ok_or(ErrorKind::NotFound)?;
            let mut child = Command::new(program);
            child
                .args(with_script(arguments, script.as_deref()))
                .current_dir(&command.cwd)
                .env_clear()
                .envs(&env)
                .envs(files.variables(command.github_files))
                .stdin(Stdio::null())
                .stdout(writer.try_clone()?)
                .stderr(writer.try_clone()?)
                .process_group(0);
            hear_signals(&mut child);
            child.spawn()
        };
        let oom_before = oom_kills();
        let started = Instant::now();
        let spawned = match spawn(&command.argv) {
            Err(error) if error.kind() == ErrorKind::NotFound && !command.fallback.is_empty() => {
                spawn(&command.fallback).map_err(|error| (&command.fallback, error))
            }
            spawned => spawned.map_err(|error| (&command.argv, error)),
        };
        let spawned = spawned.map_err(|(argv, error)| {
            let program = argv.first().map_or("", String::as_str);
            match error.kind() {
                ErrorKind::NotFound => {
                    (127, format!("the image has no `{program}`; set `shell:` or use another image"))
                }
                _ => (126, format!("`{program}` could not be started: {error}")),
            }
        })?;
        Ok(Self {
            index: command.index,
            pipe: Some(reader),
            status: None,
            cancelled: false,
            files,
            background: command.background,
            github_files: command.github_files,
            pid: Pid::from_raw(i32::try_from(spawned.id()).unwrap_or(i32::MAX)),
            started,
            deadline: command.timeout_ms.map(|limit| started + Duration::from_millis(limit)),
            kill_at: None,
            killed: false,
            timed_out: false,
            grace: Duration::from_millis(command.grace_ms),
            room: command.output_limit,
            oom_before,
        })
    }

    /// When [`Self::keep_time`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.kill_at {
            Some(_) if self.killed => None,
            Some(at) => Some(at),
            None => self.deadline,
        }
    }

    /// TERM now, KILL after the grace.
    pub fn terminate(&mut self) {
        if self.kill_at.is_none() && self.status.is_none() {
            let _ = killpg(self.pid, Signal::SIGTERM);
            self.kill_at = Some(Instant::now() + self.grace);
        }
    }

    /// Acts on what time it is.
    pub fn keep_time(&mut self, now: Instant) {
        if self.status.is_some() {
            return;
        }
        if self.kill_at.is_none() && self.deadline.is_some_and(|at| now >= at) {
            self.timed_out = true;
            self.terminate();
        }
        if !self.killed && self.kill_at.is_some_and(|at| now >= at) {
            self.kill_leftovers();
            self.killed = true;
        }
    }

    /// KILLs all that is in the step's group.
    pub fn kill_leftovers(&self) {
        let _ = killpg(self.pid, Signal::SIGKILL);
    }

    /// A child was reaped; it may be this step's.
    pub fn reaped(&mut self, status: WaitStatus) {
        if status.pid() == Some(self.pid) {
            self.status = Some(status);
        }
    }

    /// How many of `count` bytes are kept, and what is said when the limit is met.
    pub fn admit(&mut self, count: usize) -> (usize, Option<String>) {
        let had_room = self.room > 0;
        let keep = usize::try_from(self.room).unwrap_or(usize::MAX).min(count);
        self.room -= keep as u64;
        let notice = (had_room && keep < count).then(|| {
            "\n[tidegate: this step printed more than is kept; what follows was dropped]\n".to_owned()
        });
        (keep, notice)
    }

    /// How the step ended.
    pub fn finished(&self) -> Finished {
        let (exit_code, signal) = match self.status {
            Some(WaitStatus::Exited(_, code)) => (Some(code), None),
            Some(WaitStatus::Signaled(_, signal, _)) => (None, Some(signal as i32)),
            _ => (None, None),
        };
        Finished {
            exit_code,
            signal,
            timed_out: self.timed_out,
            cancelled: self.cancelled,
            out_of_memory: oom_kills() > self.oom_before,
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..Finished::default()
        }
    }
}

/// The arguments with the script's path where they say `{0}`, else behind them.
fn with_script(arguments: &[String], script: Option<&Path>) -> Vec<OsString> {
    let Some(script) = script else { return arguments.iter().map(OsString::from).collect() };
    if arguments.iter().any(|argument| argument.contains("{0}")) {
        let path = script.to_string_lossy();
        return arguments.iter().map(|argument| argument.replace("{0}", &path).into()).collect();
    }
    arguments.iter().map(OsString::from).chain([script.into()]).collect()
}

/// The shim blocks the signals that it reads from a descriptor, and a new process inherits what is blocked: left so,
/// a step would be deaf to the TERM of a cancel.
#[expect(unsafe_code, reason = "the mask can only be set between fork and exec")]
fn hear_signals(child: &mut Command) {
    let unblock = || SigSet::empty().thread_set_mask().map_err(std::io::Error::from);
    // SAFETY: after the fork it makes one system call, which may be made there, and allocates nothing.
    unsafe {
        child.pre_exec(unblock);
    }
}

fn environment(command: &StepCommand, carried: &Carried) -> BTreeMap<String, String> {
    // What the image says comes first: it is this process's own environment.
    let mut env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    env.extend(command.env.clone());
    // Who reads GitHub's files knows what they held, and said it in the command.
    if !command.github_files {
        env.extend(carried.env.clone());
    }
    env.extend(command.step_env.clone());
    if command.github_files {
        env.entry("HOME".to_owned()).or_insert_with(|| "/root".to_owned());
    }
    let before = if command.github_files { &command.path } else { &carried.path };
    let mut path = before.join(":");
    if !path.is_empty() {
        path.push(':');
    }
    path.push_str(env.get("PATH").map_or(DEFAULT_PATH, String::as_str));
    env.insert("PATH".to_owned(), path);
    env
}

/// How many processes of this cgroup the kernel has killed for want of memory; 0 where it does not say.
fn oom_kills() -> u64 {
    ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|text| {
            text.lines()
                .filter_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
                .collect::<Vec<u64>>()
        })
        .next()
        .unwrap_or(0)
}
