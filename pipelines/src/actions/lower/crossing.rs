//! How a call goes down into the file that it names: what is known there of what it gives, and what its matrix makes.
//!
//! A call whose matrix or name only other jobs tell is one open stage, which holds the called file's stages once, as
//! if it were one call. [`crate::expand`] makes the calls of it in the run.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Lowering, Sink,
    call_inputs::{self, is_open},
    job,
    scope::Scope,
};
use crate::{
    actions::{
        calls::{self, Called},
        seam,
    },
    diagnostic::{Problems, Spanned},
    expand,
    plan::{Call, Need, NeedState, OpenCall, StageKey, StagePlan, Strategy, Template},
    yaml::Node,
};

/// A call on its way down from one file into another.
struct Crossing<'c> {
    scope: &'c Scope<'c>,
    /// The calling job.
    node: &'c Node,
    called: &'c Called,
    key: &'c str,
    name: &'c str,
    title: &'c str,
    matrix: &'c BTreeMap<String, Value>,
    strategy: Option<Strategy>,
    /// What the call's own expressions read, as far as it is known.
    outer: BTreeMap<String, Value>,
    /// What of that an event will tell.
    later: Vec<&'static str>,
    before: Vec<StageKey>,
    upstream: Vec<StageKey>,
}

impl Lowering<'_> {
    /// The stages of a job that calls a workflow.
    pub(super) fn call(
        &mut self,
        scope: &Scope<'_>,
        id: &Spanned<String>,
        node: &Node,
        before: Vec<StageKey>,
        upstream: &[StageKey],
        problems: &mut Problems<'_>,
    ) -> Vec<StagePlan> {
        let Some(called) = scope.called.get(&id.value) else { return Vec::new() };
        // The matrix of a call is made by the same code as that of a stage.
        let shell = job::shell_of_call(scope, &id.value, node);
        let is_late = !job::is_early(&shell, |context| scope.will_know(context));
        match self.expanded(scope, shell, id, node, problems) {
            Ok(made) => {
                let mut all = Vec::new();
                for one in made {
                    if self.too_much().is_some() {
                        break;
                    }
                    let mut outer = scope.contexts.clone();
                    expand::tell_matrix(&mut outer, &one.matrix, one.strategy.as_ref());
                    let crossing = Crossing {
                        scope,
                        node,
                        called,
                        key: &one.key.0,
                        name: &one.name,
                        title: one.title.as_deref().unwrap_or(&one.key.0),
                        matrix: &one.matrix,
                        strategy: one.strategy,
                        outer,
                        later: scope.later.clone(),
                        before: before.clone(),
                        upstream: upstream.to_vec(),
                    };
                    match self.cross(crossing, id, problems) {
                        Some(stages) => all.extend(stages),
                        None => return Vec::new(),
                    }
                }
                all
            }
            Err(open) => {
                let before = before.into_iter();
                let needs = before.map(|stage| Need { stage, accepts: NeedState::Finished }).collect();
                let open = StagePlan { needs, upstream: upstream.to_vec(), ..*open };
                self.open_call(scope, id, node, called, open, is_late, problems)
            }
        }
    }

    /// A call whose matrix or name is not known yet: one stage that stands for all calls, with what each of them is.
    #[expect(clippy::too_many_arguments, reason = "a call stands between two files")]
    fn open_call(
        &mut self,
        scope: &Scope<'_>,
        id: &Spanned<String>,
        node: &Node,
        called: &Called,
        mut open: StagePlan,
        is_late: bool,
        problems: &mut Problems<'_>,
    ) -> Vec<StagePlan> {
        let mut later = scope.later.clone();
        if !is_late {
            later.extend(job::OF_MATRIX);
        }
        let crossing = Crossing {
            scope,
            node,
            called,
            key: &open.key.0,
            name: &open.name,
            title: &open.key.0,
            matrix: &BTreeMap::new(),
            strategy: None,
            outer: scope.contexts.clone(),
            later,
            before: vec![open.key.clone()],
            upstream: Vec::new(),
        };
        let others = std::mem::take(&mut self.calls);
        let stages = self.cross(crossing, id, problems);
        let calls = std::mem::replace(&mut self.calls, others);
        let Some(stages) = stages else { return Vec::new() };
        open.condition = super::condition(node.get("if"));
        open.skip_reason = scope.skip.clone();
        self.edges += open.needs.len() + open.upstream.len();
        if let Some(open) = open.expand.as_mut() {
            open.called = Some(Box::new(OpenCall { calls, stages }));
        }
        vec![open]
    }

    /// Goes down into a called file: its stages, or none where there is a mistake.
    fn cross(
        &mut self,
        crossing: Crossing<'_>,
        id: &Spanned<String>,
        problems: &mut Problems<'_>,
    ) -> Option<Vec<StagePlan>> {
        let Crossing { node, called, .. } = crossing;
        let inner = self.enter(crossing, problems)?;
        let source = called.source();
        let mut inside = Problems::new(&source);
        let stages = self.scope(&inner, &mut inside);
        if inside.has_errors() {
            let place = node.get("uses").map_or(id.place, |uses| uses.place);
            calls::invalid(&inside.finish(), place, problems);
            return None;
        }
        Some(stages)
    }

    /// Notes a call and makes the scope of what it calls.
    fn enter<'c>(&mut self, crossing: Crossing<'c>, problems: &mut Problems<'_>) -> Option<Scope<'c>> {
        let Crossing {
            scope,
            node,
            called,
            key,
            name,
            title,
            matrix,
            strategy,
            outer,
            later,
            before,
            upstream,
        } = crossing;
        let inputs = call_inputs::inputs(node, called, &outer, problems)?;
        let group = node.get("concurrency").and_then(|group| {
            job::concurrency(group, &mut Sink { problems, contexts: &outer, later: &later })
        });
        let mut contexts = scope.contexts.clone();
        contexts.remove("inputs");
        let mut inner_later = scope.later.clone();
        inner_later.retain(|context| *context != "inputs");
        let open: Vec<&str> = inputs
            .iter()
            .filter_map(|(_, input)| input.value.as_str().filter(|_| is_open(&input.value)))
            .collect();
        if open.is_empty() {
            let values: Map<String, Value> =
                inputs.iter().map(|(name, input)| (name.clone(), input.value.clone())).collect();
            contexts.insert("inputs".to_owned(), values.into());
        } else if !later.is_empty() {
            let will_be_known = |context: &str| outer.contains_key(context) || later.contains(&context);
            if open.into_iter().all(|template| seam::reads_only(template, will_be_known)) {
                inner_later.push("inputs");
            }
        }
        let given = match node.get("secrets") {
            Some(secrets) if secrets.scalar().is_some() => None,
            secrets => Some(
                secrets
                    .map_or(&[][..], Node::entries)
                    .iter()
                    .filter_map(|entry| {
                        Some((entry.key.value.to_ascii_uppercase(), Template(entry.value.text()?)))
                    })
                    .collect::<BTreeMap<_, _>>(),
            ),
        };
        let outputs =
            called.trigger().and_then(|trigger| trigger.get("outputs")).map_or(&[][..], Node::entries);
        let needs = node.get("needs").map(Node::texts).unwrap_or_default();
        self.calls.push(Call {
            key: key.to_owned(),
            title: title.to_owned(),
            name: name.to_owned(),
            parent: scope.call.clone(),
            needs: needs.into_iter().map(|need| need.value).collect(),
            condition: super::condition(node.get("if")),
            matrix: matrix.clone(),
            strategy,
            concurrency: group,
            inputs: inputs.into_iter().collect(),
            secrets: given.clone(),
            outputs: outputs
                .iter()
                .filter_map(|entry| {
                    Some((entry.key.value.clone(), Template(entry.value.get("value")?.text()?)))
                })
                .collect(),
        });
        let mut secrets = vec![given];
        secrets.extend(scope.secrets.iter().cloned());
        Some(Scope {
            root: &called.root,
            called: &called.calls,
            home: Some(&called.file),
            call: Some(key.to_owned()),
            prefix: format!("{key} / "),
            title_prefix: format!("{title} / "),
            contexts,
            later: inner_later,
            before: if before.is_empty() { scope.before.clone() } else { before },
            before_upstream: upstream,
            secrets,
            id_token: Some(scope.gives_id_token(node)),
            skip: scope.skip.clone(),
        })
    }
}
