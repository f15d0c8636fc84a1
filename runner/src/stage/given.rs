//! What an action is given: the inputs that the step says, the manifest's defaults for the rest, and the step's own
//! environment.

use std::collections::BTreeMap;

use tidegate_protocol::messages::AnnotationLevel;

use super::{Failure, engine::Engine, scope::Scope};
use crate::actions::{inputs, manifest::Manifest};

/// What an action is given: by the step, and by the runner.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// Its inputs, by names in lower case.
    pub(super) inputs: BTreeMap<String, String>,
    /// Those of them that the step says itself, by the names that it uses.
    pub(super) said: BTreeMap<String, String>,
    /// The step's own environment.
    pub(super) env: BTreeMap<String, String>,
}

impl Given {
    /// The variables that a program of the action reads.
    pub(super) fn variables(&self, saved: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        env.extend(self.inputs.iter().map(|(name, value)| (inputs::variable(name), value.clone())));
        env.extend(saved.iter().map(|(name, value)| (format!("STATE_{name}"), value.clone())));
        env
    }
}

impl Engine<'_> {
    /// The inputs of an action: what the step gives, and the manifest's defaults for the rest.
    pub(super) async fn given(
        &mut self,
        scope: &Scope,
        manifest: &Manifest,
        with: &BTreeMap<String, String>,
        own: BTreeMap<String, String>,
        page: u32,
    ) -> Result<Given, Failure> {
        self.unexpected(page, with, manifest.inputs.iter().map(|input| input.name.as_str()));
        for input in &manifest.inputs {
            if let Some(why) = &input.deprecation
                && with.keys().any(|name| name.eq_ignore_ascii_case(&input.name))
                && let Some(spoken) = &self.spoken
            {
                spoken.say(
                    page,
                    AnnotationLevel::Warning,
                    &format!("the input `{}` is deprecated: {why}", input.name),
                );
            }
        }
        let given = Given { inputs: BTreeMap::new(), said: with.clone(), env: own };
        self.given_now(scope, manifest, &given, page).await
    }

    /// The same with the manifest's defaults as they are now: one may say how the stage stands, which a part after the
    /// last step is to know.
    pub(super) async fn given_now(
        &mut self,
        scope: &Scope,
        manifest: &Manifest,
        given: &Given,
        page: u32,
    ) -> Result<Given, Failure> {
        let mut defaults = Vec::new();
        for input in &manifest.inputs {
            let template = input.default.clone().unwrap_or_default();
            defaults.push((input.name.as_str(), self.text(scope, page, &template).await?));
        }
        Ok(Given { inputs: inputs::complete(&given.said, defaults), ..given.clone() })
    }

    /// Warns of inputs that the action does not know.
    pub(super) fn unexpected<'n>(
        &self,
        page: u32,
        with: &BTreeMap<String, String>,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        // Every container action knows these.
        let always = ["entrypoint", "args"];
        for name in with.keys() {
            let is_known = known.clone().chain(always).any(|one| one.eq_ignore_ascii_case(name));
            if let Some(spoken) = self.spoken.as_ref().filter(|_| !is_known) {
                let all: Vec<&str> = known.clone().collect();
                let text = format!("there is no input `{name}`; there are: {}", all.join(", "));
                spoken.say(page, AnnotationLevel::Warning, &text);
            }
        }
    }
}
