//! Who may decide at a gate: one rule, for the page that shows it and for the decision that it guards.

use crate::actor::Role;

/// What an environment asks of those who decide.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalRules<'a> {
    /// The role they need.
    pub approver_role: Role,
    /// Only these, when there are any.
    pub approvers: &'a [String],
    /// Whether who caused the run may decide.
    pub allow_self_approval: bool,
}

/// A person as they are now, not as they were when they logged in.
#[derive(Debug, Clone, Copy)]
pub struct Decider<'a> {
    /// The user's name.
    pub username: &'a str,
    /// The user's role.
    pub role: Role,
    /// May not do anything any more.
    pub disabled: bool,
}

/// Whether this person may decide; the error is one sentence that says why not.
///
/// `caused_by` names everybody who started the run or ran it again: none of them may let their own change
/// through, unless the environment allows it. `decided` names those who decided at this gate before. Names are
/// compared without regard to case, as forges do.
pub fn may_decide(
    rules: ApprovalRules<'_>,
    person: Decider<'_>,
    caused_by: &[String],
    decided: &[String],
) -> Result<(), String> {
    let named = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(person.username));
    if person.disabled {
        return Err(format!("{} is disabled", person.username));
    }
    if named(decided) {
        return Err(format!("{} has decided already", person.username));
    }
    if person.role < rules.approver_role {
        return Err(format!(
            "to decide here you need the role {}; {} is {}",
            rules.approver_role.words(),
            person.username,
            person.role.words()
        ));
    }
    if !rules.approvers.is_empty() && !named(rules.approvers) {
        return Err(format!(
            "only {} may decide here; {} is not among them",
            rules.approvers.join(", "),
            person.username
        ));
    }
    if !rules.allow_self_approval && named(caused_by) {
        return Err(format!(
            "{} caused this run, and the environment does not let people approve their own",
            person.username
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn ask(
        role: Role,
        approvers: &[&str],
        self_approval: bool,
        caused_by: &[&str],
        decided: &[&str],
    ) -> Option<String> {
        let approvers = names(approvers);
        let rules = ApprovalRules {
            approver_role: Role::ReleaseManager,
            approvers: &approvers,
            allow_self_approval: self_approval,
        };
        may_decide(
            rules,
            Decider { username: "rita", role, disabled: false },
            &names(caused_by),
            &names(decided),
        )
        .err()
    }

    #[test]
    fn each_rule_refuses_by_itself() {
        let rm = Role::ReleaseManager;
        assert_eq!(ask(rm, &[], false, &["dora"], &["max"]), None);
        assert_eq!(ask(Role::Admin, &["max", "rita"], false, &["dora"], &[]), None);
        assert!(
            ask(Role::Developer, &[], false, &[], &[]).unwrap().contains("need the role release manager")
        );
        assert!(ask(Role::Admin, &["max"], false, &[], &[]).unwrap().contains("only max may decide"));
        assert!(ask(rm, &[], false, &["dora", "Rita"], &[]).unwrap().contains("caused this run"));
        assert_eq!(ask(rm, &[], true, &["rita"], &[]), None);
        assert!(ask(rm, &[], true, &[], &["rita"]).unwrap().contains("decided already"));
    }

    #[test]
    fn the_disabled_decide_nothing() {
        let rules =
            ApprovalRules { approver_role: Role::Developer, approvers: &[], allow_self_approval: true };
        let person = Decider { username: "rita", role: Role::Admin, disabled: true };
        assert!(may_decide(rules, person, &[], &[]).is_err());
    }
}
