//! SARIF 2.1.0. Read twice: first what rules say of themselves (their level, how bad they are for security), which may
//! stand behind the results, then the results. Neither time is the document held in memory beyond its bytes.

mod report;
mod shapes;
mod walk;

use std::cell::RefCell;

use self::{
    report::Report,
    walk::{Pass, pass},
};
use super::{
    Finding, ITEMS, MESSAGE, NAME, Summary, cut, findings,
    findings::{Known, MOST},
};

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

#[cfg(test)]
mod tests {
    use tidegate_pipelines::plan::RiskLevel;

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
