//! Services beside a stage: all started at once, then waited for until each is ready.

use std::time::Duration;

use tidegate_pipelines::plan::Service;
use tokio::time::{Instant, sleep};

use super::{Failure, StageContext, sandboxed};
use crate::{
    logs::line,
    sandbox::{NetworkId, Probed, ServiceId},
};

/// Used where a service names no readiness of its own and waits for its image's health check.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(500);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
/// Lines of a service's output that a failure shows.
const LAST_LINES: usize = 50;

/// Starts the stage's services and returns when all are ready.
pub(super) async fn start_all(ctx: &StageContext, network: &NetworkId) -> Result<(), Failure> {
    let starts = ctx.lease.stage.services.iter().map(|service| start_one(ctx, network, service));
    futures_util::future::try_join_all(starts).await.map(|_| ())
}

async fn start_one(ctx: &StageContext, network: &NetworkId, service: &Service) -> Result<(), Failure> {
    let began = Instant::now();
    let mut progress = |text: String| line(&*ctx.log, 0, text);
    let login = sandboxed::login(&service.container);
    ctx.engine.ensure_image(service.image.as_str(), login.as_ref(), &mut progress).await?;
    let id =
        ctx.engine.start_service(&ctx.owner(), (network, ctx.is_closed()), &ctx.runner.shim, service).await?;
    let (interval, limit) = service.ready.as_ref().map_or((DEFAULT_INTERVAL, DEFAULT_TIMEOUT), |ready| {
        (Duration::from_millis(ready.interval_ms), Duration::from_millis(ready.timeout_ms))
    });
    let until = began + limit;
    loop {
        let why = match ctx.engine.probe(service, &id).await? {
            Probed::Ready => {
                let took = began.elapsed().as_millis();
                line(&*ctx.log, 0, format!("service {} is ready after {took} ms", service.name));
                return Ok(());
            }
            Probed::Gone(why) => return Err(give_up(ctx, service, &id, &why).await),
            Probed::NotYet(why) => why,
        };
        if Instant::now() >= until {
            let why = format!("not ready after {} s: {why}", limit.as_secs_f64());
            return Err(give_up(ctx, service, &id, &why).await);
        }
        if ctx.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        sleep(interval.max(Duration::from_millis(20))).await;
    }
}

/// Shows the last lines of the service's output and says what is wrong with it.
async fn give_up(ctx: &StageContext, service: &Service, id: &ServiceId, why: &str) -> Failure {
    if let Ok(text) = ctx.engine.service_log(id, LAST_LINES).await {
        line(&*ctx.log, 0, format!("the last lines of service {}:", service.name));
        for last in text.lines() {
            line(&*ctx.log, 0, format!("  {last}"));
        }
    }
    Failure::failed(format!("service `{}` ({}): {why}", service.name, service.image.as_str()))
}
