//! Columns: where each slot of each row begins, so that lines are as straight as they can be and nothing overlaps.

use super::layers::Layers;

/// An odd number: the last sweep goes down, so that what comes later stands below what it needs.
const SWEEPS: usize = 7;

/// The left edge of each slot, by row, and the width of all.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns {
    pub left: Vec<Vec<i64>>,
    pub width: i64,
}

/// Rows side by side from the left, each as narrow as it can be.
pub(super) fn tight(widths: &[Vec<i64>], gap: i64) -> Columns {
    let left: Vec<Vec<i64>> = widths
        .iter()
        .map(|row| {
            let mut at = 0;
            row.iter()
                .map(|width| {
                    let left = at;
                    at += width + gap;
                    left
                })
                .collect()
        })
        .collect();
    finished(left, widths)
}

/// Each slot near the middle of those that it has lines to.
pub(super) fn aligned(layers: &Layers, widths: &[Vec<i64>], gap: i64) -> Columns {
    let mut left = tight(widths, gap).left;
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let rows: Vec<usize> =
            if down { (1..left.len()).collect() } else { (0..left.len().saturating_sub(1)).rev().collect() };
        for row in rows {
            let wanted = wanted(layers, widths, &left, row, down);
            if let (Some(own), Some(widths)) = (left.get_mut(row), widths.get(row)) {
                *own = settled(&wanted, widths, gap);
            }
        }
    }
    finished(left, widths)
}

/// Where each slot of a row would begin if it were alone.
fn wanted(layers: &Layers, widths: &[Vec<i64>], left: &[Vec<i64>], row: usize, down: bool) -> Vec<i64> {
    let other = if down { row.checked_sub(1) } else { Some(row + 1) };
    let links = if down { other.and_then(|at| layers.links.get(at)) } else { layers.links.get(row) };
    let own = left.get(row).map_or(&[][..], Vec::as_slice);
    let mut sums = vec![(0_i64, 0_i64); own.len()];
    for (up, below) in links.into_iter().flatten() {
        let (mine, theirs) = if down { (*below, *up) } else { (*up, *below) };
        let middle =
            other.and_then(|other| Some(left.get(other)?.get(theirs)? + widths.get(other)?.get(theirs)? / 2));
        if let (Some(middle), Some((sum, many))) = (middle, sums.get_mut(mine)) {
            *sum += middle;
            *many += 1;
        }
    }
    let width = |at: usize| widths.get(row).and_then(|row| row.get(at)).copied().unwrap_or_default();
    let wish = |(at, (sum, many)): (usize, &(i64, i64))| match many {
        0 => own.get(at).copied().unwrap_or_default(),
        many => sum / many - width(at) / 2,
    };
    sums.iter().enumerate().map(wish).collect()
}

/// The wishes of a row without overlaps: half way between pushing to the right and pushing to the left.
fn settled(wanted: &[i64], widths: &[i64], gap: i64) -> Vec<i64> {
    let mut to_right = wanted.to_vec();
    let mut edge = i64::MIN / 4;
    for (left, width) in to_right.iter_mut().zip(widths) {
        *left = (*left).max(edge);
        edge = *left + width + gap;
    }
    let mut to_left = wanted.to_vec();
    let mut edge = i64::MAX / 4;
    for (left, width) in to_left.iter_mut().zip(widths).rev() {
        *left = (*left).min(edge - width);
        edge = *left - gap;
    }
    to_right.iter().zip(&to_left).map(|(a, b)| (a + b).div_euclid(2)).collect()
}

/// Moved so that the leftmost begins at 0.
fn finished(mut left: Vec<Vec<i64>>, widths: &[Vec<i64>]) -> Columns {
    let first = left.iter().flatten().min().copied().unwrap_or_default();
    left.iter_mut().flatten().for_each(|at| *at -= first);
    let ends = left.iter().flatten().zip(widths.iter().flatten()).map(|(left, width)| left + width);
    let width = ends.max().unwrap_or_default();
    Columns { left, width }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{layers::layers, tests::graph};

    #[test]
    fn a_stage_stands_in_the_middle_of_its_needs() {
        let graph = graph(&["a", "b", "c"], &["a>c", "b>c"]);
        let columns = aligned(&layers(&graph).unwrap(), &[vec![5, 5], vec![5]], 2);
        assert_eq!(columns.left[0][1] - columns.left[0][0], 7);
        let middle = |row: usize, at: usize| columns.left[row][at] + 2;
        assert_eq!(middle(1, 0), (middle(0, 0) + middle(0, 1)) / 2);
        assert_eq!(columns.width, 12);
    }

    #[test]
    fn nothing_overlaps_whatever_is_wanted() {
        let widths = [4, 6, 2, 9];
        let left = settled(&[10, 10, 10, 0], &widths, 2);
        for at in 1..left.len() {
            assert!(left[at] >= left[at - 1] + widths[at - 1] + 2, "{left:?}");
        }
    }
}
