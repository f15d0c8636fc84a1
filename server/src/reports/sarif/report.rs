//! What is kept of a report while it is read: rules by run, and the worst findings.

use std::collections::HashMap;

use tidegate_pipelines::plan::{FindingLevel, RiskLevel};

use super::{
    Finding, ITEMS, Known, MESSAGE, MOST, NAME, cut, findings,
    shapes::{Found, Rule},
};

/// Rules that are remembered.
const RULES: usize = 50_000;

/// What has been read so far.
#[derive(Default)]
pub(super) struct Report {
    pub(super) runs: bool,
    /// The number of the run that is being read.
    pub(super) run: usize,
    /// Default levels by run and rule.
    levels: HashMap<(usize, String), Level>,
    /// What rules are for security, by run and rule.
    risks: HashMap<(usize, String), RiskLevel>,
    /// Ids of rules by run and index: results may name one by its index only.
    ids: HashMap<(usize, usize), String>,
    /// Errors, warnings, notes.
    pub(super) counts: [u64; 3],
    pub(super) items: [Vec<Finding>; 3],
    pub(super) known: [Vec<Known>; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Note,
    None,
}

impl Level {
    fn of(word: &str) -> Self {
        match word {
            "error" => Self::Error,
            "note" => Self::Note,
            "none" => Self::None,
            _ => Self::Warning,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
            Self::None => "none",
        }
    }
}

impl Report {
    /// `index` is its place in the list that results name rules by; a rule of a tool's extension has none.
    pub(super) fn rule(&mut self, index: Option<usize>, rule: Rule) {
        if [self.levels.len(), self.ids.len(), self.risks.len()].iter().any(|count| *count >= RULES) {
            return;
        }
        let id = cut(&rule.id, NAME);
        let score = rule.properties.as_ref().and_then(|properties| properties.get("security-severity"));
        let score = score.and_then(|score| score.as_f64().or_else(|| score.as_str()?.trim().parse().ok()));
        if let Some(score) = score {
            self.risks.insert((self.run, id.clone()), RiskLevel::of_score(score));
        }
        if let Some(level) = rule.default_configuration.and_then(|configuration| configuration.level) {
            self.levels.insert((self.run, id.clone()), Level::of(&level));
        }
        if let Some(index) = index {
            self.ids.insert((self.run, index), id);
        }
    }

    pub(super) fn result(&mut self, found: Found) {
        // Results that are no problem, that went away since the baseline, or that somebody accepted.
        let accepted = found
            .suppressions
            .0
            .is_some_and(|one| one.status.as_deref().is_none_or(|status| status == "accepted"));
        let fine = found.kind.as_deref().is_some_and(|kind| kind != "fail");
        if accepted || fine || found.baseline_state.as_deref() == Some("absent") {
            return;
        }
        let (reference_id, reference_index) = found.rule.map_or((None, None), |rule| (rule.id, rule.index));
        let index = found.rule_index.or(reference_index).and_then(|index| usize::try_from(index).ok());
        let named = found.rule_id.or(reference_id).map(|id| cut(&id, NAME));
        let listed = || index.and_then(|index| self.ids.get(&(self.run, index)).cloned());
        let rule = named.or_else(listed).unwrap_or_default();
        let level = match &found.level {
            Some(word) => Level::of(word),
            None => self.levels.get(&(self.run, rule.clone())).copied().unwrap_or(Level::Warning),
        };
        let place = match level {
            Level::Error => 0,
            Level::Warning => 1,
            Level::Note => 2,
            Level::None => return,
        };
        self.counts[place] += 1;
        let location = found.locations.0.and_then(|location| location.physical_location);
        let (file, region) = location.map_or((None, None), |place| (place.artifact_location, place.region));
        let file = file.and_then(|file| file.uri);
        let message = found.message.text.or(found.message.id).unwrap_or_default();
        if self.known[place].len() < MOST {
            let given = [&found.partial_fingerprints, &found.fingerprints];
            let mut given = given.into_iter().flatten().filter_map(|given| given.as_object());
            let given = given.find(|given| !given.is_empty()).into_iter().flatten();
            let given = given.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
            let by_level = match level {
                Level::Error => FindingLevel::Error,
                Level::Warning => FindingLevel::Warning,
                Level::Note | Level::None => FindingLevel::Note,
            };
            let risk = self.risks.get(&(self.run, rule.clone())).copied();
            self.known[place].push(Known {
                id: findings::id(&rule, given, file.as_deref(), &message),
                risk: risk.unwrap_or_else(|| RiskLevel::of_level(by_level)),
            });
        }
        if self.items[place].len() < ITEMS {
            self.items[place].push(Finding {
                rule,
                level: level.word().to_owned(),
                message: cut(&message, MESSAGE),
                file: file.map(|uri| cut(&uri, NAME)),
                line: region.and_then(|region| region.start_line),
            });
        }
    }
}
