//! Jobs and their graph.

use std::collections::HashMap;

use super::{concurrency, matrix, steps};
use crate::{
    actions::names,
    codes,
    diagnostic::{Problems, Spanned},
    nearest::{did_you_mean, listed},
    yaml::{Entry, Node},
};

pub(super) fn check(jobs: &Node, problems: &mut Problems<'_>) {
    for Entry { key, value } in jobs.entries() {
        if !key.value.is_empty()
            && let Err(why) = names::check_id(&key.value)
        {
            problems.report(codes::BAD_ID, key.place, why);
        }
        job(value, problems);
    }
    graph(jobs, problems);
}

fn job(job: &Node, problems: &mut Problems<'_>) {
    if let Some(group) = job.at(&["runs-on", "group"]) {
        runner_group(group, problems);
    }
    if let Some(node) = job.get("concurrency") {
        concurrency(node, problems);
    }
    if let Some(strategy) = job.get("strategy") {
        matrix::check(strategy, problems);
    }
    if let Some(node) = job.get("snapshot") {
        snapshot(node, problems);
    }
    if let Some(container) = job.get("container") {
        image(container, problems);
    }
    for service in job.get("services").map_or(&[][..], Node::entries) {
        image(&service.value, problems);
    }
    if let Some(list) = job.get("steps") {
        steps::check(list, problems);
    }
}

fn runner_group(node: &Node, problems: &mut Problems<'_>) {
    let Some(name) = node.text().filter(|_| !node.is_templated()) else { return };
    let parts: Vec<&str> = name.split('/').collect();
    let fits = match parts.as_slice() {
        [_] => true,
        [prefix, group] => {
            matches!(*prefix, "org" | "organization" | "ent" | "enterprise") && !group.is_empty()
        }
        _ => false,
    };
    if !fits {
        let message = format!("`{name}` is no runner group");
        let help = "a group is a name, or a name after `organization/` or `enterprise/`";
        problems.report(codes::RUNNER_GROUP, node.place, message).help(help);
    }
}

fn snapshot(node: &Node, problems: &mut Problems<'_>) {
    let Some(version) = node.get("version").filter(|version| !version.is_templated()) else { return };
    let text = version.text().unwrap_or_default();
    let number = text.strip_suffix(".*").filter(|number| number.parse::<i32>().is_ok());
    if number.is_none_or(|number| number.starts_with(['+', '-'])) {
        let message = format!("`{text}` is no version of an image");
        problems.report(codes::IMAGE_VERSION, node.place, message).help("a version is written like `1.*`");
    }
}

/// A job may have no container (`container: ''`), but a service is one; and whoever says more of a container says its
/// image.
fn image(node: &Node, problems: &mut Problems<'_>) {
    if node.is_templated() {
        return;
    }
    let image = if node.scalar().is_some() { Some(node) } else { node.get("image") };
    let text = image.and_then(Node::text).unwrap_or_default();
    // That a text is empty where it must not be was found before.
    let missing = image.is_none() && !node.entries().is_empty();
    if missing || text.strip_prefix("docker://") == Some("") {
        problems.report(codes::NO_CONTAINER_IMAGE, node.place, "there is no image here");
    }
}

struct Job<'n> {
    id: &'n Spanned<String>,
    needs: Vec<Spanned<String>>,
}

fn graph(jobs: &Node, problems: &mut Problems<'_>) {
    let list: Vec<Job<'_>> = jobs
        .entries()
        .iter()
        .map(|entry| Job {
            id: &entry.key,
            needs: entry.value.get("needs").map(Node::texts).unwrap_or_default(),
        })
        .collect();
    if list.iter().all(|job| !job.needs.is_empty()) {
        let message = "every job needs another, so none could be the first to begin";
        problems.report(codes::NO_FIRST_JOB, jobs.place, message);
        return;
    }
    let by_id: HashMap<String, usize> =
        list.iter().enumerate().map(|(at, job)| (job.id.value.to_ascii_lowercase(), at)).collect();
    let open = never_ready(&list, &by_id);
    let circle = in_circle(&list, &by_id);
    for (at, job) in list.iter().enumerate().filter(|(at, _)| open.get(*at) == Some(&true)) {
        for need in &job.needs {
            match by_id.get(&need.value.to_ascii_lowercase()) {
                None => unknown(job, need, &list, problems),
                Some(needed) if open.get(*needed) == Some(&true) => {
                    let both = circle.get(at).zip(circle.get(*needed));
                    let message = match both.is_some_and(|(one, other)| one == other) {
                        true => {
                            format!("`{}` and `{}` need each other in a circle", job.id.value, need.value)
                        }
                        false => {
                            format!("`{}` can never begin, so `{}` cannot either", need.value, job.id.value)
                        }
                    };
                    problems.report(codes::NEEDS_CYCLE, need.place, message);
                }
                Some(_) => {}
            }
        }
    }
}

fn unknown(job: &Job<'_>, need: &Spanned<String>, list: &[Job<'_>], problems: &mut Problems<'_>) {
    let others =
        list.iter().filter(|other| other.id.value != job.id.value).map(|other| other.id.value.as_str());
    let help = did_you_mean(&need.value, others.clone())
        .or_else(|| (list.len() <= 12).then(|| format!("the other jobs are {}", listed(others))));
    let message = format!("`{}` needs `{}`, and there is no such job", job.id.value, need.value);
    problems.report(codes::UNKNOWN_NEED, need.place, message).maybe_help(help);
}

/// Which jobs can never begin, because of a circle or a need that does not exist.
fn never_ready(list: &[Job<'_>], by_id: &HashMap<String, usize>) -> Vec<bool> {
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); list.len()];
    let mut missing: Vec<usize> = vec![0; list.len()];
    for (at, job) in list.iter().enumerate() {
        for need in &job.needs {
            if let Some(count) = missing.get_mut(at) {
                *count += 1;
            }
            let needed = by_id.get(&need.value.to_ascii_lowercase());
            if let Some(follower) = needed.and_then(|needed| followers.get_mut(*needed)) {
                follower.push(at);
            }
        }
    }
    let mut ready: Vec<usize> = (0..list.len()).filter(|at| missing.get(*at) == Some(&0)).collect();
    let mut open = vec![true; list.len()];
    while let Some(at) = ready.pop() {
        if let Some(state) = open.get_mut(at) {
            *state = false;
        }
        for follower in followers.get(at).into_iter().flatten() {
            if let Some(count) = missing.get_mut(*follower) {
                *count -= 1;
                if *count == 0 {
                    ready.push(*follower);
                }
            }
        }
    }
    open
}

/// For each job the circle that it is in, as a number that its members share (Tarjan's algorithm, without
/// recursion); jobs in none have numbers of their own.
fn in_circle(list: &[Job<'_>], by_id: &HashMap<String, usize>) -> Vec<usize> {
    let edges: Vec<Vec<usize>> = list
        .iter()
        .map(|job| {
            job.needs.iter().filter_map(|need| by_id.get(&need.value.to_ascii_lowercase()).copied()).collect()
        })
        .collect();
    let mut order: Vec<Option<usize>> = vec![None; list.len()];
    let mut low = vec![0; list.len()];
    let mut circle: Vec<Option<usize>> = vec![None; list.len()];
    let mut stack = Vec::new();
    let mut next = 0;
    for root in 0..list.len() {
        let mut work = vec![(root, 0_usize)];
        while let Some((at, edge)) = work.pop() {
            if edge == 0 {
                if order.get(at).copied().flatten().is_some() {
                    continue;
                }
                set(&mut order, at, Some(next));
                set(&mut low, at, next);
                next += 1;
                stack.push(at);
            }
            if let Some(to) = edges.get(at).and_then(|edges| edges.get(edge)).copied() {
                work.push((at, edge + 1));
                match (order.get(to).copied().flatten(), circle.get(to).copied().flatten()) {
                    (None, _) => work.push((to, 0)),
                    (Some(seen), None) => lower(&mut low, at, seen),
                    _ => {}
                }
                continue;
            }
            let own = low.get(at).copied().unwrap_or_default();
            if order.get(at).copied().flatten() == Some(own) {
                while let Some(member) = stack.pop() {
                    set(&mut circle, member, Some(at));
                    if member == at {
                        break;
                    }
                }
            }
            if let Some((parent, _)) = work.last() {
                lower(&mut low, *parent, own);
            }
        }
    }
    circle.into_iter().enumerate().map(|(at, number)| number.unwrap_or(at)).collect()
}

fn set<T>(list: &mut [T], at: usize, value: T) {
    if let Some(place) = list.get_mut(at) {
        *place = value;
    }
}

fn lower(low: &mut [usize], at: usize, value: usize) {
    if let Some(place) = low.get_mut(at) {
        *place = (*place).min(value);
    }
}
