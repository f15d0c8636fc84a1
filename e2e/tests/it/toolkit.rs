//! GitHub's own libraries in a workflow, from a push to what the server keeps: a cache that a later run finds, an artifact
//! that a later job has and people download, and an identity token that the server's published key belongs to. The image
//! is `tidegate-test/clients:1` (scripts/images clients).

use std::time::Duration;

use serde_json::Value;
use tidegate_e2e::{
    api::{Api, describe, stage},
    stack::Stack,
};

const LIMIT: Duration = Duration::from_secs(180);

const WORKFLOW: &str = r#"
name: CI
on: push
permissions: {id-token: write}
jobs:
  make:
    runs-on: ubuntu-latest
    container: tidegate-test/clients:1
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@v4
      - name: restore
        uses: ./clients
        with: {do: restore, client: cache6, paths: kept, key: words-new, restore-keys: words-, sums: kept/word}
      - run: mkdir -p kept && date +%N > kept/word && echo "$ACTIONS_RUNTIME_TOKEN" | wc -c
      - name: save
        uses: ./clients
        with: {do: save, client: cache4, paths: kept, key: "words-${{ github.run_number }}", sums: kept/word}
      - name: upload
        uses: ./clients
        with: {do: upload, client: artifact6, name: words, paths: /workspace/kept/word}
  use:
    needs: make
    runs-on: ubuntu-latest
    container: tidegate-test/clients:1
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@v4
      - name: download
        uses: ./clients
        with: {do: download, client: artifact2, name: words, to: got, sums: got/kept/word}
      - name: token
        uses: ./clients
        with: {do: token, audience: sts.example.org}
"#;

/// The lines of a stage's step of this name.
async fn lines(api: &Api, run: &Value, key: &str, name: &str) -> Vec<String> {
    let attempt = &stage(run, key).unwrap()["attempts"][0];
    let step = attempt["steps"].as_array().unwrap().iter().find(|step| step["name"] == name);
    let step = step.unwrap_or_else(|| panic!("no step `{name}` in {attempt}"));
    let log = api.log(attempt["id"].as_str().unwrap(), step["index"].as_u64().unwrap()).await.unwrap();
    String::from_utf8(log).unwrap().lines().map(str::to_owned).collect()
}

fn after<'l>(lines: &'l [String], begin: &str) -> &'l str {
    lines
        .iter()
        .find_map(|line| line.strip_prefix(begin))
        .unwrap_or_else(|| panic!("no `{begin}` in {lines:#?}"))
}

#[tokio::test]
async fn libraries_of_actions_have_their_services() {
    let stack = Stack::start().await.unwrap();
    let project = stack.project("toolkit").await.unwrap();
    let files = [
        (".github/workflows/ci.yml", WORKFLOW),
        ("clients/action.yml", "runs: {using: node20, main: main.mjs}"),
        ("clients/main.mjs", "import '/opt/clients/run.mjs';"),
    ];
    let mut sums = Vec::new();
    for number in ["1", "2"] {
        let again = [("number", number)];
        let push = project.push(if number == "1" { &files[..] } else { &again[..] }).await.unwrap();
        let id = stack.admin.run_of(&push.after).await.unwrap();
        let run = stack.admin.run_until(&id, &["failed", "succeeded", "invalid"], LIMIT).await.unwrap();
        assert_eq!(run["status"], "succeeded", "{}\n{}", describe(&run), stack.logs());
        let restored = lines(&stack.admin, &run, "make", "restore").await;
        match sums.last() {
            None => assert_eq!(after(&restored, "found by cache6: "), "nothing"),
            Some(sum) => {
                assert_eq!(after(&restored, "found by cache6: "), "words-1");
                assert_eq!(after(&restored, "sum kept/word: "), sum, "the first run's file");
            }
        }
        let saved = lines(&stack.admin, &run, "make", "save").await;
        after(&saved, "saved by cache4");
        sums.push(after(&saved, "sum kept/word: ").to_owned());
        let downloaded = lines(&stack.admin, &run, "use", "download").await;
        assert_eq!(after(&downloaded, "downloaded by artifact2: "), "words");
        let token = lines(&stack.admin, &run, "use", "token").await;
        let claims: Value = serde_json::from_str(after(&token, "claims: ")).unwrap();
        assert_eq!(claims["sub"], "repo:e2e/toolkit:ref:refs/heads/main");
        assert_eq!(claims["aud"], "sts.example.org");
        assert_eq!((&claims["sha"], &claims["run_id"]), (&Value::from(push.after), &Value::from(id)));
        assert_eq!(claims["iss"], stack.url());
        assert_eq!(after(&token, "token: "), "***", "logs do not show it");
        let header: Value = serde_json::from_str(after(&token, "header: ")).unwrap();
        let document: Value = get(&format!("{}/.well-known/openid-configuration", stack.url())).await;
        let keys = get(document["jwks_uri"].as_str().unwrap()).await;
        assert!(keys["keys"].as_array().unwrap().iter().any(|key| key["kid"] == header["kid"]), "{keys}");
    }
}

async fn get(url: &str) -> Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}
