//! A repository's origin on disk, and deliveries that tell of what happened there.

use serde_json::{Value, json};
use tidegate_protocol::ids::DeliveryId;
use tidegate_server::{
    store::{NewDelivery, views::Repository},
    tasks::deliveries,
};

use crate::support::World;

/// A bare repository where the server clones from.
pub struct Origin {
    bare: git2::Repository,
}

impl Origin {
    /// An empty one for this repository.
    pub fn new(repository: &Repository) -> Self {
        let folder = url::Url::parse(&repository.clone_url).unwrap().to_file_path().unwrap();
        Self { bare: git2::Repository::init_bare(folder).unwrap() }
    }

    /// A commit of these files, and no others, on a ref; answers its id.
    pub fn commit(&self, reference: &str, message: &str, files: &[(&str, &str)]) -> String {
        let mut index = git2::Index::new().unwrap();
        for (path, text) in files {
            let entry = git2::IndexEntry {
                ctime: git2::IndexTime::new(0, 0),
                mtime: git2::IndexTime::new(0, 0),
                dev: 0,
                ino: 0,
                mode: 0o100_644,
                uid: 0,
                gid: 0,
                file_size: 0,
                id: self.bare.blob(text.as_bytes()).unwrap(),
                flags: 0,
                flags_extended: 0,
                path: path.as_bytes().to_vec(),
            };
            index.add(&entry).unwrap();
        }
        let tree = self.bare.find_tree(index.write_tree_to(&self.bare).unwrap()).unwrap();
        let ann = git2::Signature::now("Ann", "ann@example.org").unwrap();
        let parent = self.bare.refname_to_id(reference).ok().and_then(|id| self.bare.find_commit(id).ok());
        let parents: Vec<_> = parent.iter().collect();
        self.bare.commit(Some(reference), &ann, &ann, message, &tree, &parents).unwrap().to_string()
    }
}

/// Stores a delivery, as the webhook does.
pub async fn deliver(world: &World, repository: &Repository, event: &str, mut body: Value) -> DeliveryId {
    body["repository"] = json!({ "full_name": repository.full_name, "id": 1 });
    body["sender"] = json!({ "login": "dora" });
    let body = serde_json::to_vec(&body).unwrap();
    let key = uuid::Uuid::now_v7().to_string();
    let mut content_key = [0; 32];
    content_key[..16].copy_from_slice(DeliveryId::new().0.as_bytes());
    let new = NewDelivery {
        id: DeliveryId::new(),
        repository: repository.id,
        delivery_key: key,
        content_key,
        event: event.to_owned(),
        body: body.into(),
    };
    world.app.intake.store(&world.app.db, &world.app.hub, new).await.unwrap().unwrap()
}

/// A push of one commit that touches these paths.
pub fn push(reference: &str, sha: &str, paths: &[&str]) -> Value {
    json!({
        "ref": reference, "before": "b".repeat(40), "after": sha, "deleted": false, "created": false,
        "forced": false, "commits": [{ "message": "m", "added": paths, "removed": [], "modified": [] }],
    })
}

/// Works off all that can be worked on now.
pub async fn work_off(world: &World) {
    while deliveries::once(&world.app).await.unwrap() {}
}

/// State and result of a delivery.
pub async fn outcome(world: &World, id: DeliveryId) -> (String, String) {
    let state = world.value(&format!("select state from deliveries where id = '{id}'")).await;
    let result = world.value(&format!("select coalesce(result, '') from deliveries where id = '{id}'")).await;
    (state, result)
}

/// `path event kind status` of all runs, by number.
pub async fn runs(world: &World) -> Vec<String> {
    world
        .value(
            "select coalesce(array_agg(concat_ws(' ', path, event_kind, status) order by number), '{}') from runs",
        )
        .await
}
