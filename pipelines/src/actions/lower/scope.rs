//! One file's jobs, as they know each other: in what order they are lowered, and what their names stand for.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexSet;
use serde_json::Value;

use super::{Lowering, Sink, container, job, secrets, steps::Defaults};
use crate::{
    FileRef,
    actions::{calls::Called, permissions},
    codes,
    diagnostic::{Place, Problems, Spanned},
    expand::{self, expand},
    plan::{Need, NeedState, StageKey, StagePlan, Template, Verb, weight},
    yaml::{Entry, Node},
};

/// One file that is lowered.
pub(super) struct Scope<'s> {
    pub root: &'s Node,
    pub called: &'s BTreeMap<String, Called>,
    /// Where it lies; none: it is not called.
    pub home: Option<&'s FileRef>,
    /// The call that it is lowered for.
    pub call: Option<String>,
    /// What stands before its stages' keys and names.
    pub prefix: String,
    /// What stands before their titles.
    pub title_prefix: String,
    /// What is known before anything runs: `github`, `vars`, and `inputs` unless they read what is known only once other
    /// stages have ended.
    pub contexts: BTreeMap<String, Value>,
    /// The contexts that an event will tell, where there is none.
    pub later: Vec<&'static str>,
    /// What comes before the jobs that need nothing in this file.
    pub before: Vec<StageKey>,
    pub before_upstream: Vec<StageKey>,
    /// What each call gives as secrets, the innermost first.
    pub secrets: Vec<Option<BTreeMap<String, Template>>>,
    /// Whether the calls that it is lowered for may have identity tokens; none: nobody calls it.
    pub id_token: Option<bool>,
    /// Skips all of it.
    pub skip: Option<String>,
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
        later: &[&'static str],
    ) -> Self {
        Self {
            root,
            called,
            home: None,
            call: None,
            prefix: String::new(),
            title_prefix: String::new(),
            contexts,
            later: later.to_vec(),
            before: Vec::new(),
            before_upstream: Vec::new(),
            secrets: Vec::new(),
            id_token: None,
            skip: None,
        }
    }

    pub(super) fn knows(&self, context: &str) -> bool {
        self.contexts.contains_key(context)
    }

    /// Whether it is known, or an event will tell it.
    pub(super) fn will_know(&self, context: &str) -> bool {
        self.knows(context) || self.later.contains(&context)
    }

    /// Whether a job may ask for identity tokens: by its own permissions, else its file's, and never where a call that it
    /// is part of may not.
    pub(super) fn gives_id_token(&self, job: &Node) -> bool {
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
        let mut sink = Sink { problems, contexts: &scope.contexts, later: &scope.later };
        let mut open = job::stage(scope, &id.value, node, &mut sink);
        open.needs = needs.to_vec();
        open.upstream = upstream.to_vec();
        open.skip_reason = scope.skip.clone();
        if self.is_trusted() {
            secrets::give(&mut open, &scope.secrets);
            open.id_token = scope.gives_id_token(node);
        } else if open.environment.is_some() {
            open.skip_reason = Some("runs of forks do not deploy to environments".to_owned());
        }
        let will_be_early = job::is_early(&open, |context| scope.will_know(context));
        let mut stages = self.expanded(scope, open, id, node, problems).unwrap_or_else(|open| vec![*open]);
        if let Some(services) = node.get("services").filter(|services| services.scalar().is_some()) {
            told_services(scope, services, will_be_early, &mut stages, problems);
        }
        self.count(&stages, id.place, problems);
        if self.too_much().is_some() { Vec::new() } else { stages }
    }

    /// The stages that a job stands for, none where that is a mistake; itself where that is not known yet.
    pub(super) fn expanded(
        &self,
        scope: &Scope<'_>,
        mut open: StagePlan,
        id: &Spanned<String>,
        node: &Node,
        problems: &mut Problems<'_>,
    ) -> Result<Vec<StagePlan>, Box<StagePlan>> {
        // Without an event a file is only checked, and not every place where that is done knows the machines.
        if self.event.is_none()
            && self.setting.machines.is_empty()
            && let Some(open) = open.expand.as_mut()
        {
            open.runs_on = None;
        }
        if !job::is_early(&open, |context| scope.knows(context)) {
            return Err(Box::new(open));
        }
        Ok(expand(&open, &scope.contexts, self.setting).unwrap_or_else(|error| {
            job::report(&error, id, node, problems);
            Vec::new()
        }))
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
}

/// Gives stages the services that one expression tells. `early`: the matrix is known before the run, or will be.
fn told_services(
    scope: &Scope<'_>,
    node: &Node,
    early: bool,
    stages: &mut [StagePlan],
    problems: &mut Problems<'_>,
) {
    for stage in stages {
        let mut contexts = scope.contexts.clone();
        let mut later = scope.later.clone();
        if stage.expand.is_none() {
            expand::tell_matrix(&mut contexts, &stage.matrix, stage.strategy.as_ref());
        } else if early {
            later.extend(job::OF_MATRIX);
        }
        let mut sink = Sink { problems, contexts: &contexts, later: &later };
        stage.services = container::told_services(node, &mut sink);
        if problems.has_errors() {
            return;
        }
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
