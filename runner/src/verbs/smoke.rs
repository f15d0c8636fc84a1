//! `smoke`: is what was deployed well? The HTTP checks are made by the runner, one step each; the stage's commands run in
//! a sandbox afterwards, like any steps.

use std::collections::BTreeMap;

use tidegate_pipelines::plan::{HttpCheck, Smoke};

use super::{as_step, http_check};
use crate::{
    logs::line,
    stage::{Failure, StageContext, VerbResult},
};

/// Makes the checks in order; the first that does not come true in time ends it.
pub async fn checks(context: &StageContext, smoke: &Smoke) -> VerbResult {
    let client = match http_check::client() {
        Ok(client) => client,
        Err(error) => return VerbResult::from(Failure::infrastructure(format!("no HTTP client: {error}"))),
    };
    for check in &smoke.checks {
        let name = format!("check {}", check.name);
        let result = as_step(context, &name, async |step| one(context, &client, check, step).await).await;
        if result.failure.is_some() {
            return result;
        }
    }
    VerbResult::default()
}

/// Repeats a check until all holds or its time is up.
async fn one(
    context: &StageContext,
    client: &reqwest::Client,
    check: &HttpCheck,
    step: u32,
) -> Result<BTreeMap<String, String>, Failure> {
    let started = tokio::time::Instant::now();
    let deadline = started + std::time::Duration::from_millis(check.deadline_ms);
    let mut said: Option<String> = None;
    loop {
        let mismatch = match http_check::ask(client, check, deadline).await {
            Ok(answer) => {
                line(&*context.log, step, format!("{} {}: {answer}", check.method, check.url.as_str()));
                return Ok(BTreeMap::new());
            }
            Err(mismatch) => mismatch,
        };
        // The same answer again and again is one line.
        if said.as_ref() != Some(&mismatch) {
            line(&*context.log, step, format!("{} {}: {mismatch}", check.method, check.url.as_str()));
            said = Some(mismatch.clone());
        }
        let next = tokio::time::Instant::now() + std::time::Duration::from_millis(check.interval_ms.max(50));
        if next >= deadline {
            return Err(Failure::failed(format!(
                "{}: {} {mismatch} for {:.0} s",
                check.name,
                check.url.as_str(),
                started.elapsed().as_secs_f64()
            )));
        }
        tokio::time::sleep_until(next).await;
    }
}
