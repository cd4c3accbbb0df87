//! Rows as lines of JSON, compared as sets.

use serde_json::{Number, Value};

use super::case::difference;

/// Significant digits that two ways of adding up the same floats agree in.
const DIGITS: usize = 12;

/// Lines in the order of their text, each with a line end.
pub(crate) fn sorted(lines: &[String]) -> String {
    let mut lines = lines.to_vec();
    lines.sort();
    in_order(&lines)
}

pub(crate) fn in_order(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Whether two sets of rows are the same, but for the last digits of floats.
pub(crate) fn same(what: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    let (expected, found) = (rounded(expected)?, rounded(found)?);
    match expected == found {
        true => Ok(()),
        false => Err(format!(
            "{what} ({} rows, expected {}):\n{}",
            found.lines().count(),
            expected.lines().count(),
            difference(&expected, &found)
        )),
    }
}

fn rounded(lines: &[String]) -> Result<String, String> {
    let mut rows = vec![];
    for line in lines {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {line}: {error}"))?;
        rows.push(round(value).to_string());
    }
    Ok(sorted(&rows))
}

/// Floats to [`DIGITS`] digits, and whole ones as integers; members in the order of their names.
fn round(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            let number: f64 = format!("{number:.*e}", DIGITS - 1).parse().unwrap_or(number);
            match number.fract() == 0.0 && number.abs() < 1e15 {
                true => Value::from(number as i64),
                false => Number::from_f64(number).map_or(Value::Null, Value::Number),
            }
        }
        Value::Array(items) => items.into_iter().map(round).collect(),
        Value::Object(members) => members.into_iter().map(|(name, member)| (name, round(member))).collect(),
        other => other,
    }
}
