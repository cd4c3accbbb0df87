//! Rows as lines of JSON, compared as sets. Of a changelog that is the rows that are left in the end.

use std::collections::BTreeMap;
use std::iter;

use serde_json::{Deserializer, Number, Value};

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

/// The rows that are left once changes have been applied, if all lines are changes as `debezium_json` has them; or else
/// the lines. How often a row is replaced on the way depends on when batches arrive. `in_order`: the lines stand in the
/// order in which they were written.
pub(crate) fn folded(lines: &[String], in_order: bool) -> Result<Vec<String>, String> {
    let changes: Option<Vec<_>> = lines.iter().map(|line| change(line)).collect();
    let Some(changes) = changes else { return Ok(lines.to_vec()) };
    let unknown = |row: &str| Err(format!("a row is taken back that is not there: {row}"));
    let mut rows: BTreeMap<&str, i64> = BTreeMap::new();
    for (before, after) in changes {
        if let Some(row) = before {
            let count = rows.entry(row).or_default();
            *count -= 1;
            if in_order && *count < 0 {
                return unknown(row);
            }
        }
        if let Some(row) = after {
            *rows.entry(row).or_default() += 1;
        }
    }
    let mut left = Vec::new();
    for (row, count) in rows {
        match usize::try_from(count) {
            Ok(count) => left.extend(iter::repeat_n(row.to_owned(), count)),
            Err(_) => return unknown(row),
        }
    }
    Ok(left)
}

/// The rows before and after a change: `{"before":{...},"after":{...},"op":"u"}`.
fn change(line: &str) -> Option<(Option<&str>, Option<&str>)> {
    let (before, rest) = first_value(line.strip_prefix("{\"before\":")?)?;
    let (after, rest) = first_value(rest.strip_prefix(",\"after\":")?)?;
    let (before, after) = (Some(before).filter(|row| *row != "null"), Some(after).filter(|row| *row != "null"));
    let op = rest.strip_prefix(",\"op\":\"")?.strip_suffix("\"}")?;
    match (op, before.is_some(), after.is_some()) {
        ("c", false, true) | ("d", true, false) | ("u", true, true) => Some((before, after)),
        _ => None,
    }
}

/// The text of the JSON value that a text begins with, and what follows.
fn first_value(text: &str) -> Option<(&str, &str)> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    values.next()?.ok()?;
    Some(text.split_at(values.byte_offset()))
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
