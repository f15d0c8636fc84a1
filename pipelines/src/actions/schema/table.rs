//! The table itself, from the root of a workflow file down. `on` is read by [`super::read`] along the table of
//! events, because each event has its own filters; the pieces of it that have a form of their own are here.

use super::{
    Def, Key, MapDef, Reach as R,
    Shape::{self, Any, Bool, Filled, List, Map, Null, Number, Text, Words},
    condition, def, key, must, plain,
};

/// `github`, `inputs`, `vars`, `needs`, `strategy`, `matrix`.
const JOB: R = R::EVENT.and(R::NEEDS).and(R::MATRIX);
/// What the steps of a job may read.
const STEPS: R = JOB.and(R::SECRETS).and(R::RUNNER).and(R::HASH_FILES);

static TEXT: Def = plain("text", &[Text]);
static FILLED: Def = plain("text", &[Filled]);
static TEXTS: Def = plain("a list of text", &[List(&TEXT)]);
static FILLED_LIST: Def = plain("a list of text", &[List(&FILLED)]);
pub(super) static ONE_OR_MORE: Def = plain("text or a list of text", &[Filled, List(&FILLED)]);
static BOOL: Def = plain("`true` or `false`", &[Bool]);
static NUMBER: Def = plain("a number", &[Number]);
static ANY: Def = plain("a value", &[Any]);
pub(super) static ANYTHING: &Def = &ANY;

/// The whole file.
pub(super) static ROOT: Def = plain(
    "a workflow",
    &[Map(&MapDef {
        keys: &[
            must("on", &ON),
            key("name", &TEXT),
            key("description", &TEXT),
            key("run-name", &RUN_NAME),
            key("defaults", &DEFAULTS),
            key("env", &ENV),
            key("permissions", &PERMISSIONS),
            key("concurrency", &CONCURRENCY),
            must("jobs", &JOBS),
        ],
        others: None,
    })],
);

/// Read by its own rules.
pub(super) static ON: Def = plain("an event, a list of events or a mapping of events", &[Any]);

static RUN_NAME: Def = def("text", R::EVENT, &[Text]);
static ENV: Def = def("a mapping of variables", R::EVENT.and(R::SECRETS), VARIABLES);
const VARIABLES: &[Shape] = &[Map(&MapDef { keys: &[], others: Some(&TEXT) })];

static DEFAULTS: Def =
    plain("a mapping", &[Map(&MapDef { keys: &[key("run", &DEFAULTS_RUN)], others: None })]);
static DEFAULTS_RUN: Def = plain("a mapping", RUN_SHAPE);
const RUN_SHAPE: &[Shape] =
    &[Map(&MapDef { keys: &[key("shell", &FILLED), key("working-directory", &FILLED)], others: None })];

static CONCURRENCY: Def = def("a group's name, or a mapping", R::EVENT, &[Text, Map(&CONCURRENCY_MAP)]);
static CONCURRENCY_MAP: MapDef = MapDef {
    keys: &[must("group", &FILLED), key("cancel-in-progress", &BOOL), key("queue", &QUEUE)],
    others: None,
};
static QUEUE: Def = plain("`single` or `max`", &[Words(&["single", "max"])]);

static PERMISSIONS: Def = plain(
    "`read-all`, `write-all` or a mapping",
    &[Words(&["read-all", "write-all"]), Map(&MapDef { keys: SCOPES, others: None })],
);
/// The scopes of a token.
pub(super) const SCOPES: &[Key] = &[
    key("actions", &LEVEL),
    key("artifact-metadata", &LEVEL),
    key("attestations", &LEVEL),
    key("checks", &LEVEL),
    key("code-quality", &LEVEL),
    key("contents", &LEVEL),
    key("copilot-requests", &LEVEL_WRITE),
    key("deployments", &LEVEL),
    key("discussions", &LEVEL),
    key("drives", &LEVEL),
    key("id-token", &LEVEL_WRITE),
    key("issues", &LEVEL),
    key("models", &LEVEL_READ),
    key("packages", &LEVEL),
    key("pages", &LEVEL),
    key("pull-requests", &LEVEL),
    key("repository-projects", &LEVEL),
    key("security-events", &LEVEL),
    key("statuses", &LEVEL),
    key("vulnerability-alerts", &LEVEL_READ),
];
static LEVEL: Def = plain("`read`, `write` or `none`", &[Words(&["read", "write", "none"])]);
static LEVEL_WRITE: Def = plain("`write` or `none`", &[Words(&["write", "none"])]);
static LEVEL_READ: Def = plain("`read` or `none`", &[Words(&["read", "none"])]);

static JOBS: Def = plain("a mapping of jobs", &[Map(&MapDef { keys: &[], others: Some(&A_JOB) })]);
static A_JOB: Def = plain("a job", &[Map(&JOB_WITH_STEPS), Map(&JOB_THAT_CALLS)]);

static JOB_WITH_STEPS: MapDef = MapDef {
    keys: &[
        key("needs", &ONE_OR_MORE),
        key("if", &JOB_IF),
        key("strategy", &STRATEGY),
        key("name", &JOB_TEXT),
        must("runs-on", &RUNS_ON),
        key("timeout-minutes", &JOB_NUMBER),
        key("cancel-timeout-minutes", &JOB_NUMBER),
        key("continue-on-error", &JOB_BOOL),
        key("container", &CONTAINER),
        key("services", &SERVICES),
        key("env", &JOB_ENV),
        key("environment", &ENVIRONMENT),
        key("permissions", &PERMISSIONS),
        key("concurrency", &JOB_CONCURRENCY),
        key("outputs", &OUTPUTS),
        key("defaults", &JOB_DEFAULTS),
        key("steps", &STEP_LIST),
        key("snapshot", &SNAPSHOT),
    ],
    others: None,
};

static JOB_THAT_CALLS: MapDef = MapDef {
    keys: &[
        key("name", &JOB_TEXT),
        must("uses", &FILLED),
        key("with", &CALL_WITH),
        key("secrets", &CALL_SECRETS),
        key("needs", &ONE_OR_MORE),
        key("if", &JOB_IF),
        key("permissions", &PERMISSIONS),
        key("concurrency", &JOB_CONCURRENCY),
        key("strategy", &STRATEGY),
    ],
    others: None,
};

static JOB_IF: Def = condition(R::EVENT.and(R::NEEDS).and(R::JOB_STATUS));
static JOB_TEXT: Def = def("text", JOB, &[Text]);
static JOB_NUMBER: Def = def("a number", JOB, &[Number]);
static JOB_BOOL: Def = def("`true` or `false`", JOB, &[Bool]);
static JOB_ENV: Def = def("a mapping of variables", JOB.and(R::SECRETS), VARIABLES);
static JOB_CONCURRENCY: Def = def("a group's name, or a mapping", JOB, &[Filled, Map(&CONCURRENCY_MAP)]);
static JOB_DEFAULTS: Def =
    plain("a mapping", &[Map(&MapDef { keys: &[key("run", &JOB_DEFAULTS_RUN)], others: None })]);
static JOB_DEFAULTS_RUN: Def = def("a mapping", JOB.and(R::ENV), RUN_SHAPE);
static OUTPUTS: Def =
    plain("a mapping of outputs", &[Map(&MapDef { keys: &[], others: Some(&RUNNER_TEXT) })]);
static RUNNER_TEXT: Def = def("text", JOB.and(R::SECRETS).and(R::RUNNER), &[Text]);

static CALL_WITH: Def =
    plain("a mapping of inputs", &[Map(&MapDef { keys: &[], others: Some(&CALL_INPUT) })]);
static CALL_INPUT: Def = def("a plain value", JOB, &[Text, Bool, Number]);
static CALL_SECRETS: Def = plain(
    "`inherit`, or a mapping of secrets",
    &[Map(&MapDef { keys: &[], others: Some(&CALL_SECRET) }), Words(&["inherit"])],
);
static CALL_SECRET: Def = def("a plain value", JOB.and(R::SECRETS), &[Text, Bool, Number]);

static STRATEGY: Def = def(
    "a mapping",
    R::EVENT.and(R::NEEDS),
    &[Map(&MapDef {
        keys: &[key("fail-fast", &BOOL), key("max-parallel", &NUMBER), key("matrix", &MATRIX)],
        others: None,
    })],
);
static MATRIX: Def = plain(
    "a mapping of lists",
    &[Map(&MapDef {
        keys: &[key("include", &MATRIX_FILTER), key("exclude", &MATRIX_FILTER)],
        others: Some(&MATRIX_LIST),
    })],
);
static MATRIX_LIST: Def = plain("a list", &[List(&ANY)]);
static MATRIX_FILTER: Def = plain("a list of mappings", &[List(&MATRIX_FILTER_ITEM)]);
static MATRIX_FILTER_ITEM: Def = plain("a mapping", &[Map(&MapDef { keys: &[], others: Some(&ANY) })]);

static RUNS_ON: Def = def(
    "a label, a list of labels or a mapping",
    JOB,
    &[
        Filled,
        List(&FILLED),
        Map(&MapDef { keys: &[key("group", &FILLED), key("labels", &ONE_OR_MORE)], others: None }),
    ],
);

static SNAPSHOT: Def = plain(
    "an image's name, or a mapping",
    &[
        Filled,
        Map(&MapDef {
            keys: &[must("image-name", &FILLED), key("if", &SNAPSHOT_IF), key("version", &FILLED)],
            others: None,
        }),
    ],
);
static SNAPSHOT_IF: Def = condition(JOB);

static ENVIRONMENT: Def = def(
    "an environment's name, or a mapping",
    JOB,
    &[
        Text,
        Map(&MapDef {
            keys: &[must("name", &JOB_TEXT), key("url", &ENVIRONMENT_URL), key("deployment", &BOOL)],
            others: None,
        }),
    ],
);
static ENVIRONMENT_URL: Def = def("text", JOB.and(R::RUNNER), &[Text]);

static CONTAINER: Def = def("an image, or a mapping", JOB, &[Text, Map(&CONTAINER_MAP)]);
static CONTAINER_MAP: MapDef = MapDef {
    keys: &[
        key("image", &FILLED),
        key("options", &TEXT),
        key("env", &CONTAINER_ENV),
        key("ports", &FILLED_LIST),
        key("volumes", &FILLED_LIST),
        key("credentials", &CREDENTIALS),
    ],
    others: None,
};
static SERVICES: Def =
    def("a mapping of services", JOB, &[Map(&MapDef { keys: &[], others: Some(&SERVICE) })]);
static SERVICE: Def = def("an image, or a mapping", JOB, &[Filled, Map(&SERVICE_MAP)]);
static SERVICE_MAP: MapDef = MapDef {
    keys: &[
        key("image", &FILLED),
        key("options", &TEXT),
        key("env", &CONTAINER_ENV),
        key("ports", &FILLED_LIST),
        key("volumes", &FILLED_LIST),
        key("credentials", &CREDENTIALS),
        key("entrypoint", &TEXT),
        key("command", &TEXT),
    ],
    others: None,
};
static CONTAINER_ENV: Def =
    plain("a mapping of variables", &[Map(&MapDef { keys: &[], others: Some(&RUNNER_TEXT) })]);
static CREDENTIALS: Def = def(
    "a mapping",
    R::EVENT.and(R::SECRETS).and(R::ENV),
    &[Map(&MapDef { keys: &[key("username", &FILLED), key("password", &FILLED)], others: None })],
);

static STEP_LIST: Def = plain("a list of steps", &[List(&STEP)]);
static STEP: Def = plain(
    "a step",
    &[
        Map(&RUN_STEP),
        Map(&USES_STEP),
        Map(&WAIT_STEP),
        Map(&WAIT_ALL_STEP),
        Map(&CANCEL_STEP),
        Map(&MapDef { keys: &[must("parallel", &STEP_LIST)], others: None }),
    ],
);
static RUN_STEP: MapDef = MapDef {
    keys: &[
        key("name", &STEP_TEXT),
        key("id", &FILLED),
        key("if", &STEP_IF),
        key("timeout-minutes", &STEP_NUMBER),
        must("run", &STEP_TEXT),
        key("continue-on-error", &STEP_BOOL),
        key("env", &STEP_VARIABLES),
        key("working-directory", &STEP_TEXT),
        key("shell", &FILLED),
        key("background", &BOOL),
    ],
    others: None,
};
static USES_STEP: MapDef = MapDef {
    keys: &[
        key("name", &STEP_TEXT),
        key("id", &FILLED),
        key("if", &STEP_IF),
        key("continue-on-error", &STEP_BOOL),
        key("timeout-minutes", &STEP_NUMBER),
        must("uses", &FILLED),
        key("with", &STEP_VARIABLES),
        key("env", &STEP_VARIABLES),
        key("background", &BOOL),
    ],
    others: None,
};
static WAIT_STEP: MapDef = MapDef {
    keys: &[
        key("name", &STEP_TEXT),
        key("id", &FILLED),
        key("continue-on-error", &STEP_BOOL),
        must("wait", &ONE_OR_MORE),
    ],
    others: None,
};
static WAIT_ALL_STEP: MapDef = MapDef {
    keys: &[
        key("name", &STEP_TEXT),
        key("id", &FILLED),
        key("continue-on-error", &STEP_BOOL),
        must("wait-all", &NULL_OR_BOOL),
    ],
    others: None,
};
static CANCEL_STEP: MapDef = MapDef {
    keys: &[
        key("name", &STEP_TEXT),
        key("id", &FILLED),
        key("continue-on-error", &STEP_BOOL),
        must("cancel", &FILLED),
    ],
    others: None,
};
static NULL_OR_BOOL: Def = plain("nothing, `true` or `false`", &[Null, Bool]);
static STEP_TEXT: Def = def("text", STEPS, &[Text]);
static STEP_NUMBER: Def = def("a number", STEPS, &[Number]);
static STEP_BOOL: Def = def("`true` or `false`", STEPS, &[Bool]);
static STEP_VARIABLES: Def = def("a mapping of text", STEPS, VARIABLES);
static STEP_IF: Def = condition(JOB.and(R::RUNNER).and(R::HASH_FILES).and(R::STEP_STATUS));

/// `on.schedule`.
pub(super) static SCHEDULE: Def = plain(
    "a list of times",
    &[List(&plain(
        "a mapping with `cron`",
        &[Map(&MapDef { keys: &[must("cron", &FILLED), key("timezone", &FILLED)], others: None })],
    ))],
);

/// `on.workflow_dispatch`. Unknown keys directly below it are let through, with a warning.
pub(super) static DISPATCH: Def =
    plain("a mapping", &[Null, Map(&MapDef { keys: &[key("inputs", &DISPATCH_INPUTS)], others: None })]);
static DISPATCH_INPUTS: Def =
    plain("a mapping of inputs", &[Null, Map(&MapDef { keys: &[], others: Some(&DISPATCH_INPUT) })]);
static DISPATCH_INPUT: Def = plain(
    "a mapping",
    &[
        Null,
        Map(&MapDef {
            keys: &[
                key("description", &TEXT),
                key("type", &DISPATCH_TYPE),
                key("required", &BOOL),
                key("default", &PLAIN_VALUE),
                key("options", &TEXTS),
            ],
            others: None,
        }),
    ],
);
static DISPATCH_TYPE: Def = plain(
    "`string`, `boolean`, `number`, `environment` or `choice`",
    &[Words(&["string", "boolean", "number", "environment", "choice"])],
);
static PLAIN_VALUE: Def = plain("a plain value", &[Text, Bool, Number]);

/// `on.workflow_call`.
pub(super) static CALL: Def = plain(
    "a mapping",
    &[
        Null,
        Map(&MapDef {
            keys: &[
                key("inputs", &CALL_INPUTS),
                key("secrets", &CALLED_SECRETS),
                key("outputs", &CALL_OUTPUTS),
            ],
            others: None,
        }),
    ],
);
static CALL_INPUTS: Def =
    plain("a mapping of inputs", &[Map(&MapDef { keys: &[], others: Some(&CALLED_INPUT) })]);
static CALLED_INPUT: Def = plain(
    "a mapping with `type`",
    &[Map(&MapDef {
        keys: &[
            key("description", &TEXT),
            must("type", &CALLED_TYPE),
            key("required", &BOOL),
            key("default", &CALLED_DEFAULT),
        ],
        others: None,
    })],
);
static CALLED_TYPE: Def =
    plain("`string`, `boolean` or `number`", &[Words(&["string", "boolean", "number"])]);
static CALLED_DEFAULT: Def = def("a plain value", R::EVENT, &[Text, Bool, Number]);
static CALLED_SECRETS: Def =
    plain("a mapping of secrets", &[Map(&MapDef { keys: &[], others: Some(&CALLED_SECRET) })]);
static CALLED_SECRET: Def = plain(
    "a mapping",
    &[Null, Map(&MapDef { keys: &[key("description", &TEXT), key("required", &BOOL)], others: None })],
);
static CALL_OUTPUTS: Def =
    plain("a mapping of outputs", &[Map(&MapDef { keys: &[], others: Some(&CALL_OUTPUT) })]);
static CALL_OUTPUT: Def = plain(
    "a mapping with `value`",
    &[Map(&MapDef { keys: &[key("description", &TEXT), must("value", &CALL_OUTPUT_VALUE)], others: None })],
);
static CALL_OUTPUT_VALUE: Def = def("text", R::EVENT.and(R::JOBS), &[Text]);
