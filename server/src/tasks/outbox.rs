//! Works off the outbox: tells the forge what happened here.
//!
//! A message is taken, sent outside of any transaction, and closed. A worker that dies in between leaves it
//! held; when the hold ends another takes it, so all that [`crate::forge::report`] does can be repeated. The
//! whole of a try is shorter than the hold, so two never send the same at once.

use std::time::Duration;

use crate::{
    app::App,
    error::Error,
    forge::{
        calls::FullName,
        github::Failure,
        messages::Message,
        report::{Report, Untold},
    },
    repositories,
    store::{Outgoing, views::Repository},
};

/// Longer than [`TRY`].
const HOLD: Duration = Duration::from_secs(300);
/// How long a try may take in all.
const TRY: Duration = Duration::from_secs(180);
/// After so many tries a message is given up; with the waits in between that is four to eight hours.
const TRIES: i32 = 40;
/// The longest wait between two tries, unless the forge asks for more.
const LONGEST: Duration = Duration::from_secs(900);

enum Done {
    Sent,
    Needless,
    Dead(String),
    Again { reason: String, wait: Option<Duration>, limited: bool },
}

/// Sends one message. False: there is none to send now.
pub async fn once(app: &App) -> Result<bool, Error> {
    let mut tx = app.db.begin().await?;
    let Some(message) = tx.take_outgoing(HOLD).await? else { return Ok(false) };
    tx.commit().await?;
    let repository = repositories::get(app, message.repository).await?;
    let done = match tokio::time::timeout(TRY, work(app, &repository, &message)).await {
        Ok(Ok(done)) => done,
        Ok(Err(Error::Internal(inner))) => {
            tracing::error!(
                outgoing = message.id,
                error = format!("{inner:#}"),
                "a message could not be sent"
            );
            again("an internal error; the server's log says which")
        }
        Ok(Err(error)) => again(error.to_string()),
        Err(_) => again(format!("GitHub took longer than {} s", TRY.as_secs())),
    };
    close(app, &repository, &message, done).await?;
    Ok(true)
}

async fn work(app: &App, repository: &Repository, outgoing: &Outgoing) -> Result<Done, Error> {
    let Ok(message) = serde_json::from_value::<Message>(outgoing.payload.clone()) else {
        return Ok(Done::Dead("the message does not read as one of this server's".to_owned()));
    };
    if repository.forge != "github" {
        return Ok(Done::Dead(format!(
            "{} is not at GitHub, so there is nobody to tell",
            repository.full_name
        )));
    }
    let Some(config) = &app.config.github else {
        return Ok(Done::Dead(
            "the server has neither a token for GitHub nor an App; see docs/github.md".to_owned(),
        ));
    };
    if outgoing.superseded && message.is_interim() {
        return Ok(Done::Needless);
    }
    let github = match app.forge.github(config) {
        Ok(github) => github,
        Err(reason) => return Ok(again(reason)),
    };
    let name = match FullName::parse(&repository.full_name) {
        Ok(name) => name,
        Err(reason) => return Ok(Done::Dead(reason)),
    };
    let report = Report { app, github, repository: repository.id, name, again: outgoing.attempts > 1 };
    Ok(match report.tell(&message).await {
        Ok(()) => Done::Sent,
        Err(Untold::Forge(Failure::Never(reason))) => Done::Dead(reason),
        Err(Untold::Forge(Failure::Later { reason, wait, limited })) => Done::Again { reason, wait, limited },
        Err(Untold::Core(error)) => return Err(error),
    })
}

async fn close(app: &App, repository: &Repository, message: &Outgoing, done: Done) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    match done {
        Done::Sent => tx.sent_outgoing(message, None).await?,
        Done::Needless => tx.sent_outgoing(message, Some("left out: a later one says more")).await?,
        Done::Dead(reason) => {
            tracing::warn!(
                outgoing = message.id,
                repository = repository.full_name,
                reason,
                "a message is given up"
            );
            tx.dead_outgoing(message, &reason).await?;
        }
        Done::Again { reason, .. } if message.attempts >= TRIES => {
            tracing::warn!(
                outgoing = message.id,
                repository = repository.full_name,
                reason,
                "a message is given up after its last try"
            );
            tx.dead_outgoing(message, &format!("given up after {TRIES} tries: {reason}")).await?;
        }
        Done::Again { reason, wait, limited } => {
            let wait = backoff(message.attempts, rand::random()).max(wait.unwrap_or_default());
            tracing::warn!(
                outgoing = message.id,
                repository = repository.full_name,
                reason,
                wait = wait.as_secs(),
                "a message is tried again"
            );
            // First what locks every message of the owner, in their order: with its own message in hand already,
            // a sender could wait for another that does the same.
            if limited {
                let owner = repository.full_name.split('/').next().unwrap_or_default();
                tx.pause_outgoing(owner, wait).await?;
            }
            tx.retry_outgoing(message, wait, &reason).await?;
        }
    }
    tx.commit().await
}

fn again(reason: impl Into<String>) -> Done {
    Done::Again { reason: reason.into(), wait: None, limited: false }
}

/// Doubles from a second, and spreads: chance is from 0 to 1.
fn backoff(attempts: i32, chance: f64) -> Duration {
    let full = Duration::from_secs(1 << attempts.clamp(1, 20)).min(LONGEST);
    full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_spread() {
        assert_eq!(backoff(1, 0.0), Duration::from_secs(1));
        assert_eq!(backoff(1, 1.0), Duration::from_secs(2));
        assert_eq!(backoff(5, 1.0), Duration::from_secs(32));
        assert_eq!(backoff(i32::MAX, 1.0), LONGEST);
        assert_eq!(backoff(i32::MAX, 0.0), LONGEST / 2);
    }

    #[test]
    fn an_outage_of_some_hours_is_outlived() {
        let least: Duration = (1..TRIES).map(|attempt| backoff(attempt, 0.0)).sum();
        assert!(least > Duration::from_secs(3 * 3600), "{least:?}");
    }
}
