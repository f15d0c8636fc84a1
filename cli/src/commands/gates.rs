//! `tidegate gates`, `approve` and `reject`.

use clap::{Args, Subcommand};
use owo_colors::OwoColorize;
use serde_json::json;

use crate::{
    api::{Api, raw, views},
    failure::{Failure, Outcome},
    terminal::{self, Table},
};

/// Look at gates
#[derive(Subcommand)]
pub enum Gates {
    /// The gates that wait for a decision
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A decision at a gate
#[derive(Args)]
pub struct Decide {
    /// The gate's id; not needed while only one waits
    gate: Option<String>,
    /// Why
    #[arg(long, short, default_value = "")]
    comment: String,
}

impl Gates {
    /// Prints the list.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        let Self::List { json } = self;
        if json {
            return super::print_json(&raw(&api, "gates?status=open").await?);
        }
        let page: views::Gates = api.get("gates?status=open").await?;
        let mut table = Table::new(&[
            "run",
            "repository",
            "environment",
            "commit",
            "image",
            "approvals",
            "why it waits",
            "id",
        ])
        .prose(&["why it waits", "repository"]);
        for gate in page.gates {
            let given: Vec<&str> = gate
                .decisions
                .iter()
                .filter(|decision| decision.verdict == "approve")
                .map(|decision| decision.username.as_str())
                .collect();
            table.row([
                format!("#{}", gate.run_number),
                gate.repository,
                gate.environment.name,
                terminal::short_digest(&gate.sha),
                terminal::short_digest(&gate.image),
                format!("{} of {} {}", given.len(), gate.required_approvals, given.join(", ")),
                terminal::harmless(gate.reason.as_deref().unwrap_or_default()),
                gate.id,
            ]);
        }
        table.print("No gate waits.");
        Ok(())
    }
}

impl Decide {
    /// Decides, at the named gate or the only one.
    pub async fn run(self, verdict: &str) -> Outcome {
        let api = Api::from_surroundings()?;
        let id = match self.gate {
            Some(id) => id,
            None => only_gate(&api).await?,
        };
        let gate: views::Gate = api
            .post(&format!("gates/{id}/decision"), &json!({"verdict": verdict, "comment": self.comment}))
            .await?;
        anstream::println!(
            "Gate before {} of run #{}: {}",
            gate.stage.bold(),
            gate.run_number,
            gate.status.style(terminal::status_style(&gate.status))
        );
        Ok(())
    }
}

async fn only_gate(api: &Api) -> Outcome<String> {
    let mut page: views::Gates = api.get("gates?status=open").await?;
    match (page.gates.pop(), page.gates.len()) {
        (Some(gate), 0) => Ok(gate.id),
        (None, _) => Err(Failure::new("no gate waits for a decision")),
        (Some(_), more) => Err(Failure::usage(format!("{} gates wait: which one?", more + 1))
            .mend("`tidegate gates list` shows their ids")),
    }
}
