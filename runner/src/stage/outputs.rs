//! What a stage leaves for others after its last step: its outputs, without secrets, and its annotations.

use std::collections::BTreeMap;

use tidegate_pipelines::stage_outputs;
use tidegate_protocol::messages::AnnotationLevel;

use super::{Failure, engine::Engine, scope::Scope, strict};

impl Engine<'_> {
    /// The stage's outputs: the ones it names, else every one of its steps.
    pub(super) async fn stage_outputs(&mut self, scope: &mut Scope) -> BTreeMap<String, String> {
        let named = &self.ctx.lease.stage.outputs;
        if !self.is_lenient() || named.is_empty() {
            return self.strict_outputs(scope);
        }
        scope.set_now(&self.world.env, self.status(scope));
        let mut outputs = BTreeMap::new();
        for (name, template) in named {
            match self.text(scope, 0, template).await {
                Ok(value) if self.ctx.log.mask(&value) != value => {
                    tracing::info!(attempt = %self.ctx.lease.attempt, output = name, "an output holds a secret");
                    if let Some(spoken) = &self.spoken {
                        let text = format!("the output `{name}` is left out, since it may hold a secret");
                        spoken.note(0, AnnotationLevel::Warning, &text);
                    }
                }
                Ok(value) => {
                    outputs.insert(name.clone(), value);
                }
                Err(failure) => self
                    .fail(Failure { reason: format!("the output `{name}`: {}", failure.reason), ..failure }),
            }
        }
        outputs
    }

    /// As [`Self::stage_outputs`], of a stage with strict expressions.
    fn strict_outputs(&mut self, scope: &Scope) -> BTreeMap<String, String> {
        let facts = strict::facts(&scope.contexts, self.status(scope));
        match stage_outputs(&self.ctx.lease.stage, &facts) {
            Ok(None) => std::mem::take(&mut self.outputs),
            Ok(Some(named)) => {
                named.into_iter().map(|(name, value)| (name, self.ctx.log.mask(&value))).collect()
            }
            Err(error) => {
                self.fail(Failure::failed(format!("the stage's outputs: {error}")));
                BTreeMap::new()
            }
        }
    }

    /// Hands in what the commands said of lines and files.
    pub(super) async fn hand_in_annotations(&self) {
        let Some(annotations) = self.spoken.as_ref().and_then(|spoken| spoken.annotations()) else { return };
        if self.ctx.fence.is_cancelled() {
            return;
        }
        let Ok(bytes) = serde_json::to_vec(&annotations) else { return };
        let kind = tidegate_pipelines::plan::ReportKind::Annotations;
        if let Err(error) = self.ctx.results.put_report(kind, "annotations.json", bytes).await {
            tracing::info!(%error, attempt = %self.ctx.lease.attempt, "the annotations were not taken");
        }
    }
}
