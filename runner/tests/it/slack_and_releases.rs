//! Built-in actions that speak to a forge's API and to Slack, against models that refuse what the real ones would.

use serde_json::{Value, json};
use tidegate_protocol::{
    messages::{Lease, Secret},
    status::StepStatus,
};

use crate::{
    docker_actions::secretly,
    steps::{Runner, with},
    support::{
        agent::sh,
        forge::{Forge, SLACK, TOKEN},
    },
};

fn uses(action: &str, inputs: Value) -> Value {
    json!({ "uses": { "action": action, "with": inputs }, "name": action })
}

fn may_fail(step: Value) -> Value {
    with(step, json!({ "continue_on_error": true }))
}

/// A lease for a tag at the model of a forge.
fn tagged(forge: &Forge, steps: Value) -> Lease {
    let mut leased = secretly(steps, &[("GITHUB_TOKEN", TOKEN), ("SLACK", SLACK)]);
    leased.source.reference = "refs/tags/v1.0".to_owned();
    leased.contexts.insert(
        "github".to_owned(),
        json!({ "api_url": format!("{}/api", forge.url), "ref": "refs/tags/v1.0", "repository": "team/app" }),
    );
    leased
}

#[tokio::test]
async fn releases_are_made_changed_and_get_their_files() {
    let (runner, forge) = (Runner::start().await, Forge::start().await);
    let release = |inputs: Value| with(uses("softprops/action-gh-release@v2", inputs), json!({ "id": "r" }));
    let create = |inputs: Value| {
        with(
            uses("actions/create-release@v1", inputs),
            json!({ "id": "c", "env": { "GITHUB_TOKEN": "${{ secrets.GITHUB_TOKEN }}" } }),
        )
    };
    let steps = json!([
        sh(
            "mkdir -p dist; echo one > dist/a.txt; echo two > 'dist/b c.bin'; echo notes > NOTES.md; ln -s /etc/passwd dist/link"
        ),
        release(
            json!({ "body_path": "NOTES.md", "files": "dist/*.txt\ndist/*.bin\nnone/*", "prerelease": "true" })
        ),
        sh(
            "echo '${{ steps.r.outputs.id }} ${{ steps.r.outputs.url }} ${{ steps.r.outputs.assets }}'; echo again > dist/a.txt"
        ),
        release(json!({ "body": "more", "append_body": "true", "files": "dist/a.txt", "name": "First" })),
        create(
            json!({ "tag_name": "refs/tags/v2.0", "release_name": "Release refs/tags/v2.0", "body": "two", "draft": "true" })
        ),
        sh("echo '${{ steps.c.outputs.id }} ${{ steps.c.outputs.upload_url }}'"),
        may_fail(create(json!({ "tag_name": "v1.0", "release_name": "no" }))),
        may_fail(release(json!({ "files": "none", "fail_on_unmatched_files": "true" }))),
        may_fail(release(json!({ "files": "/etc/passwd" }))),
        may_fail(release(json!({ "files": "dist/link" }))),
        may_fail(release(json!({ "token": "another" }))),
        release(json!({ "tag_name": "v2.0", "draft": "false" })),
    ]);
    let ran = runner.run_lease(tagged(&forge, steps)).await;
    ran.succeeded();
    let releases = forge.releases();
    assert_eq!(releases.len(), 2, "{releases:?}");
    assert_eq!(
        (&releases[0]["name"], &releases[0]["body"], &releases[0]["prerelease"], &releases[0]["draft"]),
        (&json!("First"), &json!("notes\n\nmore"), &json!(true), &json!(false))
    );
    assert_eq!((&releases[1]["tag_name"], &releases[1]["draft"]), (&json!("v2.0"), &json!(false)));
    assert_eq!(releases[1]["target_commitish"], "0".repeat(40));
    let files = forge.files();
    assert!(files.contains(&("a.txt".to_owned(), "text/plain".to_owned(), b"again\n".to_vec())), "{files:?}");
    assert!(
        files.contains(&("b+c.bin".to_owned(), "application/octet-stream".to_owned(), b"two\n".to_vec())),
        "{files:?}"
    );
    assert_eq!(files.len(), 2);
    assert!(ran.text(3).starts_with(&format!("1 {}/team/app/releases/1 [{{", forge.url)), "{}", ran.text(3));
    assert!(ran.text(2).contains("no file is found at none/*"), "{}", ran.text(2));
    assert!(ran.text(6).contains("/uploads/") && ran.text(6).contains("{?name,label}"), "{}", ran.text(6));
    for (step, words) in [
        (7, "tag_name: already_exists"),
        (8, "fail_on_unmatched_files"),
        (9, "not below the workspace"),
        (10, "cannot be read"),
        (11, "401"),
    ] {
        assert_eq!(ran.status(step), StepStatus::Failed, "{step}");
        assert!(ran.text(step).contains(words), "{step}: {}", ran.text(step));
    }
    assert!(!ran.all().contains(TOKEN), "{}", ran.all());
    runner.stop().await;
}

#[tokio::test]
async fn messages_go_to_slack_by_webhooks_and_methods() {
    let (runner, forge) = (Runner::start().await, Forge::start().await);
    let slack = |inputs: Value| with(uses("slackapi/slack-github-action@v2", inputs), json!({ "id": "s" }));
    let (hook, api) = (format!("{}/slack/hook", forge.url), format!("{}/slack/api/", forge.url));
    let post = |payload: &str| {
        slack(
            json!({ "method": "chat.postMessage", "token": "${{ secrets.SLACK }}", "api": api, "payload": payload }),
        )
    };
    let old = |kind: &str, inputs: Value| {
        let env = json!({ "SLACK_WEBHOOK_URL": format!("{hook}/{kind}"), "SLACK_WEBHOOK_TYPE": if kind == "incoming" { "INCOMING_WEBHOOK" } else { "" } });
        with(uses("slackapi/slack-github-action@v1", inputs), json!({ "env": env }))
    };
    let steps = json!([
        slack(
            json!({ "webhook": format!("{hook}/incoming"), "webhook-type": "incoming-webhook", "payload": "text: \"from ${{ github.repository }}\"" })
        ),
        old("incoming", json!({ "payload": "{\"blocks\": []}" })),
        old("workflow", json!({ "payload": "{\"a\": {\"b\": 1}}" })),
        post("channel: C1\ntext: hello"),
        sh("echo '${{ steps.s.outputs.ok }} ${{ steps.s.outputs.ts }} ${{ steps.s.outputs.channel_id }}'"),
        post("{\"channel\": \"C9\", \"text\": \"hello\"}"),
        sh("echo '${{ steps.s.outputs.ok }}'"),
        may_fail(slack(
            json!({ "method": "chat.postMessage", "token": "${{ secrets.SLACK }}", "api": api, "errors": "true", "payload": "channel: C9" })
        )),
        may_fail(old("incoming", json!({ "payload": "{\"none\": 1}" }))),
        may_fail(slack(json!({ "payload": "text: a" }))),
        may_fail(slack(json!({ "method": "files.uploadV2", "token": "x", "payload": "text: a" }))),
    ]);
    let ran = runner.run_lease(tagged(&forge, steps)).await;
    ran.succeeded();
    let message = |kind: &str, value: Value| (kind.to_owned(), value);
    assert_eq!(
        forge.messages(),
        [
            message("incoming", json!({ "text": "from team/app" })),
            message("incoming", json!({ "blocks": [] })),
            message("workflow", json!({ "a.b": "1" })),
            message("chat.postMessage", json!({ "channel": "C1", "text": "hello" })),
        ]
    );
    assert_eq!(ran.text(5), "true 1700000000.000100 C1\n");
    assert!(ran.text(6).contains("channel_not_found"), "{}", ran.text(6));
    assert_eq!((ran.status(6), ran.text(7)), (StepStatus::Succeeded, "false\n".to_owned()));
    for (step, words) in
        [(8, "channel_not_found"), (9, "400"), (10, "where the message goes"), (11, "not carried out")]
    {
        assert_eq!(ran.status(step), StepStatus::Failed, "{step}");
        assert!(ran.text(step).contains(words), "{step}: {}", ran.text(step));
    }
    assert!(!ran.all().contains(SLACK), "{}", ran.all());
    runner.stop().await;
}

#[tokio::test]
async fn messages_tell_how_a_job_ended() {
    let (runner, forge) = (Runner::start().await, Forge::start().await);
    let hook = format!("{}/slack/hook/incoming", forge.url);
    let tell = |inputs: Value| {
        let step = uses("8398a7/action-slack@v3", inputs);
        may_fail(with(step, json!({ "env": { "SLACK_WEBHOOK_URL": "${{ secrets.HOOK }}" } })))
    };
    let notify =
        |env: Value| may_fail(with(uses("rtCamp/action-slack-notify@v2", json!({})), json!({ "env": env })));
    let steps = json!([
        tell(
            json!({ "status": "failure", "fields": "repo,took", "mention": "here", "if_mention": "failure" })
        ),
        tell(
            json!({ "status": "custom", "custom_payload": "{ text: '${process.env.AS_REF} is out', channel: 'C1' }" })
        ),
        notify(
            json!({ "SLACK_WEBHOOK": "${{ secrets.HOOK }}", "SLACK_COLOR": "success", "SLACK_MESSAGE": "done", "MSG_MINIMAL": "ref" })
        ),
        tell(json!({ "status": "fine" })),
        tell(json!({ "status": "custom", "custom_payload": "{ text: 1 === 1 ? [" })),
        may_fail(uses("8398a7/action-slack@v3", json!({ "status": "success" }))),
        notify(json!({ "SLACK_WEBHOOK": "correct horse" })),
        notify(json!({ "SLACK_WEBHOOK": format!("{}/slack/hook/nobody", forge.url) })),
    ]);
    let mut leased = tagged(&forge, steps);
    leased.secrets.push(Secret { name: "HOOK".to_owned(), env: None, value: hook.clone() });
    let ran = runner.run_lease(leased).await;
    ran.succeeded();
    let messages = forge.messages();
    assert_eq!(messages.len(), 3, "{messages:?}\n{}", ran.all());
    let told = &messages[0].1;
    assert_eq!(told["text"], "<!here> :no_entry: Failed GitHub Actions\n");
    assert_eq!(told["attachments"][0]["color"], "danger");
    assert_eq!(told["attachments"][0]["fields"][0]["title"], "repo");
    assert_eq!(messages[1].1, json!({ "text": "refs/tags/v1.0 is out", "channel": "C1" }));
    let notified = &messages[2].1;
    assert_eq!(
        (&notified["username"], &notified["attachments"][0]["color"]),
        (&json!("rtBot"), &json!("good"))
    );
    let fields = notified["attachments"][0]["fields"].as_array().unwrap();
    assert_eq!(
        (fields.len(), &fields[0]["value"], &fields[1]["value"]),
        (2, &json!("refs/tags/v1.0"), &json!("done"))
    );
    assert!(ran.text(1).contains("the field `took` is not known here"), "{}", ran.text(1));
    for (step, words) in [
        (4, "`status` is `fine`"),
        (5, "JavaScript"),
        (6, "`SLACK_WEBHOOK_URL` is missing"),
        (7, "is no URL"),
        (8, "400"),
    ] {
        assert_eq!(ran.status(step), StepStatus::Failed, "{step}");
        assert!(ran.text(step).contains(words), "{step}: {}", ran.text(step));
    }
    assert!(!ran.all().contains(&hook), "{}", ran.all());
    runner.stop().await;
}
