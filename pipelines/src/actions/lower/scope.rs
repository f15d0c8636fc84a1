//! One file's jobs, as they know each other: in what order they are lowered, what their names stand for, and how a
//! call goes down into the file that it names.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexSet;
use serde_json::Value;

use super::{Lowering, Sink, call_inputs, call_inputs::is_open, job, secrets, steps::Defaults};
use crate::{
    FileRef,
    actions::{
        calls::{self, Called},
        permissions,
    },
    codes,
    diagnostic::{Place, Problems, Spanned},
    expand::{self, expand},
    plan::{Call, Need, NeedState, StageKey, StagePlan, Template, Verb, weight},
    yaml::{Entry, Node},
};

/// One file that is lowered.
pub(super) struct Scope<'s> {
    pub root: &'s Node,
    called: &'s BTreeMap<String, Called>,
    /// Where it lies; none: it is not called.
    pub home: Option<&'s FileRef>,
    /// The call that it is lowered for.
    pub call: Option<String>,
    /// What stands before its stages' keys and names.
    pub prefix: String,
    /// What stands before their titles.
    pub title_prefix: String,
    /// What is known before anything runs: `github`, `vars`, and `inputs` unless they are late.
    pub contexts: BTreeMap<String, Value>,
    /// Its inputs read what is known only once other stages have ended.
    pub inputs_are_late: bool,
    /// What comes before the jobs that need nothing in this file.
    before: Vec<StageKey>,
    before_upstream: Vec<StageKey>,
    /// What each call gives as secrets, the innermost first.
    secrets: Vec<Option<BTreeMap<String, Template>>>,
    /// Whether the calls that it is lowered for may have identity tokens; none: nobody calls it.
    id_token: Option<bool>,
    /// Skips all of it.
    skip: Option<String>,
}

/// What a job became.
#[derive(Default)]
struct Group {
    stages: Vec<StagePlan>,
    /// All stages before it, in order.
    upstream: Vec<StageKey>,
    is_call: bool,
}

impl<'s> Scope<'s> {
    pub(super) fn root(
        root: &'s Node,
        called: &'s BTreeMap<String, Called>,
        contexts: BTreeMap<String, Value>,
    ) -> Self {
        Self {
            root,
            called,
            home: None,
            call: None,
            prefix: String::new(),
            title_prefix: String::new(),
            contexts,
            inputs_are_late: false,
            before: Vec::new(),
            before_upstream: Vec::new(),
            secrets: Vec::new(),
            id_token: None,
            skip: None,
        }
    }

    /// Whether a job may ask for identity tokens: by its own permissions, else its file's, and never where a call that it
    /// is part of may not.
    fn gives_id_token(&self, job: &Node) -> bool {
        let own = permissions::id_token(job).or_else(|| permissions::id_token(self.root));
        match self.id_token {
            None => own == Some(true),
            Some(granted) => granted && own != Some(false),
        }
    }

    /// `defaults.run` of the file and a job.
    pub(super) fn defaults(&self, job: &Node) -> Defaults {
        let find = |key: &str| {
            let own = job.at(&["defaults", "run", key]).and_then(Node::filled);
            own.or_else(|| self.root.at(&["defaults", "run", key]).and_then(Node::filled))
        };
        Defaults { shell: find("shell"), working_directory: find("working-directory") }
    }
}

impl Lowering<'_> {
    /// The stages of a file, in its order.
    pub(super) fn scope(&mut self, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Vec<StagePlan> {
        let jobs = scope.root.get("jobs").map_or(&[][..], Node::entries);
        let mut groups: HashMap<String, Group> = HashMap::new();
        for Entry { key, value } in in_order(jobs) {
            // What is too much was reported, and nothing comes of the rest.
            if self.too_much().is_some() {
                break;
            }
            let group = self.job(scope, key, value, &groups, problems);
            groups.insert(key.value.to_ascii_lowercase(), group);
        }
        jobs.iter()
            .filter_map(|entry| groups.remove(&entry.key.value.to_ascii_lowercase()))
            .flat_map(|group| group.stages)
            .collect()
    }

    fn job(
        &mut self,
        scope: &Scope<'_>,
        id: &Spanned<String>,
        node: &Node,
        groups: &HashMap<String, Group>,
        problems: &mut Problems<'_>,
    ) -> Group {
        let needs = node.get("needs").map(Node::texts).unwrap_or_default();
        let needed: Vec<&Group> =
            needs.iter().filter_map(|need| groups.get(&need.value.to_ascii_lowercase())).collect();
        let mut edges: Vec<Need> = Vec::new();
        // In order, each once.
        let mut upstream: IndexSet<&StageKey> = IndexSet::new();
        for group in &needed {
            // A stage inside a call may be skipped although the call as a whole succeeds.
            let accepts = if group.is_call { NeedState::Finished } else { NeedState::Succeeded };
            edges.extend(group.stages.iter().map(|stage| Need { stage: stage.key.clone(), accepts }));
            upstream.extend(&group.upstream);
            upstream.extend(group.stages.iter().map(|stage| &stage.key));
        }
        if needs.is_empty() {
            let accepts = NeedState::Finished;
            edges.extend(scope.before.iter().map(|stage| Need { stage: stage.clone(), accepts }));
        }
        upstream.extend(&scope.before_upstream);
        upstream.extend(&scope.before);
        let upstream = upstream.into_iter().cloned().collect();
        let mut group = Group { stages: Vec::new(), upstream, is_call: node.get("uses").is_some() };
        if group.is_call {
            let keys = edges.into_iter().map(|need| need.stage).collect();
            group.stages = self.call(scope, id, node, keys, &group.upstream, problems);
        } else {
            group.stages = self.stages(scope, id, node, &edges, &group.upstream, problems);
        }
        group
    }

    /// The stages of a job with steps.
    fn stages(
        &mut self,
        scope: &Scope<'_>,
        id: &Spanned<String>,
        node: &Node,
        needs: &[Need],
        upstream: &[StageKey],
        problems: &mut Problems<'_>,
    ) -> Vec<StagePlan> {
        let mut sink = Sink { problems, contexts: &scope.contexts, inputs_are_late: scope.inputs_are_late };
        let mut open = job::stage(scope, &id.value, node, &mut sink);
        open.needs = needs.to_vec();
        open.upstream = upstream.to_vec();
        open.skip_reason = scope.skip.clone();
        if self.event.trusted {
            secrets::give(&mut open, &scope.secrets);
            open.id_token = scope.gives_id_token(node);
        } else if open.environment.is_some() {
            open.skip_reason = Some("runs of forks do not deploy to environments".to_owned());
        }
        let early = open.expand.as_ref().is_some_and(|open| job::is_early(open, scope.inputs_are_late));
        let stages = if early {
            match expand(&open, &scope.contexts, self.setting) {
                Ok(stages) => stages,
                Err(error) => {
                    job::report(&error, id, node, problems);
                    Vec::new()
                }
            }
        } else {
            vec![open]
        };
        self.count(&stages, id.place, problems);
        if self.too_much().is_some() { Vec::new() } else { stages }
    }

    fn count(&mut self, stages: &[StagePlan], place: Place, problems: &mut Problems<'_>) {
        let before = self.too_much();
        self.stages += stages.len();
        for stage in stages {
            self.edges += stage.needs.len() + stage.upstream.len();
            if let Verb::Run(run) = &stage.verb {
                self.steps += run.steps.len();
            }
            self.weight = self.weight.saturating_add(weight(stage));
        }
        if before.is_none()
            && let Some(message) = self.too_much()
        {
            problems.report(codes::TOO_MANY_JOBS, place, message);
        }
    }

    /// The stages of a job that calls a workflow.
    fn call(
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
        let mut sink = Sink { problems, contexts: &scope.contexts, inputs_are_late: scope.inputs_are_late };
        let shell = job::shell_of_call(scope, &id.value, node, &mut sink);
        if shell.expand.as_ref().is_some_and(|open| !job::is_early(open, scope.inputs_are_late)) {
            let place = node.get("strategy").or_else(|| node.get("name")).unwrap_or(node);
            sink.unsupported(place, "a call whose matrix or name is known only once other jobs have ended");
            return Vec::new();
        }
        let made = match expand(&shell, &scope.contexts, self.setting) {
            Ok(made) => made,
            Err(error) => {
                job::report(&error, id, node, problems);
                return Vec::new();
            }
        };
        let mut all = Vec::new();
        for one in made {
            if self.too_much().is_some() {
                break;
            }
            let inner = self.enter(scope, node, called, &one, before.clone(), upstream.to_vec(), problems);
            let Some(inner) = inner else { continue };
            let source = called.source();
            let mut inside = Problems::new(&source);
            all.extend(self.scope(&inner, &mut inside));
            if inside.has_errors() {
                let place = node.get("uses").map_or(id.place, |uses| uses.place);
                calls::invalid(&inside.finish(), place, problems);
                return Vec::new();
            }
        }
        all
    }

    /// Notes a call and makes the scope of what it calls.
    #[expect(clippy::too_many_arguments, reason = "a call stands between two files")]
    fn enter<'c>(
        &mut self,
        scope: &Scope<'_>,
        node: &Node,
        called: &'c Called,
        one: &StagePlan,
        before: Vec<StageKey>,
        before_upstream: Vec<StageKey>,
        problems: &mut Problems<'_>,
    ) -> Option<Scope<'c>> {
        let mut outer = scope.contexts.clone();
        outer.insert(
            "matrix".to_owned(),
            one.matrix.clone().into_iter().collect::<serde_json::Map<_, _>>().into(),
        );
        outer.insert("strategy".to_owned(), expand::strategy_value(one.strategy.as_ref()));
        let inputs = call_inputs::inputs(node, called, &outer, scope.inputs_are_late, problems)?;
        let late = inputs.iter().any(|(_, input)| is_open(&input.value));
        let mut contexts = scope.contexts.clone();
        contexts.remove("inputs");
        if !late {
            let values: serde_json::Map<String, Value> =
                inputs.iter().map(|(name, input)| (name.clone(), input.value.clone())).collect();
            contexts.insert("inputs".to_owned(), values.into());
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
        let title = one.title.clone().unwrap_or_else(|| one.key.0.clone());
        let outputs =
            called.trigger().and_then(|trigger| trigger.get("outputs")).map_or(&[][..], Node::entries);
        self.calls.push(Call {
            key: one.key.0.clone(),
            title: title.clone(),
            name: one.name.clone(),
            parent: scope.call.clone(),
            needs: node
                .get("needs")
                .map(Node::texts)
                .unwrap_or_default()
                .into_iter()
                .map(|need| need.value)
                .collect(),
            condition: super::condition(node.get("if")),
            matrix: one.matrix.clone(),
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
        let before = if before.is_empty() { scope.before.clone() } else { before };
        Some(Scope {
            root: &called.root,
            called: &called.calls,
            home: Some(&called.file),
            call: Some(one.key.0.clone()),
            prefix: format!("{} / ", one.key.0),
            title_prefix: format!("{title} / "),
            contexts,
            inputs_are_late: late,
            before,
            before_upstream,
            secrets,
            id_token: Some(scope.gives_id_token(node)),
            skip: scope.skip.clone(),
        })
    }
}

/// Jobs after all that they need. The graph was found to have no circle.
fn in_order(jobs: &[Entry]) -> Vec<&Entry> {
    let place: HashMap<String, usize> =
        jobs.iter().enumerate().map(|(at, job)| (job.key.value.to_ascii_lowercase(), at)).collect();
    let mut done = vec![false; jobs.len()];
    let mut order = Vec::new();
    for start in 0..jobs.len() {
        // Depth first, with a stack of its own: what comes before goes first.
        let mut work = vec![(start, false)];
        while let Some((at, expanded)) = work.pop() {
            if done.get(at).copied().unwrap_or(true) {
                continue;
            }
            let Some(job) = jobs.get(at) else { continue };
            if expanded {
                if let Some(done) = done.get_mut(at) {
                    *done = true;
                }
                order.push(job);
                continue;
            }
            work.push((at, true));
            let needs = job.value.get("needs").map(Node::texts).unwrap_or_default();
            let needs = needs.iter().filter_map(|need| place.get(&need.value.to_ascii_lowercase()).copied());
            work.extend(
                needs.filter(|need| !done.get(*need).copied().unwrap_or(true)).map(|need| (need, false)),
            );
        }
    }
    order
}
