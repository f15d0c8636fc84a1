//! From templates to text, when a stage is about to run.

use serde_json::Value;

use crate::{
    context::{Context, ResolveError},
    expressions::{
        self, Ended, Lenient, MAX_TEXT, Part, Scope, evaluate, fold, kind_name, parse, split, to_text,
    },
    lenient,
    plan::{
        Container, Deploy, Driver, Expressions, HttpCheck, Run, Service, Smoke, StagePlan, Template, Verb,
    },
};

/// The stage with all its templates literal; one whose expressions are lenient as it is, because whoever runs it fills
/// them in.
pub fn resolve(stage: &StagePlan, context: &Context) -> Result<StagePlan, ResolveError> {
    let scope = Scope::of_template(context, Some(stage));
    let mut resolved = stage.clone();
    if stage.expressions == Expressions::Lenient {
        return Ok(resolved);
    }
    for_each_template(&mut resolved, &mut |template| {
        template.0 = text_of(&template.0, &scope)?;
        Ok(())
    })?;
    if let Some(concurrency) = &mut resolved.concurrency {
        concurrency.group = text_of(&concurrency.group, &scope)?;
    }
    // A condition asks; what it names need not be there.
    let asking = Scope::of_condition(context, stage);
    for_each_late(&mut resolved, &mut |late| match late {
        Late::Condition(text) => {
            *text = fold_into(text, text, &asking)?;
            Ok(())
        }
        Late::Template(template) => {
            let inner = template.0.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
            let inner = inner.unwrap_or(&template.0);
            template.0 = format!("${{{{ {} }}}}", fold_into(inner, &template.0, &scope)?);
            Ok(())
        }
    })?;
    Ok(resolved)
}

/// What is evaluated only between the steps of a stage.
enum Late<'a> {
    Condition(&'a mut String),
    Template(&'a mut Template),
}

/// The expression with all facts filled in that are known before the first step.
fn fold_into(expression: &str, whole: &str, scope: &Scope<'_>) -> Result<String, ResolveError> {
    fold(expression, scope)
        .map(|text| text.trim().to_owned())
        .map_err(|fault| ResolveError { expression: whole.to_owned(), message: fault.message })
}

/// Visits what steps of a stage with strict expressions evaluate themselves.
fn for_each_late<E>(
    stage: &mut StagePlan,
    visit: &mut dyn FnMut(Late<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if !stage.expressions.is_strict() {
        return Ok(());
    }
    let run = match &mut stage.verb {
        Verb::Run(run) => Some(run),
        Verb::Deploy(Deploy { driver: Driver::Command(run), .. }) => Some(run),
        Verb::Smoke(Smoke { commands, .. }) => commands.as_mut(),
        Verb::Build(_) | Verb::Push(_) | Verb::Deploy(_) => None,
    };
    for step in run.into_iter().flat_map(|run| &mut run.steps) {
        if let Some(condition) = &mut step.condition {
            visit(Late::Condition(condition))?;
        }
        step.late_env.values_mut().try_for_each(|template| visit(Late::Template(template)))?;
    }
    stage.outputs.values_mut().try_for_each(|template| visit(Late::Template(template)))
}

/// Whether a stage's condition holds, once its needs have ended. An expression that does not ask how they ended
/// (`success()`, `failure()`, `always()`, `cancelled()`) implies `success()`: all needs are as accepted. Where
/// expressions are lenient, `success()` is about every stage upstream.
pub fn condition(expression: &str, stage: &StagePlan, context: &Context) -> Result<bool, ResolveError> {
    if stage.expressions == Expressions::Lenient {
        return lenient::holds_with(expression, &lenient_rules(Some(stage), context));
    }
    let error = |message: String| ResolveError { expression: expression.to_owned(), message };
    let parsed = parse(expression).map_err(|fault| error(fault.message))?;
    let scope = Scope::of_condition(context, stage);
    if !parsed.asks_for_status(Expressions::Strict) && !scope.status("success").map_err(error)? {
        return Ok(false);
    }
    match evaluate(&parsed, &scope).map_err(|fault| error(fault.message))? {
        Value::Bool(holds) => Ok(holds),
        other => Err(error(format!("a condition is true or false, and this is {}", kind_name(&other)))),
    }
}

/// What lenient expressions of a stage are evaluated with before a runner has it: no file is there to be hashed.
fn lenient_rules<'a>(stage: Option<&StagePlan>, context: &'a Context) -> Lenient<'a> {
    let upstream = stage.map(|stage| stage.upstream.as_slice()).unwrap_or_default();
    let states: Vec<&str> = upstream
        .iter()
        .map(|key| context.stages.get(key).map_or("", |facts| facts.status.as_str()))
        .collect();
    let any = |wanted: &[&str]| states.iter().any(|state| wanted.contains(state));
    let ended = Ended {
        // A stage that was skipped has not succeeded, however far up it stands.
        success: states.iter().all(|state| matches!(*state, "succeeded" | "warned")),
        failure: any(&["failed", "unknown"]),
        cancelled: any(&["cancelled"]),
    };
    Lenient::new(&context.contexts, ended, &|_| Err("`hashFiles` is known only in steps".to_owned()))
}

/// The text of one template. In a stage whose expressions are lenient they are evaluated so.
pub fn render_template(
    template: &Template,
    stage: Option<&StagePlan>,
    context: &Context,
) -> Result<String, ResolveError> {
    if stage.is_some_and(|stage| stage.expressions == Expressions::Lenient) {
        return lenient::text_with(&template.0, &lenient_rules(stage, context));
    }
    text_of(&template.0, &Scope::of_template(context, stage))
}

fn text_of(template: &str, scope: &Scope<'_>) -> Result<String, ResolveError> {
    if !expressions::holds_expression(template) {
        return Ok(template.to_owned());
    }
    let whole = |message: String| ResolveError { expression: template.to_owned(), message };
    let mut out = String::new();
    for part in split(template).map_err(|fault| whole(fault.message))? {
        match part {
            Part::Text(range) => out.push_str(&template[range]),
            Part::Expression(range) => {
                let text = &template[range];
                let error = |message| ResolveError { expression: text.trim().to_owned(), message };
                let expression = parse(text).map_err(|fault| error(fault.message))?;
                let value = evaluate(&expression, scope).map_err(|fault| error(fault.message))?;
                out.push_str(&to_text(&value));
            }
        }
        if out.len() > MAX_TEXT {
            return Err(whole(format!("the text would be longer than {MAX_TEXT} bytes")));
        }
    }
    Ok(out)
}

/// Visits every template of a stage.
fn for_each_template<E>(
    stage: &mut StagePlan,
    visit: &mut dyn FnMut(&mut Template) -> Result<(), E>,
) -> Result<(), E> {
    for template in stage.env.values_mut() {
        visit(template)?;
    }
    for service in &mut stage.services {
        let Service { name: _, image, env, command, ready: _, container } = service;
        visit(image)?;
        env.values_mut().chain(command).try_for_each(&mut *visit)?;
        visit_container(container, visit)?;
    }
    for cache in &mut stage.caches {
        visit(&mut cache.key)?;
        cache.restore_keys.iter_mut().try_for_each(&mut *visit)?;
    }
    match &mut stage.verb {
        Verb::Run(run) => visit_run(run, visit),
        Verb::Build(build) => build.args.values_mut().chain(build.labels.values_mut()).try_for_each(visit),
        Verb::Push(push) => {
            visit(&mut push.image_id)?;
            visit(&mut push.repository)?;
            push.tags.iter_mut().try_for_each(visit)
        }
        Verb::Deploy(Deploy { environment, image, driver }) => {
            visit(environment)?;
            visit(image)?;
            match driver {
                Driver::Compose { file: _, project, host, wait_seconds: _ } => {
                    visit(project)?;
                    host.iter_mut().try_for_each(visit)
                }
                Driver::Command(run) => visit_run(run, visit),
            }
        }
        Verb::Smoke(Smoke { environment, deploy: _, checks, commands }) => {
            visit(environment)?;
            for check in checks {
                let HttpCheck { url, body_contains, headers, .. } = check;
                visit(url)?;
                body_contains.iter_mut().chain(headers.values_mut()).try_for_each(&mut *visit)?;
            }
            commands.iter_mut().try_for_each(|run| visit_run(run, visit))
        }
    }
}

fn visit_container<E>(
    container: &mut Container,
    visit: &mut dyn FnMut(&mut Template) -> Result<(), E>,
) -> Result<(), E> {
    let Container { env, user, entrypoint, credentials, ports } = container;
    env.values_mut().chain(user).chain(entrypoint).chain(ports).try_for_each(&mut *visit)?;
    let credentials = credentials.iter_mut();
    credentials.flat_map(|both| [&mut both.username, &mut both.password]).try_for_each(visit)
}

fn visit_run<E>(run: &mut Run, visit: &mut dyn FnMut(&mut Template) -> Result<(), E>) -> Result<(), E> {
    let Run { image, container, steps } = run;
    visit(image)?;
    visit_container(container, visit)?;
    for step in steps {
        // Only these: no template is ever put into a script.
        step.env.values_mut().try_for_each(&mut *visit)?;
    }
    Ok(())
}
