//! Background tasks: each a `once()` that tests call, and a tiny loop around it. Every one may run on several servers
//! at a time: what they take, they lock or mark in the database.

pub mod deliveries;
mod hints;
pub mod outbox;
pub mod retention;
pub mod schedules;
pub mod sweep;

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::App,
    error::Error,
    hub::{Hint, wait_for},
};

/// How long a worker sleeps when no hint comes.
const POLL: Duration = Duration::from_secs(2);
/// How often schedules are looked at; they are told to the minute.
const SCHEDULES: Duration = Duration::from_secs(10);
/// How often what was kept long enough is looked for.
const RETENTION: Duration = Duration::from_secs(600);
/// How many deliveries are worked on at a time; those of one repository one after the other.
const DELIVERIES: usize = 4;

/// One task: what it is called, how often it looks without being told, what it is told by, and what it does. `true`
/// from it means that there may be more to do right away.
struct Task {
    name: &'static str,
    poll: Duration,
    hint: Option<Hint>,
    once: fn(App) -> BoxFuture<'static, Result<bool, Error>>,
}

/// Makes a [`Task`] of a `once` function.
macro_rules! task {
    ($name:ident, $poll:expr, $hint:expr) => {
        Task {
            name: stringify!($name),
            poll: $poll,
            hint: $hint,
            once: |app| Box::pin(async move { $name::once(&app).await }),
        }
    };
}

/// All of them.
const TASKS: &[(usize, Task)] = &[
    (DELIVERIES, task!(deliveries, POLL, Some(Hint::Delivery))),
    (1, task!(outbox, POLL, Some(Hint::Outbox))),
    (1, task!(sweep, POLL, None)),
    (1, task!(schedules, SCHEDULES, None)),
    (1, task!(retention, RETENTION, None)),
];

/// Starts every task; each ends when the token is cancelled.
pub fn spawn(app: &App, tracker: &TaskTracker, shutdown: &CancellationToken) {
    tracker.spawn(hints::listen(app.clone(), shutdown.clone()));
    for (workers, task) in TASKS {
        for _ in 0..*workers {
            tracker.spawn(work_off(app.clone(), shutdown.clone(), task));
        }
    }
}

/// Does the task for as long as there is something to do, then sleeps until a hint or the next poll. Errors are
/// logged and waited out. Work that has begun is finished before the task ends.
async fn work_off(app: App, shutdown: CancellationToken, task: &'static Task) {
    let mut hints = app.hub.subscribe();
    while !shutdown.is_cancelled() {
        match (task.once)(app.clone()).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(Error::Internal(inner)) => {
                tracing::error!(task = task.name, error = format!("{inner:#}"), "a task failed");
            }
            Err(error) => tracing::warn!(task = task.name, %error, "a task failed"),
        }
        tokio::select! {
            () = wait_for(&mut hints, task.poll, |hint| Some(hint) == task.hint) => {}
            () = shutdown.cancelled() => {}
        }
    }
}
