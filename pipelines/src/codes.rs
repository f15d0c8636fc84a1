//! Every diagnostic of the language in one table: its code, its name, and what it is about.
//!
//! Codes are stable: people search for them and scripts match on them. A code is never given a new meaning; a
//! diagnostic that goes away leaves a gap. The hundreds say which part speaks: 01 YAML, 02 shapes and values,
//! 03 stages and their graph, 04 verbs, 05 expressions, 06 triggers, 09 warnings. Those of GitHub Actions workflows begin
//! with 1: 10 shapes and triggers, 11 jobs, 12 steps and containers, 13 reusable workflows, 19 warnings.

use crate::diagnostic::Severity;

/// One kind of diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `TG` and four digits.
    pub id: &'static str,
    /// Whether it stops the pipeline.
    pub severity: Severity,
    /// What it is about and how it is mended, for `tidegate validate --explain` and the documentation.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($name:ident $severity:ident $id:literal $explanation:literal)+) => {
        $(#[doc = $explanation] pub const $name: Code =
            Code { id: $id, severity: Severity::$severity, explanation: $explanation };)+

        /// Every code, in order.
        pub const ALL: &[Code] = &[$($name),+];
    };
}

codes! {
    SYNTAX Error "TG0101" "The file is not YAML. The place shown is where the parser gave up, which may be after the mistake."
    TOO_LARGE Error "TG0102" "A pipeline file may have 256 KiB and a workflow file 1 MiB, with 50,000 nodes (aliases counted as often as they are used), 64 levels of nesting (50 in a workflow file), and aliases that stand for as much text again."
    EMPTY Error "TG0103" "The file holds no document, or more than one. A pipeline is one mapping with the keys `on` and `stages`."
    DUPLICATE_KEY Error "TG0104" "A mapping has the same key twice, so one of the two would be lost. Both places are shown."
    MERGE_KEY Error "TG0105" "Merge keys (`<<`) are not part of the language: they hide which value wins. Use an alias for a whole value, or `defaults`."
    BAD_KEY Error "TG0106" "A key of a mapping must be plain text."
    TAG Error "TG0107" "YAML tags (`!name`) are not part of the language. Text that begins with `!`, such as an expression, must be quoted."
    UNKNOWN_ALIAS Error "TG0108" "An alias (`*name`) names an anchor that is not defined before it, or that contains the alias itself."

    UNKNOWN_KEY Error "TG0201" "A key that the language does not know. Unknown keys are errors, because a misspelt key would otherwise be silently without effect."
    WRONG_TYPE Error "TG0202" "A value has another type than its key expects."
    MISSING_KEY Error "TG0203" "A key that is required is not there."
    BAD_VALUE Error "TG0204" "A value is not one of those that its key accepts."
    BAD_DURATION Error "TG0205" "A duration is a number with a unit, or several: `500ms`, `30s`, `10m`, `1h30m`, `30d`."
    BAD_SIZE Error "TG0206" "A size is a number with a unit: `512MiB`, `2GiB`, `500MB`."
    BAD_NAME Error "TG0207" "Names of stages, inputs, services and artifacts begin with a letter and go on with letters, digits, `-` and `_`; names of environment values and secrets have no `-`."
    UNSAFE_PATH Error "TG0208" "Paths lie below the workspace: not absolute, and without `..`."
    BAD_GLOB Error "TG0209" "A pattern that cannot be read. `*` matches within one path segment, `**` across them, `?` one character, `[ab]` a set, `{a,b}` either; `!` in front takes away. A pipeline may have 1,000 patterns."
    REPEATED Error "TG0210" "The same name is given twice in a list whose names must differ."
    BAD_REGEX Error "TG0211" "A regular expression that cannot be read, or is too large. Look-around and back-references do not exist: matching takes linear time."

    EXCLUSIVE Error "TG0212" "Two keys exclude each other: one of them says all."

    NO_STAGES Error "TG0301" "A pipeline needs at least one stage."
    NO_VERB Error "TG0302" "A stage does exactly one thing: it has one of the keys `run`, `build`, `push`, `deploy`, `smoke`."
    MANY_VERBS Error "TG0303" "A stage does exactly one thing. Make a stage of each verb and order them by `needs`."
    KEY_NOT_FOR_VERB Error "TG0304" "The key has no meaning for a stage of this verb."
    UNKNOWN_STAGE Error "TG0305" "There is no stage of this name."
    CYCLE Error "TG0306" "Stages need each other in a circle, so none of them could ever begin."
    TOO_MANY_STAGES Error "TG0307" "A matrix may make 256 stages; a pipeline may have 1,000, 20,000 needs between them, and 64 MiB in all its stages together."
    EMPTY_MATRIX Error "TG0308" "The matrix makes no stage at all."
    BAD_MATRIX Error "TG0309" "A matrix maps names to lists of plain values, with `include` and `exclude` as lists of mappings."
    DEPLOY_RETRY Error "TG0310" "A deployment is carried out at most once, because nobody can know how far a lost one came. It has no `retry`."
    NO_IMAGE Error "TG0311" "Commands need an image to run in: `image` on the stage, or `defaults.image` for all stages."
    BAD_FETCH Error "TG0312" "`fetch` names an artifact of a stage that comes before, as `stage.artifact`."

    PUSH_FROM Error "TG0401" "A push stage sends the image of a build stage that comes before it, named by `from` when there is not exactly one."
    DEPLOY_IMAGE Error "TG0402" "A deploy stage deploys the image of a push stage that comes before it, or the one that `image` names."
    SMOKE_DEPLOY Error "TG0403" "A smoke stage checks the work of a deploy stage of the same environment that comes before it."
    NO_DRIVER Error "TG0404" "A deploy stage has exactly one driver: `compose` or `command`."
    NOTHING_TO_CHECK Error "TG0405" "A smoke stage needs `checks`, `commands`, or both."
    BAD_IMAGE Error "TG0406" "The text is not the name of an image or image repository."

    BAD_EXPRESSION Error "TG0501" "An expression that cannot be read."
    UNKNOWN_NAME Error "TG0502" "An expression names a context, property or function that does not exist here."
    NOT_UPSTREAM Error "TG0503" "An expression reads a stage that does not come before this one. Add it to `needs`."
    TYPE_MISMATCH Error "TG0504" "An expression compares or combines values of types that do not go together."
    EXPRESSION_IN_SCRIPT Error "TG0505" "`${{ }}` in a script would paste text that others may choose into a shell. Put the value under `env` and use it as a variable."
    NO_EXPRESSION_HERE Error "TG0506" "This value is read before any run exists, or has no place for expressions."
    NEVER_HOLDS Error "TG0507" "A comparison that can never hold: what it reads is never what it is compared with."

    NO_TRIGGER Error "TG0601" "A pipeline says under `on` what starts it."
    BAD_CRON Error "TG0602" "A schedule has five fields: minute, hour, day of month, month, day of week; and it must come due at some time."
    BAD_TIME_ZONE Error "TG0603" "A time zone is named as in the IANA database, for example `Europe/Berlin`."
    BAD_INPUT Error "TG0604" "An input of a manual run is declared or given with a value that it does not accept."

    TEMPLATE_UNREADABLE Error "TG0701" "The template cannot be read: it is not there, or nobody may read it from here."
    TEMPLATE_REFERENCE Error "TG0702" "`use` names a file of the same repository (`./ci/test.yml`), or one of another repository at a full commit (`owner/repository/ci/test.yml@0123…`). A branch or tag may be another commit tomorrow."
    TEMPLATE_CYCLE Error "TG0703" "Templates use each other in a circle, so there would be no end of stages."
    TEMPLATE_LIMIT Error "TG0704" "Templates may use each other five levels deep; a pipeline may use 32 other files, and templates 64 times."
    TEMPLATE_INPUT Error "TG0705" "A template is given an input that it does not declare or accept, or is not given one that it requires."
    TEMPLATE_SECRET Error "TG0706" "Stages of another repository get no secret but those that their use names under `secrets`."
    BAD_EMISSION Error "TG0707" "Stages that a stage adds to its run have no more than its `emits` says: no other secrets, environments and runner labels. A stage with a matrix adds none."
    EMISSION_LIMIT Error "TG0708" "The stages of a run may add 256 stages to it, three levels deep."

    DEPLOY_WITHOUT_SMOKE Warning "TG0901" "Nothing checks what this stage deploys, so nothing would roll it back. Add a smoke stage."
    IMAGE_NOT_PINNED Warning "TG0902" "An image without a tag, or with `latest`, may be another one tomorrow. Name a version or a digest."
    SECRETS_IN_PULL_REQUESTS Warning "TG0903" "A pull request changes what runs before anybody reviewed it. Here it would run with secrets; forks never get them."
    ONLY_NEGATIVE Warning "TG0904" "The pattern list only takes away, which is read as: everything but these."
    HOLDS_OTHERS Warning "TG0905" "Others wait while this stage runs, and it does not say how long it may: if it hangs they wait for an hour. Give it a `timeout`."
    NEVER_EQUAL Warning "TG0921" "A comparison in a workflow that can never hold: what it reads is never what it is compared with."
    ALWAYS_TRUE Warning "TG0922" "A condition with something beside `${{ }}` is text, and text that is not empty is true. Leave `${{ }}` away, or put all of the condition inside."

    UNEXPECTED_KEY Error "TG1001" "A key that a workflow does not have at this place. A job either has `runs-on` and `steps` or calls a workflow with `uses`; a step either runs a script or uses an action."
    UNEXPECTED_VALUE Error "TG1002" "A value of another kind than this place expects, or a word that is not one of those it knows."
    KEY_MISSING Error "TG1003" "A key that this place must have is not there."
    KIND_UNCLEAR Error "TG1004" "A job without `runs-on` or `uses`, or a step without `run` or `uses`: nothing says what it does."
    NOT_TEMPLATED Error "TG1005" "This place has no expressions: what it says is needed before there is anything to read."
    UNKNOWN_EVENT Error "TG1006" "`on` names an event that starts no workflow."
    FILTER_CONFLICT Error "TG1007" "An event has either a list of what starts the workflow or one of what does not (`branches` or `branches-ignore`). Use `!` patterns in the first to have both."
    BAD_FILTER Error "TG1008" "A filter pattern that cannot be read. `*` matches within a path segment, `**` across them; `?` and `+` repeat what stands before them; `[ab]` is a set; `!` in front takes away; `\\` makes a sign ordinary."
    WORKFLOW_SCHEDULE Error "TG1009" "A schedule has five fields: minute, hour, day of month, month, day of week; and a time zone as in the IANA database."
    WORKFLOW_INPUT Error "TG1010" "An input of a workflow is declared in a way that no value could fit."

    BAD_ID Error "TG1101" "Ids of jobs and steps begin with a letter or `_` and go on with letters, digits, `-` and `_`, fewer than 100 of them. Those that begin with `__` are reserved."
    REPEATED_ID Error "TG1102" "Two steps of a job have the same id. Ids that differ only in case are the same."
    UNKNOWN_NEED Error "TG1103" "`needs` names a job that the workflow does not have."
    NEEDS_CYCLE Error "TG1104" "Jobs need each other in a circle, so none of them could ever begin."
    NO_FIRST_JOB Error "TG1105" "A workflow has at least one job that needs no other, or it could never begin."
    RUNNER_GROUP Error "TG1106" "A runner group is a name, or a name after `organization/` or `enterprise/`."
    NO_MACHINE Error "TG1107" "No machine is configured for a label of `runs-on`. The setting `machines` maps labels to images: `machines: {ubuntu-latest: {image: ...}}`."
    WORKFLOW_MATRIX Error "TG1108" "A matrix maps names to lists that are not empty, with `include` and `exclude` as lists of mappings; `exclude` names only keys of the matrix."
    TOO_MANY_JOBS Error "TG1109" "A matrix may make 256 jobs, and a workflow with all that it calls 1,000, and 64 MiB in all of them together."
    GROUP_NAME Error "TG1110" "The name of a concurrency group may have 400 characters."
    IMAGE_VERSION Error "TG1111" "The version of a snapshot is a number and `.*`, for example `1.*`."

    BAD_USES Error "TG1201" "An action is named `owner/repository@reference`, `owner/repository/path@reference`, `./path`, `$/path` or `docker://image`."
    NO_CONTAINER_IMAGE Error "TG1202" "A container or service needs an image."
    CONTAINER_OPTION Error "TG1203" "An option of a container that cannot be read, that is not supported, or that would weaken the isolation of sandboxes, such as privileges, devices, host namespaces and files of the host."
    UNSUPPORTED Error "TG1204" "GitHub accepts this, and Tidegate cannot carry it out. docs/compatibility.md has the list."

    CALLED_UNREADABLE Error "TG1301" "The reusable workflow cannot be read."
    CALLED_INVALID Error "TG1302" "The reusable workflow has mistakes of its own; the first is quoted."
    NOT_CALLABLE Error "TG1303" "The workflow does not say `on: workflow_call`, so nobody can call it."
    CALL_INPUT Error "TG1304" "A call gives an input that the workflow does not declare, leaves out one that it requires, or gives a value of another type."
    CALL_SECRET Error "TG1305" "A call gives a secret that the workflow does not declare, or leaves out one that it requires."
    CALL_PERMISSIONS Error "TG1306" "The called workflow asks for permissions that the calling job does not have."
    CALL_DEPTH Error "TG1307" "Workflows may call each other ten levels deep and 50 files in all, and never in a circle."

    EVENT_IN_SCRIPT Warning "TG1901" "What others may write (a title, a branch's name, a comment) is pasted into a script and runs there. Put the expression under `env` and use the variable."
    ACTION_NOT_PINNED Warning "TG1902" "A tag or branch of somebody else's action may be another program tomorrow. Name a commit."
    UNTRUSTED_CHECKOUT Warning "TG1903" "`pull_request_target` runs with the repository's secrets, and the job checks out what the pull request brings: code that nobody reviewed gets the secrets."
    CONTAINER_NOT_PINNED Warning "TG1904" "An image without a tag, or with `latest`, may be another one tomorrow. Name a version or a digest."
    NO_TIMEOUT Warning "TG1905" "No job says how long it may take, so a job that hangs occupies a runner for six hours. Give jobs `timeout-minutes`."
    KEY_IGNORED Warning "TG1906" "A key that means nothing here and is ignored."
    NUMBER_SHORTENED Warning "TG1907" "YAML reads this as a number, so it loses digits: `3.10` becomes `3.1`. Put it in quotes."
    NO_STEP_HERE Warning "TG1908" "An expression reads a step that is not there or comes later, or something that no step has: the value is empty."
    NOT_NEEDED Warning "TG1909" "An expression reads a job that is not among the `needs` of this one, or something that the job does not hand on: the value is empty."
    ACTION_INPUT Warning "TG1910" "A step gives an action of the same repository an input that it does not declare, or leaves out one that it requires."
}

/// What `tidegate explain` says of a code: more than fits a message, and an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// What it is about, why it is so, and how it is mended; Markdown.
    pub text: &'static str,
    /// A file that gives it.
    pub wrong: &'static str,
    /// The same, mended.
    pub right: &'static str,
}

/// The pages, a file for each hundred: `## code`, its text, an example that is wrong and one that is right.
const PAGES: &[&str] = &[
    include_str!("codes/yaml.md"),
    include_str!("codes/shapes.md"),
    include_str!("codes/stages.md"),
    include_str!("codes/verbs.md"),
    include_str!("codes/expressions.md"),
    include_str!("codes/triggers.md"),
    include_str!("codes/reuse.md"),
    include_str!("codes/warnings.md"),
    include_str!("codes/workflows.md"),
    include_str!("codes/jobs.md"),
    include_str!("codes/actions.md"),
    include_str!("codes/calls.md"),
    include_str!("codes/workflow-warnings.md"),
];

impl Code {
    /// Its page, if it has one.
    pub fn page(&self) -> Option<Page> {
        let sections = PAGES.iter().flat_map(|file| file.split("## ").skip(1));
        let section = sections.filter_map(|section| section.strip_prefix(self.id)).next()?;
        let (text, rest) = section.split_once("```yaml wrong\n")?;
        let (wrong, rest) = rest.split_once("```\n")?;
        let (_, rest) = rest.split_once("```yaml right\n")?;
        let (right, _) = rest.split_once("```\n")?;
        Some(Page { text: text.trim(), wrong, right })
    }
}

/// The code with this id.
pub fn find(id: &str) -> Option<&'static Code> {
    ALL.iter().find(|code| code.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!(ALL.iter().all(|code| code.id.len() == 6 && code.id.starts_with("TG")));
        assert!(ALL.iter().all(|code| (code.severity == Severity::Warning) == (&code.id[3..4] == "9")));
    }
}
