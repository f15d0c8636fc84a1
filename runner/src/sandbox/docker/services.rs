//! Services on the Docker engine: starting them and finding out whether they are ready.
//!
//! TCP and HTTP probes are made by the shim inside the service's own network, to the address that the stage will
//! use. So they hold for a server that listens on loopback only (not ready), and for a runner that is itself in a
//! container and cannot reach the network.

use std::{net::IpAddr, path::Path, time::Duration};

use bollard::{
    exec::{StartExecOptions, StartExecResults},
    models::{ExecConfig, HealthStatusEnum, NetworkSettings},
    query_parameters::{InspectContainerOptions, LogsOptionsBuilder},
};
use futures_util::StreamExt as _;
use tidegate_pipelines::plan::{ReadyProbe, Service};
use tidegate_protocol::ids::AttemptId;

use super::{Docker, QUICK, spec};
use crate::sandbox::{CHANNEL, EngineError, NetworkId, Owner, Probed, ServiceId};

/// The longest a single probe may take.
const PROBE: Duration = Duration::from_secs(15);
/// How much of a service's output is looked at.
const LOG_BYTES: usize = 1 << 20;

fn service_name(attempt: AttemptId, service: &str) -> String {
    format!("tidegate-{attempt}-{service}")
}

fn address_in(settings: Option<NetworkSettings>) -> Option<String> {
    let networks = settings?.networks?;
    networks.into_values().find_map(|endpoint| endpoint.ip_address).filter(|address| !address.is_empty())
}

impl Docker {
    pub(super) async fn create_service(
        &self,
        owner: &Owner,
        network: (&NetworkId, bool),
        shim: &Path,
        service: &Service,
    ) -> Result<ServiceId, EngineError> {
        let body = spec::service(owner, network, shim, service, self.machine);
        let what = format!("start the service `{}`", service.name);
        self.run_container(&what, &service_name(owner.attempt, &service.name), body).await.map(ServiceId)
    }

    /// The address of a service that was started, on its attempt's network.
    pub(super) async fn service_address(
        &self,
        attempt: AttemptId,
        service: &str,
    ) -> Result<IpAddr, EngineError> {
        let what = format!("look for the service `{service}`");
        let name = service_name(attempt, service);
        let call = self.client.inspect_container(&name, None::<InspectContainerOptions>);
        let found = self.call(&what, QUICK, call).await?;
        let address = address_in(found.network_settings).and_then(|address| address.parse().ok());
        address.ok_or_else(|| EngineError::Refused {
            what,
            reason: "it has no address any more; it may have ended".to_owned(),
        })
    }

    pub(super) async fn probe_service(
        &self,
        service: &Service,
        id: &ServiceId,
    ) -> Result<Probed, EngineError> {
        let call = self.client.inspect_container(&id.0, None::<InspectContainerOptions>);
        let Some(found) = self.find_by("look at a service", QUICK, call).await? else {
            return Ok(Probed::Gone("its container was removed".to_owned()));
        };
        let state = found.state.unwrap_or_default();
        if !state.running.unwrap_or(false) {
            let code = state.exit_code.unwrap_or(-1);
            let memory = if state.oom_killed.unwrap_or(false) { ", out of memory" } else { "" };
            return Ok(Probed::Gone(format!("it ended with exit code {code}{memory}")));
        }
        let Some(ready) = &service.ready else {
            return Ok(match state.health.and_then(|health| health.status) {
                Some(HealthStatusEnum::STARTING) => {
                    Probed::NotYet("its health check has not passed yet".to_owned())
                }
                Some(HealthStatusEnum::UNHEALTHY) => {
                    Probed::Gone("its image's health check says it is unhealthy".to_owned())
                }
                _ => Probed::Ready,
            });
        };
        let address = address_in(found.network_settings);
        let shim = format!("{CHANNEL}/shim");
        let Some(address) = address else { return Ok(Probed::NotYet("it has no address yet".to_owned())) };
        match &ready.probe {
            ReadyProbe::Exec(command) => self.probe_by(id, command.clone()).await,
            ReadyProbe::Tcp(port) => {
                self.probe_by(id, vec![shim, "probe-tcp".to_owned(), format!("{address}:{port}")]).await
            }
            ReadyProbe::Http { port, path } => {
                let target = format!("{address}:{port}");
                self.probe_by(id, vec![shim, "probe-http".to_owned(), target, path.clone()]).await
            }
            ReadyProbe::Log(pattern) => {
                let regex = regex::Regex::new(pattern).map_err(|error| EngineError::Refused {
                    what: format!("watch the log of `{}`", service.name),
                    reason: format!("`{pattern}` is no regular expression: {error}"),
                })?;
                let text = self.read_service_log(id, "all").await?;
                Ok(if text.lines().any(|line| regex.is_match(line)) {
                    Probed::Ready
                } else {
                    Probed::NotYet(format!("no line of its output matches `{pattern}` yet"))
                })
            }
        }
    }

    async fn probe_by(&self, id: &ServiceId, command: Vec<String>) -> Result<Probed, EngineError> {
        let what = "probe a service";
        let config = ExecConfig {
            cmd: Some(command),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let probe = async {
            let exec = self.client.create_exec(&id.0, config).await?;
            let mut said = Vec::new();
            if let StartExecResults::Attached { mut output, .. } =
                self.client.start_exec(&exec.id, None::<StartExecOptions>).await?
            {
                while let Some(Ok(chunk)) = output.next().await {
                    if said.len() < 4096 {
                        said.extend_from_slice(&chunk.into_bytes());
                    }
                }
            }
            let code = self.client.inspect_exec(&exec.id).await?.exit_code.unwrap_or(-1);
            Ok((code, said))
        };
        // A container that ends meanwhile, or a probe that hangs, is a "not yet": the next look tells more.
        let (code, said) = match self.call(what, PROBE, probe).await {
            Ok(done) => done,
            Err(EngineError::Refused { reason, .. }) => return Ok(Probed::NotYet(reason)),
            Err(EngineError::TimedOut { .. }) => {
                return Ok(Probed::NotYet(format!("the probe did not end within {} s", PROBE.as_secs())));
            }
            Err(other) => return Err(other),
        };
        if code == 0 {
            return Ok(Probed::Ready);
        }
        let said = String::from_utf8_lossy(&said);
        let last =
            said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
        Ok(Probed::NotYet(if last.is_empty() {
            format!("the probe ended with exit code {code}")
        } else {
            last
        }))
    }

    pub(super) async fn read_service_log(&self, id: &ServiceId, tail: &str) -> Result<String, EngineError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(tail).build();
        let read = async {
            let mut text = Vec::new();
            let mut stream = std::pin::pin!(self.client.logs(&id.0, Some(options)));
            while let Some(chunk) = stream.next().await {
                text.extend_from_slice(&chunk?.into_bytes());
                if text.len() > LOG_BYTES {
                    text.drain(..text.len() - LOG_BYTES);
                }
            }
            Ok(text)
        };
        let text = self.call("read a service's output", QUICK, read).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
