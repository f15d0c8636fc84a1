//! The scenarios of `e2e/scenarios` on real parts: pushed through the webhook, planned by the server, executed by a
//! runner on containers. One server serves them all, several at once, each in a repository of its own. The runner's tests
//! run the same folders on a fake sandbox.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};
use tidegate_e2e::{
    api::{describe, stage_steps},
    engine::IMAGE,
    repo::{Push, deliver, git},
    scenario::{Scenario, asked, differences, web},
    stack::{Project, Setup, Stack},
};

const LIMIT: Duration = Duration::from_secs(120);
/// So many at once keep a small machine busy and no more.
const AT_ONCE: usize = 6;

#[tokio::test]
async fn scenarios_come_out_as_they_say() {
    let scenarios = asked().unwrap();
    let setup = Setup {
        machines: vec![("ubuntu-latest", IMAGE.to_owned()), ("debian", "tidegate-demo/python:1".to_owned())],
        slots: 6,
        node: true,
        ..Setup::default()
    };
    let stack = Arc::new(Stack::start_with(setup).await.unwrap());
    let (count, web) = (scenarios.len(), web::start().await.unwrap());
    let ended: Vec<Option<String>> = stream::iter(scenarios)
        .map(|scenario| {
            let (stack, web) = (stack.clone(), web.clone());
            async move {
                carry_out(&stack, &scenario, &web)
                    .await
                    .err()
                    .map(|error| format!("{}\n    {error:#}", scenario.name))
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let failures: Vec<String> = ended.into_iter().flatten().collect();
    assert!(
        failures.is_empty(),
        "{} of {count} scenarios came out otherwise:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Makes its repository, starts it, waits for what is expected, and compares.
async fn carry_out(stack: &Stack, scenario: &Scenario, web: &str) -> Result<()> {
    let name = scenario.name.replace('/', "-");
    let project = stack.project(&name).await?;
    let path = format!("/repositories/{}", project.id);
    if scenario.given.forge {
        // Nobody is there to be told: what would be said stays in the outbox.
        let mut database = PgConnection::connect(stack.database_url()).await?;
        let at_a_forge = "update repositories set forge = 'github' where id = $1::uuid";
        sqlx::query(at_a_forge).bind(&project.id).execute(&mut database).await?;
    }
    let other = other(stack, scenario, &name).await?;
    let files = match &other {
        Some((other, sha)) => scenario.files(&other.repo.full_name, sha),
        None => scenario.files("", ""),
    };
    for (name, value) in scenario.given.secrets(web) {
        stack.admin.put(&format!("{path}/secrets/{name}"), json!({ "value": value })).await?;
    }
    for (name, value) in &scenario.given.variables {
        stack.admin.put(&format!("{path}/variables/{name}"), json!({ "value": value })).await?;
    }
    for (name, rules) in scenario.given.environments(web) {
        project.environment(&stack.admin, &name, rules).await?;
    }
    for _ in 0..scenario.given.pushes.unwrap_or(1) {
        happen(stack, scenario, &project, &files).await?;
    }
    let observed = observe(stack, scenario, &project).await?;
    let found = differences(&scenario.expected, &observed);
    if found.is_empty() {
        return Ok(());
    }
    if std::env::var_os("TIDEGATE_SCENARIO").is_some() {
        bail!("{}\n{observed:#}", found.join("\n    "));
    }
    bail!("{}", found.join("\n    "))
}

/// The other repository that files name, where there is one, and its commit.
async fn other(stack: &Stack, scenario: &Scenario, name: &str) -> Result<Option<(Project, String)>> {
    if scenario.other.is_empty() {
        return Ok(None);
    }
    let project = stack.project(&format!("{name}-other")).await?;
    let push = project.repo.push(&borrowed(&scenario.other), "a change")?;
    Ok(Some((project, push.after)))
}

fn borrowed(files: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}

/// Pushes the files and tells the server what happened; waits until it has looked at it.
async fn happen(
    stack: &Stack,
    scenario: &Scenario,
    project: &Project,
    files: &BTreeMap<String, String>,
) -> Result<()> {
    let given = &scenario.given;
    let push = project.repo.push(&borrowed(files), given.message())?;
    let payload = given.payload(&push.after);
    for reference in &given.refs {
        git(&project.repo.work(), &["push", "-q", "origin", &format!("HEAD:{reference}")])?;
    }
    let mut body = project.repo.webhook(&push);
    body["commits"][0]["message"] = given.message().into();
    body["head_commit"]["message"] = given.message().into();
    let (mut body, event) = match given.event() {
        "push" => (body, "push"),
        "tag" => {
            let name = payload.get("ref").and_then(Value::as_str).context("a tag's payload says `ref`")?;
            git(&project.repo.work(), &["push", "-q", "origin", &format!("HEAD:{name}")])?;
            body["before"] = "0".repeat(40).into();
            (body, "push")
        }
        "pull_request" | "pull_request_target" => {
            git(
                &project.repo.work(),
                &["push", "-q", "origin", "HEAD:refs/pull/1/head", "HEAD:refs/pull/1/merge"],
            )?;
            (pull_request(&body, &push), "pull_request")
        }
        "release" => {
            let tag = payload.get("release").and_then(|release| release["tag_name"].as_str());
            let tag = tag.context("a release's payload says its tag")?;
            git(&project.repo.work(), &["push", "-q", "origin", &format!("HEAD:refs/tags/{tag}")])?;
            (without_push(&body), "release")
        }
        "manual" => {
            let start = json!({ "reference": "main", "inputs": given.inputs });
            stack.admin.post(&format!("/repositories/{}/runs", project.id), start).await?;
            return Ok(());
        }
        // What was pushed says when; then it is time.
        "schedule" => (body, "push"),
        other => (without_push(&body), other),
    };
    merge(&mut body, &payload);
    let status = deliver(&project.webhook_url, &project.webhook_secret, event, &body).await?;
    if status != 202 {
        bail!("the webhook was answered {status}");
    }
    looked_at(stack, project).await?;
    if given.event() == "schedule" {
        let mut database = PgConnection::connect(stack.database_url()).await?;
        let now = "update schedules set next_at = now() where repository_id = $1::uuid";
        sqlx::query(now).bind(&project.id).execute(&mut database).await?;
    }
    Ok(())
}

/// Waits until the server has worked on all that it was told of a repository.
async fn looked_at(stack: &Stack, project: &Project) -> Result<()> {
    let mut database = PgConnection::connect(stack.database_url()).await?;
    let question = "select count(*) from deliveries where repository_id = $1::uuid and state = 'received'";
    let end = tokio::time::Instant::now() + LIMIT;
    loop {
        let waiting: i64 =
            sqlx::query(question).bind(&project.id).fetch_one(&mut database).await?.try_get(0)?;
        if waiting == 0 {
            return Ok(());
        }
        if tokio::time::Instant::now() > end {
            bail!("the server does not look at the webhook");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A push's body without what only a push has.
fn without_push(body: &Value) -> Value {
    json!({ "repository": body["repository"], "sender": body["sender"] })
}

fn pull_request(body: &Value, push: &Push) -> Value {
    let side = |name: &str| json!({ "ref": name, "sha": push.after, "repo": body["repository"] });
    let mut request = without_push(body);
    request["action"] = "opened".into();
    request["number"] = 1.into();
    request["pull_request"] = json!({
        "number": 1, "title": "a change", "state": "open", "draft": false, "merged": false,
        "user": body["sender"], "base": side("main"), "head": side("feature"),
    });
    request
}

/// Puts values over those of the same place.
fn merge(body: &mut Value, over: &Map<String, Value>) {
    for (key, value) in over {
        match (body.get_mut(key), value) {
            (Some(inner @ Value::Object(_)), Value::Object(more)) => merge(inner, more),
            _ => body[key] = value.clone(),
        }
    }
}

/// Waits for as many runs as are expected, in the states that are expected, and tells all of them.
async fn observe(stack: &Stack, scenario: &Scenario, project: &Project) -> Result<Value> {
    let expected = scenario.expected["runs"].as_array().cloned().unwrap_or_default();
    let mut runs = stack
        .admin
        .until(LIMIT, &format!("{} runs of {}", expected.len(), scenario.name), async |_| {
            let runs = runs_of(stack, project).await?;
            Ok((runs.len() >= expected.len()).then_some(runs))
        })
        .await?;
    let mut told = Vec::new();
    for (index, run) in runs.drain(..).enumerate() {
        let mut until = vec!["succeeded", "warned", "failed", "cancelled", "invalid"];
        until.extend(expected.get(index).and_then(|run| run["status"].as_str()));
        told.push(one_run(stack, &stack.admin.run_until(&run, &until, LIMIT).await?).await?);
    }
    let (left_out, marks) = (left_out(stack, project).await?, marks(stack, project).await?);
    Ok(json!({ "runs": told, "left_out": left_out, "marks": marks }))
}

/// The repository's runs, the first one first.
async fn runs_of(stack: &Stack, project: &Project) -> Result<Vec<String>> {
    let answer = stack.admin.get(&format!("/runs?repository={}&limit=100", project.id)).await?;
    let runs = answer["runs"].as_array().context("the answer has runs")?;
    let mut runs: Vec<(i64, String)> = runs
        .iter()
        .filter(|run| run["repository_id"] == project.id.as_str())
        .filter_map(|run| Some((run["number"].as_i64()?, run["id"].as_str()?.to_owned())))
        .collect();
    runs.sort();
    Ok(runs.into_iter().map(|(_, id)| id).collect())
}

/// Files that were not started on purpose, and why.
async fn left_out(stack: &Stack, project: &Project) -> Result<Value> {
    let mut database = PgConnection::connect(stack.database_url()).await?;
    let question =
        "select coalesce(string_agg(result, '; '), '') from deliveries where repository_id = $1::uuid";
    let said: String = sqlx::query(question).bind(&project.id).fetch_one(&mut database).await?.try_get(0)?;
    let skipped = said.split("; ").filter_map(|one| one.split_once(": skipped: "));
    Ok(skipped.map(|(path, reason)| (path.to_owned(), reason.into())).collect::<Map<_, _>>().into())
}

/// What the forge is to be told last of each pipeline.
async fn marks(stack: &Stack, project: &Project) -> Result<Value> {
    let mut database = PgConnection::connect(stack.database_url()).await?;
    let question = "select coalesce(jsonb_object_agg(pipeline, mark), '{}') from (
        select distinct on (1) payload->>'pipeline' as pipeline,
            jsonb_build_object('status', coalesce(payload->>'status', payload->>'kind'), 'reason', payload->'reason') as mark
        from outbox where repository_id = $1::uuid and payload ? 'pipeline' order by 1, id desc) last";
    Ok(sqlx::query(question).bind(&project.id).fetch_one(&mut database).await?.try_get(0)?)
}

async fn one_run(stack: &Stack, run: &Value) -> Result<Value> {
    let mut stages = Map::new();
    for stage in run["stages"].as_array().into_iter().flatten() {
        let key = stage["key"].as_str().context("a stage has a key")?;
        let told = one_stage(stack, run, stage).await.with_context(|| describe(run))?;
        stages.insert(key.to_owned(), told);
    }
    Ok(json!({
        "pipeline": run["pipeline"], "status": run["status"], "reason": run["reason"], "title": run["title"],
        "stages": stages,
    }))
}

async fn one_stage(stack: &Stack, run: &Value, stage: &Value) -> Result<Value> {
    let attempts = stage["attempts"].as_array().context("a stage has attempts")?;
    let (mut steps, mut exit_code, mut summaries) = (Map::new(), Value::Null, Vec::new());
    if let Some(last) = attempts.last() {
        exit_code = last["exit_code"].clone();
        steps = stage_steps(&stack.admin, last).await?;
        let id = last["id"].as_str().context("an attempt has an id")?;
        let notes = stack.admin.get(&format!("/attempts/{id}/notes")).await?;
        summaries =
            notes["notes"].as_array().into_iter().flatten().map(|note| note["text"].clone()).collect();
    }
    let (remarks, reports): (Vec<&Value>, Vec<&Value>) =
        stage["reports"].as_array().into_iter().flatten().partition(|report| report["kind"] == "annotations");
    let artifacts = run["artifacts"].as_array().into_iter().flatten();
    let mut artifacts: Vec<&str> = artifacts
        .filter(|artifact| artifact["stage"] == stage["key"])
        .filter_map(|artifact| artifact["name"].as_str())
        .collect();
    artifacts.sort_unstable();
    let mut kinds: Vec<&str> = reports.iter().filter_map(|report| report["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let summary =
        |report: &&Value| (report["path"].as_str().unwrap_or_default().to_owned(), report["summary"].clone());
    Ok(json!({
        "status": stage["status"], "reason": stage["reason"], "outputs": stage["outputs"], "title": stage["title"],
        "environment": stage["environment"], "attempts": attempts.len(), "exit_code": exit_code, "steps": steps,
        "annotations": remarks.first().map(|report| report["summary"]["items"].clone()).unwrap_or(json!([])),
        "summaries": summaries, "artifacts": artifacts, "reports": kinds,
        "report_summaries": reports.iter().map(summary).collect::<Map<_, _>>(),
    }))
}
