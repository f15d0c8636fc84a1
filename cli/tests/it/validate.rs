use serde_json::Value;

use crate::{GOOD, tidegate, write};

#[test]
fn folders_formats_and_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(tidegate(at, &["validate"]).code, 2, "there is nothing here");
    write(at, ".tidegate/good.yml", GOOD);
    write(at, ".tidegate/warned.yml", "on: push\nstages: {a: {image: debian, run: x}}\n");
    let said = tidegate(at, &["validate"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(
        said.out.contains("warning[TG0902]") && said.out.ends_with("2 files, 0 errors, 1 warning\n"),
        "{}",
        said.out
    );
    assert_eq!(tidegate(at, &["validate", "--deny-warnings"]).code, 1);
    assert_eq!(tidegate(at, &["validate", ".tidegate/good.yml"]).out, ".tidegate/good.yml: no mistakes\n");

    write(at, ".tidegate/more/wrong.yml", "on: push\nstages: {a: {imgae: \"a:1\", run: x}}\n");
    let said = tidegate(at, &["validate", "--format", "json"]);
    assert_eq!(said.code, 1);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&json["files"], &json["warnings"]), (&3.into(), &1.into()));
    let files: Vec<_> =
        json["diagnostics"].as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect();
    assert!(files.contains(&".tidegate/more/wrong.yml") && files.is_sorted(), "{files:?}");

    let said = tidegate(at, &["validate", "--format", "sarif", "."]);
    let sarif: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let places = sarif["runs"][0]["results"].as_array().unwrap();
    let uri = |one: &Value| {
        one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().map(str::to_owned)
    };
    assert!(places.iter().any(|one| uri(one).as_deref() == Some(".tidegate/more/wrong.yml")), "{places:?}");

    let said = tidegate(at, &["validate", "--format", "github"]);
    assert!(
        said.out.lines().any(|line| line.starts_with("::error file=.tidegate/more/wrong.yml,line=2,")),
        "{}",
        said.out
    );

    let said = tidegate(at, &["validate", "nowhere.yml", ".tidegate/good.yml"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("nowhere.yml") && said.out.contains("good.yml: no mistakes"),
        "{}{}",
        said.out,
        said.err
    );
}

#[test]
fn a_code_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let said = tidegate(folder.path(), &["explain", "305"]);
    assert!(said.code == 0 && said.out.starts_with("TG0305 (error)\n\n"), "{}", said.out);
    assert!(said.out.contains("Wrong:\n\n    on: push") && said.out.contains("Right:"), "{}", said.out);
    let said = tidegate(folder.path(), &["explain"]);
    assert!(said.out.lines().count() > 40 && said.out.contains("TG0902"), "{}", said.out);
    assert_eq!(tidegate(folder.path(), &["explain", "TG9999"]).code, 2);
}

#[test]
fn templates_are_read_from_the_working_tree() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join(".git")).unwrap();
    write(at, ".tidegate/p.yml", "on: push\nstages:\n  node: {use: ./ci/test.yml, with: {node: 22}}\n");
    write(
        at,
        "ci/test.yml",
        "inputs: {node: {}}\nstages:\n  t: {image: \"node:${{ inputs.nod }}\", run: x}\n",
    );
    let said = tidegate(at, &["validate"]);
    assert!(said.code == 1 && said.out.contains("--> ci/test.yml:3:31"), "{}", said.out);
    assert!(said.out.contains("3 |   t: {image"), "{}", said.out);
    write(
        at,
        "ci/test.yml",
        "inputs: {node: {}}\nstages:\n  t: {image: \"node:${{ inputs.node }}\", run: x}\n",
    );
    let said = tidegate(&at.join("ci"), &["validate", "../.tidegate/p.yml"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

#[test]
fn files_get_the_usual_look() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let ugly = "stages:\n    a:\n        run: x   # why\n        image: 'debian:12'\non:   push\n";
    write(at, ".tidegate/p.yml", ugly);
    write(at, ".github/workflows/w.yml", "on:   push\n");
    let said = tidegate(at, &["fmt", "--check"]);
    assert_eq!((said.code, said.out.as_str()), (1, ".tidegate/p.yml would change\n"));
    assert_eq!(std::fs::read_to_string(at.join(".tidegate/p.yml")).unwrap(), ugly);
    let said = tidegate(at, &["fmt"]);
    assert_eq!((said.code, said.out.as_str()), (0, ".tidegate/p.yml\n"), "{}", said.err);
    let now = std::fs::read_to_string(at.join(".tidegate/p.yml")).unwrap();
    assert_eq!(now, "on: push\nstages:\n  a:\n    image: \"debian:12\"\n    run: x   # why\n");
    assert_eq!(tidegate(at, &["fmt", "--check"]).code, 0);
    write(at, ".tidegate/p.yml", "a: [\n");
    let said = tidegate(at, &["fmt"]);
    assert!(said.code == 1 && said.err.contains("TG0101"), "{}", said.err);
}
