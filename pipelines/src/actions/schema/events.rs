//! The events that start workflows: their names, activity types, filters, and which activities count by default.

use Filters as F;

/// An event of `on`.
pub(in crate::actions) struct EventDef {
    pub name: &'static str,
    /// Its activity types; none: it has no `types`.
    pub types: &'static [&'static str],
    /// Those that count when the file names none; empty: all.
    pub by_default: &'static [&'static str],
    /// Its filters.
    pub filters: Filters,
}

/// Which filters an event has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::actions) struct Filters(u8);

impl Filters {
    pub(in crate::actions) const NONE: Self = Self(0);
    pub(in crate::actions) const BRANCHES: Self = Self(1);
    pub(in crate::actions) const TAGS: Self = Self(2);
    pub(in crate::actions) const PATHS: Self = Self(4);
    pub(in crate::actions) const WORKFLOWS: Self = Self(8);
    pub(in crate::actions) const IMAGES: Self = Self(16);
    /// `types` are free text.
    pub(in crate::actions) const FREE_TYPES: Self = Self(32);
    /// It has a form of its own: `schedule`, `workflow_call`, `workflow_dispatch`.
    pub(in crate::actions) const OWN: Self = Self(64);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(in crate::actions) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

const fn event(name: &'static str, types: &'static [&'static str]) -> EventDef {
    EventDef { name, types, by_default: &[], filters: F::NONE }
}

const fn filtered(name: &'static str, types: &'static [&'static str], filters: Filters) -> EventDef {
    EventDef { name, types, by_default: &[], filters }
}

const CHANGES: &[&str] = &["created", "edited", "deleted"];

const PULL_REQUEST: &[&str] = &[
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "opened",
    "edited",
    "closed",
    "reopened",
    "synchronize",
    "converted_to_draft",
    "locked",
    "unlocked",
    "enqueued",
    "dequeued",
    "milestoned",
    "demilestoned",
    "ready_for_review",
    "review_requested",
    "review_request_removed",
    "auto_merge_enabled",
    "auto_merge_disabled",
    "stacked",
];

const PULL_REQUEST_BY_DEFAULT: &[&str] = &["opened", "synchronize", "reopened"];

/// Every event.
pub(in crate::actions) const EVENTS: &[EventDef] = &[
    event("branch_protection_rule", CHANGES),
    event("check_run", &["completed", "created", "rerequested", "requested_action"]),
    event("check_suite", &["completed"]),
    event("create", &[]),
    event("delete", &[]),
    event("deployment", &[]),
    event("deployment_status", &[]),
    event(
        "discussion",
        &[
            "created",
            "edited",
            "deleted",
            "transferred",
            "pinned",
            "unpinned",
            "labeled",
            "unlabeled",
            "locked",
            "unlocked",
            "category_changed",
            "answered",
            "unanswered",
        ],
    ),
    event("discussion_comment", CHANGES),
    event("fork", &[]),
    event("gollum", &[]),
    filtered("image_version", &["created", "ready", "deleted"], F::IMAGES),
    event("issue_comment", CHANGES),
    event(
        "issues",
        &[
            "opened",
            "edited",
            "deleted",
            "transferred",
            "pinned",
            "unpinned",
            "closed",
            "reopened",
            "assigned",
            "unassigned",
            "labeled",
            "unlabeled",
            "locked",
            "unlocked",
            "milestoned",
            "demilestoned",
            "field_added",
            "field_removed",
            "typed",
            "untyped",
        ],
    ),
    event("label", CHANGES),
    filtered("merge_group", &["checks_requested"], F::BRANCHES),
    event("milestone", &["created", "closed", "opened", "edited", "deleted"]),
    event("page_build", &[]),
    event("project", &["created", "closed", "reopened", "edited", "deleted"]),
    event("project_card", &["created", "moved", "converted", "edited", "deleted"]),
    event("project_column", &["created", "updated", "moved", "deleted"]),
    event("public", &[]),
    EventDef {
        name: "pull_request",
        types: PULL_REQUEST,
        by_default: PULL_REQUEST_BY_DEFAULT,
        filters: F::BRANCHES.and(F::PATHS),
    },
    event("pull_request_comment", CHANGES),
    event("pull_request_review", &["submitted", "edited", "dismissed"]),
    event("pull_request_review_comment", CHANGES),
    EventDef {
        name: "pull_request_target",
        types: PULL_REQUEST,
        by_default: PULL_REQUEST_BY_DEFAULT,
        filters: F::BRANCHES.and(F::PATHS),
    },
    filtered("push", &[], F::BRANCHES.and(F::TAGS).and(F::PATHS)),
    event("registry_package", &["published", "updated"]),
    event(
        "release",
        &["published", "unpublished", "created", "edited", "deleted", "prereleased", "released"],
    ),
    filtered("repository_dispatch", &[], F::FREE_TYPES),
    filtered("schedule", &[], F::OWN),
    event("status", &[]),
    event("watch", &["started"]),
    filtered("workflow_call", &[], F::OWN),
    filtered("workflow_dispatch", &[], F::OWN),
    filtered("workflow_run", &["requested", "completed", "in_progress"], F::BRANCHES.and(F::WORKFLOWS)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_in_order_and_their_defaults_exist() {
        assert!(EVENTS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(EVENTS.iter().all(|event| event.by_default.iter().all(|kind| event.types.contains(kind))));
    }
}
