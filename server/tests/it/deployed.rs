//! What the tests about gates and deployments share: a pipeline that packs, deploys and checks, and its runner.

use std::collections::BTreeMap;

use tidegate_protocol::{
    ids::{DeploymentId, EnvironmentId, GateId, RunId, RunnerId},
    messages::{Finish, Lease, Outcome},
};
use tidegate_server::{
    environments::{self, Rules},
    store::views::Repository,
};

use crate::{
    leased::{finish, finished, lease, push},
    support::World,
};

/// What is deployed is what `pack` says.
pub const TEXT: &str = "
on: push
stages:
  pack: {image: debian, run: pack}
  deploy:
    needs: [pack]
    deploy: {environment: production, image: \"${{ stages.pack.outputs.image }}\", compose: {file: c.yml, project: api}}
  check:
    needs: [deploy]
    smoke: {environment: production, checks: [{url: \"http://api/${{ stages.pack.outputs.image }}\"}]}
";

/// A server with a repository, its environment `production`, and a runner.
pub struct Site {
    pub world: World,
    pub repository: Repository,
    pub environment: EnvironmentId,
    pub runner: RunnerId,
}

impl Site {
    pub async fn new(world: World, rules: Rules) -> Self {
        let repository = world.repository().await;
        let runner = world.runner().await;
        let made = environments::upsert(&world.app, repository.id, "production", rules, &world.admin);
        let environment = made.await.unwrap().id;
        Self { world, repository, environment, runner }
    }

    /// Other rules from now on.
    pub async fn rules(&self, rules: Rules) {
        let Self { world, repository, .. } = self;
        environments::upsert(&world.app, repository.id, "production", rules, &world.admin).await.unwrap();
    }

    /// A run whose turn to deploy this has come.
    pub async fn packed(&self, image: &str) -> RunId {
        self.all_packed([image]).await[0]
    }

    /// As many runs, all of whose turn to deploy has come.
    pub async fn all_packed<const N: usize>(&self, images: [&str; N]) -> Vec<RunId> {
        let mut runs = Vec::new();
        for _ in images {
            runs.push(push(&self.world, &self.repository, TEXT).await);
        }
        for (run, image) in runs.iter().zip(images) {
            self.pack(*run, image).await;
        }
        runs
    }

    /// Carries out `pack`, which must be the next stage.
    pub async fn pack(&self, run: RunId, image: &str) {
        let lease = self.take(run, "pack").await;
        let outputs = BTreeMap::from([("image".to_owned(), image.to_owned())]);
        let end = Finish { outputs, ..finished(Outcome::Succeeded) };
        finish(&self.world, self.runner, &lease, end).await.unwrap();
    }

    /// The next stage, which must be this one.
    pub async fn take(&self, run: RunId, stage: &str) -> Lease {
        let lease = lease(&self.world, self.runner).await;
        assert_eq!((lease.run, lease.stage.key.0.as_str()), (run, stage));
        lease
    }

    /// Ends an attempt.
    pub async fn end(&self, lease: &Lease, outcome: Outcome) {
        let reason = (outcome != Outcome::Succeeded).then(|| format!("{} broke", lease.stage.key));
        let end = Finish { reason, ..finished(outcome) };
        finish(&self.world, self.runner, lease, end).await.unwrap();
    }

    /// Takes the next stage, which must be this one, and ends it.
    pub async fn carry_out(&self, run: RunId, stage: &str, outcome: Outcome) -> Lease {
        let lease = self.take(run, stage).await;
        self.end(&lease, outcome).await;
        lease
    }

    /// A run that deploys this, all the way, without a gate.
    pub async fn deploy(&self, image: &str) -> RunId {
        let run = self.packed(image).await;
        self.carry_out(run, "deploy", Outcome::Succeeded).await;
        self.carry_out(run, "check", Outcome::Succeeded).await;
        run
    }

    /// The gate that is open.
    pub async fn gate(&self) -> GateId {
        GateId(self.world.value("select id from gates where status = 'open'").await)
    }

    /// All deployments, oldest first: `image status`.
    pub async fn history(&self) -> Vec<String> {
        self.world
            .value(
                "select coalesce(array_agg(image || ' ' || status order by created_at, id), '{}') from deployments",
            )
            .await
    }

    /// What runs now.
    pub async fn current(&self) -> Option<String> {
        let environment = environments::get(&self.world.app, self.environment).await.unwrap();
        environment.current.map(|deployment| deployment.image)
    }

    /// The newest deployment of an image.
    pub async fn deployment(&self, image: &str) -> DeploymentId {
        let query = format!(
            "select id from deployments where image = '{image}' order by created_at desc, id desc limit 1"
        );
        DeploymentId(self.world.value(&query).await)
    }

    /// A run's status and reason.
    pub async fn end_of(&self, run: RunId) -> (String, String) {
        let status = self.world.value(&format!("select status from runs where id = '{run}'")).await;
        let reason =
            self.world.value(&format!("select coalesce(reason, '') from runs where id = '{run}'")).await;
        (status, reason)
    }
}
