//! What a sandbox on Docker may do and reach, and what stays of it; asked of the engine itself and from inside.

use std::{os::unix::fs::PermissionsExt as _, process::Command, sync::Arc};

use serde_json::{Value, json};
use tidegate_pipelines::plan::{Resources, StagePlan};
use tidegate_protocol::messages::{Finish, Outcome};
use tidegate_runner::sandbox::{Engine, Owner, docker::Docker};

use crate::support::{
    IMAGE,
    agent::{Agent, lease, lenient, sh, stage},
    place::{Place, owner, remove_from_docker},
    server::Model,
    until,
};

pub async fn engine() -> Arc<Docker> {
    Arc::new(Docker::connect(None).await.unwrap())
}

pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The engine's own account of a container or network.
pub fn inspect(id: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(&["inspect", id])).unwrap();
    all[0].clone()
}

async fn run(place: &Place, script: &str) -> String {
    let (end, printed) = place.run(script).await;
    assert_eq!(end.error, None);
    String::from_utf8(printed).unwrap()
}

#[tokio::test]
async fn a_sandbox_has_few_rights_and_can_gain_none() {
    let place = Place::start_with(engine().await, owner(), |spec| {
        spec.resources = Resources { cpus: Some(0.5), memory_bytes: Some(256 << 20), pids: Some(77) };
    })
    .await;
    let found = inspect(place.sandbox.id());
    let host = &found["HostConfig"];
    assert_eq!(host["CapDrop"], json!(["ALL"]));
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges:true"]));
    assert_eq!(host["Privileged"], json!(false));
    assert_eq!(host["PidsLimit"], json!(77));
    assert_eq!(host["Memory"], json!(256 << 20));
    assert_eq!(host["MemorySwap"], json!(256 << 20));
    assert_eq!(host["NanoCpus"], json!(500_000_000));
    assert_eq!(host["LogConfig"]["Type"], json!("none"));
    for shared in ["PidMode", "UTSMode", "UsernsMode"] {
        assert_eq!(host[shared], json!(""), "{shared}");
    }
    assert_eq!(host["IpcMode"], json!("private"));
    assert!(host["Devices"].as_array().is_none_or(Vec::is_empty));
    let targets: Vec<&str> = found["Mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["Destination"].as_str().unwrap())
        .collect();
    let mut sorted = targets.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["/.tidegate", "/.tidegate/spool", "/workspace"]);
    // The same from inside.
    let status = run(&place, "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status").await;
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE, SETFCAP.
    assert_eq!(
        (value("CapEff:"), value("CapBnd:")),
        ("00000000800004fb".to_owned(), "00000000800004fb".to_owned())
    );
    assert_eq!((value("NoNewPrivs:"), value("Seccomp:")), ("1".to_owned(), "2".to_owned()));
    let tries = "mknod /tmp/disk b 254 0 || echo no device
mount -t tmpfs none /mnt || echo no mount
chroot / true || echo no chroot
find / -xdev -name '*.sock' -type s
ls /var/run/docker.sock /run/docker.sock
echo x > /.tidegate/commands || echo no commands
echo x > /.tidegate/shim || echo no shim
cp /bin/busybox /.tidegate/files/program; chmod +x /.tidegate/files/program; /.tidegate/files/program true || echo no program";
    let said = run(&place, &format!("({tries}) 2>/dev/null")).await;
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said, ["no device", "no mount", "no chroot", "no commands", "no shim", "no program"]);
    place.clean().await;
}

#[tokio::test]
async fn an_untrusted_sandbox_has_less_and_reaches_nobody() {
    let engine = engine().await;
    let owner = owner();
    let network = engine.network(&owner, true).await.unwrap();
    let place = Place::start_with(engine, owner, |spec| {
        (spec.untrusted, spec.network) = (true, network.clone());
    })
    .await;
    let status = run(&place, "grep -E '^Cap(Eff|Bnd):' /proc/self/status").await;
    let masks: Vec<&str> = status.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(masks, ["0000000000000000"; 2]);
    assert_eq!(inspect(place.sandbox.id())["HostConfig"]["PidsLimit"], json!(512));
    assert_eq!(inspect(&network.0)["Internal"], json!(true));
    place.clean().await;
    assert_eq!(
        docker(&["network", "ls", "-q", "--filter", &format!("id={}", network.0)]),
        "",
        "it is removed"
    );
}

/// All addresses that this machine has, the gateways of its networks among them.
fn addresses() -> Vec<String> {
    let output = Command::new("hostname").arg("-I").output().unwrap();
    let all = String::from_utf8(output.stdout).unwrap();
    all.split_whitespace().filter(|address| address.contains('.')).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_closed_network_does_not_lead_to_the_engines_machine() {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), b"HTTP/1.0 200 OK\r\n\r\nhost\n");
        }
    });
    let engine = engine().await;
    for closed in [true, false] {
        let owner = owner();
        let network = engine.network(&owner, closed).await.unwrap();
        let gateway = inspect(&network.0)["IPAM"]["Config"][0]["Gateway"].as_str().map(str::to_owned);
        let place = Place::start_with(engine.clone(), owner, |spec| {
            (spec.network, spec.closed) = (network.clone(), closed);
        })
        .await;
        let reached = addresses().into_iter().chain(gateway);
        let ask = reached
            .map(|address| format!("(timeout 5 wget -q -O - http://{address}:{port}/ 2>/dev/null) & "));
        let said = run(&place, &format!("{} wait", ask.collect::<String>())).await;
        // The other kind of network tells that the question is a good one.
        assert_eq!(said.contains("host"), !closed, "{said}");
        if closed {
            let said = run(&place, "cat /etc/resolv.conf; nslookup example.org; echo asked").await;
            assert!(said.ends_with("asked\n") && !said.contains("Address 1"), "{said}");
            assert_eq!(inspect(place.sandbox.id())["HostConfig"]["Dns"], json!(["127.0.0.1"]));
        }
        place.clean().await;
    }
}

#[tokio::test]
async fn limits_hold() {
    let place = Place::start_with(engine().await, owner(), |spec| {
        spec.resources = Resources { cpus: None, memory_bytes: Some(64 << 20), pids: Some(24) };
    })
    .await;
    let (end, printed) =
        place.run("i=0; while [ $i -lt 60 ]; do sleep 30 & i=$((i+1)); done; echo all").await;
    assert_ne!(end.exit_code, Some(0));
    let text = String::from_utf8_lossy(&printed).into_owned();
    assert!(text.contains("fork") && !text.contains("all"), "{text}");
    let (end, _) = place.run("x=x; while :; do x=$x$x; done").await;
    assert!(end.out_of_memory, "{end:?}");
    // The sandbox survives both.
    assert_eq!(run(&place, "echo still here").await, "still here\n");
    place.clean().await;
}

#[tokio::test]
async fn no_stage_reaches_another_ones_network() {
    let engine = engine().await;
    let first = owner();
    let second = Owner { attempt: owner().attempt, ..first.clone() };
    let one = Place::start_with(engine.clone(), first, |_| ()).await;
    let two = Place::start_with(engine.clone(), second, |_| ()).await;
    let network = |place: &Place| {
        inspect(place.sandbox.id())["NetworkSettings"]["Networks"].as_object().unwrap().clone()
    };
    let (a, b) = (network(&one), network(&two));
    assert_eq!((a.len(), b.len()), (1, 1));
    assert_ne!(a.keys().next(), b.keys().next());
    let address = a.values().next().unwrap()["IPAddress"].as_str().unwrap().to_owned();
    run(&one, "mkdir -p /tmp/www && echo hello > /tmp/www/index.html && setsid httpd -p 8080 -h /tmp/www")
        .await;
    let ask = format!("timeout 3 wget -q -O - http://{address}:8080/ || echo nothing");
    assert_eq!(run(&one, &ask).await, "hello\n");
    let said = run(&two, &ask).await;
    assert!(said.ends_with("nothing\n") && !said.contains("hello"), "{said}");
    one.clean().await;
    two.clean().await;
}

#[tokio::test]
async fn a_folder_is_emptied_and_no_link_followed() {
    let engine = engine().await;
    let (folder, outside, data) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(folder.path().join("deep/down")).unwrap();
    std::fs::write(folder.path().join("deep/down/file"), "x").unwrap();
    std::fs::write(outside.path().join("kept"), "x").unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    let shim = tidegate_runner::sandbox::shim::install(data.path()).unwrap();
    engine.empty_folder(&owner(), IMAGE, &shim, folder.path()).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(outside.path().join("kept").exists());
}

/// An agent on Docker with its model of a server; what it had is removed at its end, also after a failed test.
pub struct Runner {
    pub model: Arc<Model>,
    pub data: tempfile::TempDir,
    agent: Option<Agent>,
}

impl Runner {
    pub async fn start() -> Self {
        let (model, data) = (Model::start().await, tempfile::tempdir().unwrap());
        let agent = Some(Agent::start(&model, engine().await, data.path()));
        Self { model, data, agent }
    }

    async fn finish(&self, plan: StagePlan) -> (Finish, String) {
        let attempt = self.model.queue(lease(plan));
        let finish = self.model.finished(attempt).await;
        (finish, self.model.attempt(attempt).unwrap().text(1))
    }

    /// SIGKILL, and a new process on the same folder.
    pub async fn kill_and_restart(&mut self) {
        self.agent.take().unwrap().kill().await;
        self.agent = Some(Agent::start(&self.model, engine().await, self.data.path()));
    }

    /// Containers and networks with this runner's label.
    fn left(&self) -> (usize, usize) {
        let filter = format!("label=tidegate.runner={}", self.model.runner);
        let count = |list: &str| list.split_whitespace().count();
        (
            count(&docker(&["ps", "-aq", "--filter", &filter])),
            count(&docker(&["network", "ls", "-q", "--filter", &filter])),
        )
    }

    pub async fn stop(mut self) {
        self.agent.take().unwrap().stop().await.unwrap();
        assert_eq!(self.left(), (0, 0), "a runner that ends leaves nothing in the engine");
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            remove_from_docker(&format!("tidegate.runner={}", self.model.runner));
        }
    }
}

/// A stage of these scripts with further parts of its plan.
fn with(scripts: &[&str], parts: Value) -> StagePlan {
    let mut plan = serde_json::to_value(stage(scripts)).unwrap();
    for (name, value) in parts.as_object().unwrap() {
        plan[name] = value.clone();
    }
    serde_json::from_value(plan).unwrap()
}

#[tokio::test]
async fn nothing_survives_a_stage() {
    let runner = Runner::start().await;
    let canary =
        "echo canary > file; echo canary > /tmp/file; echo canary > /root/file; setsid sleep 300 & echo left";
    let look = "ls /workspace /tmp /root; ps | grep -c '[s]leep' || true";
    for _ in 0..5 {
        let (finish, printed) = runner.finish(stage(&[canary])).await;
        assert_eq!((finish.outcome, printed.as_str()), (Outcome::Succeeded, "left\n"));
        let (_, printed) = runner.finish(stage(&[look])).await;
        assert_eq!(printed, "/root:\n\n/tmp:\n\n/workspace:\n0\n");
    }
    until("the containers are gone", || runner.left().0 == 0).await;
    // Networks are kept for speed, a few of them.
    assert!(runner.left().1 <= 2, "{:?}", runner.left());
    runner.stop().await;
}

#[tokio::test]
async fn services_are_reached_by_their_name_once_they_are_ready() {
    let runner = Runner::start().await;
    let serve = |text: &str| {
        let script = format!(
            "mkdir -p /www; echo {text} > /www/index.html; sleep 0.5; httpd -p 8080 -h /www; echo serving {text}; touch /up; sleep 300"
        );
        json!(["/bin/sh", "-c", script])
    };
    let service = |name: &str, probe: Value| {
        json!({ "name": name, "image": IMAGE, "command": serve(name),
                "ready": { "probe": probe, "interval_ms": 50, "timeout_ms": 30_000 } })
    };
    let services = json!([
        service("by-tcp", json!({ "tcp": 8080 })),
        service("by-http", json!({ "http": { "port": 8080, "path": "/index.html" } })),
        service("by-command", json!({ "exec": ["test", "-e", "/up"] })),
        service("by-log", json!({ "log": "^serving by-log$" })),
    ]);
    let ask = "for name in by-tcp by-http by-command by-log; do wget -q -O - http://$name:8080/ || echo no $name; done";
    let (finish, printed) = runner.finish(with(&[ask], json!({ "services": services }))).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}", finish.reason);
    assert_eq!(printed, "by-tcp\nby-http\nby-command\nby-log\n");
    runner.stop().await;
}

#[tokio::test]
async fn a_service_that_is_never_ready_fails_its_stage_with_its_last_words() {
    let runner = Runner::start().await;
    let service = |script: &str, timeout_ms: u64| {
        json!({ "services": [{ "name": "db", "image": IMAGE, "command": ["/bin/sh", "-c", script],
            "ready": { "probe": { "tcp": 5432 }, "interval_ms": 50, "timeout_ms": timeout_ms } }] })
    };
    for (script, timeout_ms, reason) in [
        (
            "echo I am dying; exit 3",
            60_000,
            "service `db` (tidegate-test/busybox:1): it ended with exit code 3",
        ),
        (
            "echo I listen nowhere; sleep 300",
            1_500,
            "service `db` (tidegate-test/busybox:1): not ready after 1.5 s",
        ),
    ] {
        let attempt = runner.model.queue(lease(with(&["true"], service(script, timeout_ms))));
        let finish = runner.model.finished(attempt).await;
        assert_eq!(finish.outcome, Outcome::Failed);
        assert!(finish.reason.as_deref().unwrap().starts_with(reason), "{:?}", finish.reason);
        let log = runner.model.attempt(attempt).unwrap().text(0);
        assert!(log.contains("the last lines of service db:\n  I "), "{log}");
    }
    runner.stop().await;
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_one_sentence() {
    let runner = Runner::start().await;
    let verb = |image: &str| json!({ "verb": { "kind": "run", "image": image, "steps": [{ "name": "a", "run": { "script": "true", "shell": ["sh"] } }] } });
    for image in [
        "127.0.0.1:1/no/such:1",
        "127.0.0.1:1/no/such@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let (finish, _) = runner.finish(with(&[], verb(image))).await;
        assert_eq!(finish.outcome, Outcome::Failed);
        let reason = finish.reason.unwrap();
        assert!(reason.contains(&format!("`{image}`")) && reason.contains("cannot be pulled"), "{reason}");
        assert!(!reason.contains('\n'), "{reason}");
    }
    runner.stop().await;
}

#[tokio::test]
async fn a_killed_runner_comes_back_to_its_container() {
    let mut runner = Runner::start().await;
    let script = "i=0; while [ $i -lt 2000 ]; do echo early $i; i=$((i+1)); done; while [ ! -e go ]; do sleep 0.02; done; echo late";
    let attempt = runner.model.queue(lease(stage(&[script])));
    runner.model.printed(attempt, 1, "early 1999").await;
    runner.agent.take().unwrap().kill().await;
    let workspace = runner.data.path().join(format!("stages/{attempt}/files/workspace"));
    std::fs::write(workspace.join("go"), "").unwrap();
    runner.agent = Some(Agent::start(&runner.model, engine().await, runner.data.path()));
    assert_eq!(runner.model.finished(attempt).await.outcome, Outcome::Succeeded);
    let early: String = (0..2000).map(|i| format!("early {i}\n")).collect();
    assert_eq!(runner.model.attempt(attempt).unwrap().text(1), format!("{early}late\n"));
    runner.stop().await;
}

#[tokio::test]
async fn what_a_dead_runner_left_in_the_engine_goes_at_the_next_start() {
    let mut runner = Runner::start().await;
    until("it enrolled", || runner.model.enrolments() == 1).await;
    runner.agent.take().unwrap().stop().await.unwrap();
    let mine = Owner { runner: runner.model.runner.to_string(), ..owner() };
    let left = Place::start_with(engine().await, mine, |_| ()).await;
    let stranger = Place::start(engine().await).await;
    assert_eq!(runner.left(), (1, 1));
    runner.agent = Some(Agent::start(&runner.model, engine().await, runner.data.path()));
    until("it is gone", || runner.left().0 == 0).await;
    assert!(stranger.engine.find(&stranger.owner).await.unwrap().is_some());
    assert!(left.engine.find(&left.owner).await.unwrap().is_none());
    stranger.clean().await;
    runner.stop().await;
}

/// Folders, variables and a container action as they are in real containers.
#[tokio::test]
async fn a_stage_with_actions_has_its_folders_and_containers() {
    let (model, data) = (Model::start().await, tempfile::tempdir().unwrap());
    let engine = Arc::new(Docker::connect(None).await.unwrap());
    let lent = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(lent.path().join("bin")).unwrap();
    std::fs::write(lent.path().join("bin/node"), "#!/bin/sh\nexec /bin/sh \"$@\"\n").unwrap();
    std::fs::set_permissions(lent.path().join("bin/node"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = crate::support::agent::config(&model, data.path());
    config.actions.node = Some(lent.path().to_owned());
    let agent = Agent::start_with(config, engine);
    let container = format!(
        "runs: {{using: docker, image: 'docker://{IMAGE}', entrypoint: /bin/sh, args: [-c, 'pwd; cat word; echo $HOME; echo made > \"$GITHUB_WORKSPACE/made\"; echo out=1 >> $GITHUB_OUTPUT; echo by post > /github/home/x'], post-entrypoint: /workspace/post.sh}}"
    );
    let steps = serde_json::json!([
        sh(&format!("echo word > word; mkdir box js; cat > box/action.yml <<'X'\n{container}\nX
printf '#!/bin/sh\\ncat $HOME/x\\n' > post.sh; chmod +x post.sh
echo 'runs: {{using: node20, main: m.js}}' > js/action.yml; echo 'echo js $GITHUB_ACTION; touch /opt/tidegate-node/x 2>/dev/null || echo read-only' > js/m.js")),
        { "uses": { "action": "./box" }, "id": "box", "name": "box" },
        { "uses": { "action": "./js" }, "id": "js", "name": "js" },
        sh("cat made; echo '${{ steps.box.outputs.out }}'; pwd; echo $HOME $RUNNER_TEMP; touch $RUNNER_TEMP/x; cat $GITHUB_EVENT_PATH; echo; command -v bash || echo no bash"),
        { "run": { "script": "echo ${0%/*}; set -o | grep errexit" }, "name": "no shell" },
    ]);
    let attempt = model.queue(lease(lenient(steps)));
    let finish = model.finished(attempt).await;
    let known = model.attempt(attempt).unwrap();
    let all: String = known.log.keys().map(|step| known.text(*step)).collect();
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}\n{all}", finish.reason);
    let last = |step: u32| known.text(step).rsplit("##[endgroup]\n").next().unwrap().to_owned();
    assert_eq!(last(2), "/github/workspace\nword\n/github/home\n");
    assert_eq!(last(3), "js js\nread-only\n");
    assert_eq!(last(4), "made\n1\n/workspace\n/root /tidegate/temp\n{}\nno bash\n");
    assert!(last(5).contains("errexit") && last(5).contains("on"), "{}", last(5));
    assert_eq!(last(6), "by post\n");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_container_action_is_built_of_its_dockerfile() {
    let (model, data) = (Model::start().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine().await, data.path());
    let steps = json!([
        sh(&format!(
            "mkdir built; cat > built/action.yml <<'X'
inputs: {{word: {{default: none}}}}
runs: {{using: docker, image: Dockerfile, args: ['${{{{ '${{{{' }}}} inputs.word }}}}']}}
X
printf 'FROM {IMAGE}\\nCOPY say.sh /say.sh\\nENTRYPOINT [\"/bin/sh\", \"/say.sh\"]\\n' > built/Dockerfile
echo 'echo \"says $1\"; echo said=$1 >> $GITHUB_OUTPUT' > built/say.sh"
        )),
        { "uses": { "action": "./built", "with": { "word": "hello" } }, "id": "say", "name": "say" },
        sh("echo '${{ steps.say.outputs.said }}'"),
    ]);
    let attempt = model.queue(lease(lenient(steps)));
    let finish = model.finished(attempt).await;
    let known = model.attempt(attempt).unwrap();
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}\n{}", finish.reason, known.text(2));
    assert!(known.text(2).ends_with("says hello\n"), "{}", known.text(2));
    assert!(known.text(3).ends_with("\nhello\n"), "{}", known.text(3));
    agent.stop().await.unwrap();
}
