//! Uploads by blocks and by offsets, and what breaks off.

use bytes::Bytes;
use futures_util::{Stream, stream};
use sha2::{Digest as _, Sha256};

use super::*;

fn body(text: &'static str) -> impl Stream<Item = Result<Bytes, String>> + Send + Unpin {
    stream::iter(text.as_bytes().chunks(2).map(|piece| Ok(Bytes::from_static(piece))))
}

fn goal() -> Goal {
    Goal::Cache { key: "k".to_owned(), version: "v".to_owned() }
}

fn uploads() -> (tempfile::TempDir, Uploads) {
    let folder = tempfile::tempdir().unwrap();
    let uploads = Uploads::open(&folder.path().join("uploads")).unwrap();
    (folder, uploads)
}

#[tokio::test]
async fn blocks_come_in_any_order_and_again() {
    let (folder, uploads) = uploads();
    let id = uploads.begin(goal()).unwrap();
    let block = |name: &str| Part::Block(name.to_owned());
    uploads.receive(id, &block("../b"), Some(3), body("two")).await.unwrap();
    uploads.receive(id, &block("a"), None, body("0")).await.unwrap();
    uploads.receive(id, &block("a"), None, body("one")).await.unwrap();
    assert!(uploads.receive(id, &block("c"), Some(9), body("short")).await.is_err());
    assert!(uploads.order_blocks(id, vec!["a".to_owned(), "c".to_owned()]).is_err(), "c was not sent");
    assert!(uploads.assemble(id, None).is_err(), "no order was told");
    uploads.order_blocks(id, vec!["a".to_owned(), "../b".to_owned()]).unwrap();
    assert_eq!(uploads.bytes.load(Ordering::Acquire), 6);
    // A restart, and on.
    let uploads = Uploads::open(&folder.path().join("uploads")).unwrap();
    assert!(uploads.assemble(id, Some(7)).is_err());
    let (content, sha256) = uploads.assemble(id, Some(6)).unwrap();
    assert_eq!(fs::read_to_string(&content).unwrap(), "onetwo");
    assert_eq!(sha256, hex::encode(Sha256::digest("onetwo")));
    uploads.end(uploads.get(id).unwrap()).unwrap();
    assert!(uploads.get(id).unwrap().stored && !content.exists());
    let late = uploads.receive(id, &block("d"), None, body("late")).await;
    assert_eq!(late.unwrap_err().status, 409);
}

#[tokio::test]
async fn parts_by_offset_must_leave_no_gap() {
    let (_folder, uploads) = uploads();
    let id = uploads.begin(goal()).unwrap();
    uploads.receive(id, &Part::At(3), Some(3), body("two")).await.unwrap();
    assert!(uploads.assemble(id, None).is_err());
    uploads.receive(id, &Part::At(0), Some(3), body("one")).await.unwrap();
    let (content, _) = uploads.assemble(id, Some(6)).unwrap();
    assert_eq!(fs::read_to_string(content).unwrap(), "onetwo");
    uploads.receive(id, &Part::At(5), None, body("x")).await.unwrap();
    assert!(uploads.assemble(id, None).is_err(), "an overlap");
}

#[tokio::test]
async fn what_breaks_off_or_is_too_much_leaves_nothing() {
    let (folder, uploads) = uploads();
    let id = uploads.begin(goal()).unwrap();
    let broken = stream::iter([Ok(Bytes::from_static(b"half")), Err("gone")]);
    assert_eq!(uploads.receive(id, &Part::Whole, None, broken).await.unwrap_err().status, 400);
    assert_eq!(uploads.bytes.load(Ordering::Acquire), 0);
    assert_eq!(fs::read_dir(folder.path().join(format!("uploads/{id}"))).unwrap().count(), 1);
    uploads.bytes.store(MOST_BYTES - 1, Ordering::Release);
    assert_eq!(uploads.receive(id, &Part::Whole, None, body("ab")).await.unwrap_err().status, 413);
    assert_eq!(uploads.bytes.load(Ordering::Acquire), MOST_BYTES - 1);
    assert_eq!(uploads.receive(7, &Part::Whole, None, body("a")).await.unwrap_err().status, 404);
    for _ in 1..MOST_OPEN {
        uploads.begin(goal()).unwrap();
    }
    assert_eq!(uploads.begin(goal()).unwrap_err().status, 413);
}

#[tokio::test]
async fn the_latest_upload_of_a_goal_is_found() {
    let (_folder, uploads) = uploads();
    uploads.begin(goal()).unwrap();
    let other = Goal::Artifact { name: "k".to_owned(), zip: true };
    let artifact = uploads.begin(other.clone()).unwrap();
    assert_eq!(uploads.latest(|goal| *goal == other).unwrap().unwrap().id, artifact);
    assert_eq!(uploads.latest(|goal| matches!(goal, Goal::Artifact { zip: false, .. })).unwrap(), None);
}
