//! Calls of other files: what each is, and the names that jobs and calls know each other by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Concurrency, StagePlan, Strategy, Template};
use crate::InputKind;

/// A call of another file, whose stages are part of this plan: they have its key before theirs, read its inputs, and
/// know each other by the names that they have there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Unique in the plan: the calling stage's name, after that of the call that it is itself part of
    /// (`release / publish`), with the values of a matrix.
    pub key: String,
    /// What pages call it.
    pub title: String,
    /// The key without the values of its own matrix, shared by all calls of that matrix.
    pub name: String,
    /// The call that this one is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The names, in the calling file, of what comes before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The call's `if`, read in the calling file, without `${{ }}`. When it does not hold no stage of the call runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The call's matrix values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Value>,
    /// Its place in its matrix, where it comes from one; a call is at work from its first stage's start to its last
    /// one's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The group in which it waits as a whole, before any of its stages. The name is read in the calling file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// The inputs: all that the called file declares.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, CallInput>,
    /// What the called file reads as `secrets.NAME`: templates in the calling file. Absent: the same as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<BTreeMap<String, Template>>,
    /// What the call hands on, by name: templates in the called file, which may read `jobs`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Template>,
}

/// An input of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallInput {
    /// Its value; text may be a template.
    pub value: Value,
    /// Its type, into which what a template gives is converted.
    pub kind: InputKind,
    /// It is the declaration's default: a template in it is read in the called file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_default: bool,
}

/// The calls that a stage or call is part of, the outermost first; `innermost` is the key of the last of them.
pub fn path_of<'c>(calls: &'c [Call], innermost: Option<&str>) -> Vec<&'c Call> {
    let find = |key: &str| calls.iter().find(|call| call.key == key);
    let mut path = Vec::new();
    let mut at = innermost.and_then(find);
    // Calls are finitely deep; the bound is for plans that somebody else made.
    while let Some(call) = at.filter(|_| path.len() < 64) {
        path.push(call);
        at = call.parent.as_deref().and_then(find);
    }
    path.reverse();
    path
}

impl Call {
    /// Its name in the calling file.
    pub fn own_name(&self) -> &str {
        own_name(self.parent.as_deref(), &self.name)
    }
}

impl StagePlan {
    /// Its name in its own file: without that of its call.
    pub fn own_name(&self) -> &str {
        own_name(self.call.as_deref(), &self.name)
    }
}

fn own_name<'n>(call: Option<&str>, name: &'n str) -> &'n str {
    call.and_then(|call| name.strip_prefix(call)).map_or(name, |rest| rest.trim_start_matches(" / "))
}
