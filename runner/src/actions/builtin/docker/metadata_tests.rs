//! The rules of tags and labels.

use super::*;

fn facts(event: &'static str, reference: &'static str) -> Facts<'static> {
    Facts {
        event,
        reference,
        sha: "0123456789abcdef0123456789abcdef01234567",
        default_branch: "main",
        base_ref: "main",
        now: "2026-03-04T05:06:07Z".parse().unwrap(),
        commit_date: None,
    }
}

fn names(event: &'static str, reference: &'static str, rules: &[&str], flavor_of: &[&str]) -> Vec<String> {
    let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    version(&own(rules), &flavor(&own(flavor_of)).unwrap(), &facts(event, reference)).unwrap().names
}

#[test]
fn the_usual_rules_follow_the_event() {
    assert_eq!(names("push", "refs/heads/main", &[], &[]), ["main"]);
    assert_eq!(names("push", "refs/heads/a/b@c", &[], &[]), ["a-b-c"]);
    assert_eq!(names("push", "refs/tags/v1.2", &[], &[]), ["v1.2", "latest"]);
    assert_eq!(names("pull_request", "refs/pull/7/merge", &[], &[]), ["pr-7"]);
    assert_eq!(names("schedule", "refs/heads/main", &[], &[]), ["nightly", "main"]);
}

#[test]
fn semantic_versions_have_shorter_names_once_they_are_final() {
    let rules = [
        "type=semver,pattern={{version}}",
        "type=semver,pattern={{major}}.{{minor}}",
        "type=semver,pattern=v{{major}}",
    ];
    assert_eq!(names("push", "refs/tags/v1.2.3", &rules, &[]), ["1.2.3", "1.2", "v1", "latest"]);
    assert_eq!(names("push", "refs/tags/v1.2.3-rc.1", &rules, &[]), ["1.2.3-rc.1"]);
    assert_eq!(names("push", "refs/tags/nothing", &rules, &[]), Vec::<String>::new());
    assert_eq!(names("push", "refs/heads/main", &rules, &[]), Vec::<String>::new());
    assert_eq!(
        names("push", "refs/heads/main", &["type=semver,pattern={{raw}},value=v2.0.0"], &[]),
        ["v2.0.0", "latest"]
    );
}

#[test]
fn pep440_match_edge_raw_and_sha() {
    let pep = ["type=pep440,pattern={{version}}", "type=pep440,pattern={{major}}.{{minor}}"];
    assert_eq!(names("push", "refs/tags/1.2.3", &pep, &[]), ["1.2.3", "1.2", "latest"]);
    assert_eq!(names("push", "refs/tags/v1.2.3-RC1", &pep, &[]), ["1.2.3rc1"]);
    assert_eq!(
        names("push", "refs/tags/app-1.5", &[r"type=match,pattern=app-(\d+\.\d+),group=1"], &[]),
        ["1.5", "latest"]
    );
    assert_eq!(
        names("push", "refs/heads/main", &["type=edge", "type=edge,branch=dev", "type=sha"], &[]),
        ["edge", "sha-0123456"]
    );
    assert_eq!(
        names(
            "push",
            "refs/heads/main",
            &["type=sha,format=long,prefix=", "plain", "type=raw,value=x,priority=5"],
            &[]
        ),
        ["plain", "0123456789abcdef0123456789abcdef01234567", "x"]
    );
    let dated = ["type=raw,value={{branch}}-{{sha}}-{{date 'YYYYMMDD-HHmmss'}}"];
    assert_eq!(names("push", "refs/heads/main", &dated, &[]), ["main-0123456-20260304-050607"]);
    let only = ["type=raw,value=latest,enable={{is_default_branch}}", "type=sha,enable=false"];
    assert_eq!(names("push", "refs/heads/main", &only, &[]), ["latest"]);
    assert_eq!(names("push", "refs/heads/dev", &only, &[]), Vec::<String>::new());
}

#[test]
fn the_flavor_applies_to_all_and_a_rule_wins_over_it() {
    let rules = ["type=ref,event=tag", "type=raw,value=x,prefix=own-"];
    let all = ["prefix=p-,onlatest=true", "suffix=-s"];
    assert_eq!(names("push", "refs/tags/v1", &rules, &all), ["p-v1-s", "own-x-s", "p-latest"]);
    assert_eq!(names("push", "refs/tags/v1", &rules, &["latest=false"]), ["v1", "own-x"]);
    assert_eq!(names("push", "refs/heads/m", &["type=raw,value=x"], &["latest=true"]), ["x", "latest"]);
}

#[test]
fn what_is_wrong_is_said() {
    let wrong = |rule: &str| {
        version(&[rule.to_owned()], &Flavor::default(), &facts("push", "refs/tags/v1")).unwrap_err()
    };
    assert!(wrong("type=nothing").contains("there is no type"));
    assert!(wrong("type=ref,event=x").contains("branch, tag, pr"));
    assert!(wrong("type=sha,group=1").contains("has no `group`"));
    assert!(wrong("type=match,pattern=(").contains("cannot be read"));
    assert!(wrong("type=raw,value={{nothing}}").contains("nothing"));
    assert!(wrong("type=raw,value=x,enable=maybe").contains("true or false"));
    assert!(flavor(&["onlatest=true".to_owned()]).is_err());
}

#[test]
fn images_and_labels() {
    let lines = ["GHCR.io/A/B".to_owned(), "name=x,enable=false".to_owned(), "name=y/z".to_owned()];
    assert_eq!(images(&lines).unwrap(), ["ghcr.io/a/b", "y/z"]);
    let known = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
    let made = labels(known, &["b=x=y".to_owned(), "c=".to_owned()]);
    let made: Vec<_> = made.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(made, [("a", "1"), ("b", "x=y"), ("c", "")]);
}
