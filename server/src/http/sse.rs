//! Server-sent events: a task that pushes into a channel, and the answer that drains it.
//!
//! The task ends when the reader has gone, the server stops, or the session or token that opened the stream is
//! no longer good, which is asked again at least twice a minute. The channel is small: a reader that does not
//! keep up slows the task down, not the server.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;

use super::{Shared, access::Caller};
use crate::{
    app::App,
    error::Error,
    hub::{Hint, wait_for},
};

/// Hints may get lost; so long is nothing new noticed then.
const POLL: Duration = Duration::from_secs(2);
const RECHECK: Duration = Duration::from_secs(20);

/// What feeds a stream.
pub trait Feed: Send + Sync + 'static {
    /// Whether a hint is about this stream.
    fn is_about(&self, hint: Hint) -> bool;

    /// Sends all there is now. True: nothing more will ever come.
    fn send(&mut self, app: &App, out: &Sender) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// Where a feed sends to.
pub struct Sender(mpsc::Sender<Event>);

impl Sender {
    /// Sends one event; waits for a slow reader. Nothing is lost silently: a reader that has gone ends the task
    /// at the next wait.
    pub async fn send(&self, event: Event) {
        let _ = self.0.send(event).await;
    }
}

/// Answers with a stream.
pub fn answer(shared: &Shared, caller: Caller, feed: impl Feed) -> Response {
    let (sender, receiver) = mpsc::channel(64);
    // Interest is registered before the first look at the database.
    let hints = shared.app.hub.subscribe();
    tokio::spawn(pump(shared.app.clone(), shared.shutdown.clone(), caller, feed, Sender(sender), hints));
    let stream = ReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    let mut response =
        Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response();
    // Proxies must not collect it.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    response
}

async fn pump(
    app: App,
    shutdown: CancellationToken,
    caller: Caller,
    mut feed: impl Feed,
    out: Sender,
    mut hints: broadcast::Receiver<Hint>,
) {
    let mut checked = Instant::now();
    loop {
        match feed.send(&app, &out).await {
            Ok(true) => return,
            Ok(false) => {}
            // The database is away: the reader stays and hears more once it is back.
            Err(error) if error.is_transient() => tracing::warn!(%error, "a stream waits"),
            Err(error) => {
                tracing::error!(?error, "a stream broke off");
                return;
            }
        }
        tokio::select! {
            () = wait_for(&mut hints, POLL, |hint| feed.is_about(hint)) => {}
            () = out.0.closed() => return,
            () = shutdown.cancelled() => return,
        }
        if checked.elapsed() >= RECHECK {
            match caller.is_still_good(&app).await {
                Ok(true) => checked = Instant::now(),
                Ok(false) => return,
                Err(error) => tracing::warn!(%error, "whether a stream's session is still good is not known"),
            }
        }
    }
}

/// Where a reader left off: what the browser remembers, else what the query says.
pub fn resume<T: std::str::FromStr>(headers: &HeaderMap, query: Option<T>) -> Result<Option<T>, Error> {
    match headers.get("last-event-id") {
        None => Ok(query),
        Some(value) => match value.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(place) => Ok(Some(place)),
            None => Err(Error::Invalid(
                "Last-Event-ID is none of this stream's; without it the stream begins anew".to_owned(),
            )),
        },
    }
}
