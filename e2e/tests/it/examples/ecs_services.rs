//! Three services to ECS: all three are deployed by task definitions that hold together, and of a bad commit the worker
//! goes back alone.

use serde_json::{Value, json};
use tidegate_e2e::{
    api::stage, engine::IMAGE, example::Example, host::TOOLS, registry::Registry, stack::Stack, stand_ins,
    world::World,
};

use super::{run_of_push, secret, statuses, told};

const SERVICES: [&str; 3] = ["api", "worker", "web"];

/// The image that a service's task definition names.
fn runs(world: &World, service: &str) -> String {
    let found = world.json(&format!("/aws/services/{service}")).unwrap();
    let definitions = world.json(&format!("/aws/task-definitions/shop-{service}")).unwrap();
    let mut definitions = definitions.as_array().unwrap().iter();
    let definition = definitions.find(|one| one["taskDefinitionArn"] == found["taskDefinition"]).unwrap();
    definition["containerDefinitions"][0]["image"].as_str().unwrap().to_owned()
}

/// The image that a run pushed for a service.
fn pushed(run: &Value, service: &str) -> String {
    let push = stage(run, &format!("push (service={service})")).unwrap();
    push["outputs"]["image"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn three_services_are_deployed_and_one_goes_back_alone() {
    let (registry, world) = (Registry::start().await.unwrap(), World::start().await.unwrap());
    let stack = Stack::start().await.unwrap();
    let project = stack.project("ecs-services").await.unwrap();
    let region = "AWS_REGION: eu-central-1";
    let example = Example::load("ecs-services")
        .and_then(|one| one.replace("registry.example.org", &registry.host))
        .and_then(|one| one.replace("node:22-slim", IMAGE))
        .and_then(|one| one.replace("node:22", TOOLS))
        .and_then(|one| one.replace("amazon/aws-cli:2.17.0", &stand_ins::image()?))
        .and_then(|one| one.replace(region, &format!("{region}, AWS_ENDPOINT_URL: \"{}\"", world.url)))
        .unwrap();
    for (name, value) in [
        ("REGISTRY_LOGIN", "ci:not-asked-for"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrEXAMPLE"),
    ] {
        secret(&stack, &project, name, value).await;
    }
    world.put("/aws/keys", r#"["AKIDEXAMPLE", "wJalrEXAMPLE"]"#);
    world.put("/aws/cluster", r#""shop""#);
    for service in SERVICES {
        project.environment(&stack.admin, &format!("production-{service}"), json!({})).await.unwrap();
        let empty = json!({"serviceName": service, "taskDefinition": "", "desiredCount": 2, "runningCount": 0, "deployments": []});
        world.put(&format!("/aws/services/{service}"), &empty.to_string());
    }

    let first = run_of_push(&stack, &project, &example.files()).await;
    assert_eq!(first["status"], "succeeded", "{}", told(&stack.admin, &first).await);
    assert_eq!(first["stages"].as_array().unwrap().len(), 15);
    for service in SERVICES {
        assert_eq!(runs(&world, service), pushed(&first, service));
        assert_eq!(world.json(&format!("/aws/services/{service}")).unwrap()["runningCount"], 2);
        let tags = registry.tags(&format!("shop/{service}")).await.unwrap();
        assert!(tags.contains(&"stable".to_owned()), "{tags:?}");
    }

    // The new worker never becomes stable: it goes back, the others do not.
    world.put("/aws/unstable", r#"["/worker@"]"#);
    let second = run_of_push(&stack, &project, &[]).await;
    let bad: Vec<_> = statuses(&second).into_iter().filter(|(_, status)| *status != "succeeded").collect();
    let expected = [("deploy (service=worker)", "failed")];
    assert_eq!(bad[..1], expected, "{}", told(&stack.admin, &second).await);
    let back = stage(&second, "rollback: deploy (service=worker)").unwrap();
    assert_eq!(back["status"], "succeeded", "{}", told(&stack.admin, &second).await);
    assert_eq!(second["status"], "failed");
    assert_eq!(runs(&world, "worker"), pushed(&first, "worker"));
    for service in ["api", "web"] {
        assert_eq!(runs(&world, service), pushed(&second, service));
        assert_ne!(pushed(&first, service), pushed(&second, service));
    }
}
