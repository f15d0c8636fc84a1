//! Variables: values that pipelines read as `vars`, of a repository or of one of its environments. Nothing about them is
//! secret: whoever may look at runs may read them, and logs show them.

use serde_json::json;
use tidegate_protocol::ids::RepositoryId;

use crate::{actor::Actor, app::App, environments, error::Error, store::views::Variable};

/// The longest value, in bytes.
const LARGEST: usize = 48 << 10;
/// Variables of a repository.
const MOST: i64 = 1000;

/// The variables of a repository, by name.
pub async fn list(app: &App, repository: RepositoryId) -> Result<Vec<Variable>, Error> {
    app.db.variables(repository).await
}

/// Sets a variable. `environment` none: for every stage of the repository.
pub async fn put(
    app: &App,
    repository: RepositoryId,
    environment: Option<&str>,
    name: &str,
    value: &str,
    actor: &Actor,
) -> Result<(), Error> {
    check_name(name)?;
    if let Some(environment) = environment {
        environments::check_name(environment)?;
    }
    if value.len() > LARGEST || value.contains('\0') {
        return Err(Error::Invalid(format!("a variable has at most {LARGEST} bytes of text, without NUL")));
    }
    let mut tx = app.db.begin().await?;
    let owner = tx.lock_repository(repository).await?;
    if !tx.put_variable(repository, (environment, name, value), &actor.username, MOST).await? {
        return Err(Error::Refused(format!(
            "a repository has at most {MOST} variables; delete one that nothing reads any more"
        )));
    }
    let detail = json!({ "name": name, "environment": environment });
    tx.audit(&actor.username, "variable.put", &owner.full_name, detail).await?;
    tx.commit().await
}

/// Deletes a variable.
pub async fn delete(
    app: &App,
    repository: RepositoryId,
    environment: Option<&str>,
    name: &str,
    actor: &Actor,
) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let owner = tx.lock_repository(repository).await?;
    tx.delete_variable(repository, environment, name).await?;
    let detail = json!({ "name": name, "environment": environment });
    tx.audit(&actor.username, "variable.delete", &owner.full_name, detail).await?;
    tx.commit().await
}

/// Refuses names that the database would refuse, with a sentence.
fn check_name(name: &str) -> Result<(), Error> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let rest = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if first && rest && name.len() <= 100 {
        return Ok(());
    }
    Err(Error::Invalid(
        "a variable's name has 1 to 100 of A-Z, 0-9 and `_`, and does not begin with a digit".to_owned(),
    ))
}
