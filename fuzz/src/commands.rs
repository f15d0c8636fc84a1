//! A step's output through the reader of workflow commands: however it is cut, the same is said.

use crate::{
    Choices,
    runner_commands::{Matchers, Said, Stream, StreamSettings, parse},
};

const MATCHERS: &str = r#"{"problemMatcher": [
    {"owner": "one", "pattern": [{"regexp": "^(.+):(\\d+):(\\d+): (error|warning): (.*)$",
        "file": 1, "line": 2, "column": 3, "severity": 4, "message": 5}]},
    {"owner": "two", "severity": "warning", "pattern": [
        {"regexp": "^file (.+)$", "file": 1},
        {"regexp": "^ +(\\d+):(\\d+) (.+?)( \\[(.+)\\])?$", "line": 1, "column": 2, "message": 3, "code": 5, "loop": true}]}
]}"#;

/// What was said: the log's bytes, notes, and all else with how much of the log came before it.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    log: Vec<u8>,
    notes: Vec<String>,
    other: Vec<(usize, String)>,
}

/// Three bytes of settings, and then the output.
pub fn run(bytes: &[u8]) {
    let Some((settings, output)) = bytes.split_at_checked(3) else { return };
    let whole = hear(settings[0], output, &mut |_| usize::MAX);
    let mut choices = Choices { bytes: output };
    let least = 1 + usize::from(settings[1] % 7);
    let cut = hear(settings[0], output, &mut |_| least + choices.below(9));
    assert_eq!(whole, cut, "cut otherwise");
    let byte = hear(settings[0], output, &mut |_| 1);
    assert_eq!(whole, byte, "byte by byte");
    assert!(whole.log.len() <= 4096 + 40 * output.len(), "{} bytes of {}", whole.log.len(), output.len());
    for line in String::from_utf8_lossy(output).lines() {
        if let Some(command) = parse(line, &|_| true) {
            assert!(
                command.data.len() <= line.len() && command.properties.values().all(|one| !one.is_empty())
            );
        }
    }
}

fn hear(settings: u8, mut output: &[u8], size: &mut dyn FnMut(usize) -> usize) -> Heard {
    let on = |bit: u8| settings & (1 << bit) != 0;
    let settings = StreamSettings { debug: on(0), unsecure_commands: on(1), unsecure_tokens: on(2) };
    let load = |path: &str| if path == "m" { Ok(MATCHERS.to_owned()) } else { Err("not there".to_owned()) };
    let mut stream = Stream::new(settings, Matchers::default(), Box::new(load));
    let mut heard = Heard::default();
    let mut tell = |said: Said<'_>| match said {
        Said::Text(text) => heard.log.extend_from_slice(text),
        Said::Note(note) => heard.notes.push(format!("{note:?}")),
        other => heard.other.push((heard.log.len(), format!("{other:?}"))),
    };
    while !output.is_empty() {
        let (now, later) = output.split_at(size(output.len()).clamp(1, output.len()));
        stream.push(now, &mut tell);
        output = later;
    }
    stream.finish(&mut tell);
    heard
}
