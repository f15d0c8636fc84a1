//! Where names hold. The pipeline's file is one scope, and so is each use of a template: its stages know each other
//! by the names of their own file, read the inputs that this use gives, and nothing else of whoever uses it.

use std::{collections::HashMap, ops::Range};

use schemars::JsonSchema;

use super::{Defaults, Env, Input, Need, Pipeline, Stage, shape};
use crate::diagnostic::{Place, Spanned};

/// A file with stages for other files to use.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "described, never made")]
pub(crate) struct Template {
    /// What whoever uses it gives, by name.
    inputs: Option<shape::Inputs>,
    /// Environment values of all its commands.
    env: Option<shape::Env>,
    /// What its stages have that do not say otherwise; before the pipeline's own.
    defaults: Option<Defaults>,
    /// What it hands on, by name.
    outputs: Option<shape::Env>,
    /// The stages, by name.
    stages: shape::Stages,
}

impl Template {
    pub(crate) const KEYS: &'static [&'static str] = &["inputs", "env", "defaults", "outputs", "stages"];
}

/// One scope of names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// How it came to be; None: it is the file itself.
    pub call: Option<Call>,
    /// What stands before the names of its stages: `node / `.
    pub prefix: String,
    pub env: Env,
    pub defaults: Option<Defaults>,
    /// The inputs that it declares.
    pub inputs: Vec<Input>,
    /// What it hands on.
    pub outputs: Env,
    /// What its names stand for.
    pub names: HashMap<String, Local>,
}

/// A use of a template.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The scope in which it stands.
    pub parent: usize,
    /// Its name there.
    pub name: Spanned<String>,
    /// The key `use`.
    pub place: Place,
    pub needs: Vec<Need>,
    pub condition: Option<Spanned<String>>,
    /// The inputs by name, as expressions of the scope in which it stands.
    pub with: Vec<(String, Spanned<String>)>,
    /// Its stages in the pipeline's list.
    pub stages: Range<usize>,
}

/// A stage of the run that ended before this file was there.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    pub name: String,
    /// Is one of several with that name.
    pub matrix: bool,
    /// The outputs that it makes; None: whatever its commands wrote.
    pub outputs: Option<Vec<String>>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    /// A stage of the pipeline's list.
    Stage(usize),
    /// The stages of a use, by its scope.
    Call(usize),
}

impl Pipeline {
    pub(crate) fn scope(&self, index: usize) -> Option<&Scope> {
        self.scopes.get(index)
    }

    /// The scope and those around it, the inner ones first.
    pub(crate) fn chain(&self, scope: usize) -> impl Iterator<Item = (usize, &Scope)> {
        let around = |index: &usize| {
            let call = self.scopes.get(*index)?.call.as_ref()?;
            // A scope stands in one that was there before, so this ends.
            Some(call.parent).filter(|parent| parent < index)
        };
        std::iter::successors(Some(scope), around).filter_map(|index| Some((index, self.scopes.get(index)?)))
    }

    /// What a stage has by default, with the scope that says so.
    pub(crate) fn default_of<T>(
        &self,
        stage: &Stage,
        pick: impl Fn(&Defaults) -> Option<&T>,
    ) -> Option<(usize, &T)> {
        self.chain(stage.scope)
            .find_map(|(index, scope)| scope.defaults.as_ref().and_then(&pick).map(|found| (index, found)))
    }

    /// What a name of a scope stands for. A stage inside a use is named with it: `node / test`.
    pub(crate) fn lookup(&self, scope: usize, name: &str) -> Option<Local> {
        let names = &self.scope(scope)?.names;
        if let Some(found) = names.get(name) {
            return Some(*found);
        }
        let (call, rest) = name.split_once(" / ")?;
        match names.get(call)? {
            Local::Call(inner) => self.lookup(*inner, rest),
            Local::Stage(_) => None,
        }
    }

    /// All names of a scope, in the order of the file.
    pub(crate) fn names_of(&self, scope: usize) -> Vec<&str> {
        let mut names: Vec<(usize, &str)> = self
            .scope(scope)
            .into_iter()
            .flat_map(|scope| &scope.names)
            .map(|(name, local)| (self.first_of(*local), name.as_str()))
            .collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    fn first_of(&self, local: Local) -> usize {
        match local {
            Local::Stage(stage) => stage,
            Local::Call(scope) => {
                self.scope(scope).and_then(|scope| scope.call.as_ref()).map_or(0, |call| call.stages.start)
            }
        }
    }
}
