//! Plans as earlier versions stored them: a run that is kept can still be shown, and one that was going on goes on.

use tidegate_pipelines::plan::{Does, Plan, Verb};

/// What the version before steps could use actions made of `golden/delivery.yml`.
const FIRST: &str = include_str!("../stored/first.json");

#[test]
fn a_plan_of_the_first_version_is_read() {
    let plan: Plan = serde_json::from_str(FIRST).unwrap();
    let scripts: Vec<&str> = plan
        .stages
        .iter()
        .filter_map(|stage| match &stage.verb {
            Verb::Run(run) => Some(run),
            _ => None,
        })
        .flat_map(|run| &run.steps)
        .map(|step| match &step.does {
            Does::Run(script) => script.script.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(!scripts.is_empty() && scripts.iter().all(|script| !script.is_empty()), "{scripts:?}");
    // What is written now is read too, and says the same.
    let again: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(again, plan);
}
