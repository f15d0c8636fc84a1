//! Files of other CI systems: whatever they hold, what is made of them is a pipeline without errors, or the reason why
//! there is none is told.

use tidegate_pipelines::{
    Diagnostic, SourceFile, check, format,
    import::{System, detect, import},
};

/// The first byte says whose file it is.
pub fn run(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let system = match first % 4 {
        0 => System::Actions,
        1 => System::Gitlab,
        2 => System::Woodpecker,
        _ => System::Drone,
    };
    let file = SourceFile { path: "other.yml", text: &text };
    detect(&file);
    match import(&file, system) {
        Ok(imported) => {
            let native = SourceFile { path: "imported.yml", text: &imported.text };
            let errors: Vec<Diagnostic> = check(&native).into_iter().filter(Diagnostic::is_error).collect();
            assert!(errors.is_empty(), "{errors:?} of\n{}", imported.text);
            assert!(format(&imported.text).is_ok());
            let lines = text.lines().count().max(1);
            assert!(imported.notes.iter().all(|note| note.line >= 1 && note.line <= lines + 1));
        }
        Err(found) => assert!(found.iter().any(Diagnostic::is_error)),
    }
}
