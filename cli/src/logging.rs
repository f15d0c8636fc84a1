//! Tracing: people's format on a terminal, JSON otherwise, filtered by `RUST_LOG`.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Installs the subscriber. `default` is the filter where `RUST_LOG` says nothing.
pub fn install(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    if io::stderr().is_terminal() {
        let _ = registry.with(fmt::layer().with_writer(io::stderr).with_target(false).compact()).try_init();
    } else {
        let _ = registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init();
    }
}
