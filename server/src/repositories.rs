//! Repositories: what the server builds.

use croner::parser::{CronParser, Seconds, Year};
use jiff::{Timestamp, tz::TimeZoneDatabase};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tidegate_protocol::ids::RepositoryId;
use utoipa::ToSchema;

use crate::{
    actor::Actor,
    app::App,
    auth,
    error::Error,
    git::{self, GitError, Place},
    secrets,
    store::{FileSchedule, RepositoryRow, views::Repository},
};

/// The folder of pipelines in the native language.
pub const NATIVE: &str = ".tidegate";
/// The folder of workflows in the language of GitHub Actions.
pub const WORKFLOWS: &str = ".github/workflows";

/// A repository to add.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRepository {
    /// `owner/name`.
    pub full_name: String,
    /// `github`, or `git` for one that is told of nothing.
    pub forge: String,
    /// `https://`, `ssh://`, or `file://` where the server allows it.
    pub clone_url: String,
    /// Absent: `main`.
    pub default_branch: Option<String>,
    /// Absent: `.tidegate/pipeline.yml`.
    pub pipeline_path: Option<String>,
    /// Which files are pipelines: `file`, the one of `pipeline_path`; `tidegate`, that and those in `.tidegate`;
    /// `github`, those in `.github/workflows`; `both`, all of them. Absent: `both`.
    pub pipelines: Option<String>,
    /// `user:token` for clones.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>)]
    pub clone_token: Option<SecretString>,
}

/// What of a repository is to change; absent: stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryChange {
    /// As in [`NewRepository`].
    pub clone_url: Option<String>,
    /// As in [`NewRepository`].
    pub default_branch: Option<String>,
    /// As in [`NewRepository`].
    pub pipeline_path: Option<String>,
    /// As in [`NewRepository`].
    pub pipelines: Option<String>,
    /// As in [`NewRepository`]; empty: no token any more.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>)]
    pub clone_token: Option<SecretString>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

/// A repository that was added. The webhook secret is shown only here.
#[derive(Debug)]
pub struct NewlyAdded {
    /// Its id.
    pub id: RepositoryId,
    /// The secret that its webhooks are signed with.
    pub webhook_secret: SecretString,
}

/// Adds a repository.
pub async fn create(app: &App, new: NewRepository, actor: &Actor) -> Result<NewlyAdded, Error> {
    check_full_name(&new.full_name)?;
    if !matches!(new.forge.as_str(), "github" | "git") {
        return Err(Error::Invalid(format!("`{}` is no forge: use github, or git for any other", new.forge)));
    }
    let row = Repository {
        id: RepositoryId::new(),
        full_name: new.full_name,
        forge: new.forge,
        clone_url: new.clone_url,
        default_branch: new.default_branch.unwrap_or_else(|| "main".to_owned()),
        pipeline_path: new.pipeline_path.unwrap_or_else(|| ".tidegate/pipeline.yml".to_owned()),
        pipelines: new.pipelines.unwrap_or_else(|| "both".to_owned()),
        created_at: Timestamp::now(),
    };
    check(app, &row)?;
    let id = row.id.to_string();
    let webhook_secret = auth::fresh("").key;
    let sealed_secret =
        app.keys.seal(secrets::Place::WebhookSecret(&id), webhook_secret.expose_secret().as_bytes())?;
    let token = seal_token(app, &id, new.clone_token.as_ref())?;
    let mut tx = app.db.begin().await?;
    tx.insert_repository(&RepositoryRow {
        public: &row,
        webhook_secret: &sealed_secret,
        clone_token: token.as_deref(),
    })
    .await?;
    let detail = json!({ "forge": row.forge, "clone_url": row.clone_url, "clone_token": token.is_some() });
    tx.audit(&actor.username, "repository.add", &row.full_name, detail).await?;
    tx.commit().await?;
    Ok(NewlyAdded { id: row.id, webhook_secret })
}

/// Changes a repository.
pub async fn update(
    app: &App,
    id: RepositoryId,
    change: RepositoryChange,
    actor: &Actor,
) -> Result<Repository, Error> {
    let mut tx = app.db.begin().await?;
    let mut row = tx.lock_repository(id).await?;
    let mut changed = Vec::new();
    for (name, old, new) in [
        ("clone_url", &mut row.clone_url, change.clone_url),
        ("default_branch", &mut row.default_branch, change.default_branch),
        ("pipeline_path", &mut row.pipeline_path, change.pipeline_path),
        ("pipelines", &mut row.pipelines, change.pipelines),
    ] {
        if let Some(new) = new {
            *old = new;
            changed.push(name);
        }
    }
    check(app, &row)?;
    let token = match &change.clone_token {
        None => None,
        Some(token) => {
            changed.push("clone_token");
            Some(seal_token(app, &id.to_string(), Some(token))?)
        }
    };
    tx.update_repository(&row, token.as_ref().map(Option::as_deref)).await?;
    tx.audit(&actor.username, "repository.change", &row.full_name, json!({ "changed": changed })).await?;
    tx.commit().await?;
    Ok(row)
}

/// Deletes a repository with all its runs, environments and secrets.
pub async fn delete(app: &App, id: RepositoryId, actor: &Actor) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let name = tx.delete_repository(id).await?;
    tx.audit(&actor.username, "repository.delete", &name, json!({})).await?;
    tx.commit().await?;
    app.webhook_secrets.forget(id);
    git::forget(app, id).await;
    Ok(())
}

/// All repositories, by name.
pub async fn list(app: &App) -> Result<Vec<Repository>, Error> {
    app.db.repositories().await
}

/// One repository.
pub async fn get(app: &App, id: RepositoryId) -> Result<Repository, Error> {
    app.db.repository(id).await
}

/// One repository by `owner/name`, if there is one.
pub async fn find(app: &App, full_name: &str) -> Result<Option<Repository>, Error> {
    app.db.find_repository(full_name).await
}

/// The secret that a repository's webhooks are signed with.
pub async fn webhook_secret(app: &App, id: RepositoryId) -> Result<SecretString, Error> {
    let (sealed, _) = app.db.sealed_of_repository(id).await?;
    text(&app.keys.open(secrets::Place::WebhookSecret(&id.to_string()), &sealed)?)
}

/// User name and token for clones, if the repository has them.
pub async fn clone_login(app: &App, id: RepositoryId) -> Result<Option<(String, SecretString)>, Error> {
    let (_, Some(sealed)) = app.db.sealed_of_repository(id).await? else { return Ok(None) };
    let login = text(&app.keys.open(secrets::Place::CloneToken(&id.to_string()), &sealed)?)?;
    let (user, token) = login
        .expose_secret()
        .split_once(':')
        .ok_or_else(|| Error::internal("a stored clone token has no user name"))?;
    Ok(Some((user.to_owned(), SecretString::from(token))))
}

/// Where a repository's pipeline files are.
pub fn places(repository: &Repository) -> Vec<Place> {
    let file = Place::File(repository.pipeline_path.clone());
    match repository.pipelines.as_str() {
        "tidegate" => vec![file, Place::Folder(NATIVE)],
        "github" => vec![Place::Folder(WORKFLOWS)],
        "both" => vec![file, Place::Folder(NATIVE), Place::Folder(WORKFLOWS)],
        _ => vec![file],
    }
}

/// Sets the schedules of a repository's default branch, as its pipeline files there have them. What a file's checks
/// would refuse is left out: the file's run shows it.
pub async fn set_schedules(app: &App, id: RepositoryId, schedules: &[FileSchedule]) -> Result<(), Error> {
    let now = Timestamp::now();
    let due: Vec<_> = schedules
        .iter()
        .filter_map(|one| Some((one.clone(), next_occurrence(&one.cron, &one.time_zone, now)?)))
        .collect();
    let mut tx = app.db.begin().await?;
    tx.lock_repository(id).await?;
    tx.set_schedules(id, &due).await?;
    tx.commit().await
}

/// When a schedule comes due next, strictly after a time. None: never, or it cannot be read. Times that the
/// clocks skip come due right after the gap, those that come twice the first time only.
pub(crate) fn next_occurrence(cron: &str, zone: &str, after: Timestamp) -> Option<Timestamp> {
    let zone = TimeZoneDatabase::bundled().get(zone).ok()?;
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let next = parser.parse(cron).ok()?.find_next_occurrence(&after.to_zoned(zone), false).ok()?;
    Some(next.timestamp())
}

/// Seals `user:token`; an empty one means none.
fn seal_token(app: &App, id: &str, token: Option<&SecretString>) -> Result<Option<Vec<u8>>, Error> {
    let Some(token) = token.map(ExposeSecret::expose_secret).filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    let fine = token.split_once(':').is_some_and(|(user, token)| !user.is_empty() && !token.is_empty());
    if !fine || token.len() > 4096 || token.chars().any(char::is_control) {
        return Err(Error::Invalid(
            "a clone token is `user:token`, for example `x-access-token:…` for GitHub".to_owned(),
        ));
    }
    app.keys.seal(secrets::Place::CloneToken(id), token.as_bytes()).map(Some)
}

fn text(bytes: &[u8]) -> Result<SecretString, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::internal("a sealed value is no text"))?;
    Ok(SecretString::from(text))
}

/// Refuses names that the database would refuse, and those that would leave a folder.
fn check_full_name(name: &str) -> Result<(), Error> {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    if name.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name)) {
        return Ok(());
    }
    Err(Error::Invalid(
        "a repository's name is `owner/name`, of letters, digits, `_`, `.` and `-`, and neither begins with a dot"
            .to_owned(),
    ))
}

/// What of a repository a person may choose.
fn check(app: &App, row: &Repository) -> Result<(), Error> {
    let url = git::check_url(&row.clone_url, app.config.allow_file_clone).map_err(invalid)?;
    if url.password().is_some() || (!url.username().is_empty() && url.scheme() != "ssh") {
        return Err(Error::Invalid(
            "a clone URL holds no credentials, everybody may read it: give them as the clone token"
                .to_owned(),
        ));
    }
    git::check_reference(&format!("refs/heads/{}", row.default_branch))
        .map_err(|_| Error::Invalid(format!("`{}` is no name of a branch", row.default_branch)))?;
    if !matches!(row.pipelines.as_str(), "file" | "tidegate" | "github" | "both") {
        return Err(Error::Invalid(format!(
            "`{}` does not say which files are pipelines: use file, tidegate, github or both",
            row.pipelines
        )));
    }
    git::check_path(&row.pipeline_path).map_err(invalid)
}

fn invalid(error: GitError) -> Error {
    match error {
        GitError::Core(error) => error,
        GitError::Gone(reason) | GitError::Away(reason) => Error::Invalid(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, zone: &str, after: &str) -> Option<String> {
        next_occurrence(cron, zone, after.parse().unwrap()).map(|at| at.to_string())
    }

    #[test]
    fn schedules_follow_their_time_zone() {
        assert_eq!(next("0 3 * * *", "UTC", "2026-01-01T03:00:00Z").unwrap(), "2026-01-02T03:00:00Z");
        assert_eq!(
            next("0 3 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z").unwrap(),
            "2026-01-01T02:00:00Z"
        );
        assert_eq!(
            next("0 3 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z").unwrap(),
            "2026-07-01T01:00:00Z"
        );
        // The clocks go from two to three.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z").unwrap(),
            "2026-03-29T01:00:00Z"
        );
        // They go from three back to two.
        let first = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z").unwrap();
        assert_eq!(first, "2026-10-25T00:30:00Z");
        assert_eq!(next("30 2 * * *", "Europe/Berlin", &first).unwrap(), "2026-10-26T01:30:00Z");
        assert_eq!(next("0 3 * * *", "Europe/Atlantis", "2026-01-01T00:00:00Z"), None);
        assert_eq!(next("* * * * * *", "UTC", "2026-01-01T00:00:00Z"), None);
    }

    #[test]
    fn names_that_would_leave_a_folder_are_refused() {
        for name in ["a", "a/", "/b", "a/b/c", "../b", "a/..", "a/.git", "a b/c", "a/b\n"] {
            assert!(check_full_name(name).is_err(), "{name}");
        }
        assert!(check_full_name("Acme-1/api_v2.x").is_ok());
    }
}
