//! The audit trail: numbered without gaps, chained, append-only.

use serde_json::json;
use sqlx::PgPool;

use crate::support::{MIGRATOR, World};

#[sqlx::test(migrator = "MIGRATOR")]
async fn entries_are_numbered_without_gaps_whoever_writes_at_once(pool: PgPool) {
    let world = World::new(pool).await;
    let writers = (0..8).map(|writer| {
        let db = world.app.db.clone();
        tokio::spawn(async move {
            for turn in 0..5 {
                let mut tx = db.begin().await.unwrap();
                tx.audit("anna", "test", &format!("{writer}/{turn}"), json!({ "zone": "é \" \\" }))
                    .await
                    .unwrap();
                // Every other one is undone, and leaves no gap.
                if turn % 2 == 0 {
                    tx.commit().await.unwrap();
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let entries = world.app.db.audit_entries(None, 100).await.unwrap();
    let numbers: Vec<i64> = entries.iter().rev().map(|entry| entry.seq).collect();
    assert_eq!(numbers, (1..=24).collect::<Vec<_>>());
    assert_eq!(world.app.db.broken_audit_entry().await.unwrap(), None);
    assert_eq!(world.app.db.audit_entries(Some(3), 1).await.unwrap()[0].seq, 2);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_changed_or_missing_entry_is_named(pool: PgPool) {
    let world = World::new(pool).await;
    let mut tx = world.app.db.begin().await.unwrap();
    for number in 1..=4 {
        tx.audit("anna", "test", &number.to_string(), json!({ "number": number })).await.unwrap();
    }
    tx.commit().await.unwrap();
    for change in ["update audit set actor = 'eve' where seq = 2", "delete from audit where seq = 2"] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(change)).execute(&world.pool).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }

    // Whoever owns the database can, and is found out.
    world.sql("alter table audit disable trigger append_only").await;
    world.sql("create table saved as select * from audit").await;
    world.sql("update audit set detail = '{\"number\": 20}' where seq = 2").await;
    assert_eq!(world.app.db.broken_audit_entry().await.unwrap(), Some(2));
    world.sql("delete from audit; insert into audit select * from saved where seq <> 3").await;
    assert_eq!(world.app.db.broken_audit_entry().await.unwrap(), Some(4));
    world.sql("delete from audit; insert into audit select * from saved").await;
    assert_eq!(world.app.db.broken_audit_entry().await.unwrap(), None);
}
