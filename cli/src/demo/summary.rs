//! The table at the end: stages of both runs, and what each environment runs.

use owo_colors::OwoColorize;

use super::show::Story;
use crate::{
    api::views::{Run, Stage},
    commands::runs::stage_duration,
    terminal::{Table, ago, short_digest, status_mark, status_style},
};

/// A story, as tables.
pub struct Summary<'a>(pub &'a Story);

impl Summary<'_> {
    /// Both tables.
    pub fn render(&self) -> String {
        let mut table = Table::new(&["stage", "good commit", "", "bad commit", ""]);
        let mut keys: Vec<&str> = self.0.good.stages.iter().map(|stage| stage.key.as_str()).collect();
        for stage in self.0.bad.iter().flat_map(|run| &run.stages) {
            if !keys.contains(&stage.key.as_str()) {
                keys.push(&stage.key);
            }
        }
        for key in keys {
            let good = self.0.good.stage(key);
            let bad = self.0.bad.as_ref().and_then(|run| run.stage(key));
            let row = [key.to_owned(), result(good), taken(good), result(bad), taken(bad)];
            table.row(row);
        }
        table.row([
            "run".bold().to_string(),
            self.0.good.status.style(status_style(&self.0.good.status)).to_string(),
            whole(&self.0.good),
            self.0
                .bad
                .as_ref()
                .map(|run| run.status.style(status_style(&run.status)).to_string())
                .unwrap_or_default(),
            self.0.bad.as_ref().map(whole).unwrap_or_default(),
        ]);
        let mut places = Table::new(&["environment", "digest", "commit", "since"]).prose(&["commit"]);
        for environment in &self.0.environments {
            let Some(current) = &environment.current else { continue };
            let commit = [Some(&self.0.good), self.0.bad.as_ref()]
                .into_iter()
                .flatten()
                .find(|run| pushed_image(run) == Some(current.image.as_str()))
                .map(|run| format!("{} {}", short_digest(&run.sha), run.title))
                .unwrap_or_default();
            let kind = if current.rollback_of.is_some() {
                " (rolled back)".yellow().to_string()
            } else {
                String::new()
            };
            places.row([
                environment.name.clone(),
                format!("sha256:{}", short_digest(&current.image)),
                commit,
                format!("{}{kind}", ago(current.created_at)),
            ]);
        }
        format!("{}\n\n{}", table.render(), places.render())
    }
}

fn pushed_image(run: &Run) -> Option<&str> {
    run.stages.iter().find(|stage| stage.verb == "push")?.outputs.get("image").map(String::as_str)
}

fn result(stage: Option<&Stage>) -> String {
    stage.map_or_else(String::new, |stage| {
        let style = status_style(&stage.status);
        format!("{} {}", status_mark(&stage.status).style(style), stage.status.style(style))
    })
}

fn taken(stage: Option<&Stage>) -> String {
    stage.map(stage_duration).unwrap_or_default()
}

fn whole(run: &Run) -> String {
    let end = run.finished_at.unwrap_or_else(jiff::Timestamp::now);
    crate::terminal::duration(
        std::time::Duration::try_from(end.duration_since(run.created_at)).unwrap_or_default(),
    )
}
