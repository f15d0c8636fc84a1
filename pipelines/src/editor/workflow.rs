//! The keys of GitHub Actions workflows as a JSON Schema: what an editor offers and explains. It describes, it does
//! not judge; the compiler does.

use serde_json::{Map, Value, json};

/// Every event that may start a workflow, and what it is about.
const EVENTS: &[(&str, &str)] = &[
    ("branch_protection_rule", "A branch protection rule was changed."),
    ("check_run", "A check run was made or ended."),
    ("check_suite", "A check suite ended."),
    ("create", "A branch or tag was made."),
    ("delete", "A branch or tag was deleted."),
    ("deployment", "A deployment was made."),
    ("deployment_status", "A deployment's status changed."),
    ("discussion", "A discussion was changed."),
    ("discussion_comment", "A discussion was commented on."),
    ("fork", "The repository was forked."),
    ("gollum", "A page of the wiki was changed."),
    ("issue_comment", "An issue or pull request was commented on."),
    ("issues", "An issue was changed."),
    ("label", "A label was changed."),
    ("merge_group", "A pull request is in the merge queue."),
    ("milestone", "A milestone was changed."),
    ("page_build", "A page of the repository was published."),
    ("public", "The repository was made public."),
    (
        "pull_request",
        "A pull request was opened or changed; runs on the merge of it, without secrets for forks.",
    ),
    ("pull_request_review", "A pull request was reviewed."),
    ("pull_request_review_comment", "A line of a pull request was commented on."),
    (
        "pull_request_target",
        "As pull_request, but on the base branch and with secrets: never run the request's code.",
    ),
    ("push", "Commits or tags arrived."),
    ("registry_package", "A package was published."),
    ("release", "A release was changed."),
    ("repository_dispatch", "A program asked for it."),
    ("schedule", "A time came."),
    ("status", "A commit's status changed."),
    ("watch", "Somebody starred the repository."),
    ("workflow_call", "Another workflow uses this one."),
    ("workflow_dispatch", "A person asked for it."),
    ("workflow_run", "Another workflow began or ended."),
];

const PERMISSIONS: &[&str] = &[
    "actions",
    "attestations",
    "checks",
    "contents",
    "deployments",
    "discussions",
    "id-token",
    "issues",
    "models",
    "packages",
    "pages",
    "pull-requests",
    "security-events",
    "statuses",
];

pub(super) fn schema() -> Value {
    let mut root = object(&[
        ("name", text("The workflow's name; absent: the file's.")),
        ("run-name", text("The run's name; may hold expressions over `github` and `inputs`.")),
        ("on", triggers()),
        ("permissions", refer("Permissions")),
        ("env", env("Environment values of all steps.")),
        ("defaults", refer("Defaults")),
        ("concurrency", refer("Concurrency")),
        ("jobs", map_of("The jobs, by id.", refer("Job"))),
    ]);
    root["$defs"] = json!({
        "Job": job(),
        "Step": step(),
        "Defaults": defaults(),
        "Concurrency": concurrency(),
        "Permissions": permissions(),
        "Container": container(),
        "Strategy": strategy(),
    });
    root
}

fn triggers() -> Value {
    let words: Vec<Value> =
        EVENTS.iter().map(|(name, about)| json!({ "const": name, "description": about })).collect();
    let mut events = Map::new();
    for (name, about) in EVENTS {
        let mut settings = match *name {
            "push" => filters(true),
            "pull_request" | "pull_request_target" => with_types(filters(false)),
            "schedule" => json!({ "type": "array", "items": object(&[
                ("cron", text("Minute, hour, day of month, month, day of week; UTC.")),
            ])}),
            "workflow_dispatch" => object(&[("inputs", inputs(true))]),
            "workflow_call" => object(&[
                ("inputs", inputs(false)),
                (
                    "secrets",
                    map_of(
                        "Secrets that the caller may or must give.",
                        object(&[
                            ("description", text("What it is for.")),
                            ("required", flag("A call without it fails.")),
                        ]),
                    ),
                ),
                (
                    "outputs",
                    map_of(
                        "What the caller gets.",
                        object(&[
                            ("description", text("What it is.")),
                            ("value", text("An expression over `jobs`.")),
                        ]),
                    ),
                ),
            ]),
            "workflow_run" => with_types(object(&[
                ("workflows", texts("Names of the workflows.")),
                ("branches", texts("Patterns of the branches that they ran on.")),
                ("branches-ignore", texts("Patterns of branches that do not count.")),
            ])),
            "repository_dispatch" => object(&[("types", texts("The names that the program may give."))]),
            _ => with_types(object(&[])),
        };
        settings["description"] = (*about).into();
        events.insert((*name).to_owned(), settings);
    }
    json!({
        "description": "What starts the workflow: one event, a list, or events with their filters.",
        "anyOf": [
            { "oneOf": words },
            { "type": "array", "items": { "oneOf": words } },
            { "type": "object", "properties": events },
        ],
    })
}

fn filters(tags: bool) -> Value {
    let mut filters = object(&[
        ("branches", texts("Patterns of branches; one must match. `*` within a part, `**` across.")),
        ("branches-ignore", texts("Patterns of branches that do not count. Not beside `branches`.")),
        ("paths", texts("Patterns of changed paths; one must match.")),
        ("paths-ignore", texts("Patterns of changed paths that do not count. Not beside `paths`.")),
    ]);
    if tags {
        filters["properties"]["tags"] = texts("Patterns of tags; one must match.");
        filters["properties"]["tags-ignore"] =
            texts("Patterns of tags that do not count. Not beside `tags`.");
    }
    filters
}

fn with_types(mut settings: Value) -> Value {
    settings["properties"]["types"] = texts("What must have happened: `opened`, `labeled`, …");
    settings
}

fn inputs(by_hand: bool) -> Value {
    let mut kinds = vec!["string", "boolean", "number"];
    let mut keys = vec![
        ("description", text("What it is for.")),
        ("required", flag("It must be given.")),
        ("default", text("The value when none is given.")),
    ];
    if by_hand {
        kinds.extend(["choice", "environment"]);
        keys.push(("options", texts("The values of a choice.")));
    }
    keys.push(("type", words("What values it takes.", &kinds)));
    map_of("What is asked, by name; expressions read it as `inputs.<name>`.", object(&keys))
}

fn job() -> Value {
    object(&[
        ("name", text("What pages show; absent: the id.")),
        ("needs", texts("The jobs that must have succeeded before, by id.")),
        ("if", text("An expression; the job is skipped when it is false.")),
        ("runs-on", runs_on()),
        ("permissions", refer("Permissions")),
        (
            "environment",
            json!({
                "description": "The environment that the job is about: its rules hold and its secrets are there.",
                "anyOf": [{ "type": "string" }, object(&[
                    ("name", text("The environment's name.")),
                    ("url", text("Where it can be seen; may read outputs of steps.")),
                ])],
            }),
        ),
        ("concurrency", refer("Concurrency")),
        ("outputs", env("What later jobs read as `needs.<job>.outputs.<name>`.")),
        ("env", env("Environment values of the job's steps.")),
        ("defaults", refer("Defaults")),
        (
            "steps",
            json!({
                "description": "The steps, in order.", "type": "array", "items": refer("Step"),
            }),
        ),
        ("timeout-minutes", number("Minutes that the job may take; absent: 360.")),
        ("strategy", refer("Strategy")),
        ("continue-on-error", flag("A failure of the job does not fail the run.")),
        ("container", refer("Container")),
        ("services", map_of("Containers beside the job, by host name.", refer("Container"))),
        ("uses", text("A reusable workflow: `./.github/workflows/file.yml` or `owner/repo/path@ref`.")),
        ("with", env("Inputs of the reusable workflow.")),
        (
            "secrets",
            json!({
                "description": "Secrets of the reusable workflow: `inherit` for all, or by name.",
                "anyOf": [
                    { "const": "inherit", "description": "All that the caller has." },
                    { "type": "object", "additionalProperties": { "type": "string" } },
                ],
            }),
        ),
    ])
}

fn runs_on() -> Value {
    let labels = json!({ "enum": [
        "ubuntu-latest", "ubuntu-24.04", "ubuntu-22.04", "self-hosted", "linux", "x64", "arm64",
    ]});
    json!({
        "description": "The kind of machine: labels, which the server maps to an image and to runners.",
        "anyOf": [
            { "type": "string" }, labels, { "type": "array", "items": labels },
            object(&[("group", text("A group of runners.")), ("labels", texts("Labels that the runner carries."))]),
        ],
    })
}

fn step() -> Value {
    object(&[
        ("id", text("A name by which others read its outputs: `steps.<id>.outputs.<name>`.")),
        ("name", text("What pages show.")),
        ("if", text("An expression; the step is skipped when it is false. Absent: all before it succeeded.")),
        ("uses", text("An action: `owner/repo@ref`, `./path`, or `docker://image`.")),
        ("with", env("The action's inputs.")),
        (
            "run",
            text("A script. Event data pasted into it by `${{ }}` may be anything: pass it through `env`."),
        ),
        (
            "shell",
            words(
                "The shell of the script, or a command with `{0}`.",
                &["bash", "sh", "pwsh", "python", "cmd", "powershell"],
            ),
        ),
        ("working-directory", text("A folder of the workspace.")),
        ("env", env("Environment values of the step.")),
        ("continue-on-error", flag("A failure of the step does not fail the job.")),
        ("timeout-minutes", number("Minutes that the step may take.")),
    ])
}

fn defaults() -> Value {
    described(
        "What steps have that do not say otherwise.",
        object(&[(
            "run",
            described(
                "For scripts.",
                object(&[
                    ("shell", words("The shell of scripts.", &["bash", "sh", "pwsh", "python"])),
                    ("working-directory", text("A folder of the workspace.")),
                ]),
            ),
        )]),
    )
}

fn concurrency() -> Value {
    json!({
        "description": "Of the runs (or jobs) of one group at most one is active.",
        "anyOf": [{ "type": "string" }, object(&[
            ("group", text("The group's name; may hold expressions.")),
            ("cancel-in-progress", flag("A newer one stops the older.")),
        ])],
    })
}

fn permissions() -> Value {
    let keys: Vec<(&str, Value)> = PERMISSIONS
        .iter()
        .map(|name| {
            let about = format!("What the job's token may do with {}.", name.replace('-', " "));
            (*name, words(&about, &["read", "write", "none"]))
        })
        .collect();
    json!({
        "description": "What the job's token may do; what is not named it may not.",
        "anyOf": [{ "enum": ["read-all", "write-all"] }, object(&keys)],
    })
}

fn container() -> Value {
    json!({
        "description": "A container: an image, or an image with its settings.",
        "anyOf": [{ "type": "string" }, object(&[
            ("image", text("The image.")),
            ("credentials", described("For the image's registry.", object(&[
                ("username", text("The user.")), ("password", text("Usually a secret.")),
            ]))),
            ("env", env("Its environment values.")),
            ("ports", texts("Ports to be reached: `80` or `8080:80`.")),
            ("volumes", texts("Folders of the machine; not here: sandboxes get nothing of their host.")),
            ("options", text("Options of the container, such as health checks.")),
        ])],
    })
}

fn strategy() -> Value {
    let list = json!({ "type": "array", "items": { "type": "object" } });
    described(
        "Makes a job of every combination of values.",
        object(&[
            (
                "matrix",
                json!({
                    "description": "Lists of values by name; expressions read them as `matrix.<name>`.",
                    "type": "object",
                    "properties": {
                        "include": described("Combinations to add, or values to add to combinations.", list.clone()),
                        "exclude": described("Combinations to leave out.", list),
                    },
                    "additionalProperties": { "type": "array" },
                }),
            ),
            ("fail-fast", flag("The failure of one stops the others; absent: true.")),
            ("max-parallel", number("How many run at once; absent: all.")),
        ]),
    )
}

fn object(keys: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties })
}

fn described(about: &str, mut schema: Value) -> Value {
    schema["description"] = about.into();
    schema
}

fn refer(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn text(about: &str) -> Value {
    json!({ "description": about, "type": "string" })
}

fn number(about: &str) -> Value {
    json!({ "description": about, "type": "number" })
}

fn flag(about: &str) -> Value {
    json!({ "description": about, "type": "boolean" })
}

fn words(about: &str, words: &[&str]) -> Value {
    json!({ "description": about, "type": "string", "enum": words })
}

fn texts(about: &str) -> Value {
    json!({
        "description": about,
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
    })
}

fn env(about: &str) -> Value {
    json!({ "description": about, "type": "object", "additionalProperties": { "type": "string" } })
}

fn map_of(about: &str, schema: Value) -> Value {
    json!({ "description": about, "type": "object", "additionalProperties": schema })
}
