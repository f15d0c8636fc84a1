//! What a stage that fills in its templates itself must know before anything of it is started: image, services, and
//! its own environment.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_pipelines::{
    ResolveError,
    lenient::{self, Status, Values},
    plan::{Container, Late, Run, Template, Verb},
};

use super::{Failure, StageContext, surroundings};

/// The context with these templates filled in; the same where there are none.
pub(super) fn fill(ctx: &StageContext) -> Result<StageContext, Failure> {
    if !ctx.is_lenient() {
        return Ok(ctx.clone());
    }
    let mut contexts = surroundings::contexts(&ctx.lease, &ctx.runner);
    let mut lease = (*ctx.lease).clone();
    let stage = &mut lease.stage;
    fill_all(&contexts, stage.env.values_mut())?;
    for layer in std::mem::take(&mut stage.more_env) {
        stage.env.extend(layer_of(&contexts, layer)?);
    }
    contexts.insert("env".to_owned(), serde_json::json!(stage.env));
    for service in &mut stage.services {
        let templates =
            [&mut service.image].into_iter().chain(service.env.values_mut()).chain(&mut service.command);
        fill_all(&contexts, templates)?;
        fill_container(ctx, &contexts, &mut service.container)?;
    }
    // A service whose image is an expression that came to nothing is not wanted this time.
    stage.services.retain(|service| !service.image.as_str().trim().is_empty());
    for cache in &mut stage.caches {
        fill_all(&contexts, [&mut cache.key].into_iter().chain(&mut cache.restore_keys))?;
    }
    if let Verb::Run(Run { image, container, .. }) = &mut stage.verb {
        fill_all(&contexts, [&mut *image])?;
        fill_container(ctx, &contexts, container)?;
        if image.as_str().trim().is_empty() {
            return Err(Failure::failed("the stage's image is an expression that came to nothing"));
        }
    }
    Ok(StageContext { lease: lease.into(), ..ctx.clone() })
}

fn fill_container(
    ctx: &StageContext,
    contexts: &BTreeMap<String, Value>,
    container: &mut Container,
) -> Result<(), Failure> {
    let Container { env, user, entrypoint, credentials, ports } = container;
    let login = credentials.iter_mut().flat_map(|both| [&mut both.username, &mut both.password]);
    let templates = env.values_mut().chain(&mut *user).chain(entrypoint).chain(ports).chain(login);
    fill_all(contexts, templates)?;
    // An expression that came to nothing asks for nothing.
    if user.as_ref().is_some_and(|user| user.as_str().trim().is_empty()) {
        *user = None;
    }
    if let Some(credentials) = credentials {
        ctx.log.hide(credentials.password.as_str());
    }
    Ok(())
}

/// More variables, with all templates filled in.
fn layer_of(
    contexts: &BTreeMap<String, Value>,
    layer: Late<BTreeMap<String, Template>>,
) -> Result<BTreeMap<String, Template>, Failure> {
    match layer {
        Late::Known(mut named) => fill_all(contexts, named.values_mut()).map(|()| named),
        Late::Told(Template(template)) => {
            let told = with_values(contexts, |values| {
                lenient::variables(&template, &lenient::value(&template, values)?)
            })?;
            Ok(told.into_iter().map(|(name, value)| (name, Template(value))).collect())
        }
    }
}

fn fill_all<'t>(
    contexts: &BTreeMap<String, Value>,
    templates: impl IntoIterator<Item = &'t mut Template>,
) -> Result<(), Failure> {
    for template in templates {
        template.0 = with_values(contexts, |values| lenient::text(&template.0, values))?;
    }
    Ok(())
}

/// Evaluates as things are before anything is started.
fn with_values<T>(
    contexts: &BTreeMap<String, Value>,
    evaluate: impl FnOnce(&Values<'_>) -> Result<T, ResolveError>,
) -> Result<T, Failure> {
    let hash_files = |_: &[String]| Err("there are no files yet".to_owned());
    let values = Values { contexts, status: Status::Success, hash_files: &hash_files };
    evaluate(&values).map_err(|error| Failure::failed(error.to_string()))
}
