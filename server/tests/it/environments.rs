//! Environments: rules, what they run, freezing, deleting.

use sqlx::PgPool;
use tidegate_protocol::ids::EnvironmentId;
use tidegate_server::{
    environments::{self, Rules},
    error::Error,
};

use crate::support::{MIGRATOR, World};

#[sqlx::test(migrator = "MIGRATOR")]
async fn rules_are_set_and_set_again(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let rules = Rules { required_approvals: 1, branches: vec!["main".to_owned()], ..Rules::default() };
    let made =
        environments::upsert(&world.app, repository.id, "production", rules, &world.admin).await.unwrap();
    assert_eq!((made.required_approvals, made.repository.as_str()), (1, repository.full_name.as_str()));
    let rules =
        Rules { required_approvals: 2, url: Some("https://example.org".to_owned()), ..Rules::default() };
    let again =
        environments::upsert(&world.app, repository.id, "production", rules, &world.admin).await.unwrap();
    assert_eq!((again.id, again.required_approvals, again.branches.len()), (made.id, 2, 0));
    assert_eq!(environments::list(&world.app).await.unwrap().len(), 1);
    let refused =
        environments::upsert(&world.app, repository.id, "Prod/1", Rules::default(), &world.admin).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");

    environments::freeze(&world.app, made.id, "a storm", &world.admin).await.unwrap();
    let frozen = environments::get(&world.app, made.id).await.unwrap();
    assert_eq!(frozen.frozen_reason.as_deref(), Some("a storm"));
    environments::unfreeze(&world.app, made.id, &world.admin).await.unwrap();
    assert_eq!(environments::get(&world.app, made.id).await.unwrap().frozen_reason, None);
    let nowhere = environments::freeze(&world.app, EnvironmentId::new(), "x", &world.admin).await;
    assert!(matches!(nowhere, Err(Error::NotFound(_))), "{nowhere:?}");
    let actions: Vec<String> =
        world.app.db.audit_entries(None, 4).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(
        actions,
        ["environment.unfreeze", "environment.freeze", "environment.rules", "environment.rules"]
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_environment_runs_its_newest_success(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let environment =
        environments::upsert(&world.app, repository.id, "staging", Rules::default(), &world.admin)
            .await
            .unwrap();
    let run = world.run(&repository, &serde_json::Value::Null).await;
    world
        .sql(&format!(
            "insert into stages (id, run_id, key, position, plan, verb) values ('{run}', '{run}', 'deploy', 0, '{{}}', 'deploy');
             insert into deployments (id, environment_id, run_id, stage_id, image, status, actor, sha, created_at)
             select gen_random_uuid(), '{}', '{run}', '{run}', image, status, 'dora', repeat('a', 40), now() + wait
             from (values ('first', 'succeeded', interval '1 s'), ('second', 'succeeded', '2 s'), ('third', 'rolled_back', '3 s'),
                          ('fourth', 'failed', '4 s'), ('fifth', 'verifying', '5 s')) v (image, status, wait)",
            environment.id
        ))
        .await;
    let read = environments::get(&world.app, environment.id).await.unwrap();
    let current = read.current.unwrap();
    assert_eq!(
        (current.image.as_str(), current.run_number, current.title.as_str()),
        ("second", 1, "a change")
    );
    assert_eq!(read.in_progress.unwrap().image, "fifth");
    let history = environments::deployments(&world.app, environment.id).await.unwrap();
    let images: Vec<&str> = history.iter().map(|deployment| deployment.image.as_str()).collect();
    assert_eq!(images, ["fifth", "fourth", "third", "second", "first"]);

    let refused = environments::delete(&world.app, environment.id, &world.admin).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    world.sql("update deployments set status = 'succeeded' where image = 'fifth'").await;
    environments::delete(&world.app, environment.id, &world.admin).await.unwrap();
    let gone = environments::deployments(&world.app, environment.id).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
}
