//! Templates and conditions, as things are when their turn comes: lenient ones are filled in here, strict ones were at
//! the server but for what only the stage knows.

use std::{collections::BTreeMap, path::PathBuf};

use tidegate_pipelines::{
    ResolveError,
    lenient::{self, Values},
    plan::Template,
    step_condition,
};

use super::{Failure, engine::Engine, hash_files, scope::Scope, strict};

/// How many different `hashFiles` one template may ask for.
const MOST_HASHES: usize = 16;

impl Engine<'_> {
    /// Whether templates are filled in here.
    pub(super) fn is_lenient(&self) -> bool {
        self.spoken.is_some()
    }

    /// The text of a template, as things are.
    pub(super) async fn text(
        &mut self,
        scope: &Scope,
        page: u32,
        template: &Template,
    ) -> Result<String, Failure> {
        if !self.is_lenient() || !template.0.contains("${{") {
            return Ok(template.0.clone());
        }
        self.evaluate(scope, page, |values| lenient::text(&template.0, values)).await
    }

    /// The value of a template, as things are.
    pub(super) async fn value(
        &mut self,
        scope: &Scope,
        page: u32,
        template: &Template,
    ) -> Result<serde_json::Value, Failure> {
        if !template.0.contains("${{") {
            return Ok(template.0.clone().into());
        }
        self.evaluate(scope, page, |values| lenient::value(&template.0, values)).await
    }

    /// A number of minutes, if the template gives one that means something.
    pub(super) async fn number(
        &mut self,
        scope: &Scope,
        page: u32,
        template: &Template,
    ) -> Result<Option<f64>, Failure> {
        let value = self.value(scope, page, template).await?;
        let number = match &value {
            serde_json::Value::Number(number) => number.as_f64(),
            serde_json::Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        Ok(number.filter(|minutes: &f64| minutes.is_finite() && *minutes > 0.0))
    }

    /// Whether a condition holds, as things are.
    pub(super) async fn holds(&mut self, scope: &Scope, page: u32, condition: &str) -> Result<bool, Failure> {
        if !self.is_lenient() {
            let facts = strict::facts(&scope.contexts, self.status(scope));
            return step_condition(condition, &facts).map_err(|error| Failure::failed(error.to_string()));
        }
        self.evaluate(scope, page, |values| lenient::holds(condition, values)).await
    }

    /// Evaluates; files are hashed in between, away from the async threads, and once.
    async fn evaluate<T>(
        &mut self,
        scope: &Scope,
        page: u32,
        ask: impl Fn(&Values<'_>) -> Result<T, ResolveError> + Send,
    ) -> Result<T, Failure>
    where
        T: Send,
    {
        let status = self.status(scope);
        let mut known: BTreeMap<Vec<String>, Result<String, String>> = BTreeMap::new();
        loop {
            let wanted = std::sync::Mutex::new(None);
            let answer = {
                let hash_files = |patterns: &[String]| match known.get(patterns) {
                    Some(hash) => hash.clone(),
                    None => {
                        *crate::sync::lock(&wanted) = Some(patterns.to_vec());
                        Err("the files are hashed first".to_owned())
                    }
                };
                ask(&Values { contexts: &scope.contexts, status, hash_files: &hash_files })
            };
            match wanted.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
                Some(patterns) if known.len() < MOST_HASHES => {
                    let hash = self.hash_files(page, &patterns).await?;
                    known.insert(patterns, hash);
                }
                _ => return answer.map_err(|error| Failure::failed(error.to_string())),
            }
        }
    }

    async fn hash_files(
        &mut self,
        page: u32,
        patterns: &[String],
    ) -> Result<Result<String, String>, Failure> {
        let key = format!("hash files {page}");
        if let Some(heard) = self.tape.heard(&key)? {
            return Ok(heard);
        }
        let (workspace, patterns): (PathBuf, Vec<String>) = (self.ctx.dirs.workspace(), patterns.to_vec());
        let hashed = tokio::task::spawn_blocking(move || hash_files::hash(&workspace, &patterns))
            .await
            .unwrap_or_else(|error| Err(error.to_string()));
        self.tape.note(&key, &hashed)?;
        Ok(hashed)
    }
}
