//! Gates as a person sees them: what would change, who may decide, and whether that person may.

use std::collections::{HashMap, hash_map::Entry};

use tidegate_protocol::{
    ids::{GateId, RepositoryId, RunId},
    status::GateStatus,
};

use super::rules::{ApprovalRules, Decider, may_decide};
use crate::{
    actor::Actor,
    app::App,
    error::Error,
    git,
    store::{
        GateFacts, GateFilter,
        views::{Gate, MayApprove, Person, Repository, User},
    },
};

/// Commits that a gate shows at most.
const COMMITS: usize = 50;

/// Gates, oldest first, as this person sees them; the newest two hundred.
pub async fn list(app: &App, status: Option<GateStatus>, viewer: &Actor) -> Result<Vec<Gate>, Error> {
    read(app, GateFilter::Status(status), viewer).await
}

/// One gate, as this person sees it.
pub async fn get(app: &App, gate: GateId, viewer: &Actor) -> Result<Gate, Error> {
    read(app, GateFilter::One(gate), viewer).await?.pop().ok_or(Error::NotFound("gate"))
}

/// The gates of a run, as this person sees them.
pub(crate) async fn of_run(app: &App, run: RunId, viewer: &Actor) -> Result<Vec<Gate>, Error> {
    read(app, GateFilter::Run(run), viewer).await
}

async fn read(app: &App, filter: GateFilter, viewer: &Actor) -> Result<Vec<Gate>, Error> {
    let facts = app.db.gate_facts(filter).await?;
    if facts.is_empty() {
        return Ok(Vec::new());
    }
    let users = app.db.users().await?;
    let mut repositories = HashMap::new();
    let mut gates = Vec::with_capacity(facts.len());
    for facts in facts {
        let open = facts.gate.status == GateStatus::Open;
        let mut gate = seen_by(&facts, viewer, &users);
        if open && let Some(current) = gate.changes.current_sha.as_deref() {
            let repository = repository(app, &mut repositories, facts.repository_id).await?;
            // The mirror may not know them; then the page does without.
            gate.changes.commits =
                git::commits_between(app, repository, current, &gate.sha, COMMITS).await.unwrap_or_default();
        }
        gates.push(gate);
    }
    Ok(gates)
}

async fn repository<'a>(
    app: &App,
    known: &'a mut HashMap<RepositoryId, Repository>,
    id: RepositoryId,
) -> Result<&'a Repository, Error> {
    Ok(match known.entry(id) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(app.db.repository(id).await?),
    })
}

/// Adds what the rules say of everybody, and of who looks.
fn seen_by(facts: &GateFacts, viewer: &Actor, users: &[User]) -> Gate {
    let mut gate = facts.gate.clone();
    let rules = ApprovalRules {
        approver_role: facts.approver_role,
        approvers: &facts.approvers,
        allow_self_approval: facts.allow_self_approval,
    };
    let may = |user: &User, decided: &[String]| {
        let person = Decider { username: &user.username, role: user.role, disabled: user.disabled };
        may_decide(rules, person, &facts.caused_by, decided)
    };
    gate.approvers = users
        .iter()
        .filter(|user| may(user, &[]).is_ok())
        .map(|user| Person { username: user.username.clone(), display_name: user.display_name.clone() })
        .collect();
    let decided: Vec<String> = gate.decisions.iter().map(|decision| decision.username.clone()).collect();
    let verdict = if gate.status != GateStatus::Open {
        Err(format!("the gate is {} already", gate.status))
    } else if facts.overdue {
        Err("the gate has expired".to_owned())
    } else {
        match users.iter().find(|user| user.id == viewer.user) {
            Some(user) => may(user, &decided),
            None => Err(format!("{} is no user any more", viewer.username)),
        }
    };
    gate.may_approve = MayApprove { allowed: verdict.is_ok(), reason: verdict.err() };
    gate
}
