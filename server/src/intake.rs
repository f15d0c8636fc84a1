//! Takes webhooks in: those that come at the same time are stored by one statement, so that a burst costs little.
//!
//! Nothing waits in memory that was answered: a caller hears of its delivery after the commit that holds it. Whoever
//! finds nobody writing becomes the writer, in a task of its own, because a caller whose connection breaks off is
//! dropped in the middle. When a statement fails, each of its deliveries is tried alone and has its own answer.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidegate_protocol::ids::DeliveryId;
use tokio::sync::oneshot;

use crate::{
    error::Error,
    hub::{Hint, Hub},
    store::{Db, NewDelivery},
};

/// The most deliveries of one statement.
const MOST: usize = 64;
/// The most bytes of one statement, if it has more than one delivery.
const MOST_BYTES: usize = 4 << 20;

/// What comes in, on its way to the database.
#[derive(Clone, Default)]
pub struct Intake {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Deliveries that are not stored yet.
    open: AtomicUsize,
}

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    /// A task is writing, and looks again before it ends.
    writing: bool,
}

struct Waiting {
    new: NewDelivery,
    answer: oneshot::Sender<Result<Option<DeliveryId>, Error>>,
}

impl Intake {
    /// Stores a delivery, durably. None: it is there already, by its id or by its bytes.
    pub async fn store(&self, db: &Db, hub: &Hub, new: NewDelivery) -> Result<Option<DeliveryId>, Error> {
        let (answer, heard) = oneshot::channel();
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        let begin = {
            let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting.push(Waiting { new, answer });
            !std::mem::replace(&mut state.writing, true)
        };
        if begin {
            tokio::spawn(write(self.shared.clone(), db.clone(), hub.clone()));
        }
        heard.await.unwrap_or_else(|_| Err(Error::Unavailable("the webhook could not be stored".to_owned())))
    }

    /// Waits until nothing is coming in, but not for long: the forge waits for its answers, and gives up after ten
    /// seconds, while what was stored already has time.
    pub async fn quiet(&self, at_most: Duration) {
        let until = tokio::time::Instant::now() + at_most;
        while self.shared.open.load(Ordering::Relaxed) > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn write(shared: Arc<Shared>, db: Db, hub: Hub) {
    loop {
        let batch = {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.waiting.is_empty() {
                state.writing = false;
                return;
            }
            let count = fitting(&state.waiting);
            state.waiting.drain(..count).collect::<Vec<_>>()
        };
        let count = batch.len();
        // A panic inside must not leave `writing` set for good.
        let task = tokio::spawn(store(db.clone(), batch));
        if let Ok(true) = task.await {
            // A notification would make every commit of the database wait for the one before; this server has
            // workers of its own, and others look again by themselves.
            hub.send(Hint::Delivery);
        }
        shared.open.fetch_sub(count, Ordering::Relaxed);
    }
}

/// How many of those that wait go into one statement.
fn fitting(waiting: &[Waiting]) -> usize {
    let mut bytes = 0;
    let fits = |one: &&Waiting| {
        bytes += one.new.body.len();
        bytes <= MOST_BYTES
    };
    waiting.iter().take(MOST).take_while(fits).count().max(1)
}

/// Stores a batch and answers; true when something is new.
async fn store(db: Db, batch: Vec<Waiting>) -> bool {
    let (new, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.new, one.answer)).unzip();
    let stored = insert(&db, &new).await;
    let mut any = false;
    for (one, answer) in new.iter().zip(answers) {
        let result = match &stored {
            Ok(ids) => Ok(ids.contains(&one.id).then_some(one.id)),
            Err(_) => insert(&db, std::slice::from_ref(one)).await.map(|ids| ids.first().copied()),
        };
        any |= matches!(result, Ok(Some(_)));
        // Nobody may be left to hear.
        let _ = answer.send(result);
    }
    any
}

async fn insert(db: &Db, new: &[NewDelivery]) -> Result<Vec<DeliveryId>, Error> {
    let mut tx = db.begin().await?;
    let ids = tx.insert_deliveries(new).await?;
    tx.commit().await?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::ids::RepositoryId;

    use super::*;

    #[test]
    fn a_statement_is_bounded_and_never_empty() {
        let waiting = |size: usize| {
            let body = bytes::Bytes::from(vec![0; size]);
            let new = NewDelivery {
                id: DeliveryId::new(),
                repository: RepositoryId::new(),
                delivery_key: String::new(),
                content_key: [0; 32],
                event: String::new(),
                body,
            };
            Waiting { new, answer: oneshot::channel().0 }
        };
        let sizes = |sizes: &[usize]| sizes.iter().map(|size| waiting(*size)).collect::<Vec<_>>();
        assert_eq!(fitting(&sizes(&[MOST_BYTES + 1, 1])), 1);
        assert_eq!(fitting(&sizes(&[MOST_BYTES - 1, 1, 1])), 2);
        assert_eq!(fitting(&sizes(&[1; MOST + 1])), MOST);
    }
}
