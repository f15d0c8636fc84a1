//! Single promises: groups, newer runs, frozen environments, matrices.

use tidegate_protocol::status::{AttemptStatus, RunStatus, StageStatus};

use super::{
    model::World,
    pipelines::{pipeline, put_into_matrix},
};

#[test]
fn a_run_behind_another_of_its_group_says_so_once() {
    let mut world = World::new(&pipeline(&[], 1), 0, false);
    world.facts.status = RunStatus::Pending;
    world.facts.behind = Some(3);
    world.settle();
    assert_eq!(world.facts.reason.as_deref(), Some("waits for run 3 of its concurrency group"));
    world.facts.behind = None;
    world.settle();
    assert_eq!(world.facts.status, RunStatus::Running);
}

#[test]
fn an_older_run_does_not_overtake_a_newer_one() {
    let mut world = World::new(&pipeline(&[], 1), 1, false);
    let first = world.run_stages();
    world.settle();
    for id in first {
        world.take(id);
        world.end(id, AttemptStatus::Succeeded);
    }
    world.settle();
    world.facts.environments.get_mut("production").unwrap().current_run = Some(2);
    world.settle();
    let deploy = world.facts.stages.iter().find(|stage| stage.plan.name == "deploy-one").unwrap();
    assert_eq!(deploy.status, StageStatus::Failed);
    assert!(deploy.reason.as_deref().unwrap().contains("run 2 deployed"));
}

#[test]
fn a_frozen_environment_holds_deployments_and_shows_why() {
    let mut world = World::new(&pipeline(&[], 1), 0, false);
    world.facts.environments.get_mut("production").unwrap().frozen = Some("stocktaking".to_owned());
    let ids = world.run_stages();
    world.settle();
    for id in ids {
        world.take(id);
        world.end(id, AttemptStatus::Succeeded);
    }
    world.settle();
    let deploy = world.facts.stages.iter().find(|stage| stage.plan.name == "deploy-one").unwrap();
    assert_eq!(deploy.status, StageStatus::Blocked);
    assert!(deploy.reason.as_deref().unwrap().contains("frozen: stocktaking"));
}

#[test]
fn stages_of_a_matrix_wait_for_each_other_and_say_so() {
    let mut plan = pipeline(&[], 1);
    put_into_matrix(&mut plan, 4, Some(2), true);
    let mut world = World::new(&plan, 0, false);
    world.settle();
    let ids = world.run_stages();
    let of = |world: &World, index: usize| {
        let stage = world.facts.stages.iter().find(|stage| stage.id == ids[index]).unwrap();
        (stage.id, stage.status, stage.reason.clone().unwrap_or_default())
    };
    assert_eq!(of(&world, 1).1, StageStatus::Queued);
    assert_eq!(
        (of(&world, 2).1, of(&world, 2).2.as_str()),
        (StageStatus::Blocked, "waits: 2 of 2 of its matrix are at work")
    );
    world.take(of(&world, 0).0);
    world.take(of(&world, 1).0);
    world.end(of(&world, 0).0, AttemptStatus::Succeeded);
    world.settle();
    assert_eq!((of(&world, 2).1, of(&world, 3).1), (StageStatus::Queued, StageStatus::Blocked));
    // One fails: what waits is cancelled, what is at work is asked to stop.
    world.end(of(&world, 1).0, AttemptStatus::Failed);
    world.take(of(&world, 2).0);
    world.settle();
    assert!(world.stage(ids[2]).cancel_requested);
    let (_, status, reason) = of(&world, 3);
    assert_eq!(
        (status, reason.as_str()),
        (StageStatus::Cancelled, "`s1` of its matrix failed, which stops the others")
    );
    world.end(of(&world, 2).0, AttemptStatus::Cancelled);
    world.settle();
    assert_eq!(of(&world, 2).1, StageStatus::Cancelled);
}
