//! `tidegate demo --check`: the demo without hands in a folder of its own, then a look from outside. Not the
//! server's word counts here but the registry's catalogue, the engine's containers, the service's answers and the
//! rows of the database. At the end everything that was started is stopped and removed.

use std::path::Path;

use owo_colors::OwoColorize;
use serde_json::Value;
use tokio::process::Command;

use super::{
    folder::{Folder, IMAGE_NAME},
    show::{Approval, Story, deployed_image, show},
    stand,
};
use crate::{
    api::views::Run,
    failure::{Doing, Failure, Outcome},
    postgres::Psql,
};

/// Plays, verifies, cleans up. Fails when one check does.
pub async fn check(root: &Path) -> Outcome {
    if let Some(old) = Folder::existing(root)? {
        clean(&old).await?;
    }
    let folder = Folder::open(root, &format!("tidegate-check-{}", std::process::id()))?;
    let mut checks = Checks::default();
    let played = show(&folder, Approval::Itself).await;
    match &played {
        Ok(story) => {
            anstream::println!();
            if let Err(failure) = verify(&folder, story, &mut checks).await {
                checks.add("the look from outside comes to its end", Err(failure.to_string()));
            }
        }
        Err(failure) => {
            failure.print();
            checks.add("the story is played to its end", Err("see above".to_owned()));
            show_log(&folder);
        }
    }
    let pid = crate::stack::lock_holder(&folder.data());
    let runner = runner_of(&folder).await.ok();
    let cleaned = clean(&folder).await;
    checks.add(
        "everything that was started is stopped and removed",
        cleaned.map_err(|failure| failure.to_string()),
    );
    if let Some(pid) = pid {
        checks.add(
            "the server's process is gone",
            if stand::is_gone(pid) { Ok(()) } else { Err(format!("process {pid} is there")) },
        );
    }
    if let Some(runner) = runner {
        let left = sandboxes(&runner, None).await.unwrap_or_else(|failure| failure.to_string());
        checks.equal("the runner left no container", left.as_str(), "");
    }
    anstream::println!("demo-check: {} passed, {} failed", checks.passed, checks.failed);
    if checks.failed == 0 { Ok(()) } else { Err(Failure::told()) }
}

#[derive(Default)]
struct Checks {
    passed: usize,
    failed: usize,
}

impl Checks {
    fn add(&mut self, what: &str, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.passed += 1;
                anstream::println!("  {} {what}", "✓".green());
            }
            Err(why) => {
                self.failed += 1;
                anstream::println!("  {} {what}: {why}", "✗".red());
            }
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, expected: T) {
        let result =
            if found == expected { Ok(()) } else { Err(format!("found {found:?}, expected {expected:?}")) };
        self.add(what, result);
    }
}

async fn verify(folder: &Folder, story: &Story, checks: &mut Checks) -> Outcome {
    let Some(bad) = &story.bad else { return Err(Failure::new("the second commit was never pushed")) };
    let good = &story.good;
    let (good_image, bad_image) = (image(good)?, image(bad)?);
    checks.add(
        "the two commits made two images",
        if good_image == bad_image { Err(good_image.clone()) } else { Ok(()) },
    );
    in_registry(folder, good, &good_image, bad, &bad_image, checks).await?;
    in_engine(folder, &good_image, &bad_image, checks).await?;
    over_http(folder, good, bad, checks).await?;
    in_database(folder, good, bad, checks).await
}

/// What the registry itself says.
async fn in_registry(
    folder: &Folder,
    good: &Run,
    good_image: &str,
    bad: &Run,
    bad_image: &str,
    checks: &mut Checks,
) -> Outcome {
    let base = folder.settings.registry_url()?;
    let catalogue: Value = get(base.join("/v2/_catalog").doing("cannot build a URL")?).await?;
    let listed = catalogue["repositories"].as_array().into_iter().flatten().any(|one| one == IMAGE_NAME);
    checks.equal("the registry's catalogue lists the image", listed, true);
    for (run, image) in [(good, good_image), (bad, bad_image)] {
        let url =
            base.join(&format!("/v2/{IMAGE_NAME}/manifests/{}", run.sha)).doing("cannot build a URL")?;
        let answer = reqwest::Client::new()
            .get(url)
            .header("accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json")
            .send()
            .await
            .doing("the registry does not answer")?;
        let digest = answer
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("none");
        let expected = image.rsplit_once('@').map_or("", |(_, digest)| digest);
        checks.equal(
            &format!("the tag of run #{} is the digest that was deployed", run.number),
            digest,
            expected,
        );
    }
    Ok(())
}

/// What the engine says of the containers.
async fn in_engine(folder: &Folder, good_image: &str, bad_image: &str, checks: &mut Checks) -> Outcome {
    for (environment, expected) in [("production", good_image), ("staging", bad_image)] {
        let project = format!("{}-{environment}", folder.settings.project);
        let containers = containers_of(&project).await?;
        checks.equal(&format!("{environment} is one container"), containers.len(), 1);
        let Some(container) = containers.first() else { continue };
        let image = docker(&["inspect", "--format", "{{.Image}}", container]).await?;
        let digests = docker(&["image", "inspect", "--format", "{{json .RepoDigests}}", &image]).await?;
        let running = docker(&["inspect", "--format", "{{.State.Running}}", container]).await?;
        checks.equal(&format!("{environment}'s container runs"), running.as_str(), "true");
        let result = if digests.contains(expected) {
            Ok(())
        } else {
            Err(format!("it runs {digests}, not {expected}"))
        };
        checks.add(&format!("{environment}'s container is on the right digest"), result);
    }
    let runner = runner_of(folder).await?;
    let left = sandboxes(&runner, Some("label=tidegate.attempt")).await?;
    checks.equal("no stage's sandbox is left behind", left.as_str(), "");
    Ok(())
}

/// What the service answers.
async fn over_http(folder: &Folder, good: &Run, bad: &Run, checks: &mut Checks) -> Outcome {
    for (name, url) in folder.settings.environments()? {
        let expected = if name == "production" { &good.sha } else { &bad.sha };
        let version: Value = get(url.join("/version").doing("cannot build a URL")?).await?;
        checks.equal(
            &format!("{name} answers with the right commit"),
            version["revision"].as_str(),
            Some(expected.as_str()),
        );
        checks.equal(&format!("{name} knows where it is"), version["environment"].as_str(), Some(name));
        let health: Value = get(url.join("/health").doing("cannot build a URL")?).await?;
        checks.equal(&format!("{name} is healthy"), health["status"].as_str(), Some("ok"));
    }
    Ok(())
}

/// What the rows say.
async fn in_database(folder: &Folder, good: &Run, bad: &Run, checks: &mut Checks) -> Outcome {
    let database = Psql::new(&folder.data().join("postgres"))?;
    let mut row = async |what: &str, sql: String, expected: &str| -> Outcome {
        let found = database.ask(&sql).await?;
        checks.equal(what, found.as_str(), expected);
        Ok(())
    };
    row(
        "both runs are stored with their endings",
        "select string_agg(status, ',' order by number) from runs".to_owned(),
        "succeeded,failed",
    )
    .await?;
    row(
        "the release manager's two approvals are stored",
        "select string_agg(distinct username || ' ' || verdict, ','), count(*) from decisions".to_owned(),
        "release approve|2",
    )
    .await?;
    row(
        "staging took both deployments",
        deployments("staging"),
        &format!("{} succeeded,{} succeeded", digest(good)?, digest(bad)?),
    )
    .await?;
    row(
        "production's history has the failure and the way back",
        deployments("production"),
        &format!("{0} succeeded,{1} rolled_back,{0} succeeded", digest(good)?, digest(bad)?),
    )
    .await?;
    row(
        "the rollback points at the deployment that it undoes",
        "select count(*) from deployments d join deployments u on u.id = d.rollback_of where u.status = 'rolled_back'".to_owned(),
        "1",
    )
    .await?;
    row(
        "the tests, the coverage and the scan of both runs are stored",
        "select string_agg(kind, ',' order by kind) from (select distinct kind from reports) kinds"
            .to_owned(),
        "cobertura,junit,sarif",
    )
    .await?;
    row(
        "each push arrived as one signed webhook",
        "select count(*), string_agg(distinct event || ' ' || state, ',') from deliveries where run_id is null".to_owned(),
        "2|push processed",
    )
    .await?;
    // The server tells itself, by the same inbox, for pipelines that begin when another one ends.
    row(
        "the end of each run is told to other pipelines once",
        "select count(*), count(distinct run_id) from deliveries where run_id is not null".to_owned(),
        "2|2",
    )
    .await?;
    row(
        "every step's log is stored without a gap",
        "select count(*) from steps s where s.log_bytes <> coalesce((select sum(c.byte_count) from log_chunks c where c.attempt_id = s.attempt_id and c.step = s.index), 0)"
            .to_owned(),
        "0",
    )
    .await?;
    row(
        "nothing is left in a state that would go on",
        "select count(*) from stages where finished_at is null".to_owned(),
        "0",
    )
    .await
}

fn deployments(environment: &str) -> String {
    format!(
        "select string_agg(right(d.image, 64) || ' ' || d.status, ',' order by d.created_at) from deployments d \
         join environments e on e.id = d.environment_id where e.name = '{environment}'"
    )
}

fn image(run: &Run) -> Outcome<String> {
    deployed_image(run, "staging")
        .ok_or_else(|| Failure::new(format!("run #{} names no pushed image", run.number)))
}

fn digest(run: &Run) -> Outcome<String> {
    let image = image(run)?;
    Ok(image.rsplit_once("sha256:").map(|(_, digest)| digest.to_owned()).unwrap_or(image))
}

async fn get(url: url::Url) -> Outcome<Value> {
    let answer = reqwest::get(url.clone()).await.doing(format!("{url} does not answer"))?;
    answer.json().await.doing(format!("{url} does not answer with JSON"))
}

async fn docker(arguments: &[&str]) -> Outcome<String> {
    let output = Command::new("docker").args(arguments).output().await.doing("cannot run docker")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("docker {} failed", arguments.first().unwrap_or(&""))).because(said.trim()))
}

async fn containers_of(project: &str) -> Outcome<Vec<String>> {
    let filter = format!("label=com.docker.compose.project={project}");
    let text = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]).await?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The label of what the demo's runner makes: other runners may share the engine.
async fn runner_of(folder: &Folder) -> Outcome<String> {
    let id = Psql::new(&folder.data().join("postgres"))?.ask("select id from runners").await?;
    Ok(format!("label=tidegate.runner={id}"))
}

/// Containers of the runner, those with another label too when asked.
async fn sandboxes(runner: &str, with: Option<&str>) -> Outcome<String> {
    let mut arguments = vec!["ps", "--all", "--quiet", "--filter", runner];
    if let Some(label) = with {
        arguments.extend(["--filter", label]);
    }
    docker(&arguments).await
}

/// Stops the stand and removes what it left: containers, networks, images, and the folder.
pub async fn clean(folder: &Folder) -> Outcome {
    stand::stop(folder).await?;
    for environment in ["staging", "production"] {
        let project = format!("{}-{environment}", folder.settings.project);
        for container in containers_of(&project).await? {
            docker(&["rm", "--force", "--volumes", &container]).await?;
        }
        let filter = format!("label=com.docker.compose.project={project}");
        for network in docker(&["network", "ls", "--quiet", "--filter", &filter]).await?.lines() {
            docker(&["network", "rm", network]).await?;
        }
    }
    let name = format!("127.0.0.1:{}/{IMAGE_NAME}", folder.settings.registry_port);
    let images = docker(&["images", "--quiet", "--no-trunc", &name]).await?;
    let mut ids: Vec<&str> = images.lines().collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        docker(&["rmi", "--force", id]).await?;
    }
    std::fs::remove_dir_all(folder.root()).doing(format!("cannot remove {}", folder.root().display()))
}

fn show_log(folder: &Folder) {
    let text = std::fs::read_to_string(folder.log()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(40).collect();
    anstream::eprintln!("the last lines of the server's log:");
    for line in lines.iter().rev() {
        anstream::eprintln!("  {line}");
    }
}
