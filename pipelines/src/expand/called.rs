//! From a call whose matrix and name are known by now to the stages of the file that it calls.
//!
//! The stages were lowered once, as if there were one call of the open stage's own key. Each call of the matrix gets a
//! copy of them, in which that key is this call's, with all that begins with it.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use super::{error, literal, value};
use crate::{
    ResolveError,
    actions::converted_input,
    plan::{
        Call, CallInput, Need, NeedState, OpenCall, Plan, StageKey, StagePlan, Template, replace_stage,
        weight,
    },
};

/// The stages of one call. `open` is the stage that stood for all calls, `one` is it with this call's key, title and
/// matrix; its expressions read `contexts`.
pub(super) fn instance(
    open: &StagePlan,
    one: StagePlan,
    called: &OpenCall,
    contexts: &BTreeMap<String, Value>,
) -> Result<Vec<StagePlan>, ResolveError> {
    let title = one.title.unwrap_or_else(|| one.key.0.clone());
    let names = Names {
        old: &open.key.0,
        new: &one.key.0,
        template: (title != one.key.0).then(|| literal(&title).0),
        title: (title != one.key.0).then_some(title),
    };
    let mut own = called.clone();
    own.calls.iter_mut().for_each(|call| names.call(call));
    if let Some(call) = own.calls.iter_mut().find(|call| call.key == one.key.0) {
        call.matrix = one.matrix;
        call.strategy = one.strategy;
        call.inputs = inputs(&call.inputs, contexts)?;
    }
    for stage in &mut own.stages {
        names.stage(stage);
        spread(stage, &one.key, &one.needs, &one.upstream);
    }
    if let Some(first) = own.stages.first_mut() {
        // The calls that it is itself part of stay known.
        first.calls = one.calls.into_iter().chain(own.calls).collect();
    }
    Ok(own.stages)
}

/// A plan with each open call as if it were one, to be looked at.
pub(crate) fn each_once(plan: &Plan) -> Cow<'_, Plan> {
    let mut plan = Cow::Borrowed(plan);
    let called = |stage: &StagePlan| stage.expand.as_ref().and_then(|open| open.called.clone());
    while let Some((open, called)) =
        plan.stages.iter().find_map(|stage| Some((stage.clone(), called(stage)?)))
    {
        let OpenCall { calls, mut stages } = *called;
        stages.iter_mut().for_each(|stage| spread(stage, &open.key, &open.needs, &open.upstream));
        match stages.first_mut() {
            Some(first) => first.calls.extend(calls),
            // A file without jobs was refused.
            None => break,
        }
        replace_stage(plan.to_mut(), &open.key, stages);
    }
    plan
}

/// About the bytes of one call's stages: each of them knows all that comes before the call.
pub(super) fn load(open: &StagePlan, called: &OpenCall) -> usize {
    let before = weight(&open.needs).saturating_add(weight(&open.upstream));
    weight(open).saturating_add(before.saturating_mul(called.stages.len()))
}

/// What the call gives is told once, in the calling file; a declaration's default is read in the called one.
fn inputs(
    given: &BTreeMap<String, CallInput>,
    contexts: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, CallInput>, ResolveError> {
    let one = |(name, input): (&String, &CallInput)| {
        let told = match &input.value {
            Value::String(template) if template.contains("${{") && !input.by_default => {
                let told = value(template, contexts)?;
                let wrong =
                    |wanted| error(template, format!("the input `{name}` is {wanted}, and {told} is not"));
                match converted_input(input.kind, &told).map_err(wrong)? {
                    Value::String(text) => literal(&text).0.into(),
                    other => other,
                }
            }
            known => known.clone(),
        };
        Ok((name.clone(), CallInput { value: told, ..input.clone() }))
    };
    given.iter().map(one).collect()
}

/// Where a stage names the call itself as what comes before, it is what comes before the call.
fn spread(stage: &mut StagePlan, call: &StageKey, needs: &[Need], upstream: &[StageKey]) {
    let before: Vec<Need> =
        needs.iter().map(|need| Need { stage: need.stage.clone(), accepts: NeedState::Finished }).collect();
    replace(&mut stage.needs, |need| need.stage == *call, &before);
    replace(&mut stage.upstream, |key| key == call, upstream);
}

fn replace<T: Clone>(list: &mut Vec<T>, is_call: impl Fn(&T) -> bool, by: &[T]) {
    let old = std::mem::take(list);
    for item in old {
        match is_call(&item) {
            true => list.extend_from_slice(by),
            false => list.push(item),
        }
    }
}

/// One key in the place of another, with all that begins with it.
struct Names<'n> {
    old: &'n str,
    new: &'n str,
    /// What pages call it, where that is not its key.
    title: Option<String>,
    /// The same as a template.
    template: Option<String>,
}

impl Names<'_> {
    /// The part of a name after the old key.
    fn inside<'t>(&self, name: &'t str) -> Option<&'t str> {
        name.strip_prefix(self.old).filter(|rest| rest.is_empty() || rest.starts_with(" / "))
    }

    fn rename(&self, name: &mut String) {
        if let Some(rest) = self.inside(name) {
            *name = format!("{}{rest}", self.new);
        }
    }

    fn retitle(&self, title: &mut String) {
        if let Some(rest) = self.inside(title) {
            *title = format!("{}{rest}", self.title.as_deref().unwrap_or(self.new));
        }
    }

    fn call(&self, call: &mut Call) {
        if call.key != self.old {
            self.rename(&mut call.name);
        }
        self.rename(&mut call.key);
        self.retitle(&mut call.title);
        call.parent.iter_mut().for_each(|parent| self.rename(parent));
    }

    fn stage(&self, stage: &mut StagePlan) {
        match &mut stage.title {
            Some(title) => self.retitle(title),
            // Without a title of its own its key is what pages call it, which says less than the call's title.
            None if self.title.is_some() => {
                let mut title = stage.key.0.clone();
                self.retitle(&mut title);
                stage.title = Some(title);
            }
            None => {}
        }
        for key in [&mut stage.key.0, &mut stage.name].into_iter().chain(&mut stage.call) {
            self.rename(key);
        }
        stage.needs.iter_mut().for_each(|need| self.rename(&mut need.stage.0));
        stage.upstream.iter_mut().for_each(|key| self.rename(&mut key.0));
        let Some(open) = &mut stage.expand else { return };
        if let Some(Template(title)) = &mut open.title
            && let Some(rest) = self.inside(title)
        {
            let before = self.template.clone().unwrap_or_else(|| literal(self.new).0);
            *title = format!("{before}{rest}");
        }
        if let Some(called) = &mut open.called {
            // In there titles begin with the key until it is known what the call is called.
            let keys = Names { title: None, template: None, ..*self };
            called.calls.iter_mut().for_each(|call| keys.call(call));
            called.stages.iter_mut().for_each(|stage| keys.stage(stage));
        }
    }
}
