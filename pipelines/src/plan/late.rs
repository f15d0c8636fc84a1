//! What a plan leaves open until earlier stages have ended: the stages of a matrix that they make, and the calls of
//! other files.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Call, StagePlan, Template};

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
