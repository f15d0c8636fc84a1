//! `push`: a built image goes to a registry. Outputs: `digest`, and `image` as `repository@digest`.

use std::collections::BTreeMap;

use tidegate_pipelines::plan::Push;

use super::{as_step, engine_failure};
use crate::{
    logs::line,
    sandbox::PushRequest,
    stage::{StageContext, VerbResult},
};

/// Pushes the image under all its tags.
pub async fn run(context: &StageContext, push: &Push) -> VerbResult {
    as_step(context, "push image", async |step| {
        let request = PushRequest {
            image_id: push.image_id.as_str().to_owned(),
            repository: push.repository.as_str().to_owned(),
            tags: push.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            login: context.lease.registry_login.clone(),
        };
        let mut log = |bytes: &[u8]| context.log.write(step, bytes);
        let digest = context.engine.images().push(&request, &mut log).await.map_err(engine_failure)?;
        let image = format!("{}@{digest}", request.repository);
        line(&*context.log, step, format!("pushed {image}"));
        Ok(BTreeMap::from([("digest".to_owned(), digest), ("image".to_owned(), image)]))
    })
    .await
}
