//! What an engine tells of a build, as lines for a log and in the end as one sentence.
//!
//! BuildKit tells its progress as vertices (a Dockerfile instruction each) that begin, print and end in any order; they
//! become lines `#3 …` as people know them from the command line.

use std::collections::BTreeMap;

use bollard::models::{BuildInfo, BuildInfoAux};

use crate::sandbox::{EngineError, images::LogBytes};

/// What is asked of the engine, as a verb phrase.
pub(super) const WHAT: &str = "build the image";

/// What is known of a build so far.
#[derive(Default)]
pub(super) struct Progress {
    /// It told anything of the build itself.
    pub(super) began: bool,
    /// Numbers of the vertices, by digest.
    numbers: BTreeMap<String, Vertex>,
    /// The instruction that failed, with BuildKit's own words.
    failed: Option<(String, String)>,
    /// The classic builder's last `Step n/m : …`.
    step: Option<String>,
}

struct Vertex {
    number: usize,
    done: bool,
}

impl Progress {
    /// Takes what the engine tells, and the image's id if that is in it.
    pub(super) fn take(
        &mut self,
        info: BuildInfo,
        image: &mut Option<String>,
        log: &mut LogBytes<'_>,
    ) -> Result<(), EngineError> {
        if let Some(message) = info.error_detail.and_then(|error| error.message) {
            return Err(self.refusal(&message));
        }
        if let Some(text) = info.stream {
            self.began = true;
            if let Some(step) = text.trim().strip_prefix("Step ") {
                self.step = step.split_once(" : ").map(|(_, instruction)| instruction.to_owned());
            }
            log(text.as_bytes());
        }
        match info.aux {
            Some(BuildInfoAux::Default(found)) => *image = found.id.or(image.take()),
            Some(BuildInfoAux::BuildKit(status)) => self.vertices(status, log),
            None => {}
        }
        Ok(())
    }

    fn vertices(&mut self, status: bollard::moby::buildkit::v1::StatusResponse, log: &mut LogBytes<'_>) {
        for vertex in status.vertexes {
            self.began = true;
            let next = self.numbers.len() + 1;
            let known = self.numbers.entry(vertex.digest.clone());
            if matches!(known, std::collections::btree_map::Entry::Vacant(_)) && vertex.started.is_some() {
                log(format!("#{next} {}\n", vertex.name).as_bytes());
                known.or_insert(Vertex { number: next, done: false });
            }
            let Some(state) = self.numbers.get_mut(&vertex.digest) else { continue };
            if !vertex.error.is_empty() {
                log(format!("#{} {}\n", state.number, vertex.error).as_bytes());
                self.failed.get_or_insert((vertex.name, vertex.error));
            } else if vertex.completed.is_some() && !state.done {
                state.done = true;
                let ending = if vertex.cached { "cached" } else { "done" };
                log(format!("#{} {ending}\n", state.number).as_bytes());
            }
        }
        for printed in status.logs {
            let number = self.numbers.get(&printed.vertex).map_or(0, |vertex| vertex.number);
            for line in printed.msg.split_inclusive(|byte| *byte == b'\n') {
                let mut text = format!("#{number} ").into_bytes();
                text.extend_from_slice(line);
                if !text.ends_with(b"\n") {
                    text.push(b'\n');
                }
                log(&text);
            }
        }
    }

    /// One sentence: which instruction, and what became of it.
    pub(super) fn refusal(&self, message: &str) -> EngineError {
        let code = message.rsplit_once("code: ").map(|(_, code)| code.trim());
        let reason = match (&self.failed, &self.step, code) {
            (Some((name, _)), _, Some(code)) => format!("`{name}` ended with exit code {code}"),
            (Some((name, error)), _, None) => format!("`{name}`: {error}"),
            (None, Some(step), Some(code)) => format!("`{step}` ended with exit code {code}"),
            _ => message.to_owned(),
        };
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        EngineError::Refused { what: WHAT.to_owned(), reason }
    }
}
