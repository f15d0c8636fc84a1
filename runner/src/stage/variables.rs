//! The variables of a step and the inputs of its action: their templates, in the layers in which the plan has them.

use std::collections::BTreeMap;

use tidegate_pipelines::{
    lenient,
    plan::{Late, Template},
};

use super::{Failure, engine::Engine, scope::Scope};

type Named = BTreeMap<String, Template>;

impl Engine<'_> {
    /// All of them as things are: the named ones, and over them what there is more, each layer over those before.
    pub(super) async fn variables(
        &mut self,
        scope: &Scope,
        page: u32,
        named: &Named,
        more: &[Late<Named>],
    ) -> Result<BTreeMap<String, String>, Failure> {
        let mut all = self.named(scope, page, named).await?;
        for layer in more {
            match layer {
                Late::Known(named) => all.extend(self.named(scope, page, named).await?),
                Late::Told(template) => {
                    let told = self.value(scope, page, template).await?;
                    let told = lenient::variables(&template.0, &told);
                    all.extend(told.map_err(|error| Failure::failed(error.to_string()))?);
                }
            }
        }
        Ok(all)
    }

    async fn named(
        &mut self,
        scope: &Scope,
        page: u32,
        named: &Named,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let mut all = BTreeMap::new();
        for (name, template) in named {
            all.insert(name.clone(), self.text(scope, page, template).await?);
        }
        Ok(all)
    }
}
