//! Changes of rows, as Debezium writes them: `{"before":{...},"after":{...},"op":"u"}`.
//!
//! | `op` | `before` | `after` | is |
//! |---|---|---|---|
//! | `c` | null | the row | a row that is new |
//! | `d` | the row | null | a row that is taken back |
//! | `u` | the old row | the new row | both at once: a row that is taken back and, directly behind it, the one in its place |
//!
//! Which row takes the place of which, the key of the [`Changelog`] tells; without one there is no `u`. Applied in
//! their order, the changes give the same rows either way.
//!
//! Not here: reading, the envelope's `source` and `ts_ms`, schemas.

use arrow::array::{ArrayRef, AsArray};
use schema::{Changelog, Schema};

use super::encode::{self, Objects};
use crate::options::JsonOptions;

#[derive(Debug)]
pub(crate) struct Encoder {
    rows: encode::Encoder,
    /// The first column, which is none of the rows', says which of them are taken back.
    retracts: bool,
    /// Columns of the rows. `None`: there is no telling.
    key: Option<Vec<usize>>,
}

impl Encoder {
    /// Of a changelog, `schema` has its first column.
    pub(crate) fn new(options: &JsonOptions, schema: &Schema, changelog: Option<&Changelog>) -> Result<Self, String> {
        if options.unstructured {
            return Err("json.unstructured is not supported yet for format 'debezium_json'".to_owned());
        }
        let retracts = changelog.is_some();
        let fields = schema.fields.iter().skip(usize::from(retracts)).cloned().collect();
        let rows = encode::Encoder::new(options, &Schema::new(fields))?;
        let key = changelog.and_then(|changelog| changelog.key.as_ref());
        let key = key.map(|key| key.iter().filter_map(|column| column.checked_sub(1)).collect());
        Ok(Encoder { rows, retracts, key })
    }

    pub(crate) fn encode(&self, columns: &[ArrayRef], rows: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if !self.retracts {
            let objects = self.rows.objects(columns)?;
            (0..rows).for_each(|row| change(&objects, None, Some(row), out));
            return Ok(());
        }
        let (first, columns) = columns.split_first().ok_or("a changelog without columns was given")?;
        let retracts = first.as_boolean_opt().ok_or("the first column of a changelog is not BOOLEAN")?;
        let objects = self.rows.objects(columns)?;
        let mut row = 0;
        while row < rows {
            if !retracts.value(row) {
                change(&objects, None, Some(row), out);
            } else if row + 1 < rows && !retracts.value(row + 1) && self.is_update(&objects, row) {
                change(&objects, Some(row), Some(row + 1), out);
                row += 1;
            } else {
                change(&objects, Some(row), None, out);
            }
            row += 1;
        }
        Ok(())
    }

    /// Whether the row and the next one are the old and the new form of one.
    fn is_update(&self, objects: &Objects<'_>, row: usize) -> bool {
        self.key.as_ref().is_some_and(|key| objects.is_alike(row, row + 1, key))
    }
}

fn change(objects: &Objects<'_>, before: Option<usize>, after: Option<usize>, out: &mut Vec<u8>) {
    let mut write = |name: &[u8], row: Option<usize>| {
        out.extend_from_slice(name);
        match row {
            Some(row) => objects.write(row, out),
            None => out.extend_from_slice(b"null"),
        }
    };
    write(b"{\"before\":", before);
    write(b",\"after\":", after);
    out.extend_from_slice(match (before, after) {
        (None, _) => b",\"op\":\"c\"}\n",
        (Some(_), None) => b",\"op\":\"d\"}\n",
        (Some(_), Some(_)) => b",\"op\":\"u\"}\n",
    });
}
