//! (f) 1,500 workflow files in one call of `tidegate validate`, and (g) a hostile mebibyte. The floor is the reading
//! of the same files by this process, and for memory what the program needs for a file of two lines.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{ROUNDS, median, row};

const FILES: usize = 1500;
const MIB: usize = 1 << 20;

pub fn validate(program: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let workflows = folder.path().join(".github/workflows");
    fs::create_dir_all(&workflows)?;
    for number in 0..FILES {
        fs::write(workflows.join(format!("w{number}.yml")), workflow(number))?;
    }
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(run(program, &workflows)?.0.as_secs_f64() * 1e3);
        let begun = Instant::now();
        let read = (0..FILES).try_fold(0, |sum, number| {
            fs::read(workflows.join(format!("w{number}.yml"))).map(|bytes| sum + bytes.len())
        })?;
        ensure!(read > FILES, "the files are not there");
        floor.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    row("(f) validate 1,500 workflow files", median(ours), median(floor), "ms", "1 s (floor: reading them)");
    hostile(program, folder.path())
}

/// The worst of several hostile files, in time and in memory.
fn hostile(program: &Path, folder: &Path) -> Result<()> {
    let (mut time, mut memory, mut reading) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (name, text) in hostile_files() {
        let path = folder.join(format!("{name}.yml"));
        fs::write(&path, text)?;
        let (taken, peak) = run(program, &path)?;
        time = time.max(taken.as_secs_f64() * 1e3);
        memory = memory.max(peak);
        let begun = Instant::now();
        fs::read(&path)?;
        reading = reading.max(begun.elapsed().as_secs_f64() * 1e3);
    }
    let small = folder.join("small.yml");
    fs::write(&small, "on: push\nstages: {a: {image: \"debian:12\", run: echo}}\n")?;
    let (_, least) = run(program, &small)?;
    row("(g) a hostile mebibyte: the slowest", time, reading, "ms", "100 ms (floor: reading it)");
    row("    the same: the most memory", memory, least, "MiB", "50 MiB (floor: a file of two lines)");
    Ok(())
}

/// Runs `tidegate validate` to its end, whatever it finds; how long it took, and the most memory it had.
fn run(program: &Path, path: &Path) -> Result<(Duration, f64)> {
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(["validate", "--format", "github"])
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0;
    loop {
        // The highest so far never sinks, so the last look before the end is the one that counts.
        let now = fs::read_to_string(&status).unwrap_or_default();
        if let Some(line) = now.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            peak = line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0;
        }
        if let Some(ended) = child.try_wait()? {
            ensure!(matches!(ended.code(), Some(0 | 1)), "tidegate validate ended with {ended}");
            return Ok((begun.elapsed(), peak));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A workflow as projects have them: some twenty steps in three jobs.
fn workflow(number: usize) -> String {
    let steps: String = (0..6)
        .map(|step| {
            format!(
                "      - name: Step {step} of {number}\n        run: |\n          ./configure --level {step}\n          \
                 make test-{step}\n        env:\n          LEVEL: ${{{{ matrix.level }}}}\n"
            )
        })
        .collect();
    let job = |name: &str, needs: &str| {
        format!(
            "  {name}:\n    runs-on: ubuntu-latest\n{needs}    timeout-minutes: 20\n    strategy:\n      matrix:\n        \
             level: [1, 2, 3]\n    steps:\n      - uses: actions/checkout@v4\n{steps}"
        )
    };
    format!(
        "name: Workflow {number}\non:\n  push:\n    branches: [main]\n  pull_request:\njobs:\n{}{}{}",
        job("lint", ""),
        job("test", "    needs: lint\n"),
        job("build", "    needs: [lint, test]\n    if: github.ref == 'refs/heads/main'\n")
    )
}

/// Each of a mebibyte, or just under what a file may have.
fn hostile_files() -> Vec<(&'static str, String)> {
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        laughs.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{}", level - 1); 10].join(", ")
        ));
    }
    let fill = |text: String| {
        let room = MIB.saturating_sub(text.len());
        text + &"# x\n".repeat(room / 4)
    };
    let values: Vec<String> = (0..900).map(|value| value.to_string()).collect();
    let axes: String = (0..8).map(|axis| format!("a{axis}: [{}], ", values.join(", "))).collect();
    let head = "on: push\ndefaults: {image: \"debian:12\"}\nstages:\n";
    let matrix = format!("{head}  a: {{run: x, matrix: {{{axes}}}}}\n");
    let pattern = format!("{head}  a: {{run: a, if: \"matches(git.branch, '{}')\"}}\n", "(a+)+".repeat(90));
    let long = "x".repeat(MIB / 2);
    let aliases = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 20_000].join(", "));
    let patterns: String = (0..12_000).map(|number| format!("\"a*{{b,c}}{number}\", ")).collect();
    let patterns = format!("on: {{push: {{branches: [{patterns}]}}}}\nstages: {{}}\n");
    let keys: String = (0..24_000).map(|number| format!("k{number}:\n")).collect();
    vec![
        ("laughs", fill(laughs.clone())),
        ("laughs-alone", laughs),
        ("nested", "[".repeat(MIB)),
        ("nested-100k", "[".repeat(100_000)),
        ("mappings", "{a: ".repeat(MIB / 4)),
        ("matrix", fill(matrix.clone())),
        ("matrix-alone", matrix),
        ("pattern", fill(pattern.clone())),
        ("pattern-alone", pattern),
        ("aliases", aliases),
        ("patterns", patterns),
        ("keys", keys),
        ("text", "x".repeat(MIB)),
    ]
}
