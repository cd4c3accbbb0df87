//! Rows as lines of JSON, compared as sets.

use serde_json::{Number, Value};

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
    let (expected, found) = (rounded(expected), rounded(found));
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

/// The rows in one of the ways to write them: floats to [`DIGITS`] digits, members by name, lines in order. A line that
/// is no JSON (of a CSV file, or a text) is taken for the text that it is.
pub(crate) fn rounded(lines: &[String]) -> String {
    let value = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line.as_str()));
    let rows: Vec<String> = lines.iter().map(|line| round(value(line)).to_string()).collect();
    sorted(&rows)
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

/// The lines in which two texts differ, with one line around them: what the ends share is left out.
pub(crate) fn difference(expected: &str, found: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut out = String::new();
    let mut line = |sign: char, text: &str| out.push_str(&format!("{sign} {text}\n"));
    if head > 0 {
        line(' ', old[head - 1]);
    }
    old[head..old.len() - tail].iter().take(40).for_each(|text| line('-', text));
    new[head..new.len() - tail].iter().take(40).for_each(|text| line('+', text));
    if tail > 0 {
        line(' ', old[old.len() - tail]);
    }
    if out.is_empty() {
        out.push_str("only the end of the last line\n");
    }
    out
}
