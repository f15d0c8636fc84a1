//! The options of a container, written as on the engine's command line.
//!
//! What has a place in the plan goes there. What would weaken the isolation of sandboxes is refused, whoever writes
//! it: privileges, capabilities, devices, namespaces and files of the host, other networks. What changes nothing that
//! matters here is let through and said.

use std::collections::BTreeMap;

use crate::{
    plan::{Ready, ReadyProbe, Template},
    shell::words,
};

/// What options ask for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    pub health: Health,
    pub user: Option<String>,
    pub entrypoint: Option<String>,
    pub env: BTreeMap<String, Template>,
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u32>,
    /// Options without an effect here.
    pub ignored: Vec<String>,
}

/// A health check.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Health {
    command: Option<String>,
    interval_ms: Option<u64>,
    timeout_ms: Option<u64>,
    start_ms: Option<u64>,
    retries: Option<u64>,
}

/// Milliseconds between two questions when nothing is said, as the engine has it.
const INTERVAL_MS: u64 = 30_000;
const TIMEOUT_MS: u64 = 30_000;
const RETRIES: u64 = 3;
/// However little the options allow, a service gets this long to become ready.
const LEAST_WAIT_MS: u64 = 60_000;

impl Health {
    /// When the service counts as ready.
    pub(super) fn ready(&self) -> Option<Ready> {
        let command = self.command.clone()?;
        let interval_ms = self.interval_ms.filter(|interval| *interval > 0).unwrap_or(INTERVAL_MS);
        let one = interval_ms.saturating_add(self.timeout_ms.unwrap_or(TIMEOUT_MS));
        let tries = one.saturating_mul(self.retries.unwrap_or(RETRIES));
        let timeout_ms = self.start_ms.unwrap_or(0).saturating_add(tries).max(LEAST_WAIT_MS);
        let probe = ReadyProbe::Exec(vec!["sh".to_owned(), "-c".to_owned(), command]);
        Some(Ready { probe, interval_ms: interval_ms.min(5_000), timeout_ms: timeout_ms.min(3_600_000) })
    }
}

/// Options with a value that would weaken isolation whatever the value.
const REFUSED: &[&str] = &[
    "--privileged",
    "--cap-add",
    "--device",
    "--device-cgroup-rule",
    "--device-read-bps",
    "--device-write-bps",
    "--gpus",
    "--pid",
    "--ipc",
    "--uts",
    "--userns",
    "--cgroupns",
    "--cgroup-parent",
    "--security-opt",
    "--volume",
    "-v",
    "--volumes-from",
    "--volume-driver",
    "--mount",
    "--network",
    "--net",
    "--add-host",
    "--sysctl",
    "--runtime",
    "--group-add",
    "--oom-kill-disable",
    "--oom-score-adj",
    "--link",
    "--ip",
    "--dns",
    "--publish",
    "-p",
    "--publish-all",
    "-P",
    "--cidfile",
    "--env-file",
    "--label-file",
    "--isolation",
    "--storage-opt",
];

/// Options that change nothing here, and whether they have a value.
const IGNORED: &[(&str, bool)] = &[
    ("--name", true),
    ("--hostname", true),
    ("-h", true),
    ("--restart", true),
    ("--label", true),
    ("-l", true),
    ("--init", false),
    ("--rm", false),
    ("--tty", false),
    ("-t", false),
    ("--interactive", false),
    ("-i", false),
    ("--detach", false),
    ("-d", false),
    ("--pull", true),
    ("--platform", true),
    ("--shm-size", true),
    ("--ulimit", true),
    ("--tmpfs", true),
    ("--log-driver", true),
    ("--log-opt", true),
    ("--stop-signal", true),
    ("--stop-timeout", true),
    ("--network-alias", true),
    ("--net-alias", true),
    ("--expose", true),
    ("--memory-swap", true),
    ("--memory-reservation", true),
    ("--memory-swappiness", true),
    ("--cpu-shares", true),
    ("--cpuset-cpus", true),
    ("--cap-drop", true),
    ("--read-only", false),
    ("--workdir", true),
    ("-w", true),
    ("--no-healthcheck", false),
    ("--health-start-interval", true),
    ("--quiet", false),
    ("-q", false),
];

/// Reads options.
pub(super) fn read(text: &str) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = words(text)?.into_iter().peekable();
    while let Some(word) = words.next() {
        let (name, mut value) = match word.split_once('=') {
            Some((name, value)) if word.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (word.clone(), None),
        };
        if !name.starts_with('-') {
            return Err(format!("`{word}` is no option"));
        }
        if REFUSED.contains(&name.as_str()) || REFUSED.iter().any(|short| is_joined(&word, short)) {
            return Err(format!("`{name}` would weaken the isolation of the sandbox, or reach out of it"));
        }
        if let Some((_, has_value)) = IGNORED.iter().find(|(known, _)| *known == name) {
            if *has_value && value.is_none() {
                words.next();
            }
            options.ignored.push(name);
            continue;
        }
        if value.is_none() {
            value = words.next();
        }
        let value = value.ok_or_else(|| format!("`{name}` has no value"))?;
        set(&mut options, &name, value)?;
    }
    Ok(options)
}

/// `-v/:/host`, a short option with its value in one word.
fn is_joined(word: &str, short: &str) -> bool {
    short.len() == 2 && word.starts_with(short) && !word.starts_with("--") && word.len() > 2
}

fn set(options: &mut Options, name: &str, value: String) -> Result<(), String> {
    let no = |what: &str| format!("`{name} {value}` is no {what}");
    match name {
        "--health-cmd" => options.health.command = Some(value),
        "--health-interval" => {
            options.health.interval_ms = Some(duration(&value).ok_or_else(|| no("duration"))?)
        }
        "--health-timeout" => {
            options.health.timeout_ms = Some(duration(&value).ok_or_else(|| no("duration"))?)
        }
        "--health-start-period" => {
            options.health.start_ms = Some(duration(&value).ok_or_else(|| no("duration"))?);
        }
        "--health-retries" => options.health.retries = Some(value.parse().map_err(|_| no("number"))?),
        "--user" | "-u" => options.user = Some(value),
        "--entrypoint" => options.entrypoint = Some(value),
        "--env" | "-e" => {
            let (key, value) = value.split_once('=').ok_or_else(|| no("variable with a value"))?;
            options.env.insert(key.to_owned(), Template(value.to_owned()));
        }
        "--cpus" => {
            let cpus = value.parse().ok().filter(|cpus: &f64| cpus.is_finite() && *cpus > 0.0);
            options.cpus = Some(cpus.ok_or_else(|| no("number"))?);
        }
        "--memory" | "-m" => options.memory_bytes = Some(size(&value).ok_or_else(|| no("size"))?),
        "--pids-limit" => options.pids = Some(value.parse().map_err(|_| no("number"))?),
        _ => return Err(format!("`{name}` is not supported")),
    }
    Ok(())
}

/// `10s`, `1m30s`, `500ms`.
fn duration(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match rest.get(..end)? {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "us" | "µs" => 0.001,
            "ns" => 0.000_001,
            _ => return None,
        };
        let milliseconds = (number * unit).clamp(0.0, 1e12);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let milliseconds = milliseconds as u64;
        total = total.saturating_add(milliseconds);
        rest = rest.get(end..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// `512m`, `2g`, `1024`.
fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match lower.get(digits.len()..)? {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_check_is_when_it_is_ready() {
        let text = r#"--health-cmd "pg_isready -U app" --health-interval=10s --health-timeout 5s --health-retries 5"#;
        let options = read(text).unwrap();
        let ready = options.health.ready().unwrap();
        assert_eq!(ready.probe, ReadyProbe::Exec(vec!["sh".into(), "-c".into(), "pg_isready -U app".into()]));
        assert_eq!((ready.interval_ms, ready.timeout_ms), (5_000, 75_000));
        assert_eq!(read("--health-interval 10s").unwrap().health.ready(), None);
    }

    #[test]
    fn limits_users_and_variables() {
        let options = read("--cpus 1.5 -m 512m --user 1001:1001 -e A=b=c --name db --init").unwrap();
        assert_eq!((options.cpus, options.memory_bytes), (Some(1.5), Some(512 << 20)));
        assert_eq!(options.user.as_deref(), Some("1001:1001"));
        assert_eq!(options.env["A"].as_str(), "b=c");
        assert_eq!(options.ignored, ["--name", "--init"]);
    }

    #[test]
    fn isolation_is_not_an_option() {
        for bad in [
            "--privileged",
            "--privileged=true",
            "--cap-add SYS_ADMIN",
            "--cap-add=ALL",
            "--device /dev/kvm",
            "-v /:/host",
            "-v/:/host",
            "--volume=/var/run/docker.sock:/var/run/docker.sock",
            "--mount type=bind,src=/,dst=/x",
            "--network host",
            "--net=host",
            "--pid=host",
            "--ipc host",
            "--userns=host",
            "--uts host",
            "--security-opt seccomp=unconfined",
            "--gpus all",
            "--cgroupns=host",
            "--volumes-from x",
            "--runtime=runc",
            "--unknown 1",
            "word",
            "--user",
            "\"--privileged\"",
            "'--pri''vileged'",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("1m30s"), Some(90_000));
        assert_eq!(duration("x"), None);
    }
}
