//! Names of images, as far as a file can be wrong about them. Names with expressions are looked at when they
//! are used.

use crate::expressions::holds_expression;

/// Why a name is wrong, and how to mend it.
type Refusal = (String, Option<String>);

/// The name of an image, with or without tag and digest.
pub(crate) fn check_image(name: &str) -> Result<(), Refusal> {
    if holds_expression(name) {
        return Ok(());
    }
    let (rest, _) = name.split_once('@').unwrap_or((name, ""));
    let (repository, _) = split_tag(rest);
    if is_repository(repository) && !name.contains(char::is_whitespace) {
        return Ok(());
    }
    Err((format!("`{name}` is no name of an image"), Some(spelling(name))))
}

/// Registry and path, without tag or digest.
pub(crate) fn check_repository(name: &str) -> Result<(), Refusal> {
    if holds_expression(name) {
        return Ok(());
    }
    let (repository, tag) = split_tag(name);
    if name.contains('@') || tag.is_some() {
        let help = "put tags under `tags`; the digest is what pushing finds out".to_owned();
        return Err((format!("`{name}` has a tag or digest, and a repository has none"), Some(help)));
    }
    if is_repository(repository) {
        Ok(())
    } else {
        Err((format!("`{name}` is no image repository"), Some(spelling(name))))
    }
}

/// A tag.
pub(crate) fn check_tag(tag: &str) -> Result<(), String> {
    let good = (1..=128).contains(&tag.len())
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if good || holds_expression(tag) { Ok(()) } else { Err(format!("`{tag}` is no tag of an image")) }
}

/// Whether the same name may be another image tomorrow.
pub(crate) fn is_moving(name: &str) -> bool {
    !holds_expression(name) && !name.contains('@') && matches!(split_tag(name).1, None | Some("latest"))
}

/// A colon in the last segment begins a tag; one before is a registry's port.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rfind(':') {
        Some(at) if !name[at..].contains('/') => (&name[..at], Some(&name[at + 1..])),
        _ => (name, None),
    }
}

fn is_repository(name: &str) -> bool {
    let mut segments = name.split('/');
    let registry =
        segments.clone().next().filter(|first| first.contains(['.', ':']) || *first == "localhost");
    if registry.is_some() {
        segments.next();
    }
    let host_good = registry
        .is_none_or(|host| host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':')));
    let mut count = 0;
    let segments_good = segments.all(|segment| {
        count += 1;
        segment.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && segment
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
    });
    // `app.v2` alone looks like a host but is an image.
    host_good && segments_good && (count > 0 || registry.is_some_and(|host| !host.contains(':')))
}

fn spelling(name: &str) -> String {
    if name.chars().any(|c| c.is_ascii_uppercase()) {
        "names of images are in lower case".to_owned()
    } else {
        "an image is named like `debian:12` or `registry.example.org/team/app:1.2`".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in [
            "debian:12",
            "tidegate-test/busybox:1",
            "127.0.0.1:5000/demo/app",
            "localhost/x:y",
            "registry.example.org/team/app@sha256:00",
            "app.v2",
            "python:${{ matrix.python }}",
        ] {
            assert!(check_image(good).is_ok(), "{good}");
        }
        for bad in ["Debian:12", "a b", "", "x//y", ":1", "http://x/y"] {
            assert!(check_image(bad).is_err(), "{bad}");
        }
        assert!(check_repository("127.0.0.1:5000/demo/app").is_ok());
        assert!(check_repository("demo/app:1").is_err());
        assert!(check_repository("demo/app@sha256:0").is_err());
        assert!(check_tag("v1.2-rc_1").is_ok() && check_tag("-x").is_err() && check_tag("a/b").is_err());
    }

    #[test]
    fn what_may_change() {
        assert!(is_moving("debian") && is_moving("debian:latest") && is_moving("localhost:5000/x"));
        assert!(
            !is_moving("debian:12") && !is_moving("debian@sha256:0") && !is_moving("${{ inputs.image }}")
        );
    }
}
