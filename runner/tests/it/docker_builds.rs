//! `docker/build-push-action` with secrets, for several platforms and by digest: what is asked of the scripted engine, and
//! what comes of it on a real one.

use std::{process::Command, sync::Arc};

use serde_json::{Value, json};
use tidegate_protocol::{messages::Outcome, status::StepStatus};
use tidegate_runner::sandbox::docker::Docker;

use crate::{
    docker_actions::{HASH, PASSWORD, docker, login, secretly, uses},
    steps::{Ran, Runner, with},
    support::{
        IMAGE,
        agent::{Agent, config, sh},
        registry::Registry,
        server::Model,
    },
};

#[tokio::test]
async fn secrets_of_a_build_go_to_the_engine_and_are_written_nowhere() {
    let runner = Runner::start().await;
    let image = |inputs: Value| {
        let step = uses("docker/build-push-action@v6", inputs);
        with(step, json!({ "continue_on_error": true, "env": { "OWN": "letmein77", "CACHE": "x" } }))
    };
    let steps = json!([
        sh("echo FROM scratch > Dockerfile; printf 'from-a-%s\\n' file-9 > key.txt"),
        image(json!({
            "secrets": "one=${{ secrets.ONE }}\n\"two=first line of two\nsecond line of two\"\n",
            "secret-envs": "three=OWN",
            "secret-files": "four=./key.txt",
            "cache-from": "type=registry,ref=registry.example/app:cache\ntype=gha",
            "cache-to": "type=inline",
        })),
        sh("echo letmein77 first line of two"),
        image(json!({ "secret-envs": "a=NOBODY" })),
        image(json!({ "secret-files": "a=../key.txt" })),
        image(json!({ "ssh": "default" })),
        image(json!({ "build-contexts": "base=docker-image://x" })),
    ]);
    let leased = secretly(steps, &[("ONE", PASSWORD)]);
    let attempt = runner.model.queue(leased);
    let finish = runner.model.finished(attempt).await;
    let ran = Ran { finish, known: runner.model.attempt(attempt).unwrap() };
    ran.succeeded();
    let built = runner.engine.built();
    assert_eq!(built.len(), 1, "{built:?}");
    let secret = |id: &str| String::from_utf8(built[0].secrets.get(id).unwrap().to_vec()).unwrap();
    assert_eq!(
        ["one", "two", "three", "four"].map(secret),
        [PASSWORD, "first line of two\nsecond line of two", "letmein77", "from-a-file-9\n"]
    );
    assert_eq!(built[0].cache_from, ["registry.example/app:cache"]);
    assert_eq!(built[0].args["BUILDKIT_INLINE_CACHE"], "1");
    assert!(!format!("{built:?}").contains("letmein77"), "{built:?}");
    assert_eq!(ran.text(3), "*** ***\n");
    for (step, words) in
        [(4, "`NOBODY`, which is not set"), (5, "key.txt"), (6, "no agent"), (7, "one context")]
    {
        assert_eq!(ran.status(step), StepStatus::Failed, "{step}");
        assert!(ran.text(step).contains(words), "{step}: {}", ran.text(step));
    }
    for word in [PASSWORD, "second line", "from-a-file-9"] {
        assert!(!ran.all().contains(word), "{}", ran.all());
    }
    runner.stop().await;
}

#[tokio::test]
async fn an_image_of_several_platforms_becomes_an_index() {
    let runner = Runner::start().await;
    let image = |inputs: Value| {
        let inputs = with(json!({ "platforms": "linux/s390x,linux/arm64" }), inputs);
        with(uses("docker/build-push-action@v6", inputs), json!({ "id": "i", "continue_on_error": true }))
    };
    let steps = json!([
        sh("echo FROM scratch > Dockerfile"),
        image(json!({ "push": "true", "tags": "registry.example/a:1,registry.example/a:2" })),
        sh("echo '${{ steps.i.outputs.digest }}'"),
        image(json!({ "outputs": "type=image,name=registry.example/b,push-by-digest=true,push=true" })),
        image(json!({ "load": "true", "tags": "a:1" })),
    ]);
    let ran = runner.run_lease(secretly(steps, &[])).await;
    ran.succeeded();
    let platforms: Vec<_> = runner.engine.built().into_iter().filter_map(|one| one.platform).collect();
    assert_eq!(platforms, ["linux/s390x", "linux/arm64", "linux/s390x", "linux/arm64"]);
    assert_eq!(ran.text(3), format!("sha256:{}\n", "e".repeat(64)));
    let indexed = runner.engine.indexed();
    assert_eq!(
        (&*indexed[0].repository, &*indexed[0].tags),
        ("registry.example/a", &["1", "2"].map(str::to_owned)[..])
    );
    assert_eq!((&*indexed[1].repository, indexed[1].tags.len()), ("registry.example/b", 0));
    assert_eq!(indexed[0].images[1], ("linux/arm64".to_owned(), format!("sha256:{}", "d".repeat(64))));
    assert!(runner.engine.pushed().iter().all(|push| push.tags == ["tidegate-bbbbbbbbbbbb"]));
    assert_eq!(ran.status(5), StepStatus::Failed);
    assert!(ran.text(5).contains("`push` in place of `load`"), "{}", ran.text(5));
    runner.stop().await;
}

/// Bytes of an image as the engine would save it: layers, history, configuration.
fn saved(image: &str) -> Vec<u8> {
    Command::new("docker").args(["save", image]).output().unwrap().stdout
}

#[tokio::test]
async fn a_secret_is_mounted_by_one_instruction_and_is_nowhere_in_the_image() {
    let unique = format!("tidegate-test-{}", uuid::Uuid::new_v4().simple());
    let secret = format!("correct-{unique}");
    let (model, data) = (Model::start().await, tempfile::tempdir().unwrap());
    let agent =
        Agent::start_with(config(&model, data.path()), Arc::new(Docker::connect(None).await.unwrap()));
    let dockerfile = format!(
        "FROM {IMAGE}\nLABEL test={unique}\nRUN --mount=type=secret,id=token : {unique}; cat /run/secrets/token && wc -c < /run/secrets/token > /count\nRUN test ! -s /run/secrets/token\n"
    );
    let steps = json!([
        sh(&format!("cat > Dockerfile <<'END'\n{dockerfile}END\n")),
        uses(
            "docker/build-push-action@v6",
            json!({ "load": "true", "tags": format!("{unique}:1"), "secrets": "token=${{ secrets.WORD }}" })
        ),
        with(
            uses(
                "docker/build-push-action@v6",
                json!({ "secrets": "another=one-more-word", "no-cache": "true" })
            ),
            json!({ "continue_on_error": true })
        ),
    ]);
    let attempt = model.queue(secretly(steps, &[("WORD", &secret)]));
    let finish = model.finished(attempt).await;
    let ran = Ran { finish, known: model.attempt(attempt).unwrap() };
    let image = format!("{unique}:1");
    let (count, bytes) = (docker(&["run", "--rm", &image, "cat", "/count"]), saved(&image));
    let history = docker(&["history", "--no-trunc", &image]);
    docker(&["rmi", "-f", &image]);
    assert_eq!(ran.finish.outcome, Outcome::Succeeded, "{:?}\n{}", ran.finish.reason, ran.all());
    assert_eq!(count, secret.len().to_string(), "{}", ran.all());
    let holds = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
    assert!(holds(&unique) && !holds(&secret), "an image of {} bytes", bytes.len());
    assert!(history.contains("--mount=type=secret") || history.contains("/count"), "{history}");
    assert!(!history.contains(&secret), "{history}");
    assert!(ran.text(2).contains("***") && !ran.all().contains(&secret), "{}", ran.all());
    // Without the secret the file is not there.
    assert_eq!(ran.status(3), StepStatus::Failed, "{}", ran.text(3));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn images_of_two_platforms_are_pushed_as_one_and_one_by_its_digest_alone() {
    let registry = Registry::guarded("me", PASSWORD, HASH).await;
    let unique = format!("tidegate-test-{}", uuid::Uuid::new_v4().simple());
    let (model, data) = (Model::start().await, tempfile::tempdir().unwrap());
    let agent =
        Agent::start_with(config(&model, data.path()), Arc::new(Docker::connect(None).await.unwrap()));
    // No other processor is emulated: the first stage runs here, the last one only copies.
    let dockerfile = format!(
        "FROM --platform=$BUILDPLATFORM {IMAGE} AS build\nARG TARGETARCH\nRUN echo {unique} $TARGETARCH > /word\nFROM scratch\nCOPY --from=build /word /word\nCMD [\"/word\"]\n"
    );
    let repository = format!("{}/team/app", registry.host);
    let image = |id: &str, inputs: Value| {
        with(uses("docker/build-push-action@v6", inputs), json!({ "id": id, "continue_on_error": true }))
    };
    let both = "linux/amd64,linux/arm64";
    let steps = json!([
        sh(&format!("cat > Dockerfile <<'END'\n{dockerfile}END\n")),
        login(&registry.host, "me", "${{ secrets.ONE }}"),
        image("both", json!({ "platforms": both, "push": "true", "tags": format!("{repository}:1") })),
        image(
            "one",
            json!({ "outputs": format!("type=image,name={repository},push-by-digest=true,name-canonical=true,push=true") })
        ),
        sh(
            "echo '${{ steps.both.outputs.digest }} ${{ steps.one.outputs.digest }}'; echo '${{ steps.one.outputs.metadata }}'"
        ),
        sh(&format!("printf 'FROM scratch\\nCOPY --from={IMAGE} / /\\nRUN true\\n' > Dockerfile")),
        image("broken", json!({ "platforms": "linux/s390x" })),
    ]);
    let attempt = model.queue(secretly(steps, &[("ONE", PASSWORD)]));
    let finish = model.finished(attempt).await;
    let ran = Ran { finish, known: model.attempt(attempt).unwrap() };
    let told = ran.text(5);
    let (index, one) = told.lines().next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    for tag in registry.tags("team/app") {
        docker(&["rmi", "-f", &format!("{repository}:{tag}")]);
    }
    assert_eq!(ran.finish.outcome, Outcome::Succeeded, "{:?}\n{}", ran.finish.reason, ran.all());
    assert_eq!([3, 4].map(|step| ran.status(step)), [StepStatus::Succeeded; 2], "{}", ran.all());
    let list = registry.index("team/app", "1");
    let platforms: Vec<&str> = list["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"], "{list}");
    assert_ne!(list["manifests"][0]["digest"], list["manifests"][1]["digest"]);
    assert_eq!(registry.index("team/app", index), list, "by its digest too");
    let status = registry.manifest("team/app", one);
    assert!(status.contains("200 OK"), "{one}: {status}");
    let tags = registry.tags("team/app");
    assert!(tags.iter().all(|tag| tag == "1" || tag.starts_with("tidegate-")), "{tags:?}");
    let metadata: Value = serde_json::from_str(told.lines().nth(1).unwrap()).unwrap();
    assert_eq!(metadata["image.name"], repository);
    assert_eq!(ran.status(7), StepStatus::Failed);
    assert!(ran.text(7).contains("for linux/s390x: no other processor is emulated here"), "{}", ran.text(7));
    assert!(!ran.all().contains(PASSWORD), "{}", ran.all());
    agent.stop().await.unwrap();
}
