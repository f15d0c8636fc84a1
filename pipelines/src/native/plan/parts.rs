//! The parts of a stage's plan that depend on nothing but the stage's own text.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    diagnostic::Spanned,
    expressions::{self, expression_of},
    native::{
        file::{Env, Resources as FileResources, Stage, Step as FileStep},
        rewrite::Rewriter,
    },
    plan::{
        ArtifactRule, CacheRule, Container, Does, Dynamic, Emits, HttpCheck, Ready, ReportRule, Resources,
        Retry, Row, Script, SecretUse, Service, Step, Template, Thresholds, Told, Verb,
    },
};

/// Makes templates of a stage's texts.
#[derive(Clone, Copy)]
pub(super) struct Texts<'p> {
    pub(super) rewriter: &'p Rewriter<'p>,
    pub(super) scope: usize,
}

impl Texts<'_> {
    pub(super) fn of(self, text: &Spanned<String>) -> Template {
        self.rewriter.template(self.scope, &text.value)
    }

    pub(super) fn maybe(self, text: Option<&Spanned<String>>) -> Option<Template> {
        text.map(|text| self.of(text))
    }

    pub(super) fn all(self, texts: &[Spanned<String>]) -> Vec<Template> {
        texts.iter().map(|text| self.of(text)).collect()
    }

    pub(super) fn env(self, env: &Env) -> BTreeMap<String, Template> {
        env.iter().map(|(name, value)| (name.value.clone(), self.of(value))).collect()
    }

    pub(super) fn condition(self, text: &str) -> String {
        self.rewriter.condition(self.scope, text)
    }

    /// The template as one expression, to be evaluated between steps.
    pub(super) fn late(self, template: &str) -> Template {
        let expression = self.condition(&expression_of(template).unwrap_or_default());
        Template(format!("${{{{ {expression} }}}}"))
    }
}

pub(super) fn emits(emits: &crate::native::file::Emits) -> Emits {
    let texts = |list: &[Spanned<String>]| list.iter().map(|text| text.value.clone()).collect();
    Emits {
        file: emits.file.value.clone(),
        secrets: texts(&emits.secrets),
        environments: texts(&emits.environments),
        runner_labels: texts(&emits.runs_on),
    }
}

/// A matrix that expressions tell.
pub(super) fn dynamic(stage: &Stage, texts: Texts<'_>) -> Option<Box<Dynamic>> {
    let matrix = &stage.matrix.as_ref().filter(|matrix| matrix.value.is_dynamic())?.value;
    let row = |row: &Vec<(Spanned<String>, Value)>| -> Row {
        row.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect()
    };
    let rows = |told: &Option<String>, known: &[Vec<(Spanned<String>, Value)>]| match told {
        Some(expression) => Told::By(texts.condition(expression)),
        None => Told::Known(known.iter().map(row).collect()),
    };
    let axis = |(name, values): &(Spanned<String>, Vec<Value>)| {
        let told = match matrix.told.get(&name.value) {
            Some(expression) => Told::By(texts.condition(expression)),
            None => Told::Known(values.clone()),
        };
        (name.value.clone(), told)
    };
    Some(Box::new(Dynamic {
        matrix: matrix.whole.as_ref().map(|whole| texts.condition(whole)),
        axes: matrix.axes.iter().map(axis).collect(),
        include: rows(&matrix.told_include, &matrix.include),
        exclude: rows(&matrix.told_exclude, &matrix.exclude),
        max_parallel: stage.max_parallel,
        fail_fast: stage.fail_fast,
    }))
}

pub(super) fn retry(retry: Option<&crate::native::file::Retry>, verb: &Verb) -> Retry {
    match retry {
        _ if matches!(verb, Verb::Deploy(_)) => {
            Retry { max_attempts: 1, when: Vec::new(), backoff_seconds: 0 }
        }
        Some(retry) => Retry {
            max_attempts: retry.max,
            when: retry.when.clone(),
            backoff_seconds: retry.backoff.seconds(),
        },
        None => Retry::default(),
    }
}

pub(super) fn secrets(stage: &Stage) -> Vec<SecretUse> {
    let secret = |secret: &crate::native::file::Secret| SecretUse {
        name: secret.name.value.clone(),
        env: Some(secret.env.value.clone()),
        optional: false,
    };
    stage.secrets.iter().map(secret).collect()
}

pub(super) fn service(service: &crate::native::file::Service, texts: Texts<'_>) -> Service {
    Service {
        name: service.name.value.clone(),
        image: texts.of(&service.image),
        env: texts.env(&service.env),
        command: texts.all(&service.command),
        ready: service.ready.as_ref().map(|ready| Ready {
            probe: ready.probe.clone(),
            interval_ms: ready.interval.0,
            timeout_ms: ready.timeout.0,
        }),
        container: Container::default(),
    }
}

pub(super) fn artifact(rule: &crate::native::file::Artifact) -> ArtifactRule {
    let days = |seconds: u64| u32::try_from(seconds.div_ceil(86_400)).unwrap_or(u32::MAX);
    ArtifactRule {
        name: rule.name.value.clone(),
        paths: rule.paths.iter().map(|path| path.value.clone()).collect(),
        when: rule.when,
        retention_days: rule.retention.as_ref().map(|time| days(time.value.seconds())),
    }
}

pub(super) fn cache(rule: &crate::native::file::Cache, texts: Texts<'_>) -> CacheRule {
    CacheRule {
        key: texts.of(&rule.key),
        restore_keys: texts.all(&rule.restore_keys),
        paths: rule.paths.iter().map(|path| path.value.clone()).collect(),
        scope: rule.scope,
    }
}

pub(super) fn report(rule: &crate::native::file::Report) -> ReportRule {
    ReportRule {
        kind: rule.kind,
        paths: rule.paths.iter().map(|path| path.value.clone()).collect(),
        fail_on: Thresholds {
            coverage_below: rule.fail_on.coverage_below,
            findings_at: rule.fail_on.findings_at,
            new_findings: rule.fail_on.new_findings,
            failed_tests: rule.fail_on.failed_tests.unwrap_or_default(),
        },
    }
}

pub(super) fn limits(resources: &FileResources) -> Resources {
    Resources {
        cpus: resources.cpus,
        memory_bytes: resources.memory.as_ref().map(|memory| memory.value.0),
        pids: resources.pids,
    }
}

pub(super) fn step(
    step: &FileStep,
    default_shell: &[String],
    default_folder: Option<&str>,
    texts: Texts<'_>,
) -> Step {
    // Values that read earlier steps are made between steps, all others before a runner has the stage.
    let (late_env, env): (Vec<_>, Vec<_>) = step.env.iter().partition(|(_, value)| reads_steps(&value.value));
    let first_line = || {
        let line =
            step.run.value.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let line = line.unwrap_or("script");
        if line.chars().count() <= 80 {
            line.to_owned()
        } else {
            line.chars().take(79).chain(['…']).collect()
        }
    };
    Step {
        id: step.id.as_ref().map(|id| id.value.clone()),
        name: step.name.as_ref().map_or_else(first_line, |name| name.value.clone()),
        does: Does::Run(Script {
            script: step.run.value.clone(),
            shell: step.shell.clone().unwrap_or_else(|| default_shell.to_vec()),
            working_directory: step
                .working_directory
                .as_ref()
                .map(|path| path.value.as_str())
                .or(default_folder)
                .map(Template::from),
        }),
        env: env.into_iter().map(|(name, value)| (name.value.clone(), texts.of(value))).collect(),
        more_env: Vec::new(),
        background: false,
        late_env: late_env
            .into_iter()
            .map(|(name, value)| (name.value.clone(), texts.late(&value.value)))
            .collect(),
        condition: step.condition.as_ref().map(|condition| texts.condition(&condition.value)),
        timeout_seconds: step.timeout.as_ref().map(|timeout| timeout.value.seconds()),
        timeout_minutes: None,
        when: step.when,
        continue_on_error: step.continue_on_error,
        may_fail: None,
    }
}

fn reads_steps(template: &str) -> bool {
    expression_of(template)
        .and_then(|expression| expressions::parse(&expression))
        .is_ok_and(|expression| expression.is_late())
}

pub(super) fn check(check: &crate::native::file::Check, texts: Texts<'_>) -> HttpCheck {
    HttpCheck {
        name: match &check.name {
            Some(name) => name.value.clone(),
            None => format!("{} {}", check.method, check.url.value.replace("${{ environment.url }}", "")),
        },
        url: texts.of(&check.url),
        method: check.method.clone(),
        status: check.status.clone(),
        body_contains: texts.maybe(check.body_contains.as_ref()),
        headers: check
            .headers
            .iter()
            .map(|(name, value)| (name.value.to_lowercase(), texts.of(value)))
            .collect(),
        max_latency_ms: check.max_latency.as_ref().map(|time| time.value.0),
        deadline_ms: check.deadline.0,
        interval_ms: check.interval.0,
    }
}
