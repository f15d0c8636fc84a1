use crate::{tidegate, write};

#[test]
fn a_file_of_another_system_becomes_a_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, ".gitlab-ci.yml", "test:\n  image: debian:12\n  script: make test\n  coverage: /x/\n");
    let said = tidegate(at, &["import", ".gitlab-ci.yml", "--output", ".tidegate/pipeline.yml"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert!(
        said.err.contains(".gitlab-ci.yml:4:") && said.err.contains("One thing is to be looked at."),
        "{}",
        said.err
    );
    assert_eq!(tidegate(at, &["validate"]).code, 0);
    assert_eq!(
        tidegate(at, &["import", ".gitlab-ci.yml", "--output", ".tidegate/pipeline.yml"]).code,
        2,
        "it is there"
    );
    let json: serde_json::Value =
        serde_json::from_str(&tidegate(at, &["import", ".gitlab-ci.yml", "--json"]).out).unwrap();
    assert_eq!(json["notes"][0]["line"], 4);
    write(at, "compose.yml", "services: {}\n");
    assert_eq!(tidegate(at, &["import", "compose.yml"]).code, 2);
}
