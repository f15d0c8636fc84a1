//! `tidegate graph`: a pipeline's stages as a drawing.

use std::{collections::VecDeque, path::PathBuf};

use clap::{Args, ValueEnum};
use tidegate_pipelines::{Compiled, SourceFile, Triggers, graph::Graph};

use super::plan::EventArgs;
use crate::{
    failure::{Failure, Outcome},
    terminal,
};

/// Columns where standard output is no terminal.
const COLUMNS: usize = 100;

/// Draw a pipeline's stages
///
/// Without --event, for the first event that starts the pipeline. The stages of one matrix are one box; ⏸ marks the
/// environment whose rules may hold a stage at a gate.
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
    pub fn run(self) -> Outcome {
        let mut reasons = Vec::new();
        let mut names: VecDeque<String> = [self.event.clone().unwrap_or_else(|| "push".to_owned())].into();
        while let Some(name) = names.pop_front() {
            let made = EventArgs::named(&name, self.reference.clone()).compile(&self.file)?;
            let file = SourceFile { path: &made.shown, text: &made.text };
            super::show_diagnostics(&file, &made.compilation.diagnostics)?;
            match made.compilation.result {
                Some(Compiled::Plan(plan)) => return self.print(&Graph::of(&plan)),
                Some(Compiled::NotTriggered { reason, .. }) => reasons.push(format!("{name}: {reason}")),
                None => return Err(Failure::told()),
            }
            if self.event.is_none() && reasons.len() == 1 {
                names.extend(others(&made.triggers).map(str::to_owned));
            }
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
