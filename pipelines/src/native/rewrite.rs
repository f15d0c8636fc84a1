//! From the names of a scope to those of the plan.
//!
//! A plan knows nothing of templates: in the expressions of their stages, inputs are replaced by what their use gives
//! and names of stages by their whole names, and whoever reads what a use hands on reads what that is made of. What
//! is put in is an expression that was parsed before, in parentheses, or a literal; so nothing changes its meaning.

use std::collections::HashMap;

use super::file::{Local, Pipeline};
use crate::{
    StepFacts, codes,
    diagnostic::Problems,
    expressions::{
        Expression, Fault, Kind, Part, Scope, evaluate, expression_of, literal_text, max_length, parse,
        replaced, split, to_text,
    },
    plan::{Expressions, Template},
};

/// The longest expression, in bytes.
const LONGEST: usize = max_length(Expressions::Strict);

pub(crate) struct Rewriter<'p> {
    pipeline: &'p Pipeline,
    /// By scope: its inputs as expressions of the plan.
    inputs: Vec<HashMap<String, String>>,
    /// By scope: what it hands on as expressions of the plan.
    outputs: Vec<HashMap<String, String>>,
}

impl<'p> Rewriter<'p> {
    /// Works out what scopes are given and hand on. Faults are about lengths: all else is found by the checks.
    pub(crate) fn new(pipeline: &'p Pipeline, problems: &mut Problems<'_>) -> Self {
        let count = pipeline.scopes.len();
        let mut rewriter =
            Self { pipeline, inputs: vec![HashMap::new(); count], outputs: vec![HashMap::new(); count] };
        // The outer ones come first: what they are given is part of what they give.
        for (index, scope) in pipeline.scopes.iter().enumerate() {
            let Some(call) = &scope.call else { continue };
            for (name, value) in &call.with {
                let text = rewriter.expression(call.parent, &value.value);
                let text = text.unwrap_or_else(|fault| {
                    problems.report(codes::BAD_EXPRESSION, value.place, fault.message);
                    "null".to_owned()
                });
                if let Some(inputs) = rewriter.inputs.get_mut(index) {
                    inputs.insert(name.clone(), text);
                }
            }
        }
        // The inner ones first: what they hand on is part of what the outer ones do.
        for (index, scope) in pipeline.scopes.iter().enumerate().rev() {
            for (name, value) in &scope.outputs {
                let text = expression_of(&value.value).and_then(|text| rewriter.expression(index, &text));
                // Reported where all expressions are checked.
                if let (Ok(text), Some(outputs)) = (text, rewriter.outputs.get_mut(index)) {
                    outputs.insert(name.value.clone(), text);
                }
            }
        }
        rewriter
    }

    /// An expression of a scope as one of the plan.
    pub(crate) fn expression(&self, scope: usize, text: &str) -> Result<String, Fault> {
        if self.pipeline.scopes.len() < 2 {
            return Ok(text.to_owned());
        }
        let mut changes = Vec::new();
        self.collect(&parse(text)?, scope, &mut changes)?;
        let rewritten = replaced(text, changes);
        if rewritten.len() > LONGEST {
            let message =
                format!("with what the template is given the expression is longer than {LONGEST} bytes");
            return Err(Fault::parsing(crate::diagnostic::Place::new(0, text.len()), message));
        }
        Ok(rewritten)
    }

    /// A template of a scope as one of the plan. What depends on nothing is text at once.
    pub(crate) fn template(&self, scope: usize, text: &str) -> Template {
        Template(self.text(scope, text).unwrap_or_else(|_| text.to_owned()))
    }

    fn text(&self, scope: usize, text: &str) -> Result<String, Fault> {
        if self.pipeline.scopes.len() < 2 {
            return Ok(text.to_owned());
        }
        let mut out = String::new();
        for part in split(text)? {
            match part {
                Part::Text(range) => out.push_str(&text[range]),
                Part::Expression(range) => {
                    let before = &text[range];
                    let after = self.expression(scope, before)?;
                    match constant(&after).filter(|_| after != before) {
                        Some(value) => out.push_str(&value),
                        None => out.push_str(&format!("${{{{ {} }}}}", after.trim())),
                    }
                }
            }
        }
        Ok(out)
    }

    /// A condition of a scope as one of the plan; checked before.
    pub(crate) fn condition(&self, scope: usize, text: &str) -> String {
        self.expression(scope, text).unwrap_or_else(|_| text.to_owned())
    }

    /// The whole name of a stage or use.
    pub(crate) fn global(&self, local: Local) -> Option<&'p str> {
        match local {
            Local::Stage(index) => Some(self.pipeline.stages.get(index)?.name.value.as_str()),
            Local::Call(scope) => Some(self.pipeline.scope(scope)?.prefix.trim_end_matches(" / ")),
        }
    }

    fn collect(
        &self,
        expression: &Expression,
        scope: usize,
        changes: &mut Vec<(crate::diagnostic::Place, String)>,
    ) -> Result<(), Fault> {
        let is_template = self.pipeline.scope(scope).is_some_and(|scope| scope.call.is_some());
        if let Kind::Name(name) = &expression.kind
            && is_template
            && matches!(name.as_str(), "inputs" | "stages")
        {
            let message = format!("in a template `{name}` is read by name: `{name}.…`");
            return Err(Fault::parsing(expression.place, message));
        }
        if let Some((base, name)) = property(expression) {
            if is_name(base, "inputs") && is_template {
                let value = self.inputs.get(scope).and_then(|inputs| inputs.get(name));
                changes.push((expression.place, format!("({})", value.map_or("null", String::as_str))));
                return Ok(());
            }
            if let Some(text) = self.handed_on(base, name, scope) {
                changes.push((expression.place, format!("({text})")));
                return Ok(());
            }
            if is_name(base, "stages") {
                let (stage, values) = name.split_once(" (").unwrap_or((name, ""));
                let found = self.pipeline.lookup(scope, stage).and_then(|local| self.global(local));
                if let Some(global) = found.filter(|global| *global != stage) {
                    let values = if values.is_empty() { String::new() } else { format!(" ({values}") };
                    changes.push((
                        expression.place,
                        format!("stages[{}]", literal_text(&format!("{global}{values}"))),
                    ));
                }
                return Ok(());
            }
        }
        expression.parts().into_iter().try_for_each(|part| self.collect(part, scope, changes))
    }

    /// `stages.<use>.outputs.<name>`
    fn handed_on(&self, outputs: &Expression, name: &str, scope: usize) -> Option<&String> {
        let (stage, "outputs") = property(outputs)? else { return None };
        let (stages, local) = property(stage)?;
        let Local::Call(inner) = self.pipeline.lookup(scope, local).filter(|_| is_name(stages, "stages"))?
        else {
            return None;
        };
        self.outputs.get(inner)?.get(name)
    }
}

/// `base.name` and `base['name']`
fn property(expression: &Expression) -> Option<(&Expression, &str)> {
    match &expression.kind {
        Kind::Member(base, name) => Some((base, &name.value)),
        Kind::Index(base, index) => Some((base, index.literal_text()?)),
        _ => None,
    }
}

fn is_name(expression: &Expression, name: &str) -> bool {
    matches!(&expression.kind, Kind::Name(found) if found == name)
}

/// The text of an expression that reads nothing at all.
fn constant(text: &str) -> Option<String> {
    let expression = parse(text).ok()?;
    let mut reads = expression.is_late();
    expression.walk(&mut |part| reads |= matches!(part.kind, Kind::Name(_)));
    if reads {
        return None;
    }
    let facts = StepFacts::default();
    let text = to_text(&evaluate(&expression, &Scope::of_steps(&facts)).ok()?);
    // Text is not to be taken for an expression.
    (!text.contains("${{")).then_some(text)
}
