//! Matrices that earlier stages tell.

use serde_json::json;
use tidegate_protocol::status::{AttemptStatus, RunStatus, StageStatus};

use super::{model::World, pipelines::plan};
use crate::schedule::facts::StageFacts;

/// `first` tells the matrices of two others, of which one is needed by a third; `last` comes after all.
fn told() -> World {
    let stage = |needs: &[&str], matrix: Option<&str>| {
        let mut stage = json!({ "image": "i:1", "run": "true", "needs": needs });
        if let Some(output) = matrix {
            stage["matrix"] = format!("${{{{ fromJSON(stages.first.outputs.{output}) }}}}").into();
        }
        stage
    };
    let mut one = stage(&["first"], Some("matrix"));
    (one["max_parallel"], one["fail_fast"]) = (1.into(), true.into());
    let stages = json!({
        "first": stage(&[], None), "one": one, "two": stage(&["first"], Some("matrix")),
        "three": stage(&["first", "one"], Some("other")), "last": stage(&["one", "two", "three"], None),
    });
    let text = json!({ "name": "p", "on": "push", "stages": stages }).to_string();
    let mut world = World::new(&plan(&text), 0, false);
    world.settle();
    world
}

impl World {
    fn keyed(&self, key: &str) -> &StageFacts {
        let found = self.facts.stages.iter().find(|stage| stage.key().0 == key);
        found.unwrap_or_else(|| panic!("no `{key}` among {:?}", self.keys()))
    }

    fn keys(&self) -> Vec<&str> {
        self.facts.stages.iter().map(|stage| stage.key().0.as_str()).collect()
    }

    fn run_to(&mut self, key: &str, status: AttemptStatus) {
        let id = self.keyed(key).id;
        self.take(id);
        self.end(id, status);
        self.settle();
    }
}

#[test]
fn stages_that_an_earlier_one_tells_take_the_place_of_the_one_that_stood_for_them() {
    let mut world = told();
    world.facts.stages[0].outputs.insert("other".to_owned(), r#"["x"]"#.to_owned());
    world.run_to("first", AttemptStatus::Succeeded);
    let one = ["one (value=1)", "one (value=2)", "one (value=3)"];
    let two = ["two (value=1)", "two (value=2)", "two (value=3)"];
    assert_eq!(world.keys(), [&["first"][..], &one, &two, &["three", "last"]].concat());
    let statuses: Vec<_> = one.iter().map(|key| world.keyed(key).status).collect();
    assert_eq!(statuses, [StageStatus::Queued, StageStatus::Blocked, StageStatus::Blocked], "one at a time");
    assert!(two.iter().all(|key| world.keyed(key).status == StageStatus::Queued));
    let needs =
        |key: &str| world.keyed(key).plan.needs.iter().map(|need| need.stage.0.as_str()).collect::<Vec<_>>();
    assert_eq!(needs("three"), [&["first"][..], &one].concat());
    assert_eq!(needs("last"), [&one[..], &two, &["three"]].concat());
    for key in one {
        world.run_to(key, AttemptStatus::Succeeded);
    }
    assert_eq!(world.keyed("three (value=x)").status, StageStatus::Queued);
    world.run_to("three (value=x)", AttemptStatus::Succeeded);
    for key in two {
        assert_eq!(world.keyed("last").status, StageStatus::Blocked);
        world.run_to(key, AttemptStatus::Succeeded);
    }
    world.run_to("last", AttemptStatus::Succeeded);
    assert_eq!(world.facts.status, RunStatus::Succeeded);
}

#[test]
fn the_failure_of_a_told_stage_stops_the_others_of_its_matrix() {
    let mut world = told();
    world.run_to("first", AttemptStatus::Succeeded);
    world.run_to("one (value=1)", AttemptStatus::Failed);
    let stopped = world.keyed("one (value=3)");
    assert_eq!(stopped.status, StageStatus::Cancelled);
    assert!(stopped.reason.as_deref().unwrap().contains("`one (value=1)` of its matrix failed"));
    assert_eq!(world.keyed("three").status, StageStatus::Skipped, "it is not told what it stands for");
    assert_eq!(world.keyed("two (value=2)").status, StageStatus::Queued);
}

#[test]
fn a_matrix_that_is_told_badly_fails_and_an_empty_one_is_skipped_with_the_reason() {
    for (told, status, why) in [
        ("[]", StageStatus::Skipped, "its matrix is empty"),
        ("3", StageStatus::Failed, "a matrix is a mapping or list"),
        ("[1, 1]", StageStatus::Failed, "`one (value=1)` twice"),
    ] {
        let mut world = self::told();
        world.take(world.keyed("first").id);
        world.end_telling(world.keyed("first").id, AttemptStatus::Succeeded, told);
        world.settle();
        let one = world.keyed("one");
        assert_eq!(one.status, status);
        assert!(one.reason.as_deref().unwrap().contains(why), "{:?}", one.reason);
        assert_eq!(world.keyed("last").status, StageStatus::Skipped);
    }
}

#[test]
fn a_run_does_not_grow_beyond_its_bounds() {
    let many: String = serde_json::to_string(&(0..250).collect::<Vec<_>>()).unwrap();
    let names: Vec<String> = (0..5).map(|n| format!("m{n}")).collect();
    let mut stages = json!({ "first": { "image": "i:1", "run": "true" } });
    for name in &names {
        stages[name] = json!({ "image": "i:1", "run": "true", "needs": ["first"],
            "matrix": "${{ fromJSON(stages.first.outputs.matrix) }}" });
    }
    let text = json!({ "name": "p", "on": "push", "stages": stages }).to_string();
    let mut world = World::new(&plan(&text), 0, false);
    world.settle();
    world.take(world.keyed("first").id);
    world.end_telling(world.keyed("first").id, AttemptStatus::Succeeded, &many);
    world.settle();
    // All five were decided upon at once.
    let failed: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| world.keys().contains(name)).collect();
    assert_eq!(failed, ["m3", "m4"]);
    assert_eq!(world.facts.stages.len(), 1 + 3 * 250 + 2);
    for name in failed {
        let stage = world.keyed(name);
        assert_eq!(stage.status, StageStatus::Failed);
        assert!(stage.reason.as_deref().unwrap().contains("more than 1000"), "{:?}", stage.reason);
    }
}
