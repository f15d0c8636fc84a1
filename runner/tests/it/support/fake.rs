//! A scripted engine with the contract of the real ones: its sandboxes are the very shim as plain processes of this
//! machine, with paths translated, so a stage behaves as in a container at a hundredth of the price. What is scripted
//! is the engine: which of its calls fail, which images there are, how services answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use tidegate_pipelines::plan::Service;
use tidegate_protocol::{ids::AttemptId, messages::RegistryLogin};
use tidegate_runner::sandbox::{
    BuildRequest, Engine, EngineError, Entry, Images, IndexRequest, NetworkId, Owner, Probed, PushRequest,
    Sandbox, SandboxEnd, SandboxSpec, ServiceId, WORKSPACE, images::LogBytes, shim::wire,
};
use tokio::sync::watch;

use super::IMAGE;

/// The engine. One outlives the agents of a test, as a real one would.
pub struct Fake {
    state: Mutex<State>,
    root: tempfile::TempDir,
}

#[derive(Default)]
struct State {
    images: BTreeSet<String>,
    /// The programs of every image, where all images are there.
    programs: Option<PathBuf>,
    sandboxes: BTreeMap<(AttemptId, Option<u32>), Held>,
    /// What images run, by their names.
    entries: BTreeMap<String, Entry>,
    networks: BTreeMap<String, (String, AttemptId)>,
    services: BTreeMap<String, (String, AttemptId)>,
    /// Of each network that was made, whether it leads nowhere else.
    closed: Vec<bool>,
    pushed: Vec<PushRequest>,
    indexed: Vec<IndexRequest>,
    built: Vec<BuildRequest>,
    /// How many calls were made that may fail.
    calls: usize,
    fails: Fails,
    counter: usize,
}

/// Which calls fail.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fails {
    #[default]
    None,
    /// Only this one, counted from 1.
    Nth(usize),
    /// All: the engine is gone.
    All,
}

struct Held {
    runner: String,
    process: Arc<Process>,
}

impl Fake {
    pub fn new() -> Arc<Self> {
        let state = State { images: BTreeSet::from([IMAGE.to_owned()]), ..State::default() };
        Arc::new(Self { state: Mutex::new(state), root: tempfile::tempdir().unwrap() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn fails(&self, fails: Fails) {
        self.state().fails = fails;
    }

    /// Of each network that was made, whether it leads nowhere else.
    pub fn closed(&self) -> Vec<bool> {
        self.state().closed.clone()
    }

    /// What was built so far.
    pub fn built(&self) -> Vec<BuildRequest> {
        self.state().built.clone()
    }

    /// Which indexes were put into registries so far.
    pub fn indexed(&self) -> Vec<IndexRequest> {
        self.state().indexed.clone()
    }

    /// What was pushed so far.
    pub fn pushed(&self) -> Vec<PushRequest> {
        self.state().pushed.clone()
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// Whether nothing of any attempt is left.
    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.sandboxes.is_empty() && state.networks.is_empty() && state.services.is_empty()
    }

    /// Adds an image that runs this.
    pub fn add_image(&self, name: &str, entrypoint: &[&str]) {
        let mut state = self.state();
        state.images.insert(name.to_owned());
        let entrypoint = entrypoint.iter().map(|word| (*word).to_owned()).collect();
        state.entries.insert(name.to_owned(), Entry { entrypoint, command: Vec::new() });
    }

    /// From now on every image is there, and has the programs of a folder.
    pub fn furnish(&self, programs: &Path) {
        self.state().programs = Some(programs.to_owned());
    }

    /// Kills the process of a sandbox, as the kernel or a person might.
    pub fn kill_from_outside(&self, attempt: AttemptId) {
        let process = self.state().sandboxes.get(&(attempt, None)).map(|held| held.process.clone());
        process.expect("no such sandbox").kill();
    }

    /// Whether a sandbox of the attempt runs.
    pub fn runs(&self, attempt: AttemptId) -> bool {
        self.state().sandboxes.get(&(attempt, None)).is_some_and(|held| held.process.end.borrow().is_none())
    }

    fn held(&self, owner: &Owner, part: Option<u32>) -> Option<Arc<dyn Sandbox>> {
        let process = self.state().sandboxes.get(&(owner.attempt, part))?.process.clone();
        let runs = process.end.borrow().is_none();
        if runs { Some(process) } else { None }
    }

    fn call(&self, what: &str) -> Result<(), EngineError> {
        let mut state = self.state();
        state.calls += 1;
        let failing = match state.fails {
            Fails::None => false,
            Fails::Nth(n) => n == state.calls,
            Fails::All => true,
        };
        if failing {
            return Err(EngineError::Unreachable(format!("the fake engine does not {what}")));
        }
        Ok(())
    }
}

/// A shim and all that it started.
struct Process {
    name: String,
    pid: i32,
    end: watch::Receiver<Option<SandboxEnd>>,
}

impl Process {
    /// Starts the shim on a folder of its own, in which the real channel's files appear with translated commands.
    fn start(folder: &Path, spec: &SandboxSpec, programs: Option<&Path>, name: String) -> Arc<Self> {
        std::fs::create_dir_all(folder.join("files")).unwrap();
        std::os::unix::fs::symlink(spec.channel.join("scripts"), folder.join("scripts")).unwrap();
        std::os::unix::fs::symlink(&spec.spool, folder.join("spool")).unwrap();
        std::fs::write(folder.join("commands"), "").unwrap();
        let own = std::env::var_os("PATH").unwrap();
        let path = programs.map(Path::to_owned).into_iter().chain(std::env::split_paths(&own));
        let mut child = Command::new(spec.channel.join("shim"))
            .arg("serve")
            .arg(folder)
            .current_dir(&spec.workspace)
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            .envs(&spec.env)
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let (ended, end) = watch::channel(None);
        std::thread::spawn(move || {
            let status = child.wait().unwrap();
            let code = status.code().map_or(137, i64::from);
            kill_tree(pid);
            ended.send_replace(Some(SandboxEnd { code, out_of_memory: false }));
        });
        let (from, to) = (spec.channel.join("commands"), folder.join("commands"));
        let mut places = vec![(WORKSPACE.to_owned(), spec.workspace.clone())];
        places.extend(
            spec.mounts.iter().chain(&spec.read_only).map(|(host, inside)| (inside.clone(), host.clone())),
        );
        let watched = end.clone();
        std::thread::spawn(move || translate(&from, &to, &places, &watched));
        Arc::new(Self { name, pid, end })
    }

    fn kill(&self) {
        if self.end.borrow().is_none() {
            kill_tree(self.pid);
        }
    }
}

/// Passes commands on as they come, with what they say of the sandbox's folders as it is on this machine.
fn translate(
    from: &Path,
    to: &Path,
    places: &[(String, PathBuf)],
    end: &watch::Receiver<Option<SandboxEnd>>,
) {
    use std::io::{Read as _, Write as _};
    let (mut source, mut partial) = (std::fs::File::open(from).unwrap(), String::new());
    let mut target = std::fs::File::options().append(true).open(to).unwrap();
    while end.borrow().is_none() {
        if source.read_to_string(&mut partial).unwrap() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        while let Some(at) = partial.find('\n') {
            let line: String = partial.drain(..=at).collect();
            let mut command: wire::Command = serde_json::from_str(&line).unwrap();
            if let wire::Command::Step(step) = &mut command {
                let texts = [&mut step.argv, &mut step.fallback, &mut step.path].into_iter().flatten();
                let values = step.env.values_mut().chain(step.step_env.values_mut());
                for text in texts.chain(values).chain([&mut step.cwd]) {
                    for (inside, host) in places {
                        if let Some(below) = text.strip_prefix(inside.as_str())
                            && (below.is_empty() || below.starts_with('/'))
                        {
                            *text = format!("{}{below}", host.display());
                        }
                    }
                }
            }
            // It may have ended, and its folder may be gone.
            let _ = target.write_all(format!("{}\n", serde_json::to_string(&command).unwrap()).as_bytes());
        }
    }
}

/// Kills a process and all below it.
fn kill_tree(pid: i32) {
    let children: Vec<i32> = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    children.into_iter().for_each(kill_tree);
}

#[async_trait]
impl Sandbox for Process {
    fn id(&self) -> &str {
        &self.name
    }

    async fn wait(&self) -> Result<SandboxEnd, EngineError> {
        let mut end = self.end.clone();
        let end = end.wait_for(Option::is_some).await.unwrap();
        Ok(end.clone().unwrap())
    }

    async fn kill(&self) -> Result<(), EngineError> {
        Process::kill(self);
        Ok(())
    }
}

#[async_trait]
impl Engine for Fake {
    async fn check(&self) -> Result<String, EngineError> {
        if self.state().fails == Fails::All {
            return Err(EngineError::Unreachable("the fake engine is gone".to_owned()));
        }
        Ok("fake 1".to_owned())
    }

    async fn prepare(&self, _runner: &str, _slots: usize) {}

    async fn retire(&self) {}

    async fn ensure_image(
        &self,
        image: &str,
        _login: Option<&RegistryLogin>,
        progress: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), EngineError> {
        self.call("look for the image")?;
        let there = {
            let state = self.state();
            state.images.contains(image) || state.programs.is_some()
        };
        if there {
            return Ok(());
        }
        progress(format!("pulling {image}"));
        Err(EngineError::Image(format!(
            "the image `{image}` is not on this machine and cannot be pulled: there is no such thing"
        )))
    }

    async fn network(&self, owner: &Owner, closed: bool) -> Result<NetworkId, EngineError> {
        self.call("make a network")?;
        let mut state = self.state();
        state.counter += 1;
        let name = format!("network-{}", state.counter);
        state.networks.insert(name.clone(), (owner.runner.clone(), owner.attempt));
        state.closed.push(closed);
        Ok(NetworkId(name))
    }

    async fn start_service(
        &self,
        owner: &Owner,
        _network: (&NetworkId, bool),
        _shim: &Path,
        service: &Service,
    ) -> Result<ServiceId, EngineError> {
        self.call("start a service")?;
        let id = format!("{}-{}", owner.attempt, service.name);
        self.state().services.insert(id.clone(), (owner.runner.clone(), owner.attempt));
        Ok(ServiceId(id))
    }

    /// A service whose command is `end` has ended; any other is ready.
    async fn probe(&self, service: &Service, _id: &ServiceId) -> Result<Probed, EngineError> {
        self.call("probe a service")?;
        let ends = service.command.first().is_some_and(|word| word.as_str() == "end");
        Ok(if ends { Probed::Gone("it ended with exit code 1".to_owned()) } else { Probed::Ready })
    }

    async fn service_log(&self, _id: &ServiceId, _lines: usize) -> Result<String, EngineError> {
        Ok("the service's last words".to_owned())
    }

    async fn start(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, EngineError> {
        self.call("start a sandbox")?;
        let mut state = self.state();
        let key = (spec.owner.attempt, spec.part);
        assert!(!state.sandboxes.contains_key(&key), "an attempt is started twice");
        state.counter += 1;
        let folder = self.root.path().join(state.counter.to_string());
        let name = format!("fake-{}", spec.owner.attempt);
        let process = Process::start(&folder, spec, state.programs.as_deref(), name);
        let held = Held { runner: spec.owner.runner.clone(), process: process.clone() };
        state.sandboxes.insert(key, held);
        Ok(process)
    }

    async fn find(&self, owner: &Owner) -> Result<Option<Arc<dyn Sandbox>>, EngineError> {
        self.call("look for a sandbox")?;
        Ok(self.held(owner, None))
    }

    async fn find_part(&self, owner: &Owner, part: u32) -> Result<Option<Arc<dyn Sandbox>>, EngineError> {
        self.call("look for a container")?;
        Ok(self.held(owner, Some(part)))
    }

    async fn clean(&self, runner: &str, attempt: AttemptId) -> Result<(), EngineError> {
        self.call("remove an attempt")?;
        let ours = |(of, one): &(String, AttemptId)| of == runner && *one == attempt;
        let processes: Vec<Arc<Process>> = {
            let mut state = self.state();
            state.networks.retain(|_, owner| !ours(owner));
            state.services.retain(|_, owner| !ours(owner));
            let mine =
                |key: &(AttemptId, Option<u32>), held: &Held| key.0 == attempt && held.runner == runner;
            let processes = state
                .sandboxes
                .iter()
                .filter(|(key, held)| mine(key, held))
                .map(|(_, held)| held.process.clone());
            let processes = processes.collect();
            state.sandboxes.retain(|key, held| !mine(key, held));
            processes
        };
        for process in processes {
            process.kill();
            Sandbox::wait(&*process).await?;
        }
        Ok(())
    }

    async fn attempts(&self, runner: &str) -> Result<Vec<AttemptId>, EngineError> {
        self.call("list attempts")?;
        let state = self.state();
        let sandboxes =
            state.sandboxes.iter().filter(|(_, held)| held.runner == runner).map(|(key, _)| key.0);
        let others = state.networks.values().chain(state.services.values());
        let others = others.filter(|(of, _)| of == runner).map(|(_, attempt)| *attempt);
        Ok(sandboxes.chain(others).collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn empty_folder(
        &self,
        _owner: &Owner,
        _image: &str,
        _shim: &Path,
        folder: &Path,
    ) -> Result<(), EngineError> {
        let entries: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
        for path in entries {
            std::fs::remove_dir_all(path).unwrap();
        }
        Ok(())
    }

    async fn own_folder(
        &self,
        _owner: &Owner,
        _image: &str,
        _shim: &Path,
        _folder: &Path,
        _user: &str,
    ) -> Result<(), EngineError> {
        self.call("hand over a folder")?;
        Ok(())
    }

    fn images(&self) -> &dyn Images {
        self
    }
}

#[async_trait]
impl Images for Fake {
    async fn build(&self, request: &BuildRequest, log: &mut LogBytes<'_>) -> Result<String, EngineError> {
        self.call("build an image")?;
        self.state().built.push(request.clone());
        log(b"#1 built by nobody\n");
        let image = format!("sha256:{}", "b".repeat(64));
        self.add_image(&image, &["sh"]);
        Ok(image)
    }

    async fn entry(&self, image: &str) -> Result<Entry, EngineError> {
        self.call("look at an image")?;
        Ok(self.state().entries.get(image).cloned().unwrap_or_default())
    }

    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
        self.call("tag an image")?;
        let entry = self.state().entries.get(image).cloned().unwrap_or_default();
        self.state().entries.insert(format!("{repository}:{tag}"), entry);
        Ok(())
    }

    async fn push(&self, request: &PushRequest, log: &mut LogBytes<'_>) -> Result<String, EngineError> {
        self.call("push an image")?;
        log(format!("pushing {}\n", request.repository).as_bytes());
        self.state().pushed.push(request.clone());
        Ok(format!("sha256:{}", "d".repeat(64)))
    }

    async fn push_index(
        &self,
        request: &IndexRequest,
        log: &mut LogBytes<'_>,
    ) -> Result<String, EngineError> {
        self.call("push an index")?;
        log(format!("index of {}\n", request.repository).as_bytes());
        self.state().indexed.push(request.clone());
        Ok(format!("sha256:{}", "e".repeat(64)))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        for held in self.state().sandboxes.values() {
            held.process.kill();
        }
    }
}
