//! What a sandbox and a service may do, as the engine's own settings. Pure.
//!
//! Steps run as root of the image with few capabilities, and can gain none. Where a stage asks for another user, process
//! 1 is that user's too, and has no capability at all:
//!
//! | kept | why |
//! | --- | --- |
//! | CHOWN, DAC_OVERRIDE, FOWNER, FSETID | package managers unpack files of other owners |
//! | SETUID, SETGID | they, and servers, give up root for a user of their own |
//! | SETFCAP | some packages set file capabilities |
//! | NET_BIND_SERVICE | a server under test listens on a port below 1024 |
//! | KILL | the shim, as process 1, stops steps that run as another user |
//!
//! An untrusted sandbox keeps none of them, gets half the processes, and its network reaches its services only.
//! Nothing here ever says privileged, a host namespace, a device, or the engine's socket.

use std::{collections::HashMap, path::Path};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    NetworkingConfig,
};
use tidegate_pipelines::plan::{Container, Resources, Service, Template};

use super::label_map;
use crate::sandbox::{CHANNEL, NetworkId, Owner, SandboxSpec, WORKSPACE};

const CAPABILITIES: [&str; 9] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "SETFCAP", "NET_BIND_SERVICE", "KILL"];
const PIDS: i64 = 1024;
const DEFAULT_MEMORY: u64 = 4 << 30;
const SHARED_MEMORY: i64 = 256 << 20;

/// Where a helper's container sees its folder.
pub(super) const FOLDER: &str = "/folder";

/// The container of a sandbox. `ports` are words of the shim, `machine` is the engine's processors and memory.
pub(super) fn sandbox(spec: &SandboxSpec, ports: Vec<String>, machine: (f64, u64)) -> ContainerCreateBody {
    let mut mounts = vec![
        bind(&spec.channel, CHANNEL, true),
        bind(&spec.spool, &format!("{CHANNEL}/spool"), false),
        bind(&spec.workspace, WORKSPACE, false),
    ];
    mounts.extend(spec.mounts.iter().map(|(host, inside)| bind(host, inside, false)));
    mounts.extend(spec.read_only.iter().map(|(host, inside)| bind(host, inside, true)));
    let files = "rw,nosuid,nodev,noexec,size=16m,mode=1777".to_owned();
    let host = HostConfig {
        mounts: Some(mounts),
        tmpfs: Some(HashMap::from([(format!("{CHANNEL}/files"), files)])),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..limits(&spec.resources, spec.untrusted, machine)
    };
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: Some(vec![format!("{CHANNEL}/shim")]),
        cmd: Some(["serve".to_owned(), CHANNEL.to_owned()].into_iter().chain(ports).collect()),
        user: Some(spec.user.clone().unwrap_or_else(|| "0:0".to_owned())),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: Some(WORKSPACE.to_owned()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        stop_signal: Some("SIGTERM".to_owned()),
        labels: Some(label_map(spec.owner.labels())),
        host_config: Some(HostConfig {
            network_mode: Some(spec.network.0.clone()),
            dns: name_servers(spec.closed),
            ..host
        }),
        ..ContainerCreateBody::default()
    }
}

/// The container of a service. The shim is there for its probes.
pub(super) fn service(
    owner: &Owner,
    (network, closed): (&NetworkId, bool),
    shim: &Path,
    service: &Service,
    machine: (f64, u64),
) -> ContainerCreateBody {
    // Its output is read back for probes and for the reason of a failure, so it needs a driver that can be read.
    let log =
        HashMap::from([("max-size".to_owned(), "8m".to_owned()), ("max-file".to_owned(), "2".to_owned())]);
    let endpoint =
        EndpointSettings { aliases: Some(vec![service.name.clone()]), ..EndpointSettings::default() };
    let words = |words: &[Template]| -> Option<Vec<String>> {
        let words: Vec<String> = words.iter().map(|word| word.as_str().to_owned()).collect();
        if words.is_empty() { None } else { Some(words) }
    };
    let Container { env, user, entrypoint, credentials: _, ports: _ } = &service.container;
    let env = env.iter().chain(&service.env);
    ContainerCreateBody {
        image: Some(service.image.as_str().to_owned()),
        entrypoint: words(entrypoint),
        cmd: words(&service.command),
        user: user.as_ref().map(|user| user.as_str().to_owned()),
        env: Some(env.map(|(name, value)| format!("{name}={}", value.as_str())).collect()),
        labels: Some(label_map(owner.labels())),
        host_config: Some(HostConfig {
            mounts: Some(vec![bind(shim, &format!("{CHANNEL}/shim"), true)]),
            log_config: Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(log) }),
            network_mode: Some(network.0.clone()),
            dns: name_servers(closed),
            ..limits(&Resources::default(), false, machine)
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.0.clone(), endpoint)])),
        }),
        ..ContainerCreateBody::default()
    }
}

/// A container in which the shim alone does something to a folder, seen at [`FOLDER`]. It has no network.
pub(super) fn helper(
    owner: &Owner,
    image: &str,
    (shim, folder): (&Path, &Path),
    words: &[&str],
) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec![format!("{CHANNEL}/shim")]),
        cmd: Some(words.iter().map(|word| (*word).to_owned()).collect()),
        user: Some("0:0".to_owned()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        labels: Some(label_map(owner.labels())),
        host_config: Some(HostConfig {
            mounts: Some(vec![bind(shim, &format!("{CHANNEL}/shim"), true), bind(folder, FOLDER, false)]),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            network_mode: Some("none".to_owned()),
            ..limits(&Resources::default(), false, (1.0, 1 << 30))
        }),
        ..ContainerCreateBody::default()
    }
}

/// Who is asked for names that are not on the network. The engine would ask for a closed one too, and a name is a
/// message; nobody listens there, so the answer is a quick no.
fn name_servers(closed: bool) -> Option<Vec<String>> {
    closed.then(|| vec!["127.0.0.1".to_owned()])
}

fn limits(resources: &Resources, untrusted: bool, (cpus, memory): (f64, u64)) -> HostConfig {
    // The engine refuses more processors than there are.
    let cpus = resources.cpus.unwrap_or(cpus).clamp(0.01, cpus);
    // A sandbox that takes all memory takes the runner's too, so the default leaves a quarter.
    let default = if memory == 0 { DEFAULT_MEMORY } else { DEFAULT_MEMORY.min(memory / 4 * 3) };
    let memory = i64::try_from(resources.memory_bytes.unwrap_or(default)).unwrap_or(i64::MAX);
    let pids = resources.pids.map_or(if untrusted { PIDS / 2 } else { PIDS }, i64::from);
    let kept = if untrusted { &[][..] } else { &CAPABILITIES[..] };
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(kept.iter().map(|name| (*name).to_owned()).collect()),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        privileged: Some(false),
        ipc_mode: Some("private".to_owned()),
        init: Some(false),
        nano_cpus: Some((cpus * 1e9) as i64),
        memory: Some(memory),
        // Equal to memory: no swap, so that a limit is one.
        memory_swap: Some(memory),
        pids_limit: Some(pids),
        shm_size: Some(SHARED_MEMORY),
        ..HostConfig::default()
    }
}

fn bind(host: &Path, inside: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(host.to_string_lossy().into_owned()),
        target: Some(inside.to_owned()),
        read_only: Some(read_only),
        ..Mount::default()
    }
}
