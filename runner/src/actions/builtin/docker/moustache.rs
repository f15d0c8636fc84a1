//! The expressions `{{…}}` in the rules of `docker/metadata-action`. Pure.

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// What is known of a run.
pub struct Facts<'f> {
    /// The event's name.
    pub event: &'f str,
    /// The whole reference, `refs/heads/main`.
    pub reference: &'f str,
    /// The commit.
    pub sha: &'f str,
    /// The repository's branch to begin with.
    pub default_branch: &'f str,
    /// Where a pull request goes.
    pub base_ref: &'f str,
    /// The time of this run.
    pub now: Timestamp,
    /// The time of the commit, where the event says it.
    pub commit_date: Option<Timestamp>,
}

impl Facts<'_> {
    /// The commit's first seven digits.
    pub fn short_sha(&self) -> &str {
        self.sha.get(..7).unwrap_or(self.sha)
    }
}

/// Fills in a text; `fields` come before what is known of the run.
pub fn render(text: &str, facts: &Facts<'_>, fields: &[(&str, String)]) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) =
            after.split_once("}}").ok_or_else(|| format!("`{text}`: `{{{{` is not closed"))?;
        out.push_str(before);
        out.push_str(&value(inside.trim(), facts, fields)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn value(inside: &str, facts: &Facts<'_>, fields: &[(&str, String)]) -> Result<String, String> {
    if let Some((_, value)) = fields.iter().find(|(name, _)| *name == inside) {
        return Ok(value.clone());
    }
    let (name, arguments) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
    let on_default = facts.reference.strip_prefix("refs/heads/") == Some(facts.default_branch);
    let of = |prefix: &str| facts.reference.strip_prefix(prefix).unwrap_or_default().to_owned();
    Ok(match (name, arguments) {
        ("branch", "") => of("refs/heads/"),
        ("tag", "") => of("refs/tags/"),
        ("sha", "") => facts.short_sha().to_owned(),
        ("base_ref", "") => facts.base_ref.to_owned(),
        ("is_default_branch", "") => on_default.to_string(),
        ("is_not_default_branch", "") => (!on_default).to_string(),
        ("date", arguments) => date(facts.now, arguments)?,
        ("commit_date", arguments) => {
            let at =
                facts.commit_date.ok_or("`commit_date`: this event does not say when the commit was made")?;
            date(at, arguments)?
        }
        _ => return Err(format!("`{{{{{inside}}}}}` is not known here")),
    })
}

/// `'format'`, and perhaps `tz='zone'`.
fn date(at: Timestamp, arguments: &str) -> Result<String, String> {
    let wrong = || format!("`date {arguments}`: it is `date 'format' tz='zone'`");
    let unquote = |text: &str| {
        let text = text.trim();
        let inner = |mark: char| text.strip_prefix(mark).and_then(|text| text.strip_suffix(mark));
        inner('\'').or_else(|| inner('"')).map(str::to_owned)
    };
    let (format, zone) = match arguments.split_once("tz=") {
        Some((format, zone)) => (format, unquote(zone).ok_or_else(wrong)?),
        None => (arguments, "UTC".to_owned()),
    };
    let format = unquote(format).ok_or_else(wrong)?;
    let zone = TimeZone::get(&zone).map_err(|_| format!("`date`: there is no time zone `{zone}`"))?;
    Ok(written(&at.to_zoned(zone), &format))
}

/// A time by the usual letters; other text stays, and so does what is in `[…]`.
fn written(at: &Zoned, format: &str) -> String {
    const LETTERS: [(&str, &str); 13] = [
        ("YYYY", "%Y"),
        ("YY", "%y"),
        ("MM", "%m"),
        ("M", "%-m"),
        ("DD", "%d"),
        ("D", "%-d"),
        ("HH", "%H"),
        ("H", "%-H"),
        ("mm", "%M"),
        ("ss", "%S"),
        ("SSS", "%3f"),
        ("X", "%s"),
        ("Z", "%:z"),
    ];
    let (mut out, mut rest) = (String::new(), format);
    while let Some(first) = rest.chars().next() {
        if let Some((literal, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            out.push_str(literal);
            rest = after;
        } else if let Some((after, code)) =
            LETTERS.iter().find_map(|(letter, code)| Some((rest.strip_prefix(letter)?, code)))
        {
            out.push_str(&at.strftime(code).to_string());
            rest = after;
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_in_their_zone() {
        let at: Timestamp = "2026-03-04T23:06:07Z".parse().unwrap();
        assert_eq!(date(at, "'YYYY-MM-DD[T]HH:mm:ss.SSSZ'").unwrap(), "2026-03-04T23:06:07.000+00:00");
        assert_eq!(date(at, "'D.M.YY H' tz='Asia/Tokyo'").unwrap(), "5.3.26 8");
        assert_eq!(date(at, "'X'").unwrap(), "1772665567");
        assert!(date(at, "YYYY").is_err() && date(at, "'YYYY' tz='No/Where'").is_err());
    }
}
