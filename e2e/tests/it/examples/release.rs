//! The release: a version is raised by hand, its tag reaches both halves of production, and one that answers with another
//! version than its own goes back before the second half sees it.

use serde_json::{Value, json};
use tidegate_e2e::{
    api::stage,
    engine::IMAGE,
    example::Example,
    host::{Host, NODE, TOOLS, docker, machine_address},
    process::free_port,
    registry::Registry,
    repo::{Push, deliver, git},
    stack::{Project, Setup, Stack},
    stand_ins,
    world::World,
};

use super::{ENDS, LIMIT, printed, secret, told, visitor::Visitor};

/// What the test made in the engine, by the beginning of its name.
struct Made(String);

impl Drop for Made {
    fn drop(&mut self) {
        let filter = format!("name=^{}", self.0);
        for (list, remove) in [
            (["container", "ls", "--all", "--quiet"].as_slice(), ["container", "rm", "--force"].as_slice()),
            (&["network", "ls", "--quiet"], &["network", "rm"]),
            (&["volume", "ls", "--quiet"], &["volume", "rm"]),
        ] {
            let found = docker(&[list, &["--filter", &filter]].concat()).unwrap_or_default();
            for id in found.split_whitespace() {
                let _ = docker(&[remove, &[id]].concat());
            }
        }
    }
}

/// Raises the version by hand, and gives the run of the tag that comes of it.
async fn release(stack: &Stack, project: &Project, level: &str, tag: &str) -> Value {
    let start = json!({"reference": "main", "pipeline": ".tidegate/bump.yml", "inputs": {"level": level}});
    let made = stack.admin.post(&format!("/repositories/{}/runs", project.id), start).await.unwrap();
    let bump = stack.admin.run_until(made["id"].as_str().unwrap(), &ENDS, LIMIT).await.unwrap();
    assert_eq!(bump["status"], "succeeded", "{}", told(&stack.admin, &bump).await);
    let work = project.repo.work();
    git(&work, &["pull", "--quiet", "--tags", "origin", "main"]).unwrap();
    let after = git(&work, &["rev-parse", &format!("refs/tags/{tag}")]).unwrap();
    assert_eq!(after, git(&work, &["rev-parse", "HEAD"]).unwrap(), "the tag is of what is on the branch");
    let push = Push {
        before: "0".repeat(40),
        after,
        reference: format!("refs/tags/{tag}"),
        pusher: "dev".to_owned(),
        changed: Vec::new(),
    };
    let body = project.repo.webhook(&push);
    assert_eq!(deliver(&project.webhook_url, &project.webhook_secret, "push", &body).await.unwrap(), 202);
    let id = stack.admin.run_of(&push.after).await.unwrap();
    stack.admin.run_until(&id, &ENDS, LIMIT).await.unwrap()
}

#[tokio::test]
async fn a_version_is_raised_and_released_and_a_wrong_one_goes_back() {
    let (registry, world) = (Registry::start_open().await.unwrap(), World::start().await.unwrap());
    let host = Host::start().unwrap();
    let programs = Some(host.ssh_folder("app-1.example.org").unwrap());
    let mut stack = Stack::start_with(Setup { programs, ..Setup::default() }).await.unwrap();
    for platform in ["amd64", "arm64"] {
        stack.add_runner_with(platform).await.unwrap();
    }
    let project = stack.project("release").await.unwrap();
    let origin = project.repo.work().with_file_name("origin.git");
    let forge = Host::start_with(Some((&origin, "/srv/git/app.git"))).unwrap();

    let address = machine_address().unwrap();
    let (public, half_a, half_b) = (free_port().unwrap(), free_port().unwrap(), free_port().unwrap());
    let name = format!("e2e-release-{public}-");
    let _made = Made(name.clone());
    let app = format!("{}/shop/app", registry.host);
    let example = Example::load("release")
        .and_then(|one| one.replace("registry.example.org", &registry.host))
        .and_then(|one| {
            one.replace(
                "ssh://git@git.example.org/shop",
                &format!("ssh://deploy@{address}:{}/srv/git", forge.ssh_port),
            )
        })
        .and_then(|one| one.replace("app-1.example.org:22", &format!("{address}:{}", host.ssh_port)))
        .and_then(|one| one.replace("ghcr.io/regclient/regctl:v0.8.0-alpine", &stand_ins::image()?))
        .and_then(|one| one.replace("node:22-slim", NODE))
        .and_then(|one| one.replace("node:22", TOOLS))
        .and_then(|one| one.replace("busybox:1.36", IMAGE))
        .and_then(|one| one.replace("shop-data", &format!("{name}data")))
        .and_then(|one| one.replace("\"shop-${{", &format!("\"{name}${{{{")))
        .and_then(|one| one.replace("8081", &half_a.to_string()))
        .and_then(|one| one.replace("8082", &half_b.to_string()))
        .unwrap();
    let proxy = example.change("deploy/nginx.conf", "listen 80;", &format!("listen {public};")).unwrap();
    host.write("/etc/nginx/conf.d/shop.conf", &proxy).unwrap();
    host.run("nginx").unwrap();
    docker(&["volume", "create", &format!("{name}data")]).unwrap();
    for (half, port) in [("production-a", half_a), ("production-b", half_b)] {
        let rules = json!({"url": format!("http://127.0.0.1:{port}")});
        project.environment(&stack.admin, half, rules).await.unwrap();
    }
    let slack = format!("{}/slack", world.url);
    for (name, value) in [
        ("REGISTRY_LOGIN", "ci:not-asked-for"),
        ("PUSH_KEY", &forge.key),
        ("PUSH_KNOWN_HOSTS", &forge.known_host(&address)),
        ("DEPLOY_KEY", &host.key),
        ("DEPLOY_KNOWN_HOSTS", &host.known_host(&address)),
        ("SLACK_WEBHOOK", &slack),
    ] {
        secret(&stack, &project, name, value).await;
    }
    // What earlier releases left on the host.
    for old in 1..=3 {
        let text = format!("FROM {IMAGE}\nLABEL old={old}-{public}\n");
        host.run(&format!("printf '{text}' | docker build --quiet --tag {app}:old-{old} -")).unwrap();
    }

    // A push releases nothing; the tag does.
    // What is in the image is new each time: a build of an earlier test is no newer than what is old here.
    let mut files = example.files();
    files.push(("src/built-for.txt", &name));
    project.repo.push(&files, "the service").unwrap();
    let first = release(&stack, &project, "minor", "v1.1.0").await;
    assert_eq!(first["status"], "succeeded", "{}", told(&stack.admin, &first).await);
    let coverage = &stage(&first, "test").unwrap()["reports"][0]["summary"];
    assert!(coverage["percent"].as_f64().unwrap() > 80.0, "{coverage}");
    let tags = registry.tags("shop/app").await.unwrap();
    for tag in ["1.1.0", "1.1.0-amd64", "1.1.0-arm64"] {
        assert!(tags.contains(&tag.to_owned()), "{tag} is not among {tags:?}");
    }
    let url = format!("http://127.0.0.1:{public}");
    let health = async |url: &str| -> Value {
        reqwest::get(format!("{url}/health")).await.unwrap().json().await.unwrap()
    };
    assert_eq!(health(&url).await, json!({"version": "1.1.0"}));
    let cleaned = printed(&stack.admin, &first, "clean-up").await;
    assert!(cleaned.contains(&format!("removed {app}:old-1")), "{cleaned}");
    assert!(!cleaned.contains("old-3"), "the newest three stay: {cleaned}");
    let told_slack = || world.all("/slack").pop().unwrap();
    assert!(told_slack().contains("v1.1.0") && told_slack().contains("is in production"), "{}", told_slack());

    // Orders are taken while the next version comes, which tells a version that it is not.
    let order = reqwest::Client::new().post(format!("{url}/orders")).body(r#"{"thing": "lamp", "count": 2}"#);
    assert_eq!(order.send().await.unwrap().status(), 201);
    let visitor = Visitor::of(format!("{url}/orders"));
    let wrong = example.change("src/server.js", "process.env.VERSION ||", "process.env.VERSON ||").unwrap();
    project.repo.push(&[("src/server.js", &wrong)], "tidy up").unwrap();
    let second = release(&stack, &project, "patch", "v1.1.1").await;
    let (count, wrong) = visitor.ends().await;
    let said = told(&stack.admin, &second).await;
    assert_eq!(second["status"], "failed", "{said}");
    for (key, status) in [
        ("half-a", "succeeded"),
        ("half-a-answers", "failed"),
        ("half-b", "skipped"),
        ("rollback: half-a", "succeeded"),
        ("rollback: half-a-answers", "succeeded"),
        ("clean-up", "skipped"),
        ("tell", "succeeded"),
    ] {
        assert_eq!(stage(&second, key).unwrap()["status"], status, "{key}: {said}");
    }
    assert!(count > 20 && wrong.is_empty(), "{count} visits, wrong: {wrong:?}");
    for port in [half_a, half_b] {
        assert_eq!(health(&format!("http://127.0.0.1:{port}")).await, json!({"version": "1.1.0"}));
    }
    assert!(told_slack().contains("did not reach production"), "{}", told_slack());
    let build = printed(&stack.admin, &second, "build-amd64").await;
    assert!(build.to_lowercase().contains("cache"), "layers of the first release are taken again: {build}");
    let kept = "tar -xzOf /srv/shop/backups/before-1.1.1-*.tar.gz ./orders.jsonl";
    assert_eq!(host.run(kept).unwrap(), r#"{"thing":"lamp","count":2}"#);

    // Nobody releases what is not tested well enough.
    let untested = example
        .change("test/service.test.js", "test('orders are kept', async", "test.skip('orders are kept', async")
        .unwrap();
    run_untested(&stack, &project, &untested).await;
}

/// A release of what no test looks at: refused by its coverage.
async fn run_untested(stack: &Stack, project: &Project, untested: &str) {
    project.repo.push(&[("test/service.test.js", untested)], "skip it").unwrap();
    let third = release(stack, project, "major", "v2.0.0").await;
    let test = stage(&third, "test").unwrap();
    assert_eq!(test["status"], "failed", "{}", told(&stack.admin, &third).await);
    assert!(test["reason"].as_str().unwrap().contains("coverage"), "{test}");
}
