//! The files by which a step hands on outputs and environment values, in both dialects.

use crate::{
    Choices,
    shim_files::{github_pairs, is_blocked, pairs, paths},
};

pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    read(&text);
    written(bytes);
}

/// What is read stands there.
fn read(text: &str) {
    if let Ok(found) = pairs(text, "TIDEGATE_OUTPUT") {
        for (name, value) in &found {
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
            assert!(text.contains(name.as_str()) && value.lines().all(|line| text.contains(line)));
        }
    }
    if let Ok(found) = github_pairs(text) {
        let mut rest = text;
        for (name, value) in &found {
            is_blocked(name);
            assert!(!name.is_empty() && !name.contains('\n'), "{name:?}");
            // In the order of the file, and nothing twice.
            let at = rest.find(name.as_str()).unwrap_or_else(|| panic!("{name:?} is not there"));
            rest = &rest[at + name.len()..];
            let at = rest.find(value.as_str()).unwrap_or_else(|| panic!("{value:?} is not there"));
            rest = &rest[at + value.len()..];
        }
    }
    assert!(paths(text).iter().all(|path| !path.trim().is_empty() && !path.contains('\n')));
}

/// What is written by the rules is read as it was meant.
fn written(bytes: &[u8]) {
    let mut choices = Choices { bytes };
    let mut meant: Vec<(String, String)> = Vec::new();
    while !choices.bytes.is_empty() && meant.len() < 20 {
        let name = format!("{}{}", choices.of(&["a", "B", "_x", "long-name"]), meant.len());
        let length = choices.below(12);
        let value: String = (0..length)
            .map(|_| choices.of(&["\n", "\n", "<<", "=", " ", "x", "ü", "END", "#", "\t"]))
            .collect();
        meant.push((name, value));
    }
    let mut text = String::new();
    for (name, value) in &meant {
        if value.contains('\n') || value.is_empty() {
            text.push_str(&format!("{name}<<-end-of-it-\n{value}\n-end-of-it-\n"));
        } else {
            text.push_str(&format!("{name}={value}\n"));
        }
    }
    assert_eq!(github_pairs(&text).as_ref(), Ok(&meant), "{text:?}");
    // The other dialect takes lines one by one, so a value that begins with an empty line loses it.
    let plain = meant.iter().all(|(_, value)| !value.starts_with('\n'));
    if plain {
        assert_eq!(pairs(&text, "x").as_ref(), Ok(&meant), "{text:?}");
    }
}
