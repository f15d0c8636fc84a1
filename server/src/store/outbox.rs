use super::Tx;
use crate::error::Error;
use tidegate_protocol::ids::RepositoryId;
impl Tx {
    pub async fn enqueue(
        &mut self,
        _r: RepositoryId,
        _k: &str,
        _i: &str,
        _p: serde_json::Value,
    ) -> Result<(), Error> {
        Ok(())
    }
}
