//! Hears the database's notifications and passes them on to the hub. Whenever the connection was lost, hints may have
//! been missed, so everybody looks at everything.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{app::App, error::Error, hub::Hint};

/// Between two tries to connect.
const WAIT: Duration = Duration::from_secs(1);

/// Listens until told to stop.
pub async fn listen(app: App, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        tokio::select! {
            result = pass_on(&app) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "hints cannot be heard; polling goes on");
                }
            }
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(WAIT) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn pass_on(app: &App) -> Result<(), Error> {
    let mut listener = app.db.listen().await?;
    app.hub.send(Hint::Resync);
    loop {
        let hint = listener.next().await?;
        app.hub.send(hint);
    }
}
