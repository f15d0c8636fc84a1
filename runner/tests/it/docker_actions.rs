//! Docker's own actions as built-in ones: on the scripted engine, and on a real one with registries that want passwords.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use serde_json::{Value, json};
use tidegate_protocol::{
    messages::{Lease, Outcome, Secret},
    status::StepStatus,
};
use tidegate_runner::sandbox::docker::Docker;

use crate::{
    steps::{Ran, Runner, with},
    support::{
        IMAGE,
        agent::{Agent, config, lease, lenient, sh},
        registry::Registry,
        server::Model,
    },
};

pub const PASSWORD: &str = "two-words-9";
pub const HASH: &str = "$2b$05$abcdefghijklmnopqrstuum7Zfk/s6YLpRde82Y7dine8WkL3OIQW";
const OTHER: &str = "other-words-8";
const OTHER_HASH: &str = "$2b$05$abcdefghijklmnopqrstuukzlGnp8cooBzudy4DZ7BcPACRBN507i";

pub fn uses(action: &str, inputs: Value) -> Value {
    json!({ "uses": { "action": action, "with": inputs }, "name": action })
}

pub fn login(registry: &str, name: &str, password: &str) -> Value {
    uses("docker/login-action@v3", json!({ "registry": registry, "username": name, "password": password }))
}

/// A lease with secrets, as the server hands them out.
pub fn secretly(steps: Value, secrets: &[(&str, &str)]) -> Lease {
    let mut lease = lease(lenient(steps));
    lease.secrets = secrets
        .iter()
        .map(|(name, value)| Secret { name: (*name).to_owned(), env: None, value: (*value).to_owned() })
        .collect();
    lease
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(files_below(&entry.path())),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}

#[tokio::test]
async fn the_built_in_docker_actions_name_build_and_push_an_image() {
    let runner = Runner::start().await;
    let metadata =
        json!({ "images": "localhost:5000/team/app", "tags": "type=raw,value=one\ntype=raw,value=two" });
    let image = json!({
        "push": "true",
        "context": "app",
        "tags": "${{ steps.meta.outputs.tags }}",
        "labels": "${{ steps.meta.outputs.labels }}",
        "cache-from": "type=gha",
    });
    let steps = json!([
        sh("mkdir app; echo FROM scratch > app/Dockerfile"),
        uses("docker/setup-qemu-action@v3", json!({})),
        uses("docker/setup-buildx-action@v3", json!({})),
        uses(
            "docker/login-action@v3",
            json!({ "registry": "localhost:5000", "username": "me", "password": "pass-word-1" })
        ),
        with(uses("docker/metadata-action@v5", metadata), json!({ "id": "meta" })),
        with(uses("docker/build-push-action@v6", image), json!({ "id": "image" })),
        sh(
            "echo '${{ steps.image.outputs.digest }} ${{ steps.image.outputs.imageid }}'; echo $DOCKER_METADATA_OUTPUT_VERSION pass-word-1"
        ),
        with(
            uses("docker/build-push-action@v6", json!({ "context": "app", "platforms": "x86" })),
            json!({ "continue_on_error": true })
        ),
        sh("ln -s /etc link"),
        with(
            uses("docker/build-push-action@v6", json!({ "context": "link", "file": "link/passwd" })),
            json!({ "continue_on_error": true })
        ),
    ]);
    let ran = runner.run_lease(lease(lenient(steps))).await;
    ran.succeeded();
    assert!(
        ran.text(5).contains("tags: localhost:5000/team/app:one\nlocalhost:5000/team/app:two\n"),
        "{}",
        ran.text(5)
    );
    assert!(ran.text(6).contains("the cache `type=gha` is left out of account"), "{}", ran.text(6));
    assert!(ran.text(6).contains("#1 built by nobody\npushing localhost:5000/team/app\n"), "{}", ran.text(6));
    let (digest, image) = ("d".repeat(64), "b".repeat(64));
    assert_eq!(ran.text(7), format!("sha256:{digest} sha256:{image}\none ***\n"));
    assert!(ran.text(8).contains("`x86` is no platform"), "{}", ran.text(8));
    assert!(ran.text(10).contains("cannot be used"), "{}", ran.text(10));
    assert_eq!([8, 10].map(|step| ran.status(step)), [StepStatus::Failed, StepStatus::Failed]);
    runner.stop().await;
}

/// Credentials are in the runner's memory only, and there again after a restart.
#[tokio::test]
async fn logins_are_written_nowhere_and_made_again_after_a_restart() {
    let gate = tempfile::tempdir().unwrap();
    let wait = format!("echo waiting; while [ ! -e {}/go ]; do sleep 0.02; done", gate.path().display());
    let push = |tag: &str| {
        uses("docker/build-push-action@v6", json!({ "push": "true", "context": "app", "tags": tag }))
    };
    let steps = json!([
        sh("mkdir app; echo FROM scratch > app/Dockerfile"),
        login("one.example:5000", "me", "${{ secrets.ONE }}"),
        login("two.example", "you", "${{ secrets.TWO }}"),
        sh(&wait),
        push("one.example:5000/a:1"),
        push("two.example/b:1"),
        push("three.example/c:1"),
    ]);
    let mut runner = Runner::start().await;
    let attempt = runner.model.queue(secretly(steps, &[("ONE", PASSWORD), ("TWO", OTHER)]));
    runner.model.printed(attempt, 4, "waiting").await;
    let mut seen = Vec::new();
    for file in files_below(runner.data.path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        // The lease itself is in the journal, with the secrets that the server gave it.
        let has = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(name == "journal.json" || !(has(PASSWORD) || has(OTHER)), "{}", file.display());
        seen.push(name);
    }
    assert!(["tape", "journal.json"].iter().all(|name| seen.iter().any(|one| one == name)), "{seen:?}");
    runner.kill_and_restart().await;
    std::fs::write(gate.path().join("go"), "").unwrap();
    let finish = runner.model.finished(attempt).await;
    let ran = Ran { finish, known: runner.model.attempt(attempt).unwrap() };
    ran.succeeded();
    let pushed: Vec<_> = runner
        .engine
        .pushed()
        .into_iter()
        .map(|push| (push.repository, push.login.map(|login| (login.username, login.password))))
        .collect();
    let of = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
    assert_eq!(
        pushed,
        [
            ("one.example:5000/a".to_owned(), of("me", PASSWORD)),
            ("two.example/b".to_owned(), of("you", OTHER)),
            ("three.example/c".to_owned(), None),
        ]
    );
    assert!(ran.text(2).contains("keeps the credentials of me for one.example:5000"), "{}", ran.text(2));
    assert!(!ran.all().contains(PASSWORD) && !ran.all().contains(OTHER), "{}", ran.all());
    assert!(ran.all().contains("the credentials for two.example are forgotten"), "{}", ran.all());
    runner.stop().await;
}

/// One step logs in to several registries.
#[tokio::test]
async fn a_list_of_logins_counts_for_all_its_registries() {
    let runner = Runner::start().await;
    let list = "- registry: one.example\n  username: me\n  password: ${{ secrets.ONE }}\n- registry: two.example\n  username: you\n  password: letmein77\n";
    let push = |tag: &str| uses("docker/build-push-action@v6", json!({ "push": "true", "tags": tag }));
    let steps = json!([
        sh("echo FROM scratch > Dockerfile"),
        uses("docker/login-action@v3", json!({ "registry-auth": list })),
        push("one.example/a:1"),
        push("two.example/b:1"),
        with(
            uses("docker/login-action@v3", json!({ "registry-auth": list, "username": "me" })),
            json!({ "continue_on_error": true })
        ),
    ]);
    let ran = runner.run_lease(secretly(steps, &[("ONE", PASSWORD)])).await;
    ran.succeeded();
    let names: Vec<_> =
        runner.engine.pushed().into_iter().map(|push| push.login.map(|login| login.username)).collect();
    assert_eq!(names, [Some("me".to_owned()), Some("you".to_owned())]);
    assert!(ran.text(5).contains("`username` has no meaning beside"), "{}", ran.text(5));
    assert!(ran.all().contains("the credentials for two.example are forgotten"), "{}", ran.all());
    assert!(!ran.all().contains(PASSWORD) && !ran.all().contains("letmein77"), "{}", ran.all());
    runner.stop().await;
}

#[tokio::test]
async fn strangers_build_and_name_nothing() {
    let runner = Runner::start().await;
    let image = |inputs: Value| {
        with(uses("docker/build-push-action@v6", inputs), json!({ "id": "i", "continue_on_error": true }))
    };
    let steps = json!([
        sh("echo FROM scratch > Dockerfile"),
        image(json!({ "push": "true", "tags": "registry.example/a:1" })),
        image(json!({ "outputs": "type=docker,name=node:20" })),
        image(json!({ "tags": "node:20" })),
        sh("echo '${{ steps.i.outputs.imageid }}.${{ steps.i.outputs.digest }}'"),
    ]);
    let mut stranger = lease(lenient(steps));
    stranger.trusted = false;
    let ran = runner.run_lease(stranger).await;
    ran.succeeded();
    assert_eq!(
        [2, 3, 4].map(|step| ran.status(step)),
        [StepStatus::Failed, StepStatus::Failed, StepStatus::Succeeded]
    );
    assert!(ran.text(2).contains("neither pushes nor loads"), "{}", ran.text(2));
    assert_eq!(ran.text(5), format!("sha256:{}.\n", "b".repeat(64)));
    assert!(runner.engine.pushed().is_empty());
    runner.stop().await;
}

pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn images_are_built_loaded_and_pushed_to_registries_that_want_passwords() {
    let one = Registry::guarded("me", PASSWORD, HASH).await;
    let two = Registry::guarded("you", OTHER, OTHER_HASH).await;
    let unique = format!("tidegate-test-{}", uuid::Uuid::new_v4().simple());
    let (model, data) = (Model::start().await, tempfile::tempdir().unwrap());
    let agent =
        Agent::start_with(config(&model, data.path()), Arc::new(Docker::connect(None).await.unwrap()));
    let (first, second) = (format!("{}/team/app", one.host), format!("{}/app", two.host));
    let dockerfile = format!(
        "mkdir app; printf 'FROM {IMAGE} AS base\\nARG WORD\\nRUN echo $WORD > /word\\nFROM base AS other\\nRUN exit 9\\n' > app/Dockerfile"
    );
    let image = |more: Value| {
        let inputs = json!({ "context": "app", "target": "base", "build-args": format!("WORD={unique}") });
        with(uses("docker/build-push-action@v6", with(inputs, more)), json!({ "id": "image" }))
    };
    let steps = json!([
        sh(&dockerfile),
        login(&one.host, "me", "${{ secrets.ONE }}"),
        login(&format!("http://{}/v2/", two.host), "you", "${{ secrets.TWO }}"),
        with(
            uses(
                "docker/metadata-action@v5",
                json!({ "images": format!("{first}\n{second}"), "tags": "type=raw,value=one\ntype=sha,format=long" })
            ),
            json!({ "id": "meta" })
        ),
        image(json!({
            "push": "true", "tags": "${{ steps.meta.outputs.tags }}", "labels": "${{ steps.meta.outputs.labels }}",
        })),
        sh(
            "echo '${{ steps.image.outputs.digest }} ${{ steps.image.outputs.imageid }}'; echo '${{ steps.image.outputs.metadata }}'"
        ),
        // What was pushed is a base of the next one: pulled by digest, with the credentials.
        sh(&format!(
            "mkdir next; echo \"FROM {first}@${{{{ steps.image.outputs.digest }}}}\" > next/Dockerfile"
        )),
        with(
            uses(
                "docker/build-push-action@v6",
                json!({ "context": "next", "pull": "true", "load": "true", "tags": format!("{unique}:next") })
            ),
            json!({ "id": "next" })
        ),
        with(login(&two.host, "you", "wrong-words-7"), json!({})),
        with(
            image(json!({ "push": "true", "tags": format!("{second}:never") })),
            json!({ "continue_on_error": true })
        ),
    ]);
    let attempt = model.queue(secretly(steps, &[("ONE", PASSWORD), ("TWO", OTHER)]));
    let finish = model.finished(attempt).await;
    let ran = Ran { finish, known: model.attempt(attempt).unwrap() };
    let told = ran.text(6);
    let (digest, id) = told.lines().next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    let word = docker(&["run", "--rm", &format!("{unique}:next"), "cat", "/word"]);
    let sha = format!("sha-{}", "0".repeat(40));
    let names = [(&first, "one"), (&first, &*sha), (&second, "one"), (&second, &*sha), (&second, "never")]
        .map(|(repository, tag)| format!("{repository}:{tag}"));
    let labels = docker(&[
        "inspect",
        "--format",
        "{{index .Config.Labels \"org.opencontainers.image.revision\"}}",
        id,
    ]);
    for name in names.iter().chain([&format!("{unique}:next")]) {
        docker(&["rmi", "-f", name]);
    }
    assert_eq!(ran.finish.outcome, Outcome::Succeeded, "{:?}\n{}", ran.finish.reason, ran.all());
    assert!(digest.starts_with("sha256:") && id.starts_with("sha256:"), "{told}");
    let metadata: Value = serde_json::from_str(told.lines().nth(1).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.digest"], digest);
    assert_eq!(metadata["image.name"], names[..4].join(","));
    assert_eq!((word, labels), (unique, "0".repeat(40)), "{}", ran.all());
    for reference in ["one", &*sha, digest] {
        for (registry, repository) in [(&one, "team/app"), (&two, "app")] {
            let status = registry.manifest(repository, reference);
            assert!(status.contains("200 OK"), "{repository} {reference}: {status}");
        }
    }
    assert!(two.manifest("app", "never").contains("404"), "a wrong password pushes nothing");
    assert_eq!(ran.status(10), StepStatus::Failed, "{}", ran.text(10));
    assert!(!ran.all().contains(PASSWORD) && !ran.all().contains("wrong-words-7"), "{}", ran.all());
    agent.stop().await.unwrap();
}
