//! Repositories: what is refused, what is sealed, and what goes with one that is deleted.

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use tidegate_server::{
    error::Error,
    repositories::{self, NewRepository, RepositoryChange},
    store::FileSchedule,
};

use crate::support::{MIGRATOR, World};

fn new(full_name: &str, clone_url: &str) -> NewRepository {
    NewRepository {
        full_name: full_name.to_owned(),
        forge: "github".to_owned(),
        clone_url: clone_url.to_owned(),
        default_branch: None,
        pipeline_path: None,
        pipelines: None,
        clone_token: None,
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn secrets_of_a_repository_are_sealed_and_read_back(pool: PgPool) {
    let world = World::new(pool).await;
    let wanted = NewRepository {
        clone_token: Some(SecretString::from("bot:to:ken")),
        ..new("acme/api", "https://example.org/acme/api.git")
    };
    let added = repositories::create(&world.app, wanted, &world.admin).await.unwrap();
    let secret = repositories::webhook_secret(&world.app, added.id).await.unwrap();
    assert_eq!(secret.expose_secret(), added.webhook_secret.expose_secret());
    assert!(secret.expose_secret().len() >= 32);
    let (user, token) = repositories::clone_login(&world.app, added.id).await.unwrap().unwrap();
    assert_eq!((user.as_str(), token.expose_secret()), ("bot", "to:ken"));

    // Neither is in the database as it is.
    let row: String = world.value("select repositories::text from repositories").await;
    for text in [secret.expose_secret(), "to:ken"] {
        assert!(!row.contains(text) && !row.contains(&hex::encode(text)), "{row}");
    }
    let row: String = world.value("select string_agg(audit::text, ' ') from audit").await;
    assert!(row.contains("repository.add") && !row.contains("to:ken"), "{row}");

    // Moved to another row they do not open.
    let other = world.repository().await;
    world
        .sql(
            "update repositories set webhook_secret_sealed =
                 (select webhook_secret_sealed from repositories where full_name = 'acme/api')",
        )
        .await;
    assert!(repositories::webhook_secret(&world.app, other.id).await.is_err());

    let change =
        RepositoryChange { clone_token: Some(SecretString::from("")), ..RepositoryChange::default() };
    repositories::update(&world.app, added.id, change, &world.admin).await.unwrap();
    assert!(repositories::clone_login(&world.app, added.id).await.unwrap().is_none());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_could_do_harm_is_refused(pool: PgPool) {
    let world = World::with(pool, |config| config.allow_file_clone = false).await;
    let url = "https://example.org/a.git";
    let bad = [
        new("acme", url),
        new("../api", url),
        new("acme/api", "file:///srv/a.git"),
        new("acme/api", "ext::sh -c id"),
        new("acme/api", "https://bot:token@example.org/a.git"),
        NewRepository { forge: "gitea".to_owned(), ..new("acme/api", url) },
        NewRepository { default_branch: Some("a..b".to_owned()), ..new("acme/api", url) },
        NewRepository { pipeline_path: Some("../x.yml".to_owned()), ..new("acme/api", url) },
        NewRepository { pipelines: Some("all".to_owned()), ..new("acme/api", url) },
        NewRepository { clone_token: Some(SecretString::from("no-user")), ..new("acme/api", url) },
    ];
    for wanted in bad {
        let text = format!("{wanted:?}");
        let refused = repositories::create(&world.app, wanted, &world.admin).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{text}: {refused:?}");
    }
    repositories::create(&world.app, new("acme/api", url), &world.admin).await.unwrap();
    let twice = repositories::create(&world.app, new("acme/api", url), &world.admin).await;
    assert!(matches!(twice, Err(Error::Refused(_))), "{twice:?}");
    assert_eq!(repositories::list(&world.app).await.unwrap().len(), 1);
    let found = repositories::find(&world.app, "acme/api").await.unwrap().unwrap();
    assert_eq!(found.default_branch, "main");
    assert_eq!(found.pipelines, "both");
    assert!(repositories::find(&world.app, "acme/other").await.unwrap().is_none());
    let change = RepositoryChange { clone_url: Some("file:///x".to_owned()), ..RepositoryChange::default() };
    let refused = repositories::update(&world.app, found.id, change, &world.admin).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    assert_eq!(repositories::get(&world.app, found.id).await.unwrap().clone_url, url);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_repository_goes_with_its_history_but_not_while_it_is_at_work(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    let run = world.run(&repository, &serde_json::Value::Null).await;
    world
        .sql(&format!(
            "insert into stages (id, run_id, key, position, plan, verb) values ('{run}', '{run}', 'deploy', 0, '{{}}', 'deploy');
             insert into attempts (id, stage_id, run_id, runner_id, number, epoch, lease_expires_at)
                 values ('{run}', '{run}', '{run}', '{runner}', 1, 1, now());
             insert into environments (id, repository_id, name) values ('{run}', '{}', 'production');
             insert into deployments (id, environment_id, run_id, stage_id, attempt_id, image, status, actor, sha)
                 values ('{run}', '{run}', '{run}', '{run}', '{run}', 'i', 'succeeded', 'dora', '');
             insert into deployments (id, environment_id, run_id, stage_id, attempt_id, previous_id, image, status, actor, sha)
                 values (gen_random_uuid(), '{run}', '{run}', '{run}', '{run}', '{run}', 'i', 'succeeded', 'dora', '');",
            repository.id
        ))
        .await;
    let again = world.run(&repository, &serde_json::Value::Null).await;
    world.sql(&format!("update runs set rerun_of = '{run}' where id = '{again}'")).await;

    let refused = repositories::delete(&world.app, repository.id, &world.admin).await;
    assert!(matches!(&refused, Err(Error::Refused(text)) if text.contains("2 runs")), "{refused:?}");
    world.sql("update runs set status = 'succeeded', finished_at = now()").await;
    let mirror = world.app.config.data_dir.join("mirrors").join(format!("{}.git", repository.id));
    std::fs::create_dir_all(&mirror).unwrap();
    repositories::delete(&world.app, repository.id, &world.admin).await.unwrap();
    assert_eq!(world.value::<i64>("select count(*) from deployments").await, 0);
    let gone = repositories::get(&world.app, repository.id).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    assert!(!mirror.exists());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_push_does_not_lose_a_schedule_that_is_due(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let one = |path: &str, cron: &str, time_zone: &str| FileSchedule {
        path: path.to_owned(),
        cron: cron.to_owned(),
        time_zone: time_zone.to_owned(),
    };
    let nightly = one("a.yml", "0 3 * * *", "Europe/Berlin");
    // Another file may ask for the same time.
    let weekly = one("b.yml", "0 3 * * *", "Europe/Berlin");
    let nonsense = one("a.yml", "61 * * * *", "UTC");
    repositories::set_schedules(&world.app, repository.id, &[nightly.clone(), weekly, nonsense])
        .await
        .unwrap();
    assert_eq!(world.value::<i64>("select count(*) from schedules where next_at > now()").await, 2);
    world.sql("update schedules set next_at = now() - interval '1 minute'").await;
    repositories::set_schedules(&world.app, repository.id, &[nightly]).await.unwrap();
    assert_eq!(world.value::<i64>("select count(*) from schedules").await, 1);
    assert_eq!(world.value::<i64>("select count(*) from schedules where next_at < now()").await, 1);
    repositories::set_schedules(&world.app, repository.id, &[]).await.unwrap();
    assert_eq!(world.value::<i64>("select count(*) from schedules").await, 0);
}
