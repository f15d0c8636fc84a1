//! Events as a forge would send them.

use serde_json::json;
use tidegate_pipelines::{
    Context, EnvironmentFacts, StageFacts,
    event::{Event, EventKind, GitFacts, PullRequestFacts},
    plan::Plan,
};

pub const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// A push to a branch.
pub fn push(branch: &str) -> Event {
    let git = GitFacts {
        message: "Add a thing".to_owned(),
        author: "Ada <ada@example.org>".to_owned(),
        ..GitFacts::of_branch(branch, SHA)
    };
    Event::new(EventKind::Push, "demo/app", "main", git, "ada")
}

/// A tag.
pub fn tag(name: &str) -> Event {
    let mut event = push("main");
    event.kind = EventKind::Tag;
    event.git.reference = format!("refs/tags/{name}");
    event.git.branch = None;
    event.git.tag = Some(name.to_owned());
    event
}

/// A pull request of the same repository.
pub fn pull_request(base: &str) -> Event {
    let mut event = push("feature");
    event.kind = EventKind::PullRequest;
    event.git.reference = "refs/pull/7/head".to_owned();
    event.git.branch = None;
    event.pull_request = Some(PullRequestFacts {
        number: 7,
        action: "opened".to_owned(),
        title: "$(touch /pwned)".to_owned(),
        base_branch: base.to_owned(),
        head_branch: "feature".to_owned(),
        from_fork: false,
    });
    event
}

/// A pull request of a fork.
pub fn fork() -> Event {
    let mut event = pull_request("main");
    event.trusted = false;
    event.pull_request.as_mut().unwrap().from_fork = true;
    event
}

/// A release of a tag.
pub fn release(action: &str, tag_name: &str) -> Event {
    let mut event = tag(tag_name);
    event.kind = EventKind::Release;
    event.name = Some("release".to_owned());
    event.activity = Some(action.to_owned());
    event.payload = Some(json!({
        "action": action,
        "release": { "tag_name": tag_name, "name": "One", "draft": false, "prerelease": true },
    }));
    event
}

/// A program's request.
pub fn dispatch(kind: &str, payload: serde_json::Value) -> Event {
    let mut event = push("main");
    event.kind = EventKind::Dispatch;
    event.name = Some("repository_dispatch".to_owned());
    event.payload = Some(json!({ "action": kind, "client_payload": payload }));
    event
}

/// The end of a run of another pipeline.
pub fn upstream(pipeline: &str, conclusion: &str) -> Event {
    let mut event = push("main");
    event.kind = EventKind::Upstream;
    event.payload = Some(json!({
        "action": "completed",
        "workflow_run": {
            "name": pipeline, "conclusion": conclusion, "head_branch": "main", "head_sha": SHA, "run_number": 12,
        },
    }));
    event
}

/// A person's request, with inputs as JSON.
pub fn manual(inputs: serde_json::Value) -> Event {
    let mut event = push("main");
    event.kind = EventKind::Manual;
    event.inputs = serde_json::from_value(inputs).unwrap();
    event
}

/// What a run knows once all its stages succeeded and wrote whatever outputs the tests read.
pub fn all_ended_well(plan: &Plan, event: &Event) -> Context {
    let mut context = Context::new(plan, event);
    context.environment = Some(EnvironmentFacts { name: "staging".into(), url: Some("http://app".into()) });
    for stage in &plan.stages {
        let outputs = [
            ("image_id", "sha256:aa"),
            ("digest", "sha256:bb"),
            ("image", "app@sha256:bb"),
            ("kind", "release"),
            ("count", "3"),
            ("label", "v1"),
            ("version", "1.2.3"),
            ("coverage", "81"),
            ("note", "new"),
            ("targets", r#"[{"os": "debian", "arch": "arm64"}, {"os": "alpine"}]"#),
            ("services", r#"["api", "web"]"#),
        ];
        let outputs = outputs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let facts = StageFacts { status: "succeeded".into(), outputs: outputs.into() };
        context.stages.insert(stage.key.clone(), facts);
    }
    context
}

/// The event that a file's first line asks for: `# event: tag v1`; a push to `main` when it asks for none.
pub fn named(text: &str) -> Event {
    let wanted = text.lines().next().and_then(|line| line.strip_prefix("# event: ")).unwrap_or("push main");
    let (kind, rest) = wanted.split_once(' ').unwrap_or((wanted, ""));
    match kind {
        "push" => push(rest),
        "tag" => tag(rest),
        "pull_request" => pull_request(rest),
        "fork" => fork(),
        "paths" => {
            let mut event = push("main");
            event.changed_paths = Some(rest.split(' ').map(str::to_owned).collect());
            event
        }
        "release" => release(rest, "v1.2.0"),
        "dispatch" => {
            let (kind, payload) = rest.split_once(' ').unwrap_or((rest, "null"));
            dispatch(kind, serde_json::from_str(payload).unwrap())
        }
        "upstream" => {
            let (pipeline, conclusion) = rest.split_once(' ').unwrap();
            upstream(pipeline, conclusion)
        }
        "manual" => manual(serde_json::from_str(rest).unwrap()),
        other => panic!("no event `{other}`"),
    }
}
