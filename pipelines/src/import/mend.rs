//! The last step of every import: write, check, take out what the checks refuse (with a note), until nothing is left
//! to refuse. Each round takes at least one key out, so it ends.

use super::{
    Imported,
    draft::{Draft, Yaml},
    reading::Notes,
    write::{Written, write},
};
use crate::{Diagnostic, SourceFile, check, codes, diagnostic::Place};

/// More rounds are needed by nothing that was written by people.
const ROUNDS: usize = 60;

pub(super) fn finish(
    file: &SourceFile<'_>,
    draft: Draft,
    mut notes: Notes,
) -> Result<Imported, Vec<Diagnostic>> {
    let places: Vec<(String, Place)> =
        draft.stages.iter().map(|stage| (stage.name.clone(), stage.place)).collect();
    let mut top = draft.yaml();
    let head = format!("# Made by `tidegate import` of {}.", clean(file.path));
    for _ in 0..ROUNDS {
        let written = write(&top, &head);
        let native = SourceFile { path: ".tidegate/imported.yml", text: &written.text };
        let errors: Vec<Diagnostic> = check(&native).into_iter().filter(Diagnostic::is_error).collect();
        if errors.is_empty() {
            let notes = notes.finish();
            return Ok(Imported { text: with_report(&top, &head, &notes), notes });
        }
        let mut taken = false;
        for error in errors.iter().rev() {
            let Some(path) = culprit(&written, error) else { continue };
            let word = written.text.get(error.span.start..error.span.end).unwrap_or_default();
            if let Some(what) = take_need(&mut top, &path, word).or_else(|| take_out(&mut top, &path)) {
                taken = true;
                let place = path.get(1).and_then(|name| places.iter().find(|(stage, _)| stage == name));
                let place = place.map_or_else(Place::default, |(_, place)| *place);
                notes.add(place, format!("{what} was left out: {}", error.message), "write it by hand");
            }
        }
        if !taken {
            break;
        }
    }
    let message = "nothing of it could be carried over";
    let mut error = Diagnostic::about_file(codes::NO_STAGES, file.path, message);
    error.help = why_nothing(&notes.finish());
    Err(vec![error])
}

/// What the report would have said first of a file of which nothing is left.
fn why_nothing(notes: &[super::Note]) -> Option<String> {
    const MOST: usize = 5;
    let told: Vec<String> =
        notes.iter().take(MOST).map(|note| format!("line {}: {}", note.line, note.what)).collect();
    let rest = notes.len().saturating_sub(MOST);
    let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    (!told.is_empty()).then(|| format!("{}{more}", told.join("; ")))
}

/// The pipeline with the report on top, as comments.
fn with_report(top: &Yaml, head: &str, notes: &[super::Note]) -> String {
    let mut head = head.to_owned();
    if !notes.is_empty() {
        head.push_str("\n#\n# To be looked at (lines of the file that it was made of):");
    }
    for note in notes {
        head.push_str(&format!("\n# - line {}: {}: {}", note.line, clean(&note.what), clean(&note.todo)));
    }
    write(top, &head).text
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The keys that lead to what an error is about.
fn culprit(written: &Written, error: &Diagnostic) -> Option<Vec<String>> {
    let path = written.paths.get(error.span.line.checked_sub(1)?)?;
    if !path.is_empty() {
        return Some(path.clone());
    }
    None
}

/// Takes out what stands at a path, or so much around it that nothing refers to it any more; says what that was.
fn take_out(top: &mut Yaml, path: &[String]) -> Option<String> {
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["stages"] | [] => None,
        ["stages", stage] => take_stage(top, stage),
        ["stages", stage, "run", index, rest @ ..] => {
            let steps = below(below(below(top, "stages")?, stage)?, "run")?;
            let index: usize = index.parse().ok()?;
            let Yaml::List(items) = steps else { return take_stage(top, stage) };
            match rest {
                // A value, or a key that is not the script, can go alone.
                ["env", name] => {
                    take_key(below(items.get_mut(index)?, "env")?, name)?;
                    Some(format!("`{name}` in the `env` of a step of `{stage}`"))
                }
                [key, ..] if *key != "run" => {
                    take_key(items.get_mut(index)?, key)?;
                    Some(format!("`{key}` of a step of `{stage}`"))
                }
                _ if items.len() > 1 && index < items.len() => {
                    items.remove(index);
                    Some(format!("a step of `{stage}`"))
                }
                _ => take_stage(top, stage),
            }
        }
        ["stages", stage, "run" | "image", ..] => take_stage(top, stage),
        ["stages", stage, "env", name] => {
            take_key(below(below(below(top, "stages")?, stage)?, "env")?, name)?;
            Some(format!("`{name}` in the `env` of `{stage}`"))
        }
        ["stages", stage, key, ..] => {
            take_key(below(below(top, "stages")?, stage)?, key)?;
            Some(format!("`{key}` of `{stage}`"))
        }
        ["on", trigger, key, ..]
            if below(below(top, "on")?, trigger).is_some_and(|one| below(one, key).is_some()) =>
        {
            take_key(below(below(top, "on")?, trigger)?, key)?;
            Some(format!("`{key}` of `on.{trigger}`"))
        }
        [top_key @ ("on" | "env" | "defaults"), key, ..] => {
            let map = below(top, top_key)?;
            take_key(map, key)?;
            if *top_key == "on" && map.is_empty() {
                *map = Yaml::Map(vec![("manual".to_owned(), Yaml::Nothing)]);
            }
            Some(format!("`{key}` of `{top_key}`"))
        }
        [key, ..] => {
            take_key(top, key)?;
            Some(format!("`{key}`"))
        }
    }
}

/// Takes one name out of the needs of a stage.
fn take_need(top: &mut Yaml, path: &[String], word: &str) -> Option<String> {
    let [stages, stage, needs] = path else { return None };
    if stages != "stages" || needs != "needs" {
        return None;
    }
    let name = word.trim_matches(['"', '\'']);
    let own = below(below(top, "stages")?, stage)?;
    match below(own, "needs")? {
        Yaml::List(items) if items.contains(&Yaml::text(name)) => {
            items.retain(|item| *item != Yaml::text(name))
        }
        _ => return None,
    }
    if below(own, "needs").is_some_and(|needs| needs.is_empty()) {
        take_key(own, "needs");
    }
    Some(format!("the need of `{stage}` on `{name}`"))
}

/// Takes out a stage, and with it every need of it.
fn take_stage(top: &mut Yaml, name: &str) -> Option<String> {
    let stages = below(top, "stages")?;
    take_key(stages, name)?;
    let Yaml::Map(entries) = stages else { return None };
    for (_, stage) in entries {
        if let Some(needs) = below(stage, "needs") {
            if let Yaml::List(items) = needs {
                items.retain(|item| *item != Yaml::text(name));
            } else {
                take_key(needs, name);
            }
            if needs.is_empty() {
                take_key(stage, "needs");
            }
        }
        let prefix = format!("{name}.");
        if let Some(Yaml::List(items)) = below(stage, "fetch") {
            items.retain(|item| !matches!(item, Yaml::Text(text) if text.starts_with(&prefix)));
            if items.is_empty() {
                take_key(stage, "fetch");
            }
        }
    }
    Some(format!("the stage `{name}`"))
}

fn below<'y>(value: &'y mut Yaml, key: &str) -> Option<&'y mut Yaml> {
    match value {
        Yaml::Map(entries) => entries.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value),
        _ => None,
    }
}

fn take_key(value: &mut Yaml, key: &str) -> Option<()> {
    let Yaml::Map(entries) = value else { return None };
    let before = entries.len();
    entries.retain(|(name, _)| name != key);
    (entries.len() < before).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::draft::{Accepts, Stage, Step};

    fn stage(name: &str, run: &str) -> Stage {
        Stage {
            name: name.to_owned(),
            image: Some("debian:12".to_owned()),
            steps: vec![Step::script(run)],
            ..Stage::default()
        }
    }

    fn finished(draft: Draft) -> Imported {
        let file = SourceFile { path: "x.yml", text: "x" };
        finish(&file, draft, Notes::new("x")).unwrap()
    }

    #[test]
    fn what_the_checks_refuse_is_taken_out_with_a_note() {
        let mut good = stage("good", "make");
        good.needs = vec![("bad".to_owned(), Accepts::Success), ("nowhere".to_owned(), Accepts::Success)];
        good.timeout = Some("soon".to_owned());
        good.fetch = vec!["bad.files".to_owned()];
        let bad = stage("bad", "echo ${{ git.sha }}");
        let draft = Draft {
            on: vec![("push".to_owned(), Yaml::Map(vec![("branch".to_owned(), Yaml::text("x"))]))],
            stages: vec![bad, good],
            ..Draft::default()
        };
        let imported = finished(draft);
        assert!(check(&SourceFile { path: "p.yml", text: &imported.text }).iter().all(|one| !one.is_error()));
        assert!(imported.text.contains("good:") && !imported.text.contains("bad:"), "{}", imported.text);
        let all: String = imported.notes.iter().map(|note| note.what.clone() + "\n").collect();
        for part in [
            "the stage `bad`",
            "`timeout` of `good`",
            "the need of `good` on `nowhere`",
            "`branch` of `on.push`",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }

    #[test]
    fn of_a_step_only_what_is_wrong_goes() {
        let mut only = stage("only", "make");
        only.steps[0].env =
            [("A", "${{ steps.x.outputs.y }}"), ("B", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        only.steps[0].condition = Some("nothing.known".to_owned());
        let draft =
            Draft { on: vec![("push".to_owned(), Yaml::Nothing)], stages: vec![only], ..Draft::default() };
        let imported = finished(draft);
        assert!(
            imported.text.contains("B: \"1\"") && !imported.text.contains("steps.x.outputs.y }}"),
            "{}",
            imported.text
        );
        assert_eq!(imported.notes.len(), 2, "{:?}", imported.notes);
    }

    #[test]
    fn a_file_of_which_nothing_remains_is_an_error() {
        let draft = Draft { stages: vec![stage("bad", "${{ x }}")], ..Draft::default() };
        let file = SourceFile { path: "x.yml", text: "x" };
        let error = finish(&file, draft, Notes::new("x")).unwrap_err().remove(0);
        assert_eq!(error.code, "TG0301");
        assert!(error.help.unwrap().starts_with("line 1: the stage `bad`"));
    }
}
