//! Rows of a changelog, in the format `debezium_json`: what is left of them in the end.

use std::collections::BTreeMap;
use std::iter;

use serde_json::{Deserializer, Value};

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
