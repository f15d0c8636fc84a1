//! The sandbox of an attempt with all that belongs to it: images, network, services.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_pipelines::plan::{Container, Credentials, Run};
use tidegate_protocol::messages::RegistryLogin;
use tokio::{sync::watch, time::Instant};

use super::{Failure, StageContext, own, paths::HOME, ports, services};
use crate::{
    journal::Phase,
    logs::line,
    sandbox::{EngineError, Forward, Sandbox, SandboxEnd, SandboxSpec, session},
};

/// Makes images present, starts services and the sandbox; or finds the sandbox of an earlier process.
pub(super) async fn start(ctx: &StageContext, run: &Run) -> Result<Option<Arc<dyn Sandbox>>, Failure> {
    if ctx.journal.phase() == Phase::Steps {
        return ctx.engine.find(&ctx.owner()).await.map_err(Failure::from);
    }
    let image = run.image.as_str();
    let forwards = ports::mapped(&ctx.lease.stage.services).map_err(Failure::failed)?;
    let began = Instant::now();
    session::create_channel(&ctx.dirs.channel(), &ctx.dirs.spool(), &ctx.runner.shim)
        .map_err(|error| Failure::infrastructure(format!("{}: {error}", ctx.dirs.root.display())))?;
    let owner = ctx.owner();
    let closed = ctx.is_closed();
    let mut progress = |text: String| line(&*ctx.log, 0, text);
    let login = login(&run.container);
    let (image_there, network) = tokio::join!(
        ctx.engine.ensure_image(image, login.as_ref(), &mut progress),
        ctx.engine.network(&owner, closed)
    );
    image_there?;
    let network = network?;
    ctx.journal
        .update(|entry| entry.network = Some(network.clone()))
        .map_err(|error| Failure::infrastructure(format!("the journal cannot be written: {error}")))?;
    services::start_all(ctx, &network).await?;
    let spec = SandboxSpec {
        owner,
        part: None,
        image: image.to_owned(),
        network,
        closed,
        channel: ctx.dirs.channel(),
        spool: ctx.dirs.spool(),
        workspace: ctx.dirs.workspace(),
        mounts: super::prepare::mounts(ctx),
        read_only: super::prepare::read_only_mounts(ctx),
        resources: ctx.lease.stage.resources.clone(),
        untrusted: !ctx.lease.trusted,
        env: own_env(ctx, &run.container),
        user: run.container.user.as_ref().map(|user| user.as_str().to_owned()),
        forwards,
    };
    let sandbox = ctx.engine.start(&spec).await?;
    for Forward { local, service, port, udp } in &spec.forwards {
        let kind = if *udp { "/udp" } else { "" };
        line(&*ctx.log, 0, format!("port {port}{kind} of service {service} is at localhost:{local}"));
    }
    line(&*ctx.log, 0, format!("{image} started in {} ms", began.elapsed().as_millis()));
    Ok(Some(sandbox))
}

/// What an image's registry is asked with; nothing where a secret is missing, as GitHub has it.
pub(super) fn login(container: &Container) -> Option<RegistryLogin> {
    let Credentials { username, password } = container.credentials.as_ref()?;
    let (username, password) = (username.as_str().to_owned(), password.as_str().to_owned());
    (!username.is_empty() && !password.is_empty()).then_some(RegistryLogin { username, password })
}

/// Environment values of the container itself. The image's home is root's, or need not be there for another user.
fn own_env(ctx: &StageContext, container: &Container) -> BTreeMap<String, String> {
    let env = container.env.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned()));
    let mut env: BTreeMap<String, String> = env.collect();
    if ctx.is_lenient() && own::other_user(container).is_some() {
        env.entry("HOME".to_owned()).or_insert_with(|| HOME.to_owned());
    }
    env
}

/// The end of a sandbox as a value that many may look at. `None`: it ended while no runner was there.
pub(super) fn watch_end(sandbox: Option<Arc<dyn Sandbox>>) -> watch::Receiver<Option<String>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let text = match sandbox {
            None => "the sandbox ended while the runner was away".to_owned(),
            Some(sandbox) => tokio::select! {
                // Nobody looks any more.
                () = sender.closed() => return,
                ended = sandbox.wait() => match ended {
                    Ok(SandboxEnd { out_of_memory: true, .. }) => "the sandbox ran out of memory".to_owned(),
                    Ok(SandboxEnd { code: 71, .. }) => {
                        "the sandbox's process 1 gave up; the runner's disk may be full".to_owned()
                    }
                    Ok(SandboxEnd { code: 75, .. }) => "the sandbox ended itself when its lease ran out".to_owned(),
                    Ok(SandboxEnd { code, .. }) => {
                        format!("the sandbox was ended from outside (exit code {code})")
                    }
                    Err(error) => error.to_string(),
                },
            },
        };
        let _ = sender.send(Some(text));
    });
    receiver
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            // The pipeline names the image, so this is the stage's own failure; trying again does not help.
            EngineError::Image(reason) => Self::failed(reason),
            other => Self::infrastructure(other.to_string()),
        }
    }
}
