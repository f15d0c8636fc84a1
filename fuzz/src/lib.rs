//! What the fuzz targets ask of the code. Each module has one `run`, which takes any bytes and panics when something
//! that is to hold for every input does not.
//!
//! The runner's reading of output and the shim's reading of files are taken in as modules: their crates would bring a
//! container engine's client and a musl build with them.

pub mod commands;
pub mod env_files;
pub mod expressions;
pub mod files;
pub mod filters;
pub mod import;
pub mod native;
pub mod workflow;
pub mod yaml;

#[path = "../../pipelines/tests/it/events.rs"]
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
mod events;
#[path = "../../pipelines/tests/it/reference/mod.rs"]
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
mod reference;
#[path = "../../runner/src/commands/mod.rs"]
#[allow(dead_code, unused_imports, reason = "part of the runner, which uses all of it")]
mod runner_commands;
#[path = "../../runner/shim/src/files.rs"]
#[allow(dead_code, reason = "part of the shim, which uses all of it")]
mod shim_files;

/// Bytes that decide something, one after the other; zeros when they have run out.
struct Choices<'b> {
    bytes: &'b [u8],
}

impl Choices<'_> {
    fn next(&mut self) -> usize {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                usize::from(*first)
            }
            None => 0,
        }
    }

    /// One of so many.
    fn below(&mut self, count: usize) -> usize {
        self.next() % count.max(1)
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// Text as YAML has it in double quotes, whatever signs it has.
fn quoted(text: &str) -> String {
    let sign = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        ' '..='~' => c.to_string(),
        c => format!("\\U{:08X}", u32::from(c)),
    };
    format!("\"{}\"", text.chars().map(sign).collect::<String>())
}
