//! Lines as they are: `raw_string` and `raw_bytes`.

use arrow::array::{Array, ArrayRef, BinaryArray, StringArray};
use schema::{ScalarType, Schema};

use crate::BadRow;
use crate::column::{Column, Data};
use crate::options::BadData;

/// Tables of these formats have one column, `value`; a query that only counts rows reads none of it.
pub(crate) fn check_single_column(schema: &Schema, types: &[ScalarType], format: &str) -> Result<(), String> {
    match schema.fields.as_slice() {
        [] => Ok(()),
        [field] if field.name.eq_ignore_ascii_case("value") && types.contains(&field.ty) => Ok(()),
        _ => {
            let types: Vec<String> = types.iter().map(|ty| format!("value {ty}")).collect();
            Err(format!("a table with {format} has exactly one column, {}", types.join(" or ")))
        }
    }
}

#[derive(Debug)]
pub(crate) struct Decoder {
    column: Option<Column>,
    rows: usize,
    line: u64,
    bad_rows: u64,
    bad_data: BadData,
    max_line_bytes: usize,
}

impl Decoder {
    /// `ty`: `Utf8` or `Binary`.
    pub(crate) fn new(
        ty: ScalarType,
        schema: &Schema,
        bad_data: BadData,
        max_line_bytes: Option<usize>,
    ) -> Result<Self, String> {
        let format = if ty == ScalarType::Binary { "format 'raw_bytes'" } else { "format 'raw_string'" };
        check_single_column(schema, std::slice::from_ref(&ty), format)?;
        let column = schema.fields.first().map(|field| Column::new(&ty, field.nullable)).transpose()?;
        let max_line_bytes = max_line_bytes.unwrap_or(usize::MAX);
        Ok(Decoder { column, rows: 0, line: 0, bad_rows: 0, bad_data, max_line_bytes })
    }

    pub(crate) fn start(&mut self) {
        self.line = 0;
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bad_rows(&self) -> u64 {
        self.bad_rows
    }

    pub(crate) fn take(&mut self) -> Result<Vec<ArrayRef>, String> {
        self.rows = 0;
        self.column.iter_mut().map(Column::take).collect()
    }

    pub(crate) fn decode(&mut self, input: &[u8], last: bool, max_rows: usize) -> Result<usize, BadRow> {
        let mut at = 0;
        while self.rows < max_rows && at < input.len() {
            let (line, next) = match memchr::memchr(b'\n', &input[at..]) {
                Some(end) => (&input[at..at + end], at + end + 1),
                None if last => (&input[at..], input.len()),
                None => break,
            };
            self.line += 1;
            at = next;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match self.line(line) {
                Ok(()) => self.rows += 1,
                Err(_) if self.bad_data == BadData::Drop => self.bad_rows += 1,
                Err((column, reason)) => return Err(BadRow { line: self.line, column, reason }),
            }
        }
        Ok(at)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), (u64, String)> {
        if line.len() > self.max_line_bytes {
            return Err((1, format!("line is longer than {} bytes", self.max_line_bytes)));
        }
        let Some(column) = &mut self.column else { return Ok(()) };
        match &mut column.data {
            Data::Text(texts) => {
                if let Err(error) = std::str::from_utf8(line) {
                    return Err((error.valid_up_to() as u64 + 1, "text is not valid UTF-8".to_owned()));
                }
                texts.bytes.extend_from_slice(line);
                texts.seal().map_err(|reason| (1, reason))?;
            }
            Data::Binary(texts) => {
                texts.bytes.extend_from_slice(line);
                texts.seal().map_err(|reason| (1, reason))?;
            }
            _ => return Err((1, "the column is neither text nor binary".to_owned())),
        }
        column.nulls.append_non_null();
        Ok(())
    }
}

/// Writes the values of `column`, one a line; null is an empty line.
pub(crate) fn encode(column: &ArrayRef, rows: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if let Some(texts) = column.as_any().downcast_ref::<StringArray>() {
        for row in 0..rows {
            if texts.is_valid(row) {
                out.extend_from_slice(texts.value(row).as_bytes());
            }
            out.push(b'\n');
        }
        return Ok(());
    }
    let bytes = column.as_any().downcast_ref::<BinaryArray>().ok_or("the column is neither text nor binary")?;
    for row in 0..rows {
        if bytes.is_valid(row) {
            out.extend_from_slice(bytes.value(row));
        }
        out.push(b'\n');
    }
    Ok(())
}
