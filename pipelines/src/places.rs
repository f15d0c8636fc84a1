//! Places of matrices: how many stages or calls of one are at work, and whether the failure of one stops the others.
//!
//! A server and a local run ask this of every decision anew, so nothing is kept that could go out of step. A stage is in
//! its own matrix and in those of all calls that it is part of. A call is at work from its first stage's start to its
//! last one's end, and how it went is known only then.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::plan::{Call, StagePlan, Strategy, path_of};

/// Where a stage is, as far as its matrices ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has no place yet: its turn has not come, or it waits for a person.
    Waiting,
    /// It is with a runner, or may be taken by one at any time.
    AtWork,
    /// It failed, which it was not allowed to.
    Failed,
    /// It ended in another way after it was at work.
    Ended,
    /// It ended without having been at work.
    Passed,
}

/// The matrices of a run as they are now, and as one decision gives their places away.
#[derive(Debug, Default)]
pub struct Places<'p> {
    /// The members of each matrix, by the name that they share and by their keys.
    matrices: BTreeMap<&'p str, BTreeMap<&'p str, Member<'p>>>,
    calls: &'p [Call],
}

/// A stage or call of a matrix.
#[derive(Debug)]
struct Member<'p> {
    strategy: &'p Strategy,
    waiting: usize,
    at_work: usize,
    has_begun: bool,
    has_failed: bool,
}

impl Member<'_> {
    fn is_at_work(&self) -> bool {
        self.at_work > 0 || self.has_begun && self.waiting > 0
    }

    fn failed(&self) -> bool {
        self.has_failed && self.at_work == 0 && self.waiting == 0
    }

    fn count(&mut self, standing: Standing) {
        match standing {
            Standing::Waiting => self.waiting += 1,
            Standing::AtWork => self.at_work += 1,
            Standing::Failed | Standing::Ended | Standing::Passed => {}
        }
        self.has_begun |= !matches!(standing, Standing::Waiting | Standing::Passed);
        self.has_failed |= standing == Standing::Failed;
    }
}

/// Why a stage has to wait for a place: the end of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    taken: usize,
    most: u32,
    /// The call whose matrix it is, if it is not the stage's own.
    call: Option<String>,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, most, call } = self;
        match call {
            None => write!(f, "waits: {taken} of {most} of its matrix are at work"),
            Some(call) => write!(f, "waits: {taken} of {most} of the matrix of `{call}` are at work"),
        }
    }
}

impl<'p> Places<'p> {
    /// As they are now: `stages` are all of the run that count, `calls` those that they are part of.
    pub fn of(stages: impl IntoIterator<Item = (&'p StagePlan, Standing)>, calls: &'p [Call]) -> Self {
        let mut places = Self { matrices: BTreeMap::new(), calls };
        for (stage, standing) in stages {
            for (name, key, strategy) in places.memberships(stage) {
                places
                    .matrices
                    .entry(name)
                    .or_default()
                    .entry(key)
                    .or_insert_with(|| Member {
                        strategy,
                        waiting: 0,
                        at_work: 0,
                        has_begun: false,
                        has_failed: false,
                    })
                    .count(standing);
            }
        }
        places
    }

    /// The matrices that a stage is in, the outermost call's first: name, the member's key, strategy.
    fn memberships<'s>(&self, stage: &'s StagePlan) -> Vec<(&'s str, &'s str, &'s Strategy)>
    where
        'p: 's,
    {
        let of_calls = path_of(self.calls, stage.call.as_deref()).into_iter();
        let of_calls = of_calls
            .filter_map(|call| Some((call.name.as_str(), call.key.as_str(), call.strategy.as_ref()?)));
        let own =
            stage.strategy.as_ref().map(|strategy| (stage.name.as_str(), stage.key.0.as_str(), strategy));
        of_calls.chain(own).collect()
    }

    /// Why a waiting stage has to wait for others of a matrix, if it has to. A call that has a place keeps it; of those that
    /// were started over together, and so have more places than there are, the first ones go on.
    pub fn full(&self, stage: &StagePlan) -> Option<Full> {
        self.memberships(stage).into_iter().find_map(|(name, key, strategy)| {
            let most = strategy.max_parallel?.max(1);
            let members = self.matrices.get(name)?;
            let own = members.get(key).filter(|own| own.is_at_work());
            if own.is_some_and(|own| own.at_work > 0) {
                return None;
            }
            let goes_first = |(other, member): &(&&str, &Member<'_>)| {
                member.is_at_work()
                    && **other != key
                    && (own.is_none() || member.at_work > 0 || **other < key)
            };
            let taken = members.iter().filter(goes_first).count();
            let call = (name != stage.name).then(|| name.to_owned());
            usize::try_from(most).is_ok_and(|most| taken >= most).then_some(Full { taken, most, call })
        })
    }

    /// A waiting stage is given its places.
    pub fn take(&mut self, stage: &StagePlan) {
        for (name, key, _) in self.memberships(stage) {
            if let Some(member) = self.matrices.get_mut(name).and_then(|members| members.get_mut(key)) {
                member.waiting = member.waiting.saturating_sub(1);
                member.count(Standing::AtWork);
            }
        }
    }

    /// Why a stage is to stop because another of a matrix failed, if it is to; the reason for it in one sentence.
    pub fn failed_fast(&self, stage: &StagePlan) -> Option<String> {
        self.memberships(stage).into_iter().find_map(|(name, own, _)| {
            let mut others = self.matrices.get(name)?.iter().filter(|(key, _)| **key != own);
            let (failed, _) = others.find(|(_, other)| other.failed() && other.strategy.fail_fast)?;
            Some(format!("`{failed}` of its matrix failed, which stops the others"))
        })
    }

    /// The calls among these of which every stage has ended; those without any stage are not among them.
    pub fn ended_calls(
        stages: impl IntoIterator<Item = (&'p StagePlan, bool)>,
        calls: &'p [Call],
    ) -> BTreeSet<&'p str> {
        let (mut open, mut all) = (BTreeSet::new(), BTreeSet::new());
        for (stage, has_ended) in stages {
            let path = path_of(calls, stage.call.as_deref());
            let keys = path.into_iter().map(|call| call.key.as_str());
            if has_ended { all.extend(keys) } else { open.extend(keys) }
        }
        &all - &open
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stage(name: &str, key: &str, call: Option<&str>, strategy: Option<u32>) -> StagePlan {
        let strategy = strategy.map(strategy_of);
        serde_json::from_value(json!({
            "key": key, "name": name, "call": call, "timeout_seconds": 60, "checkout": false,
            "strategy": strategy, "verb": { "kind": "run", "image": "debian:12", "steps": [] },
        }))
        .unwrap()
    }

    fn strategy_of(most: u32) -> Strategy {
        Strategy { index: 0, total: 3, fail_fast: true, max_parallel: Some(most) }
    }

    fn call(key: &str, name: &str, parent: Option<&str>, strategy: Option<Strategy>) -> Call {
        serde_json::from_value(json!({
            "key": key, "title": key, "name": name, "parent": parent, "strategy": strategy,
        }))
        .unwrap()
    }

    #[test]
    fn a_matrix_has_so_many_places_and_one_failure_ends_it() {
        use Standing::*;
        let stages: Vec<_> =
            ["a", "b", "c"].map(|one| stage("test", &format!("test ({one})"), None, Some(2))).into();
        let of = |standings: [Standing; 3]| Places::of(stages.iter().zip(standings), &[]);
        let mut places = of([Waiting; 3]);
        for stage in &stages[..2] {
            assert_eq!(places.full(stage), None);
            places.take(stage);
        }
        let why = places.full(&stages[2]).unwrap().to_string();
        assert_eq!(why, "waits: 2 of 2 of its matrix are at work");
        assert_eq!(of([Ended, AtWork, Waiting]).full(&stages[2]), None);

        let places = of([Failed, AtWork, Waiting]);
        assert_eq!(places.failed_fast(&stages[0]), None);
        let why = "`test (a)` of its matrix failed, which stops the others";
        assert_eq!(places.failed_fast(&stages[1]).as_deref(), Some(why));
        assert_eq!(of([Ended, AtWork, Waiting]).failed_fast(&stages[1]), None);
    }

    /// Two calls of a matrix of which one runs at a time; each calls a file further.
    #[test]
    fn a_call_keeps_its_place_until_all_its_stages_have_ended() {
        use Standing::*;
        let calls = [
            call("go (a)", "go", None, Some(strategy_of(1))),
            call("go (a) / deep", "go (a) / deep", Some("go (a)"), None),
            call("go (b)", "go", None, Some(strategy_of(1))),
        ];
        let stages = [
            stage("go (a) / first", "go (a) / first", Some("go (a)"), None),
            stage("go (a) / deep / last", "go (a) / deep / last", Some("go (a) / deep"), None),
            stage("go (b) / first", "go (b) / first", Some("go (b)"), None),
        ];
        let of = |standings: [Standing; 3]| Places::of(stages.iter().zip(standings), &calls);
        let [first, last, other] = &stages;
        assert_eq!(of([Waiting; 3]).full(other), None);
        for taken in [[AtWork, Waiting, Waiting], [Ended, Waiting, Waiting], [Failed, AtWork, Waiting]] {
            let places = of(taken);
            let why = places.full(other).unwrap().to_string();
            assert_eq!(why, "waits: 1 of 1 of the matrix of `go` are at work");
            assert_eq!((places.full(first), places.full(last)), (None, None), "its own place is enough");
            assert_eq!(places.failed_fast(other), None, "how the call went is not known yet");
        }
        for free in [[Ended, Ended, Waiting], [Passed, Passed, Waiting], [Passed, Waiting, Waiting]] {
            assert_eq!(of(free).full(other), None);
        }
        // Both were started over after their first stages: one of them goes on.
        let mut stages = stages.to_vec();
        stages.push(stage("go (b) / next", "go (b) / next", Some("go (b)"), None));
        let places = Places::of(stages.iter().zip([Ended, Waiting, Ended, Waiting]), &calls);
        assert_eq!(places.full(&stages[1]), None);
        assert!(places.full(&stages[3]).is_some());

        let why = "`go (a)` of its matrix failed, which stops the others";
        assert_eq!(of([Failed, Passed, Waiting]).failed_fast(other).as_deref(), Some(why));

        let mut places = of([Waiting; 3]);
        places.take(first);
        assert!(places.full(other).is_some());
        let ended = Places::ended_calls(stages.iter().zip([true, false, true]), &calls);
        assert_eq!(ended, BTreeSet::from(["go (b)"]));
    }
}
