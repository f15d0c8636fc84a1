//! Why an event starts nothing.

/// What keeps an event from starting a pipeline that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// None of the paths that it changed count.
    Paths,
    /// The commit's message asks for no run.
    Message,
}

/// Why an event starts nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// In one sentence.
    pub reason: String,
    /// Nothing else is in the way.
    pub left_out: Option<LeftOut>,
}

impl Refusal {
    /// Of an event that the pipeline asks for.
    pub(crate) fn left_out(by: LeftOut, reason: String) -> Self {
        Self { reason, left_out: Some(by) }
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { reason, left_out: None }
    }
}
