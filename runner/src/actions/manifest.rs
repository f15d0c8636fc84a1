//! `action.yml`, read.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidegate_pipelines::{
    SourceFile, lenient, plain_yaml,
    plan::{ActionUse, Does, Script, Step, StepWhen, Template},
};

/// The names that a manifest may have, in the order of looking.
pub const FILES: [&str; 2] = ["action.yml", "action.yaml"];
/// The largest manifest, in bytes.
pub const LARGEST: u64 = 256 << 10;

/// What an action is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its name for people.
    pub name: String,
    /// Its inputs.
    pub inputs: Vec<Input>,
    /// Its outputs; a value only where steps make it.
    pub outputs: BTreeMap<String, Option<Template>>,
    /// How it is carried out.
    pub runs: Runs,
}

/// An input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// As in the manifest.
    pub name: String,
    /// Used when the step gives none.
    pub default: Option<Template>,
    /// What to say to who still gives it.
    pub deprecation: Option<String>,
}

/// How an action is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runs {
    /// By steps. A script's shell is the text in the manifest, as its only word.
    Composite(Vec<Step>),
    /// By Node.js.
    Node(Node),
    /// By a container.
    Docker(Docker),
}

/// A JavaScript action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// As in the manifest: `node20`.
    pub using: String,
    /// The file that is run.
    pub main: String,
    /// A file that is run before the stage's first step.
    pub pre: Option<Hook>,
    /// A file that is run after the stage's last step.
    pub post: Option<Hook>,
}

/// A container action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Docker {
    /// A Dockerfile beside the manifest, or `docker://image`.
    pub image: String,
    /// In place of the image's entry point.
    pub entrypoint: Option<Template>,
    /// Its arguments.
    pub args: Vec<Template>,
    /// Its environment.
    pub env: BTreeMap<String, Template>,
    /// An entry point that is run before the stage's first step.
    pub pre: Option<Hook>,
    /// An entry point that is run after the stage's last step.
    pub post: Option<Hook>,
}

/// What is run before or after everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The file or entry point.
    pub run: String,
    /// Its `if`.
    pub condition: String,
}

impl Manifest {
    /// What it does before the stage's first step.
    pub fn pre(&self) -> Option<&Hook> {
        match &self.runs {
            Runs::Composite(_) => None,
            Runs::Node(node) => node.pre.as_ref(),
            Runs::Docker(docker) => docker.pre.as_ref(),
        }
    }

    /// What it does after the stage's last step.
    pub fn post(&self) -> Option<&Hook> {
        match &self.runs {
            Runs::Composite(_) => None,
            Runs::Node(node) => node.post.as_ref(),
            Runs::Docker(docker) => docker.post.as_ref(),
        }
    }
}

/// Reads a manifest. `path` is for messages. The error is one sentence.
pub fn parse(path: &str, source: &str) -> Result<Manifest, String> {
    let root = plain_yaml(&SourceFile { path, text: source })?;
    let wrong = |what: String| format!("{path}: {what}");
    let root = root.as_object().ok_or_else(|| wrong("it is no mapping".to_owned()))?;
    let none = Map::new();
    let map = |key: &str| -> Result<&Map<String, Value>, String> {
        match root.get(key) {
            None | Some(Value::Null) => Ok(&none),
            Some(Value::Object(map)) => Ok(map),
            Some(_) => Err(wrong(format!("`{key}` is no mapping"))),
        }
    };
    let inputs = map("inputs")?.iter().map(|(name, value)| Input {
        name: name.clone(),
        default: text_of(value, "default").map(Template),
        deprecation: text_of(value, "deprecationMessage"),
    });
    let runs = match root.get("runs") {
        Some(Value::Object(runs)) => read_runs(runs).map_err(wrong)?,
        _ => return Err(wrong("`runs` is missing, which says how the action is carried out".to_owned())),
    };
    let composite = matches!(runs, Runs::Composite(_));
    let outputs = map("outputs")?
        .iter()
        .map(|(name, value)| {
            let value = text_of(value, "value").map(Template);
            (name.clone(), value.filter(|_| composite))
        })
        .collect();
    Ok(Manifest { name: text(root, "name").unwrap_or_default(), inputs: inputs.collect(), outputs, runs })
}

fn text_of(value: &Value, key: &str) -> Option<String> {
    value.as_object().and_then(|map| text(map, key))
}

fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn read_runs(runs: &Map<String, Value>) -> Result<Runs, String> {
    let needed = |key: &str| text(runs, key).ok_or_else(|| format!("`runs.{key}` is missing"));
    let hook = |run: &str, condition: &str| {
        text(runs, run).map(|run| Hook {
            run,
            condition: text(runs, condition).unwrap_or_else(|| "always()".to_owned()),
        })
    };
    if runs.contains_key("plugin") {
        return Err("`runs.plugin` is of GitHub's own runner alone".to_owned());
    }
    let using = needed("using")?;
    match using.to_ascii_lowercase().as_str() {
        "composite" => {
            let Some(Value::Array(steps)) = runs.get("steps") else {
                return Err("`runs.steps` is missing".to_owned());
            };
            let steps = steps.iter().enumerate();
            steps
                .map(|(at, step)| read_step(step).map_err(|why| format!("step {}: {why}", at + 1)))
                .collect::<Result<_, _>>()
                .map(Runs::Composite)
        }
        "docker" => {
            let args = match runs.get("args") {
                Some(Value::Array(args)) => {
                    args.iter().map(|arg| Template(arg.as_str().unwrap_or_default().to_owned())).collect()
                }
                _ => Vec::new(),
            };
            let env = templates(runs.get("env"));
            for template in args.iter().chain(env.values()) {
                reads_inputs_alone(template)?;
            }
            Ok(Runs::Docker(Docker {
                image: needed("image")?,
                entrypoint: text(runs, "entrypoint").map(Template),
                args,
                env,
                pre: hook("pre-entrypoint", "pre-if"),
                post: hook("post-entrypoint", "post-if"),
            }))
        }
        "node12" | "node16" | "node20" | "node24" => Ok(Runs::Node(Node {
            main: needed("main")?,
            pre: hook("pre", "pre-if"),
            post: hook("post", "post-if"),
            using,
        })),
        other => Err(format!(
            "`runs.using: {other}` is none of composite, docker, node12, node16, node20 and node24"
        )),
    }
}

/// What a container action hands to its container may only be made of its inputs.
fn reads_inputs_alone(template: &Template) -> Result<(), String> {
    let reads = lenient::reads(&template.0, false).map_err(|error| error.to_string())?;
    match reads.contexts.iter().find(|context| *context != "inputs") {
        Some(context) => Err(format!("`{}` reads `{context}`; here only `inputs` can be read", template.0)),
        None => Ok(()),
    }
}

fn templates(value: Option<&Value>) -> BTreeMap<String, Template> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries
        .map(|(name, value)| (name.clone(), Template(value.as_str().unwrap_or_default().to_owned())))
        .collect()
}

fn read_step(value: &Value) -> Result<Step, String> {
    let step = value.as_object().ok_or("it is no mapping")?;
    let does = match (text(step, "run"), text(step, "uses")) {
        (Some(script), None) => Does::Run(Script {
            script,
            shell: vec![text(step, "shell").ok_or("`shell` is missing, which a composite action must say")?],
            working_directory: text(step, "working-directory").map(Template),
        }),
        (None, Some(action)) => {
            Does::Uses(ActionUse { action, with: templates(step.get("with")), more_with: Vec::new() })
        }
        _ => return Err("it has to have one of `run` and `uses`".to_owned()),
    };
    let shown = match &does {
        Does::Run(script) => script.script.lines().next().unwrap_or_default().to_owned(),
        Does::Uses(uses) => uses.action.clone(),
        Does::Wait(_) | Does::Cancel(_) => String::new(),
    };
    Ok(Step {
        id: text(step, "id"),
        name: text(step, "name").unwrap_or(shown),
        does,
        env: templates(step.get("env")),
        more_env: Vec::new(),
        background: false,
        late_env: Default::default(),
        condition: text(step, "if"),
        timeout_seconds: None,
        timeout_minutes: text(step, "timeout-minutes").map(Template),
        when: StepWhen::Success,
        continue_on_error: false,
        may_fail: text(step, "continue-on-error").map(Template),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composite_action() {
        let text = "
name: Greet
inputs:
  who: {default: '${{ github.actor }}', description: x}
  old: {deprecationMessage: use who}
  bare:
outputs:
  said: {value: '${{ steps.say.outputs.said }}'}
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      run: |
        echo hi
      env: {N: 1}
      if: ${{ always() }}
      continue-on-error: true
    - uses: ./other
      with: {a: b}
";
        let manifest = parse("action.yml", text).unwrap();
        let input = |name: &str| manifest.inputs.iter().find(|input| input.name == name).unwrap();
        assert_eq!(input("who").default, Some("${{ github.actor }}".into()));
        assert_eq!((&input("bare").default, input("old").deprecation.as_deref()), (&None, Some("use who")));
        assert!(manifest.outputs["said"].is_some());
        let Runs::Composite(steps) = &manifest.runs else { panic!() };
        assert_eq!(
            (steps[0].name.as_str(), steps[0].condition.as_deref()),
            ("echo hi", Some("${{ always() }}"))
        );
        assert_eq!(steps[0].env["N"], "1".into());
        assert_eq!(steps[0].may_fail, Some("true".into()));
        let Does::Uses(uses) = &steps[1].does else { panic!() };
        assert_eq!((uses.action.as_str(), &uses.with["a"]), ("./other", &"b".into()));
    }

    #[test]
    fn javascript_and_container_actions() {
        let node =
            parse("a", "runs: {using: node20, main: m.js, post: p.js, pre: q.js, pre-if: runner.os == 'x'}")
                .unwrap();
        let Runs::Node(node) = node.runs else { panic!() };
        assert_eq!((node.main.as_str(), node.post.unwrap().condition.as_str()), ("m.js", "always()"));
        assert_eq!(node.pre.unwrap().condition, "runner.os == 'x'");
        let docker = parse(
            "a",
            "runs: {using: docker, image: Dockerfile, args: [a, 2], env: {X: y}, post-entrypoint: p.sh}",
        );
        let Runs::Docker(docker) = docker.unwrap().runs else { panic!() };
        assert_eq!((docker.image.as_str(), docker.args.len(), docker.pre), ("Dockerfile", 2, None));
    }

    #[test]
    fn what_is_no_action_is_told() {
        for (text, part) in [
            ("name: x", "`runs` is missing"),
            ("runs: {steps: []}", "`runs.using` is missing"),
            ("runs: {using: node99, main: x}", "node99"),
            ("runs: {using: node20}", "`runs.main` is missing"),
            ("runs: {plugin: x}", "plugin"),
            ("runs: {using: composite, steps: [{run: x}]}", "step 1: `shell` is missing"),
            ("runs: {using: composite, steps: [{name: x}]}", "step 1: it has to have one"),
            ("[", "action.yml:1"),
        ] {
            let error = parse("action.yml", text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
