//! The demo's story: a good commit goes all the way, a bad one is taken back.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use owo_colors::OwoColorize;
use serde_json::json;

use super::{
    folder::{BASE_IMAGE, Folder, Person, REPOSITORY},
    people,
    repository::Repository,
    stand,
    summary::Summary,
    tree::Tree,
};
use crate::{
    api::{
        Api,
        views::{Environment, Environments, Gate, Run, Runs},
    },
    failure::{Doing, Failure, Outcome},
    terminal::{self, keys::Keys, short_digest},
};

const POLL: Duration = Duration::from_millis(200);
/// How long a push may take to become a run.
const ARRIVAL: Duration = Duration::from_secs(60);
/// How long a run may stand still at anything but a gate that people decide.
const STANDSTILL: Duration = Duration::from_secs(900);

/// Who decides at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// The person at the terminal, or in the browser.
    Ask,
    /// A person in the browser: nobody sits at this terminal.
    Browser,
    /// The release manager, through the API, without hands.
    Itself,
}

/// What happened, for the summary and for checks.
pub struct Story {
    /// The good commit's run.
    pub good: Run,
    /// The bad commit's run; absent when a person said no at the gate.
    pub bad: Option<Run>,
    /// What the environments run at the end.
    pub environments: Vec<Environment>,
}

/// Plays the demo.
pub async fn show(folder: &Folder, approval: Approval) -> Outcome<Story> {
    let live = terminal::is_interactive();
    check_base_image().await?;
    let keys = if live && approval == Approval::Ask { Some(Keys::listen()?) } else { None };
    let found = wait_for_stand(folder, live).await?;
    let admin = people::log_in(folder, Person::Admin).await?;
    let repository = Repository::open(folder)?;
    people::set_up(folder, &admin, &repository).await?;
    let release = people::log_in(folder, Person::Release).await?;
    let url = folder.settings.server_url()?;
    anstream::println!(
        "{} {} at {}",
        "Tidegate".bold(),
        if found == stand::Found::Started { "is up" } else { "was up already" },
        url.underline()
    );
    let mut player = Player { folder, admin, release, approval, live, keys };

    anstream::println!("\n{} A developer pushes a good commit.", "1".bold());
    let sha = repository.commit_good()?;
    repository.push()?;
    let good = player.follow(&sha).await?;
    if good.gates.iter().any(|gate| gate.status == "rejected") {
        anstream::println!("\nYou said no, so production was not touched: that is what a gate is for.");
        let environments = player.environments().await?;
        return Ok(Story { good, bad: None, environments });
    }
    if good.status != "succeeded" {
        return Err(unexpected(&good, "the good commit should have gone all the way"));
    }

    anstream::println!(
        "\n{} A second commit: its tests pass, staging accepts it, and in production its health check fails.",
        "2".bold()
    );
    let sha = repository.commit_bad()?;
    repository.push()?;
    let bad = player.follow(&sha).await?;
    let rejected = bad.gates.iter().any(|gate| gate.status == "rejected");
    if !rejected {
        player.await_rollback(&good, &bad).await?;
    }
    let bad: Run = player.admin.get(&format!("runs/{}", bad.id)).await?;
    let environments = player.environments().await?;
    let story = Story { good, bad: Some(bad), environments };
    anstream::println!("\n{}", Summary(&story).render());
    Ok(story)
}

struct Player<'a> {
    folder: &'a Folder,
    admin: Api,
    release: Api,
    approval: Approval,
    live: bool,
    /// What the person at the terminal types.
    keys: Option<Keys>,
}

impl Player<'_> {
    /// Waits for the commit's run and shows it until it ends.
    async fn follow(&mut self, sha: &str) -> Outcome<Run> {
        let id = self.run_of(sha).await?;
        let page = self.admin.base().join(&format!("runs/{id}")).doing("cannot build the run's URL")?;
        anstream::println!("  {page}\n");
        let mut tree = Tree::new(self.live);
        let mut asked: Option<String> = None;
        let mut last = (String::new(), Instant::now());
        loop {
            let run: Run = self.admin.get(&format!("runs/{id}")).await?;
            tree.update(&run, &self.tails(&run).await);
            if run.is_final() {
                tree.finish();
                return Ok(run);
            }
            let gate = run.gates.iter().find(|gate| gate.status == "open");
            match gate {
                Some(gate) => {
                    self.at_gate(gate, &mut asked, &tree, page.as_str()).await?;
                    last.1 = Instant::now();
                }
                None => asked = None,
            }
            let state = state(&run);
            if state != last.0 {
                last = (state, Instant::now());
            } else if last.1.elapsed() > STANDSTILL {
                tree.finish();
                return Err(unexpected(&run, "nothing has happened for a quarter of an hour"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Decides, asks, or says who may decide. Called at every look while the gate is open.
    async fn at_gate(&mut self, gate: &Gate, asked: &mut Option<String>, tree: &Tree, page: &str) -> Outcome {
        if asked.as_ref() != Some(&gate.id) {
            *asked = Some(gate.id.clone());
            let now = gate.changes.as_ref().and_then(|changes| changes.current_image.as_deref());
            tree.say(&format!(
                "  {} {} waits at its gate: {} → {}",
                "⏸".yellow(),
                gate.environment.name.bold(),
                now.map_or_else(|| "nothing".to_owned(), short_digest),
                short_digest(&gate.image)
            ));
            for commit in gate.changes.iter().flat_map(|changes| changes.commits.iter().flatten()) {
                let title = terminal::harmless(&terminal::shorten(&commit.title, 70));
                tree.say(&format!(
                    "      {} {title} ({})",
                    short_digest(&commit.sha).dimmed(),
                    terminal::harmless(&commit.author)
                ));
            }
            match self.approval {
                Approval::Itself => {
                    tree.say("    the release manager approves through the API");
                    return self.decide(gate, "approve").await;
                }
                Approval::Browser => {
                    tree.say(&format!("    decide in the browser: {page}"));
                    tree.say(&self.release_log_in());
                }
                Approval::Ask => {
                    tree.say(&format!(
                        "    {} Press {} or {}, or decide in the browser:",
                        format!("Deploy to {}?", gate.environment.name).bold(),
                        "y".green().bold(),
                        "n".red().bold()
                    ));
                    tree.say(&format!("    {page}"));
                    tree.say(&self.release_log_in());
                    if let Some(keys) = &mut self.keys {
                        keys.forget();
                    }
                }
            }
        }
        while let Some(key) = self.keys.as_mut().and_then(Keys::next) {
            match key.to_ascii_lowercase() {
                'y' => return self.decide(gate, "approve").await,
                'n' => return self.decide(gate, "reject").await,
                _ => {}
            }
        }
        Ok(())
    }

    fn release_log_in(&self) -> String {
        use secrecy::ExposeSecret;
        let password = self.folder.settings.password(Person::Release);
        format!("    as {} / {}", Person::Release.username(), password.expose_secret())
    }

    async fn decide(&self, gate: &Gate, verdict: &str) -> Outcome {
        let body = json!({"verdict": verdict, "comment": "decided in the demo"});
        self.release.post::<Gate>(&format!("gates/{}/decision", gate.id), &body).await.map(drop)
    }

    async fn run_of(&self, sha: &str) -> Outcome<String> {
        let begun = Instant::now();
        loop {
            let page: Runs = self.admin.get("runs?limit=50").await?;
            if let Some(run) = page.runs.iter().find(|run| run.sha == sha) {
                return Ok(run.id.clone());
            }
            if begun.elapsed() > ARRIVAL {
                return Err(Failure::new("the push did not become a run within a minute")
                    .mend(format!("the server's log is {}", self.folder.log().display())));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The last line of each running stage's newest step.
    async fn tails(&self, run: &Run) -> HashMap<String, String> {
        let mut tails = HashMap::new();
        if !self.live {
            return tails;
        }
        for stage in run.stages.iter().filter(|stage| stage.status == "running") {
            let Some(attempt) = stage.attempts.last() else { continue };
            let Some(step) =
                attempt.steps.iter().rev().find(|step| step.status == "running").or(attempt.steps.last())
            else {
                continue;
            };
            let from = step.log_bytes.saturating_sub(2000);
            let line = match self.admin.log(&attempt.id, step.index, from).await {
                Ok(part) => {
                    let text = String::from_utf8_lossy(&part.bytes).into_owned();
                    text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
                }
                Err(_) => None,
            };
            tails.insert(stage.key.clone(), line.unwrap_or_else(|| step.name.clone()));
        }
        tails
    }

    /// Waits until production runs the good image again.
    async fn await_rollback(&self, good: &Run, bad: &Run) -> Outcome {
        let expected = deployed_image(good, "production");
        let begun = Instant::now();
        loop {
            let production = self.environments().await?.into_iter().find(|one| one.name == "production");
            if let Some(production) = &production
                && production.in_progress.is_none()
                && production.current.as_ref().map(|deployment| &deployment.image) == expected.as_ref()
            {
                anstream::println!(
                    "\n  {} Production is back on {} by itself.",
                    "↩".yellow().bold(),
                    expected.as_deref().map(short_digest).unwrap_or_default().bold()
                );
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(120) {
                return Err(unexpected(bad, "production should have gone back to the first image"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn environments(&self) -> Outcome<Vec<Environment>> {
        let page: Environments = self.admin.get("environments").await?;
        Ok(page.environments.into_iter().filter(|one| one.repository == REPOSITORY).collect())
    }
}

/// The image that a run's deploy stages put into an environment.
pub fn deployed_image(run: &Run, environment: &str) -> Option<String> {
    let deploys = run
        .stages
        .iter()
        .any(|stage| stage.verb == "deploy" && stage.environment.as_deref() == Some(environment));
    if !deploys {
        return None;
    }
    run.stages.iter().find_map(|stage| stage.outputs.get("image").filter(|_| stage.verb == "push")).cloned()
}

/// What would be different if anything had happened.
fn state(run: &Run) -> String {
    let mut text = run.status.clone();
    for stage in &run.stages {
        text.push_str(&stage.status);
        for attempt in &stage.attempts {
            for step in &attempt.steps {
                text.push_str(&format!("{}{}", step.status, step.log_bytes));
            }
        }
    }
    text
}

fn unexpected(run: &Run, what: &str) -> Failure {
    let mut failure = Failure::new(format!("{what}; run #{} is {}", run.number, run.status));
    for diagnostic in &run.diagnostics {
        failure =
            failure.because(format!("{}:{}: {}", diagnostic.file, diagnostic.span.line, diagnostic.message));
    }
    for stage in
        run.stages.iter().filter(|stage| matches!(stage.status.as_str(), "failed" | "unknown" | "cancelled"))
    {
        failure = failure.because(format!(
            "{}: {}",
            stage.key,
            stage.reason.as_deref().unwrap_or("no reason given")
        ));
    }
    failure.mend("the run's page has its log")
}

/// The first start makes a database, and takes a few seconds that should not look like nothing.
async fn wait_for_stand(folder: &Folder, live: bool) -> Outcome<stand::Found> {
    let spinner =
        indicatif::ProgressBar::new_spinner().with_message("starting database, server, runner and registry");
    if live {
        spinner.enable_steady_tick(Duration::from_millis(100));
    }
    let found = stand::ensure(folder).await;
    spinner.finish_and_clear();
    found
}

async fn check_base_image() -> Outcome {
    let output = tokio::process::Command::new("docker")
        .args(["image", "inspect", BASE_IMAGE])
        .output()
        .await
        .map_err(|error| {
            Failure::new("cannot run `docker`")
                .because(error)
                .mend("run scripts/setup, or install a container engine")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.to_lowercase().contains("no such image") {
        return Err(Failure::new(format!("the image {BASE_IMAGE} is not on this machine"))
            .because("the sample service is tested in it and built on it")
            .mend("make it with scripts/images python"));
    }
    Err(Failure::new("the container engine does not answer")
        .because(said.trim())
        .mend("start it with scripts/setup"))
}
