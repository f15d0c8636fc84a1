//! `tidegate logs`: the log of a run's stages, whole or as it grows.

use std::time::Duration;

use clap::Args;
use owo_colors::OwoColorize;

use crate::{
    api::{Api, views},
    failure::{Failure, Outcome},
};

/// Print the log of a run's stages
#[derive(Args)]
pub struct Logs {
    /// The run's number (`12`, `owner/name#12`) or id
    run: String,
    /// Only this stage
    stage: Option<String>,
    /// Go on until the run ends
    #[arg(long, short)]
    follow: bool,
}

impl Logs {
    /// Prints step by step, in the order of the stages.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        let id = super::run_id(&api, &self.run).await?;
        let mut seen: Vec<(String, u32, u64)> = Vec::new();
        let mut last = None;
        loop {
            let run: views::Run = api.get(&format!("runs/{id}")).await?;
            if let Some(name) = &self.stage
                && run.stage(name).is_none()
            {
                let known: Vec<_> = run.stages.iter().map(|stage| stage.key.as_str()).collect();
                return Err(Failure::usage(format!("the run has no stage {name}"))
                    .mend(format!("its stages are {}", known.join(", "))));
            }
            for stage in
                run.stages.iter().filter(|stage| self.stage.as_ref().is_none_or(|name| *name == stage.key))
            {
                let Some(attempt) = stage.attempts.last() else { continue };
                for step in &attempt.steps {
                    copy(&api, stage, attempt, step, &mut seen, &mut last).await?;
                }
            }
            if !self.follow || run.is_final() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// Prints what is new in one step, under a heading when the step changes.
async fn copy(
    api: &Api,
    stage: &views::Stage,
    attempt: &views::Attempt,
    step: &views::Step,
    seen: &mut Vec<(String, u32, u64)>,
    last: &mut Option<(String, u32)>,
) -> Outcome {
    let position = seen.iter().position(|(id, index, _)| *id == attempt.id && *index == step.index);
    let mut offset = position.and_then(|at| seen.get(at)).map_or(0, |(_, _, offset)| *offset);
    while offset < step.log_bytes {
        let part = api.log(&attempt.id, step.index, offset).await?;
        if part.bytes.is_empty() {
            break;
        }
        let place = (attempt.id.clone(), step.index);
        if last.as_ref() != Some(&place) {
            anstream::println!(
                "{}",
                format!("── {} · {}", stage.key, crate::terminal::harmless(&step.name)).bold()
            );
            *last = Some(place);
        }
        super::write_out(&part.bytes)?;
        offset = part.next;
    }
    match position.and_then(|at| seen.get_mut(at)) {
        Some(entry) => entry.2 = offset,
        None => seen.push((attempt.id.clone(), step.index, offset)),
    }
    Ok(())
}
