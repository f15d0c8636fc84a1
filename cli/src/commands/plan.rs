//! `tidegate plan`: what an event would start, without running it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use owo_colors::OwoColorize;
use serde_json::Value;
use tidegate_pipelines::{
    Compilation, Machine, Setting, SourceFile, compile,
    event::{Event, EventKind},
    outline::{Job, Outline, StandIns, Step, need_word, not_there, outline},
    sample::{self, Known},
    triggers,
};

use super::runs::{name_and_value, typed};
use crate::{
    failure::{Doing, Failure, Outcome},
    files::{self, TreeFiles},
    settings::{self, file::File},
    terminal::{self, harmless},
    worktree::WorkTree,
};

/// Show what an event would start: stages, needs, matrices, steps and conditions
///
/// The event is made of the working tree's commit, and of a payload where one is given. An event that starts nothing is
/// no failure: the reason is printed. Exit codes: 0 planned or not triggered, 1 the file has errors, 2 wrong use.
#[derive(Args)]
pub struct Plan {
    /// The pipeline file
    #[arg(default_value = super::validate::DEFAULT_FILE)]
    file: PathBuf,
    #[command(flatten)]
    event: EventArgs,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Which event a command is about.
#[derive(Args)]
pub struct EventArgs {
    /// The event, as the forge calls it: push, pull_request, workflow_dispatch, release, …; also tag and manual
    #[arg(long, short, default_value = "push", value_name = "NAME")]
    event: String,
    /// The ref that the event is about [default: what is checked out]
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// What happened: opened, published, …
    #[arg(long, value_name = "WORD")]
    activity: Option<String>,
    /// A JSON file with what the forge said, or a part of it
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// An input of a manual run; may be given again
    #[arg(long = "inputs", visible_alias = "input", value_name = "NAME=VALUE", value_parser = name_and_value)]
    inputs: Vec<(String, String)>,
}

/// A file compiled for an event.
pub struct Compiled {
    /// As it was named.
    pub shown: String,
    /// Its text.
    pub text: String,
    /// What came of it.
    pub compilation: Compilation,
    /// What starts it.
    pub triggers: tidegate_pipelines::Triggers,
    /// The repository's.
    pub default_branch: String,
}

impl EventArgs {
    /// An event of which no more is known than its name, and maybe its ref.
    pub fn named(name: &str, reference: Option<String>) -> Self {
        Self { event: name.to_owned(), reference, activity: None, payload: None, inputs: Vec::new() }
    }

    /// Compiles a file for the event.
    pub fn compile(self, path: &Path, machines: &BTreeMap<String, Machine>) -> Outcome<Compiled> {
        let source = files::read(path)?;
        let text = source.text.map_err(|found| Failure::new(&found.message).because(&source.shown))?;
        let file = SourceFile { path: &source.path, text: &text };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let tree = WorkTree::open(folder.unwrap_or(Path::new(".")));
        let tree = tree.unwrap_or_else(|_| WorkTree::unknown(folder.unwrap_or(Path::new("."))));
        let triggers = triggers(&file);
        let schedule = triggers.schedules.first().map(|schedule| schedule.cron.clone());
        let asked_for = sample::activities(&file, &self.event);
        let event = self.resolve(&tree, schedule, asked_for)?;
        let default_branch = event.default_branch.clone();
        let tree = TreeFiles::new(source.root.as_deref().unwrap_or(&tree.root));
        let files = StandIns::new(&tree, &text);
        let setting = Setting { files: &files, machines, any_machine: true, ..Setting::default() };
        let mut compilation = compile(&file, &event, setting);
        compilation.diagnostics.extend(not_there(&file, &files.missing()));
        let shown = source.shown;
        super::as_named(&mut compilation.diagnostics, &source.path, &shown);
        Ok(Compiled { shown, text, compilation, triggers, default_branch })
    }

    fn resolve(self, tree: &WorkTree, schedule: Option<String>, asked_for: Vec<String>) -> Outcome<Event> {
        let payload = self.payload.as_deref().map(read_payload).transpose()?;
        let inputs: BTreeMap<String, Value> =
            self.inputs.iter().map(|(name, value)| (name.clone(), typed(value))).collect();
        let known = Known {
            name: &self.event,
            reference: self.reference.as_deref(),
            activity: self.activity.as_deref(),
            asked_for,
            payload,
            inputs,
            schedule,
        };
        sample::sample(tree.event(EventKind::Push, BTreeMap::new()), known)
            .map_err(|why| Failure::usage("the event makes no sense").because(why))
    }
}

fn read_payload(path: &Path) -> Outcome<Value> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read the payload {}", path.display())).because(error)
    })?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{} is not JSON", path.display())).because(error))
}

impl Plan {
    /// Prints the plan; fails when the file has errors.
    pub fn run(self, config: File) -> Outcome {
        let event = self.event.event.clone();
        let machines = settings::server::machines_of(&config.server)?;
        let Compiled { shown, text, compilation, triggers, .. } =
            self.event.compile(&self.file, &machines)?;
        let file = SourceFile { path: &shown, text: &text };
        let outline = outline(&file, triggers, compilation);
        let failed = outline.diagnostics.iter().any(tidegate_pipelines::Diagnostic::is_error);
        if self.json {
            super::print_json(&serde_json::to_value(&outline).doing("cannot write JSON")?)?;
        } else {
            super::show_diagnostics(&file, &outline.diagnostics)?;
            super::write_out(anstream_text(&people(&outline, &event)).as_bytes())?;
        }
        if failed { Err(Failure::told()) } else { Ok(()) }
    }
}

/// Without colours where nobody would see them.
fn anstream_text(text: &str) -> String {
    if terminal::is_colored() {
        text.to_owned()
    } else {
        text.lines().map(|line| harmless(line) + "\n").collect()
    }
}

fn people(outline: &Outline, event: &str) -> String {
    if let Some(reason) = &outline.reason {
        return format!("{}: not triggered by {event}: {}\n", outline.file, harmless(reason));
    }
    let name = outline.name.as_deref().unwrap_or_default();
    let mut text = format!("{} ({}), for {event}\n", harmless(name).bold(), outline.file);
    if let Some(concurrency) = &outline.concurrency {
        let then = if concurrency.cancel_superseded {
            "the newer run stops the older"
        } else if concurrency.replace_waiting {
            "one after the other; a newer one takes the place of one that waits"
        } else {
            "one after the other"
        };
        text.push_str(&format!("  concurrency  {} ({then})\n", harmless(&concurrency.group)));
    }
    for (name, value) in &outline.inputs {
        text.push_str(&format!("  input        {name} = {}\n", harmless(&value.to_string())));
    }
    for job in &outline.jobs {
        text.push('\n');
        stage(job, &mut text);
    }
    text
}

fn stage(job: &Job, text: &mut String) {
    text.push_str(&format!("{} {}\n", harmless(&job.name).bold(), job.verb.dimmed()));
    let mut line = |word: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("  {}{}\n", format!("{word:<9}").dimmed(), harmless(&value)));
        }
    };
    let states: BTreeMap<&str, &str> = job
        .waits_for
        .iter()
        .filter_map(|need| Some((need.stage.0.split(" (").next()?, need_word(need.accepts)?)))
        .collect();
    let needs = job.needs.iter().map(|need| match states.get(need.as_str()) {
        Some(state) => format!("{need} ({state})"),
        None => need.clone(),
    });
    line("uses", job.uses.clone().unwrap_or_default());
    line("needs", needs.collect::<Vec<_>>().join(", "));
    line("if", job.condition.clone().unwrap_or_default());
    line("skipped", job.skip_reason.clone().unwrap_or_default());
    line("runs on", job.runs_on.join(", "));
    line("image", job.image.clone().unwrap_or_default());
    line("environ.", job.environment.clone().unwrap_or_default());
    line("secrets", job.secrets.join(", "));
    let services = job.services.iter().map(|(name, image)| format!("{name} ({image})"));
    line("services", services.collect::<Vec<_>>().join(", "));
    line(
        "env",
        job.env.iter().map(|(name, value)| format!("{name}={}", value.0)).collect::<Vec<_>>().join(" "),
    );
    for (index, step) in job.steps.iter().enumerate() {
        text.push_str(&step_line(index, step));
    }
}

fn step_line(index: usize, step: &Step) -> String {
    let id = step.id.as_ref().map(|id| format!("[{id}] ")).unwrap_or_default();
    let condition =
        step.condition.as_ref().map(|text| format!("  if {}", harmless(text))).unwrap_or_default();
    let uses = step
        .uses
        .as_ref()
        .filter(|uses| !step.name.contains(uses.as_str()))
        .map(|uses| format!("  {}", harmless(uses)))
        .unwrap_or_default();
    format!(
        "  {:>3}  {}{}{}{}\n",
        index + 1,
        id.dimmed(),
        terminal::shorten(&harmless(&step.name), 90),
        uses.dimmed(),
        condition.yellow()
    )
}
