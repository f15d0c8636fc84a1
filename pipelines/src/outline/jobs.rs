//! The jobs of an outline, from a plan's stages and calls.

use std::collections::{BTreeMap, BTreeSet};

use super::{Job, Step, stand_ins};
use crate::{
    SourceFile,
    expand::each_once,
    import::reading,
    plan::{Call, Does, Plan, StagePlan, Step as PlanStep, StepWhen, path_of},
};

/// Calls stand before the stages that are part of them. Of a file that could not be read there are none.
pub(super) fn of(file: &SourceFile<'_>, plan: &Plan) -> Vec<Job> {
    let plan = &*each_once(plan);
    let uses = called_files(file);
    let mut jobs = Vec::new();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for stage in &plan.stages {
        for call in path_of(&plan.calls, stage.call.as_deref()) {
            if told.insert(&call.key) {
                jobs.push(of_call(call, &uses));
            }
        }
        if !(stage.call.is_some() && stage.own_name() == stand_ins::JOB) {
            jobs.push(job(plan, stage));
        }
    }
    jobs.extend(
        plan.calls.iter().filter(|call| !told.contains(call.key.as_str())).map(|call| of_call(call, &uses)),
    );
    jobs
}

/// What the jobs of a file call, by their ids.
fn called_files(file: &SourceFile<'_>) -> BTreeMap<String, String> {
    let Ok(root) = reading::tree(file) else { return BTreeMap::new() };
    let jobs = reading::get(&root, "jobs").map(reading::fields).unwrap_or_default();
    let uses = jobs.into_iter().filter_map(|job| {
        let uses = reading::text(reading::get(&job.value, "uses")?)?;
        Some((job.key.value.clone(), uses.to_owned()))
    });
    uses.collect()
}

fn of_call(call: &Call, uses: &BTreeMap<String, String>) -> Job {
    Job {
        id: call.name.clone(),
        key: call.key.clone(),
        name: call.title.clone(),
        verb: "call",
        uses: uses.get(&call.name).filter(|_| call.parent.is_none()).cloned(),
        call: call.parent.clone(),
        needs: call.needs.clone(),
        waits_for: Vec::new(),
        condition: call.condition.clone(),
        skip_reason: None,
        matrix: call.matrix.clone(),
        runs_on: Vec::new(),
        image: None,
        environment: None,
        env: BTreeMap::new(),
        secrets: Vec::new(),
        services: BTreeMap::new(),
        outputs: call.outputs.clone(),
        timeout_seconds: None,
        continue_on_error: false,
        steps: Vec::new(),
    }
}

/// The name of a need as its file has it: a stage of the same call by its own, one of another call by that call's.
fn need_name<'p>(plan: &'p Plan, stage: &StagePlan, need: &'p StagePlan) -> &'p str {
    let calls = path_of(&plan.calls, need.call.as_deref());
    match calls.into_iter().find(|call| call.parent == stage.call) {
        Some(call) if need.call != stage.call => &call.name,
        _ => &need.name,
    }
}

fn job(plan: &Plan, stage: &StagePlan) -> Job {
    let mut needs: Vec<String> = Vec::new();
    for need in &stage.needs {
        let name = plan.stage(&need.stage).map_or(need.stage.0.as_str(), |need| need_name(plan, stage, need));
        if !needs.iter().any(|one| one == name) {
            needs.push(name.to_owned());
        }
    }
    let run = stage.verb.commands();
    Job {
        id: stage.name.clone(),
        key: stage.key.0.clone(),
        name: stage.title.clone().unwrap_or_else(|| stage.key.0.clone()),
        verb: stage.verb.name(),
        uses: None,
        call: stage.call.clone(),
        needs,
        waits_for: stage.needs.clone(),
        condition: stage.condition.clone(),
        skip_reason: stage.skip_reason.clone(),
        matrix: stage.matrix.clone(),
        runs_on: stage.runner_labels.clone(),
        image: run.map(|run| run.image.0.clone()).filter(|image| !image.is_empty()),
        environment: stage.environment().map(|environment| environment.0.clone()),
        env: stage.env.clone(),
        secrets: stage.secrets.iter().map(|secret| secret.name.clone()).collect(),
        services: stage
            .services
            .iter()
            .map(|service| (service.name.clone(), service.image.0.clone()))
            .collect(),
        outputs: stage.outputs.clone(),
        timeout_seconds: Some(stage.timeout_seconds),
        continue_on_error: stage.continue_on_error,
        steps: run.map(|run| run.steps.iter().map(step).collect()).unwrap_or_default(),
    }
}

fn step(step: &PlanStep) -> Step {
    let when = match step.when {
        StepWhen::Success => None,
        StepWhen::Failure => Some("failure()".to_owned()),
        StepWhen::Always => Some("always()".to_owned()),
    };
    let mut outline = Step {
        id: step.id.clone(),
        name: step.name.clone(),
        condition: step.condition.clone().or(when),
        run: None,
        uses: None,
        with: BTreeMap::new(),
        env: step.env.clone(),
        shell: Vec::new(),
        working_directory: None,
        continue_on_error: step.continue_on_error,
        background: step.background,
        wait: None,
        cancel: None,
    };
    match &step.does {
        Does::Run(script) => {
            outline.run = Some(script.script.clone());
            outline.shell.clone_from(&script.shell);
            outline.working_directory = script.working_directory.as_ref().map(|path| path.0.clone());
        }
        Does::Uses(action) => {
            outline.uses = Some(action.action.clone());
            outline.with.clone_from(&action.with);
        }
        Does::Wait(wait) => outline.wait = Some(wait.steps.clone().unwrap_or_default()),
        Does::Cancel(id) => outline.cancel = Some(id.clone()),
    }
    outline
}
