//! Times of schedules: five fields, and a time zone.
//!
//! This crate knows no clock, so "does it ever come due" is asked from a fixed day on. A leap day comes within
//! any eight years, which croner looks through.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{civil::date, tz::TimeZoneDatabase};

use crate::nearest::did_you_mean;

/// Why a schedule is none, and how to mend it.
type Refusal = (String, Option<String>);

/// Reads the five fields.
pub(crate) fn check_cron(text: &str) -> Result<Cron, Refusal> {
    let fields = text.split_whitespace().count();
    if fields != 5 {
        let message = format!("a schedule has five fields, `{text}` has {fields}");
        let help =
            "they are minute, hour, day of month, month, day of week: `0 3 * * *` is every night at three";
        return Err((message, Some(help.to_owned())));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| (format!("`{text}` is no schedule: {error}"), None))?;
    let never = || (format!("`{text}` never comes due"), Some("no month has such a day".to_owned()));
    cron.find_next_occurrence(&date(2024, 1, 1).at(0, 0, 0, 0), true).map_err(|_| never())?;
    Ok(cron)
}

/// Whether a time zone exists.
pub(crate) fn check_time_zone(name: &str) -> Result<(), Refusal> {
    let zones = TimeZoneDatabase::bundled();
    if zones.get(name).is_ok() {
        return Ok(());
    }
    let names: Vec<String> = zones.available().map(|zone| zone.as_str().to_owned()).collect();
    let help = did_you_mean(name, names.iter().map(String::as_str))
        .unwrap_or_else(|| "use a name of the IANA database, for example `Europe/Berlin`".to_owned());
    Err((format!("there is no time zone `{name}`"), Some(help)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in ["0 3 * * *", "*/15 * * * 1-5", "0 0 29 2 *", "0 9 * * MON#1", "0 0 L * *"] {
            assert!(check_cron(good).is_ok(), "{good}: {:?}", check_cron(good).err());
        }
        for (bad, part) in [
            ("* * * * * *", "has 6"),
            ("@daily", "has 1"),
            ("61 * * * *", "is no schedule"),
            ("0 0 30 2 *", "never comes due"),
            ("a b c d e", "is no schedule"),
        ] {
            assert!(check_cron(bad).unwrap_err().0.contains(part), "{bad}");
        }
    }

    #[test]
    fn time_zones() {
        assert!(check_time_zone("Europe/Berlin").is_ok());
        assert!(check_time_zone("UTC").is_ok());
        let (message, help) = check_time_zone("Europe/Berln").unwrap_err();
        assert_eq!(message, "there is no time zone `Europe/Berln`");
        assert_eq!(help.unwrap(), "did you mean `Europe/Berlin`?");
    }
}
