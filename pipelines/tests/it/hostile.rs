//! Files made to hurt: every one ends in an error, and none makes what is said of it long.
//!
//! How long they take is measured by `make bench`, not here: a test that fails on a slow machine is no test.

use tidegate_pipelines::{SourceFile, check, findings, render, triggers};

const MIB: usize = 1 << 20;
/// Enough that what takes more than linear time is felt.
const ALLOWED: usize = 50 << 10;
const HEAD: &str = "on: push\ndefaults: {image: \"debian:12\"}\nstages:\n";

fn laughs() -> String {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{uses}]\n"));
    }
    text
}

/// `head`, and then as many lines as there is room for.
fn filled(head: &str, line: impl Fn(usize) -> String) -> String {
    let mut text = head.to_owned();
    for number in 0.. {
        if text.len() >= ALLOWED {
            break;
        }
        text.push_str(&line(number));
    }
    text
}

fn files() -> Vec<(&'static str, String)> {
    let values: Vec<String> = (0..900).map(|value| value.to_string()).collect();
    let axes: String = (0..8).map(|axis| format!("a{axis}: [{}], ", values.join(", "))).collect();
    let many = values.join(", ");
    let named = |key: &str| format!("{HEAD}  a:\n    run: x\n    {key}:\n");
    vec![
        ("a billion laughs", laughs()),
        ("a billion laughs in a mebibyte", laughs() + &"# x\n".repeat((MIB - 1000) / 4)),
        ("a mebibyte of brackets", "[".repeat(MIB)),
        ("100,000 brackets", "[".repeat(100_000)),
        ("100,000 lists", "- ".repeat(100_000)),
        ("100,000 keys as keys", "? ".repeat(100_000)),
        ("50,000 mappings", "{a: ".repeat(50_000)),
        ("a mebibyte of text", "x".repeat(MIB)),
        ("text that does not end", format!("\"{}", "x\n".repeat(ALLOWED / 2))),
        ("many keys", filled("", |number| format!("k{number}:\n"))),
        ("one key many times", filled("", |_| "ab:\n".to_owned())),
        ("one key many times in one line", format!("{{{}}}", "a: 1, ".repeat(ALLOWED / 6))),
        ("many needs of nothing", filled(&named("needs"), |number| format!("    - n{number}\n"))),
        ("many equal secrets", filled(&named("secrets"), |_| "    - N\n".to_owned())),
        ("many bad names", filled(&named("env"), |number| format!("      n-{number}: 1\n"))),
        ("many bad expressions", filled(&named("env"), |n| format!("      n{n}: ${{{{ gti.sha }}}}\n"))),
        ("a matrix of eight times 900", format!("{HEAD}  a: {{run: x, matrix: {{{axes}}}}}\n")),
        (
            "a matrix of many inclusions",
            format!(
                "{HEAD}  a: {{run: x, matrix: {{v: [{many}], exclude: [{}]}}}}\n",
                "{v: 1}, ".repeat(5000)
            ),
        ),
        (
            "a circle of a thousand",
            (0..1000).fold(HEAD.to_owned(), |text, n| {
                text + &format!("  s{n}: {{run: a, needs: [s{}]}}\n", (n + 1) % 1000)
            }),
        ),
        (
            "regular expressions that repeat repetitions",
            (0..40).fold(HEAD.to_owned(), |text, n| {
                let pattern = "(a{99}){9}".repeat(40);
                text + &format!("  s{n}: {{run: a, if: \"matches(git.branch, '{pattern}')\"}}\n")
            }),
        ),
        (
            "regular expressions of services",
            (0..40).fold(HEAD.to_owned(), |text, n| {
                let ready = format!("{{log: \"{}\"}}", "(x+x+)+y{99}{99}".repeat(8));
                text + &format!("  s{n}: {{run: a, services: {{x: {{image: \"a:1\", ready: {ready}}}}}}}\n")
            }),
        ),
        (
            "braces in a pattern",
            format!(
                "on: {{push: {{branches: [\"{}{}\"]}}}}\nstages:\n",
                "{a,".repeat(9999),
                "}".repeat(9999)
            ),
        ),
        (
            "expressions of brackets",
            (0..60).fold(HEAD.to_owned(), |text, n| {
                text + &format!("  s{n}: {{run: a, if: \"{}\"}}\n", "(".repeat(4000))
            }),
        ),
        ("a key of a hundred thousand letters", format!("{}: 1\n", "k".repeat(100_000))),
        ("2,000 stages in a line", format!("on: push\nstages: {{{}}}\n", "x-: {rnu: 1}, ".repeat(2000))),
    ]
}

#[test]
fn hostile_files_end_in_an_error_that_can_be_read() {
    for (name, text) in files() {
        for path in ["p.yml", ".github/workflows/p.yml"] {
            let file = SourceFile { path, text: &text };
            let found = check(&file);
            assert!(
                found.iter().any(tidegate_pipelines::Diagnostic::is_error),
                "{name} as {path}: {found:?}"
            );
            assert!(found.len() <= 100, "{name}: {} diagnostics", found.len());
            let longest =
                found.iter().map(|one| one.message.len() + one.help.as_ref().map_or(0, String::len));
            assert!(longest.max() < Some(5000), "{name} as {path}");
            let shown = render(&file, &found, false);
            assert!(shown.len() < 1 << 20, "{name} as {path}: {} bytes are shown", shown.len());
            findings::annotations(&found);
            findings::sarif(&found);
            triggers(&file);
        }
    }
}
