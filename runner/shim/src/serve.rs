//! The loop: commands in, signals in, bytes in, frames out.
//!
//! One thread and one `poll` (ports at `localhost` have a thread of their own, [`forward`]). Races worth knowing: a
//! cancel may come before its step (it waits in the queue and is reported cancelled without having run), during it, or
//! after its end (nothing happens). A step's end is reported only after its pipe was read empty, so a `Finished` frame
//! is always the step's last one.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddr,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    time::{ClockId, clock_gettime},
    unistd::{Pid, getpid},
};

use crate::{
    files,
    forward::{self, Rule},
    step::Running,
    wire::{
        Alive, Command, EXIT_LEASE, Finished, HEADER, Header, Kind, MAX_PAYLOAD, StepCommand,
        TOOLKIT_ADDRESS, TOOLKIT_SOCKET, VERSION,
    },
};

/// So many steps run in the background at once, as on GitHub's runners; the others wait for a place.
const MOST_BEHIND: usize = 10;

/// What steps left for the ones after them.
#[derive(Default)]
pub struct Carried {
    /// From `TIDEGATE_ENV`.
    pub env: BTreeMap<String, String>,
    /// From `TIDEGATE_PATH`, latest first.
    pub path: Vec<String>,
}

struct Shim {
    folder: PathBuf,
    spool: File,
    commands: File,
    partial: Vec<u8>,
    queue: VecDeque<StepCommand>,
    /// Steps for the background that wait for a place there.
    behind: VecDeque<StepCommand>,
    /// At most one of them is not in the background.
    running: Vec<Running>,
    /// Pipes of steps that ended while a process that left their group still holds the other end. They are read
    /// so that it does not block, and what it prints is dropped: it belongs to no step any more.
    forsaken: Vec<File>,
    carried: Carried,
    buffer: Vec<u8>,
    /// When the lease ends, as time since boot.
    lease_until: Option<Duration>,
    ended: bool,
}

/// Serves the channel in `folder` until an [`Command::End`]. `ports` are rules of [`forward`].
pub fn serve(folder: &Path, ports: &[String]) -> Result<(), String> {
    let says = |what: &str, error: &dyn std::fmt::Display| format!("{}/{what}: {error}", folder.display());
    // Orphans of a step become our children, also where we are not process 1.
    nix::sys::prctl::set_child_subreaper(true).map_err(|error| format!("prctl: {error}"))?;

    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        mask.add(signal);
    }
    mask.thread_block().map_err(|error| format!("sigprocmask: {error}"))?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(|error| format!("signalfd: {error}"))?;

    // The watch comes before the first read, so no line is missed between the two.
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
        .map_err(|error| format!("inotify: {error}"))?;
    inotify
        .add_watch(&folder.join("commands"), AddWatchFlags::IN_MODIFY)
        .map_err(|error| says("commands", &error))?;
    let mut shim = Shim {
        folder: folder.to_owned(),
        spool: OpenOptions::new()
            .append(true)
            .open(folder.join("spool"))
            .map_err(|error| says("spool", &error))?,
        commands: File::open(folder.join("commands")).map_err(|error| says("commands", &error))?,
        partial: Vec::new(),
        queue: VecDeque::new(),
        behind: VecDeque::new(),
        running: Vec::new(),
        forsaken: Vec::new(),
        carried: Carried::default(),
        buffer: vec![0; HEADER + (1 << 20)],
        lease_until: None,
        ended: false,
    };
    // After the signals were blocked, so that the thread takes none of them.
    let rules: Result<Vec<Rule>, String> = ports.iter().map(|rule| Rule::parse(rule)).collect();
    let trouble = rules.and_then(|rules| forward::start(&rules, way_to_runner())).err();
    let alive = Alive { version: VERSION, trouble };
    let alive = serde_json::to_vec(&alive).map_err(|error| error.to_string())?;
    shim.frame(Kind::Alive, 0, &alive)?;
    shim.read_commands()?;
    loop {
        shim.start_next()?;
        if shim.ended && shim.running.is_empty() && shim.queue.is_empty() && shim.behind.is_empty() {
            break;
        }
        let ready = shim.wait(&signals, &inotify)?;
        if ready.commands {
            while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
            shim.read_commands()?;
        }
        if ready.signal {
            shim.take_signals(&signals)?;
        }
        for index in ready.output {
            shim.copy_output(index, 1)?;
        }
        if ready.forsaken {
            shim.drain_forsaken();
        }
        shim.keep_time();
        if shim.lease_until.is_some_and(|until| since_boot() >= until) {
            shim.fence();
        }
        shim.finish_if_ended()?;
    }
    kill_all();
    Ok(())
}

/// The port that leads to the runner's socket, where the runner has put one.
fn way_to_runner() -> Option<(SocketAddr, &'static Path)> {
    let socket = Path::new(TOOLKIT_SOCKET);
    let address = TOOLKIT_ADDRESS.parse().ok()?;
    socket.exists().then_some((address, socket))
}

/// Ends every process of the sandbox but this one. Outside a sandbox that would be everybody's.
fn kill_all() {
    if getpid().as_raw() == 1 {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    }
}

/// The clock of leases: the runner's too.
fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

#[derive(Default)]
struct ReadyFor {
    signal: bool,
    commands: bool,
    /// The steps that printed.
    output: Vec<u32>,
    forsaken: bool,
}

impl Shim {
    /// The lease ran out and nobody said otherwise: another runner may have the stage by now.
    fn fence(&self) -> ! {
        self.running.iter().for_each(Running::kill_leftovers);
        kill_all();
        std::process::exit(EXIT_LEASE)
    }

    fn wait(&self, signals: &SignalFd, inotify: &Inotify) -> Result<ReadyFor, String> {
        let step = self.running.iter().filter_map(Running::next_deadline).min();
        let step = step.map(|at| at.saturating_duration_since(Instant::now()));
        let lease = self.lease_until.map(|until| until.saturating_sub(since_boot()));
        let timeout = match step.into_iter().chain(lease).min() {
            None => PollTimeout::NONE,
            Some(left) => {
                // Rounded up, so that the wake-up is not a little too early, over and over.
                let left = (left + Duration::from_millis(1)).min(Duration::from_secs(3600));
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut fds = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(inotify.as_fd(), PollFlags::POLLIN),
        ];
        let pipes = || self.running.iter().filter_map(|one| Some((one.index, one.pipe.as_ref()?)));
        fds.extend(pipes().map(|(_, pipe)| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        for pipe in &self.forsaken {
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(format!("poll: {error}")),
        }
        let any = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let output = pipes().zip(&fds[2..]).filter(|(_, fd)| any(fd)).map(|((index, _), _)| index);
        let rest = 2 + pipes().count();
        Ok(ReadyFor {
            signal: any(&fds[0]),
            commands: any(&fds[1]),
            output: output.collect(),
            forsaken: fds[rest..].iter().any(any),
        })
    }

    fn read_commands(&mut self) -> Result<(), String> {
        let mut chunk = [0; 16 << 10];
        loop {
            match self.commands.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => self.partial.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("commands: {error}")),
            }
            while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                let command = serde_json::from_slice(&line).map_err(|error| format!("commands: {error}"))?;
                self.take(command)?;
            }
        }
    }

    fn take(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Step(step) => self.queue.push_back(step),
            Command::End => self.ended = true,
            Command::Lease { until_ms } => self.lease_until = Some(Duration::from_millis(until_ms)),
            Command::Cancel { step } => {
                if let Some(running) = self.running.iter_mut().find(|running| running.index == step) {
                    running.cancelled = true;
                    running.terminate();
                    return Ok(());
                }
                let waiting = self.queue.len() + self.behind.len();
                self.queue.retain(|queued| queued.index != step);
                self.behind.retain(|queued| queued.index != step);
                if self.queue.len() + self.behind.len() < waiting {
                    self.finished(step, &Finished { cancelled: true, ..Finished::default() })?;
                }
            }
        }
        Ok(())
    }

    fn start_next(&mut self) -> Result<(), String> {
        loop {
            let behind = self.running.iter().filter(|running| running.background).count();
            let command = if behind < MOST_BEHIND
                && let Some(command) = self.behind.pop_front()
            {
                command
            } else if behind == self.running.len()
                && let Some(command) = self.queue.pop_front()
            {
                command
            } else {
                return Ok(());
            };
            if command.background && behind >= MOST_BEHIND {
                self.behind.push_back(command);
                continue;
            }
            match Running::start(&self.folder, &command, &self.carried) {
                Ok(running) => {
                    self.running.push(running);
                    self.frame(Kind::Started, command.index, &[])?;
                }
                Err((code, message)) => {
                    let finished =
                        Finished { exit_code: Some(code), error: Some(message), ..Finished::default() };
                    self.finished(command.index, &finished)?;
                }
            }
        }
    }

    fn take_signals(&mut self, signals: &SignalFd) -> Result<(), String> {
        while let Ok(Some(info)) = signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            if number == Signal::SIGTERM as i32 || number == Signal::SIGINT as i32 {
                for running in &mut self.running {
                    running.cancelled = true;
                    running.terminate();
                }
                self.ended |= self.running.is_empty();
            }
        }
        // One SIGCHLD may stand for many children.
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(status) => self.running.iter_mut().for_each(|running| running.reaped(status)),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(format!("waitpid: {error}")),
            }
        }
    }

    /// Copies at most `rounds` buffers from a step's pipe to the spool; true when the pipe was empty or closed.
    fn copy_output(&mut self, index: u32, rounds: usize) -> Result<bool, String> {
        for _ in 0..rounds {
            let found = self.running.iter_mut().find(|running| running.index == index);
            let Some(running) = found else { return Ok(true) };
            let Some(pipe) = running.pipe.as_mut() else { return Ok(true) };
            match pipe.read(&mut self.buffer[HEADER..]) {
                Ok(0) => {
                    running.pipe = None;
                    return Ok(true);
                }
                Ok(count) => {
                    let (keep, notice) = running.admit(count);
                    let step = running.index;
                    if keep > 0 {
                        self.buffer[..HEADER]
                            .copy_from_slice(&Header { kind: Kind::Output, step, len: keep }.encode());
                        self.spool
                            .write_all(&self.buffer[..HEADER + keep])
                            .map_err(|error| format!("spool: {error}"))?;
                    }
                    if let Some(notice) = notice {
                        self.frame(Kind::Output, step, notice.as_bytes())?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("pipe: {error}")),
            }
        }
        Ok(false)
    }

    fn drain_forsaken(&mut self) {
        let mut sink = [0; 64 << 10];
        self.forsaken.retain_mut(|pipe| match pipe.read(&mut sink) {
            Ok(count) => count > 0,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        });
    }

    fn keep_time(&mut self) {
        self.running.iter_mut().for_each(|running| running.keep_time(Instant::now()));
    }

    fn finish_if_ended(&mut self) -> Result<(), String> {
        while let Some(at) = self.running.iter().position(|running| running.status.is_some()) {
            let index = self.running[at].index;
            self.running[at].kill_leftovers();
            // The pipe holds at most a mebibyte of what the step itself printed; what comes after that is of a
            // process that left the step's group, and must not keep the step from ending.
            self.copy_output(index, 3)?;
            let mut running = self.running.remove(at);
            if let Some(pipe) = running.pipe.take() {
                self.forsaken.push(pipe);
            }
            let mut finished = running.finished();
            if let Err(message) = self.collect(&running, &mut finished) {
                finished.error = Some(message);
            }
            running.files.remove();
            self.finished(index, &finished)?;
        }
        Ok(())
    }

    fn collect(&mut self, running: &Running, finished: &mut Finished) -> Result<(), String> {
        let files = &running.files;
        let (output, env) = if running.github_files {
            let github = |path: &Path, name: &str| -> Result<Vec<(String, String)>, String> {
                files::github_pairs(&files::read(path, name)?).map_err(|mistake| format!("{name}: {mistake}"))
            };
            finished.state.extend(github(&files.state, "GITHUB_STATE")?);
            match files::read(&files.summary, "GITHUB_STEP_SUMMARY") {
                Ok(text) => finished.summary = text,
                Err(reason) => finished.refused.push(reason),
            }
            (github(&files.output, "GITHUB_OUTPUT")?, github(&files.env, "GITHUB_ENV")?)
        } else {
            let own = |path: &Path, name: &str| files::pairs(&files::read(path, name)?, name);
            (own(&files.output, "TIDEGATE_OUTPUT")?, own(&files.env, "TIDEGATE_ENV")?)
        };
        let path = files::paths(&files::read(&files.path, "TIDEGATE_PATH")?);
        if let Some((name, _)) = env.iter().find(|(name, _)| name.starts_with("TIDEGATE_")) {
            return Err(format!("TIDEGATE_ENV may not set `{name}`: names with TIDEGATE_ are the runner's"));
        }
        finished.outputs.extend(output);
        for (name, value) in env {
            if running.github_files && files::is_blocked(&name) {
                finished.refused.push(format!("GITHUB_ENV may not set `{name}`, and it was left out"));
                continue;
            }
            finished.env.insert(name, value);
        }
        finished.path = path;
        if !running.github_files {
            self.carried.env.extend(finished.env.clone());
            for entry in &finished.path {
                self.carried.path.insert(0, entry.clone());
            }
        }
        Ok(())
    }

    fn finished(&mut self, step: u32, finished: &Finished) -> Result<(), String> {
        let mut payload = serde_json::to_vec(finished).map_err(|error| error.to_string())?;
        if payload.len() > MAX_PAYLOAD {
            let reason = "what the step wrote to its files is more than can be handed on";
            let bare = Finished {
                outputs: BTreeMap::new(),
                env: BTreeMap::new(),
                path: Vec::new(),
                state: BTreeMap::new(),
                summary: String::new(),
                refused: Vec::new(),
                error: Some(finished.error.clone().unwrap_or_else(|| reason.to_owned())),
                ..finished.clone()
            };
            payload = serde_json::to_vec(&bare).map_err(|error| error.to_string())?;
        }
        self.frame(Kind::Finished, step, &payload)
    }

    /// Appends a frame by one write, so that a reader rarely sees half of one.
    fn frame(&mut self, kind: Kind, step: u32, payload: &[u8]) -> Result<(), String> {
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend_from_slice(&Header { kind, step, len: payload.len() }.encode());
        bytes.extend_from_slice(payload);
        self.spool.write_all(&bytes).map_err(|error| format!("spool: {error}"))
    }
}
