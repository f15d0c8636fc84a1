//! Files that a pipeline takes from its own repository and from others.

use std::sync::Arc;

use secrecy::SecretString;
use sqlx::PgPool;
use tidegate_pipelines::{FileRef, Files};
use tidegate_server::{
    config::SourceRule,
    git::OtherFiles,
    repositories::{self, RepositoryChange},
    store::views::Repository,
};

use crate::{
    origin::Origin,
    support::{MIGRATOR, World},
};

fn other(repository: &str, path: &str, reference: &str) -> FileRef {
    FileRef::Other {
        repository: repository.to_owned(),
        path: path.to_owned(),
        reference: reference.to_owned(),
    }
}

/// What the files at a commit are said to be, asked off the async threads.
async fn read(
    world: &World,
    repository: &Repository,
    sha: &str,
    trusted: bool,
    asked: Vec<FileRef>,
) -> (Vec<Result<String, String>>, Option<String>) {
    let files = Arc::new(OtherFiles::new(&world.app, repository, "refs/heads/main", sha, trusted));
    tokio::task::spawn_blocking(move || {
        let answers = asked.iter().map(|file| files.read(file)).collect();
        (answers, files.away())
    })
    .await
    .unwrap()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn files_are_read_where_somebody_let_them_in(pool: PgPool) {
    let elsewhere = tempfile::tempdir().unwrap();
    let to = format!("file://{}/{{repository}}.git", elsewhere.path().display());
    let world = World::with(pool, |config| {
        config.sources = vec![SourceRule { from: "shared/*".to_owned(), to }];
    })
    .await;
    let (own, known) = (world.repository().await, world.repository().await);
    let origin = Origin::new(&own);
    let first = origin.commit("refs/heads/main", "one", &[("ci/t.yml", "first")]);
    origin.commit("refs/heads/main", "two", &[("ci/t.yml", "second")]);
    let theirs = Origin::new(&known);
    let old = theirs.commit("refs/heads/main", "one", &[("t.yml", "old")]);
    theirs.commit("refs/heads/main", "two", &[("t.yml", "new")]);
    theirs.commit("refs/tags/v1", "tag", &[("t.yml", "tagged")]);
    let mut mirrored = known.clone();
    mirrored.clone_url = format!("file://{}/shared/ci.git", elsewhere.path().display());
    Origin::new(&mirrored).commit("refs/heads/main", "one", &[("t.yml", "shared")]);

    let name = known.full_name.as_str();
    let asked = vec![
        FileRef::Same("ci/t.yml".to_owned()),
        FileRef::Same("no.yml".to_owned()),
        FileRef::Same("../etc/passwd".to_owned()),
        other(name, "t.yml", &old),
        other(name, "t.yml", "main"),
        other(name, "t.yml", "v1"),
        other(name, "t.yml", "nothing"),
        other("shared/ci", "t.yml", "main"),
        other("stranger/ci", "t.yml", "main"),
        other("../x", "t.yml", "main"),
        other(&own.full_name, "ci/t.yml", "main"),
    ];
    let (answers, away) = read(&world, &own, &first, true, asked).await;
    let answers: Vec<Result<&str, &str>> =
        answers.iter().map(|one| one.as_deref().map_err(String::as_str)).collect();
    assert_eq!(answers[0], Ok("first"), "as it was at the commit");
    assert_eq!(answers[1], Err("there is no no.yml"));
    assert!(answers[2].unwrap_err().contains("no path"));
    assert_eq!(answers[3..6], [Ok("old"), Ok("new"), Ok("tagged")]);
    assert!(answers[6].unwrap_err().contains("no branch or tag `nothing`"), "{answers:?}");
    assert_eq!(answers[7], Ok("shared"));
    assert!(answers[8].unwrap_err().contains("add that repository to this server"), "{answers:?}");
    assert!(answers[9].unwrap_err().contains("is no repository"));
    assert_eq!(answers[10], Ok("second"));
    assert_eq!(away, None, "none of these is there another time");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_fork_reads_nothing_that_needs_a_login(pool: PgPool) {
    let world = World::new(pool).await;
    let (own, known) = (world.repository().await, world.repository().await);
    let sha = Origin::new(&own).commit("refs/heads/main", "one", &[("a.yml", "a")]);
    Origin::new(&known).commit("refs/heads/main", "one", &[("t.yml", "theirs")]);
    let asked = || vec![other(&known.full_name, "t.yml", "main")];
    assert_eq!(read(&world, &own, &sha, false, asked()).await.0, [Ok("theirs".to_owned())]);
    let token = Some(SecretString::from("bot:token"));
    let change = RepositoryChange { clone_token: token, ..RepositoryChange::default() };
    repositories::update(&world.app, known.id, change, &world.admin).await.unwrap();
    let refused = read(&world, &own, &sha, false, asked()).await.0;
    assert!(refused[0].as_ref().unwrap_err().contains("not public"), "{refused:?}");
    assert_eq!(read(&world, &own, &sha, true, asked()).await.0, [Ok("theirs".to_owned())]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_host_that_does_not_answer_may_do_so_later(pool: PgPool) {
    let world = World::new(pool).await;
    let (own, gone) = (world.repository().await, world.repository().await);
    let sha = Origin::new(&own).commit("refs/heads/main", "one", &[("a.yml", "a")]);
    let url = RepositoryChange {
        clone_url: Some("http://127.0.0.1:1/x.git".to_owned()),
        ..RepositoryChange::default()
    };
    repositories::update(&world.app, gone.id, url, &world.admin).await.unwrap();
    let (answers, away) = read(&world, &own, &sha, true, vec![other(&gone.full_name, "t.yml", "main")]).await;
    assert!(answers[0].is_err());
    assert_eq!(away.as_deref(), answers[0].as_ref().err().map(String::as_str));

    // A file names only so many.
    let many = (0..200).map(|n| FileRef::Same(format!("{n}.yml"))).collect();
    let (answers, _) = read(&world, &own, &sha, true, many).await;
    assert!(answers[199].as_ref().unwrap_err().contains("at most 100"), "{:?}", answers[199]);
}
