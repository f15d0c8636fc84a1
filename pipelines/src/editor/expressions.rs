//! What expressions may name, for completion and hover: contexts, their properties, functions.

use crate::Language;

/// A name and what it means.
pub(super) type Known = (&'static str, &'static str);

/// A context and its properties, where they are always the same.
pub(super) struct Context {
    pub name: &'static str,
    pub about: &'static str,
    pub properties: &'static [Known],
}

/// The contexts of a language.
pub(super) fn contexts(language: Language) -> &'static [Context] {
    match language {
        Language::Native => NATIVE,
        Language::Actions => WORKFLOW,
    }
}

/// The functions of a language, as they are called.
pub(super) fn functions(language: Language) -> impl Iterator<Item = &'static Known> {
    let own: &[Known] = match language {
        Language::Native => NATIVE_FUNCTIONS,
        Language::Actions => WORKFLOW_FUNCTIONS,
    };
    FUNCTIONS.iter().chain(own)
}

/// A function's name, from how it is called.
pub(super) fn function_name(usage: &str) -> &str {
    usage.split('(').next().unwrap_or(usage)
}

const FUNCTIONS: &[Known] = &[
    ("contains(whole, part)", "Whether a list has an item, or a text another text."),
    ("startsWith(text, beginning)", "Whether a text begins so."),
    ("endsWith(text, end)", "Whether a text ends so."),
    ("format('{0} and {1}', a, b)", "Values put into a text; braces themselves are written twice."),
    ("join(list, separator)", "One text of many."),
    ("toJSON(value)", "A value as JSON."),
    ("fromJSON(text)", "The value that a JSON text stands for."),
    ("success()", "All before it succeeded. Implied where no such function is asked."),
    ("failure()", "Something before it failed."),
    ("always()", "True, even after a cancel."),
    ("cancelled()", "The run was cancelled."),
];
const NATIVE_FUNCTIONS: &[Known] =
    &[("matches(text, 'pattern')", "Whether a regular expression matches; in linear time.")];
const WORKFLOW_FUNCTIONS: &[Known] =
    &[("hashFiles('**/package-lock.json')", "A hash over the files of the workspace that match.")];

const NATIVE: &[Context] = &[
    Context {
        name: "git",
        about: "The commit that the run is about.",
        properties: &[
            ("sha", "The commit, forty hex digits."),
            ("short_sha", "The first twelve digits of the commit."),
            ("reference", "The full ref, for example `refs/heads/main`."),
            ("branch", "The branch of a push; null otherwise."),
            ("tag", "The tag; null where it is not one."),
            ("before", "The commit before the push; null where there is none."),
            ("message", "The commit's message."),
            ("author", "The commit's author, `Name <address>`."),
        ],
    },
    Context {
        name: "event",
        about: "What happened.",
        properties: &[
            ("kind", "`push`, `tag`, `pull_request`, `schedule`, `manual`, …"),
            ("repository", "`owner/name`."),
            ("default_branch", "The repository's default branch."),
            ("action", "What happened to a pull request or release: `opened`, `published`, …"),
            ("actor", "Who caused it."),
            ("trusted", "False for an event from a fork."),
            ("changed_paths", "The changed paths, where the forge says; else null."),
            ("pull_request", "`number`, `action`, `title`, `base_branch`, `head_branch`, `from_fork`."),
            ("release", "The release; null where it is not about one."),
            ("dispatch", "`type` and `payload` of what a program asked for."),
            ("upstream", "The pipeline whose end started this one."),
        ],
    },
    Context { name: "inputs", about: "The inputs of `on.manual`, or of a template.", properties: &[] },
    Context { name: "matrix", about: "This stage's values of the matrix.", properties: &[] },
    Context {
        name: "environment",
        about: "The environment, in deploy and smoke stages.",
        properties: &[("name", "Its name."), ("url", "Its URL, as set on the server.")],
    },
    Context {
        name: "stages",
        about: "Stages that come before: `stages.<name>.status`, `stages.<name>.outputs.<output>`.",
        properties: &[],
    },
    Context {
        name: "steps",
        about: "Steps before this one: `steps.<id>.outputs.<output>`, `steps.<id>.outcome`.",
        properties: &[],
    },
];

const WORKFLOW: &[Context] = &[
    Context {
        name: "github",
        about: "The event, the commit and the run.",
        properties: &[
            ("action", "The id of the step that runs now."),
            ("action_path", "The folder of the composite action."),
            ("actor", "Who caused the run."),
            ("base_ref", "Of a pull request: the branch that it is to be merged into."),
            ("event", "All that the forge said."),
            ("event_name", "The event's name."),
            ("event_path", "The file with the event, in the sandbox."),
            ("head_ref", "Of a pull request: the branch that it comes from. Others choose its name."),
            ("job", "The id of the job."),
            ("ref", "The full ref."),
            ("ref_name", "The branch or tag."),
            ("ref_protected", "Whether rules protect the branch."),
            ("ref_type", "`branch` or `tag`."),
            ("repository", "`owner/name`."),
            ("repository_owner", "The owner."),
            ("run_attempt", "Which try it is, from 1."),
            ("run_id", "A number for the run."),
            ("run_number", "The run's number in its workflow."),
            ("server_url", "The forge's URL."),
            ("sha", "The commit."),
            ("token", "The job's token."),
            ("triggering_actor", "Who started this try."),
            ("workflow", "The workflow's name."),
            ("workspace", "The folder with the checkout."),
        ],
    },
    Context { name: "env", about: "Environment values of workflow, job and step.", properties: &[] },
    Context { name: "vars", about: "Variables that are set on the server.", properties: &[] },
    Context {
        name: "job",
        about: "This job.",
        properties: &[
            ("container", "Its container: `id`, `network`."),
            ("services", "Its services, by name."),
            ("status", "`success`, `failure` or `cancelled`, so far."),
        ],
    },
    Context {
        name: "steps",
        about: "Steps before this one: `steps.<id>.outputs.<name>`, `.outcome`, `.conclusion`.",
        properties: &[],
    },
    Context {
        name: "runner",
        about: "The machine.",
        properties: &[
            ("arch", "`X64`, `ARM64`, …"),
            ("debug", "`1` when a run is to say more."),
            ("environment", "`self-hosted` or `github-hosted`."),
            ("name", "Its name."),
            ("os", "`Linux`."),
            ("temp", "A folder that is emptied before each job."),
            ("tool_cache", "Where tools are kept."),
        ],
    },
    Context { name: "secrets", about: "Secrets, by name. Never print them.", properties: &[] },
    Context {
        name: "strategy",
        about: "This job's place in its matrix.",
        properties: &[
            ("fail-fast", "Whether the failure of one stops the others."),
            ("job-index", "Its index, from 0."),
            ("job-total", "How many there are."),
            ("max-parallel", "How many run at once."),
        ],
    },
    Context { name: "matrix", about: "This job's values of the matrix.", properties: &[] },
    Context {
        name: "needs",
        about: "Jobs in `needs`: `needs.<job>.outputs.<name>`, `needs.<job>.result`.",
        properties: &[],
    },
    Context { name: "inputs", about: "The inputs of a call or of a run by hand.", properties: &[] },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SourceFile, check};

    /// What is offered is what the checks know.
    #[test]
    fn every_name_of_the_native_language_exists() {
        let mut uses: Vec<String> = functions(Language::Native)
            .map(|(usage, _)| match function_name(usage) {
                "contains" | "startsWith" | "endsWith" | "matches" => {
                    format!("{}(git.branch, 'a')", function_name(usage))
                }
                "format" => "format('{0}', git.sha) == 'a'".to_owned(),
                "join" => "join(event.changed_paths) == 'a'".to_owned(),
                "toJSON" => "toJSON(git) == 'a'".to_owned(),
                "fromJSON" => "fromJSON('true')".to_owned(),
                _ => (*usage).to_owned(),
            })
            .collect();
        for context in contexts(Language::Native).iter().filter(|one| one.name != "environment") {
            uses.extend(
                context.properties.iter().map(|(name, _)| format!("toJSON({}.{name}) == 'a'", context.name)),
            );
        }
        for condition in uses {
            let text = format!("on: push\nstages: {{a: {{image: \"a:1\", run: x, if: \"{condition}\"}}}}\n");
            let found = check(&SourceFile { path: "p.yml", text: &text });
            assert!(!found.iter().any(|one| one.code.starts_with("TG05")), "{condition}: {found:?}");
        }
    }
}
