//! The sandbox of an attempt with all that belongs to it: images, network, services.

use std::sync::Arc;

use tidegate_pipelines::plan::{Network, Run};
use tokio::{sync::watch, time::Instant};

use super::{Failure, StageContext, services};
use crate::{
    journal::Phase,
    logs::line,
    sandbox::{EngineError, Sandbox, SandboxEnd, SandboxSpec, session},
};

/// Makes images present, starts services and the sandbox; or finds the sandbox of an earlier process.
pub(super) async fn start(ctx: &StageContext, run: &Run) -> Result<Option<Arc<dyn Sandbox>>, Failure> {
    if ctx.journal.phase() == Phase::Steps {
        return ctx.engine.find(&ctx.owner()).await.map_err(Failure::from);
    }
    let image = run.image.as_str();
    let began = Instant::now();
    session::create_channel(&ctx.dirs.channel(), &ctx.dirs.spool(), &ctx.runner.shim)
        .map_err(|error| Failure::infrastructure(format!("{}: {error}", ctx.dirs.root.display())))?;
    let owner = ctx.owner();
    // Services are on it, so `none` and `services` differ only in whether there are any.
    let closed = !ctx.lease.trusted || ctx.lease.stage.network != Network::Internet;
    let mut progress = |text: String| line(&*ctx.log, 0, text);
    let (image_there, network) =
        tokio::join!(ctx.engine.ensure_image(image, &mut progress), ctx.engine.network(&owner, closed));
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
        channel: ctx.dirs.channel(),
        spool: ctx.dirs.spool(),
        workspace: ctx.dirs.workspace(),
        mounts: super::prepare::mounts(ctx),
        read_only: super::prepare::read_only_mounts(ctx),
        resources: ctx.lease.stage.resources.clone(),
        untrusted: !ctx.lease.trusted,
    };
    let sandbox = ctx.engine.start(&spec).await?;
    line(&*ctx.log, 0, format!("{image} started in {} ms", began.elapsed().as_millis()));
    Ok(Some(sandbox))
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
