//! A BuildKit session: while an image is built, the engine's BuildKit asks the runner back, over one connection, for the
//! credentials of registries and for the secrets that the Dockerfile mounts. They are in the runner's memory and come
//! only when they are asked for.
//!
//! The connection is an HTTP request that becomes gRPC the other way round: here is the server. It ends when the
//! [`Session`] is dropped.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bollard::{
    health::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
        health_check_response::ServingStatus,
        health_server::{Health, HealthServer},
    },
    moby::{
        buildkit::secrets::v1::{
            GetSecretRequest, GetSecretResponse,
            secrets_server::{Secrets, SecretsServer},
        },
        filesync::v1::{
            CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
            GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
            VerifyTokenAuthorityResponse,
            auth_server::{Auth, AuthServer},
        },
    },
};
use futures_util::{StreamExt as _, stream};
use reqwest::StatusCode;
use tidegate_protocol::messages::RegistryLogin;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Request, Response, Status,
    transport::server::{Connected, Server},
};

use super::{Docker, QUICK, words};
use crate::sandbox::{EngineError, images::BuildSecrets};

const WHAT: &str = "open a build session";
/// What BuildKit may ask for.
const METHODS: [&str; 3] = [
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/grpc.health.v1.Health/Check",
];

/// The engine's API over HTTP, for what its client library does not do.
pub(super) struct Wire {
    http: reqwest::Client,
    base: String,
    host: String,
}

impl Wire {
    /// To where the engine is.
    pub(super) fn to(engine: &Docker) -> Result<Self, EngineError> {
        let version = engine.client.client_version();
        let path = format!("v{}.{}", version.major_version, version.minor_version);
        let builder = reqwest::Client::builder().no_proxy().http1_only();
        let (builder, base) = match engine.host.split_once("://") {
            Some(("unix", socket)) => (builder.unix_socket(socket), format!("http://localhost/{path}")),
            Some((_, address)) => (builder, format!("http://{}/{path}", address.trim_end_matches('/'))),
            None => (builder, format!("http://{}/{path}", engine.host)),
        };
        let host = engine.host.clone();
        let http = builder.build().map_err(|error| {
            EngineError::Unreachable(format!("no way to the container engine at {host}: {}", words(&error)))
        })?;
        Ok(Self { http, base, host })
    }

    /// A request to a path of the API.
    pub(super) fn post(
        &self,
        path: &str,
        asked: &[(&str, String)],
    ) -> Result<reqwest::RequestBuilder, EngineError> {
        let url = url::Url::parse_with_params(&format!("{}/{path}", self.base), asked).map_err(|error| {
            EngineError::Unreachable(format!("`{}` is no address of a container engine: {error}", self.host))
        })?;
        Ok(self.http.post(url))
    }

    /// The engine did not answer to the end.
    pub(super) fn gone(&self, what: &str, error: &dyn std::error::Error) -> EngineError {
        EngineError::Unreachable(format!(
            "the container engine at {} stopped answering when asked to {what}: {}",
            self.host,
            words(error)
        ))
    }

    /// The engine's own words of why it refused.
    pub(super) async fn reason(answer: reqwest::Response) -> String {
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        let said = serde_json::from_str::<serde_json::Value>(&text).ok();
        let said = said.and_then(|said| Some(said.get("message")?.as_str()?.trim().to_owned()));
        said.unwrap_or_else(|| format!("it answered {status}"))
    }
}

/// An open session.
pub(super) struct Session {
    id: String,
    _end: DropGuard,
}

impl Session {
    /// Opens one. `logins` are by the names that builders ask for.
    pub(super) async fn open(
        wire: &Wire,
        secrets: BuildSecrets,
        logins: BTreeMap<String, RegistryLogin>,
    ) -> Result<Self, EngineError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let mut request = wire
            .post("session", &[])?
            .header("Connection", "Upgrade")
            .header("Upgrade", "h2c")
            .header("X-Docker-Expose-Session-Uuid", &id)
            .header("X-Docker-Expose-Session-Name", "tidegate");
        for method in METHODS {
            request = request.header("X-Docker-Expose-Session-Grpc-Method", method);
        }
        let answer = tokio::time::timeout(QUICK, request.send())
            .await
            .map_err(|_| EngineError::TimedOut { what: WHAT.to_owned(), limit: QUICK })?
            .map_err(|error| wire.gone(WHAT, &error))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let reason = format!("no session: {}", Wire::reason(answer).await);
            return Err(EngineError::Refused { what: WHAT.to_owned(), reason });
        }
        let line = answer.upgrade().await.map_err(|error| wire.gone(WHAT, &error))?;
        let end = CancellationToken::new();
        let served = Server::builder()
            .add_service(HealthServer::new(Alive))
            .add_service(AuthServer::new(Logins(logins)))
            .add_service(SecretsServer::new(Kept(secrets)));
        // One connection, and no further one ever.
        let incoming = stream::iter([Ok::<_, io::Error>(Line(line))]).chain(stream::pending());
        let ended = end.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = served.serve_with_incoming_shutdown(incoming, ended).await {
                tracing::debug!(%error, "a build session ended");
            }
        });
        Ok(Self { id, _end: end.drop_guard() })
    }

    /// By which the build names it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// The connection, as the server wants it.
struct Line(reqwest::Upgraded);

impl Connected for Line {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// BuildKit asks every few seconds, and gives up a session that does not answer.
struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    type WatchStream = stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("list"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watch"))
    }
}

/// Credentials of registries, by the names that builders ask for.
struct Logins(BTreeMap<String, RegistryLogin>);

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        // Without any the registry is asked as a stranger.
        let login = self.0.get(&request.get_ref().host);
        let answer = login.map_or_else(CredentialsResponse::default, |login| CredentialsResponse {
            username: login.username.clone(),
            secret: login.password.clone(),
        });
        Ok(Response::new(answer))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("BuildKit fetches tokens itself"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("BuildKit fetches tokens itself"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("BuildKit fetches tokens itself"))
    }
}

/// The secrets that a Dockerfile may mount.
struct Kept(BuildSecrets);

#[tonic::async_trait]
impl Secrets for Kept {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = &request.get_ref().id;
        let found =
            self.0.get(id).ok_or_else(|| Status::not_found(format!("the build has no secret `{id}`")))?;
        Ok(Response::new(GetSecretResponse { data: found.to_vec() }))
    }
}
