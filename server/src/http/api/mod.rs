//! The API for people, and its description.
//!
//! Handlers are thin: they read what came, call the core, and shape the answer. Who may call them is in
//! [`super::access`].

mod deployments;
mod live;
mod logs;
mod people;
mod repositories;
mod runners;
mod runs;
mod session;

use axum::{Json, Router, extract::DefaultBodyLimit, middleware, routing::get};
use serde::Serialize;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Shared, access, error::ErrorBody};
use crate::error::Error;

/// Bodies of people's calls at most.
const LARGEST: usize = 1 << 20;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tidegate", description = "The API of a Tidegate server. Errors are `ErrorBody`. Times are RFC 3339."),
    components(schemas(ErrorBody)),
    modifiers(&Security),
    security(("session" = []), ("token" = []))
)]
struct ApiDoc;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let Some(components) = document.components.as_mut() else { return };
        components.add_security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("tidegate"))),
        );
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
    }
}

/// The answer that names what was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Made {
    /// Its id.
    pub id: Uuid,
}

fn open_router() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(session::log_in, session::me, session::log_out))
        .routes(routes!(session::change_password))
        .routes(routes!(runs::list))
        .routes(routes!(runs::detail))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::rerun))
        .routes(routes!(runs::start))
        .routes(routes!(runs::pipelines))
        .routes(routes!(runs::settle))
        .routes(routes!(live::events))
        .routes(routes!(logs::read))
        .routes(routes!(logs::stream))
        .routes(routes!(logs::artifact))
        .routes(routes!(logs::notes))
        .routes(routes!(deployments::gates))
        .routes(routes!(deployments::decide))
        .routes(routes!(deployments::environments))
        .routes(routes!(deployments::history))
        .routes(routes!(deployments::freeze))
        .routes(routes!(deployments::rollback))
        .routes(routes!(deployments::delete_environment))
        .routes(routes!(deployments::set_rules))
        .routes(routes!(repositories::list, repositories::add))
        .routes(routes!(repositories::change, repositories::delete))
        .routes(routes!(repositories::secrets))
        .routes(routes!(repositories::put_secret, repositories::delete_secret))
        .routes(routes!(repositories::variables))
        .routes(routes!(repositories::put_variable, repositories::delete_variable))
        .routes(routes!(people::users, people::add_user))
        .routes(routes!(people::change_user))
        .routes(routes!(people::tokens, people::add_token))
        .routes(routes!(people::delete_token))
        .routes(routes!(runners::list))
        .routes(routes!(runners::change))
        .routes(routes!(runners::enrolment_token))
        .routes(routes!(runners::audit))
}

/// A `status` to filter by that is none.
fn no_status(of: &str, all: &[impl ToString]) -> Error {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    Error::Invalid(format!("`status` is no status of {of}: use one of {}", all.join(", ")))
}

/// The routes, guarded.
pub fn router(shared: &Shared) -> Router<Shared> {
    let (router, document) = open_router().split_for_parts();
    router
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(middleware::from_fn_with_state(shared.clone(), access::guard))
        .route("/api/openapi.json", get(async move || Json(document)))
}

/// The description of the API.
pub fn document() -> utoipa::openapi::OpenApi {
    open_router().into_openapi()
}
