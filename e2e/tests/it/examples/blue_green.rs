//! Blue and green: a good version goes live, one that never becomes well does not, and one that shows a broken page is
//! put back at once, while somebody asks for the page all the time.

use serde_json::json;
use tidegate_e2e::{
    example::Example,
    host::{Host, NODE, TOOLS, docker, machine_address},
    process::free_port,
    registry::Registry,
    stack::Stack,
};

use super::{printed, run_of_push, secret, statuses, told, visitor::Visitor};

/// Removes the containers that the script on the host started.
struct Colours(String);

impl Drop for Colours {
    fn drop(&mut self) {
        for colour in ["blue", "green"] {
            let _ = docker(&["rm", "--force", &format!("{}-{colour}", self.0)]);
        }
    }
}

#[tokio::test]
async fn a_push_goes_live_and_a_bad_one_is_back_at_once() {
    let (registry, host) = (Registry::start().await.unwrap(), Host::start().unwrap());
    let stack = Stack::start().await.unwrap();
    let project = stack.project("blue-green").await.unwrap();

    // The host, as the README says.
    let (public, blue, green) = (free_port().unwrap(), free_port().unwrap(), free_port().unwrap());
    let app = format!("e2e-shop-{public}");
    let _colours = Colours(app.clone());
    let address = machine_address().unwrap();
    let example = Example::load("blue-green").unwrap();
    let proxy = example
        .change("deploy/nginx.conf", "listen 80;", &format!("listen {public};"))
        .unwrap()
        .replace("http://shop;", &format!("http://{app};"));
    host.run("mkdir -p /srv/shop").unwrap();
    host.write("/srv/shop/settings", &format!("app={app}\nblue_port={blue}\ngreen_port={green}\n")).unwrap();
    host.write("/srv/shop/upstream.conf", &format!("upstream {app} {{ server 127.0.0.1:{blue}; }}\n"))
        .unwrap();
    host.write("/etc/nginx/conf.d/shop.conf", &proxy).unwrap();
    host.run("nginx").unwrap();

    let example = example
        .replace("registry.example.org", &registry.host)
        .and_then(|one| one.replace("web-1.example.org:22", &format!("{address}:{}", host.ssh_port)))
        .and_then(|one| one.replace("node:22-slim", NODE))
        .and_then(|one| one.replace("node:22", TOOLS))
        .and_then(|one| one.replace("buildpack-deps:bookworm-scm", TOOLS))
        .unwrap();
    let url = format!("http://127.0.0.1:{public}");
    project.environment(&stack.admin, "production", json!({ "url": url })).await.unwrap();
    secret(&stack, &project, "REGISTRY_LOGIN", "ci:not-asked-for").await;
    secret(&stack, &project, "DEPLOY_KEY", &host.key).await;
    secret(&stack, &project, "DEPLOY_KNOWN_HOSTS", &host.known_host(&address)).await;

    // The first version goes live in blue.
    let first = run_of_push(&stack, &project, &example.files()).await;
    assert_eq!(first["status"], "succeeded", "{}", told(&stack.admin, &first).await);
    let version = async || reqwest::get(format!("{url}/version")).await.unwrap().text().await.unwrap();
    assert_eq!(version().await.trim(), first["sha"].as_str().unwrap());

    // The second goes live in green; whoever asks meanwhile is always answered.
    let visitor = Visitor::of(format!("{url}/"));
    let text = example.change("src/pages.js", "the shop", "the new shop").unwrap();
    let second = run_of_push(&stack, &project, &[("src/pages.js", &text)]).await;
    assert_eq!(second["status"], "succeeded", "{}", told(&stack.admin, &second).await);
    assert_eq!(version().await.trim(), second["sha"].as_str().unwrap());
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap(), "Welcome to the new shop.\n");

    // The third never becomes well: nobody sees it, and what puts the second back finds it live.
    let sick = example.change("src/server.js", "[200, 'ok\\n']", "[503, 'no stock\\n']").unwrap();
    let third = run_of_push(&stack, &project, &[("src/server.js", &sick)]).await;
    let expected = [
        ("test", "succeeded"),
        ("build", "succeeded"),
        ("push", "succeeded"),
        ("go-live", "failed"),
        ("answers", "skipped"),
        ("rollback: go-live", "succeeded"),
        ("rollback: answers", "succeeded"),
    ];
    assert_eq!(statuses(&third), expected, "{}", told(&stack.admin, &third).await);
    let back = printed(&stack.admin, &third, "rollback: go-live").await;
    assert!(back.contains("green is live with") && !back.contains("starting"), "{back}");
    let (count, wrong) = visitor.ends().await;
    assert!(count > 20 && wrong.is_empty(), "{count} visits, wrong: {wrong:?}");

    // The fourth is well and shows a broken page. The second is put back as it is: its container never stopped.
    let running =
        || docker(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", &format!("{app}-green")]).unwrap();
    let before = running();
    let well = example.text("src/server.js").unwrap();
    let broken = text.replace("return 'Welcome", "return undefined.Welcome; 'Welcome");
    let fourth = run_of_push(&stack, &project, &[("src/server.js", well), ("src/pages.js", &broken)]).await;
    let mut expected = expected;
    (expected[3].1, expected[4].1) = ("succeeded", "failed");
    assert_eq!(statuses(&fourth), expected, "{}", told(&stack.admin, &fourth).await);
    assert_eq!(fourth["status"], "failed");
    let back = printed(&stack.admin, &fourth, "rollback: go-live").await;
    assert!(back.contains("green still runs") && !back.contains("starting"), "{back}");
    assert_eq!(running(), before, "what was put back had not stopped");
    assert_eq!(version().await.trim(), second["sha"].as_str().unwrap());
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap(), "Welcome to the new shop.\n");
}
