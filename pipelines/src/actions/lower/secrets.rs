//! Which secrets a stage reads, found by looking at all of its templates.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    actions::seam,
    plan::{Container, Does, Late, Run, SecretUse, StagePlan, Template, Verb},
};

/// Secrets by the names that expressions use.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// In capitals, as they are kept: names that differ only in case are the same.
    names: BTreeSet<String>,
    all: bool,
}

impl Read {
    fn note(&mut self, template: &str) {
        if template.contains("${{") {
            let reads = seam::reads(template, false);
            self.names.extend(reads.secrets.iter().map(|name| name.to_ascii_uppercase()));
            self.all |= reads.any_secret;
        }
    }

    fn note_all<'t>(&mut self, templates: impl IntoIterator<Item = &'t Template>) {
        templates.into_iter().for_each(|template| self.note(&template.0));
    }

    fn layers(&mut self, layers: &[Late<BTreeMap<String, Template>>]) {
        for layer in layers {
            match layer {
                Late::Known(layer) => self.note_all(layer.values()),
                Late::Told(template) => self.note(&template.0),
            }
        }
    }

    fn container(&mut self, container: &Container) {
        self.note_all(container.env.values().chain(&container.user).chain(&container.entrypoint));
        if let Some(credentials) = &container.credentials {
            self.note_all([&credentials.username, &credentials.password]);
        }
    }

    fn run(&mut self, run: &Run) {
        self.note(&run.image.0);
        self.container(&run.container);
        for step in &run.steps {
            self.note(&step.name);
            self.note_all(step.env.values().chain(&step.timeout_minutes).chain(&step.may_fail));
            self.layers(&step.more_env);
            match &step.does {
                Does::Run(script) => {
                    self.note(&script.script);
                    self.note_all(&script.working_directory);
                }
                Does::Uses(action) => {
                    self.note_all(action.with.values());
                    self.layers(&action.more_with);
                }
                Does::Wait(_) | Does::Cancel(_) => {}
            }
        }
    }
}

/// What the templates of a stage read, by the names that they use.
fn of_stage(stage: &StagePlan) -> Read {
    let mut read = Read::default();
    read.note_all(stage.env.values().chain(stage.outputs.values()).chain(&stage.environment));
    read.layers(&stage.more_env);
    for service in &stage.services {
        read.note(&service.image.0);
        read.note_all(service.env.values().chain(&service.command));
        read.container(&service.container);
    }
    if let Verb::Run(run) = &stage.verb {
        read.run(run);
    }
    read
}

/// Gives a stage the secrets that it reads. In a called file names stand for what the caller says: `chain` holds what
/// each call gives, the innermost first, None where it gives all it has.
pub(super) fn give(stage: &mut StagePlan, chain: &[Option<BTreeMap<String, Template>>]) {
    let mut read = of_stage(stage);
    for given in chain.iter().flatten() {
        let mut outer = Read::default();
        for (name, template) in given {
            if read.all || read.names.contains(&name.to_ascii_uppercase()) {
                outer.note(&template.0);
            }
        }
        read = outer;
    }
    stage.all_secrets = read.all;
    stage.secrets =
        read.names.into_iter().map(|name| SecretUse { name, env: None, optional: true }).collect();
}
