//! Mirrors of repositories that the tests make.

use super::{
    super::{LARGEST_FILE, MOST_FILES, tree::commits_in},
    *,
};

#[test]
fn reads_files_at_a_commit_and_what_a_branch_changed() {
    let folder = tempfile::tempdir().unwrap();
    let origin = git2::Repository::init_bare(folder.path().join("origin.git")).unwrap();
    let first = commit(&origin, "refs/heads/main", &[("p.yml", "one")], &[]);
    let second = commit(&origin, "refs/heads/topic", &[("p.yml", "two"), ("new", "x")], &[first]);
    let third = commit(&origin, "refs/heads/main", &[("p.yml", "three")], &[first]);
    let job = job(&folder);
    let one = |name: &str| [Place::File(name.to_owned())];
    let text = |source: &Source| source.files.first().map(|file| file.text.clone());

    let old = job.read("refs/heads/main", Some(&first.to_string()), &one("p.yml"), None).unwrap();
    assert_eq!(text(&old).as_deref(), Some("one"), "the commit of the event, not the branch's newest");
    let topic = job.read("refs/heads/topic", Some(&second.to_string()), &one("p.yml"), Some("main")).unwrap();
    assert_eq!(topic.changed_paths, Some(vec!["new".to_owned(), "p.yml".to_owned()]));
    let by_name = job.read("main", None, &one("missing.yml"), None).unwrap();
    assert_eq!(by_name.reference, "refs/heads/main");
    assert_eq!(by_name.commit.sha, third.to_string());
    assert_eq!(by_name.commit.author, "Ann <ann@example.org>");
    assert_eq!(text(&by_name), None);
    assert!(matches!(job.read("nothing", None, &one("p.yml"), None), Err(GitError::Gone(_))));
    let gone = "1".repeat(40);
    let gone = job.read("refs/heads/main", Some(&gone), &one("p.yml"), None);
    assert!(matches!(gone, Err(GitError::Gone(_))));
    assert_eq!(job.read_file(&second.to_string(), None, "new").unwrap().as_deref(), Some("x"));

    let between = commits_in(&job.folder, &first.to_string(), &second.to_string(), 10).unwrap();
    assert_eq!(between.len(), 1);
    assert_eq!(between[0].sha, second.to_string());
}

#[test]
fn a_folder_gives_its_yaml_files_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let origin = git2::Repository::init_bare(folder.path().join("origin.git")).unwrap();
    let large = "#".repeat(LARGEST_FILE + 1);
    let files = [
        (".tidegate/b.yml", "b"),
        (".tidegate/a.yaml", "a"),
        (".tidegate/notes.md", "no"),
        (".tidegate/large.yml", large.as_str()),
        (".tidegate/parts/c.yml", "no"),
        (".github/workflows/ci.yml", "ci"),
        ("p.yml", "p"),
    ];
    deep_commit(&origin, "refs/heads/main", &files);
    let places = [
        Place::File("p.yml".to_owned()),
        Place::File(".tidegate/b.yml".to_owned()),
        Place::Folder(".tidegate"),
        Place::Folder(".github/workflows"),
        Place::Folder(".nothing"),
    ];
    let source = job(&folder).read("main", None, &places, None).unwrap();
    let read: Vec<_> = source.files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    let expected = [
        (".github/workflows/ci.yml", "ci"),
        (".tidegate/a.yaml", "a"),
        (".tidegate/b.yml", "b"),
        ("p.yml", "p"),
    ];
    assert_eq!(read, expected);
    assert_eq!(source.refused.len(), 1);
    assert!(source.refused[0].starts_with(".tidegate/large.yml has"), "{:?}", source.refused);
}

#[test]
fn more_files_than_are_read_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let origin = git2::Repository::init_bare(folder.path().join("origin.git")).unwrap();
    let names: Vec<String> = (0..MOST_FILES + 5).map(|n| format!(".tidegate/{n:03}.yml")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    deep_commit(&origin, "refs/heads/main", &files);
    let source = job(&folder).read("main", None, &[Place::Folder(".tidegate")], None).unwrap();
    assert_eq!(source.files.len(), MOST_FILES);
    assert!(source.refused[0].contains("only the first 100"), "{:?}", source.refused);
}

fn job(folder: &tempfile::TempDir) -> Job {
    Job {
        folder: folder.path().join("mirror.git"),
        url: Url::from_file_path(folder.path().join("origin.git")).unwrap(),
        login: None,
        patience: PATIENCE,
    }
}

/// A commit with files in folders, without a parent.
fn deep_commit(repository: &git2::Repository, reference: &str, files: &[(&str, &str)]) {
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
            id: repository.blob(text.as_bytes()).unwrap(),
            flags: 0,
            flags_extended: 0,
            path: path.as_bytes().to_vec(),
        };
        index.add(&entry).unwrap();
    }
    let tree = repository.find_tree(index.write_tree_to(repository).unwrap()).unwrap();
    let author = git2::Signature::now("Ann", "ann@example.org").unwrap();
    repository.commit(Some(reference), &author, &author, "a change", &tree, &[]).unwrap();
}

fn commit(repository: &git2::Repository, reference: &str, files: &[(&str, &str)], parents: &[Oid]) -> Oid {
    let mut tree = repository.treebuilder(None).unwrap();
    for (name, text) in files {
        tree.insert(name, repository.blob(text.as_bytes()).unwrap(), 0o100_644).unwrap();
    }
    let tree = repository.find_tree(tree.write().unwrap()).unwrap();
    let author = git2::Signature::now("Ann", "ann@example.org").unwrap();
    let parents: Vec<_> = parents.iter().map(|oid| repository.find_commit(*oid).unwrap()).collect();
    let parents: Vec<_> = parents.iter().collect();
    let oid = repository.commit(None, &author, &author, "a change", &tree, &parents).unwrap();
    repository.reference(reference, oid, true, "test").unwrap();
    oid
}
