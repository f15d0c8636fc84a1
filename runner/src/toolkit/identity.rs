//! Identity tokens: the server signs them, for stages whose permissions say `id-token: write`; here they are only passed
//! on. A local run has no server, and says so.

use serde_json::{Value, json};

use super::{Shared, trouble::Trouble};

/// The longest audience.
const LONGEST: usize = 1024;

/// A token for an audience; none: the one that the server takes for it.
pub(super) async fn token(shared: &Shared, audience: Option<&str>) -> Result<Value, Trouble> {
    if audience.is_some_and(|audience| audience.len() > LONGEST) {
        return Err(Trouble::invalid(format!("an audience has at most {LONGEST} bytes")));
    }
    let token = shared.ctx.results.id_token(audience).await?;
    // The library hides it too, but a script that asks by hand may not.
    shared.ctx.log.hide(&token);
    Ok(json!({ "value": token, "count": token.len() }))
}
