//! The talk with a sandbox's shim: commands out, output and endings in.
//!
//! A session can be opened again on the same files by a later process. It then reads the spool from the beginning:
//! every byte of every step comes once more, in the same order, so logs are rebuilt exactly; a step that was sent
//! already is not sent again.
//!
//! Invariant: a step's frames are taken only after [`Session::send`] was called for it by this very process, and before
//! the next one's, unless it is in the background. So whoever runs the steps may write between them, and what it writes
//! is in the same place after a restart. Frames of another step than the ones that were sent and have not ended are
//! dropped: only the sandbox itself could have forged them.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufRead as _, BufReader, PipeReader, PipeWriter, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};
use tokio::sync::mpsc;

use super::{
    shim::wire::{Alive, Command, Finished, Kind, StepCommand, VERSION},
    spool::{Frame, SpoolReader},
};
use crate::{logs::LogSink, sync::lock};

/// The floor below the hint: how often the spool is looked at without one.
const FLOOR: u16 = 250;

/// What the shim says, without the output, which goes straight to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Process 1 is up.
    Alive,
    /// A step's process was started.
    Started(u32),
    /// A step ended, and all its output is in the log.
    Finished(u32, Finished),
    /// The channel cannot be used any more, and why.
    Broken(String),
}

/// An open channel to a shim.
pub struct Session {
    channel: PathBuf,
    commands: File,
    sent: Arc<Sent>,
    events: mpsc::UnboundedReceiver<Event>,
    stop: Arc<AtomicBool>,
    /// Its end wakes the follower.
    wake: Option<PipeWriter>,
    follower: Option<JoinHandle<()>>,
}

/// Which steps were sent, and how far each is.
#[derive(Default)]
struct Sent {
    steps: Mutex<BTreeMap<u32, Progress>>,
    /// Woken when a step is opened and when the session ends.
    opened: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Sent by an earlier process; this one has not come to it yet.
    Before,
    /// Its frames are taken.
    Open,
    /// The same, and those of steps after it.
    Behind,
    Ended,
}

/// Makes the files of a new channel: `shim` (a link or copy of the program), empty `commands` and `spool`, and the
/// places where the engine mounts `spool` and `files`.
pub fn create_channel(channel: &Path, spool: &Path, shim: &Path) -> io::Result<()> {
    fs::create_dir_all(channel.join("scripts"))?;
    fs::create_dir_all(channel.join("files"))?;
    // Any user of the image may run the shim; other users of this machine are kept out by the folder above.
    // What the engine mounts at `files` has that folder's mode, and process 1 need not be root.
    for (folder, mode) in
        [(channel.to_owned(), 0o755), (channel.join("scripts"), 0o755), (channel.join("files"), 0o1777)]
    {
        fs::set_permissions(folder, Permissions::from_mode(mode))?;
    }
    let program = channel.join("shim");
    if fs::hard_link(shim, &program).is_err() {
        fs::copy(shim, &program)?;
    }
    for (path, mode) in
        [(channel.join("commands"), 0o644), (channel.join("spool"), 0o644), (spool.to_owned(), 0o666)]
    {
        let file = OpenOptions::new().append(true).create_new(true).mode(mode).open(&path)?;
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(())
}

impl Session {
    /// Opens the channel and begins to follow the spool; output of steps that were sent goes to `log`.
    pub fn open(channel: &Path, spool: &Path, log: Arc<dyn LogSink>) -> io::Result<Self> {
        let path = channel.join("commands");
        let steps = Mutex::new(already_sent(&path)?);
        let sent = Arc::new(Sent { steps, opened: Condvar::new() });
        let commands = OpenOptions::new().append(true).open(&path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, events) = mpsc::unbounded_channel();

        // The watch comes before the first read, so nothing is missed between the two.
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(spool, AddWatchFlags::IN_MODIFY)?;
        let reader = SpoolReader::open(spool)?;
        let (woken, wake) = io::pipe()?;
        let follower = Follower { sent: sent.clone(), log, events: sender, stop: stop.clone() };
        let follower = std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || follower.follow(reader, &inotify, &woken))?;
        let (wake, follower) = (Some(wake), Some(follower));
        Ok(Self { channel: channel.to_owned(), commands, sent, events, stop, wake, follower })
    }

    /// Sends a step with a script, unless it was sent before, and lets its frames in.
    pub fn send(&mut self, mut command: StepCommand, script: &str) -> io::Result<()> {
        if !self.was_sent(command.index) {
            command.script = format!("scripts/{}{}", command.index, extension(&command.argv));
            let path = self.channel.join(&command.script);
            fs::write(&path, script)?;
            fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        }
        self.send_program(command)
    }

    /// Sends a step whose arguments are all, unless it was sent before, and lets its frames in.
    pub fn send_program(&mut self, command: StepCommand) -> io::Result<()> {
        let known = self.was_sent(command.index);
        self.open_step(command.index, command.background);
        if known { Ok(()) } else { self.write(&Command::Step(command)) }
    }

    /// Whether a step was sent, by this process or an earlier one.
    pub fn was_sent(&self, step: u32) -> bool {
        lock(&self.sent.steps).contains_key(&step)
    }

    fn open_step(&self, index: u32, background: bool) {
        let mut steps = lock(&self.sent.steps);
        let open = if background { Progress::Behind } else { Progress::Open };
        let progress = steps.entry(index).or_insert(open);
        if *progress == Progress::Before {
            *progress = open;
        }
        self.sent.opened.notify_all();
    }

    /// Stops a step: TERM, grace, KILL.
    pub fn cancel(&mut self, step: u32) -> io::Result<()> {
        self.write(&Command::Cancel { step })
    }

    /// Tells when the lease ends, as time since boot.
    pub fn lease(&mut self, until: Duration) -> io::Result<()> {
        self.write(&Command::Lease { until_ms: u64::try_from(until.as_millis()).unwrap_or(u64::MAX) })
    }

    /// Lets process 1 exit.
    pub fn end(&mut self) -> io::Result<()> {
        self.write(&Command::End)
    }

    /// What comes next. `None` never comes before [`Event::Broken`].
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    fn write(&mut self, command: &Command) -> io::Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.commands.write_all(&line)
    }
}

/// Nothing is written to the log any more once this returns: somebody else may go on with the same files.
impl Drop for Session {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        {
            // Under the lock, so that it cannot fall between the follower's look and its sleep.
            let _steps = lock(&self.sent.steps);
            self.sent.opened.notify_all();
        }
        drop(self.wake.take());
        if let Some(follower) = self.follower.take() {
            let _ = follower.join();
        }
    }
}

/// What a script's name must end with for its interpreter to take it.
fn extension(argv: &[String]) -> &'static str {
    let program = argv.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
    match program {
        "pwsh" | "powershell" => ".ps1",
        program if program.starts_with("python") => ".py",
        _ => "",
    }
}

/// Steps in a `commands` file.
fn already_sent(path: &Path) -> io::Result<BTreeMap<u32, Progress>> {
    let mut sent = BTreeMap::new();
    for line in BufReader::new(File::open(path)?).lines() {
        if let Command::Step(step) = serde_json::from_str(&line?)? {
            sent.insert(step.index, Progress::Before);
        }
    }
    Ok(sent)
}

struct Follower {
    sent: Arc<Sent>,
    log: Arc<dyn LogSink>,
    events: mpsc::UnboundedSender<Event>,
    stop: Arc<AtomicBool>,
}

impl Follower {
    fn follow(self, mut reader: SpoolReader, inotify: &Inotify, woken: &PipeReader) {
        while !self.stop.load(Ordering::Relaxed) {
            let mut trouble = None;
            match reader.read(|frame| trouble = trouble.take().or_else(|| self.take(frame))) {
                Ok(0) if trouble.is_none() => {
                    let mut fds =
                        [inotify.as_fd(), woken.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
                    let _ = poll(&mut fds, PollTimeout::from(FLOOR));
                    while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
                }
                Ok(_) => {}
                Err(error) => trouble = Some(error.to_string()),
            }
            if let Some(reason) = trouble {
                let _ = self.events.send(Event::Broken(reason));
                return;
            }
        }
    }

    /// Takes a frame; a sentence when the channel is of no use any more.
    fn take(&self, frame: Frame<'_>) -> Option<String> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        if frame.kind == Kind::Alive {
            return match serde_json::from_slice::<Alive>(frame.payload) {
                Ok(Alive { trouble: Some(trouble), .. }) => Some(trouble),
                Ok(alive) if alive.version == VERSION => {
                    let _ = self.events.send(Event::Alive);
                    None
                }
                Ok(alive) => Some(format!(
                    "the sandbox was started by a runner of another version (shim {}, this runner {VERSION})",
                    alive.version
                )),
                Err(_) => Some("the shim's first words cannot be read".to_owned()),
            };
        }
        if !self.is_open(frame.step) {
            return None;
        }
        match frame.kind {
            Kind::Output => self.log.write(frame.step, frame.payload),
            Kind::Started => {
                let _ = self.events.send(Event::Started(frame.step));
            }
            Kind::Finished => match serde_json::from_slice::<Finished>(frame.payload) {
                Ok(finished) => {
                    lock(&self.sent.steps).insert(frame.step, Progress::Ended);
                    self.log.end(frame.step);
                    let _ = self.events.send(Event::Finished(frame.step, finished));
                }
                Err(error) => return Some(format!("the end of step {} cannot be read: {error}", frame.step)),
            },
            Kind::Alive => {}
        }
        None
    }

    /// Whether a step's frames are to be taken; waits until any step's are. Beside steps in the background it waits for
    /// one that an earlier process sent: this process comes to it without waiting for any of those.
    fn is_open(&self, step: u32) -> bool {
        let mut steps = lock(&self.sent.steps);
        loop {
            let own = steps.get(&step);
            if matches!(own, Some(Progress::Open | Progress::Behind)) {
                return true;
            }
            let any = |wanted: Progress| steps.values().any(|progress| *progress == wanted);
            let forged = any(Progress::Open) || own.is_none() && any(Progress::Behind);
            if forged || own == Some(&Progress::Ended) || self.stop.load(Ordering::Relaxed) {
                return false;
            }
            steps = self.sent.opened.wait(steps).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
