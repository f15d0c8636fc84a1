//! What each kind of action does in its step: composite, container, JavaScript without a Node.js.

use serde_json::json;
use tidegate_protocol::{
    messages::{Lease, Outcome, Secret},
    status::StepStatus,
};

use super::{files, uses};
use crate::{
    steps::{Runner, with},
    support::agent::{lease, lenient, sh},
};

const GREET: &str = "
name: Greet
inputs:
  who: {default: '${{ github.repository }}'}
  fail: {default: 'no'}
outputs:
  said: {value: '${{ steps.say.outputs.said }} ${{ inputs.who }}'}
runs:
  using: composite
  steps:
    - id: say
      shell: sh
      run: |
        echo \"hello ${{ inputs.who }} from ${{ github.action_path }} $OUTER\"
        echo said=hello >> $GITHUB_OUTPUT
        echo INNER=set >> $GITHUB_ENV
        test '${{ inputs.fail }}' = no
    - shell: sh
      run: echo never
      if: failure() && inputs.fail == 'no'
    - shell: sh
      run: echo 'sees ${{ steps.outer.outputs.x }} ${{ secrets.WORD }}.'
      if: always()
";

#[tokio::test]
async fn a_composite_action_has_its_own_inputs_steps_and_status() {
    let runner = Runner::start().await;
    let steps = json!([
        files(&[("greet/action.yml", GREET)]),
        with(sh("echo x=outer >> $GITHUB_OUTPUT"), json!({ "id": "outer" })),
        with(uses("./greet", json!({ "Who": "you" })), json!({ "id": "greet", "env": { "OUTER": "env" } })),
        sh("echo '${{ steps.greet.outputs.said }}' $INNER '${{ steps.say.outputs.said }}.'"),
        with(
            uses("./greet", json!({ "fail": "yes", "bogus": "1" })),
            json!({ "id": "bad", "continue_on_error": true })
        ),
        sh("echo '${{ steps.bad.outcome }} ${{ steps.bad.conclusion }} ${{ github.action_path }}.'"),
        uses("./greet", json!({ "fail": "yes" })),
        with(uses("./greet", json!({})), json!({ "condition": "failure()" })),
    ]);
    let mut leased = lease(lenient(steps));
    leased.secrets.push(Secret { name: "WORD".to_owned(), env: None, value: "correct horse".to_owned() });
    let ran = runner.run_lease(leased).await;
    assert_eq!(ran.finish.outcome, Outcome::Failed);
    assert_eq!(ran.finish.exit_code, Some(1));
    assert!(ran.text(3).contains("hello you from /workspace/greet env\nsees  .\n"), "{}", ran.text(3));
    assert_eq!(ran.text(4), "hello you set .\n");
    assert!(
        ran.text(5).contains("there is no input `bogus`") && !ran.text(5).contains("never"),
        "{}",
        ran.text(5)
    );
    assert_eq!(ran.text(6), "failure success .\n");
    assert!(
        ran.text(8).contains("hello team/app from"),
        "after a failure its own steps begin well: {}",
        ran.text(8)
    );
    assert_eq!(
        [3, 5, 7, 8].map(|step| ran.status(step)),
        [StepStatus::Succeeded, StepStatus::Failed, StepStatus::Failed, StepStatus::Succeeded]
    );
    runner.stop().await;
}

#[tokio::test]
async fn composite_actions_do_not_use_each_other_for_ever() {
    let runner = Runner::start().await;
    let again = "runs:\n  using: composite\n  steps:\n    - uses: ./again\n";
    let ran =
        runner.run(lenient(json!([files(&[("again/action.yml", again)]), uses("./again", json!({}))]))).await;
    assert!(ran.finish.reason.as_deref().unwrap().contains("more than 10 deep"), "{:?}", ran.finish.reason);
    let ran = runner.run(lenient(json!([uses("./nowhere", json!({}))]))).await;
    assert!(ran.finish.reason.as_deref().unwrap().contains("actions/checkout"), "{:?}", ran.finish.reason);
    runner.stop().await;
}

#[tokio::test]
async fn a_container_action_runs_beside_with_the_same_workspace() {
    let runner = Runner::start().await;
    runner.engine.add_image("tool:1", &["sh", "-c"]);
    let manifest = "
inputs: {word: {default: x}}
runs:
  using: docker
  image: docker://tool:1
  args: ['${{ inputs.word }}']
  env: {FROM: 'action ${{ inputs.word }}'}
  post-entrypoint: /bin/true
";
    let steps = json!([
        files(&[("act/action.yml", manifest)]),
        with(
            uses(
                "./act",
                json!({ "word": "echo \"$FROM $INPUT_WORD\" | head -c 12; echo; echo made > \"$GITHUB_WORKSPACE/file\"; echo out=1 >> $GITHUB_OUTPUT; echo '::notice::said'" })
            ),
            json!({ "id": "act" })
        ),
        sh("cat file; echo '${{ steps.act.outputs.out }}'"),
        uses("docker://tool:1", json!({ "args": "'echo by image; exit 3'" })),
    ]);
    let ran = runner.run(lenient(steps)).await;
    assert!(ran.text(2).starts_with("action echo "), "{}", ran.all());
    assert_eq!(ran.text(3), "made\n1\n");
    assert!(ran.text(4).contains("by image\n"), "{}", ran.text(4));
    assert_eq!(ran.finish.exit_code, Some(3));
    assert_eq!(ran.annotations().notices, 1);
    runner.stop().await;
}

#[tokio::test]
async fn without_node_the_reason_is_told_and_a_lent_one_is_used() {
    let js = [("js/action.yml", "runs: {using: node20, main: main.js}"), ("js/main.js", "echo by lent node")];
    let steps = json!([files(&js), uses("./js", json!({}))]);
    let without = |mut leased: Lease| {
        leased.env.insert("PATH".to_owned(), "/usr/sbin".to_owned());
        leased
    };
    let stage = |leased: Lease| without(leased);
    let mut plan = lenient(steps);
    let tidegate_pipelines::plan::Verb::Run(run) = &mut plan.verb else { panic!() };
    let tidegate_pipelines::plan::Does::Run(script) = &mut run.steps[0].does else { panic!() };
    script.shell = vec!["/bin/sh".to_owned()];
    script.script = format!("PATH=/usr/bin:/bin\n{}", script.script);
    let runner = Runner::start().await;
    let ran = runner.run_lease(stage(lease(plan.clone()))).await;
    assert!(
        ran.finish.reason.as_deref().unwrap().contains("runs on node20 and the image has none"),
        "{:?}",
        ran.finish.reason
    );
    runner.stop().await;
    let lent = tempfile::tempdir().unwrap();
    std::fs::create_dir(lent.path().join("bin")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", lent.path().join("bin/node")).unwrap();
    let runner = Runner::start_with(|config| config.actions.node = Some(lent.path().to_owned())).await;
    let ran = runner.run_lease(stage(lease(plan))).await;
    ran.succeeded();
    assert_eq!(ran.text(2), "by lent node\n");
    runner.stop().await;
}
