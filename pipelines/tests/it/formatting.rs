//! The formatter: the look that it gives, and that it never changes what a file says.

use std::{fs, path::Path};

use proptest::prelude::*;
use tidegate_pipelines::{Compilation, Compiled, SourceFile, compile, event::Event, format, plan::Plan};

use crate::{
    events,
    files::Folder,
    golden,
    pages::{self, Is},
    properties::mutated,
};

fn plan(text: &str, event: &Event) -> Option<Plan> {
    let file = SourceFile { path: "p.yml", text };
    let Compilation { result, .. } = compile(&file, event, Folder::golden().setting());
    match result {
        Some(Compiled::Plan(mut plan)) => {
            plan.source.sha256.clear();
            Some(plan)
        }
        _ => None,
    }
}

/// Formatting again changes nothing, and the plan is the same.
fn keeps(text: &str) {
    keeps_for(text, &events::push("main"));
}

fn keeps_for(text: &str, event: &Event) {
    let Ok(formatted) = format(text) else { return };
    assert_eq!(format(&formatted).as_deref(), Ok(formatted.as_str()), "of\n{text}");
    assert_eq!(formatted.matches('#').count(), text.matches('#').count(), "a comment of\n{text}");
    if let Some(before) = plan(text, event) {
        assert!(plan(&formatted, event) == Some(before), "another plan of\n{formatted}");
    }
}

#[test]
fn each_file_gets_its_look() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format");
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_str().unwrap().ends_with(".in.yml") {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        let now = format(&text).unwrap_or_else(|errors| panic!("{errors:?}"));
        let golden = path.with_extension("").with_extension("out.yml");
        if bless {
            fs::write(&golden, &now).unwrap();
        }
        assert_eq!(fs::read_to_string(&golden).unwrap_or_default(), now, "{}", path.display());
        keeps(&text);
    }
    assert!(count > 0);
}

#[test]
fn examples_and_golden_files_say_the_same_afterwards() {
    for path in golden::files("yml") {
        let text = fs::read_to_string(path).unwrap();
        let emitted = text.starts_with("# emitted by: ");
        keeps_for(&text, &if emitted { events::push("main") } else { events::named(&text) });
    }
    for example in pages::examples() {
        let pipeline = example.is == Is::Pipeline;
        let event = if pipeline { events::named(&example.text) } else { events::push("main") };
        keeps_for(&example.text, &event);
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    assert_eq!(format("a: [1").unwrap_err()[0].code, "TG0101");
    assert_eq!(format("a: 1\na: 2\n").unwrap_err()[0].code, "TG0104");
}

/// What the formatter does not understand stays as it is.
#[test]
fn unusual_files_are_left_alone() {
    for text in [
        "on: push\nstages:\n  a:\n    run: |2\n        two more\n    image: debian:12\n",
        "on: push\nstages:\n  a:\n    run:\n      - # why\n        run: x\n",
        "---\non:   push\n",
        // An anchor of nothing at the end of the file.
        "on:   push\nname: &x # a comment",
        "on:   push\nname: &x",
        "on:   push\nname:\n  &x # a comment",
    ] {
        assert_eq!(format(text).as_deref(), Ok(text));
    }
    // An alias cannot be moved before its anchor, so the keys stay in their order.
    let text = "on:   push\nstages:\n  a:\n    run: x\n    env: &e {A: b}\n    secrets: []\n    services:\n      db: {image: x, env: *e}\n";
    let formatted = format(text).unwrap();
    assert!(
        formatted.contains("on: push") && formatted.find("env: &e") < formatted.find("*e"),
        "{formatted}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn formatting_twice_is_formatting_once(text in mutated(&golden::files("yml"))) {
        keeps(&text);
    }

    #[test]
    fn any_text_is_formatted_or_refused(text in "\\PC{0,200}") {
        keeps(&text);
    }

    /// Indentation, comments and blank lines wherever they may be.
    #[test]
    fn comments_and_indentation_do_not_matter(
        indent in 1..5_usize,
        dash in 0..3_usize,
        comments in prop::collection::vec((any::<prop::sample::Index>(), 0..8_usize), 0..6),
        blanks in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let i = " ".repeat(indent);
        let d = " ".repeat(dash);
        let text = format!(
            "stages:\n{i}b:\n{i}{i}run:\n{i}{i}{d}- echo one\n{i}{i}{d}- name: two\n{i}{i}{d}  run: |\n{i}{i}{d}    first\n\n{i}{i}{d}      second\n{i}{i}image: 'debian:12'\n{i}{i}needs: [a,\n{i}{i}  a2]\n{i}a: {{image: \"debian:12\", run: x}}\n{i}a2: {{image: \"debian:12\", run: x}}\non:\n{i}push:\n"
        );
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (at, depth) in comments {
            let at = at.index(lines.len());
            lines.insert(at, format!("{}# note", " ".repeat(depth)));
        }
        for at in blanks {
            let at = at.index(lines.len());
            lines.insert(at, String::new());
        }
        keeps(&(lines.join("\n") + "\n"));
    }
}
