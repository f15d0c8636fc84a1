//! What a plan leaves open until earlier stages have ended: the stages of a matrix that they make, and the calls of
//! other files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{StagePlan, Template};
use crate::InputKind;

/// What is decided about a stage once its needs have ended, by [`crate::expand`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Expand {
    /// All of matrix, fail-fast and max-parallel as one mapping; the three fields are then absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Template>,
    /// The matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Late<MatrixPlan>>,
    /// Whether the failure of one stops the others; absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<Late<bool>>,
    /// How many run at once; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<Late<f64>>,
    /// The kinds of machine, as labels; absent: the stage says itself where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_on: Option<RunsOn>,
    /// What pages call each stage; absent: the stage's title, with the matrix values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Template>,
    /// Minutes an attempt may take; absent: the stage says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<Late<f64>>,
    /// Whether a failure ends as `warned`; absent: the stage says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_on_error: Option<Late<bool>>,
    /// It is a call of another file: what each of its matrix stands for in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Box<OpenCall>>,
}

/// A call whose matrix or name is not known yet: its stages as they would be if there were one call, with the open
/// stage's own key. Wherever they name that key as something that comes before, all that comes before the open stage is
/// meant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OpenCall {
    /// The call itself, and the calls in the file that it calls.
    pub calls: Vec<Call>,
    /// The stages.
    pub stages: Vec<StagePlan>,
}

/// A value that is known, or a template that will tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Late<T> {
    /// Known.
    Known(T),
    /// One template, usually nothing but an expression.
    Told(Template),
}

/// A matrix. Names and values are lists of pairs, because their order is that of the names of stages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MatrixPlan {
    /// The lists whose product it is. Text in a value may be a template.
    pub axes: Vec<(String, Late<Vec<Value>>)>,
    /// Combinations to extend or add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Late<Vec<Late<Pairs>>>>,
    /// Combinations to leave out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Late<Vec<Late<Pairs>>>>,
}

/// Names and values, in order.
pub type Pairs = Vec<(String, Value)>;

/// Where a stage runs, as its file says it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunsOn {
    /// The labels, or a template that tells one or a list of them.
    pub labels: Late<Vec<Template>>,
    /// A group of runners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Template>,
}

impl<T: Default> Default for Late<T> {
    fn default() -> Self {
        Self::Known(T::default())
    }
}

/// A call of another file, whose stages are part of this plan: they have its key before theirs, read its inputs, and
/// know each other by the names that they have there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Unique in the plan: the calling stage's name, after that of the call that it is itself part of
    /// (`release / publish`), with the values of a matrix.
    pub key: String,
    /// What pages call it.
    pub title: String,
    /// The calling stage's name in its own file, shared by all calls of one matrix.
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

/// The names that stages of one call, or of the plan itself, know each other by.
impl super::StagePlan {
    /// The stage's name without that of its call.
    pub fn own_name(&self) -> &str {
        match &self.call {
            Some(call) => self
                .name
                .strip_prefix(call.as_str())
                .map_or(&self.name, |rest| rest.trim_start_matches(" / ")),
            None => &self.name,
        }
    }
}
