//! Building and pushing on a real engine, to a real registry.

use std::{collections::BTreeMap, path::Path, process::Command};

use tidegate_runner::{
    archive::pack_plain,
    sandbox::{BuildRequest, EngineError, Images, IndexRequest, PushRequest, docker::Docker},
};

use crate::support::{failing_registry::FailingRegistry, registry::Registry};

const BASE: &str = "tidegate-test/busybox:1";

/// A context of these files, as the verb packs it.
fn context(folder: &Path, files: &[(&str, &str)]) -> BuildRequest {
    let tree = folder.join("tree");
    for (path, text) in files {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let context = folder.join("context.tar");
    pack_plain(&tree, &["**".to_owned()], std::fs::File::create(&context).unwrap()).unwrap();
    BuildRequest {
        context,
        dockerfile: "Dockerfile".to_owned(),
        target: None,
        args: BTreeMap::new(),
        labels: BTreeMap::from([("tidegate.test".to_owned(), "images".to_owned())]),
        ..BuildRequest::default()
    }
}

async fn build(request: &BuildRequest) -> (Result<String, EngineError>, String) {
    let docker = Docker::connect(None).await.unwrap();
    let mut log = Vec::new();
    let result = docker.build(request, &mut |bytes: &[u8]| log.extend_from_slice(bytes)).await;
    (result, String::from_utf8_lossy(&log).into_owned())
}

#[tokio::test]
async fn an_image_is_built_with_its_arguments_and_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let unique = uuid::Uuid::new_v4().to_string();
    let dockerfile = format!(
        "FROM {BASE} AS first\nARG WORD\nCOPY greeting /greeting\nRUN echo \"word is $WORD {unique}\"\nFROM first AS second\nRUN exit 9\n"
    );
    let mut request = context(folder.path(), &[("Dockerfile", &dockerfile), ("greeting", "hello")]);
    request.target = Some("first".to_owned());
    request.args.insert("WORD".to_owned(), "tide".to_owned());
    let (image, log) = build(&request).await;
    let image = image.unwrap_or_else(|error| panic!("{error}\n{log}"));
    assert!(image.starts_with("sha256:"), "{image}");
    assert!(log.contains(&format!("word is tide {unique}")), "{log}");
    let shown = Command::new("docker").args(["run", "--rm", &image, "cat", "/greeting"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "hello");
    Command::new("docker").args(["rmi", "-f", &image]).output().unwrap();
}

#[tokio::test]
async fn a_failing_instruction_is_named_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let request =
        context(folder.path(), &[("Dockerfile", &format!("FROM {BASE}\nRUN echo before && exit 7\n"))]);
    let (result, log) = build(&request).await;
    let error = result.unwrap_err();
    assert!(matches!(error, EngineError::Refused { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("RUN echo before && exit 7") && text.ends_with("exit code 7"), "{text}");
    assert!(log.contains("before"), "{log}");
}

#[tokio::test]
async fn a_dockerfile_with_a_mistake_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let request = context(folder.path(), &[("Dockerfile", &format!("FROM {BASE}\nRUNN true\n"))]);
    let text = build(&request).await.0.unwrap_err().to_string();
    assert!(text.contains("RUNN") && !text.contains('\n'), "{text}");
}

#[tokio::test]
async fn an_image_is_pushed_under_all_its_tags_and_known_by_its_digest() {
    let registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let request = context(folder.path(), &[("Dockerfile", &format!("FROM {BASE}\nLABEL one=two\n"))]);
    let image_id = build(&request).await.0.unwrap();
    let docker = Docker::connect(None).await.unwrap();
    let push = PushRequest {
        image_id,
        repository: format!("{}/team/app", registry.host),
        tags: vec!["1.0".to_owned(), "latest".to_owned()],
        login: None,
    };
    let mut log = Vec::new();
    let digest = docker.push(&push, &mut |bytes: &[u8]| log.extend_from_slice(bytes)).await.unwrap();
    // The registry itself has the manifest under that digest.
    let manifest = registry.manifest("team/app", &digest);
    assert!(manifest.contains("200 OK"), "{manifest}");
    for tag in &push.tags {
        Command::new("docker").args(["rmi", &format!("{}:{tag}", push.repository)]).output().unwrap();
    }
}

#[tokio::test]
async fn a_registry_that_fails_by_itself_is_tried_again() {
    let registry = FailingRegistry::start().await;
    let docker = Docker::connect(None).await.unwrap();
    let push = PushRequest {
        image_id: BASE.to_owned(),
        repository: format!("{}/team/app", registry.host),
        tags: vec!["1.0".to_owned()],
        login: None,
    };
    let mut log = Vec::new();
    let pushed = docker.push(&push, &mut |bytes: &[u8]| log.extend_from_slice(bytes)).await;
    Command::new("docker").args(["rmi", &format!("{}:1.0", push.repository)]).output().unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(pushed.is_ok_and(|digest| digest.starts_with("sha256:")), "{log}");
    assert_eq!(registry.manifests(), [500, 201]);
    assert!(log.contains("500 Internal Server Error; trying again in 1 s"), "{log}");

    let registry = FailingRegistry::start().await;
    let index = IndexRequest {
        repository: format!("{}/team/app", registry.host),
        images: Vec::new(),
        tags: vec!["1.0".to_owned()],
        login: None,
    };
    docker.push_index(&index, &mut |_: &[u8]| {}).await.unwrap();
    assert_eq!(registry.manifests(), [500, 201]);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let docker = Docker::connect(None).await.unwrap();
    let repository = format!("127.0.0.1:{port}/team/app");
    let push = PushRequest {
        image_id: BASE.to_owned(),
        repository: repository.clone(),
        tags: vec!["1.0".to_owned()],
        login: None,
    };
    let error = docker.push(&push, &mut |_: &[u8]| {}).await.unwrap_err();
    Command::new("docker").args(["rmi", &format!("{repository}:1.0")]).output().unwrap();
    let text = error.to_string();
    assert!(text.contains(&repository) && text.contains("refused") && !text.contains('\n'), "{text}");
}
