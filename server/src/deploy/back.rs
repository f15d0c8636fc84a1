//! The way back: stages that put an earlier deployment in place again, by the plan and the commit that it was made
//! from, with its own smoke test.
//!
//! By itself, after a failed deployment, as further stages of the same run ([`put_back`]); or because a person asks
//! for it, as a run of its own ([`rollback`]). Their templates are filled in with the facts of the run that made the
//! earlier deployment, and never read again.

use serde_json::json;
use sha2::{Digest, Sha256};
use tidegate_pipelines::{
    event::EventKind,
    plan::{Need, NeedState, PLAN_VERSION, Plan, StageKey, StagePlan, Template, Verb},
};
use tidegate_protocol::{
    ids::{DeploymentId, EnvironmentId, RunId},
    status::{DeploymentStatus, RunStatus},
};

use crate::{
    actor::{Actor, Role},
    app::App,
    error::Error,
    schedule,
    store::{DeploymentRow, InsertRun, RunRow, StageRow, Tx},
};

/// What the keys of added stages begin with; no name in a file holds a colon.
const PREFIX: &str = "rollback: ";

/// Adds the stages that put a deployment back to a run whose own deployment failed. When that cannot be done, the
/// failed deployment says so and is left as it is.
pub(crate) async fn put_back(
    tx: &mut Tx,
    run: &RunRow,
    stages: &[StageRow],
    failed: DeploymentId,
    to: DeploymentId,
) -> Result<(), Error> {
    let target = tx.deployment(to).await?;
    let plans = match plans_of(tx, &target).await? {
        Ok(plans) => plans,
        Err(reason) => {
            tx.forbid_rollback(failed, &format!("it failed, and cannot be rolled back: {reason}")).await?;
            let message = format!("what ran before cannot be put back: {reason}");
            return tx.event(run.id, None, "rollback.impossible", &message, json!({})).await;
        }
    };
    let environment = tx.environment_row(target.environment_id).await?.name;
    let plans = renamed(plans, |key| {
        let base = format!("{PREFIX}{}", key.0.strip_prefix(PREFIX).unwrap_or(&key.0));
        let taken = |key: &str| stages.iter().any(|stage| stage.key.0 == key);
        (1..).map(|n| if n == 1 { base.clone() } else { format!("{base} {n}") }).find(|key| !taken(key))
    });
    let mut position = stages.iter().map(|stage| stage.position).max().unwrap_or_default();
    for plan in &plans {
        position += 1;
        let id = tx.insert_rollback(run.id, position, plan, failed).await?;
        tx.set_stage_environment(id, &environment).await?;
    }
    let message = format!("{environment} is rolled back to {}", target.image);
    let detail = json!({ "deployment": failed, "to": to, "image": target.image });
    tx.event(run.id, None, "rollback.started", &message, detail).await
}

/// Goes back to an earlier deployment of the environment, by a new run. It needs no approval: what is put back was
/// let through before, and who asks has the role to do so.
pub async fn rollback(
    app: &App,
    environment: EnvironmentId,
    to: DeploymentId,
    actor: &Actor,
) -> Result<RunId, Error> {
    actor.require(Role::ReleaseManager, "roll an environment back")?;
    let mut tx = app.db.begin().await?;
    let target = tx.deployment(to).await?;
    if target.environment_id != environment {
        return Err(Error::NotFound("deployment of this environment"));
    }
    let name = tx.environment_row(environment).await?.name;
    if target.status != DeploymentStatus::Succeeded {
        return Err(Error::Refused(format!(
            "this deployment is {}, and only one that succeeded can be put back",
            target.status
        )));
    }
    let current = tx.current_deployment(environment).await?.ok_or(Error::NotFound("deployment"))?;
    if current.id == target.id {
        return Err(Error::Refused(format!("this is what {name} runs already")));
    }
    let stages = plans_of(&mut tx, &target).await?.map_err(Error::Refused)?;
    let made_by = origin(&mut tx, target.clone()).await?;
    let source = schedule::plan_of(&made_by)?;
    let plan = Plan {
        version: PLAN_VERSION,
        name: source.name.clone(),
        title: None,
        source: source.source.clone(),
        event_name: source.event_name.clone(),
        concurrency: None,
        inputs: source.inputs.clone(),
        calls: source.calls.clone(),
        machines: source.machines.clone(),
        stages,
    };
    let mut event = made_by.event.clone();
    event.kind = EventKind::Rollback;
    event.actor.clone_from(&actor.username);
    let digest = Sha256::digest(serde_json::to_vec(&plan)?);
    let new = InsertRun {
        id: RunId::new(),
        number: tx.next_run_number(made_by.repository_id).await?,
        repository: made_by.repository_id,
        pipeline: &made_by.pipeline,
        path: &made_by.path,
        depth: 0,
        status: RunStatus::Running,
        reason: None,
        event: &event,
        plan: Some(&plan),
        plan_digest: Some(digest.as_slice()),
        source_text: None,
        diagnostics: &[],
        concurrency_group: None,
        rerun_of: None,
        delivery: None,
        actor: &actor.username,
    };
    let run =
        tx.insert_run(&new).await?.ok_or_else(|| Error::internal("a rollback's run was there already"))?;
    for (position, stage) in (0..).zip(&plan.stages) {
        let id = tx.insert_rollback(run, position, stage, current.id).await?;
        tx.set_stage_environment(id, &name).await?;
    }
    let message = format!("{} rolls {name} back to {}", actor.username, target.image);
    let detail = json!({ "environment": name, "to": to, "image": target.image });
    tx.event(run, None, "run.created", &message, detail.clone()).await?;
    schedule::advance(&mut tx, run).await?;
    tx.audit(&actor.username, "environment.rolled_back", &name, detail).await?;
    tx.commit().await?;
    Ok(run)
}

/// The commit and ref that a stage's source comes from: its run's own, or, for what puts an earlier deployment back
/// in the run that failed, those of the earlier one.
pub async fn source_of(tx: &mut Tx, run: &RunRow, stage: &StageRow) -> Result<(String, String), Error> {
    if let Some(undone) = stage.rollback_of {
        let undone = tx.deployment(undone).await?;
        if let Some(previous) = undone.previous_id.filter(|_| undone.run_id == run.id) {
            let previous = tx.deployment(previous).await?;
            let made_by = origin(tx, previous).await?;
            return Ok((made_by.sha, made_by.reference));
        }
    }
    Ok((run.sha.clone(), run.reference.clone()))
}

/// The run whose commit a deployment is made from. A failed run that put an earlier one back did so from the commit
/// of that one, not from its own.
async fn origin(tx: &mut Tx, mut deployment: DeploymentRow) -> Result<RunRow, Error> {
    while let Some(undone) = deployment.rollback_of {
        let undone = tx.deployment(undone).await?;
        match undone.previous_id.filter(|_| undone.run_id == deployment.run_id) {
            Some(previous) => deployment = tx.deployment(previous).await?,
            None => break,
        }
    }
    tx.read_run(deployment.run_id).await
}

/// The deploy stage that made a deployment and its smoke stages, literal, with the deployed image in place.
async fn plans_of(tx: &mut Tx, target: &DeploymentRow) -> Result<Result<Vec<StagePlan>, String>, Error> {
    let run = tx.read_run(target.run_id).await?;
    let stages = tx.stages(run.id).await?;
    let Some(deploy) = stages.iter().find(|stage| stage.id == target.stage_id) else {
        return Ok(Err("the stage that made it is gone".to_owned()));
    };
    let mut plans = Vec::new();
    for stage in &stages {
        let checks = matches!(&stage.plan.verb, Verb::Smoke(smoke) if smoke.deploy == deploy.key);
        if stage.id != deploy.id && !checks {
            continue;
        }
        let mut plan = match schedule::resolve(tx, &run, &stages, stage).await? {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(format!("`{}` cannot be filled in again: {error}", stage.key))),
        };
        plan.needs.clear();
        plan.upstream.clear();
        plan.condition = None;
        plan.same_runner_as = None;
        match &mut plan.verb {
            Verb::Deploy(verb) => verb.image = Template(target.image.clone()),
            _ => {
                plan.needs.push(Need { stage: deploy.key.clone(), accepts: NeedState::Succeeded });
                plan.upstream.push(deploy.key.clone());
            }
        }
        plans.push(plan);
    }
    Ok(Ok(plans))
}

/// Gives stages other keys, and each other's new keys to those that name them.
fn renamed(mut plans: Vec<StagePlan>, new_key: impl Fn(&StageKey) -> Option<String>) -> Vec<StagePlan> {
    let names: Vec<(StageKey, StageKey)> =
        plans.iter().filter_map(|plan| Some((plan.key.clone(), StageKey(new_key(&plan.key)?)))).collect();
    let new = |key: &mut StageKey| {
        if let Some((_, name)) = names.iter().find(|(old, _)| old == key) {
            *key = name.clone();
        }
    };
    for plan in &mut plans {
        new(&mut plan.key);
        plan.name = plan.key.0.clone();
        plan.needs.iter_mut().for_each(|need| new(&mut need.stage));
        plan.upstream.iter_mut().for_each(new);
        if let Verb::Smoke(smoke) = &mut plan.verb {
            new(&mut smoke.deploy);
        }
    }
    plans
}
