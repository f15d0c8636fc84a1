//! What a lease holds: the stage with its templates literal, its secrets, its source, its facts.
//!
//! Secrets are opened only here, after the gate, and only for runs that are trusted. An error that carries a sentence
//! fails the stage with it ([`super::claim`]).

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use tidegate_pipelines::plan::{SecretUse, StagePlan, Verb};
use tidegate_protocol::messages::{Lease, RegistryLogin, Secret, Source};

use super::{facts, milliseconds};
use crate::{
    app::App,
    deploy,
    error::Error,
    schedule::{self, Ended, Lenient},
    secrets::{self, Place},
    store::{Begun, CloneSource, RunRow, StageRow, Tx},
};

/// Builds the lease of an attempt that has just begun. The run is locked.
pub(super) async fn lease(
    app: &App,
    tx: &mut Tx,
    run: &RunRow,
    stages: &[StageRow],
    stage: &StageRow,
    begun: Begun,
) -> Result<Lease, Error> {
    let resolved = schedule::resolve(tx, run, stages, stage).await?.map_err(|error| {
        Error::Refused(format!(
            "stage `{}` cannot begin, because an expression has no value: {error}",
            stage.key
        ))
    })?;
    // Templates of a stage that fills them in itself are templates still; the scheduler has told its environment.
    let environment = match resolved.expressions.is_strict() {
        true => resolved.environment().map(|name| name.as_str().to_owned()),
        false => stage.environment.clone(),
    };
    let mut opened = open_secrets(app, tx, run, &resolved, environment.as_deref()).await?;
    let mut contexts = BTreeMap::new();
    if !resolved.expressions.is_strict()
        && let Some(lenient) = Lenient::read(tx, run, stages, environment.as_deref()).await?
    {
        let ended = schedule::ended(stages);
        contexts = lenient.contexts(&resolved, &ended);
        opened.secrets = called(&lenient, &resolved, &ended, opened.secrets)?;
    }
    let deployment = match &resolved.verb {
        Verb::Deploy(_) => Some(deploy::begin(tx, run, stage, &resolved, begun.id).await?),
        _ => None,
    };
    let repository = tx.clone_source(run.repository_id).await?;
    let (sha, reference) = deploy::source_of(tx, run, stage).await?;
    let source = Source {
        login: clone_login(app, run, &repository)?,
        repository: repository.full_name,
        clone_url: repository.clone_url,
        reference,
        sha,
    };
    let env = facts::env(app, run, &source, &resolved, environment.as_deref(), begun.number);
    Ok(Lease {
        attempt: begun.id,
        epoch: begun.epoch,
        expires_in_ms: milliseconds(app.config.lease),
        stage_id: stage.id,
        run: run.id,
        run_number: run.number,
        number: begun.number,
        env,
        contexts,
        secrets: opened.secrets,
        registry_login: opened.registry_login,
        deployment,
        trusted: run.trusted,
        source,
        stage: resolved,
    })
}

/// Secrets by the names that the stage reads them by: a called file has names of its own.
fn called(
    lenient: &Lenient,
    stage: &StagePlan,
    ended: &Ended,
    given: Vec<Secret>,
) -> Result<Vec<Secret>, Error> {
    let known = given.into_iter().map(|secret| (secret.name, secret.value)).collect();
    let called = lenient.secrets(stage, ended, &known).map_err(|error| {
        Error::Refused(format!("stage `{}` cannot begin, because a secret has no value: {error}", stage.key))
    })?;
    Ok(called.into_iter().map(|(name, value)| Secret { name, env: None, value }).collect())
}

struct Opened {
    secrets: Vec<Secret>,
    registry_login: Option<RegistryLogin>,
}

async fn open_secrets(
    app: &App,
    tx: &mut Tx,
    run: &RunRow,
    stage: &StagePlan,
    environment: Option<&str>,
) -> Result<Opened, Error> {
    let credentials = match &stage.verb {
        Verb::Push(push) => push.credentials.as_ref(),
        _ => None,
    };
    if !run.trusted {
        // A push without its credentials could still reach a registry that asks for none.
        return match credentials {
            Some(name) => Err(Error::Refused(format!(
                "stage `{}` needs the secret `{name}`, and a run of a fork is given no secrets",
                stage.key
            ))),
            None => Ok(Opened { secrets: Vec::new(), registry_login: None }),
        };
    }
    let mut uses = stage.secrets.clone();
    if stage.all_secrets {
        let names = tx.secret_names_in_reach(run.repository_id, environment).await?;
        let others = names.into_iter().filter(|name| !stage.secrets.iter().any(|one| one.name == *name));
        uses.extend(others.map(|name| SecretUse { name, env: None, optional: true }));
    }
    let of = |optional: bool| {
        let all = uses.iter().filter(move |secret| secret.optional == optional);
        all.map(|secret| secret.name.clone())
    };
    let wanted = secrets::Wanted {
        required: of(false).chain(credentials.cloned()).collect(),
        optional: of(true).collect(),
    };
    let values = secrets::open_for_stage(app, tx, run.repository_id, environment, &wanted).await?;
    let mut given = Vec::new();
    for secret in &uses {
        if secret.optional && !values.contains_key(&secret.name) {
            continue;
        }
        let value = value_of(&values, &secret.name)?.expose_secret().to_owned();
        given.push(Secret { name: secret.name.clone(), env: secret.env.clone(), value });
    }
    let registry_login = match credentials {
        Some(name) => Some(login(name, value_of(&values, name)?)?),
        None => None,
    };
    Ok(Opened { secrets: given, registry_login })
}

fn value_of<'a>(values: &'a BTreeMap<String, SecretString>, name: &str) -> Result<&'a SecretString, Error> {
    values
        .get(name)
        .ok_or_else(|| Error::Refused(format!("there is no secret `{name}`; add it to the repository")))
}

/// `user:password`.
fn login(name: &str, value: &SecretString) -> Result<RegistryLogin, Error> {
    match value.expose_secret().trim_end_matches('\n').split_once(':') {
        Some((username, password)) if !username.is_empty() && !password.is_empty() => {
            Ok(RegistryLogin { username: username.to_owned(), password: password.to_owned() })
        }
        _ => Err(Error::Refused(format!(
            "the secret `{name}` holds no login for a registry: it must be `user:password`"
        ))),
    }
}

/// User name and token. The runner alone uses them, so forks' runs have them too.
fn clone_login(app: &App, run: &RunRow, repository: &CloneSource) -> Result<Option<(String, String)>, Error> {
    let Some(sealed) = &repository.token_sealed else { return Ok(None) };
    let opened = app.keys.open(Place::CloneToken(&run.repository_id.to_string()), sealed)?;
    let login = std::str::from_utf8(&opened).ok().and_then(|text| text.split_once(':'));
    let (user, token) = login.ok_or_else(|| Error::internal("a stored clone token is no `user:token`"))?;
    Ok(Some((user.to_owned(), token.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_login_is_user_and_password() {
        let of = |text: &str| login("REGISTRY", &SecretString::from(text.to_owned()));
        let login = of("ci:p:w\n").unwrap();
        assert_eq!((login.username.as_str(), login.password.as_str()), ("ci", "p:w"));
        for bad in ["", "ci", ":", "ci:", ":pw"] {
            let Err(Error::Refused(sentence)) = of(bad) else { panic!("{bad:?} was taken") };
            assert!(sentence.contains("`REGISTRY`") && sentence.contains("user:password"), "{sentence}");
        }
    }
}
