//! What a stage asks of its own container and of its services beside an image, on Docker itself.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tidegate_pipelines::plan::StagePlan;
use tidegate_protocol::messages::{Finish, Lease, Outcome, Secret};

use crate::{
    docker::{Runner, docker, inspect},
    support::{
        IMAGE,
        agent::{lease, lenient, sh},
        server::Attempt,
    },
};

/// A stage of these steps that fills in its templates itself, with further parts of its plan and of its container.
fn asking(steps: Value, container: Value, parts: Value) -> StagePlan {
    let mut plan = serde_json::to_value(lenient(steps)).unwrap();
    plan["verb"]["container"] = container;
    for (name, value) in parts.as_object().unwrap() {
        plan[name] = value.clone();
    }
    serde_json::from_value(plan).unwrap()
}

async fn run(runner: &Runner, lease: Lease) -> (Finish, Attempt) {
    let attempt = runner.model.queue(lease);
    let finish = runner.model.finished(attempt).await;
    (finish, runner.model.attempt(attempt).unwrap())
}

/// What a step printed, without the head that says what is run.
fn said(known: &Attempt, step: u32) -> String {
    known.text(step).rsplit("##[endgroup]\n").next().unwrap().to_owned()
}

#[track_caller]
fn succeeded(finish: &Finish, known: &Attempt) {
    let all: String = known.log.keys().map(|step| known.text(*step)).collect();
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}\n{all}", finish.reason);
}

/// A repository with a script that is not executable yet.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/tool"), "#!/bin/sh\necho tool\n").unwrap();
    let script = "git init -qb main . && git add . && git -c user.name=t -c user.email=t@t commit -qm one";
    assert!(Command::new("sh").args(["-c", script]).current_dir(folder.path()).status().unwrap().success());
    folder
}

#[tokio::test]
async fn a_stage_runs_as_the_user_that_it_asks_for_and_the_workspace_is_that_users() {
    let runner = Runner::start().await;
    let repository = repository();
    let head =
        Command::new("git").args(["rev-parse", "HEAD"]).current_dir(repository.path()).output().unwrap();
    let image = format!("docker://{IMAGE}");
    let steps = || {
        json!([
            sh("id -u; id -g; echo $HOME; chmod +x sub/tool; sub/tool; echo mine > sub/new; echo a > $HOME/a; touch $RUNNER_TEMP/t"),
            // As root of another container; what it leaves is handed over too.
            { "uses": { "action": image, "with": { "entrypoint": "/bin/sh", "args": "-c 'id -u; mkdir -p $GITHUB_WORKSPACE/theirs/deep; echo x > $GITHUB_WORKSPACE/theirs/deep/file'" } }, "name": "other" },
            sh("rm -r theirs sub; touch top; grep -E '^Cap(Prm|Eff):' /proc/self/status; touch /etc/x 2>/dev/null || echo no root; echo out=done >> $GITHUB_OUTPUT"),
        ])
    };
    let none = "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nno root\n";
    for (user, ids, trusted) in
        [("nobody", "65534\n65534", true), ("1001:77", "1001\n77", true), ("1001", "1001\n0", false)]
    {
        let mut lease = lease(asking(steps(), json!({ "user": user }), json!({ "checkout": true })));
        lease.source.clone_url = format!("file://{}", repository.path().display());
        lease.source.sha = String::from_utf8(head.stdout.clone()).unwrap().trim().to_owned();
        lease.trusted = trusted;
        let (finish, known) = run(&runner, lease).await;
        succeeded(&finish, &known);
        assert_eq!(said(&known, 1), format!("{ids}\n/tidegate/home\ntool\n"), "{user}");
        assert_eq!(said(&known, 2), "0\n");
        assert_eq!(said(&known, 3), none);
    }
    runner.stop().await;
}

#[tokio::test]
async fn a_user_that_the_image_does_not_have_is_one_sentence() {
    let runner = Runner::start().await;
    let stage = asking(json!([sh("true")]), json!({ "user": "${{ 'nemo' }}" }), json!({}));
    let (finish, _) = run(&runner, lease(stage)).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    let reason = finish.reason.unwrap();
    assert!(reason.contains(&format!("`{IMAGE}`")) && reason.contains("nemo"), "{reason}");
    runner.stop().await;
}

#[tokio::test]
async fn a_containers_own_environment_is_seen_by_its_steps_and_its_secrets_are_masked() {
    let runner = Runner::start().await;
    let env = json!({ "OWN": "${{ github.ref }}", "TOKEN": "${{ secrets.T }}", "BOTH": "container" });
    let steps = json!([sh(
        "echo $OWN $BOTH $TOKEN; echo [${{ env.OWN }}]; tr '\\0' '\\n' < /proc/1/environ | grep ^OWN"
    )]);
    let mut lease = lease(asking(steps, json!({ "env": env }), json!({ "env": { "BOTH": "stage" } })));
    lease.secrets.push(Secret { name: "T".to_owned(), env: None, value: "a-hidden-word".to_owned() });
    let (finish, known) = run(&runner, lease).await;
    succeeded(&finish, &known);
    // As on GitHub, the context `env` is the stage's and its steps' alone.
    assert_eq!(said(&known, 1), "refs/heads/main stage ***\n[]\nOWN=refs/heads/main\n");
    runner.stop().await;
}

/// A service that serves one word at a port.
fn serving(name: &str, port: u16, container: Value) -> Value {
    let script =
        format!("mkdir -p /tmp/www; echo {name} > /tmp/www/index.html; exec httpd -f -p {port} -h /tmp/www");
    json!({ "name": name, "image": IMAGE, "command": ["-c", script], "container": container,
            "ready": { "probe": { "tcp": port }, "interval_ms": 50, "timeout_ms": 30_000 } })
}

#[tokio::test]
async fn services_are_reached_at_localhost_by_the_ports_that_they_ask_for() {
    let mut runner = Runner::start().await;
    let shell = |ports: Value| json!({ "entrypoint": ["/bin/sh"], "ports": ports });
    let services = json!([
        serving("one", 8080, shell(json!(["8080", "80:8080"]))),
        serving("two", 8080, shell(json!(["8080/tcp", "127.0.0.1:${{ 9000 }}:8080"]))),
        serving("three", 8080, json!({ "entrypoint": ["/bin/sh"] })),
    ]);
    let ask = "for at in localhost:8080 127.0.0.1:80 localhost:9000 localhost:8081 three:8080; do wget -q -O - http://$at/ 2>/dev/null || echo no $at; done";
    let steps = json!([
        sh(
            "echo ${{ job.services.one.ports[8080] }} ${{ job.services.two.ports['8080'] }} [${{ job.services.three.ports[8080] }}]"
        ),
        sh(ask),
        sh("while [ ! -e go ]; do sleep 0.02; done"),
        sh("wget -q -O - http://localhost:80/ && echo still ${{ job.services.two.ports[8080] }}"),
    ]);
    let plan = asking(steps, json!({ "user": "nobody" }), json!({ "services": services }));
    let attempt = runner.model.queue(lease(plan));
    runner.model.printed(attempt, 2, "three").await;
    // Nothing of it is a port of this machine.
    let filter = format!("label=tidegate.attempt={attempt}");
    let containers = docker(&["ps", "-q", "--filter", &filter]);
    assert_eq!(containers.split_whitespace().count(), 4);
    for id in containers.split_whitespace() {
        let ports = inspect(id)["NetworkSettings"]["Ports"].clone();
        assert!(ports.as_object().is_none_or(|ports| ports.values().all(Value::is_null)), "{ports}");
    }
    // The ways are there, and known, after a restart of the runner too.
    runner.kill_and_restart().await;
    std::fs::write(runner.data.path().join(format!("stages/{attempt}/files/workspace/go")), "").unwrap();
    let finish = runner.model.finished(attempt).await;
    let known = runner.model.attempt(attempt).unwrap();
    succeeded(&finish, &known);
    assert_eq!(said(&known, 1), "80 9000 []\n");
    assert_eq!(said(&known, 2), "one\none\ntwo\nno localhost:8081\nthree\n");
    assert_eq!(said(&known, 4), "one\nstill 9000\n");
    assert!(known.text(0).contains("port 8080 of service two is at localhost:9000"), "{}", known.text(0));
    runner.stop().await;
}

#[tokio::test]
async fn a_service_has_the_environment_user_and_entry_point_that_it_asks_for() {
    let runner = Runner::start().await;
    let serve =
        "mkdir -p /tmp/www; (id -u; echo $WORD $0) > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";
    let service = json!({ "name": "web", "image": IMAGE, "env": { "WORD": "${{ github.sha }}" },
        "command": [serve, "zero"],
        "container": { "user": "1001", "entrypoint": ["/bin/sh", "-c"] },
        "ready": { "probe": { "tcp": 8080 }, "interval_ms": 50, "timeout_ms": 30_000 } });
    let plan =
        asking(json!([sh("wget -q -O - http://web:8080/")]), json!({}), json!({ "services": [service] }));
    let (finish, known) = run(&runner, lease(plan)).await;
    succeeded(&finish, &known);
    assert_eq!(said(&known, 1), format!("1001\n{} zero\n", "0".repeat(40)));
    runner.stop().await;
}

#[tokio::test]
async fn ports_that_make_no_sense_fail_the_stage_before_anything_is_started() {
    let runner = Runner::start().await;
    let services = |ports: Value| json!({ "services": [serving("db", 8080, json!({ "ports": ports }))] });
    for (ports, part) in
        [(json!(["${{ 'x' }}"]), "`x` of the service `db`"), (json!(["80:1", "80:2"]), "twice")]
    {
        let (finish, _) = run(&runner, lease(asking(json!([sh("true")]), json!({}), services(ports)))).await;
        assert_eq!(finish.outcome, Outcome::Failed);
        let reason = finish.reason.unwrap();
        assert!(reason.contains(part), "{reason}");
    }
    runner.stop().await;
}

/// A registry process that wants a password.
struct Locked {
    process: Child,
    host: String,
    _folder: tempfile::TempDir,
}

const PASSWORD: &str = "rOb0t-pass-word";
/// `robot` with that password, as web servers keep it.
const KNOWN: &str = "robot:$2y$05$abcdefghijklmnopqrstuuC4U9HKbDDm.YoyHuCta7V5yWoEoLRBi\n";

impl Locked {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("known"), KNOWN).unwrap();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{host}'}}\nauth: {{htpasswd: {{realm: tests, path: {}}}}}\n",
            at("data"),
            at("known")
        );
        std::fs::write(at("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(at("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let locked = Self { process: command.spawn().unwrap(), host, _folder: folder };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(&locked.host).await.is_ok() {
                return locked;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the registry does not listen");
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_locked_image_is_pulled_with_credentials_that_nobody_sees() {
    use tidegate_protocol::messages::RegistryLogin;
    use tidegate_runner::sandbox::{Images as _, PushRequest};
    let (runner, registry) = (Runner::start().await, Locked::start().await);
    let (repository, image) =
        (format!("{}/team/box", registry.host), format!("{}/team/box:1", registry.host));
    let login = RegistryLogin { username: "robot".to_owned(), password: PASSWORD.to_owned() };
    let push = PushRequest {
        image_id: IMAGE.to_owned(),
        repository,
        tags: vec!["1".to_owned()],
        login: Some(login),
    };
    crate::docker::engine().await.push(&push, &mut |_: &[u8]| ()).await.unwrap();
    let gone = || docker(&["rmi", &image]);
    gone();

    let credentials =
        |password: &str| json!({ "credentials": { "username": "robot", "password": password } });
    let with_image = |container: Value, parts: Value| {
        let mut plan = serde_json::to_value(asking(
            json!([sh("env; cat /proc/1/environ /proc/1/cmdline; echo; echo ran")]),
            container,
            parts,
        ))
        .unwrap();
        plan["verb"]["image"] = json!(image);
        lease(serde_json::from_value(plan).unwrap())
    };
    let secret = || Secret { name: "PASSWORD".to_owned(), env: None, value: PASSWORD.to_owned() };

    // Without them, and with empty ones as a run of a fork has them, it cannot be had.
    for container in [json!({}), credentials("${{ secrets.PASSWORD }}")] {
        let (finish, _) = run(&runner, with_image(container, json!({}))).await;
        let reason = finish.reason.unwrap();
        assert!(finish.outcome == Outcome::Failed && reason.contains("cannot be pulled"), "{reason}");
    }
    // Wrong ones are not told to anybody.
    let (finish, known) = run(&runner, with_image(credentials("a-wrong-password"), json!({}))).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    let all: String = known.log.keys().map(|step| known.text(*step)).collect();
    assert!(!format!("{:?}{all}", finish.reason).contains("a-wrong-password"));

    let mut leased = with_image(credentials("${{ secrets.PASSWORD }}"), json!({}));
    leased.secrets.push(secret());
    let (finish, known) = run(&runner, leased).await;
    succeeded(&finish, &known);
    let all: String = known.log.keys().map(|step| known.text(*step)).collect();
    // Not even hidden: it is not there.
    assert!(all.contains("ran") && !all.contains(PASSWORD) && !all.contains("***"), "{all}");
    gone();

    // The same for a service.
    let service = json!({ "name": "web", "image": image, "command": ["/bin/sh", "-c", "sleep 300"],
        "container": credentials("${{ secrets.PASSWORD }}") });
    let mut leased = lease(asking(json!([sh("true")]), json!({}), json!({ "services": [service] })));
    leased.secrets.push(secret());
    let (finish, known) = run(&runner, leased).await;
    succeeded(&finish, &known);
    runner.stop().await;
    gone();
}
