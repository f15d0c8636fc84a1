//! `tidegate run`: a pipeline of the working tree on the local engine, by the runner's own code.

mod output;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use owo_colors::OwoColorize;
use serde_json::Value;
use tidegate_pipelines::{
    Compiled, Diagnostic, Machine, Setting, SourceFile, compile,
    event::{Event, EventKind},
    plan::{Plan, StagePlan, Verb},
    render,
};
use tidegate_runner::local::{LocalRun, run_pipeline};

use super::{
    runs::{name_and_value, typed},
    validate::DEFAULT_FILE,
};
use crate::{
    failure::{Doing, Failure, Outcome},
    files::TreeFiles,
    logging,
    settings::{self, file::File},
    terminal::{self, Table, status_mark, status_style},
    worktree::WorkTree,
};

/// Run a pipeline of the working tree on the local engine, without a server
///
/// The files are taken as they are, committed or not, and are not changed. The pipeline is compiled as for a push
/// of the current commit; where it is not meant for that, or when --input is given, as started by hand. Gates are
/// not asked: whoever runs it decides. A secret comes from --secret, --secrets-file, or a variable of its own name.
#[derive(Args)]
pub struct Run {
    /// The pipeline file
    #[arg(default_value = DEFAULT_FILE)]
    pipeline: PathBuf,
    /// Only this stage, and those that it needs; leaves deployments out unless they are named
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Deploy too: without this (or a deploy or smoke stage in --stage) a pipeline that deploys is not run whole
    #[arg(long)]
    deploy: bool,
    /// An input; may be given again
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = name_and_value)]
    inputs: Vec<(String, String)>,
    /// A secret from a variable; may be given again
    #[arg(long = "secret", value_name = "NAME=VARIABLE", value_parser = name_and_value)]
    secrets: Vec<(String, String)>,
    /// A file with NAME=VALUE lines of secrets
    #[arg(long, value_name = "FILE")]
    secrets_file: Option<PathBuf>,
    /// An environment's URL, for smoke tests; may be given again
    #[arg(long = "environment-url", value_name = "NAME=URL", value_parser = name_and_value)]
    environments: Vec<(String, String)>,
    /// The image that stands for a machine, for workflows with `runs-on`: `ubuntu-latest=IMAGE`; may be given again
    ///
    /// It goes before TIDEGATE_MACHINES, which goes before [server.machines] of the settings.
    #[arg(long = "machine", value_name = "LABEL=IMAGE", value_parser = name_and_value)]
    machines: Vec<(String, String)>,
    /// A variable that workflows read as `vars.NAME`; may be given again
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = name_and_value)]
    variables: Vec<(String, String)>,
    /// Stages at once
    #[arg(long, default_value_t = 2, value_name = "N")]
    slots: usize,
    /// The container engine [default: DOCKER_HOST, else the local socket]
    #[arg(long, env = "TIDEGATE_DOCKER_HOST", value_name = "ADDRESS")]
    docker_host: Option<String>,
}

impl Run {
    /// Compiles and runs; fails when the pipeline does.
    pub async fn run(self, file: File) -> Outcome {
        logging::install("error");
        let actions = settings::runner::actions(&file.runner.actions)?;
        let here = std::env::current_dir().doing("cannot tell the current folder")?;
        let tree = WorkTree::open(&here)?;
        let machines = self.machines(&file)?;
        let variables: BTreeMap<String, String> = self.variables.iter().cloned().collect();
        let (plan, event) = self.compile(&tree, &machines, &variables)?;
        self.refuse_deployments(&plan)?;
        let secrets = self.gather_secrets(&plan)?;
        let event_word = event.kind.as_str();
        let dirty = if tree.is_dirty { ", with uncommitted changes" } else { "" };
        let sha = terminal::short_digest(&event.git.sha);
        anstream::println!("{} as for a {event_word} of {sha}{dirty}", plan.name.bold());

        let width = plan.stages.iter().map(|stage| stage.key.0.chars().count()).max().unwrap_or(0);
        let sink = Arc::new(output::Output::new(width));
        let begun = Instant::now();
        let ended = run_pipeline(LocalRun {
            plan,
            variables,
            actions,
            workspace: tree.root.clone(),
            files: Arc::new(TreeFiles::new(&tree.root)),
            only: self.stage,
            event,
            secrets,
            environments: self.environments.into_iter().collect(),
            data_dir: settings::default_data_dir()?.join("local"),
            docker_host: self.docker_host,
            parallel: self.slots.max(1),
            grace: Duration::from_secs(10),
            sink: sink.clone(),
            cancel: super::until_signal()?,
        })
        .await
        .doing("the pipeline could not be run")?;
        sink.flush();

        let mut table = Table::new(&["stage", "duration", "result", "why"]).prose(&["why"]);
        for stage in &ended.stages {
            let status = stage.status.as_str();
            let style = status_style(status);
            table.row([
                stage.key.0.clone(),
                sink.duration(&stage.key).map(terminal::duration).unwrap_or_default(),
                format!("{} {}", status_mark(status).style(style), status.style(style)),
                terminal::harmless(stage.reason.as_deref().unwrap_or_default()),
            ]);
        }
        anstream::println!("\n{}", table.render());
        anstream::println!(
            "{}",
            format!("{} in all; results in {}", terminal::duration(begun.elapsed()), ended.results.display())
                .dimmed()
        );
        if ended.succeeded() { Ok(()) } else { Err(Failure::told()) }
    }

    /// The plan for the first event that triggers the pipeline.
    fn compile(
        &self,
        tree: &WorkTree,
        machines: &BTreeMap<String, Machine>,
        variables: &BTreeMap<String, String>,
    ) -> Outcome<(Plan, Event)> {
        let path = if self.pipeline.is_absolute() || self.pipeline.exists() {
            self.pipeline.clone()
        } else {
            tree.root.join(&self.pipeline)
        };
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!("cannot read {}", path.display()))
                .because(error)
                .mend(format!("name a pipeline file; without a name it is {DEFAULT_FILE}"))
        })?;
        let name = self.pipeline.display().to_string();
        let file = SourceFile { path: &name, text: &text };
        let inputs: BTreeMap<String, Value> =
            self.inputs.iter().map(|(name, value)| (name.clone(), typed(value))).collect();
        let kinds: &[EventKind] =
            if inputs.is_empty() { &[EventKind::Push, EventKind::Manual] } else { &[EventKind::Manual] };
        let files = TreeFiles::new(&tree.root);
        let setting = Setting { files: &files, machines, variables, ..Setting::default() };
        let mut reasons = Vec::new();
        for kind in kinds {
            let event = tree.event(*kind, inputs.clone());
            let compilation = compile(&file, &event, setting);
            let errors = compilation.diagnostics.iter().any(Diagnostic::is_error);
            match compilation.result {
                Some(Compiled::Plan(plan)) => {
                    show(&file, &compilation.diagnostics)?;
                    return Ok((plan, event));
                }
                Some(Compiled::NotTriggered { reason, .. }) => {
                    reasons.push(format!("{}: {reason}", kind.as_str()))
                }
                None => {
                    show(&file, &compilation.diagnostics)?;
                    return Err(if errors {
                        Failure::told()
                    } else {
                        Failure::new("the pipeline could not be compiled")
                    });
                }
            }
        }
        let failure = Failure::new(format!("{name} is not meant for this commit"));
        Err(reasons.into_iter().fold(failure, Failure::because))
    }

    /// Images of machines: those of the command line before the settings'.
    fn machines(&self, file: &File) -> Outcome<BTreeMap<String, Machine>> {
        let listed = settings::variable("TIDEGATE_MACHINES")?;
        let mut machines = settings::server::machines(&file.server, listed)?;
        for (label, image) in &self.machines {
            if label.trim().is_empty() || image.trim().is_empty() {
                return Err(Failure::usage(format!("--machine {label}={image} names no label or no image"))
                    .mend("give both, for example `--machine ubuntu-latest=ubuntu:24.04`"));
            }
            machines.insert(label.clone(), Machine { image: image.clone(), labels: Vec::new() });
        }
        Ok(machines)
    }

    /// A whole pipeline is not deployed by mistake.
    fn refuse_deployments(&self, plan: &Plan) -> Outcome {
        if self.deploy || self.stage.is_some() {
            return Ok(());
        }
        let deploys: Vec<&str> = plan
            .stages
            .iter()
            .filter(|stage| matches!(stage.verb, Verb::Deploy(_)) || may_add_deployments(stage))
            .map(|stage| stage.key.0.as_str())
            .collect();
        if deploys.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!("this pipeline deploys, or may come to ({})", deploys.join(", ")))
            .because("run from a working tree, no gate would ask")
            .mend("run it up to a stage with --stage NAME, or all of it with --deploy"))
    }

    /// The values of all secrets that the plan names, as far as they are to be had.
    fn gather_secrets(&self, plan: &Plan) -> Outcome<BTreeMap<String, String>> {
        let mut values = match &self.secrets_file {
            Some(path) => read_secrets(path)?,
            None => BTreeMap::new(),
        };
        for (name, variable) in &self.secrets {
            let value = std::env::var(variable).map_err(|error| {
                Failure::usage(format!("the variable {variable}, for the secret {name}, cannot be read"))
                    .because(error)
            })?;
            values.insert(name.clone(), value);
        }
        let own = plan.stages.iter().flat_map(|stage| stage.secrets.iter().map(|secret| &secret.name));
        let of_added = plan.stages.iter().filter_map(|stage| stage.emits.as_ref());
        for name in own.chain(of_added.flat_map(|emits| &emits.secrets)) {
            if !values.contains_key(name)
                && let Ok(value) = std::env::var(name)
            {
                values.insert(name.clone(), value);
            }
        }
        Ok(values)
    }
}

/// What a stage may add to the run is not known before it has run.
fn may_add_deployments(stage: &StagePlan) -> bool {
    stage.emits.as_ref().is_some_and(|emits| !emits.environments.is_empty())
}

fn show(file: &SourceFile<'_>, diagnostics: &[Diagnostic]) -> Outcome {
    use std::io::IsTerminal;
    if diagnostics.is_empty() {
        return Ok(());
    }
    super::write_out(render(file, diagnostics, std::io::stdout().is_terminal()).as_bytes())
}

/// `NAME=VALUE` lines; empty ones and those that begin with `#` are left out.
fn read_secrets(path: &Path) -> Outcome<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).doing(format!("cannot read {}", path.display()))?;
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                values.insert(name.trim().to_owned(), value.to_owned());
            }
            // The line itself may be a secret: only its number is told.
            _ => {
                return Err(Failure::usage(format!("{}:{}: expected NAME=VALUE", path.display(), index + 1)));
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_files_are_lines_of_names_and_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets");
        fs::write(&path, "# mine\nA=1=2\n\nB= x\n").unwrap();
        let values = read_secrets(&path).unwrap();
        assert_eq!(values.get("A").map(String::as_str), Some("1=2"));
        assert_eq!(values.get("B").map(String::as_str), Some(" x"));
        fs::write(&path, "A=1\nhunter2\n").unwrap();
        let failure = read_secrets(&path).unwrap_err().to_string();
        assert!(failure.contains(":2:") && !failure.contains("hunter2"), "{failure}");
    }
}
