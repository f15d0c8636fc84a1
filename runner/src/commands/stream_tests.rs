use std::time::Instant;

use proptest::prelude::*;

use super::*;

/// What a step said, texts joined.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    log: String,
    rest: Vec<String>,
}

fn stream() -> Stream {
    let load = |path: &str| {
        match path {
        "matchers.json" => Ok(
            r#"{"problemMatcher": [{"owner": "cc", "pattern": [{"regexp": "^(.+):(\\d+): (.+)$", "file": 1, "line": 2, "message": 3}]}]}"#
                .to_owned(),
        ),
        _ => Err("there is no such file".to_owned()),
    }
    };
    Stream::new(StreamSettings::default(), Matchers::default(), Box::new(load))
}

fn heard_of(mut stream: Stream, pieces: &[&[u8]]) -> Heard {
    let mut heard = Heard::default();
    let mut tell = |said: Said<'_>| match said {
        Said::Text(bytes) => heard.log.push_str(&String::from_utf8_lossy(bytes)),
        Said::Note(note) => heard.rest.push(format!("{:?} {:?} {}", note.level, note.file, note.message)),
        other => heard.rest.push(format!("{other:?}")),
    };
    for piece in pieces {
        stream.push(piece, &mut tell);
    }
    stream.finish(&mut tell);
    heard
}

fn heard(text: &str) -> Heard {
    heard_of(stream(), &[text.as_bytes()])
}

#[test]
fn commands_are_taken_out_and_the_rest_stays() {
    let heard = heard(
        "one\n::set-output name=a::1\n  ::save-state name=b::2\nstd::vec\n::group::Build\n::unknown::x\n::endgroup::\n\
         ##[add-mask]hunter22\nlast",
    );
    assert_eq!(heard.log, "one\nstd::vec\n##[group]Build\n::unknown::x\n##[endgroup]\nlast");
    assert_eq!(heard.rest, [r#"Output("a", "1")"#, r#"State("b", "2")"#, r#"Mask("hunter22")"#]);
}

#[test]
fn notes_are_told_and_shown_in_colour() {
    let heard = heard("::error file=a.rs,line=3::no%0Atwo\n::debug::hidden\n::notice title=T::well");
    assert_eq!(
        heard.log,
        "\u{1b}[31mError: a.rs:3: no\u{1b}[0m\n\u{1b}[31mtwo\u{1b}[0m\n\u{1b}[34mNotice: T: well\u{1b}[0m\n"
    );
    assert_eq!(heard.rest, ["Error Some(\"a.rs\") no\ntwo", "Notice None well"]);
}

#[test]
fn what_would_change_later_steps_is_refused() {
    for (line, part) in [
        ("::set-env name=A::1", "GITHUB_ENV"),
        ("::add-path::/x", "GITHUB_PATH"),
        ("::stop-commands::", "guess"),
        ("::stop-commands::set-env", "guess"),
        ("::echo::maybe", "`on` or `off`"),
        ("::set-output::x", "name="),
        ("::add-matcher::nowhere.json", "no such file"),
    ] {
        let heard = heard(line);
        assert!(heard.rest.iter().any(|said| said.starts_with("Wrong(") && said.contains(part)), "{heard:?}");
    }
    let settings = StreamSettings { unsecure_commands: true, ..StreamSettings::default() };
    let allowed = Stream::new(settings, Matchers::default(), Box::new(|_| Err(String::new())));
    let heard = heard_of(allowed, &[b"::set-env name=A::1\n::add-path::/x\n"]);
    assert_eq!(heard.rest, [r#"Env("A", "1")"#, r#"Path("/x")"#]);
}

#[test]
fn a_silence_of_commands_ends_with_its_word() {
    let heard = heard(
        "::stop-commands::Token7\n::error::shown as it is\n::token7::\n::echo::on\n::set-output name=a::1\n",
    );
    assert_eq!(heard.log, "::error::shown as it is\n::set-output name=a::1\n");
    assert_eq!(heard.rest, [r#"Output("a", "1")"#]);
}

#[test]
fn matchers_look_at_every_line_until_they_are_removed() {
    let text = "a.c:1: before\n::add-matcher::matchers.json\na.c:2: bad\n::error::own\n::remove-matcher owner=CC::\na.c:3: after\n";
    let heard = heard(text);
    assert_eq!(heard.rest, ["Error Some(\"a.c\") bad", "Error None own"]);
    assert!(heard.log.contains("a.c:2: bad\n") && heard.log.contains("a.c:3: after\n"));
}

#[test]
fn a_prompt_is_seen_at_once_and_a_beginning_is_held() {
    let mut stream = stream();
    let mut log = String::new();
    let mut tell = |said: Said<'_>| {
        if let Said::Text(bytes) = said {
            log.push_str(&String::from_utf8_lossy(bytes));
        }
    };
    stream.push(b"done 10% ...", &mut tell);
    stream.push(b"\n  :", &mut tell);
    stream.push(b"x is", &mut tell);
    stream.push(b" no command\n::gro", &mut tell);
    stream.push(b"up::A\n", &mut tell);
    stream.finish(&mut tell);
    assert_eq!(log, "done 10% ...\n  :x is no command\n##[group]A\n");
}

/// Not a measurement; it would take minutes if a line were looked at more than a few times.
#[test]
fn a_flood_passes() {
    let line = "test std::vec::Vec::<u8>::push ... ok\n".repeat(20_000);
    let long = ":".repeat(4 << 20);
    let began = Instant::now();
    let mut bytes = 0;
    let mut stream = stream();
    let mut tell = |said: Said<'_>| {
        if let Said::Text(text) = said {
            bytes += text.len();
        }
    };
    for _ in 0..50 {
        stream.push(line.as_bytes(), &mut tell);
    }
    for piece in long.as_bytes().chunks(1 << 16) {
        stream.push(piece, &mut tell);
    }
    stream.finish(&mut tell);
    assert_eq!(bytes, 50 * line.len() + long.len());
    assert!(began.elapsed().as_secs() < 60);
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        lines in prop::collection::vec("( |::|##\\[|:|#|group|set-output name=a|error|x|]|%0A|stop-commands|t|echo::on){0,7}", 0..12),
        cuts in prop::collection::vec(0usize..400, 0..12),
    ) {
        let text = lines.join("\n");
        let whole = heard(&text);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([text.len()]).collect();
        cuts.sort_unstable();
        let mut from = 0;
        let pieces: Vec<&[u8]> = cuts.into_iter().map(|cut| {
            let piece = &text.as_bytes()[from..cut];
            from = cut;
            piece
        }).collect();
        prop_assert_eq!(whole, heard_of(stream(), &pieces));
    }

    #[test]
    fn any_bytes_pass_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        heard_of(stream(), &[&bytes]);
    }
}
