//! The inputs of `docker/build-push-action` that say what is built: read from their lines. Pure.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use super::csv;
use crate::sandbox::WORKSPACE;

/// A platform's words are so long at most.
const LONGEST: usize = 64;
/// Platforms of one image.
const MOST_PLATFORMS: usize = 16;

/// `NAME=value` a line; `otherwise` gives the value of a line without one.
pub(super) fn named(
    lines: &[String],
    otherwise: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let pair = |line: &String| match line.split_once('=') {
        Some((name, value)) => Some((name.trim().to_owned(), value.to_owned())),
        None => Some((line.clone(), otherwise(line)?)),
    };
    lines.iter().filter_map(pair).collect()
}

/// The platforms to build for, each once; none: the engine's own.
pub(super) fn platforms(text: &str) -> Result<Vec<String>, String> {
    let mut all: Vec<String> = Vec::new();
    for name in text.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty()) {
        let good = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let parts: Vec<&str> = name.split('/').collect();
        if !(2..=3).contains(&parts.len()) || name.len() > LONGEST || !parts.iter().all(|part| good(part)) {
            return Err(format!("`{name}` is no platform; expected one such as `linux/amd64`"));
        }
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
        if all.len() > MOST_PLATFORMS {
            return Err(format!("an image is for at most {MOST_PLATFORMS} platforms"));
        }
    }
    Ok(all)
}

/// Images whose instructions' results are taken, of lines such as `type=registry,ref=team/app:cache`, and the lines that
/// have no meaning here.
pub(super) fn cache_from(lines: &[String]) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut images, mut others) = (Vec::new(), Vec::new());
    for line in lines {
        match line.contains('=').then(|| csv::pairs(line)).transpose()? {
            None => images.push(line.clone()),
            Some(pairs) => {
                let of =
                    |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
                match (of("type"), of("ref")) {
                    (Some("registry"), Some(image)) => images.push(image.to_owned()),
                    _ => others.push(line.clone()),
                }
            }
        }
    }
    Ok((images, others))
}

/// Whether the results of instructions go into the image itself, and the lines that have no meaning here.
pub(super) fn cache_to(lines: &[String]) -> Result<(bool, Vec<String>), String> {
    let mut others = Vec::new();
    let mut inline = false;
    for line in lines {
        if csv::pairs(line)?.contains(&("type".to_owned(), "inline".to_owned())) {
            inline = true;
        } else {
            others.push(line.clone());
        }
    }
    Ok((inline, others))
}

/// Ids and values of secrets: `ID=value` a line, quoted by `"` where the value has lines itself.
pub(super) fn secrets(text: &str) -> Result<Vec<(String, String)>, String> {
    let (mut records, mut record, mut quoted) = (Vec::new(), String::new(), false);
    // Whether the record has nothing but blanks so far: only there a quotation mark is one.
    let mut blank = true;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                blank = false;
                record.push('"');
            }
            // Within a line it is a part of the value.
            '"' if quoted || blank => quoted = !quoted,
            '\n' if !quoted => {
                records.push(std::mem::take(&mut record));
                blank = true;
            }
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            c => {
                blank &= c.is_whitespace();
                record.push(c);
            }
        }
    }
    if quoted {
        return Err("a quotation mark of the input `secrets` is not closed".to_owned());
    }
    records.push(record);
    let pair = |record: &String| match record.split_once('=') {
        Some((id, value)) => Ok((id.trim().to_owned(), value.to_owned())),
        // What it says may be the secret.
        None => Err("a line of the input `secrets` is not `ID=value`".to_owned()),
    };
    records.iter().filter(|record| !record.trim().is_empty()).map(pair).collect()
}

/// Ids and where their values are: `ID=NAME` a line.
pub(super) fn references(input: &str, lines: &[String]) -> Result<Vec<(String, String)>, String> {
    let pair = |line: &String| match line.split_once('=') {
        Some((id, name)) => Ok((id.trim().to_owned(), name.trim().to_owned())),
        None => Err(format!("`{line}` of the input `{input}` is not `ID=name`")),
    };
    lines.iter().map(pair).collect()
}

/// The context's folder below the workspace, and the Dockerfile's path in it.
pub(super) fn place(context: &str, file: &str) -> Result<(String, String), String> {
    let context = match context.strip_prefix("{{defaultContext}}") {
        Some(rest) => rest.trim_start_matches(':'),
        None => context,
    };
    if context.contains("://") || context.starts_with("git@") {
        return Err(format!("the context `{context}` is not a folder of the workspace: check it out first"));
    }
    let folder = below(context)?;
    let dockerfile = match file {
        "" => "Dockerfile".to_owned(),
        file => {
            let file = below(file)?;
            let inside = Path::new(&file)
                .strip_prefix(&folder)
                .map_err(|_| format!("the Dockerfile `{file}` is not in the build's context `{folder}`"))?;
            inside.to_string_lossy().into_owned()
        }
    };
    Ok((folder, dockerfile))
}

/// A path relative to the workspace, without `.`.
fn below(path: &str) -> Result<String, String> {
    let relative = match path.strip_prefix(WORKSPACE) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
        _ => path,
    };
    let mut parts = Vec::new();
    for part in Path::new(relative).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::CurDir => {}
            _ => return Err(format!("`{path}` is not below the workspace")),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_and_dockerfiles_are_below_the_workspace() {
        let ok = |context: &str, file: &str| place(context, file).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(ok("", ""), pair("", "Dockerfile"));
        assert_eq!(ok("./app/", "app/deploy/Dockerfile.x"), pair("app", "deploy/Dockerfile.x"));
        assert_eq!(ok("/workspace/app", "./app/D"), pair("app", "D"));
        assert_eq!(ok("{{defaultContext}}:web", ""), pair("web", "Dockerfile"));
        assert!(
            place("../x", "").is_err() && place("https://x/y.git", "").is_err() && place("app", "D").is_err()
        );
    }

    #[test]
    fn values_and_platforms() {
        let args = named(&["A=b=c".to_owned(), "B".to_owned(), "C".to_owned()], |name| {
            (name == "B").then(|| "env".to_owned())
        });
        let expected = [("A", "b=c"), ("B", "env")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(args, BTreeMap::from(expected));
        assert_eq!(
            platforms("linux/amd64,linux/arm/v7\nlinux/amd64").unwrap(),
            ["linux/amd64", "linux/arm/v7"]
        );
        assert_eq!(platforms("").unwrap(), Vec::<String>::new());
        for bad in ["amd64", "linux/", "a/b/c/d", "linux/a&b"] {
            assert!(platforms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn caches_are_images_or_nothing() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let (images, others) =
            cache_from(&lines(&["type=registry,ref=x/y:cache", "x/z", "type=gha,scope=a"])).unwrap();
        assert_eq!((images, others), (lines(&["x/y:cache", "x/z"]), lines(&["type=gha,scope=a"])));
        let (inline, others) = cache_to(&lines(&["type=inline", "type=gha,mode=max"])).unwrap();
        assert_eq!((inline, others), (true, lines(&["type=gha,mode=max"])));
    }

    #[test]
    fn secrets_have_lines_in_quotation_marks_alone() {
        let text = "TOKEN={\"a\": \"b=c\"}\n\n\"KEY=one\ntwo \"\"three\"\"\n\"\nLAST=\r\n";
        let pairs = [("TOKEN", "{\"a\": \"b=c\"}"), ("KEY", "one\ntwo \"three\"\n"), ("LAST", "")]
            .map(|(id, value)| (id.to_owned(), value.to_owned()));
        assert_eq!(secrets(text).unwrap(), pairs);
        let error = secrets("letmein77").unwrap_err();
        assert!(!error.contains("letmein77"), "{error}");
        assert!(secrets("\"KEY=open").is_err());
        assert!(references("secret-envs", &["A".to_owned()]).unwrap_err().contains("secret-envs"));
    }
}
