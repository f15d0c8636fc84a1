//! What stages refer to beside their needs: the build that a push sends, the push that a deployment takes, the
//! deployment that a smoke stage checks, the artifacts that are fetched. What the file leaves out is deduced
//! where there is exactly one choice; else the report says what to write.

use crate::{
    codes::{self, Code},
    diagnostic::{Place, Problems, Spanned},
    native::{
        check::Graph,
        expand::{Expansion, matching},
        file::{Deploy, Local, Pipeline, PushImage, Smoke, Stage, Verb},
        rewrite::Rewriter,
    },
    nearest::{did_you_mean, listed},
};

/// What one stage refers to, by index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links {
    /// For a push stage: the build stage.
    pub build: Option<usize>,
    /// For a deploy stage without `image`: the push stage.
    pub push: Option<usize>,
    /// For a smoke stage: the deploy stage.
    pub deploy: Option<usize>,
    /// The stages of `fetch`, in its order.
    pub fetch: Vec<usize>,
}

pub(super) fn links(
    pipeline: &Pipeline,
    graph: &Graph,
    expansions: &[Vec<Expansion>],
    rewriter: &Rewriter<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Links> {
    let mut linker = Linker { pipeline, graph, expansions, rewriter, problems };
    pipeline.stages.iter().enumerate().map(|(at, stage)| linker.stage(at, stage)).collect()
}

struct Linker<'l, 'p, 'a> {
    pipeline: &'l Pipeline,
    graph: &'l Graph,
    expansions: &'l [Vec<Expansion>],
    rewriter: &'l Rewriter<'l>,
    problems: &'p mut Problems<'a>,
}

impl<'l> Linker<'l, '_, '_> {
    fn stage(&mut self, at: usize, stage: &'l Stage) -> Links {
        let mut links = Links::default();
        match &stage.verb {
            Some(Verb::Push(push)) => {
                links.build = self.build_of(at, stage, push);
                self.one_each(at, links.build, codes::PUSH_FROM, stage.place_of("push"));
            }
            Some(Verb::Deploy(deploy)) if deploy.image.is_none() => {
                links.push = self.push_of(at, stage, deploy);
                self.one_each(at, links.push, codes::DEPLOY_IMAGE, stage.place_of("deploy"));
            }
            Some(Verb::Smoke(smoke)) => {
                links.deploy = self.deploy_of(at, stage, smoke);
                self.one_each(at, links.deploy, codes::SMOKE_DEPLOY, smoke.environment.place);
            }
            _ => {}
        }
        links.fetch = stage.fetch.iter().filter_map(|fetch| self.fetched(at, fetch)).collect();
        links
    }

    fn name(&self, stage: usize) -> &'l str {
        self.pipeline.stages.get(stage).map_or("", |stage| stage.name.value.as_str())
    }

    fn names(&self, stages: &[usize]) -> String {
        listed(stages.iter().map(|stage| self.name(*stage)))
    }

    /// Stages of a verb that come before.
    fn before(&self, at: usize, verb: &str) -> Vec<usize> {
        self.of_verb(verb).into_iter().filter(|other| self.graph.is_upstream(*other, at)).collect()
    }

    fn of_verb(&self, verb: &str) -> Vec<usize> {
        let has_verb = |stage: &Stage| stage.verb.as_ref().is_some_and(|found| found.key() == verb);
        let stages = self.pipeline.stages.iter().enumerate();
        stages.filter(|(_, stage)| has_verb(stage)).map(|(index, _)| index).collect()
    }

    /// A stage named in the file: it must exist and come before.
    fn named(&mut self, at: usize, name: &Spanned<String>, code: Code) -> Option<usize> {
        let scope = self.pipeline.stages.get(at)?.scope;
        let found = match self.pipeline.lookup(scope, &name.value) {
            Some(Local::Stage(found)) => found,
            Some(Local::Call(inner)) => {
                let range = self.pipeline.scope(inner)?.call.as_ref()?.stages.clone();
                if range.len() != 1 {
                    let message = format!("`{}` is a template with several stages", name.value);
                    let inner = self.pipeline.names_of(inner);
                    let first = inner.first().map_or("…", |first| first);
                    let help = format!("name one of them: `{} / {first}`", name.value);
                    self.problems.report(code, name.place, message).help(help);
                    return None;
                }
                range.start
            }
            None => {
                let help = did_you_mean(&name.value, self.pipeline.names_of(scope));
                let message = format!("there is no stage `{}`", name.value);
                self.problems.report(codes::UNKNOWN_STAGE, name.place, message).maybe_help(help);
                return None;
            }
        };
        if !self.graph.is_upstream(found, at) {
            let message = format!("stage `{}` does not come before this one", name.value);
            self.problems.report(code, name.place, message).help(format!("add `{}` to `needs`", name.value));
            return None;
        }
        Some(found)
    }

    fn build_of(&mut self, at: usize, stage: &Stage, push: &PushImage) -> Option<usize> {
        if let Some(from) = &push.from {
            let found = self.named(at, from, codes::PUSH_FROM)?;
            let verb = self.pipeline.stages.get(found)?.verb.as_ref()?;
            if !matches!(verb, Verb::Build(_)) {
                let message = format!("`{}` is a {} stage and builds no image", from.value, verb.key());
                self.problems.report(codes::PUSH_FROM, from.place, message);
                return None;
            }
            return Some(found);
        }
        let direct: Vec<_> =
            self.before(at, "build").into_iter().filter(|other| self.graph.is_needed(*other, at)).collect();
        let candidates = if direct.is_empty() { self.before(at, "build") } else { direct };
        if let [only] = candidates.as_slice() {
            return Some(*only);
        }
        let (message, help) = match (candidates.as_slice(), self.of_verb("build").as_slice()) {
            ([], []) => (
                "there is no build stage whose image could be pushed".to_owned(),
                "add a stage with `build`".to_owned(),
            ),
            ([], builds) => (
                "no build stage comes before this push stage".to_owned(),
                format!("add one of {} to `needs`", self.names(builds)),
            ),
            (many, _) => (
                "several build stages come before this push stage".to_owned(),
                format!("say which with `from`, one of {}", self.names(many)),
            ),
        };
        self.problems.report(codes::PUSH_FROM, stage.place_of("push"), message).help(help);
        None
    }

    fn push_of(&mut self, at: usize, stage: &Stage, _deploy: &Deploy) -> Option<usize> {
        let candidates = self.before(at, "push");
        if let [only] = candidates.as_slice() {
            return Some(*only);
        }
        let (message, help) = match (candidates.as_slice(), self.of_verb("push").as_slice()) {
            ([], []) => (
                "it is not said what is deployed: there is no push stage".to_owned(),
                "add a stage with `push`, or name an image by digest under `deploy.image`".to_owned(),
            ),
            ([], pushes) => (
                "it is not said what is deployed: no push stage comes before".to_owned(),
                format!(
                    "add one of {} to `needs`, or name an image under `deploy.image`",
                    self.names(pushes)
                ),
            ),
            (many, _) => (
                "it is not said what is deployed: several push stages come before".to_owned(),
                format!(
                    "say which with `deploy.image`, for example `image: \"${{{{ stages.{}.outputs.image }}}}\"`",
                    many.first().map_or("push", |first| self.name(*first))
                ),
            ),
        };
        self.problems.report(codes::DEPLOY_IMAGE, stage.place_of("deploy"), message).help(help);
        None
    }

    /// The deploy stage of the same environment that comes before; the nearest when one comes after another.
    fn deploy_of(&mut self, at: usize, stage: &Stage, smoke: &Smoke) -> Option<usize> {
        let whole = |scope: usize, text: &str| self.rewriter.template(scope, text.trim()).0;
        let environment = whole(stage.scope, &smoke.environment.value);
        let same = |index: &usize| match self.pipeline.stages.get(*index) {
            Some(Stage { verb: Some(Verb::Deploy(deploy)), scope, .. }) => {
                whole(*scope, &deploy.environment.value) == environment
            }
            _ => false,
        };
        let candidates: Vec<_> = self.before(at, "deploy").into_iter().filter(same).collect();
        let nearest: Vec<_> = candidates
            .iter()
            .copied()
            .filter(|one| !candidates.iter().any(|other| self.graph.is_upstream(*one, *other)))
            .collect();
        if let [only] = nearest.as_slice() {
            return Some(*only);
        }
        let elsewhere: Vec<_> = self.of_verb("deploy").into_iter().filter(same).collect();
        let (message, help) = match (nearest.as_slice(), elsewhere.as_slice()) {
            ([], []) => (
                format!("no stage deploys to `{environment}`, so there is nothing to check"),
                did_you_mean(&environment, self.environments()),
            ),
            ([], some) => (
                format!("no stage that deploys to `{environment}` comes before this one"),
                Some(format!("add one of {} to `needs`", self.names(some))),
            ),
            (many, _) => (
                format!("several stages deploy to `{environment}` before this one: {}", self.names(many)),
                Some("make a smoke stage after each".to_owned()),
            ),
        };
        self.problems.report(codes::SMOKE_DEPLOY, smoke.environment.place, message).maybe_help(help);
        None
    }

    fn environments(&self) -> impl Iterator<Item = &'l str> {
        self.pipeline.stages.iter().filter_map(|stage| match &stage.verb {
            Some(Verb::Deploy(deploy)) => Some(deploy.environment.value.as_str()),
            _ => None,
        })
    }

    fn fetched(&mut self, at: usize, fetch: &Spanned<crate::native::file::Fetch>) -> Option<usize> {
        let name = Spanned::new(fetch.value.stage.clone(), fetch.place);
        let found = self.named(at, &name, codes::BAD_FETCH)?;
        let artifacts =
            self.pipeline.stages.get(found)?.artifacts.iter().map(|rule| rule.name.value.as_str());
        if !artifacts.clone().any(|artifact| artifact == fetch.value.artifact) {
            let help = did_you_mean(&fetch.value.artifact, artifacts.clone()).unwrap_or_else(|| {
                if artifacts.clone().next().is_none() {
                    format!("give `{}` an artifact of that name", name.value)
                } else {
                    format!("it has {}", listed(artifacts))
                }
            });
            let message = format!("stage `{}` has no artifact `{}`", name.value, fetch.value.artifact);
            self.problems.report(codes::BAD_FETCH, fetch.place, message).help(help);
            return None;
        }
        Some(found)
    }

    /// Every stage of this one's matrix must refer to exactly one of the other's.
    fn one_each(&mut self, at: usize, other: Option<usize>, code: Code, place: Place) {
        let Some(other) = other else { return };
        let (Some(mine), Some(theirs)) = (self.expansions.get(at), self.expansions.get(other)) else {
            return;
        };
        if theirs.iter().any(|one| one.open) {
            let name = self.name(other);
            let message = format!("which stages `{name}` is made of is known only when its turn has come");
            let report = self.problems.report(code, place, message);
            report.help(format!("give `{name}` a matrix whose values stand in the file"));
            return;
        }
        if mine.iter().all(|one| matching(one, theirs).len() == 1) || theirs.is_empty() {
            return;
        }
        let name = self.name(other);
        let message = format!("`{name}` has a matrix, and it is not clear which of its stages is meant");
        let help = format!("give this stage the same `matrix` as `{name}`, or take the matrix away there");
        self.problems.report(code, place, message).help(help);
    }
}
