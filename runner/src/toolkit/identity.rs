//! Identity tokens: the server signs them, for stages whose permissions say `id-token: write`; here they are only passed
//! on. A local run has no server, and says so.

use serde_json::{Value, json};

use super::{Shared, trouble::Trouble};
use crate::stage::{ResultsError, StageContext};

/// The longest audience.
const LONGEST: usize = 1024;

/// A token that says which job this is, for an audience; none: the one that is usual on the server. For built-in actions
/// too. Logs hide it from now on.
pub async fn id_token(ctx: &StageContext, audience: Option<&str>) -> Result<String, ResultsError> {
    if !ctx.lease.stage.id_token || !ctx.lease.trusted {
        return Err(ResultsError::Invalid(
            "this job may not have identity tokens: it needs `permissions: id-token: write`, and no run of a fork has any"
                .to_owned(),
        ));
    }
    if audience.is_some_and(|audience| audience.len() > LONGEST) {
        return Err(ResultsError::Invalid(format!("an audience has at most {LONGEST} bytes")));
    }
    let token = ctx.results.id_token(audience).await?;
    ctx.log.hide(&token);
    Ok(token)
}

/// The same for a library, or for a script that asks by hand.
pub(super) async fn answer(shared: &Shared, audience: Option<&str>) -> Result<Value, Trouble> {
    let token = id_token(&shared.ctx, audience).await?;
    Ok(json!({ "count": token.len(), "value": token }))
}
