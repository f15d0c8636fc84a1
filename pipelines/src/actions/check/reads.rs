//! What expressions read of steps and of other jobs. GitHub runs a workflow that reads a step or job which is not there:
//! the value is empty, and nobody is told. So all of these are warnings.
//!
//! Of a step only the ones before it are known; of a job only those that stand in `needs`. Names do not mind case.

use std::collections::HashMap;

use super::steps::flat;
use crate::{
    actions::seam::{self, Path},
    codes::{self, Code},
    diagnostic::{Place, Problems},
    nearest::{did_you_mean, listed},
    yaml::{Entry, Kind, Node},
};

/// More names than this are not listed.
const MOST_LISTED: usize = 12;

pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    let jobs = Jobs::of(root);
    for Entry { value: job, .. } in root.get("jobs").map_or(&[][..], Node::entries) {
        let steps = flat(job);
        let ids = Ids::of(&steps);
        let needs: Vec<String> = job
            .get("needs")
            .map(Node::texts)
            .unwrap_or_default()
            .into_iter()
            .map(|need| need.value)
            .collect();
        let mut reader = Reader { problems, jobs: &jobs, needs: &needs, ids: &ids, before: None };
        for Entry { key, value } in job.entries() {
            reader.before = matches!(key.value.as_str(), "outputs" | "environment").then_some(steps.len());
            match key.value.as_str() {
                "steps" | "needs" | "uses" => {}
                key => reader.node(value, key == "if"),
            }
        }
        for (at, step) in steps.iter().enumerate() {
            reader.before = Some(at);
            for Entry { key, value } in step.entries() {
                reader.node(value, key.value == "if");
            }
        }
    }
    if let Some(outputs) = root.at(&["on", "workflow_call", "outputs"]) {
        let nothing = Ids::default();
        let mut reader = Reader { problems, jobs: &jobs, needs: &[], ids: &nothing, before: None };
        reader.node(outputs, false);
    }
}

/// The jobs of a file and what each hands on; None: that cannot be told here.
struct Jobs<'n> {
    list: Vec<(&'n str, Option<Vec<&'n str>>)>,
    by_id: HashMap<String, usize>,
}

impl<'n> Jobs<'n> {
    fn of(root: &'n Node) -> Self {
        let job = |entry: &'n Entry| {
            let outputs = entry.value.get("outputs");
            let told = entry.value.get("uses").is_none()
                && outputs.is_none_or(|outputs| {
                    outputs.entries().iter().all(|output| !seam::holds_expression(&output.key.value))
                        && outputs.scalar().is_none()
                });
            let names = outputs.map_or(&[][..], Node::entries).iter().map(|output| output.key.value.as_str());
            (entry.key.value.as_str(), told.then(|| names.collect()))
        };
        let list: Vec<_> = root.get("jobs").map_or(&[][..], Node::entries).iter().map(job).collect();
        let by_id = list.iter().enumerate().map(|(at, (id, _))| (id.to_ascii_lowercase(), at)).collect();
        Self { list, by_id }
    }

    fn find(&self, name: &str) -> Option<&(&'n str, Option<Vec<&'n str>>)> {
        self.list.get(*self.by_id.get(&name.to_ascii_lowercase())?)
    }
}

/// The steps of a job that have an id, with their places among all.
#[derive(Default)]
struct Ids {
    by_id: HashMap<String, usize>,
    in_order: Vec<(String, usize)>,
}

impl Ids {
    fn of(steps: &[&Node]) -> Self {
        let mut ids = Self::default();
        for (at, step) in steps.iter().enumerate() {
            if let Some(id) = step.get("id").and_then(Node::name).filter(|id| !id.value.is_empty()) {
                ids.by_id.entry(id.value.to_ascii_lowercase()).or_insert(at);
                ids.in_order.push((id.value, at));
            }
        }
        ids
    }
}

/// Where an expression stands.
struct Reader<'r, 'a> {
    problems: &'r mut Problems<'a>,
    jobs: &'r Jobs<'r>,
    needs: &'r [String],
    ids: &'r Ids,
    /// The steps before this one are known; None: none is.
    before: Option<usize>,
}

/// What is wrong with a name: which one of a path, what, and how to mend it.
type Wrong = (Code, usize, String, Option<String>);

impl Reader<'_, '_> {
    /// All expressions of a value.
    fn node(&mut self, node: &Node, condition: bool) {
        match &node.kind {
            Kind::Broken => {}
            Kind::Scalar(scalar) => self.text(node.place, &scalar.text, condition),
            Kind::List(items) => items.iter().for_each(|item| self.node(item, false)),
            Kind::Map(entries) => entries.iter().for_each(|entry| self.node(&entry.value, false)),
        }
    }

    fn text(&mut self, place: Place, text: &str, condition: bool) {
        // Most texts read nothing of the kind, and need not be read for it.
        if !(condition || seam::holds_expression(text)) || !may_read(text) || !self.problems.has_room() {
            return;
        }
        for path in seam::paths(text, condition) {
            if !self.problems.has_room() {
                break;
            }
            if let Some((code, at, message, help)) = self.wrong(&path) {
                let part = path.names.get(at).map(|(_, place)| *place).unwrap_or_default();
                let place = self.locate(place, text, &path, part);
                self.problems.report(code, place, message).maybe_help(help);
            }
        }
    }

    /// The place of a part of an expression in the file, where the expression stands there as it is read.
    fn locate(&self, whole: Place, text: &str, path: &Path, part: Place) -> Place {
        let expression = text.get(path.expression.clone()).unwrap_or_default().trim_end();
        let found = self.problems.source(whole).and_then(|source| source.find(expression));
        match found {
            Some(at) if part.end <= path.expression.start + expression.len() => {
                let start = whole.start + at;
                let from = |offset: usize| start + (offset - path.expression.start);
                Place::new(from(part.start), from(part.end)).in_file_of(whole)
            }
            _ => whole,
        }
    }

    fn wrong(&self, path: &Path) -> Option<Wrong> {
        let names: Vec<&str> = path.names.iter().map(|(name, _)| name.as_str()).collect();
        let (context, rest) = names.split_first()?;
        match context.to_ascii_lowercase().as_str() {
            "steps" => self.step(rest),
            "needs" => self.need(rest),
            "jobs" => self.output(rest, false),
            _ => None,
        }
    }

    fn step(&self, rest: &[&str]) -> Option<Wrong> {
        let (before, (id, rest)) = (self.before?, rest.split_first()?);
        let wrong = |at, message, help| Some((codes::NO_STEP_HERE, at, message, help));
        match self.ids.by_id.get(&id.to_ascii_lowercase()) {
            None => {
                let earlier =
                    || self.ids.in_order.iter().filter(|(_, at)| *at < before).map(|(id, _)| id.as_str());
                let help = did_you_mean(id, earlier()).or_else(|| match earlier().count() {
                    0 => Some("give an earlier step an `id`".to_owned()),
                    1..=MOST_LISTED => Some(format!("the steps before it are {}", listed(earlier()))),
                    _ => None,
                });
                wrong(1, format!("no step of this job has the id `{id}`, so this is empty"), help)
            }
            Some(at) if *at >= before => {
                let message = match *at == before {
                    true => {
                        format!("step `{id}` is this one, and nothing is known of it yet, so this is empty")
                    }
                    false => format!("step `{id}` comes later, so this is empty"),
                };
                wrong(1, message, None)
            }
            Some(_) => {
                let property = rest.first()?;
                let known = ["outputs", "outcome", "conclusion"];
                if known.iter().any(|one| one.eq_ignore_ascii_case(property)) {
                    return None;
                }
                let help =
                    did_you_mean(property, known).unwrap_or_else(|| format!("it has {}", listed(known)));
                wrong(2, format!("a step has no `{property}`, so this is empty"), Some(help))
            }
        }
    }

    fn need(&self, rest: &[&str]) -> Option<Wrong> {
        let (job, _) = rest.split_first()?;
        if self.needs.iter().any(|need| need.eq_ignore_ascii_case(job)) {
            return self.output(rest, true);
        }
        let help = match self.jobs.find(job) {
            Some((id, _)) => Some(format!("add `{id}` to `needs`")),
            None => did_you_mean(job, self.needs.iter().map(String::as_str)),
        };
        let message = format!("`{job}` is not among the `needs` of this job, so this is empty");
        Some((codes::NOT_NEEDED, 1, message, help))
    }

    /// What is read of a job: how it ended, or something that it hands on.
    fn output(&self, rest: &[&str], ended: bool) -> Option<Wrong> {
        let (job, rest) = rest.split_first()?;
        let wrong = |at, message, help| Some((codes::NOT_NEEDED, at, message, help));
        let Some((id, outputs)) = self.jobs.find(job) else {
            // An unknown need is an error of its own.
            let help = did_you_mean(job, self.jobs.list.iter().map(|(id, _)| *id));
            return (!ended).then(|| wrong(1, format!("there is no job `{job}`, so this is empty"), help))?;
        };
        let (property, rest) = rest.split_first()?;
        let known = ["outputs", "result"];
        if !known.iter().any(|one| one.eq_ignore_ascii_case(property)) {
            let help = did_you_mean(property, known).unwrap_or_else(|| format!("it has {}", listed(known)));
            return wrong(2, format!("a job has no `{property}`, so this is empty"), Some(help));
        }
        let (name, outputs) = (rest.first()?, outputs.as_ref()?);
        if property.eq_ignore_ascii_case("result") || outputs.iter().any(|one| one.eq_ignore_ascii_case(name))
        {
            return None;
        }
        let help = did_you_mean(name, outputs.iter().copied()).unwrap_or_else(|| match outputs.is_empty() {
            true => format!("give `{id}` the output under `outputs`"),
            false => format!("it hands on {}", listed(outputs.iter().copied().take(MOST_LISTED))),
        });
        wrong(3, format!("`{id}` hands on no `{name}`, so this is empty"), Some(help))
    }
}

/// Whether a text names one of the contexts that are looked at.
fn may_read(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["steps", "needs", "jobs"].iter().any(|context| lower.contains(context))
}

#[cfg(test)]
mod tests {
    use crate::{SourceFile, check};

    /// The warnings of this check: code, what is underlined, help.
    fn found(text: &str) -> Vec<(String, String, String)> {
        let file = SourceFile { path: ".github/workflows/w.yml", text };
        let found = check(&file).into_iter().filter(|one| matches!(one.code.as_str(), "TG1908" | "TG1909"));
        let told = found.map(|one| {
            assert!(!one.is_error());
            let place = text.get(one.span.start..one.span.end).unwrap().to_owned();
            (one.code, place, one.help.unwrap_or_default())
        });
        told.collect()
    }

    fn row(code: &str, place: &str, help: &str) -> (String, String, String) {
        (code.to_owned(), place.to_owned(), help.to_owned())
    }

    const HEAD: &str = "on: push
jobs:
  first:
    runs-on: debian
    timeout-minutes: 1
    outputs: {version: \"${{ steps.version.outputs.v }}\"}
    steps: [{id: version, run: x}]
  call: {uses: ./.github/workflows/x.yml}
";

    #[test]
    fn what_is_there_is_no_mistake() {
        let text = format!(
            "{HEAD}  last:
    runs-on: debian
    needs: [First, call]
    if: always() && needs.first.RESULT == 'success' && needs.call.outputs.anything != ''
    environment: {{name: x, url: \"${{{{ steps.b.outputs.url }}}}\"}}
    steps:
      - {{id: a, run: x}}
      - id: B
        if: steps.A.outcome == 'success' && steps['a'].conclusion
        run: |
          echo ${{{{ needs.first.outputs.Version }}}}
          echo ${{{{ toJSON(steps) }}}} ${{{{ steps[matrix.x].outputs.y }}}} ${{{{ needs.*.result }}}}
      - run: echo steps.nothing.outputs
"
        );
        assert_eq!(found(&text), []);
    }

    #[test]
    fn steps_that_are_not_there_or_come_later() {
        let text = format!(
            "{HEAD}  last:
    runs-on: debian
    steps:
      - {{id: build, run: \"echo ${{{{ steps.build.outputs.x }}}}\"}}
      - if: steps.biuld.outcome == 'failure' || steps.later.outputs.x
        run: |
          echo ${{{{ steps.build.output.x }}}}
      - {{id: later, run: x}}
"
        );
        assert_eq!(
            found(&text),
            [
                row("TG1908", "build", ""),
                row("TG1908", "biuld", "did you mean `build`?"),
                row("TG1908", "later", ""),
                row("TG1908", "output", "did you mean `outputs`?"),
            ]
        );
    }

    #[test]
    fn jobs_that_are_not_needed_and_outputs_that_nobody_hands_on() {
        let text = format!(
            "{HEAD}  last:
    runs-on: debian
    needs: first
    env: {{A: \"${{{{ needs.first.outputs.verison }}}}\", B: \"${{{{ needs.call.result }}}}\"}}
    steps: [{{run: \"echo ${{{{ needs.frist.outputs.x }}}} ${{{{ needs.first.status }}}}\"}}]
"
        );
        assert_eq!(
            found(&text),
            [
                row("TG1909", "verison", "did you mean `version`?"),
                row("TG1909", "call", "add `call` to `needs`"),
                row("TG1909", "frist", "did you mean `first`?"),
                row("TG1909", "status", "it has `outputs` and `result`"),
            ]
        );
    }

    #[test]
    fn outputs_of_a_called_workflow_read_its_jobs() {
        let text = HEAD.replace(
            "on: push",
            "on: {workflow_call: {outputs: {a: {value: \"${{ jobs.first.outputs.version }}\"}, b: {value: \"${{ \
             jobs.fist.outputs.version }}\"}, c: {value: \"${{ jobs.first.outputs.x }}\"}}}}",
        );
        assert_eq!(
            found(&text),
            [row("TG1909", "fist", "did you mean `first`?"), row("TG1909", "x", "it hands on `version`"),]
        );
    }
}
