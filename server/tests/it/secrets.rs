//! Secrets: which one a stage is given, and that none opens anywhere but in its own place.

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use tidegate_protocol::ids::RepositoryId;
use tidegate_server::{
    error::Error,
    secrets::{self, Place, Wanted},
};

use crate::support::{MIGRATOR, World};

async fn put(world: &World, repository: RepositoryId, environment: Option<&str>, name: &str, value: &str) {
    let value = SecretString::from(value);
    secrets::put(&world.app, repository, environment, name, value, &world.admin).await.unwrap();
}

/// What a stage would be given, or why it is given nothing.
async fn open(
    world: &World,
    repository: RepositoryId,
    environment: Option<&str>,
    names: &[&str],
) -> Result<Vec<String>, String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut tx = world.app.db.begin().await.unwrap();
    let wanted = Wanted { required: names.clone(), optional: vec!["NOBODY_SET_IT".to_owned()] };
    match secrets::open_for_stage(&world.app, &mut tx, repository, environment, &wanted).await {
        Ok(opened) => Ok(names.iter().map(|name| opened[name].expose_secret().to_owned()).collect()),
        Err(Error::Refused(reason)) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_nearest_secret_wins(pool: PgPool) {
    let world = World::new(pool).await;
    let (api, other) = (world.repository().await.id, world.repository().await.id);
    // Everybody's: no call stores one yet.
    for name in ["ONE", "TWO", "THREE"] {
        let place = Place::Secret { repository: None, environment: None, name, version: 1 };
        let sealed = hex::encode(world.app.keys.seal(place, b"everybody's").unwrap());
        world
            .sql(&format!(
                "insert into secrets (id, name, sealed, updated_by) values (gen_random_uuid(), '{name}', '\\x{sealed}', 'anna')"
            ))
            .await;
    }
    put(&world, api, None, "ONE", "the repository's").await;
    put(&world, api, None, "TWO", "the repository's").await;
    put(&world, api, Some("production"), "ONE", "production's").await;
    put(&world, api, Some("staging"), "TWO", "staging's").await;

    let names = ["ONE", "TWO", "THREE"];
    let production = open(&world, api, Some("production"), &names).await.unwrap();
    assert_eq!(production, ["production's", "the repository's", "everybody's"]);
    let plain = open(&world, api, None, &names).await.unwrap();
    assert_eq!(plain, ["the repository's", "the repository's", "everybody's"]);
    assert_eq!(open(&world, other, None, &["ONE"]).await.unwrap(), ["everybody's"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn all_that_are_missing_are_named(pool: PgPool) {
    let world = World::new(pool).await;
    let (api, other) = (world.repository().await.id, world.repository().await.id);
    put(&world, api, None, "PRESENT", "x").await;
    put(&world, other, None, "ELSEWHERE", "x").await;
    put(&world, api, Some("staging"), "STAGED", "x").await;
    let reason = open(&world, api, Some("production"), &["PRESENT", "STAGED", "ELSEWHERE", "STAGED"])
        .await
        .unwrap_err();
    assert!(reason.contains("ELSEWHERE, STAGED") && !reason.contains("PRESENT"), "{reason}");
    assert!(reason.contains("production"), "{reason}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn rows_that_were_swapped_do_not_open(pool: PgPool) {
    let world = World::new(pool).await;
    let (api, other) = (world.repository().await.id, world.repository().await.id);
    put(&world, api, Some("staging"), "TOKEN", "staging's").await;
    put(&world, api, Some("production"), "TOKEN", "production's").await;
    put(&world, other, None, "TOKEN", "the other's").await;
    put(&world, api, None, "OLD", "first").await;
    world.sql("create table saved as select * from secrets").await;
    put(&world, api, None, "OLD", "second").await;
    assert_eq!(open(&world, api, None, &["OLD"]).await.unwrap(), ["second"]);

    let swaps = [
        "update secrets set sealed = (select sealed from saved where environment = 'production')
             where environment = 'staging'",
        "update secrets set environment = 'staging' where environment = 'production'",
    ];
    for swap in swaps {
        world.sql("begin; delete from secrets; insert into secrets select * from saved; commit").await;
        if swap.contains("set environment") {
            world.sql("delete from secrets where environment = 'staging'").await;
        }
        world.sql(swap).await;
        let reason = open(&world, api, Some("staging"), &["TOKEN"]).await.unwrap_err();
        assert!(reason.contains("TOKEN cannot be opened"), "{reason}");
    }
    world.sql(&format!("update secrets set repository_id = '{api}' where repository_id = '{other}'")).await;
    assert!(open(&world, api, None, &["TOKEN"]).await.unwrap_err().contains("cannot be opened"));
    // An older value under the newer version's number.
    world.sql("update secrets set version = 2 where name = 'OLD'").await;
    assert!(open(&world, api, None, &["OLD"]).await.unwrap_err().contains("cannot be opened"));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn names_are_listed_values_never(pool: PgPool) {
    let world = World::new(pool).await;
    let api = world.repository().await.id;
    put(&world, api, None, "TOKEN", "hunter2hunter2").await;
    put(&world, api, None, "TOKEN", "hunter3hunter3").await;
    let listed = secrets::list(&world.app, api).await.unwrap();
    assert_eq!((listed.len(), listed[0].version, listed[0].updated_by.as_str()), (1, 2, "anna"));
    let everything: String =
        world.value("select (select string_agg(secrets::text, ' ') from secrets) || (select string_agg(audit::text, ' ') from audit)").await;
    assert!(everything.contains("secret.put") && !everything.contains("hunter"), "{everything}");

    for name in ["token", "", "A-B", "1A"] {
        let refused = secrets::put(&world.app, api, None, name, SecretString::from("x"), &world.admin).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{name}");
    }
    let empty = secrets::put(&world.app, api, None, "TOKEN", SecretString::from(""), &world.admin).await;
    assert!(matches!(empty, Err(Error::Invalid(_))));
    secrets::delete(&world.app, api, None, "TOKEN", &world.admin).await.unwrap();
    let again = secrets::delete(&world.app, api, None, "TOKEN", &world.admin).await;
    assert!(matches!(again, Err(Error::NotFound(_))));
}
