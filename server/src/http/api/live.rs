//! The stream of what happens to runs.
//!
//! `seq` is given out when an event is written, but it is seen when its transaction commits. Most events of a run
//! are written under the run's lock, those of steps are not, and runs do not wait for each other: a smaller number
//! may appear after a larger one. Feeds therefore keep looking behind gaps for a while instead of jumping over.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{Response, sse::Event},
};
use serde::Deserialize;
use tidegate_protocol::ids::RunId;
use utoipa::IntoParams;
use uuid::Uuid;

use super::super::{
    Shared,
    access::Caller,
    error::{ApiError, ErrorBody},
    extract::Query,
    sse::{self, Feed, Sender},
};
use crate::{app::App, error::Error, hub::Hint, runs};

const AT_ONCE: i64 = 1000;
/// No transaction that writes events takes longer.
const GAP: Duration = Duration::from_secs(10);

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Only of this run.
    run: Option<Uuid>,
    /// Only after this number; absent: only news. `Last-Event-ID` goes before it.
    after: Option<i64>,
}

/// A stream of `RunEvent`s, resumable: `id` is the event's `seq`.
#[utoipa::path(get, operation_id = "live_events", path = "/api/v1/events", params(EventsQuery),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 400, body = ErrorBody)))]
pub(super) async fn events(
    State(shared): State<Shared>,
    caller: Caller,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let floor = match sse::resume(&headers, query.after)? {
        Some(after) => after,
        None => runs::last_event(&shared.app).await?,
    };
    Ok(sse::answer(&shared, caller, Events { run: query.run.map(RunId), seen: Seen::after(floor) }))
}

struct Events {
    run: Option<RunId>,
    seen: Seen,
}

impl Feed for Events {
    fn is_about(&self, hint: Hint) -> bool {
        matches!(hint, Hint::Run(run) if self.run.is_none_or(|own| own == run))
    }

    async fn send(&mut self, app: &App, out: &Sender) -> Result<bool, Error> {
        loop {
            let events = runs::events(app, self.run, self.seen.floor, AT_ONCE).await?;
            let full = i64::try_from(events.len()).is_ok_and(|count| count >= AT_ONCE);
            for event in &events {
                if self.seen.is_new(event.seq, Instant::now()) {
                    let data = serde_json::to_string(event)?;
                    out.send(Event::default().id(event.seq.to_string()).event("event").data(data)).await;
                }
            }
            match events.last() {
                Some(last) if full => self.seen.jump(last.seq),
                _ => self.seen.settle(Instant::now()),
            }
            if !full {
                return Ok(false);
            }
        }
    }
}

/// What was sent already: all up to `floor`, and some above it.
struct Seen {
    floor: i64,
    above: BTreeMap<i64, Instant>,
}

impl Seen {
    fn after(floor: i64) -> Self {
        Self { floor, above: BTreeMap::new() }
    }

    fn is_new(&mut self, seq: i64, now: Instant) -> bool {
        seq > self.floor
            && match self.above.entry(seq) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(now);
                    true
                }
                std::collections::btree_map::Entry::Occupied(_) => false,
            }
    }

    /// Raises the floor over what has no gap before it, and over gaps that are too old to be filled.
    fn settle(&mut self, now: Instant) {
        while let Some(entry) = self.above.first_entry() {
            let (seq, since) = (*entry.key(), *entry.get());
            if seq != self.floor + 1 && now.saturating_duration_since(since) < GAP {
                return;
            }
            self.floor = seq;
            entry.remove();
        }
    }

    fn jump(&mut self, to: i64) {
        self.floor = self.floor.max(to);
        self.above = self.above.split_off(&(self.floor + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_appears_late_is_sent_once_and_not_lost() {
        let start = Instant::now();
        let mut seen = Seen::after(5);
        assert!(!seen.is_new(5, start));
        assert!(seen.is_new(6, start) && seen.is_new(8, start));
        seen.settle(start);
        assert_eq!(seen.floor, 6, "7 may still come");
        assert!(seen.is_new(7, start) && !seen.is_new(8, start));
        seen.settle(start);
        assert_eq!(seen.floor, 8);
        assert!(seen.is_new(10, start));
        seen.settle(start + GAP);
        assert_eq!(seen.floor, 10, "9 was undone");
    }
}
