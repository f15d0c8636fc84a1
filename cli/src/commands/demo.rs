//! `tidegate demo`: a door to [`crate::demo`].

use std::path::PathBuf;

use clap::Args;
use owo_colors::OwoColorize;
use secrecy::ExposeSecret;

use crate::{
    demo::{self, Approval, Folder},
    failure::{Failure, Outcome},
    logging, terminal,
};

/// Show the whole road on this machine: push, checks, image, gate, deployment, rollback
///
/// Starts a server with its database, a runner and an image registry in the background, pushes two commits of a
/// sample service, and shows what becomes of them. The server goes on running afterwards, for a look around in the
/// browser; a second `tidegate demo` uses it again.
#[derive(Args)]
pub struct Demo {
    /// Approve at the gate without asking, as a second user through the API
    #[arg(long, short)]
    yes: bool,
    /// Play without hands in a folder of its own, verify everything from outside, clean up
    #[arg(long, conflicts_with_all = ["yes", "stop", "reset"])]
    check: bool,
    /// Stop the demo's server; the deployed containers go on
    #[arg(long, conflicts_with_all = ["yes", "reset"])]
    stop: bool,
    /// Remove everything that the demo made
    #[arg(long)]
    reset: bool,
    /// Where the demo keeps its things
    #[arg(long, env = "TIDEGATE_DEMO_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Be the background process
    #[arg(long, hide = true)]
    serve: bool,
}

impl Demo {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let name = if self.check { "demo-check" } else { "demo" };
        let (root, project) = match self.data_dir {
            // Two demos on one machine keep apart.
            Some(root) => (root, format!("tidegate-demo-{}", std::process::id())),
            None => (Folder::default_root(name)?, demo::USUAL_PROJECT.to_owned()),
        };
        if self.serve {
            logging::install("info,sqlx=error");
            return demo::serve(Folder::open(&root, &project)?).await;
        }
        logging::install("error");
        if self.check {
            return demo::check(&root).await;
        }
        if self.stop || self.reset {
            return end(&root, self.reset).await;
        }
        let folder = Folder::open(&root, &project)?;
        let approval = match (self.yes, terminal::is_interactive()) {
            (true, _) => Approval::Itself,
            (false, true) => Approval::Ask,
            (false, false) => Approval::Browser,
        };
        tokio::select! {
            shown = demo::show(&folder, approval) => shown?,
            // Not the default way to end: the terminal has to be put back.
            _ = tokio::signal::ctrl_c() => {
                return Err(Failure::interrupted("nobody looks any more").mend(format!(
                    "the run goes on at {}; `tidegate demo --stop` ends the server",
                    folder.settings.server_url()?
                )));
            }
        };
        farewell(&folder)
    }
}

async fn end(root: &std::path::Path, reset: bool) -> Outcome {
    let Some(folder) = Folder::existing(root)? else {
        anstream::println!("There is no demo in {}.", root.display());
        return Ok(());
    };
    if reset {
        demo::clean(&folder).await?;
        anstream::println!("The demo, its containers and its images are gone.");
    } else if demo::stop(&folder).await? {
        anstream::println!(
            "The demo's server is stopped. `tidegate demo` starts it again, `tidegate demo --reset` removes everything."
        );
    } else {
        anstream::println!("The demo's server was not running.");
    }
    Ok(())
}

/// Where to look next.
fn farewell(folder: &Folder) -> Outcome {
    use demo::Person;
    let settings = &folder.settings;
    anstream::println!("\n{} goes on running at {}", "Tidegate".bold(), settings.server_url()?.underline());
    for person in [Person::Admin, Person::Release, Person::Dev] {
        anstream::println!(
            "  log in as {:<8} / {}",
            person.username(),
            settings.password(person).expose_secret()
        );
    }
    for (name, url) in settings.environments()? {
        anstream::println!("  {name:<10} {url}");
    }
    anstream::println!("  the developer's clone is {}; commit there and push", folder.clone().display());
    anstream::println!(
        "  {}",
        "tidegate demo --stop ends the server, tidegate demo --reset removes everything".dimmed()
    );
    Ok(())
}
