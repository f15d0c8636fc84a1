//! Names and types of an expression, checked when the file is compiled.
//!
//! Every fault found here would otherwise come up when a stage is about to run, perhaps hours later. Types are
//! inferred as far as the facts allow; what is not known (an input of a manual run, parsed JSON) goes with
//! everything.

use super::{
    Comparison, Expression, Kind, Literal, Logic, functions,
    names::{Names, path},
};
use crate::{
    codes::{self, Code},
    diagnostic::Place,
    nearest::{did_you_mean, listed},
};

/// What is known of a value before it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Any,
    Bool,
    Number,
    Text,
    List,
    Map,
}

impl Type {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Map => "a mapping",
        }
    }
}

/// A fault found by the checker; the place is in the expression's own text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub code: Code,
    pub place: Place,
    pub message: String,
    pub help: Option<String>,
}

/// All faults of an expression, and its type.
pub(crate) fn check(expression: &Expression, names: &Names<'_>) -> (Type, Vec<Finding>) {
    let mut checker = Checker { names, findings: Vec::new() };
    let kind = checker.infer(expression);
    (kind, checker.findings)
}

pub(super) struct Checker<'a> {
    pub(super) names: &'a Names<'a>,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    pub(super) fn find(&mut self, code: Code, place: Place, message: String, help: Option<String>) -> Type {
        self.findings.push(Finding { code, place, message, help });
        Type::Any
    }

    fn infer(&mut self, expression: &Expression) -> Type {
        if let Some(path) = path(expression) {
            return self.path(&path);
        }
        match &expression.kind {
            Kind::Literal(value) => type_of(value),
            Kind::Name(_) => Type::Any,
            Kind::Member(base, _) | Kind::Filter(base) => {
                self.infer(base);
                Type::Any
            }
            Kind::Index(base, index) => {
                self.infer(base);
                self.infer(index);
                Type::Any
            }
            Kind::Call(name, arguments) => {
                let types: Vec<Type> = arguments.iter().map(|argument| self.infer(argument)).collect();
                self.call(&name.value, name.place, expression.place, arguments, &types)
            }
            Kind::Not(inner) => {
                let found = self.infer(inner);
                self.expect(Type::Bool, found, inner.place, "`!`");
                Type::Bool
            }
            Kind::Logic(logic, row) => self.row(*logic, row),
            Kind::Compare(operator, left, right) => {
                let (l, r) = (self.infer(left), self.infer(right));
                self.compare(*operator, (left, l), (right, r), expression.place)
            }
        }
    }

    fn row(&mut self, logic: Logic, row: &[Expression]) -> Type {
        let types: Vec<Type> = row.iter().map(|part| self.infer(part)).collect();
        let last = types.last().copied().unwrap_or(Type::Any);
        match logic {
            Logic::And => {
                for (part, found) in row.iter().zip(&types).take(row.len().saturating_sub(1)) {
                    self.expect(Type::Bool, *found, part.place, "`&&`");
                }
                if let Some((part, message)) = contradiction(row, |a, b| a == b) {
                    self.find(codes::NEVER_HOLDS, part.place, message, None);
                }
                last
            }
            Logic::Or if types.iter().all(|found| *found == last) => last,
            Logic::Or => Type::Any,
        }
    }

    fn compare(
        &mut self,
        operator: Comparison,
        (left, l): (&Expression, Type),
        (right, r): (&Expression, Type),
        place: Place,
    ) -> Type {
        if !matches!(operator, Comparison::Equal | Comparison::NotEqual) {
            self.expect(Type::Number, l, left.place, &format!("`{}`", operator.sign()));
            self.expect(Type::Number, r, right.place, &format!("`{}`", operator.sign()));
        } else if l != Type::Any && r != Type::Any && l != r {
            let message = format!("{} is never equal to {}", l.describe(), r.describe());
            let help = Some("write both in one type; `fromJSON` makes a number of text".to_owned());
            self.find(codes::TYPE_MISMATCH, place, message, help);
        } else {
            // Only what is known to be text: a name that does not exist was found already.
            for (one, known, other) in [(left, l, right), (right, r, left)] {
                if let (Type::Text, Some(words), Kind::Literal(Literal::Text(text))) =
                    (known, self.words(one), &other.kind)
                    && !words.contains(&text.as_str())
                {
                    let help = did_you_mean(text, words.iter().copied())
                        .unwrap_or_else(|| format!("it is one of {}", listed(words.iter().copied())));
                    let message = format!("this is never '{text}'");
                    self.find(codes::NEVER_HOLDS, other.place, message, Some(help));
                }
            }
        }
        Type::Bool
    }

    fn expect(&mut self, wanted: Type, found: Type, place: Place, whose: &str) {
        if found != wanted && found != Type::Any {
            let message = format!("{whose} needs {}, and this is {}", wanted.describe(), found.describe());
            let help = match (wanted, found) {
                (Type::Bool, _) => Some("compare it with something, for example `== 'main'` or `!= null`"),
                (Type::Number, Type::Text) => Some("`fromJSON` makes a number of text"),
                _ => None,
            };
            self.find(codes::TYPE_MISMATCH, place, message, help.map(str::to_owned));
        }
    }

    fn call(
        &mut self,
        name: &str,
        name_place: Place,
        place: Place,
        arguments: &[Expression],
        types: &[Type],
    ) -> Type {
        let Some(function) = functions::find(name) else {
            let known = functions::FUNCTIONS.iter().map(|function| function.name);
            let help = did_you_mean(name, known.clone())
                .unwrap_or_else(|| format!("the functions are {}", listed(known)));
            return self.find(
                codes::UNKNOWN_NAME,
                name_place,
                format!("there is no function `{name}`"),
                Some(help),
            );
        };
        if !(function.least..=function.most).contains(&arguments.len()) {
            let message = format!("`{name}` does not take {} arguments", arguments.len());
            let help = Some(format!("it is written {}", function.usage));
            return self.find(codes::BAD_EXPRESSION, place, message, help);
        }
        if functions::is_status(name) {
            if !self.names.condition {
                let message = format!("`{name}()` asks how earlier stages ended, and that belongs into `if`");
                return self.find(codes::UNKNOWN_NAME, place, message, None);
            }
            return Type::Bool;
        }
        match (name, arguments, types) {
            ("matches", [_, Expression { kind: Kind::Literal(Literal::Text(pattern)), place, .. }], _) => {
                if let Err(message) = functions::compile_regex(pattern) {
                    self.find(codes::BAD_REGEX, *place, message, None);
                }
            }
            ("join", [list, ..], [found, ..]) => self.expect(Type::List, *found, list.place, "`join`"),
            _ => {}
        }
        if matches!(name, "startsWith" | "endsWith" | "matches" | "fromJSON" | "format")
            && let ([first, ..], [found, ..]) = (arguments, types)
        {
            self.expect(Type::Text, *found, first.place, &format!("`{name}`"));
        }
        match name {
            "contains" | "startsWith" | "endsWith" | "matches" => Type::Bool,
            "format" | "join" | "toJSON" => Type::Text,
            _ => Type::Any,
        }
    }
}

fn type_of(value: &Literal) -> Type {
    match value {
        Literal::Null => Type::Any,
        Literal::Bool(_) => Type::Bool,
        Literal::Number(_) => Type::Number,
        Literal::Text(_) => Type::Text,
    }
}

/// The part of a row of `&&` that asks of a name to be another text than a part before it does, and what is wrong.
pub(super) fn contradiction(
    row: &[Expression],
    same: impl Fn(&str, &str) -> bool,
) -> Option<(&Expression, String)> {
    let mut asked: Vec<(String, &str)> = Vec::new();
    for part in row {
        let Kind::Compare(Comparison::Equal, left, right) = &part.kind else { continue };
        let (name, text) = match (path(left), &right.kind, path(right), &left.kind) {
            (Some(name), Kind::Literal(Literal::Text(text)), _, _)
            | (_, _, Some(name), Kind::Literal(Literal::Text(text))) => (name, text),
            _ => continue,
        };
        let name = name.iter().map(|(part, _)| *part).collect::<Vec<_>>().join(".");
        match asked.iter().find(|(other, _)| same(other, &name)) {
            Some((_, before)) if !same(before, text) => {
                return Some((part, format!("`{name}` cannot be '{before}' and '{text}' at once")));
            }
            Some(_) => {}
            // More than a person would write; the search stays short.
            None if asked.len() < 32 => asked.push((name, text)),
            None => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expressions::{StageName, parse};

    fn names() -> Names<'static> {
        let stage = |name, upstream, matrix, outputs| StageName { name, upstream, matrix, outputs };
        Names {
            inputs: vec![("level", Type::Text)],
            in_template: false,
            choices: vec![("level", vec!["major", "minor"])],
            matrix: Some(vec!["node"]),
            open_matrix: false,
            steps: [("first", 0), ("third", 2)].into(),
            step: Some(1),
            environment: false,
            stages: Some(vec![
                stage("push-it", true, false, Some(vec!["digest", "image"])),
                stage("test", true, true, None),
                stage("later", false, false, None),
            ]),
            condition: true,
        }
    }

    fn findings(text: &str) -> Vec<String> {
        let (_, findings) = check(&parse(text).unwrap(), &names());
        findings.into_iter().map(|finding| format!("{} {}", finding.code.id, finding.message)).collect()
    }

    #[test]
    fn right_expressions_have_no_findings() {
        for text in [
            "git.branch == 'main' && success()",
            "inputs.level == 'major' || event.pull_request.number > 3",
            "matrix.node == 20",
            "stages.push-it.outputs.image != null",
            "stages['test (node=20)'].outputs.anything == 'x'",
            "stages.test.status == 'failed'",
            "fromJSON(git.message).a.b == 1",
            "contains(event.changed_paths, 'a') && matches(git.tag, '^v')",
            "(git.tag || git.branch) == 'v1'",
            "event.kind == 'push' || event.kind == 'tag'",
            "git.branch == 'main' && git.branch == 'main' && git.tag == 'v1'",
            "steps.first.outcome == 'failed' && steps.first.outputs.x != 'y'",
            "event.kind != 'push'",
        ] {
            assert_eq!(findings(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn wrong_names_and_types_are_found_all_at_once() {
        for (text, expected) in [
            ("gti.sha == 'x'", vec!["TG0502 there is no context `gti`"]),
            (
                "git.brnch == event.actr",
                vec!["TG0502 `git` has no property `brnch`", "TG0502 `event` has no property `actr`"],
            ),
            ("inputs.lvl == 'x'", vec!["TG0502 `on.manual.inputs` declares no input `lvl`"]),
            ("stages.push.status == 'x'", vec!["TG0502 there is no stage `push`"]),
            (
                "stages.later.status == 'x'",
                vec!["TG0503 stage `later` does not come before this one, so nothing is known of it"],
            ),
            ("stages.push-it.outputs.img == 'x'", vec!["TG0502 this stage has no output `img`"]),
            (
                "stages.test.outputs.x == 'x'",
                vec!["TG0502 `test` has a matrix, so its outputs have no single value"],
            ),
            ("git.sha == 5", vec!["TG0504 text is never equal to a number"]),
            ("!git.branch", vec!["TG0504 `!` needs a boolean, and this is text"]),
            ("git.sha > 5", vec!["TG0504 `>` needs a number, and this is text"]),
            ("contain(git.sha, 'x')", vec!["TG0502 there is no function `contain`"]),
            ("contains(git.sha)", vec!["TG0501 `contains` does not take 1 arguments"]),
            ("event.kind == 'psh'", vec!["TG0507 this is never 'psh'"]),
            ("'tags' != event['kind']", vec!["TG0507 this is never 'tags'"]),
            ("stages.test.status == 'success'", vec!["TG0507 this is never 'success'"]),
            ("inputs.level == 'mayor'", vec!["TG0507 this is never 'mayor'"]),
            (
                "git.branch == 'main' && success() && 'dev' == git.branch",
                vec!["TG0507 `git.branch` cannot be 'main' and 'dev' at once"],
            ),
            ("secrets.TOKEN == 'x'", vec!["TG0502 secrets are never part of an expression"]),
            ("environment.url == 'x'", vec!["TG0502 `environment` is known only in deploy and smoke stages"]),
            ("steps.frist.outcome == 'x'", vec!["TG0502 no step of this stage has the id `frist`"]),
            ("steps.third.outcome == 'failed'", vec!["TG0502 step `third` does not come before this one"]),
            ("steps.first.output.x == 'a'", vec!["TG0502 `steps.first` has no property `output`"]),
            ("git.sha.x == 'y'", vec!["TG0502 `git.sha` is text, it has no property `x`"]),
        ] {
            assert_eq!(findings(text), expected, "{text}");
        }
        assert!(findings("matches(git.sha, '(')")[0].starts_with("TG0211"));
    }
}
