//! Questions to a cluster by `psql`, for checks that must not take the server's word.

use std::path::Path;

use tokio::process::Command;

use super::cluster::Cluster;
use crate::failure::{Doing, Failure, Outcome};

/// `psql` on the cluster in a folder, whose server runs.
pub struct Psql {
    cluster: Cluster,
}

impl Psql {
    /// On the cluster in this folder.
    pub fn new(folder: &Path) -> Outcome<Self> {
        Ok(Self { cluster: Cluster::open(folder)? })
    }

    /// The rows that a query gives: cells apart by `|`, rows by line ends.
    pub async fn ask(&self, sql: &str) -> Outcome<String> {
        let mut command = self.cluster.command("psql");
        command.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1"]);
        command.arg("--command").arg(sql).arg(self.cluster.url()?);
        let output = Command::from(command).output().await.doing("cannot run psql")?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(Failure::new("the database refused a question")
            .because(String::from_utf8_lossy(&output.stderr).trim()))
    }
}
