//! The Node service: a good commit reaches the cluster by its digest, a bad one does not, and a rollout that does not
//! come is undone.

use serde_json::{Value, json};
use tidegate_e2e::{
    engine::IMAGE,
    example::Example,
    host::TOOLS,
    registry::Registry,
    stack::{Setup, Stack},
    stand_ins,
    world::World,
};

use super::{printed, run_of_push, secret, statuses, told, variable};

#[tokio::test]
async fn a_push_reaches_the_cluster_and_a_bad_rollout_is_undone() {
    let (registry, world) = (Registry::start().await.unwrap(), World::start().await.unwrap());
    let machine = stand_ins::image().unwrap();
    let stack = Stack::start_with(Setup { machines: vec![("ubuntu-latest", machine)], ..Setup::default() })
        .await
        .unwrap();
    let project = stack.project("node-service").await.unwrap();
    let example = Example::load("node-service")
        .and_then(|one| one.replace("node:22-slim", IMAGE))
        .and_then(|one| one.replace("node:22", TOOLS))
        .unwrap();
    variable(&stack, &project, "REGISTRY", &registry.host).await;
    variable(&stack, &project, "REGISTRY_USER", "ci").await;
    secret(&stack, &project, "REGISTRY_PASSWORD", "not asked for").await;
    let access = format!(
        "clusters: [{{cluster: {{\n  server: {}\n}}}}]\nusers: [{{user: {{\n  token: letmein\n}}}}]",
        world.url
    );
    secret(&stack, &project, "KUBECONFIG", &access).await;
    world.put("/kube/token", "\"letmein\"");
    let deployment = json!({"containers": {"api": "nothing"}, "good": ["nothing"], "revisions": []});
    world.put("/kube/deployments/api", &deployment.to_string());
    let deployed =
        || world.json("/kube/deployments/api").unwrap()["containers"]["api"].as_str().unwrap().to_owned();

    let first = run_of_push(&stack, &project, &example.files()).await;
    assert_eq!(first["status"], "succeeded", "{}", told(&stack.admin, &first).await);
    let good = deployed();
    assert!(good.starts_with(&format!("{}/shop/api@sha256:", registry.host)), "{good}");
    let tags = registry.tags("shop/api").await.unwrap();
    for tag in ["main", first["sha"].as_str().unwrap()] {
        assert!(tags.contains(&tag.to_owned()), "{tag} is not among {tags:?}");
    }
    let calls: Vec<Value> =
        world.all("/kube/calls").iter().map(|call| serde_json::from_str(call).unwrap()).collect();
    let expected = [
        json!(["--namespace=shop", "set", "image", "deployment/api", format!("api={good}")]),
        json!(["--namespace=shop", "rollout", "status", "deployment/api", "--timeout=120s"]),
    ];
    assert_eq!(calls, expected);
    assert!(printed(&stack.admin, &first, "test").await.contains("it answers over HTTP"));

    // What the linter refuses is built by nobody.
    let bad = example.change("src/basket.js", "'use strict';", "'use strict';\nvar lost;").unwrap();
    let second = run_of_push(&stack, &project, &[("src/basket.js", &bad)]).await;
    let expected = [
        ("lint", "failed"),
        ("test", "succeeded"),
        ("scan", "succeeded"),
        ("image", "skipped"),
        ("deploy", "skipped"),
    ];
    assert_eq!(statuses(&second), expected, "{}", told(&stack.admin, &second).await);
    assert!(printed(&stack.admin, &second, "lint").await.contains("`var` is hoisted"));

    // A rollout that does not come is undone, and the run is red.
    world.put("/kube/crashes", "true");
    let fine = example.change("src/basket.js", "in cents", "in whole cents").unwrap();
    let third = run_of_push(&stack, &project, &[("src/basket.js", &fine)]).await;
    let expected = [
        ("lint", "succeeded"),
        ("test", "succeeded"),
        ("scan", "succeeded"),
        ("image", "succeeded"),
        ("deploy", "failed"),
    ];
    assert_eq!(statuses(&third), expected, "{}", told(&stack.admin, &third).await);
    let log = printed(&stack.admin, &third, "deploy").await;
    assert!(log.contains("timed out waiting") && log.contains("api rolled back"), "{log}");
    assert_eq!(deployed(), good);
}
