//! From the checked file and an event to the plan.
//!
//! Called only when nothing was reported, so what the checks worked out is complete. An untrusted event (a fork)
//! changes the plan here, in one place: no stage gets a secret, and stages that push, deploy or check a
//! deployment are skipped with a reason, whatever their condition says.

mod parts;

use std::collections::BTreeMap;

use super::{
    check::{Checked, Edge, Links},
    expand::{Expansion, matching},
    file::{Call, Commands, Defaults, Need as FileNeed, Pipeline, Stage, Step as FileStep, Verb as FileVerb},
    rewrite::Rewriter,
};
use crate::{
    codes,
    diagnostic::{Problems, Spanned},
    event::Event,
    expressions::{literal_text, parse},
    plan::{
        ArtifactFetch, Build, Concurrency, Container, Deploy, Driver, Expressions, MAX_PLAN, Need, NeedState,
        Network, Push, Run, Smoke, StageKey, StagePlan, Strategy, Template, Verb, too_heavy, weight,
    },
};

use parts::{Texts, artifact, cache, check, dynamic, limits, report, retry, secrets, service, step};

/// Seconds that a stage may take when nothing is said.
const DEFAULT_TIMEOUT: u64 = 3600;

/// The stages of the plan, in the order of the file.
pub(crate) fn stages(
    pipeline: &Pipeline,
    checked: &Checked,
    event: &Event,
    problems: &mut Problems<'_>,
) -> Vec<StagePlan> {
    let rewriter = Rewriter::new(pipeline, problems);
    let planner = Planner { pipeline, checked, event, rewriter };
    let mut stages = Vec::new();
    let mut heavy = 0_usize;
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let expansions = checked.expansions.get(index).map_or(&[][..], Vec::as_slice);
        for made in expansions.iter().filter_map(|one| planner.stage(index, stage, one)) {
            too_long(&made, stage, problems);
            heavy = heavy.saturating_add(weight(&made));
            if heavy > MAX_PLAN {
                let message = format!("the pipeline has {}", too_heavy());
                problems.report(codes::TOO_MANY_STAGES, stage.name.place, message);
                return stages;
            }
            stages.push(made);
        }
    }
    stages
}

/// What was put together of several expressions may be longer than one may be.
fn too_long(made: &StagePlan, stage: &Stage, problems: &mut Problems<'_>) {
    let steps = match &made.verb {
        Verb::Run(run) | Verb::Deploy(Deploy { driver: Driver::Command(run), .. }) => run.steps.as_slice(),
        Verb::Smoke(smoke) => smoke.commands.as_ref().map_or(&[][..], |run| &run.steps),
        Verb::Build(_) | Verb::Push(_) | Verb::Deploy(_) => &[],
    };
    let late = made.outputs.values().chain(steps.iter().flat_map(|step| step.late_env.values()));
    let late = late.map(|template| template.as_str().trim_start_matches("${{").trim_end_matches("}}"));
    for text in late.chain(made.condition.as_deref()) {
        if let Err(fault) = parse(text) {
            let message =
                format!("an expression of stage `{}` cannot be put together: {}", made.key, fault.message);
            problems.report(codes::BAD_EXPRESSION, stage.name.place, message);
        }
    }
}

struct Planner<'p> {
    pipeline: &'p Pipeline,
    checked: &'p Checked,
    event: &'p Event,
    rewriter: Rewriter<'p>,
}

impl Planner<'_> {
    fn stage(&self, index: usize, stage: &Stage, one: &Expansion) -> Option<StagePlan> {
        let links = self.checked.links.get(index)?;
        let verb = self.verb(stage, links, one)?;
        let texts = self.texts(stage);
        let timeout = stage.timeout.as_ref().or(self.default_of(stage, |defaults| defaults.timeout.as_ref()));
        let runs_on = stage.runs_on.as_ref().or(self.default_of(stage, |defaults| defaults.runs_on.as_ref()));
        let resources =
            stage.resources.as_ref().or(self.default_of(stage, |defaults| defaults.resources.as_ref()));
        let network = stage.network.as_ref().or(self.default_of(stage, |defaults| defaults.network.as_ref()));
        let default_retry = self.default_of(stage, |defaults| defaults.retry.as_ref());
        let has_env = matches!(verb, Verb::Run(_) | Verb::Deploy(_) | Verb::Smoke(_));
        let checkout = match &verb {
            Verb::Run(_) | Verb::Build(_) | Verb::Deploy(_) => true,
            Verb::Smoke(smoke) => smoke.commands.is_some(),
            Verb::Push(_) => false,
        };
        Some(StagePlan {
            key: one.key.clone(),
            name: stage.name.value.clone(),
            title: None,
            expressions: Expressions::Strict,
            expand: None,
            call: None,
            calls: Vec::new(),
            matrix: one.values.clone(),
            concurrency: stage.concurrency.as_ref().map(|concurrency| Concurrency {
                group: texts.of(&concurrency.group).0,
                cancel_superseded: concurrency.cancel_superseded,
                replace_waiting: false,
            }),
            dynamic: dynamic(stage, texts),
            strategy: self.strategy(index, stage, one),
            needs: self.needs(index),
            upstream: self
                .checked
                .graph
                .upstream_of(index)
                .into_iter()
                .flat_map(|up| self.keys(up))
                .collect(),
            condition: self.condition(index, stage),
            skip_reason: self.skip_reason(&verb),
            runner_labels: runs_on
                .iter()
                .flat_map(|labels| labels.iter())
                .map(|label| label.value.clone())
                .collect(),
            same_runner_as: links.build.and_then(|build| self.partner(build, one)),
            emits: stage.emits.as_ref().map(|emits| Box::new(parts::emits(&emits.value))),
            emitted_by: None,
            timeout_seconds: timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.value.seconds()),
            retry: retry(stage.retry.as_ref().or(default_retry), &verb),
            continue_on_error: stage.continue_on_error,
            environment: None,
            outputs: stage
                .outputs
                .iter()
                .map(|(name, value)| (name.value.clone(), texts.late(&value.value)))
                .collect(),
            env: if has_env { self.env(stage) } else { BTreeMap::new() },
            more_env: Vec::new(),
            secrets: if self.event.trusted { secrets(stage) } else { Vec::new() },
            all_secrets: false,
            services: stage.services.iter().map(|one| service(one, texts)).collect(),
            artifacts: stage.artifacts.iter().map(artifact).collect(),
            fetch: self.fetch(stage, links, one),
            caches: stage.cache.iter().map(|rule| cache(rule, texts)).collect(),
            reports: stage.reports.iter().map(report).collect(),
            resources: resources.map(limits).unwrap_or_default(),
            network: match &verb {
                Verb::Run(_) => network.map(|network| network.value).unwrap_or_default(),
                _ => Network::default(),
            },
            id_token: false,
            checkout: stage.checkout.unwrap_or(checkout),
            verb,
        })
    }

    /// Only said where the file asks for something.
    fn strategy(&self, index: usize, stage: &Stage, one: &Expansion) -> Option<Strategy> {
        let all = self.checked.expansions.get(index)?;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (!one.open && (stage.max_parallel.is_some() || stage.fail_fast)).then(|| Strategy {
            index: number(all.iter().position(|other| other.key == one.key).unwrap_or_default()),
            total: number(all.len()),
            fail_fast: stage.fail_fast,
            max_parallel: stage.max_parallel,
        })
    }

    fn keys(&self, stage: usize) -> impl Iterator<Item = StageKey> {
        self.checked.expansions.get(stage).into_iter().flatten().map(|one| one.key.clone())
    }

    /// The one stage of another's matrix that goes with this one.
    fn partner(&self, other: usize, one: &Expansion) -> Option<StageKey> {
        let all = self.checked.expansions.get(other)?;
        matching(one, all).first().map(|partner| partner.key.clone())
    }

    /// A need on a matrix is one on each of its stages.
    fn needs(&self, index: usize) -> Vec<Need> {
        let edges = self.checked.graph.needs.get(index).map_or(&[][..], Vec::as_slice);
        let of_edge = |edge: &Edge| {
            let accepts = edge.accepts;
            self.keys(edge.to).map(move |stage| Need { stage, accepts }).collect::<Vec<_>>()
        };
        edges.iter().flat_map(of_edge).collect()
    }

    fn texts(&self, stage: &Stage) -> Texts<'_> {
        Texts { rewriter: &self.rewriter, scope: stage.scope }
    }

    fn default_of<'s, T>(&'s self, stage: &Stage, pick: impl Fn(&Defaults) -> Option<&T>) -> Option<&'s T> {
        self.pipeline.default_of(stage, pick).map(|(_, found)| found)
    }

    /// The pipeline's, then those of the templates it is part of, then its own.
    fn env(&self, stage: &Stage) -> BTreeMap<String, Template> {
        let mut scopes: Vec<_> = self.pipeline.chain(stage.scope).collect();
        scopes.reverse();
        let outer = scopes
            .into_iter()
            .flat_map(|(scope, found)| Texts { rewriter: &self.rewriter, scope }.env(&found.env));
        outer.chain(self.texts(stage).env(&stage.env)).collect()
    }

    /// A stage of a template runs only if the template does: its use's condition holds and its needs ended as they
    /// must, whatever the stage itself asks.
    fn condition(&self, index: usize, stage: &Stage) -> Option<String> {
        let mut whole = stage.condition.as_ref().map(|text| self.texts(stage).condition(&text.value));
        for call in self.pipeline.chain(stage.scope).filter_map(|(_, scope)| scope.call.as_ref()) {
            whole = match (self.guard(index, call, whole.as_deref()), whole) {
                (None, inner) => inner,
                (Some(guard), None) => Some(guard),
                (Some(guard), Some(inner)) => Some(format!("{guard} && ({inner})")),
            };
        }
        whole
    }

    /// What a use asks of one of its stages, beyond what the stage's own needs say. `inner`: what is asked inside.
    fn guard(&self, index: usize, call: &Call, inner: Option<&str>) -> Option<String> {
        let asks =
            |text: &str| parse(text).is_ok_and(|expression| expression.asks_for_status(Expressions::Strict));
        let condition = call.condition.as_ref().map(|text| self.rewriter.condition(call.parent, &text.value));
        let condition_asks = condition.as_deref().is_some_and(asks);
        let mut parts = Vec::new();
        // A condition that asks for the status takes the implied one away, so it is put back.
        if !condition_asks && inner.is_some_and(asks) {
            parts.extend(self.needs_hold(call));
        }
        // A stage further inside waits for those before it, whatever its use asks.
        let first = self
            .checked
            .graph
            .needs
            .get(index)
            .is_none_or(|edges| !edges.iter().any(|edge| call.stages.contains(&edge.to)));
        if condition_asks && !first && !inner.is_some_and(asks) {
            parts.push("success()".to_owned());
        }
        parts.extend(condition.map(|condition| format!("({condition})")));
        (!parts.is_empty()).then(|| parts.join(" && "))
    }

    /// That the needs of a use ended as they must, said without `success()`.
    fn needs_hold(&self, call: &Call) -> Option<String> {
        let holds = |need: &FileNeed| {
            let local = self.pipeline.lookup(call.parent, &need.stage.value)?;
            let name = literal_text(self.rewriter.global(local)?);
            let states = match need.accepts {
                NeedState::Succeeded => r#"["succeeded","warned"]"#,
                NeedState::Failed => r#"["failed","unknown"]"#,
                NeedState::Finished => return None,
            };
            Some(format!("contains(fromJSON('{states}'), stages[{name}].status)"))
        };
        let all: Vec<String> = call.needs.iter().filter_map(holds).collect();
        (!all.is_empty()).then(|| all.join(" && "))
    }

    fn fetch(&self, stage: &Stage, links: &Links, one: &Expansion) -> Vec<ArtifactFetch> {
        let pairs = stage.fetch.iter().zip(&links.fetch);
        pairs
            .flat_map(|(fetch, from)| {
                let all = self.checked.expansions.get(*from).map_or(&[][..], Vec::as_slice);
                let name = &fetch.value.artifact;
                matching(one, all)
                    .into_iter()
                    .map(|other| ArtifactFetch { stage: other.key.clone(), name: name.clone() })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn skip_reason(&self, verb: &Verb) -> Option<String> {
        let what = match verb {
            Verb::Push(_) => "push images",
            Verb::Deploy(_) => "deploy",
            Verb::Smoke(_) => "check deployments",
            Verb::Run(_) | Verb::Build(_) => return None,
        };
        (!self.event.trusted).then(|| format!("runs of forks do not {what}"))
    }

    fn verb(&self, stage: &Stage, links: &Links, one: &Expansion) -> Option<Verb> {
        let texts = self.texts(stage);
        Some(match stage.verb.as_ref()? {
            FileVerb::Run(steps) => Verb::Run(self.run(stage, stage.image.as_ref(), steps)),
            FileVerb::Build(build) => Verb::Build(Build {
                context: build.context.clone(),
                dockerfile: build.dockerfile.clone(),
                target: build.target.as_ref().map(|target| target.value.clone()),
                args: texts.env(&build.args),
                labels: texts.env(&build.labels),
            }),
            FileVerb::Push(push) => Verb::Push(Push {
                image_id: output(&self.partner(links.build?, one)?, "image_id"),
                repository: texts.of(&push.repository),
                tags: match push.tags.as_slice() {
                    [] => vec![Template::from("${{ git.sha }}")],
                    tags => texts.all(tags),
                },
                credentials: push
                    .credentials
                    .as_ref()
                    .filter(|_| self.event.trusted)
                    .map(|credentials| credentials.value.clone()),
            }),
            FileVerb::Deploy(deploy) => Verb::Deploy(Deploy {
                environment: texts.of(&deploy.environment),
                image: match &deploy.image {
                    Some(image) => texts.of(image),
                    None => output(&self.partner(links.push?, one)?, "image"),
                },
                driver: match (&deploy.compose, &deploy.command) {
                    (Some(compose), _) => Driver::Compose {
                        file: compose.file.value.clone(),
                        project: match &compose.project {
                            Some(project) => texts.of(project),
                            None => self.project(texts.of(&deploy.environment).as_str()),
                        },
                        host: texts.maybe(compose.host.as_ref()),
                        wait_seconds: compose.wait.seconds(),
                    },
                    (None, command) => Driver::Command(self.commands(stage, command.as_ref()?)),
                },
            }),
            FileVerb::Smoke(smoke) => Verb::Smoke(Smoke {
                environment: texts.of(&smoke.environment),
                deploy: self.partner(links.deploy?, one)?,
                checks: smoke.checks.iter().map(|one| check(one, texts)).collect(),
                commands: smoke.commands.as_ref().map(|commands| self.commands(stage, commands)),
            }),
        })
    }

    /// A compose project's name from repository and environment, in the characters that it may have.
    fn project(&self, environment: &str) -> Template {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let repository: String = self.event.repository.chars().map(plain).collect();
        Template(format!("{}-{environment}", repository.trim_matches('-')))
    }

    fn commands(&self, stage: &Stage, commands: &Commands) -> Run {
        self.run(stage, commands.image.as_ref(), &commands.run)
    }

    fn run(&self, stage: &Stage, image: Option<&Spanned<String>>, steps: &[FileStep]) -> Run {
        let texts = self.texts(stage);
        let default_image = || {
            let (scope, image) = self.pipeline.default_of(stage, |defaults| defaults.image.as_ref())?;
            Some(Texts { scope, ..texts }.of(image))
        };
        let image = texts.maybe(image).or_else(default_image).unwrap_or_default();
        let shell = stage.shell.as_ref().or(self.default_of(stage, |defaults| defaults.shell.as_ref()));
        let shell = shell.cloned().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-e".to_owned()]);
        let folder = stage.working_directory.as_ref();
        let folder = folder.or(self.default_of(stage, |defaults| defaults.working_directory.as_ref()));
        let folder = folder.map(|folder| folder.value.as_str());
        let steps = steps.iter().map(|one| step(one, &shell, folder, texts)).collect();
        Run { image, container: Container::default(), steps }
    }
}

fn output(stage: &StageKey, name: &str) -> Template {
    // A key with matrix values is no name, so it is always written as text.
    Template(format!("${{{{ stages['{}'].outputs.{name} }}}}", stage.0.replace('\'', "''")))
}
