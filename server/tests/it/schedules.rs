//! Schedules: one run each time, however many servers look, and however many times were missed.

use sqlx::PgPool;
use tidegate_protocol::ids::RunId;
use tidegate_server::{
    repositories, runs,
    store::{
        FileSchedule,
        views::{Repository, RunFilter},
    },
    tasks::schedules,
};

use crate::support::{MIGRATOR, World};

const NIGHTLY: &str =
    "on: {schedule: [{cron: \"*/5 * * * *\"}]}\nstages:\n  one: {image: debian, run: make}\n";

/// A repository whose bare clone holds this pipeline file on `main`, and a schedule that came due an hour ago.
async fn scheduled(world: &World, text: &str) -> Repository {
    let repository = world.repository().await;
    let folder = url::Url::parse(&repository.clone_url).unwrap().to_file_path().unwrap();
    let bare = git2::Repository::init_bare(folder).unwrap();
    let mut inner = bare.treebuilder(None).unwrap();
    inner.insert("pipeline.yml", bare.blob(text.as_bytes()).unwrap(), 0o100_644).unwrap();
    let mut tree = bare.treebuilder(None).unwrap();
    tree.insert(".tidegate", inner.write().unwrap(), 0o040_000).unwrap();
    let tree = bare.find_tree(tree.write().unwrap()).unwrap();
    let ann = git2::Signature::now("Ann", "ann@example.org").unwrap();
    bare.commit(Some("refs/heads/main"), &ann, &ann, "a change", &tree, &[]).unwrap();
    due(world, &repository).await;
    repository
}

async fn due(world: &World, repository: &Repository) {
    let schedule = FileSchedule {
        path: ".tidegate/pipeline.yml".to_owned(),
        cron: "*/5 * * * *".to_owned(),
        time_zone: "UTC".to_owned(),
    };
    repositories::set_schedules(&world.app, repository.id, &[schedule]).await.unwrap();
    world.sql("update schedules set next_at = now() - interval '1 hour'").await;
}

async fn runs(world: &World) -> Vec<(RunId, String, String)> {
    let filter = RunFilter { limit: 10, ..RunFilter::default() };
    let list = runs::list(&world.app, &filter).await.unwrap();
    list.into_iter().map(|run| (run.id, run.event_kind, run.actor)).collect()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn times_that_were_missed_make_one_run(pool: PgPool) {
    let world = World::new(pool).await;
    scheduled(&world, NIGHTLY).await;
    let looking = (0..4).map(|_| {
        let app = world.app.clone();
        tokio::spawn(async move { schedules::once(&app).await.unwrap() })
    });
    let mut worked = 0;
    for looks in looking.collect::<Vec<_>>() {
        worked += usize::from(looks.await.unwrap());
    }
    assert_eq!(worked, 1);
    let made = runs(&world).await;
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].1.as_str(), made[0].2.as_str()), ("schedule", "schedule"));
    let next: f64 = world.value("select extract(epoch from next_at - now())::float8 from schedules").await;
    assert!((0.0..=300.0).contains(&next), "{next}");
    assert!(!schedules::once(&world.app).await.unwrap());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_file_that_asks_for_none_makes_none(pool: PgPool) {
    let world = World::new(pool).await;
    scheduled(&world, "on: push\nstages:\n  one: {image: debian, run: make}\n").await;
    assert!(schedules::once(&world.app).await.unwrap());
    assert!(runs(&world).await.is_empty());
    assert!(!schedules::once(&world.app).await.unwrap(), "it was moved on");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_repository_that_is_not_there_holds_up_no_other(pool: PgPool) {
    let world = World::new(pool).await;
    let gone = world.repository().await;
    scheduled(&world, NIGHTLY).await;
    due(&world, &gone).await;
    while schedules::once(&world.app).await.unwrap() {}
    assert_eq!(runs(&world).await.len(), 1);
    assert_eq!(world.value::<i64>("select count(*) from schedules where next_at > now()").await, 2);
}
