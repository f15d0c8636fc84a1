//! Amazon's actions as built-in ones, against a model that checks every signature.

use serde_json::{Value, json};
use tidegate_protocol::{messages::Lease, status::StepStatus};

use crate::{
    docker_actions::secretly,
    steps::{Ran, Runner, with},
    support::{
        agent::sh,
        aws::{ACCOUNT, Aws, IDENTITY, PASSWORD, REGION, ROLE, USER},
    },
};

fn uses(action: &str, inputs: Value) -> Value {
    json!({ "uses": { "action": action, "with": inputs }, "name": action })
}

fn configure(inputs: Value) -> Value {
    let region = json!({ "aws-region": REGION });
    uses("aws-actions/configure-aws-credentials@v4", with(region, inputs))
}

fn may_fail(step: Value) -> Value {
    with(step, json!({ "continue_on_error": true }))
}

fn of_user() -> Value {
    json!({ "aws-access-key-id": USER.0, "aws-secret-access-key": "${{ secrets.AWS }}" })
}

/// A lease whose steps find the model.
fn at(aws: &Aws, steps: Value) -> Lease {
    let mut leased = secretly(steps, &[("AWS", USER.1)]);
    leased.env.insert("AWS_ENDPOINT_URL".to_owned(), aws.url.clone());
    leased
}

#[tokio::test]
async fn keys_are_handed_on_as_they_are_or_as_those_of_a_role() {
    let (runner, aws) = (Runner::start().await, Aws::start().await);
    let show = |keys: &str| {
        sh(&format!(
            "test \"$AWS_ACCESS_KEY_ID/$AWS_SECRET_ACCESS_KEY/$AWS_SESSION_TOKEN\" = '{keys}' && echo these; \
             echo $AWS_REGION $AWS_DEFAULT_REGION; echo $AWS_SECRET_ACCESS_KEY"
        ))
    };
    let role =
        json!({ "role-to-assume": "deploy", "role-duration-seconds": "900", "role-session-name": "one" });
    let steps = json!([
        with(configure(of_user()), json!({ "id": "one" })),
        show(&format!("{}/{}/", USER.0, USER.1)),
        sh("echo '${{ steps.one.outputs.aws-account-id }}'"),
        configure(with(of_user(), role)),
        show(&format!("{}/{}/{}", ROLE.0, ROLE.1, ROLE.2)),
        sh(&format!("echo {IDENTITY} > token")),
        configure(json!({
            "role-to-assume": format!("arn:aws:iam::{ACCOUNT}:role/deploy"), "web-identity-token-file": "token",
        })),
        configure(
            json!({ "role-chaining": "true", "role-to-assume": format!("arn:aws:iam::{ACCOUNT}:role/deploy"), "role-skip-session-tagging": "true" })
        ),
    ]);
    let ran = runner.run_lease(at(&aws, steps)).await;
    ran.succeeded();
    let named =
        json!([configure(json!({ "role-to-assume": format!("arn:aws:iam::{ACCOUNT}:role/deploy") }))]);
    let mut permitted = at(&aws, named);
    permitted.stage.id_token = true;
    let by_token = runner.run_lease(permitted).await;
    by_token.succeeded();
    assert!(by_token.text(1).contains("authenticated as arn:aws:sts::"), "{}", by_token.text(1));
    assert_eq!(ran.text(2), format!("these\n{REGION} {REGION}\n***\n"));
    assert_eq!(ran.text(3), format!("{ACCOUNT}\n"));
    assert_eq!(ran.text(5), format!("these\n{REGION} {REGION}\n***\n"));
    assert!(!ran.all().contains(USER.1) && !ran.all().contains(ROLE.1), "{}", ran.all());
    let assumed = aws.calls("AssumeRole");
    let field = |name: &str| assumed[0].get(name).map(String::as_str);
    assert_eq!(field("DurationSeconds"), Some("900"));
    assert_eq!(field("RoleSessionName"), Some("one"));
    assert_eq!((field("Tags.member.1.Key"), field("Tags.member.1.Value")), (Some("GitHub"), Some("Actions")));
    assert_eq!(
        (field("Tags.member.2.Key"), field("Tags.member.2.Value")),
        (Some("Repository"), Some("team/app"))
    );
    assert!(assumed.len() == 2 && !assumed[1].contains_key("Tags.member.1.Key"), "{assumed:?}");
    assert_eq!(aws.calls("AssumeRoleWithWebIdentity").len(), 2);
    runner.stop().await;
}

#[tokio::test]
async fn a_job_that_may_have_identity_tokens_takes_a_role_without_keys() {
    let (runner, aws) = (Runner::start().await, Aws::start().await);
    let role = json!({ "role-to-assume": format!("arn:aws:iam::{ACCOUNT}:role/deploy") });
    let steps = json!([configure(role), sh(&format!("test \"$AWS_ACCESS_KEY_ID\" = {}", ROLE.0))]);
    let mut lease = at(&aws, steps);
    lease.stage.id_token = true;
    let ran = runner.run_lease(lease).await;
    ran.succeeded();
    let asked = aws.calls("AssumeRoleWithWebIdentity");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(!ran.all().contains(&asked[0]["WebIdentityToken"]), "{}", ran.all());
    runner.stop().await;
}

#[tokio::test]
async fn what_aws_refuses_or_nobody_can_give_fails_in_a_sentence() {
    let (runner, aws) = (Runner::start().await, Aws::start().await);
    let wrong = json!({ "aws-access-key-id": USER.0, "aws-secret-access-key": "not-the-secret" });
    let steps = json!([
        may_fail(configure(json!({}))),
        may_fail(configure(wrong)),
        may_fail(configure(with(of_user(), json!({ "role-to-assume": "other" })))),
        may_fail(configure(with(of_user(), json!({ "allowed-account-ids": "1, 2" })))),
        may_fail(configure(json!({ "role-to-assume": format!("arn:aws:iam::{ACCOUNT}:role/deploy") }))),
        may_fail(configure(json!({ "aws-region": "x/y" }))),
        may_fail(uses("aws-actions/amazon-ecr-login@v2", json!({}))),
        with(configure(of_user()), json!({ "env": { "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1" } })),
        sh("echo ${AWS_ACCESS_KEY_ID:+keys}"),
    ]);
    let ran = runner.run_lease(at(&aws, steps)).await;
    ran.succeeded();
    for (step, words) in [
        (1, "there are no credentials"),
        (2, "AWS does not accept the credentials"),
        (3, "AccessDenied: not authorised"),
        (4, "`allowed-account-ids` has 1, 2"),
        (5, "permissions: id-token: write"),
        (6, "`x/y` is no region"),
        (7, "use aws-actions/configure-aws-credentials before"),
        (8, "whose credentials these are is not known: http://127.0.0.1:1/ cannot be reached"),
    ] {
        assert!(ran.text(step).contains(words), "{step}: {}", ran.text(step));
        assert_eq!(ran.status(step) == StepStatus::Failed, step < 8, "{step}");
    }
    assert_eq!(ran.text(9), "keys\n");
    let mut closed = at(&aws, json!([may_fail(configure(of_user()))]));
    closed.trusted = false;
    let ran = runner.run_lease(closed).await;
    assert!(ran.text(1).contains("cannot reach the network"), "{}", ran.text(1));
    runner.stop().await;
}

/// The password is asked for anew after a restart of the runner, for it is written nowhere.
#[tokio::test]
async fn the_registry_of_an_account_is_pushed_to() {
    let gate = tempfile::tempdir().unwrap();
    let wait = format!("echo waiting; while [ ! -e {}/go ]; do sleep 0.02; done", gate.path().display());
    let (mut runner, aws) = (Runner::start().await, Aws::start().await);
    let steps = json!([
        configure(with(of_user(), json!({ "role-to-assume": "deploy" }))),
        with(uses("aws-actions/amazon-ecr-login@v2", json!({})), json!({ "id": "ecr" })),
        sh(&format!("echo FROM scratch > Dockerfile; {wait}")),
        uses(
            "docker/build-push-action@v6",
            json!({ "push": "true", "tags": "${{ steps.ecr.outputs.registry }}/app:1" })
        ),
        uses("aws-actions/amazon-ecr-login@v2", json!({ "registries": "1,2" })),
    ]);
    let attempt = runner.model.queue(at(&aws, steps));
    runner.model.printed(attempt, 3, "waiting").await;
    for file in crate::docker_actions::files_below(runner.data.path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let has = bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
        assert!(!has, "{}", file.display());
    }
    runner.kill_and_restart().await;
    std::fs::write(gate.path().join("go"), "").unwrap();
    let finish = runner.model.finished(attempt).await;
    let ran = Ran { finish, known: runner.model.attempt(attempt).unwrap() };
    ran.succeeded();
    let pushed = runner.engine.pushed().remove(0);
    let login = pushed.login.unwrap();
    assert_eq!(pushed.repository, format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/app"));
    assert_eq!((login.username.as_str(), login.password.as_str()), ("AWS", PASSWORD));
    let asked = aws.calls("GetAuthorizationToken");
    assert_eq!(
        asked.iter().map(|form| form["body"].as_str()).collect::<Vec<_>>(),
        ["{}", "{}", "{\"registryIds\":[\"1\",\"2\"]}"]
    );
    assert!(asked.iter().all(|form| form["caller"] == ROLE.0));
    assert!(
        ran.text(5).contains("2.dkr.ecr.eu-central-1.amazonaws.com until the stage ends"),
        "{}",
        ran.text(5)
    );
    runner.stop().await;
}
