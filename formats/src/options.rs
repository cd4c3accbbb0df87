//! What a format can be told, as data that travels from the planner to the worker.
//!
//! The names of the SQL options and the checks of their values are in `connectors-options`; here is what they mean.

use serde::{Deserialize, Serialize};

/// How rows are written as bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Format {
    /// One JSON document a line.
    Json(JsonOptions),
    /// One JSON document for each change of a row: what it was, what it is, and how it has changed. Written only.
    DebeziumJson(JsonOptions),
    /// Delimited text, one record a line unless a quoted field holds the line's end.
    Csv(CsvOptions),
    /// Apache Parquet files. Only connectors that deal in files have it.
    Parquet(ParquetOptions),
    /// Each line is the value of the only column, `value TEXT`.
    RawString,
    /// Each line is the value of the only column, `value BYTEA`.
    RawBytes,
}

impl Format {
    /// As in `format = '...'`, and as a file's extension.
    pub fn name(&self) -> &'static str {
        match self {
            Format::Json(_) => "json",
            Format::DebeziumJson(_) => "debezium_json",
            Format::Csv(_) => "csv",
            Format::Parquet(_) => "parquet",
            Format::RawString => "raw_string",
            Format::RawBytes => "raw_bytes",
        }
    }

    /// Whether it can say that a row is taken back.
    pub fn has_updates(&self) -> bool {
        matches!(self, Format::DebeziumJson(_))
    }

    /// The extension of a file of this format, without the dot.
    pub fn extension(&self) -> &'static str {
        match self {
            Format::Json(_) | Format::DebeziumJson(_) => "json",
            Format::Csv(_) => "csv",
            Format::Parquet(_) => "parquet",
            Format::RawString => "txt",
            Format::RawBytes => "bin",
        }
    }
}

/// Options of `format = 'json'` and `format = 'debezium_json'`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JsonOptions {
    /// How timestamps are written. When reading, both forms are accepted: text is RFC 3339, a number is
    /// milliseconds since the Unix epoch.
    pub timestamp_format: TimestampFormat,
    /// How decimals are written; `Bytes` also decides how text is read.
    pub decimal_encoding: DecimalEncoding,
    /// The table has one column, `value`, which holds the whole document.
    pub unstructured: bool,
    /// Documents are wrapped as `{"schema": ..., "payload": {...}}`, as Kafka Connect does.
    pub include_schema: bool,
    /// Keys are those of the columns to the letter, and not in any case: the table has columns, or members of one
    /// struct, that differ in case alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exact_keys: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampFormat {
    /// `2013-01-01T10:15:00`, with a fraction of 3, 6 or 9 digits where there is one, with `Z` when the column has
    /// a zone.
    #[default]
    Rfc3339,
    /// Milliseconds since the Unix epoch, a number.
    UnixMillis,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalEncoding {
    /// `12.50`: exact, but many readers take it for a float.
    #[default]
    Number,
    /// `"12.50"`.
    String,
    /// Base64 of the unscaled value, big-endian two's complement, as Kafka Connect does.
    Bytes,
}

/// Options of `format = 'csv'`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsvOptions {
    /// The first record names the columns; else fields are taken in the order of `columns`.
    pub header: bool,
    /// All columns of the table, in order, for files without a header.
    pub columns: Vec<String>,
    pub delimiter: u8,
    pub quote: u8,
    /// Inside quotes, takes the next byte literally. A doubled quote always stands for one.
    pub escape: Option<u8>,
    /// Lines that begin with it are skipped.
    pub comment: Option<u8>,
    /// An unquoted field with this text is null, as is an empty unquoted one.
    pub null: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions {
            header: true,
            columns: Vec::new(),
            delimiter: b',',
            quote: b'"',
            escape: None,
            comment: None,
            null: String::new(),
        }
    }
}

/// Options of `format = 'parquet'`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParquetOptions {
    pub compression: ParquetCompression,
    /// Most rows of a row group; `None`: the writer's own default.
    pub row_group_rows: Option<usize>,
    /// About the most bytes of a row group, as it is encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_group_bytes: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParquetCompression {
    #[default]
    Zstd,
    Snappy,
    Gzip,
    Lz4,
    Lz4Raw,
    Uncompressed,
}

/// What to do with a row that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadData {
    /// The job fails, naming file, line, column and reason.
    #[default]
    Fail,
    /// The row is left out and counted.
    Drop,
}

/// How a source reads bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub format: Format,
    #[serde(default)]
    pub bad_data: BadData,
    /// Longest line that is read; a longer one is a bad row. `None`: any length.
    #[serde(default)]
    pub max_line_bytes: Option<usize>,
}
