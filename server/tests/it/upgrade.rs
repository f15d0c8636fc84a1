//! A database that an earlier version filled: brought up to date, its runs are shown, and one that was going on goes on.

use serde_json::{Value, json};
use sqlx::{PgPool, migrate::Migrator};
use tidegate_protocol::{
    ids::{RepositoryId, RunId},
    messages::Outcome,
    status::RunStatus,
};
use tidegate_server::runs;

use crate::{
    leased::{claim, finish, finished, reason},
    support::{MIGRATOR, World},
};

/// The last migration of the version that began several pipelines per repository came after this one.
const FIRST: i64 = 2;
/// A plan as that version stored it.
const PLAN: &str = include_str!("../../../pipelines/tests/stored/first.json");

async fn as_of(pool: &PgPool, version: i64) {
    let migrations = MIGRATOR.iter().filter(|one| one.version <= version).cloned().collect::<Vec<_>>();
    assert_eq!(migrations.len() as i64, version);
    Migrator { migrations: migrations.into(), ..Migrator::DEFAULT }.run(pool).await.unwrap();
}

/// Rows of that version: a run that ended, one that is invalid, one whose `lint` is queued, and what hangs on them.
async fn fill(pool: &PgPool, repository: RepositoryId) -> [RunId; 3] {
    let plan: Value = serde_json::from_str(PLAN).unwrap();
    let event = json!({
        "kind": "push", "repository": "acme/api", "default_branch": "main", "actor": "dora", "changed_paths": null,
        "inputs": {}, "pull_request": null, "trusted": true,
        "git": {
            "sha": "a".repeat(40), "reference": "refs/heads/main", "branch": "main", "tag": null, "before": null,
            "message": "a change",
        },
    });
    sqlx::query(
        "insert into repositories (id, full_name, forge, clone_url, webhook_secret_sealed, next_run_number)
         values ($1, 'acme/api', 'git', 'file:///nowhere/api.git', 'sealed', 4)",
    )
    .bind(repository.0)
    .execute(pool)
    .await
    .unwrap();
    sqlx::query(
        "insert into schedules (repository_id, cron, time_zone, next_at)
         values ($1, '0 3 * * *', 'UTC', now() + interval '1 day')",
    )
    .bind(repository.0)
    .execute(pool)
    .await
    .unwrap();
    let made = [RunId::new(), RunId::new(), RunId::new()];
    for (number, (run, status)) in made.iter().zip(["succeeded", "invalid", "running"]).enumerate() {
        let valid = status != "invalid";
        sqlx::query(
            "insert into runs (id, repository_id, number, pipeline, status, event, event_kind, sha, reference, title,
                               actor, plan, plan_digest, trusted, finished_at)
             values ($1, $2, $3, 'delivery', $4, $5, 'push', repeat('a', 40), 'refs/heads/main', 'a change', 'dora',
                     $6, $7, true, case when $4 = 'running' then null else now() end)",
        )
        .bind(run.0)
        .bind(repository.0)
        .bind(number as i64 + 1)
        .bind(status)
        .bind(&event)
        .bind(valid.then_some(&plan))
        .bind(valid.then_some([7_u8; 32].as_slice()))
        .execute(pool)
        .await
        .unwrap();
        if !valid {
            continue;
        }
        for (position, stage) in plan["stages"].as_array().unwrap().iter().enumerate() {
            let waits = status == "running";
            let state = match position {
                _ if !waits => "succeeded",
                0 => "queued",
                _ => "blocked",
            };
            sqlx::query(
                "insert into stages (id, run_id, key, position, plan, verb, status, queued_at)
                 values (gen_random_uuid(), $1, $2, $3, $4, $5, $6, case when $6 = 'queued' then now() end)",
            )
            .bind(run.0)
            .bind(stage["key"].as_str().unwrap())
            .bind(position as i32)
            .bind(stage)
            .bind(stage["verb"]["kind"].as_str().unwrap())
            .bind(state)
            .execute(pool)
            .await
            .unwrap();
        }
    }
    made
}

#[sqlx::test(migrations = false)]
async fn what_an_earlier_version_stored_is_shown_and_goes_on(pool: PgPool) {
    as_of(&pool, FIRST).await;
    let repository = RepositoryId::new();
    let [ended, invalid, running] = fill(&pool, repository).await;
    MIGRATOR.run(&pool).await.unwrap();

    let world = World::new(pool).await;
    for (run, status, stages) in
        [(ended, RunStatus::Succeeded, 7), (invalid, RunStatus::Invalid, 0), (running, RunStatus::Running, 7)]
    {
        let shown = runs::detail(&world.app, run, &world.admin).await.unwrap();
        assert_eq!((shown.summary.status, shown.stages.len()), (status, stages));
        // The plan says where its file is; without one it is the repository's.
        let path: String = world.value(&format!("select path from runs where id = '{run}'")).await;
        let expected = if stages == 0 { ".tidegate/pipeline.yml" } else { "pipeline.yml" };
        assert_eq!(path, expected);
    }
    let path: String = world.value("select path from schedules").await;
    assert_eq!(path, "");

    let runner = world.runner().await;
    let lease = claim(&world, runner, &["docker"]).await.expect("`lint` is queued");
    assert_eq!(lease.stage.key.0, "lint");
    finish(&world, runner, &lease, finished(Outcome::Succeeded)).await.unwrap();
    // The tests' turn has come; they ask for secrets that nobody set.
    assert!(claim(&world, runner, &["docker"]).await.is_none());
    let said = reason(&world, running, "test (python=3.11)").await.unwrap();
    assert!(said.contains("NPM_TOKEN"), "{said}");
}
