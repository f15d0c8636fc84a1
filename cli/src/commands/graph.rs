//! `tidegate graph`: a pipeline's stages as a drawing.

use std::{collections::VecDeque, path::PathBuf};

use clap::{Args, ValueEnum};
use tidegate_pipelines::{Compiled, SourceFile, Triggers, graph::Graph};

use super::plan::EventArgs;
use crate::{
    failure::{Failure, Outcome},
    settings::{self, file::File},
    terminal,
};

/// Columns where standard output is no terminal.
const COLUMNS: usize = 100;

/// Draw a pipeline's stages
///
/// Without --event, for the first event that starts the pipeline: a push to what is checked out, one to the default
/// branch, or another. The stages of one matrix are one box; ⏸ marks the environment whose rules may hold a stage at a
/// gate.
#[derive(Args)]
pub struct Draw {
    /// The pipeline file
    #[arg(default_value = super::validate::DEFAULT_FILE)]
    file: PathBuf,
    /// How it is drawn
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The event, as the forge calls it
    #[arg(long, short, value_name = "NAME")]
    event: Option<String>,
    /// The ref that the event is about [default: what is checked out]
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Boxes and lines, as wide as the terminal
    Text,
    /// A Mermaid flowchart, for Markdown
    Mermaid,
    /// An SVG image, for light and dark pages
    Svg,
}

impl Draw {
    /// Prints the drawing.
    pub fn run(self, config: File) -> Outcome {
        let machines = settings::server::machines_of(&config.server)?;
        let mut reasons = Vec::new();
        let mut events: VecDeque<(&str, Option<String>)> =
            [(self.event.as_deref().unwrap_or("push"), self.reference.clone())].into();
        while let Some((name, reference)) = events.pop_front() {
            let made = EventArgs::named(name, reference).compile(&self.file, &machines)?;
            if let Some(Compiled::NotTriggered { reason, .. }) = &made.compilation.result {
                reasons.push(format!("{name}: {reason}"));
                if self.event.is_none() && reasons.len() == 1 {
                    let default = Some(format!("refs/heads/{}", made.default_branch));
                    events.extend(self.reference.is_none().then_some(("push", default)));
                    events.extend(others(&made.triggers).map(|name| (name, self.reference.clone())));
                }
                continue;
            }
            let file = SourceFile { path: &made.shown, text: &made.text };
            super::show_diagnostics(&file, &made.compilation.diagnostics)?;
            return match made.compilation.result {
                Some(Compiled::Plan(plan)) => self.print(&Graph::of(&plan)),
                _ => Err(Failure::told()),
            };
        }
        let failure = Failure::new(format!("{} starts nothing that could be drawn", self.file.display()));
        Err(reasons
            .into_iter()
            .fold(failure, Failure::because)
            .mend("name an event with --event, and a --ref"))
    }

    fn print(&self, graph: &Graph) -> Outcome {
        let text = match self.format {
            Format::Text => graph.text(terminal::columns().unwrap_or(COLUMNS)),
            Format::Mermaid => graph.mermaid(),
            Format::Svg => graph.svg(),
        };
        super::write_out(text.as_bytes())
    }
}

/// The events beside a push that may start a pipeline.
fn others(triggers: &Triggers) -> impl Iterator<Item = &'static str> {
    [
        (triggers.pull_request, "pull_request"),
        (triggers.tag, "tag"),
        (triggers.manual_inputs.is_some(), "workflow_dispatch"),
        (!triggers.schedules.is_empty(), "schedule"),
        // What the triggers do not tell of.
        (true, "release"),
        (true, "workflow_call"),
        (true, "repository_dispatch"),
        (true, "workflow_run"),
    ]
    .into_iter()
    .filter_map(|(may, name)| may.then_some(name))
}
