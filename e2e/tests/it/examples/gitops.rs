//! The GitOps pipeline: a commit goes through staging and all steps of the canary, a canary that fails is taken back, and
//! what scans refuse is built by nobody.

use serde_json::{Value, json};
use tidegate_e2e::{
    api::stage,
    engine::IMAGE,
    example::Example,
    host::{Host, machine_address},
    registry::Registry,
    stack::{Project, Setup, Stack},
    stand_ins,
    world::World,
};

use super::{printed, run_of_push, secret, told, variable};

/// What Prometheus answers: the share of requests that fail.
fn failing(share: &str) -> String {
    json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, share]}]}})
        .to_string()
}

/// The configuration's repository, as a bare one on the host.
fn keep_configuration(host: &Host, example: &Example) {
    host.run("mkdir -p /srv/git /srv/config/base /srv/config/staging /srv/config/production").unwrap();
    for (path, text) in example.files() {
        if path.starts_with("config/") {
            host.write(&format!("/srv/{path}"), text).unwrap();
        }
    }
    host.run(
        "cd /srv/config && git init --quiet --initial-branch=main && git add --all && \
         git -c user.name=Ops -c user.email=ops@example.org commit --quiet --message 'as it was' && \
         git clone --quiet --bare /srv/config /srv/git/config.git",
    )
    .unwrap();
}

/// Variables and secrets, as the README says.
async fn set_up(stack: &Stack, project: &Project, world: &World, registry: &Registry, host: &Host) {
    let address = machine_address().unwrap();
    let config = format!("ssh://deploy@{address}:{}/srv/git/config.git", host.ssh_port);
    for (name, value) in [
        ("REGISTRY", registry.host.as_str()),
        ("REGISTRY_USER", "ci"),
        ("CONFIG_REPOSITORY", &config),
        ("CONFIG_KNOWN_HOSTS", &host.known_host(&address)),
        ("ARGOCD_SERVER", world.url.trim_start_matches("http://")),
        ("STAGING_URL", &format!("{}/staging", world.url)),
        ("PROMETHEUS_URL", &world.url),
        ("WATCH_SECONDS", "1"),
        ("RELEASE_API", &format!("{}/api", world.url)),
    ] {
        variable(stack, project, name, value).await;
    }
    for (name, value) in [
        ("REGISTRY_PASSWORD", "not asked for"),
        ("CONFIG_KEY", &host.key),
        ("ARGOCD_AUTH_TOKEN", "letmein"),
        ("RELEASE_TOKEN", "a-token-of-its-own"),
        ("SLACK_WEBHOOK", &format!("{}/slack", world.url)),
    ] {
        secret(stack, project, name, value).await;
    }
    for environment in ["staging", "production"] {
        project.environment(&stack.admin, environment, json!({})).await.unwrap();
    }
    world.put("/argocd/token", "\"letmein\"");
    for app in ["shop-staging", "shop-production"] {
        world.put(&format!("/argocd/apps/{app}"), r#"{"revision": "", "history": []}"#);
    }
    world.put("/staging/health", "ok");
    world.put("/api/v1/query", &failing("0.002"));
}

#[tokio::test]
async fn a_commit_goes_step_by_step_and_a_bad_one_is_taken_back() {
    let (registry, world) = (Registry::start_open().await.unwrap(), World::start().await.unwrap());
    let (host, machine) = (Host::start().unwrap(), stand_ins::image().unwrap());
    let stack =
        Stack::start_with(Setup { machines: vec![("ubuntu-latest", machine.clone())], ..Setup::default() })
            .await
            .unwrap();
    let project = stack.project("gitops").await.unwrap();
    let example = Example::load("gitops")
        .and_then(|one| one.replace("node:22-slim", IMAGE))
        .and_then(|one| one.replace("semgrep/semgrep:1.86.0", &machine))
        .and_then(|one| one.replace("aquasec/trivy:0.53.0", &machine))
        .and_then(|one| one.replace("grafana/k6:0.52.0", &machine))
        .unwrap();
    keep_configuration(&host, &example);
    set_up(&stack, &project, &world, &registry, &host).await;
    let show = |path: &str| host.run(&format!("git -C /srv/git/config.git show HEAD:{path}")).unwrap();
    let messages = || host.run("git -C /srv/git/config.git log --reverse --format=%s").unwrap();

    let first = run_of_push(&stack, &project, &example.files()).await;
    let said = told(&stack.admin, &first).await;
    assert_eq!(first["status"], "succeeded", "{said}");
    assert_eq!(stage(&first, "back").unwrap()["status"], "skipped", "{said}");
    let good = first["sha"].as_str().unwrap().to_owned();
    let expected: Vec<String> = ["as it was".to_owned(), format!("staging: {good}")]
        .into_iter()
        .chain([10, 25, 50, 100].map(|weight| format!("production: {weight} % of {good}")))
        .chain([format!("production: {good} is stable")])
        .collect();
    assert_eq!(messages().lines().collect::<Vec<_>>(), expected);
    let production = world.json("/argocd/apps/shop-production").unwrap();
    let head = host.run("git -C /srv/git/config.git rev-parse HEAD").unwrap();
    assert_eq!(production["revision"], head.as_str());
    assert_eq!(production["history"].as_array().unwrap().len(), 5, "four steps and the promotion");
    let stable = format!("name: api\n    newName: {}/shop/api\n    newTag: {good}", registry.host);
    assert!(
        show("production/kustomization.yaml").contains(&stable),
        "{}",
        show("production/kustomization.yaml")
    );
    assert!(show("production/traffic.yaml").contains("weight: 100 # stable"));
    assert!(printed(&stack.admin, &first, "load").await.contains("0 of 50"), "{said}");
    let release: Value = world.json("/api/repos/e2e/gitops/releases").unwrap();
    assert_eq!(release["target_commitish"], good.as_str());
    assert!(release["body"].as_str().unwrap().contains("- change it ("), "{release}");
    let slack = || world.all("/slack").pop().unwrap();
    assert!(slack().contains("is in production"), "{}", slack());

    // The canary fails: nobody has it any more, and the stable one is what it was.
    world.put("/api/v1/query", &failing("0.2"));
    let web = example.change("services/web/main.js", "The shop", "The new shop").unwrap();
    let second = run_of_push(&stack, &project, &[("services/web/main.js", &web)]).await;
    let said = told(&stack.admin, &second).await;
    for (key, status) in [
        ("canary-10 / step", "failed"),
        ("canary-25 / step", "skipped"),
        ("promote", "skipped"),
        ("back", "succeeded"),
        ("release", "skipped"),
        ("tell", "succeeded"),
    ] {
        assert_eq!(stage(&second, key).unwrap()["status"], status, "{key}: {said}");
    }
    assert!(show("production/kustomization.yaml").contains(&stable), "{said}");
    let traffic = show("production/traffic.yaml");
    assert!(traffic.contains("weight: 100 # stable") && traffic.contains("weight: 0 # canary"), "{traffic}");
    assert!(slack().contains("was taken back"), "{}", slack());

    // A licence that is not allowed, and code that should not be.
    let package = example.change(
        "package.json",
        "\"scripts\"",
        "\"dependencies\": {\"left\": \"file:vendor/left\"},\n  \"scripts\"",
    );
    let lock = example
        .change("package-lock.json", "\"engines\": { \"node\": \">=18\" }\n    }", "\"engines\": { \"node\": \">=18\" },\n      \"dependencies\": { \"left\": \"file:vendor/left\" }\n    },\n    \"node_modules/left\": { \"resolved\": \"vendor/left\", \"link\": true },\n    \"vendor/left\": { \"version\": \"1.0.0\", \"license\": \"GPL-3.0-only\" }")
        .unwrap();
    let dangerous = example
        .change("services/web/main.js", "function page", "const old = (path) => eval(path);\n\nfunction page")
        .unwrap();
    let third = run_of_push(
        &stack,
        &project,
        &[
            ("package.json", &package.unwrap()),
            ("package-lock.json", &lock),
            (
                "vendor/left/package.json",
                r#"{"name": "left", "version": "1.0.0", "license": "GPL-3.0-only"}"#,
            ),
            ("services/web/main.js", &dangerous),
        ],
    )
    .await;
    let said = told(&stack.admin, &third).await;
    let quality = printed(&stack.admin, &third, "quality").await;
    assert!(quality.contains("vendor/left 1.0.0: GPL-3.0-only is not allowed"), "{said}");
    assert!(printed(&stack.admin, &third, "sast").await.contains("eval-detected"), "{said}");
    for (key, status) in
        [("quality", "failed"), ("sast", "failed"), ("image (api)", "skipped"), ("staging", "skipped")]
    {
        assert_eq!(stage(&third, key).unwrap()["status"], status, "{key}: {said}");
    }
    assert!(slack().contains("did not reach production"), "{}", slack());
}
