//! Bytes into typed columns and columns into bytes.
//!
//! ```text
//!   bytes of whole lines ──▶ Decoder { json | csv | raw } ──▶ columns of the schema, as Arrow arrays
//!   columns of the schema ──▶ Encoder { json | csv | raw } ──▶ lines
//!   columns of a changelog ──▶ Encoder { debezium_json } ──▶ lines, one a change
//! ```
//!
//! A decoder reads exactly the columns that its schema names: what a query does not need is stepped over, never
//! built. A row that cannot be read is an error with line, column and reason, or is dropped and counted.
//!
//! Not here: files, compression, Parquet (its option struct is, its reader lives with the files), SQL option names,
//! event time.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod base64;
mod column;
mod csv;
mod json;
mod number;
pub mod options;
mod raw;
mod time;

use std::fmt;

use arrow::array::ArrayRef;
use schema::{Changelog, Field, ScalarType, Schema};

pub use options::{
    BadData, CsvOptions, DecimalEncoding, Format, JsonOptions, ParquetCompression, ParquetOptions, Reading,
    TimestampFormat,
};

/// A row that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// From 1, since [`Decoder::start`].
    pub line: u64,
    /// Byte of the line, from 1.
    pub column: u64,
    /// As a diagnostic says it: `column "price": BIGINT expected, found a string`.
    pub reason: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.reason)
    }
}

impl std::error::Error for BadRow {}

/// Lines into columns.
#[derive(Debug)]
pub struct Decoder {
    kind: DecoderKind,
}

#[derive(Debug)]
enum DecoderKind {
    Json(json::decode::Decoder),
    Csv(csv::Decoder),
    Raw(raw::Decoder),
}

/// Calls the same method of whichever decoder it is.
macro_rules! each {
    ($kind:expr, $decoder:ident => $call:expr) => {
        match $kind {
            DecoderKind::Json($decoder) => $call,
            DecoderKind::Csv($decoder) => $call,
            DecoderKind::Raw($decoder) => $call,
        }
    };
}

impl Decoder {
    /// A decoder of the columns in `schema`, in their order.
    ///
    /// # Errors
    /// When the format cannot hold a column's type, or is no text format.
    pub fn new(reading: &Reading, schema: &Schema) -> Result<Self, String> {
        let (bad_data, longest) = (reading.bad_data, reading.max_line_bytes);
        let kind = match &reading.format {
            Format::Json(options) => DecoderKind::Json(json::decode::Decoder::new(options, schema, bad_data, longest)?),
            Format::Csv(options) => DecoderKind::Csv(csv::Decoder::new(options, schema, bad_data, longest)?),
            Format::RawString => DecoderKind::Raw(raw::Decoder::new(ScalarType::Utf8, schema, bad_data, longest)?),
            Format::RawBytes => DecoderKind::Raw(raw::Decoder::new(ScalarType::Binary, schema, bad_data, longest)?),
            Format::DebeziumJson(_) => return Err("format 'debezium_json' is not read yet".to_owned()),
            Format::Parquet(_) => return Err("format 'parquet' is not read as lines".to_owned()),
        };
        Ok(Decoder { kind })
    }

    /// A new file or stream begins: lines count from 1 again, and a header is expected where the format has one.
    pub fn start(&mut self) {
        each!(&mut self.kind, decoder => decoder.start());
    }

    /// Reads whole lines from the start of `input` until `max_rows` rows are held. With `last`, nothing follows
    /// `input` and its last line needs no end. Gives the number of bytes read; what is left must be at the start of
    /// the next input.
    ///
    /// # Errors
    /// The first row that cannot be read, unless bad rows are dropped.
    pub fn decode(&mut self, input: &[u8], last: bool, max_rows: usize) -> Result<usize, BadRow> {
        each!(&mut self.kind, decoder => decoder.decode(input, last, max_rows))
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        each!(&self.kind, decoder => decoder.rows())
    }

    /// The rows held, as columns of the schema. None are held afterwards.
    ///
    /// # Errors
    /// When the columns do not fit into Arrow arrays, which is a bug.
    pub fn take(&mut self) -> Result<Vec<ArrayRef>, String> {
        each!(&mut self.kind, decoder => decoder.take())
    }

    /// Rows dropped so far.
    pub fn bad_rows(&self) -> u64 {
        each!(&self.kind, decoder => decoder.bad_rows())
    }
}

/// Columns into lines.
#[derive(Debug)]
pub struct Encoder {
    kind: EncoderKind,
}

#[derive(Debug)]
enum EncoderKind {
    Json(json::encode::Encoder),
    Debezium(json::debezium::Encoder),
    Csv(csv::Encoder),
    Raw,
}

impl Encoder {
    /// # Errors
    /// When the format cannot hold a column's type, or is no text format.
    pub fn new(format: &Format, schema: &Schema) -> Result<Self, String> {
        let kind = match format {
            Format::Json(options) => EncoderKind::Json(json::encode::Encoder::new(options, schema)?),
            Format::DebeziumJson(options) => {
                EncoderKind::Debezium(json::debezium::Encoder::new(options, schema, None)?)
            }
            Format::Csv(options) => EncoderKind::Csv(csv::Encoder::new(options, schema)),
            Format::RawString => {
                raw::check_single_column(schema, &[ScalarType::Utf8, ScalarType::Json], "format 'raw_string'")?;
                EncoderKind::Raw
            }
            Format::RawBytes => {
                raw::check_single_column(schema, &[ScalarType::Binary, ScalarType::Utf8], "format 'raw_bytes'")?;
                EncoderKind::Raw
            }
            Format::Parquet(_) => return Err("format 'parquet' is not written as lines".to_owned()),
        };
        Ok(Encoder { kind })
    }

    /// An encoder of rows that can be taken back; `None`: of such as are new, as [`Encoder::new`].
    ///
    /// # Errors
    /// When the format cannot hold a column's type, or cannot take rows back.
    pub fn of_changes(format: &Format, schema: &Schema, changelog: Option<&Changelog>) -> Result<Self, String> {
        let kind = match (changelog, format) {
            (None, _) => return Encoder::new(format, schema),
            (Some(_), Format::DebeziumJson(options)) => {
                EncoderKind::Debezium(json::debezium::Encoder::new(options, schema, changelog)?)
            }
            (Some(_), format) => return Err(format!("format '{}' cannot take rows back", format.name())),
        };
        Ok(Encoder { kind })
    }

    /// Appends what stands before the first row: the header line of a CSV file.
    pub fn header(&self, out: &mut Vec<u8>) {
        if let EncoderKind::Csv(encoder) = &self.kind {
            encoder.header(out);
        }
    }

    /// Appends `rows` rows, each with its line end; of a changelog, their changes.
    ///
    /// # Errors
    /// When `columns` are not those of the schema, which is a bug of the caller.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match &self.kind {
            EncoderKind::Json(encoder) => encoder.encode(columns, rows, out),
            EncoderKind::Debezium(encoder) => encoder.encode(columns, rows, out),
            EncoderKind::Csv(encoder) => encoder.encode(columns, rows, out),
            EncoderKind::Raw => match columns.first() {
                Some(column) => raw::encode(column, rows, out),
                None => {
                    out.resize(out.len() + rows, b'\n');
                    Ok(())
                }
            },
        }
    }
}

/// One column's values as bare text, row by row, as directory names and CSV fields have them; `None` for null.
///
/// # Errors
/// When the array is not of the field's type, which is a bug of the caller.
pub fn texts(field: &Field, array: &ArrayRef) -> Result<Vec<Option<String>>, String> {
    let view = json::encode::View::new(&field.ty, array)?;
    let text = |row| {
        let mut out = Vec::new();
        view.write_bare(row, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    Ok((0..array.len()).map(|row| (!view.is_null(row)).then(|| text(row))).collect())
}
