//! Lines of values with commas between, quoted by `"` where a value has one itself. Pure.

/// The fields of one line, trimmed; empty ones are left out.
pub fn fields(line: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    // Whether the field has nothing but blanks so far.
    let mut blank = true;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                blank = false;
                field.push('"');
            }
            '"' if quoted || blank => quoted = !quoted,
            ',' if !quoted => {
                fields.push(std::mem::take(&mut field));
                blank = true;
            }
            c => {
                blank &= c.is_whitespace();
                field.push(c);
            }
        }
    }
    if quoted {
        return Err(format!("`{line}`: a quotation mark is not closed"));
    }
    fields.push(field);
    Ok(fields.iter().map(|field| field.trim().to_owned()).filter(|field| !field.is_empty()).collect())
}

/// The fields of one line as keys, in lower case, and values.
pub fn pairs(line: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |field: String| match field.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_lowercase(), value.trim().to_owned())),
        None => Err(format!("`{line}`: `{field}` is not `name=value`")),
    };
    fields(line)?.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotation_marks_keep_commas() {
        assert_eq!(
            fields(r#"type=raw, "value=a,""b""",,c"d"#).unwrap(),
            ["type=raw", r#"value=a,"b""#, r#"c"d"#]
        );
        assert!(fields("\"open").is_err() && pairs("a").is_err());
    }
}
