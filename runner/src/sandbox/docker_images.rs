//! Building and pushing images on the Docker engine.

use async_trait::async_trait;

use super::{BuildRequest, EngineError, Images, PushRequest, docker::Docker};

#[async_trait]
impl Images for Docker {
    async fn build(
        &self,
        _request: &BuildRequest,
        _log: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<String, EngineError> {
        Err(EngineError::Refused { what: "build".to_owned(), reason: "this build cannot yet".to_owned() })
    }

    async fn push(
        &self,
        _request: &PushRequest,
        _log: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<String, EngineError> {
        Err(EngineError::Refused { what: "push".to_owned(), reason: "this build cannot yet".to_owned() })
    }
}
