//! What several areas need: a scripted engine, a model of the server, a place to keep a log.

pub mod agent;
pub mod aws;
pub mod failing_registry;
pub mod fake;
pub mod forge;
pub mod git;
pub mod log;
pub mod place;
pub mod registry;
pub mod server;

/// The image of every test that needs one; it has a shell and little else.
pub const IMAGE: &str = "tidegate-test/busybox:1";

/// Waits until something holds; panics with `what` when it does not for a long time.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it never came about that {what}");
}
