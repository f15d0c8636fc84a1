//! Tidegate's states in GitHub's words, and the sentences beside them. Pure, and the only place of that mapping.

use tidegate_pipelines::Diagnostic;
use tidegate_protocol::status::{DeploymentStatus, RunStatus};

use super::messages::{DeploymentMessage, RunMessage, SkippedMessage};

/// GitHub keeps no longer description of a commit status or a deployment status.
pub const DESCRIPTION: usize = 140;

/// A run's state as that of a commit status.
pub fn commit_state(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Pending | RunStatus::Running | RunStatus::Waiting => "pending",
        RunStatus::Succeeded | RunStatus::Warned => "success",
        RunStatus::Failed => "failure",
        RunStatus::Cancelled | RunStatus::Invalid => "error",
    }
}

/// A run's state as that of a check run: its status, and its conclusion once it ended.
pub fn check_state(status: RunStatus) -> (&'static str, Option<&'static str>) {
    match status {
        RunStatus::Pending => ("queued", None),
        RunStatus::Running | RunStatus::Waiting => ("in_progress", None),
        RunStatus::Succeeded => ("completed", Some("success")),
        // Passes where the check is required, and shows that something is to be looked at.
        RunStatus::Warned => ("completed", Some("neutral")),
        RunStatus::Failed | RunStatus::Invalid => ("completed", Some("failure")),
        RunStatus::Cancelled => ("completed", Some("cancelled")),
    }
}

/// A deployment's state as that of a deployment status.
pub fn deployment_state(status: DeploymentStatus) -> &'static str {
    match status {
        DeploymentStatus::Deploying | DeploymentStatus::Verifying => "in_progress",
        DeploymentStatus::Succeeded => "success",
        DeploymentStatus::Failed => "failure",
        DeploymentStatus::RolledBack => "inactive",
        DeploymentStatus::Unknown => "error",
    }
}

/// What a run's mark says in one line.
pub fn run_line(run: &RunMessage) -> String {
    if run.status == RunStatus::Invalid
        && let Some(line) = mistakes(&run.diagnostics)
    {
        return line;
    }
    let plain = match run.status {
        RunStatus::Pending => "waits for its turn",
        RunStatus::Running => "running",
        RunStatus::Waiting => "waits for a decision at a gate",
        RunStatus::Succeeded => "succeeded",
        RunStatus::Warned => "succeeded, but a stage that may fail did",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Invalid => "the pipeline file has mistakes",
    };
    run.reason.as_deref().filter(|reason| !reason.trim().is_empty()).unwrap_or(plain).to_owned()
}

/// What a deployment's mark says in one line.
pub fn deployment_line(deployment: &DeploymentMessage) -> String {
    let plain = match deployment.status {
        DeploymentStatus::Deploying => "deploying",
        DeploymentStatus::Verifying => "deployed; its smoke test runs",
        DeploymentStatus::Succeeded => "deployed",
        DeploymentStatus::Failed => "failed",
        DeploymentStatus::RolledBack => "failed and was rolled back",
        DeploymentStatus::Unknown => "its runner was lost; nobody knows how far it came",
    };
    deployment.reason.as_deref().filter(|reason| !reason.trim().is_empty()).unwrap_or(plain).to_owned()
}

/// What the mark of a pipeline says that was not started.
pub fn skipped_line(skipped: &SkippedMessage) -> String {
    format!("skipped: {}", skipped.reason)
}

/// `3 mistakes in .tidegate/pipeline.yml: line 4: …`; None where there is no mistake.
fn mistakes(diagnostics: &[Diagnostic]) -> Option<String> {
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    let first = errors.next()?;
    let count = 1 + errors.count();
    let noun = if count == 1 { "mistake" } else { "mistakes" };
    Some(format!("{count} {noun} in {}: line {}: {}", first.file, first.span.line, first.message))
}

/// One line of at most so many characters; what is cut off leaves an ellipsis.
pub fn cut(text: &str, characters: usize) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    if line.chars().count() <= characters {
        return line;
    }
    let kept: String = line.chars().take(characters.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The beginning of a text, in at most so many bytes, cut between characters. Lines stay.
pub fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use tidegate_pipelines::{Severity, Span};
    use tidegate_protocol::ids::RunId;

    use super::*;

    fn diagnostic(severity: Severity, line: usize, message: &str) -> Diagnostic {
        Diagnostic {
            code: "E001".to_owned(),
            severity,
            message: message.to_owned(),
            file: ".tidegate/pipeline.yml".to_owned(),
            span: Span { line, column: 1, end_line: line, end_column: 2, ..Span::default() },
            help: None,
            related: Vec::new(),
        }
    }

    fn run(status: RunStatus, diagnostics: Vec<Diagnostic>) -> RunMessage {
        RunMessage {
            run: RunId::new(),
            number: 1,
            pipeline: "delivery".to_owned(),
            sha: "a".repeat(40),
            status,
            reason: None,
            diagnostics,
            remarks: Vec::new(),
        }
    }

    #[test]
    fn mistakes_are_counted_and_the_first_is_shown() {
        let three = vec![
            diagnostic(Severity::Warning, 1, "odd"),
            diagnostic(Severity::Error, 4, "unknown key `imgae`"),
            diagnostic(Severity::Error, 9, "no such stage"),
        ];
        assert_eq!(
            run_line(&run(RunStatus::Invalid, three)),
            "2 mistakes in .tidegate/pipeline.yml: line 4: unknown key `imgae`"
        );
        let one = vec![diagnostic(Severity::Error, 2, "empty")];
        assert_eq!(
            run_line(&run(RunStatus::Invalid, one)),
            "1 mistake in .tidegate/pipeline.yml: line 2: empty"
        );
        assert_eq!(run_line(&run(RunStatus::Invalid, Vec::new())), "the pipeline file has mistakes");
    }

    #[test]
    fn a_reason_wins_over_the_plain_word() {
        let mut message = run(RunStatus::Failed, Vec::new());
        assert_eq!(run_line(&message), "failed");
        message.reason = Some("stage test failed with exit code 1".to_owned());
        assert_eq!(run_line(&message), "stage test failed with exit code 1");
    }

    #[test]
    fn lines_are_cut_between_characters() {
        assert_eq!(cut("two\n  lines\u{7}!", 140), "two lines !");
        assert_eq!(cut(&"ü".repeat(140), 140), "ü".repeat(140));
        let long = cut(&"ü".repeat(141), 140);
        assert_eq!(long.chars().count(), 140);
        assert!(long.ends_with("ü…"), "{long}");
        assert_eq!(head("aüb", 2), "a");
        assert_eq!(head("aüb", 3), "aü");
    }

    #[test]
    fn a_check_run_has_a_conclusion_exactly_when_the_run_ended() {
        for &status in RunStatus::ALL {
            let (state, conclusion) = check_state(status);
            assert_eq!(status.is_final(), conclusion.is_some(), "{status:?}");
            assert_eq!(status.is_final(), state == "completed", "{status:?}");
            assert_eq!(status.is_final(), commit_state(status) != "pending", "{status:?}");
        }
    }
}
