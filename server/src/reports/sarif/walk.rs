//! The way through a document to its rules and results. What lies beside it is passed over and never held.

use std::{cell::RefCell, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    report::Report,
    shapes::{Found, Rule},
};

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// What rules say of themselves.
    Rules,
    /// What was found.
    Results,
}

/// Goes through once.
pub(super) fn pass(bytes: &[u8], pass: Pass, report: &RefCell<Report>) -> Result<(), String> {
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
