//! Sets up the server for the demo: people, the repository, and two environments. Safe to repeat.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    folder::{Folder, Person, REPOSITORY},
    repository::Repository,
};
use crate::{
    api::Api,
    commands::login::make_token,
    failure::{Failure, Outcome},
};

/// Logs a person in, and makes a token for the demo's client.
pub async fn log_in(folder: &Folder, person: Person) -> Outcome<Api> {
    let url = folder.settings.server_url()?;
    let session = Api::log_in(url.clone(), person.username(), &folder.settings.password(person)).await?;
    let name = format!("demo {}", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S%.3f"));
    Api::with_token(url, make_token(&session, &name).await?)
}

/// Makes what is not there yet.
pub async fn set_up(folder: &Folder, admin: &Api, repository: &Repository<'_>) -> Outcome {
    let users: Value = admin.get("users").await?;
    for (person, role, name) in
        [(Person::Dev, "developer", "Dev (pushes)"), (Person::Release, "release_manager", "Release manager")]
    {
        if !names(&users, "users", "username").any(|one| one == person.username()) {
            let body = json!({
                "username": person.username(),
                "display_name": name,
                "role": role,
                "password": folder.settings.password(person).expose_secret(),
            });
            admin.post::<Value>("users", &body).await?;
        }
    }
    let id = set_up_repository(folder, admin, repository).await?;
    for (name, url) in folder.settings.environments()? {
        let approvals = u32::from(name == "production");
        let body = json!({
            "url": url.as_str().trim_end_matches('/'),
            "required_approvals": approvals,
            "approver_role": "release_manager",
            "approvers": [],
            "allow_self_approval": false,
            "branches": ["main"],
            "wait_seconds": 0,
            "gate_expires_seconds": 86_400,
        });
        admin.call(reqwest::Method::PUT, &format!("repositories/{id}/environments/{name}"), &body).await?;
    }
    Ok(())
}

/// The repository's id; made with its webhook the first time.
async fn set_up_repository(folder: &Folder, admin: &Api, repository: &Repository<'_>) -> Outcome<String> {
    let known: Value = admin.get("repositories").await?;
    let existing = known["repositories"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["full_name"] == REPOSITORY)
        .and_then(|one| one["id"].as_str());
    if let Some(id) = existing {
        if !repository.has_hook() {
            return Err(Failure::new("the demo's git repository has lost its hook")
                .because("the webhook's secret is shown only once")
                .mend("start afresh with `tidegate demo --reset`"));
        }
        return Ok(id.to_owned());
    }
    let clone_url = url::Url::from_file_path(folder.bare())
        .map_err(|()| Failure::usage(format!("{} is no absolute path", folder.bare().display())))?;
    let body = json!({
        "full_name": REPOSITORY,
        "forge": "git",
        "clone_url": clone_url.as_str(),
        "default_branch": "main",
        "pipeline_path": ".tidegate/pipeline.yml",
    });
    let made: Value = admin.post("repositories", &body).await?;
    let text = |key: &str| {
        made[key]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format!("the server's answer has no {key}")))
    };
    repository.keep_secret(&text("webhook_secret")?.into())?;
    repository.install_hook(&text("webhook_url")?)?;
    text("id")
}

fn names<'a>(page: &'a Value, list: &str, key: &'a str) -> impl Iterator<Item = &'a str> {
    page[list].as_array().into_iter().flatten().filter_map(move |one| one[key].as_str())
}
