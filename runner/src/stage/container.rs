//! Container actions: an image, from a registry or built of a Dockerfile, run once beside the stage's sandbox.
//!
//! Its container is a sandbox as any other, with the shim as process 1 and a channel of its own, on the stage's network
//! and with the stage's workspace, which is also seen where GitHub's runner has it. Its one command is the image's
//! entry point. After a restart of the runner it is found again by its number.

use std::{collections::BTreeMap, fs::File, path::Path};

use tidegate_pipelines::plan::Template;
use tidegate_protocol::messages::Outcome;

use super::{
    Failure,
    command::Command,
    engine::Engine,
    fetching::Found,
    given::Given,
    judge::Came,
    prepare,
    scope::Scope,
    spoken::Spoken,
    talk::{Reads, Talk},
    turn::Turn,
};
use crate::{
    actions::{manifest::Docker, reference::is_dockerfile},
    archive::{self, ArchiveError},
    logs::LogSink,
    sandbox::{BuildRequest, EngineError, SandboxSpec, session, shim::wire::Finished},
};

/// Where container actions look for the workspace.
const WORKSPACE: &str = "/github/workspace";
/// How much of a build's progress is shown, in bytes.
const MOST_SAID: usize = 1 << 20;

impl Engine<'_> {
    /// A step that uses an image.
    pub(super) async fn image(
        &mut self,
        scope: &Scope,
        image: &str,
        given: Given,
        turn: &Turn,
    ) -> Result<Came, Failure> {
        let finished = self.docker(scope, image, Vec::new(), &Docker::default(), None, &given, turn).await?;
        let came = self.judge(turn, &finished);
        self.world.adopt(finished.env, finished.path);
        Ok(came)
    }

    /// A part of a container action: its main one, or the entry point that is named.
    pub(super) async fn docker_action(
        &mut self,
        scope: &Scope,
        found: &Found,
        docker: &Docker,
        entrypoint: Option<&str>,
        given: &Given,
        turn: &Turn,
    ) -> Result<Finished, Failure> {
        let image = self.image_of(found, docker, turn).await?;
        let inside = scope.inside(&given.inputs, scope.env.clone(), None);
        let mut given = given.clone();
        for (name, template) in &docker.env {
            let value = self.text(&inside, turn.page, template).await?;
            given.env.entry(name.clone()).or_insert(value);
        }
        let mut args = Vec::new();
        for template in docker.args.iter().filter(|_| entrypoint.is_none()) {
            args.push(self.text(&inside, turn.page, template).await?);
        }
        self.docker(scope, &image, args, docker, entrypoint, &given, turn).await
    }

    /// The image of an action: present, or built, once for each step.
    async fn image_of(&mut self, found: &Found, docker: &Docker, turn: &Turn) -> Result<String, Failure> {
        if !is_dockerfile(&docker.image) {
            return Ok(docker.image.trim_start_matches("docker://").to_owned());
        }
        let key = format!("image {}", found.folder);
        if let Some((image, said)) = self.tape.heard::<(Result<String, String>, String)>(&key)? {
            self.ctx.log.write(turn.page, said.as_bytes());
            return image.map_err(Failure::failed);
        }
        let mut said = Vec::new();
        let built = self.build(found, docker, turn, &mut said).await;
        if let Err(failure) = &built
            && failure.outcome != Outcome::Failed
        {
            return built;
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        self.tape.note(&key, &(built.as_ref().map_err(|failure| failure.reason.clone()), said))?;
        built
    }

    /// The image, in the log if it has to be pulled; what is said is said again after a restart.
    async fn pull(&mut self, image: &str, page: u32) -> Result<(), Failure> {
        let key = format!("pull {image}");
        let said = match self.tape.heard::<String>(&key)? {
            Some(said) => said,
            None => {
                let mut said = String::new();
                let mut progress = |text: String| said.push_str(&format!("{text}\n"));
                self.ctx.engine.ensure_image(image, None, &mut progress).await?;
                self.tape.note(&key, &said)?;
                said
            }
        };
        self.ctx.log.write(page, said.as_bytes());
        Ok(())
    }

    async fn build(
        &self,
        found: &Found,
        docker: &Docker,
        turn: &Turn,
        said: &mut Vec<u8>,
    ) -> Result<String, Failure> {
        let ctx = self.ctx;
        let (folder, below) = self
            .paths
            .on_host(&found.folder)
            .ok_or_else(|| Failure::failed(format!("{} is not seen by the runner", found.folder)))?;
        let archive = ctx.dirs.scratch().join(format!("action-{}.tar", turn.page));
        let to = archive.clone();
        let packed = tokio::task::spawn_blocking(move || {
            let root = archive::beneath::Root::open(&folder).map_err(ArchiveError::io("open the action"))?;
            // Opened without following a link; the path through the descriptor is that very folder.
            let opened = root.read(&below).map_err(ArchiveError::io("open the action's folder"))?;
            let through = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&opened));
            let file = File::create(&to).map_err(ArchiveError::io(format!("write {}", to.display())))?;
            archive::pack_plain(Path::new(&through), &["**".to_owned(), "!.git".to_owned()], file).map(|_| ())
        })
        .await
        .map_err(|error| Failure::infrastructure(error.to_string()))?;
        packed.map_err(|error| Failure::failed(format!("the action's folder cannot be packed: {error}")))?;
        let request = BuildRequest {
            context: archive,
            dockerfile: docker.image.trim_start_matches("./").to_owned(),
            target: None,
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            ..BuildRequest::default()
        };
        let mut log = |bytes: &[u8]| {
            if said.len() < MOST_SAID {
                said.extend_from_slice(bytes);
                ctx.log.write(turn.page, bytes);
            }
        };
        let built = tokio::select! {
            built = ctx.engine.images().build(&request, &mut log) => built,
            () = ctx.cancel.cancelled(), if !turn.afterwards => return Err(Failure::cancelled()),
            () = tokio::time::sleep_until(turn.until) => return Err(ctx.timed_out()),
        };
        built.map_err(|error| match error {
            EngineError::Refused { .. } | EngineError::Image(_) => {
                Failure::failed(format!("the action's image cannot be built: {error}"))
            }
            other => other.into(),
        })
    }

    #[expect(clippy::too_many_arguments, reason = "they are what the container is run with")]
    async fn docker(
        &mut self,
        scope: &Scope,
        image: &str,
        mut args: Vec<String>,
        docker: &Docker,
        entrypoint: Option<&str>,
        given: &Given,
        turn: &Turn,
    ) -> Result<Finished, Failure> {
        let ctx = self.ctx;
        self.pull(image, turn.page).await?;
        let input = |name: &str| given.inputs.get(name).filter(|value| !value.is_empty());
        if args.is_empty()
            && entrypoint.is_none()
            && let Some(text) = input("args")
        {
            args = super::shell::split(text);
        }
        let own = match (entrypoint, &docker.entrypoint) {
            (Some(entrypoint), _) => Some(entrypoint.to_owned()),
            (None, Some(Template(text))) => Some(text.clone()),
            (None, None) => input("entrypoint").cloned(),
        };
        let image_entry = ctx.engine.images().entry(image).await?;
        let mut argv = match own {
            Some(own) => vec![own],
            None => {
                if args.is_empty() {
                    args = image_entry.command;
                }
                image_entry.entrypoint
            }
        };
        argv.extend(args);
        if argv.is_empty() {
            return Err(Failure::failed(format!(
                "the image `{image}` has no entry point, and the step names none"
            )));
        }
        let mut env = given.variables(&BTreeMap::new());
        env.insert("HOME".to_owned(), "/github/home".to_owned());
        env.extend(self.toolkit_variables());
        let command =
            Command { argv, fallback: Vec::new(), reads: Reads::Arguments, env, cwd: WORKSPACE.to_owned() };
        let (mut sent, reads, limit) = self.begin_command(scope, turn, command, false)?;
        sent.step_env.insert("GITHUB_WORKSPACE".to_owned(), WORKSPACE.to_owned());
        // What earlier steps put on the search path is of another image.
        sent.path.clear();
        let part = sent.index;
        let mut talk = self.open_container(image, part).await?;
        let finished = talk.run(sent, reads, limit, turn.afterwards).await;
        talk.end();
        self.strange_files = true;
        let mut finished = finished?;
        self.merge(turn.page, &mut finished);
        Ok(finished)
    }

    /// Starts the container of a step's command, or finds the one that an earlier process started.
    async fn open_container(&self, image: &str, part: u32) -> Result<Talk<'_>, Failure> {
        let ctx = self.ctx;
        let dirs = ctx.dirs.part(part);
        let owner = ctx.owner();
        let log: std::sync::Arc<dyn LogSink> = match &self.spoken {
            Some(spoken) => std::sync::Arc::<Spoken>::clone(spoken),
            None => ctx.log.clone(),
        };
        if dirs.spool.exists() {
            let sandbox = ctx.engine.find_part(&owner, part).await?;
            return Talk::open_at(ctx, &dirs, sandbox, log);
        }
        session::create_channel(&dirs.channel, &dirs.spool, &ctx.runner.shim)
            .map_err(|error| Failure::infrastructure(format!("{}: {error}", dirs.channel.display())))?;
        let network = ctx.journal.entry().network;
        let mut mounts = prepare::mounts(ctx);
        mounts.push((ctx.dirs.workspace(), WORKSPACE.to_owned()));
        mounts.push((ctx.dirs.home(), "/github/home".to_owned()));
        let spec = SandboxSpec {
            owner,
            part: Some(part),
            image: image.to_owned(),
            network: network.ok_or_else(|| Failure::infrastructure("the stage has no network"))?,
            closed: ctx.is_closed(),
            channel: dirs.channel.clone(),
            spool: dirs.spool.clone(),
            workspace: ctx.dirs.workspace(),
            mounts,
            read_only: prepare::toolkit_mount(ctx).into_iter().collect(),
            resources: ctx.lease.stage.resources.clone(),
            untrusted: !ctx.lease.trusted,
            env: BTreeMap::new(),
            user: None,
            forwards: Vec::new(),
        };
        let sandbox = ctx.engine.start(&spec).await?;
        Talk::open_at(ctx, &dirs, Some(sandbox), log)
    }
}
