//! A matrix that is known only once earlier stages have ended, where expressions are strict.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What [`crate::expand_native`] makes the stages of. Until then the stage stands for all of them. Expressions are
/// written without `${{ }}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Dynamic {
    /// All of it as one expression: a mapping from names to lists (with `include` and `exclude`), a list of mappings
    /// (one for each stage), or a list of plain values (`matrix.value`). The other fields but the last two are empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<String>,
    /// The lists by name, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub axes: Vec<(String, Told<Vec<Value>>)>,
    /// Combinations to add, or values to add to combinations.
    #[serde(default)]
    pub include: Told<Vec<Row>>,
    /// Combinations to leave out.
    #[serde(default)]
    pub exclude: Told<Vec<Row>>,
    /// How many run at once; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// The failure of one stops the others.
    #[serde(default)]
    pub fail_fast: bool,
}

/// Names and values, in order.
pub type Row = Vec<(String, Value)>;

/// A value that the file gives, or an expression that tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told<T> {
    /// As the file gives it.
    Known(T),
    /// The expression.
    By(String),
}

impl<T: Default> Default for Told<T> {
    fn default() -> Self {
        Self::Known(T::default())
    }
}
