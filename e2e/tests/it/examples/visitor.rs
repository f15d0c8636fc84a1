//! Somebody who uses what is deployed while it is deployed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Asks for a page again and again, and keeps every answer that is no success.
pub struct Visitor {
    stop: Arc<AtomicBool>,
    visits: tokio::task::JoinHandle<(usize, Vec<String>)>,
}

impl Visitor {
    /// Begins to ask.
    pub fn of(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let visits = tokio::spawn(async move {
            let (mut count, mut wrong) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                count += 1;
                // A new connection each time: one that is kept would never meet the proxy's new processes.
                match reqwest::Client::new().get(&url).send().await {
                    Ok(answer) if answer.status().is_success() => {}
                    Ok(answer) => wrong.push(answer.status().to_string()),
                    Err(error) => wrong.push(format!("{error:?}")),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (count, wrong)
        });
        Self { stop, visits }
    }

    /// Stops; gives how often it asked, and what was wrong.
    pub async fn ends(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.visits.await.unwrap()
    }
}
