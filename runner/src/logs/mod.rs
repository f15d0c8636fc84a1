//! From a step's bytes to the server: mask ([`masked`]), keep on disk ([`spool`]), send ([`ship`]).

pub mod masked;
pub mod ship;
pub mod spool;

pub use masked::MaskedLog;

/// Where the lines of a stage go. A sink masks before it stores, prints or sends anything.
///
/// Bytes of one step arrive in order; steps may interleave. `write` never blocks on the network.
pub trait LogSink: Send + Sync {
    /// Appends bytes to a step's log. Index 0 is the runner's own set-up.
    fn write(&self, step: u32, bytes: &[u8]);

    /// No more bytes come for this step: what a masker holds back is let go.
    fn end(&self, step: u32);

    /// Forgets a step's bytes: they come once more, all of them, after a restart of this process.
    fn restart(&self, step: u32);

    /// From now on hides this value too, in every step.
    fn hide(&self, value: &str);

    /// Replaces secrets in text that leaves the runner by another way than a log (outputs, reasons).
    fn mask(&self, text: &str) -> String;
}

/// Where masked bytes go.
pub trait LogStore: Send + Sync {
    /// Appends to a step's log.
    fn append(&self, step: u32, bytes: &[u8]);

    /// Empties a step's log.
    fn truncate(&self, step: u32);
}

/// Writes one line of the runner's own.
pub fn line(sink: &dyn LogSink, step: u32, text: impl AsRef<str>) {
    let mut bytes = text.as_ref().as_bytes().to_vec();
    bytes.push(b'\n');
    sink.write(step, &bytes);
}
