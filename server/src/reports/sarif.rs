//! SARIF 2.1.0. Read twice: first what rules say of themselves (their level, how bad they are for security), which may
//! stand behind the results, then the results. Neither time is the document held in memory beyond its bytes.

use std::{cell::RefCell, collections::HashMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use serde_json::Value as Any;
use tidegate_pipelines::plan::{FindingLevel, RiskLevel};

use super::{
    Finding, ITEMS, MESSAGE, NAME, Summary, cut,
    findings::{self, Known, MOST},
};

/// Rules that are remembered.
const RULES: usize = 50_000;

/// Reads a report: what it says, and its findings as they are kept to be compared, in the order of the summary's.
pub fn read(bytes: &[u8]) -> Result<(Summary, Vec<Known>), String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let report = RefCell::new(Report::default());
    pass(bytes, Pass::Rules, &report)?;
    report.borrow_mut().run = 0;
    pass(bytes, Pass::Results, &report)?;
    let report = report.into_inner();
    if !report.runs {
        return Err("it is no SARIF: it has no `runs`".to_owned());
    }
    let [error, warning, note] = report.counts;
    let items = report.items.into_iter().flatten().take(ITEMS).collect();
    let known = report.known.into_iter().flatten().take(MOST).collect();
    Ok((Summary::Findings { error, warning, note, items }, known))
}

/// What has been read so far.
#[derive(Default)]
struct Report {
    runs: bool,
    /// The number of the run that is being read.
    run: usize,
    /// Default levels by run and rule.
    levels: HashMap<(usize, String), Level>,
    /// What rules are for security, by run and rule.
    risks: HashMap<(usize, String), RiskLevel>,
    /// Ids of rules by run and index: results may name one by its index only.
    ids: HashMap<(usize, usize), String>,
    /// Errors, warnings, notes.
    counts: [u64; 3],
    items: [Vec<Finding>; 3],
    known: [Vec<Known>; 3],
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    id: String,
    default_configuration: Option<Configuration>,
    properties: Option<Any>,
}

#[derive(Deserialize)]
struct Configuration {
    level: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    rule_id: Option<String>,
    rule_index: Option<i64>,
    rule: Option<RuleReference>,
    level: Option<String>,
    kind: Option<String>,
    baseline_state: Option<String>,
    partial_fingerprints: Option<Any>,
    fingerprints: Option<Any>,
    #[serde(default)]
    message: Message,
    #[serde(default)]
    locations: First<Location>,
    #[serde(default)]
    suppressions: First<Suppression>,
}

#[derive(Deserialize)]
struct RuleReference {
    id: Option<String>,
    index: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Message {
    text: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
struct Suppression {
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Option<PhysicalLocation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: Option<ArtifactLocation>,
    region: Option<Region>,
}

#[derive(Deserialize)]
struct ArtifactLocation {
    uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: Option<u64>,
}

impl Report {
    /// `index` is its place in the list that results name rules by; a rule of a tool's extension has none.
    fn rule(&mut self, index: Option<usize>, rule: Rule) {
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

    fn result(&mut self, found: Found) {
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Rules,
    Results,
}

fn pass(bytes: &[u8], pass: Pass, report: &RefCell<Report>) -> Result<(), String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let no = |error: serde_json::Error| format!("it is no SARIF: {error}");
    Object(
        |key: &str| match key {
            "runs" => {
                report.borrow_mut().runs = true;
                Some(Step::Runs)
            }
            _ => None,
        },
        pass,
        report,
    )
    .deserialize(&mut deserializer)
    .map_err(no)?;
    deserializer.end().map_err(no)
}

/// Where in the document the reader stands.
#[derive(Clone, Copy)]
enum Step {
    /// `runs`.
    Runs,
    /// `runs[].tool`.
    Tool,
    /// `runs[].tool.driver`.
    Driver,
    /// `runs[].tool.driver.rules`.
    Rules,
    /// `runs[].tool.extensions`.
    Extensions,
    /// `runs[].tool.extensions[].rules`.
    ExtensionRules,
    /// `runs[].results`.
    Results,
}

/// An object of which some keys lead on, and the others are passed over.
struct Object<'a, F>(F, Pass, &'a RefCell<Report>);

impl<'de, F: Fn(&str) -> Option<Step>> DeserializeSeed<'de> for Object<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fn(&str) -> Option<Step>> Visitor<'de> for Object<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match (self.0)(&key) {
                Some(step) => map.next_value_seed(Value(step, self.1, self.2))?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// What a key leads to.
struct Value<'a>(Step, Pass, &'a RefCell<Report>);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self(step, pass, report) = self;
        match step {
            Step::Tool => Object(
                |key: &str| match key {
                    "driver" => Some(Step::Driver),
                    "extensions" => Some(Step::Extensions),
                    _ => None,
                },
                pass,
                report,
            )
            .deserialize(deserializer),
            Step::Driver => Object(|key: &str| (key == "rules").then_some(Step::Rules), pass, report)
                .deserialize(deserializer),
            Step::Runs | Step::Rules | Step::Extensions | Step::ExtensionRules | Step::Results => {
                deserializer.deserialize_any(self)
            }
        }
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    /// `results: null` says that the scan did not get so far; there is nothing to count.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self(step, pass, report) = self;
        match step {
            Step::Rules => {
                let mut index = 0;
                while let Some(rule) = list.next_element::<Rule>()? {
                    report.borrow_mut().rule(Some(index), rule);
                    index += 1;
                }
            }
            Step::ExtensionRules => {
                while let Some(rule) = list.next_element::<Rule>()? {
                    report.borrow_mut().rule(None, rule);
                }
            }
            Step::Extensions => {
                let of_extension = |key: &str| (key == "rules").then_some(Step::ExtensionRules);
                while list.next_element_seed(Object(of_extension, pass, report))?.is_some() {}
            }
            Step::Results => {
                while let Some(found) = list.next_element::<Found>()? {
                    report.borrow_mut().result(found);
                }
            }
            Step::Runs | Step::Tool | Step::Driver => {
                let of_run = |key: &str| match (pass, key) {
                    (Pass::Rules, "tool") => Some(Step::Tool),
                    (Pass::Results, "results") => Some(Step::Results),
                    _ => None,
                };
                while list.next_element_seed(Object(of_run, pass, report))?.is_some() {
                    report.borrow_mut().run += 1;
                }
            }
        }
        Ok(())
    }
}

/// The first element of a list; the others are passed over.
struct First<T>(Option<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = First<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<First<T>, E> {
                Ok(First(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T>, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_any(List(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> ([u64; 3], Vec<Finding>) {
        match read(text.as_bytes()).unwrap().0 {
            Summary::Findings { error, warning, note, items } => ([error, warning, note], items),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn levels_come_from_the_result_or_its_rule_wherever_that_stands() {
        let (counts, items) = read_text(
            r#"{"version": "2.1.0", "runs": [{
                "results": [
                    {"ruleId": "A", "message": {"text": "an a"}},
                    {"ruleIndex": 1, "level": "note", "message": {"text": "a b"},
                     "locations": [{"physicalLocation": {"artifactLocation": {"uri": "src/x.py"}, "region": {"startLine": 7}}}, {}]},
                    {"ruleId": "C", "message": {}},
                    {"ruleId": "N", "message": {"id": "default"}},
                    {"ruleId": "A", "kind": "pass", "message": {"text": "fine"}},
                    {"ruleId": "A", "suppressions": [{"kind": "inSource"}], "message": {"text": "accepted"}},
                    {"ruleId": "A", "suppressions": [{"kind": "external", "status": "rejected"}], "message": {"text": "not accepted"}},
                    {"ruleId": "A", "baselineState": "absent", "message": {"text": "gone"}}
                ],
                "tool": {"driver": {"name": "scan", "rules": [
                    {"id": "A", "defaultConfiguration": {"level": "error"}}, {"id": "B"},
                    {"id": "N", "defaultConfiguration": {"level": "none"}}]}}
            }, {"tool": {"driver": {"name": "other"}}, "results": [{"ruleId": "A", "message": {"text": "another tool's"}}]},
               {"results": null}]}"#,
        );
        assert_eq!(counts, [2, 2, 1]);
        let worst_first: Vec<&str> = items.iter().map(|item| item.message.as_str()).collect();
        assert_eq!(worst_first, ["an a", "not accepted", "", "another tool's", "a b"]);
        let last = &items[4];
        assert_eq!((last.rule.as_str(), last.file.as_deref(), last.line), ("B", Some("src/x.py"), Some(7)));
    }

    #[test]
    fn how_bad_a_finding_is_comes_from_its_rule_wherever_that_stands() {
        let (summary, known) = read(
            br#"{"runs": [{"results": [
                {"ruleId": "A", "level": "note", "message": {"text": "1"}},
                {"ruleId": "B", "message": {"text": "2"}},
                {"ruleId": "C", "level": "error", "message": {"text": "3"}},
                {"ruleId": "D", "level": "error", "message": {"text": "4"}, "partialFingerprints": {"a": "1", "b": 7}}],
              "tool": {"driver": {"name": "s", "rules": [
                  {"id": "A", "properties": {"security-severity": "9.8", "tags": []}},
                  {"id": "B", "properties": {"security-severity": 3.5}},
                  {"id": "D", "properties": "none"}]},
                "extensions": [{"name": "pack", "rules": [{"id": "C", "properties": {"security-severity": "5"}}]}, {}]}}]}"#,
        )
        .unwrap();
        use RiskLevel::{Critical, High, Low, Medium};
        // In the order of the summary: errors, warnings, notes.
        let risks: Vec<RiskLevel> = known.iter().map(|known| known.risk).collect();
        assert_eq!(risks, [Medium, High, Low, Critical]);
        let Summary::Findings { items, .. } = summary else { panic!() };
        let messages: Vec<&str> = items.iter().map(|item| item.message.as_str()).collect();
        assert_eq!(messages, ["3", "4", "2", "1"]);
        assert_eq!(known[1].id, findings::id("D", [("a", "1")], None, "other"));
    }

    #[test]
    fn what_is_no_sarif_is_refused() {
        for (bad, part) in [
            ("", "no SARIF"),
            ("{}", "no `runs`"),
            ("[]", "no SARIF"),
            (r#"{"runs": 5}"#, "no SARIF"),
            (r#"{"runs": []} x"#, "no SARIF"),
            (r#"{"runs": [{"results": [{"ruleId": 5}]}]}"#, "no SARIF"),
        ] {
            let reason = read(bad.as_bytes()).unwrap_err();
            assert!(reason.contains(part), "{bad}: {reason}");
        }
        assert_eq!(read_text(r#"{"runs": []}"#).0, [0, 0, 0]);
        let deep = format!(r#"{{"runs": [{{"x": {}"#, "[".repeat(1_000_000));
        assert!(read(deep.as_bytes()).is_err());
    }

    #[test]
    fn all_are_counted_and_the_worst_are_kept() {
        let notes = r#"{"level": "note", "message": {"text": "n"}},"#.repeat(500);
        let text = format!(
            r#"{{"runs": [{{"results": [{notes}{{"level": "error", "message": {{"text": "e"}}}}]}}]}}"#
        );
        let (counts, items) = read_text(&text);
        assert_eq!((counts, items.len(), items[0].message.as_str()), ([1, 0, 500], ITEMS, "e"));
    }
}
