//! After the last step: reports, artifacts, caches and the file with further stages leave the workspace.

use std::fs::File;

use tidegate_protocol::{messages::Outcome, status::StepStatus};

use super::{Failure, StageContext, prepare};
use crate::{archive, collect, logs::line};

/// Hands in what the stage keeps, and reads the file with further stages. `failure` is what the stage came to so far; a
/// failure to keep something is one too, when there was none before.
pub(super) async fn results(
    ctx: &StageContext,
    mut failure: Option<Failure>,
    found_caches: &[String],
) -> (Option<Failure>, Option<String>) {
    let stage = &ctx.lease.stage;
    let stopped = failure
        .as_ref()
        .is_some_and(|failure| matches!(failure.outcome, Outcome::Cancelled | Outcome::Infrastructure));
    let nothing = stage.artifacts.is_empty() && stage.reports.is_empty() && stage.caches.is_empty();
    let nothing = nothing && (stage.emits.is_none() || failure.is_some());
    if nothing || stopped || ctx.fence.is_cancelled() {
        return (failure, None);
    }
    let step = ctx.steps.begin("keep results");
    let succeeded = failure.is_none();
    let kept = [collect::reports(ctx, step).await, collect::artifacts(ctx, succeeded, step).await];
    let mut problems: Vec<Failure> = kept.into_iter().filter_map(Result::err).collect();
    let emitted = match &stage.emits {
        Some(emits) if succeeded && problems.is_empty() => collect::emitted(ctx, emits, step).await,
        _ => Ok(None),
    };
    let emitted = emitted.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    let status = if problems.is_empty() { StepStatus::Succeeded } else { StepStatus::Failed };
    for problem in problems {
        line(&*ctx.log, step, &problem.reason);
        failure.get_or_insert(problem);
    }
    if failure.is_none() {
        caches(ctx, step, found_caches).await;
    }
    ctx.log.end(step);
    ctx.steps.end(step, status, None);
    (failure, emitted)
}

/// A cache that cannot be kept is a pity, not a failure.
async fn caches(ctx: &StageContext, step: u32, found: &[String]) {
    for cache in &ctx.lease.stage.caches {
        let key = cache.key.as_str();
        if found.iter().any(|found| found == key) {
            continue;
        }
        let path = ctx.dirs.scratch().join("cache.tar.zst");
        let (root, globs, to) = (ctx.dirs.files(), prepare::cache_globs(cache), path.clone());
        let packed = tokio::task::spawn_blocking(move || {
            let file = File::create(&to).map_err(|error| error.to_string())?;
            archive::pack(&root, &globs, file).map_err(|error| error.to_string())
        })
        .await
        .unwrap_or_else(|error| Err(error.to_string()));
        let stored = match packed {
            Ok(packed) if packed.entries == 0 => Err("there is nothing in its paths".to_owned()),
            Ok(_) => ctx.results.put_cache(cache.scope, key, &path).await.map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        let _ = std::fs::remove_file(&path);
        match stored {
            Ok(stored) => line(&*ctx.log, step, format!("cache {key}, {} bytes", stored.size)),
            Err(reason) => line(&*ctx.log, step, format!("cache {key} is not kept: {reason}")),
        }
    }
}
