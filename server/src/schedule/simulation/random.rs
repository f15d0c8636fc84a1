//! Whatever the graph, the runners and the people do, a run comes to an honest end.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tidegate_protocol::{
    ids::StageId,
    status::{AttemptStatus, DeploymentStatus, GateStatus, RunStatus, StageStatus},
};

use super::{
    model::World,
    pipelines::{pipeline_with, put_into_matrix},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_run_comes_to_an_honest_end(
        edges in proptest::collection::vec((0usize..8, 0usize..8), 0..14),
        retries in 1u32..4,
        approvals in 0i32..2,
        has_previous: bool,
        matrix in proptest::option::of((2usize..8, proptest::option::of(1u32..4), any::<bool>())),
        open in any::<u8>(),
        choices in proptest::collection::vec(any::<u8>(), 120),
    ) {
        // Stages of a told matrix have no single output, so those with an even number tell.
        let told_by = |index: usize, needs: &BTreeSet<&String>| {
            let told = matrix.is_none() && index % 2 == 1 && open & (1 << index) != 0;
            let even = |name: &&&String| name.ends_with(['0', '2', '4', '6']);
            needs.iter().find(even).filter(|_| told).map(|name| (**name).clone())
        };
        let mut plan = pipeline_with(&edges, retries, told_by);
        if let Some((size, max_parallel, fail_fast)) = matrix {
            put_into_matrix(&mut plan, size, max_parallel, fail_fast);
        }
        let mut world = World::new(&plan, approvals, has_previous);
        let mut cancelled = false;
        for choice in choices.iter().cycle().take(2000) {
            world.settle();
            if world.facts.status.is_final() {
                break;
            }
            let of = |status: StageStatus| -> Vec<StageId> {
                world.facts.stages.iter().filter(|stage| stage.status == status).map(|stage| stage.id).collect()
            };
            let (queued, running, gated) = (of(StageStatus::Queued), of(StageStatus::Running), of(StageStatus::Gated));
            let unknown = of(StageStatus::Unknown);
            let pick = |list: &[StageId]| list[usize::from(*choice) % list.len()];
            if *choice == 7 && !cancelled {
                world.facts.cancel_requested = Some("dora".to_owned());
                cancelled = true;
            } else if !queued.is_empty() && choice % 2 == 0 {
                world.take(pick(&queued));
            } else if !running.is_empty() {
                let id = pick(&running);
                let stopping = world.stage(id).cancel_requested;
                let told = ["[1, 2, 3]", "[1]", "[]", "[1, 1]", "nonsense"][usize::from(*choice) % 5];
                let ended = match choice % 16 {
                    _ if stopping => AttemptStatus::Cancelled,
                    1 | 2 => AttemptStatus::Failed,
                    3 => AttemptStatus::Lost,
                    _ => AttemptStatus::Succeeded,
                };
                world.end_telling(id, ended, told);
            } else if !gated.is_empty()
                && queued.is_empty()
                && let Some(gate) = world.stage(pick(&gated)).gate.as_mut()
            {
                (gate.status, gate.approvals) = match choice % 8 {
                    0 => (GateStatus::Rejected, 0),
                    _ => (GateStatus::Approved, 1),
                };
            } else if let [lost, ..] = unknown[..] {
                // The rest waits until somebody says how it ended.
                world.stage(lost).status =
                    if choice % 2 == 0 { StageStatus::Failed } else { StageStatus::Succeeded };
            }
        }
        world.settle();
        let facts = &world.facts;
        prop_assert!(facts.status.is_final(), "stuck: {:?}", facts.stages.iter().map(|s| (s.key(), s.status, &s.reason)).collect::<Vec<_>>());
        let bad = facts.stages.iter().any(|stage| matches!(stage.status, StageStatus::Failed | StageStatus::Unknown));
        prop_assert!(!(bad && facts.status == RunStatus::Succeeded), "a red run is never green");
        prop_assert!(bad || cancelled || facts.status != RunStatus::Failed);
        for one in &facts.deployments {
            // What failed went back, where there was something to go back to and the way back did not fail itself.
            if one.status == DeploymentStatus::Failed && one.previous.is_some() && one.rollback_of.is_none() {
                let tried = facts.stages.iter().filter(|stage| stage.rollback_of == Some(one.id)).count();
                prop_assert_eq!(tried, 1);
            }
            let twice = world.handed_out.iter().filter(|id| **id == one.stage).count();
            prop_assert_eq!(twice, 1, "a deployment is handed out once");
        }
    }
}
