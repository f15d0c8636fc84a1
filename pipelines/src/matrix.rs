//! Matrices by GitHub's rules: a product of lists, less what `exclude` names, with what `include` adds.
//!
//! `exclude` and `include` compare value by value, the way expressions do (text without regard to case, numbers with
//! the text of numbers), however deep the values are nested. An `include` adds its other values to every combination
//! of the product that it matches, and is a combination of its own when it matches none.

use serde_json::Value;

use crate::{
    plan::{MAX_PLAN, Pairs, too_heavy, weight},
    yaml::number_text,
};

/// The most stages of one matrix.
pub(crate) const MAX_MATRIX: usize = 256;

/// The most comparisons that making a matrix may take.
const MAX_COMPARISONS: usize = 16 << 20;

/// Refuses a matrix for which combinations would be compared with what `include` and `exclude` name for too long.
/// `parts`: all that these name, in all their mappings; `names`: of all lists and mappings.
pub(crate) fn comparable<'n>(
    combinations: usize,
    parts: usize,
    names: impl Iterator<Item = &'n String>,
) -> Result<(), String> {
    let names = names.collect::<std::collections::HashSet<_>>().len();
    let comparisons = combinations.saturating_mul(parts).saturating_mul(names);
    if comparisons > MAX_COMPARISONS {
        return Err(format!(
            "the matrix would take {comparisons} comparisons of {combinations} combinations with what `include` and \
             `exclude` name, and {MAX_COMPARISONS} are allowed"
        ));
    }
    Ok(())
}

/// The lists of a matrix, all of them known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    pub axes: Vec<(String, Vec<Value>)>,
    pub include: Vec<Pairs>,
    pub exclude: Vec<Pairs>,
}

/// One stage of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Made {
    /// All its values.
    pub values: Pairs,
    /// Those that its name shows.
    pub shown: Vec<String>,
}

/// Why a matrix makes no stages.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It says something that makes no sense.
    Wrong(String),
    /// There would be too much of it.
    Large(String),
}

/// All stages of a matrix, in order, or why there are none.
pub(crate) fn build(lists: &Lists) -> Result<Vec<Made>, Refused> {
    if let Some((name, _)) = lists.axes.iter().find(|(_, values)| values.is_empty()) {
        return Err(Refused::Wrong(format!("the list `{name}` of the matrix has no values")));
    }
    if lists.axes.is_empty() && lists.include.is_empty() {
        return Err(Refused::Wrong("the matrix has no list with values".to_owned()));
    }
    for (name, _) in lists.exclude.iter().flatten() {
        if find(&lists.axes, name).is_none() {
            return Err(Refused::Wrong(format!("`exclude` names `{name}`, and the matrix has no such list")));
        }
    }
    let size = lists.axes.iter().try_fold(1_usize, |size, (_, values)| size.checked_mul(values.len()));
    let size = size.filter(|size| *size <= MAX_MATRIX * 16).ok_or_else(too_many)?;
    let product = if lists.axes.is_empty() { 0 } else { size };
    let filters = || lists.include.iter().chain(&lists.exclude);
    let parts = filters().flatten().map(|(_, value)| 1 + nodes(value)).sum();
    let names = filters().flatten().map(|(name, _)| name).chain(lists.axes.iter().map(|(name, _)| name));
    comparable(product + lists.include.len(), parts, names).map_err(Refused::Large)?;
    // Each combination has a copy of its values, and of what `include` adds.
    let largest = lists.axes.iter().filter_map(|(_, values)| values.iter().map(weight).max()).sum::<usize>();
    let added = lists.include.iter().map(weight).sum::<usize>();
    if product.saturating_mul(largest.saturating_add(added)) > MAX_PLAN {
        return Err(Refused::Large(format!("the matrix has {}", too_heavy())));
    }
    let mut used = vec![false; lists.include.len()];
    let mut made = Vec::new();
    for index in 0..product {
        let mut values = combination(&lists.axes, index, product);
        if lists.exclude.iter().any(|exclude| !exclude.is_empty() && matches(&values, exclude, &lists.axes)) {
            continue;
        }
        let shown = values.iter().flat_map(|(_, value)| shown(value)).collect();
        let mut extra: Pairs = Vec::new();
        for (include, used) in lists.include.iter().zip(&mut used) {
            if matches(&values, include, &lists.axes) {
                *used = true;
                include
                    .iter()
                    .filter(|(name, _)| find(&lists.axes, name).is_none())
                    .for_each(|(name, value)| put(&mut extra, name, value));
            }
        }
        values.extend(extra);
        made.push(Made { values, shown });
        if made.len() > MAX_MATRIX {
            return Err(too_many());
        }
    }
    let added = lists.include.iter().zip(used).filter(|(_, used)| !used).map(|(include, _)| {
        // First the values of the matrix' own lists, then the others.
        let (mut values, others): (Pairs, Pairs) =
            include.iter().cloned().partition(|(name, _)| find(&lists.axes, name).is_some());
        values.extend(others);
        let shown = values.iter().flat_map(|(_, value)| shown(value)).collect();
        Made { values, shown }
    });
    made.extend(added);
    if made.len() > MAX_MATRIX {
        return Err(too_many());
    }
    Ok(made)
}

/// A value with all that is in it.
fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(nodes).sum(),
        Value::Object(map) => map.values().map(nodes).sum(),
        _ => 0,
    }
}

fn too_many() -> Refused {
    Refused::Large(format!("the matrix makes more than {MAX_MATRIX} stages"))
}

/// The first list varies slowest.
fn combination(axes: &[(String, Vec<Value>)], index: usize, product: usize) -> Pairs {
    let mut block = product;
    let mut values = Vec::with_capacity(axes.len());
    for (name, list) in axes {
        block /= list.len().max(1);
        let at = (index / block.max(1)) % list.len().max(1);
        values.push((name.clone(), list.get(at).cloned().unwrap_or_default()));
    }
    values
}

/// Whether a combination has the values that a filter gives for the matrix' own lists.
fn matches(values: &Pairs, filter: &Pairs, axes: &[(String, Vec<Value>)]) -> bool {
    filter
        .iter()
        .filter(|(name, _)| find(axes, name).is_some())
        .all(|(name, wanted)| has(find(values, name).unwrap_or(&Value::Null), wanted))
}

/// Whether a value has all that another one names.
fn has(value: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Object(parts) => parts.iter().all(|(key, part)| {
            let found = value.as_object().and_then(|map| {
                map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
            });
            has(found.unwrap_or(&Value::Null), part)
        }),
        Value::Array(parts) => {
            parts.iter().enumerate().all(|(at, part)| has(value.get(at).unwrap_or(&Value::Null), part))
        }
        _ => loosely_equal(value, wanted),
    }
}

/// `==` of lenient expressions, for plain values.
fn loosely_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(left), Value::String(right)) => left.to_uppercase() == right.to_uppercase(),
        (Value::Null, Value::Null) => true,
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => false,
        _ => number(left).zip(number(right)).is_some_and(|(left, right)| left == right),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(0.0),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.trim().is_empty() => Some(0.0),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn find<'l, T>(list: &'l [(String, T)], name: &str) -> Option<&'l T> {
    list.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn put(list: &mut Pairs, name: &str, value: &Value) {
    match list.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
        Some((_, place)) => *place = value.clone(),
        None => list.push((name.to_owned(), value.clone())),
    }
}

/// The plain values inside a value, as text.
fn shown(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Bool(value) => vec![value.to_string()],
        Value::Number(number) => vec![number.as_f64().map_or_else(|| number.to_string(), number_text)],
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(shown).collect(),
        Value::Object(map) => map.values().flat_map(shown).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pairs(value: Value) -> Pairs {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone()))
            .collect()
    }

    fn lists(axes: Value, include: Value, exclude: Value) -> Lists {
        let many = |value: Value| value.as_array().unwrap().iter().cloned().map(pairs).collect();
        let axes =
            pairs(axes).into_iter().map(|(name, list)| (name, list.as_array().unwrap().clone())).collect();
        Lists { axes, include: many(include), exclude: many(exclude) }
    }

    fn names(lists: &Lists) -> Vec<String> {
        build(lists).unwrap().iter().map(|made| made.shown.join(", ")).collect()
    }

    #[test]
    fn products_go_through_the_last_list_first() {
        let lists =
            lists(json!([["os", ["l", "w"]], ["v", [1, 2]]]), json!([]), json!([[["os", "W"], ["v", "2"]]]));
        assert_eq!(names(&lists), ["l, 1", "l, 2", "w, 1"]);
    }

    #[test]
    fn include_extends_what_it_matches_and_else_stands_alone() {
        let lists = lists(
            json!([["fruit", ["apple", "pear"]], ["animal", ["cat", "dog"]]]),
            json!([
                [["color", "green"]],
                [["color", "pink"], ["animal", "cat"]],
                [["fruit", "apple"], ["shape", "circle"]],
                [["fruit", "banana"]],
                [["fruit", "banana"], ["animal", "cat"]]
            ]),
            json!([]),
        );
        let made = build(&lists).unwrap();
        let told: Vec<String> = made
            .iter()
            .map(|made| {
                made.values.iter().map(|(_, value)| value.as_str().unwrap()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(
            told,
            [
                "apple cat pink circle",
                "apple dog green circle",
                "pear cat pink",
                "pear dog green",
                "banana",
                "banana cat"
            ]
        );
        // What include added is not shown.
        assert_eq!(made[0].shown, ["apple", "cat"]);
    }

    #[test]
    fn nested_values_are_compared_part_by_part() {
        let lists = lists(
            json!([["v", [{ "a": 1, "b": 2 }, { "a": 3, "b": 2 }]]]),
            json!([]),
            json!([[["v", { "a": "1" }]]]),
        );
        assert_eq!(names(&lists), ["3, 2"]);
    }

    #[test]
    fn what_makes_nothing_or_too_much_says_so() {
        assert!(build(&lists(json!([["a", []]]), json!([]), json!([]))).is_err());
        assert!(build(&lists(json!([]), json!([]), json!([]))).is_err());
        assert!(build(&lists(json!([["a", [1]]]), json!([]), json!([[["b", 1]]]))).is_err());
        let long: Vec<u32> = (0..5000).collect();
        assert!(build(&lists(json!([["a", long], ["b", long], ["c", long]]), json!([]), json!([]))).is_err());
        assert_eq!(build(&lists(json!([]), json!([[["a", 1]], [["a", 2]]]), json!([]))).unwrap().len(), 2);
    }
}
