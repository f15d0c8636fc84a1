//! The system under test: a server process and runner processes on a database of their own.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{
    api::Api,
    engine,
    process::{Process, free_port, tidegate_binary},
    repo::{Push, Repo, deliver},
};

const PASSWORD: &str = "correct horse battery staple";

/// A server and its runners, as separate processes.
pub struct Stack {
    folder: tempfile::TempDir,
    database_url: String,
    port: u16,
    lease_seconds: u64,
    setup: Setup,
    server: Option<Process>,
    runners: Vec<Option<Process>>,
    /// The admin's access.
    pub admin: Api,
}

/// What differs between stacks.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The engine of the runners; none: the machine's own.
    pub docker_host: Option<String>,
    /// What stages run in that ask for a machine by its label.
    pub machines: Vec<(&'static str, String)>,
    /// Stages that a runner executes at once.
    pub slots: usize,
    /// Whether runners lend this machine's Node.js to actions.
    pub node: bool,
    /// A folder of programs that runners find before the machine's own.
    pub programs: Option<PathBuf>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            docker_host: None,
            machines: vec![("ubuntu-latest", engine::IMAGE.to_owned())],
            slots: 4,
            node: false,
            programs: None,
        }
    }
}

/// A repository that the stack knows.
pub struct Project {
    /// The repository itself.
    pub repo: Repo,
    /// Its id on the server.
    pub id: String,
    /// Where its webhooks go.
    pub webhook_url: String,
    /// What signs them.
    pub webhook_secret: String,
}

impl Stack {
    /// Server and one runner, on a new database of the cluster at `DATABASE_URL`.
    pub async fn start() -> Result<Self> {
        Self::start_with(Setup::default()).await
    }

    /// As [`Stack::start`], set up like this.
    pub async fn start_with(setup: Setup) -> Result<Self> {
        let cluster = std::env::var("DATABASE_URL")
            .context("DATABASE_URL is not set: run through `make test`, or scripts/with-postgres")?;
        Self::start_in(&cluster, setup).await
    }

    /// As [`Stack::start`], on the cluster at this URL, and with runners on that engine.
    pub async fn start_on(cluster_url: &str, docker_host: Option<String>) -> Result<Self> {
        Self::start_in(cluster_url, Setup { docker_host, ..Setup::default() }).await
    }

    async fn start_in(cluster_url: &str, setup: Setup) -> Result<Self> {
        let database = format!("e2e_{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(cluster_url).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!("create database {database}")))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        let (base, _) = cluster_url.rsplit_once('/').context("DATABASE_URL names a database")?;
        let mut stack = Self {
            folder: tempfile::Builder::new().prefix("tidegate-e2e-").tempdir()?,
            database_url: format!("{base}/{database}"),
            port: free_port()?,
            lease_seconds: 6,
            setup,
            server: None,
            runners: Vec::new(),
            admin: Api::nobody(),
        };
        if stack.setup.node {
            stack.lend_node()?;
        }
        stack.start_server().await?;
        stack.admin = stack.log_in_admin().await?;
        stack.add_runner().await?;
        Ok(stack)
    }

    /// A folder with this machine's Node.js, and the settings that name it: programs read them from where they start.
    fn lend_node(&self) -> Result<()> {
        let found = Command::new("node").args(["-p", "process.execPath"]).output().context("running node")?;
        let program = String::from_utf8(found.stdout)?;
        let folder = self.folder.path().join("node");
        std::fs::create_dir_all(folder.join("bin"))?;
        // A link would lead nowhere in a container.
        std::fs::copy(program.trim(), folder.join("bin/node")).context("copying node")?;
        std::fs::write(
            self.folder.path().join("tidegate.toml"),
            format!("[runner.actions]\nnode = {:?}\n", folder.display().to_string()),
        )?;
        Ok(())
    }

    /// The first administrator is made a moment after the server answers.
    async fn log_in_admin(&self) -> Result<Api> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match Api::log_in(&self.url(), "admin", PASSWORD).await {
                Ok(admin) => return Ok(admin),
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// The server's base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The database under the server.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The server's process.
    pub fn server(&mut self) -> Result<&mut Process> {
        self.server.as_mut().context("the server is down")
    }

    /// The runner's process.
    pub fn runner(&mut self, index: usize) -> Result<&mut Process> {
        self.runners.get_mut(index).and_then(Option::as_mut).context("the runner is down")
    }

    /// Starts the server (again) and waits until it is ready.
    pub async fn start_server(&mut self) -> Result<()> {
        let machines = self.setup.machines.iter();
        let machines: Vec<String> = machines.map(|(label, image)| format!("{label}={image}")).collect();
        let mut command = self.command("server")?;
        command
            .env("DATABASE_URL", &self.database_url)
            .env("TIDEGATE_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("TIDEGATE_PUBLIC_URL", self.url())
            .env("TIDEGATE_DATA_DIR", self.folder.path().join("server"))
            .env("TIDEGATE_LEASE_SECONDS", self.lease_seconds.to_string())
            .env("TIDEGATE_ALLOW_FILE_CLONE", "true")
            .env("TIDEGATE_MACHINES", machines.join(","))
            .env("TIDEGATE_ADMIN_PASSWORD", PASSWORD);
        self.server = Some(Process::spawn("server", command, &self.folder.path().join("server.log"))?);
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let ready = reqwest::get(format!("{}/ready", self.url())).await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            self.server()?.check_alive()?;
            if Instant::now() > end {
                bail!("the server is not ready after a minute:\n{}", self.server()?.output_tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// `kill -9` of the server.
    pub fn kill_server(&mut self) -> Result<()> {
        self.server.take().context("the server is down")?.kill()
    }

    /// Enrols and starts one more runner; gives its index.
    pub async fn add_runner(&mut self) -> Result<usize> {
        self.add_runner_with("").await
    }

    /// As [`Stack::add_runner`], with labels (`a,b`).
    pub async fn add_runner_with(&mut self, labels: &str) -> Result<usize> {
        let made = self.admin.post("/runners/enrolment-tokens", json!({})).await?;
        let token = made["token"].as_str().context("the answer holds the token")?.to_owned();
        let index = self.runners.len();
        self.runners.push(None);
        self.start_runner_with(index, Some(token), labels)?;
        Ok(index)
    }

    /// Starts an enrolled runner again, from its data folder.
    pub fn start_runner(&mut self, index: usize) -> Result<()> {
        self.start_runner_with(index, None, "")
    }

    fn start_runner_with(&mut self, index: usize, token: Option<String>, labels: &str) -> Result<()> {
        let mut command = self.command("runner")?;
        command
            .env("TIDEGATE_SERVER_URL", self.url())
            .env("TIDEGATE_DATA_DIR", self.runner_folder(index))
            .env("TIDEGATE_RUNNER_NAME", format!("e2e-{index}"))
            .env("TIDEGATE_SLOTS", self.setup.slots.to_string())
            .env("TIDEGATE_ALLOW_FILE_CLONE", "true");
        if let Some(host) = &self.setup.docker_host {
            command.env("DOCKER_HOST", host);
        }
        if let Some(folder) = &self.setup.programs {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(folder.clone()).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(folders)?);
        }
        if !labels.is_empty() {
            command.env("TIDEGATE_LABELS", labels);
        }
        if let Some(token) = token {
            command.env("TIDEGATE_ENROLMENT_TOKEN", token);
        }
        let log = self.folder.path().join(format!("runner-{index}.log"));
        self.runners[index] = Some(Process::spawn("runner", command, &log)?);
        Ok(())
    }

    /// The data folder of a runner.
    pub fn runner_folder(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("runner-{index}"))
    }

    /// `kill -9` of a runner.
    pub fn kill_runner(&mut self, index: usize) -> Result<()> {
        self.runners.get_mut(index).and_then(Option::take).context("the runner is down")?.kill()
    }

    fn command(&self, subcommand: &str) -> Result<Command> {
        let mut command = Command::new(tidegate_binary()?);
        command.arg(subcommand).current_dir(self.folder.path());
        command.env_remove("TIDEGATE_TOKEN").env("RUST_LOG", "info,sqlx=warn").env("RUST_LIB_BACKTRACE", "0");
        Ok(command)
    }

    /// A new repository on disk and on the server.
    pub async fn project(&self, name: &str) -> Result<Project> {
        let full_name = format!("e2e/{name}");
        let repo = Repo::create(&full_name)?;
        let made = self
            .admin
            .post(
                "/repositories",
                json!({"full_name": full_name, "forge": "git", "clone_url": repo.clone_url(), "default_branch": "main"}),
            )
            .await?;
        let text =
            |key: &str| made[key].as_str().map(str::to_owned).with_context(|| format!("no {key} in {made}"));
        Ok(Project {
            repo,
            id: text("id")?,
            webhook_url: text("webhook_url")?,
            webhook_secret: text("webhook_secret")?,
        })
    }

    /// A person with a role, and that person's access.
    pub async fn person(&self, username: &str, role: &str) -> Result<Api> {
        self.admin
            .post(
                "/users",
                json!({"username": username, "display_name": username, "role": role, "password": PASSWORD}),
            )
            .await?;
        Api::log_in(&self.url(), username, PASSWORD).await
    }

    /// The output of all processes, for a failure message.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for process in self.server.iter().chain(self.runners.iter().flatten()) {
            text.push_str(&process.output_tail());
            text.push('\n');
        }
        text
    }
}

impl Project {
    /// Pushes files and delivers the webhook; gives the push.
    pub async fn push(&self, files: &[(&str, &str)]) -> Result<Push> {
        let push = self.repo.push(files, "change it")?;
        let status =
            deliver(&self.webhook_url, &self.webhook_secret, "push", &self.repo.webhook(&push)).await?;
        if status != 202 {
            bail!("the webhook was answered {status}");
        }
        Ok(push)
    }

    /// Pushes a pipeline (and other files), waits for the run, and gives its id.
    pub async fn run(&self, api: &Api, pipeline: &str, more: &[(&str, &str)]) -> Result<String> {
        let mut files = vec![(".tidegate/pipeline.yml", pipeline)];
        files.extend_from_slice(more);
        let push = self.push(&files).await?;
        api.run_of(&push.after).await
    }

    /// Sets an environment's rules.
    pub async fn environment(&self, api: &Api, name: &str, rules: Value) -> Result<()> {
        api.put(&format!("/repositories/{}/environments/{name}", self.id), rules).await?;
        Ok(())
    }
}

impl Drop for Stack {
    /// Ends the processes and removes what runners that were killed left in the engine; a scenario that fails shows
    /// what its processes said.
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        self.server = None;
        for index in 0..self.runners.len() {
            self.runners[index] = None;
            let key = std::fs::read(self.runner_folder(index).join("runner.key")).unwrap_or_default();
            let key: Value = serde_json::from_slice(&key).unwrap_or_default();
            if let Some(runner) = key["runner"].as_str() {
                engine::remove_labelled(
                    &format!("tidegate.runner={runner}"),
                    self.setup.docker_host.as_deref(),
                );
            }
        }
    }
}
