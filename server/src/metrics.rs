//! Counters for `/metrics`. What the database can answer (queue lengths, states) is asked there instead.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// The server's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Webhook deliveries stored.
    pub deliveries: Counter,
    /// Runs created.
    pub runs: Counter,
    /// Stages leased.
    pub leases: Counter,
    /// Attempts that reported an end.
    pub finishes: Counter,
    /// Attempts whose lease ended without a report.
    pub lost: Counter,
    /// Bytes of log stored, before compression.
    pub log_bytes: Counter,
    /// Writes refused by the fence.
    pub fenced: Counter,
}

impl Metrics {
    /// A registry of all counters, for encoding.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("tidegate");
        let all = [
            ("deliveries", "Webhook deliveries stored", &self.deliveries),
            ("runs", "Runs created", &self.runs),
            ("leases", "Stages leased", &self.leases),
            ("finishes", "Attempts that reported an end", &self.finishes),
            ("lost_attempts", "Attempts whose lease ended without a report", &self.lost),
            ("log_bytes", "Bytes of log stored, before compression", &self.log_bytes),
            ("fenced_writes", "Writes refused by the fence", &self.fenced),
        ];
        for (name, help, counter) in all {
            registry.register(name, help, counter.clone());
        }
        registry
    }
}
