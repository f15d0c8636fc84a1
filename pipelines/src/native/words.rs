//! What names look like, and what keys of other CI systems are called here.

/// A name as stages, inputs, services and artifacts have.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// A name that a shell can use as a variable.
pub(crate) fn is_variable(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What the names in a mapping of values are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Naming {
    /// Of environment values and build arguments.
    Variables,
    /// Of outputs.
    Names,
    /// Of image labels and HTTP headers.
    Labels,
}

/// A name as image labels and HTTP headers have.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

/// What a key of another CI system is called here, or why it does not exist.
pub(crate) fn foreign_key(key: &str) -> Option<&'static str> {
    Some(match key {
        "jobs" => "what other systems call jobs are stages here: `stages`",
        "steps" | "script" | "commands" => "the commands of a stage stand under `run`",
        "depends_on" | "dependencies" => "the stages that come before stand under `needs`",
        "when" | "rules" | "only" => {
            "an expression stands under `if`; what starts the pipeline stands under `on`"
        }
        "runs-on" | "tags" => "labels of runners stand under `runs_on`",
        "container" => "the image that commands run in stands under `image`",
        "triggers" | "trigger" => "what starts a pipeline stands under `on`",
        "variables" | "environment_variables" => "environment values stand under `env`",
        "privileged" | "volumes" | "devices" | "cap_add" | "security_opt" | "network_mode" => {
            "sandboxes get nothing of their host; images are built by a `build` stage, files are kept by `cache`"
        }
        _ => return None,
    })
}
