//! Schedules as GitHub reads them: five fields of numbers, names, ranges, steps and lists, and nothing else.

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names of its values, beginning with the least.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: &MONTHS },
    Field { name: "day of week", least: 0, most: 6, names: &DAYS },
];

/// Why a text is no schedule.
pub(super) fn check(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.split(' ').filter(|field| !field.is_empty()).collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("a schedule has five fields, `{text}` has {}", fields.len()));
    }
    for (text, field) in fields.iter().zip(&FIELDS) {
        if !text.split(',').all(|part| is_part(part, field)) {
            return Err(format!("`{text}` is no {} ({} to {})", field.name, field.least, field.most));
        }
    }
    Ok(())
}

fn is_part(part: &str, field: &Field) -> bool {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    let step_fits = step.is_none_or(|step| {
        step.bytes().all(|byte| byte.is_ascii_digit())
            && step.parse::<u32>().is_ok_and(|step| (field.least.max(1)..=field.most).contains(&step))
    });
    let range_fits = match range.split_once('-') {
        _ if range == "*" => true,
        None => value(range, field).is_some(),
        Some((first, last)) => {
            value(first, field).zip(value(last, field)).is_some_and(|(first, last)| first <= last)
        }
    };
    step_fits && range_fits
}

fn value(text: &str, field: &Field) -> Option<u32> {
    let named = field.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    if let Some(at) = named {
        return u32::try_from(at).ok().map(|at| at + field.least);
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits)?;
    (field.least..=field.most).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in ["0 3 * * *", "*/15 0-6 1,15 JAN-mar mon", "5/10 * * 1 SUN", "0  0 * * 6"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            "@daily",
            "1,,2 * * * *",
            "a * * * *",
            "1/2/3 * * * *",
            "-1 * * * *",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
