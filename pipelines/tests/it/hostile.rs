//! Files made to hurt: every one ends in an error, and none makes what is said of it long.
//!
//! How long they take is measured by `make bench`, not here: a test that fails on a slow machine is no test.

use tidegate_pipelines::{
    Compilation, Compiled, Setting, SourceFile, check, compile, findings, format, render, triggers,
};

use crate::{events, workflows::machines};

const MIB: usize = 1 << 20;
/// Enough that what takes more than linear time is felt.
const ALLOWED: usize = 50 << 10;
/// The most that the stages of a plan may be in all.
const MAX_PLAN: usize = 64 << 20;
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

pub fn files() -> Vec<(&'static str, String)> {
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
        (
            "a long text that is used 10,000 times",
            format!("a: &a {}\nb: [{}]\n", "x".repeat(ALLOWED), vec!["*a"; 10_000].join(", ")),
        ),
        (
            "long texts that are kept many times",
            (1..60).fold(format!("a0: &a0 {}\n", "x".repeat(2 * ALLOWED)), |text, n| {
                text + &format!("a{n}: &a{n} [*a{}]\n", n - 1)
            }),
        ),
        (
            "expressions that read what is not there",
            format!(
                "on: push\njobs: {{a: {{runs-on: x, if: 1, stepz: [], env: {{{}}}}}}}\n",
                (0..900).fold(String::new(), |text, n| text
                    + &format!("V{n}: \"${{{{ steps.a{n}.outputs.b }}}} ${{{{ needs.c{n}.result }}}}\", "),)
            ),
        ),
        (
            "many patterns",
            format!(
                "on: {{push: {{branches: [{}]}}}}\njobs: {{a: 1}}\n",
                (0..3000).map(|n| format!("\"a*{{b,c}}{n}\", ")).collect::<String>()
            ),
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
            let _ = format(&text);
        }
    }
}

/// Small files that stand for a lot: what comes of them is bounded, and so is what is kept in memory on the way, because
/// it is counted before it is made.
fn multiplying() -> Vec<(&'static str, &'static str, String)> {
    const NATIVE: &str = "p.yml";
    const WORKFLOW: &str = ".github/workflows/p.yml";
    let list = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let variables = |count: usize| (0..count).map(|n| format!("V{n}: x, ")).collect::<String>();
    let job = |rest: &str| {
        format!("on: push\njobs:\n  a: {{runs-on: debian, timeout-minutes: 1, steps: [], {rest}}}\n")
    };
    let jobs = |count: usize| -> String {
        (0..count).map(|n| format!("  j{n}: {{runs-on: debian, timeout-minutes: 1, steps: []}}\n")).collect()
    };
    let stages = |count: usize| -> String { (0..count).map(|n| format!("  s{n}: {{run: x}}\n")).collect() };
    let deep = (0..14).fold("1".to_owned(), |inner, _| format!("[{inner}, {inner}]"));
    let excluded = |count: usize| "{v: -1, w: -2}, ".repeat(count);
    let included: String = (0..3000).map(|n| format!("n{n}: 1, ")).collect();
    vec![
        (
            "variables of the workflow in 1,000 jobs",
            WORKFLOW,
            format!("on: push\nenv: {{{}}}\njobs:\n{}", variables(9_000), jobs(900)),
        ),
        (
            "variables of a job in a matrix",
            WORKFLOW,
            job(&format!("env: {{{}}}, strategy: {{matrix: {{v: [{}]}}}}", variables(20_000), list(256))),
        ),
        (
            "a deep value in each combination",
            WORKFLOW,
            job(&format!("strategy: {{matrix: {{v: [{deep}], w: [{}]}}}}", list(256))),
        ),
        (
            "combinations that are all left out",
            WORKFLOW,
            job(&format!(
                "strategy: {{matrix: {{v: [{0}], w: [{0}], exclude: [{1}]}}}}",
                list(64),
                excluded(8_000)
            )),
        ),
        (
            "an include of thousands of values",
            WORKFLOW,
            job(&format!("strategy: {{matrix: {{v: [{}], include: [{{{included}}}]}}}}", list(256))),
        ),
        (
            "an include of thousands of values",
            NATIVE,
            format!("{HEAD}  a: {{run: x, matrix: {{v: [{}], include: [{{{included}}}]}}}}\n", list(256)),
        ),
        (
            "variables of the pipeline in 1,000 stages",
            NATIVE,
            format!("env: {{{}}}\n{HEAD}{}", variables(9_000), stages(900)),
        ),
    ]
}

#[test]
fn a_small_file_never_stands_for_a_huge_plan() {
    let machines = machines();
    for (name, path, text) in multiplying() {
        assert!(text.len() < MIB, "{name} is not small");
        let file = SourceFile { path, text: &text };
        let setting = Setting { machines: &machines, ..Setting::default() };
        let Compilation { result, diagnostics } = compile(&file, &events::push("main"), setting);
        assert!(result.is_none(), "{name} became a plan");
        let errors: Vec<_> = diagnostics.iter().filter(|one| one.is_error()).collect();
        let right = |code: &str| ["TG0307", "TG1109"].contains(&code);
        assert!(errors.iter().all(|one| right(&one.code)) && !errors.is_empty(), "{name}: {errors:?}");
    }
}

/// What is allowed is allowed to the end, and what comes of it is within the bound.
#[test]
fn a_large_plan_within_the_bounds_is_made() {
    let machines = machines();
    let values = (0..250).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let script = "echo\\n".repeat(2000);
    for (path, text) in [
        (
            ".github/workflows/p.yml",
            format!(
                "on: push\njobs: {{a: {{runs-on: debian, timeout-minutes: 1, strategy: {{matrix: {{v: [{values}]}}}}, steps: \
                 [{{run: \"{script}\"}}]}}}}\n"
            ),
        ),
        ("p.yml", format!("{HEAD}  a: {{run: \"{script}\", matrix: {{v: [{values}]}}}}\n")),
    ] {
        let file = SourceFile { path, text: &text };
        let setting = Setting { machines: &machines, ..Setting::default() };
        let Compilation { result, diagnostics } = compile(&file, &events::push("main"), setting);
        let Some(Compiled::Plan(plan)) = result else { panic!("{diagnostics:?}") };
        assert_eq!(plan.stages.len(), 250);
        assert!(serde_json::to_string(&plan.stages).unwrap().len() < MAX_PLAN);
    }
}
