//! Files of other systems, and what comes of them. Whatever it is, it compiles.

use super::*;
use crate::check;

fn made(path: &str, text: &str) -> Imported {
    let file = SourceFile { path, text };
    let system = detect(&file).unwrap_or_else(|| panic!("{path} is of no system"));
    let imported = import(&file, system).unwrap_or_else(|found| panic!("{found:?}"));
    let native = SourceFile { path: "p.yml", text: &imported.text };
    let errors: Vec<_> = check(&native).into_iter().filter(Diagnostic::is_error).collect();
    assert!(errors.is_empty(), "{}", crate::render(&native, &errors, false));
    imported
}

/// The pipeline without the report on top.
fn pipeline(imported: &Imported) -> &str {
    let start =
        imported.text.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum();
    &imported.text[start..]
}

fn told(imported: &Imported) -> String {
    imported.notes.iter().map(|note| format!("{}: {}; {}\n", note.line, note.what, note.todo)).collect()
}

#[test]
fn a_workflow() {
    let imported = made(
        ".github/workflows/ci.yml",
        r#"name: CI
on:
  push: {branches: [main], paths-ignore: ["docs/**"]}
  pull_request:
  workflow_dispatch:
    inputs: {level: {type: choice, options: [patch, minor], default: patch}}
  issues:
env: {LEVEL: debug}
jobs:
  test:
    runs-on: ubuntu-latest
    strategy:
      matrix: {node: [20, 22], exclude: [{node: 20}]}
    timeout-minutes: 10
    services:
      db: {image: "postgres:16", env: {POSTGRES_PASSWORD: x}, ports: ["5432:5432"]}
    env: {TOKEN: "${{ secrets.NPM_TOKEN }}", BRANCH: "${{ github.ref_name }}"}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-node@v4
        with: {node-version: "${{ matrix.node }}"}
      - uses: actions/cache@v4
        with: {path: ~/.npm, key: "npm-${{ hashFiles('package-lock.json') }}"}
      - name: Test
        run: |
          npm ci
          npm test -- --title "${{ github.event.pull_request.title }}" >> $GITHUB_OUTPUT
      - run: tar c dist
        if: always()
        working-directory: web
      - uses: actions/upload-artifact@v4
        with: {name: dist, path: dist/, retention-days: 5}
      - uses: some/thing@v1
  deploy:
    needs: test
    if: github.ref == 'refs/heads/main' && github.event_name != 'pull_request'
    runs-on: [self-hosted, gpu]
    container: alpine:3.20
    environment: production
    steps:
      - uses: actions/download-artifact@v4
        with: {name: dist}
      - run: ./deploy ${{ secrets.KEY }}
        shell: sh
"#,
    );
    assert_eq!(
        pipeline(&imported),
        r#"name: CI
on:
  push:
    branches: [main]
    paths_ignore: [docs/**]
  pull_request:
  manual:
    inputs:
      level:
        choices: [patch, minor]
        default: patch
env:
  LEVEL: debug
defaults:
  shell: bash

stages:
  test:
    matrix:
      node: [20, 22]
      exclude:
        - node: 20
    fail_fast: true
    image: node:${{ matrix.node }}
    timeout: 10m
    env:
      BRANCH: ${{ (git.branch || git.tag) }}
    secrets:
      - name: NPM_TOKEN
        env: TOKEN
    services:
      db:
        image: postgres:16
        env:
          POSTGRES_PASSWORD: x
    cache:
      - key: npm-${{ git.short_sha }}
        restore_keys: [npm-]
        paths: [/root/.npm]
    run:
      - name: Test
        run: |
          npm ci
          npm test -- --title "${GITHUB_EVENT_PULL_REQUEST_TITLE}" >> $TIDEGATE_OUTPUT
        env:
          GITHUB_EVENT_PULL_REQUEST_TITLE: ${{ event.pull_request.title }}
      - run: tar c dist
        working_directory: web
        when: always
    artifacts:
      - name: dist
        paths: [dist/**]
        retention: 5d
  deploy:
    needs: [test]
    if: git.reference == 'refs/heads/main' && event.kind != 'pull_request'
    image: alpine:3.20
    runs_on: [gpu]
    checkout: false
    secrets: [KEY]
    fetch: [test.dist]
    run:
      - run: ./deploy ${KEY}
        shell: sh
"#
    );
    let told = told(&imported);
    for part in [
        "7: the event `issues`",
        "16: ports of the service `db`",
        "hash of files",
        "the action some/thing@v1 was left out",
        "`environment` of `deploy` was not carried over",
    ] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
    assert!(imported.text.contains("# - line 7: the event `issues`"), "{}", imported.text);
}

#[test]
fn what_jobs_hand_on_and_wait_for() {
    let imported = made(
        ".github/workflows/x.yml",
        r#"on:
  release: {types: [published]}
  pull_request: {types: [labeled]}
  workflow_run: {workflows: [CI], types: [completed]}
jobs:
  list:
    runs-on: ubuntu-latest
    outputs: {dirs: "${{ steps.find.outputs.dirs }}"}
    steps:
      - {id: find, run: "echo dirs=[] >> $GITHUB_OUTPUT"}
      - {if: "steps.find.outcome == 'success' && github.ref == 'x'", run: echo}
  each:
    needs: list
    if: needs.list.result == 'success'
    runs-on: ubuntu-latest
    concurrency: {group: "g-${{ github.ref_name }}", cancel-in-progress: true}
    strategy: {fail-fast: false, max-parallel: 2, matrix: {dir: "${{ fromJSON(needs.list.outputs.dirs) }}"}}
    steps: [{run: "echo ${{ matrix.dir }}"}]
"#,
    );
    let text = pipeline(&imported);
    for part in [
        "  release:\n    types: [published]\n",
        "  pull_request:\n    types: [labeled]\n",
        "  pipeline:\n    names: [CI]\n",
        "outputs:\n      dirs: ${{ steps.find.outputs.dirs }}\n",
        "if: steps.find.outcome == 'succeeded' && git.reference == 'x'\n",
        "if: stages.list.status == 'succeeded'\n",
        "dir: ${{ fromJSON(stages.list.outputs.dirs) }}\n",
        "max_parallel: 2\n",
        "cancel_superseded: true\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}\n{}", told(&imported));
    }
    assert!(!text.contains("fail_fast"), "{text}");
}

#[test]
fn a_gitlab_file() {
    let imported = made(
        ".gitlab-ci.yml",
        r#"stages: [build, test, ship]
default: {image: "python:3.12"}
variables: {PIP: "1"}
.base: &base
  before_script: [pip install .]
  retry: {max: 2, when: [runner_system_failure, script_failure]}
compile:
  stage: build
  extends: .base
  script: make
  artifacts: {paths: [dist/], expire_in: 1 week, reports: {junit: report.xml}}
"unit tests":
  stage: test
  <<: *base
  script:
    - pytest
    - echo $CI_COMMIT_SHA $CI_JOB_ID
  after_script: [rm -rf tmp]
  services: ["postgres:16"]
  allow_failure: true
  cache: {key: $CI_COMMIT_REF_SLUG, paths: [.cache/]}
  timeout: 1h 30m
lint:
  stage: test
  needs: []
  script: [ruff check .]
  only: [main, tags]
ship:
  stage: ship
  script: ./ship
  environment: production
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
      when: never
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
      when: manual
"#,
    );
    assert_eq!(
        pipeline(&imported),
        r#"on:
  push:
  tag:
  pull_request:
  manual:
env:
  CI_COMMIT_SHA: ${{ git.sha }}
  PIP: "1"

stages:
  compile:
    image: python:3.12
    retry:
      max: 3
      when: [failure, infrastructure]
    run: |
      pip install .
      make
    artifacts:
      - name: files
        paths: [dist/**]
        retention: 7d
    reports:
      - junit: [report.xml]
  unit-tests:
    needs: [compile]
    image: python:3.12
    timeout: 90m
    retry:
      max: 3
      when: [failure, infrastructure]
    continue_on_error: true
    services:
      postgres:
        image: postgres:16
    cache:
      - key: ${{ git.branch }}-${{ git.short_sha }}
        restore_keys: ["${{ git.branch }}-"]
        paths: [.cache]
    fetch: [compile.files]
    run:
      - |
        pip install .
        pytest
        echo $CI_COMMIT_SHA $CI_JOB_ID
      - name: after
        run: rm -rf tmp
        when: always
  lint:
    if: (git.branch || git.tag) == 'main' || git.tag != null
    image: python:3.12
    run: ruff check .
  ship:
    needs: [unit-tests, lint]
    if: "!(event.kind == 'pull_request') && (git.branch == event.default_branch)"
    image: python:3.12
    run: ./ship
"#
    );
    let told = told(&imported);
    for part in ["the script reads CI_JOB_ID", "`environment` of `ship`", "start the job by hand"] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
}

#[test]
fn a_woodpecker_file() {
    let imported = made(
        ".woodpecker/test.yaml",
        r#"when:
  - event: [push, tag]
    branch: main
matrix:
  GO: ["1.23", "1.24"]
steps:
  - name: vet
    image: golang:${GO}
    commands: [go vet ./...]
  - name: test
    image: golang:${GO}
    commands: [go test ./..., echo $CI_COMMIT_SHA]
    environment: {TOKEN: {from_secret: my_token}, MODE: fast}
  - name: publish
    image: plugins/docker
    settings: {repo: a/b}
  - name: tell
    image: alpine
    commands: [./tell]
    when: [{status: [success, failure]}]
services:
  - name: cache
    image: redis:7
"#,
    );
    let text = pipeline(&imported);
    for part in [
        "  push:\n    branches: [main]\n  tag:\n",
        "image: golang:${{ matrix.GO }}",
        "CI_COMMIT_SHA: ${{ git.sha }}",
        "secrets:\n      - name: MY_TOKEN\n        env: TOKEN\n",
        "  tell:\n    needs:\n      test: finished\n    if: always()\n",
        "fetch: [test.workspace]",
        "services:\n      cache:\n        image: redis:7\n",
        "GO: [\"1.23\", \"1.24\"]",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let told = told(&imported);
    for part in ["the plugin plugins/docker", "hand it on as an artifact"] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
}

#[test]
fn a_drone_file_of_two_pipelines() {
    let imported = made(
        ".drone.yml",
        r#"---
kind: pipeline
type: docker
name: build
steps:
- name: compile
  image: golang:1.24
  commands:
  - go build ./...
- name: test
  image: golang:1.24
  commands:
  - go test ./...
  when: {branch: {exclude: ["wip/*"]}}
volumes:
- name: x
  host: {path: /tmp}
---
kind: pipeline
name: ship
depends_on: [build]
steps:
- name: send
  image: alpine:3.20
  commands: ["./send $DRONE_TAG"]
  environment: {KEY: {from_secret: ship_key}}
trigger: {event: [tag]}
---
kind: secret
name: x
"#,
    );
    let text = pipeline(&imported);
    for part in [
        "  build-compile:\n",
        "    if: \"!(matches(git.branch, '^wip/[^/]*$'))\"\n",
        "  ship-send:\n    needs: [build-test]\n",
        "DRONE_TAG: ${{ git.tag }}",
        "- name: SHIP_KEY\n        env: KEY\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(told(&imported).contains("16: `volumes` was not carried over"), "{}", told(&imported));
    assert!(told(&imported).contains("kind `secret`"), "{}", told(&imported));
}

#[test]
fn systems_are_told_apart() {
    for (path, text, system) in [
        (".github/workflows/x.yml", "", Some(System::Actions)),
        ("x.yml", "on: push\njobs: {}\n", Some(System::Actions)),
        (".gitlab-ci.yml", "", Some(System::Gitlab)),
        ("ci.yml", "test:\n  script: x\n", Some(System::Gitlab)),
        (".drone.yml", "", Some(System::Drone)),
        ("x.yml", "kind: pipeline\nsteps: []\n", Some(System::Drone)),
        (".woodpecker.yml", "", Some(System::Woodpecker)),
        ("x.yml", "steps: []\n", Some(System::Woodpecker)),
        ("compose.yml", "services: {}\n", None),
    ] {
        assert_eq!(detect(&SourceFile { path, text }), system, "{path} {text}");
    }
}

#[test]
fn a_workflow_of_nothing_usable_says_so() {
    let file = SourceFile { path: ".github/workflows/x.yml", text: "on: push\njobs: {a: {uses: ./x.yml}}\n" };
    assert_eq!(import(&file, System::Actions).unwrap_err()[0].code, "TG0301");
    let file = SourceFile { path: ".gitlab-ci.yml", text: "a: [" };
    assert_eq!(import(&file, System::Gitlab).unwrap_err()[0].code, "TG0101");
}

proptest::proptest! {
    /// Any tree of the words that the front ends know ends in a pipeline that compiles, or in an error.
    #[test]
    fn what_comes_out_compiles(lines in proptest::collection::vec((0_usize..5, 0_usize..40, 0_usize..16), 1..30)) {
        const KEYS: [&str; 40] = [
            "on", "push", "jobs", "a", "b", "steps", "- run", "- uses", "run", "uses", "needs", "if", "runs-on", "env",
            "strategy", "matrix", "include", "services", "image", "script", "stage", "rules", "- if", "when", "only",
            "artifacts", "paths", "cache", "key", "commands", "- name", "environment", "from_secret", "depends_on",
            "timeout-minutes", "with", "kind", "trigger", "event", "retry",
        ];
        const VALUES: [&str; 16] = [
            "", " x", " [a, b]", " {a: 1}", " ${{ github.sha }}", " ${{ secrets.X }}", " true", " 5", " \"${{ bad( }}\"",
            " !reference [a, b]", " *x", " |\n          echo ${{ matrix.a }}", " actions/cache@v4", " always()",
            " $CI_COMMIT_TAG", " ../x",
        ];
        let text: String = lines.iter().map(|(indent, key, value)| {
            format!("{}{}:{}\n", "  ".repeat(*indent), KEYS[*key], VALUES[*value])
        }).collect();
        for system in [System::Actions, System::Gitlab, System::Woodpecker, System::Drone] {
            if let Ok(imported) = import(&SourceFile { path: "x.yml", text: &text }, system) {
                let native = SourceFile { path: "p.yml", text: &imported.text };
                let errors: Vec<_> = check(&native).into_iter().filter(Diagnostic::is_error).collect();
                proptest::prop_assert!(errors.is_empty(), "{:?}\n{}", errors, imported.text);
            }
        }
    }
}

#[test]
fn a_group_in_which_a_newer_one_took_the_place_of_one_that_waits() {
    for (concurrency, is_told) in [
        ("main", true),
        ("{group: main}", true),
        ("{group: main, queue: max}", false),
        ("{group: main, cancel-in-progress: true}", false),
    ] {
        let text = format!(
            "on: push\nconcurrency: {concurrency}\njobs:\n  a: {{runs-on: ubuntu-latest, steps: [{{run: echo}}]}}\n"
        );
        let told = told(&made(".github/workflows/ci.yml", &text));
        assert_eq!(told.contains("here all wait, in order"), is_told, "{concurrency}: {told}");
    }
}
