//! JUnit's XML, as its many writers have it: test cases are counted, not believed from attributes.

use super::{
    ITEMS, MESSAGE, NAME, Summary, TestFailure, cut,
    xml::{Attributes, Visitor, walk},
};

pub(super) fn parse(bytes: &[u8]) -> Result<Summary, String> {
    let mut tests = Tests::default();
    walk(bytes, &mut tests)?;
    Ok(Summary::Tests {
        total: tests.total,
        failed: tests.failed,
        skipped: tests.skipped,
        duration_ms: tests.milliseconds as u64,
        failures: tests.failures,
    })
}

#[derive(Default)]
struct Tests {
    total: u64,
    failed: u64,
    skipped: u64,
    milliseconds: f64,
    failures: Vec<TestFailure>,
    /// Names of the suites around.
    suites: Vec<String>,
    case: Option<Case>,
    /// The text of the failure that is being read.
    text: Option<String>,
    rooted: bool,
}

/// A test case, or a suite that failed as a whole.
#[derive(Default)]
struct Case {
    suite: String,
    name: String,
    message: String,
    failed: bool,
    skipped: bool,
    /// It is the suite that failed; there is no end of a test to come.
    whole_suite: bool,
}

impl Tests {
    fn finish(&mut self, case: Case) {
        self.total += 1;
        if case.failed {
            self.failed += 1;
            if self.failures.len() < ITEMS {
                self.failures.push(TestFailure { suite: case.suite, name: case.name, message: case.message });
            }
        } else if case.skipped {
            self.skipped += 1;
        }
    }
}

impl Visitor for Tests {
    fn start(&mut self, name: &str, attributes: &Attributes<'_, '_>) -> Result<(), String> {
        if !self.rooted {
            self.rooted = true;
            if !matches!(name, "testsuites" | "testsuite") {
                return Err(format!(
                    "its root is <{}>, and that of a JUnit report is <testsuites>",
                    cut(name, 60)
                ));
            }
        }
        match name {
            "testsuite" => self.suites.push(cut(&attributes.get("name").unwrap_or_default(), NAME)),
            "testcase" => {
                let suite = attributes.get("classname").filter(|name| !name.trim().is_empty());
                let suite = suite.or_else(|| self.suites.last().cloned()).unwrap_or_default();
                self.milliseconds += attributes.get("time").map_or(0.0, |time| milliseconds(&time));
                self.case = Some(Case {
                    suite: cut(&suite, NAME),
                    name: cut(&attributes.get("name").unwrap_or_default(), NAME),
                    ..Case::default()
                });
            }
            "failure" | "error" => {
                let suite = self.suites.last().cloned().unwrap_or_default();
                let case = self.case.get_or_insert_with(|| Case {
                    name: suite.clone(),
                    suite,
                    whole_suite: true,
                    ..Case::default()
                });
                if !case.failed {
                    case.failed = true;
                    let message = attributes.get("message").or_else(|| attributes.get("type"));
                    case.message = cut(&message.unwrap_or_default(), MESSAGE);
                    self.text = Some(String::new());
                }
            }
            "skipped" => {
                if let Some(case) = &mut self.case {
                    case.skipped = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) {
        match name {
            "testsuite" => drop(self.suites.pop()),
            "failure" | "error" => {
                let text = self.text.take().unwrap_or_default();
                let text = text.trim();
                if let Some(case) = &mut self.case
                    && !text.is_empty()
                    && !case.message.contains(text)
                {
                    // Most writers repeat the message at the beginning of the text.
                    let whole = match text.contains(&case.message) {
                        true => text.to_owned(),
                        false => format!("{}\n{text}", case.message),
                    };
                    case.message = cut(&whole, MESSAGE);
                }
                if let Some(case) = self.case.take_if(|case| case.whole_suite) {
                    self.finish(case);
                }
            }
            "testcase" => {
                if let Some(case) = self.case.take() {
                    self.finish(case);
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(kept) = &mut self.text
            && kept.len() < 8 * MESSAGE
        {
            kept.extend(text.chars().take(MESSAGE));
        }
    }
}

/// Seconds, with or without thousands separators.
fn milliseconds(text: &str) -> f64 {
    let seconds: f64 = text.trim().replace(',', "").parse().unwrap_or(0.0);
    if seconds.is_finite() && seconds > 0.0 { (seconds * 1000.0).min(1e12) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (u64, u64, u64, u64, Vec<TestFailure>) {
        match parse(text.as_bytes()).unwrap() {
            Summary::Tests { total, failed, skipped, duration_ms, failures } => {
                (total, failed, skipped, duration_ms, failures)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_pytest_writes() {
        let (total, failed, skipped, duration, failures) = read(
            r#"<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="3" time="0.042">
            <testcase classname="tests.test_model.Tides" name="test_high" time="0.001" />
            <testcase classname="tests.test_model.Tides" name="test_low" time="0.0105"><failure message="assert 1 == 2 &amp; so on">self = &lt;Tides&gt;
&gt;       assert 1 == 2</failure></testcase>
            <testcase classname="tests.test_server" name="test_x" time="1,000.5"><skipped type="pytest.skip" message="no network">x</skipped></testcase>
            </testsuite></testsuites>"#,
        );
        assert_eq!((total, failed, skipped, duration), (3, 1, 1, 1_000_511));
        assert_eq!(failures[0].suite, "tests.test_model.Tides");
        assert_eq!(failures[0].name, "test_low");
        assert_eq!(failures[0].message, "assert 1 == 2 & so on\nself = <Tides>\n>       assert 1 == 2");
    }

    #[test]
    fn suites_may_nest_and_fail_as_a_whole() {
        let (total, failed, _, _, failures) = read(
            r#"<testsuite name="all"><testsuite name="db"><error message="no connection"/></testsuite>
            <testsuite name="ui"><testcase name="click"><error type="Timeout"><![CDATA[a <b> c]]></error><failure message="second"/></testcase>
            <testcase name="ui"/><testcase/></testsuite></testsuite>"#,
        );
        assert_eq!((total, failed), (4, 2));
        assert_eq!(
            failures[0],
            TestFailure { suite: "db".into(), name: "db".into(), message: "no connection".into() }
        );
        assert_eq!(
            failures[1],
            TestFailure { suite: "ui".into(), name: "click".into(), message: "Timeout\na <b> c".into() }
        );
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for (bad, part) in [
            ("", "no XML element"),
            ("{}", "no XML element"),
            ("<html/>", "its root is <html>"),
            ("<testsuites><testsuite>", "ends in the middle"),
            ("<testsuites></testsuite>", "no well-formed XML"),
        ] {
            let reason = parse(bad.as_bytes()).unwrap_err();
            assert!(reason.contains(part), "{bad}: {reason}");
        }
        let deep = format!("<testsuites>{}", "<testsuite>".repeat(100_000));
        assert!(parse(deep.as_bytes()).unwrap_err().contains("nested"));
    }

    #[test]
    fn entities_are_not_expanded_and_texts_are_cut() {
        let bomb = format!(
            r#"<!DOCTYPE t [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><testsuites><testcase name="n"><failure>&b;{}</failure></testcase></testsuites>"#,
            "x".repeat(100_000)
        );
        let (.., failures) = read(&bomb);
        assert!(failures[0].message.starts_with("&b;xxx"), "{}", failures[0].message);
        assert_eq!(failures[0].message.chars().count(), MESSAGE);
        let many =
            format!("<testsuites>{}</testsuites>", r#"<testcase name="a"><failure/></testcase>"#.repeat(200));
        let (total, failed, .., failures) = read(&many);
        assert_eq!((total, failed, failures.len()), (200, 200, ITEMS));
    }
}
