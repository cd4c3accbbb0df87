//! The options of formats: `format`, `json.*`, `csv.*`, `parquet.*`, `bad_data`, `framing`.

use formats::{
    BadData, CsvOptions, DecimalEncoding, Decoder, Encoder, Format, JsonOptions, ParquetCompression, ParquetOptions,
    Reading, TimestampFormat,
};
use schema::Schema;

use crate::options::{OptionError, Options};

/// What a connector carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Whole files, so that Parquet is possible.
    Files,
    /// A stream of lines.
    Lines,
}

const FORMATS: &[(&str, &str)] = &[
    ("json", "json"),
    ("csv", "csv"),
    ("parquet", "parquet"),
    ("raw_string", "raw_string"),
    ("raw_bytes", "raw_bytes"),
];

/// Formats that users know from elsewhere.
const NOT_YET: &[&str] = &["avro", "debezium_json", "protobuf"];

/// Takes the options of a source's format.
///
/// # Errors
/// When one is wrong, or when the format cannot hold a column of `schema`.
pub fn take_reading(
    options: &mut Options,
    schema: &Schema,
    carrier: Carrier,
    default: Option<Format>,
) -> Result<Reading, OptionError> {
    let format = take_format(options, schema, carrier, default)?;
    let bad_data = options.take_choice("bad_data", &[("fail", BadData::Fail), ("drop", BadData::Drop)])?;
    options.take_choice("framing", &[("newline", ())])?;
    let max_line_bytes = options.take_parsed("framing.newline.max_length", "a whole number of bytes")?;
    let reading = Reading { format, bad_data: bad_data.unwrap_or_default(), max_line_bytes };
    if !matches!(reading.format, Format::Parquet(_)) {
        Decoder::new(&reading, schema).map_err(|reason| OptionError::new("format", reason))?;
    }
    Ok(reading)
}

/// Takes the options of a sink's format.
///
/// # Errors
/// As [`take_reading`].
pub fn take_writing(
    options: &mut Options,
    schema: &Schema,
    carrier: Carrier,
    default: Option<Format>,
) -> Result<Format, OptionError> {
    let format = take_format(options, schema, carrier, default)?;
    options.take_choice("framing", &[("newline", ())])?;
    options.take_choice("bad_data", &[("fail", ()), ("drop", ())])?;
    if !matches!(format, Format::Parquet(_)) {
        Encoder::new(&format, schema).map_err(|reason| OptionError::new("format", reason))?;
    }
    Ok(format)
}

fn take_format(
    options: &mut Options,
    schema: &Schema,
    carrier: Carrier,
    default: Option<Format>,
) -> Result<Format, OptionError> {
    let word = match (options.take("format"), default) {
        (Some(word), _) => word.to_ascii_lowercase(),
        (None, Some(default)) => default.name().to_owned(),
        (None, None) => return Err(OptionError::new("format", "option \"format\" is required")),
    };
    if NOT_YET.contains(&word.as_str()) {
        return Err(OptionError::new("format", format!("format '{word}' is not supported yet")));
    }
    let mut only = Options::new([("format".to_owned(), word)]);
    match only.take_choice("format", FORMATS)? {
        Some("json") => Ok(Format::Json(take_json(options)?)),
        Some("csv") => Ok(Format::Csv(take_csv(options, schema)?)),
        Some("raw_string") => Ok(Format::RawString),
        Some("raw_bytes") => Ok(Format::RawBytes),
        _ if carrier == Carrier::Files => Ok(Format::Parquet(take_parquet(options)?)),
        _ => Err(OptionError::new("format", "format 'parquet' is for files only")),
    }
}

fn take_json(options: &mut Options) -> Result<JsonOptions, OptionError> {
    if options.take_parsed("json.confluent_schema_registry", "true or false")? == Some(true) {
        let key = "json.confluent_schema_registry";
        return Err(OptionError::new(key, "schema registries are not supported yet"));
    }
    let timestamp_format = options.take_choice(
        "json.timestamp_format",
        &[("rfc3339", TimestampFormat::Rfc3339), ("unix_millis", TimestampFormat::UnixMillis)],
    )?;
    let decimal_encoding = options.take_choice(
        "json.decimal_encoding",
        &[("number", DecimalEncoding::Number), ("string", DecimalEncoding::String), ("bytes", DecimalEncoding::Bytes)],
    )?;
    Ok(JsonOptions {
        timestamp_format: timestamp_format.unwrap_or_default(),
        decimal_encoding: decimal_encoding.unwrap_or_default(),
        unstructured: options.take_parsed("json.unstructured", "true or false")?.unwrap_or(false),
        include_schema: options.take_parsed("json.include_schema", "true or false")?.unwrap_or(false),
    })
}

fn take_csv(options: &mut Options, schema: &Schema) -> Result<CsvOptions, OptionError> {
    let default = CsvOptions::default();
    let csv = CsvOptions {
        header: options.take_parsed("csv.header", "true or false")?.unwrap_or(default.header),
        columns: schema.fields.iter().map(|field| field.name.clone()).collect(),
        delimiter: take_byte(options, "csv.delimiter")?.unwrap_or(default.delimiter),
        quote: take_byte(options, "csv.quote")?.unwrap_or(default.quote),
        escape: take_byte(options, "csv.escape")?,
        comment: take_byte(options, "csv.comment")?,
        null: options.take("csv.null").unwrap_or_default(),
    };
    if csv.delimiter == csv.quote {
        return Err(OptionError::new("csv.delimiter", "options \"csv.delimiter\" and \"csv.quote\" must differ"));
    }
    Ok(csv)
}

/// One ASCII character, or `\t`.
fn take_byte(options: &mut Options, key: &str) -> Result<Option<u8>, OptionError> {
    let Some(text) = options.take(key) else { return Ok(None) };
    match text.as_bytes() {
        b"\\t" => Ok(Some(b'\t')),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Some(*byte)),
        _ => Err(OptionError::new(key, format!("option \"{key}\" must be one ASCII character, not '{text}'"))),
    }
}

fn take_parquet(options: &mut Options) -> Result<ParquetOptions, OptionError> {
    let compression = options.take_choice(
        "parquet.compression",
        &[
            ("zstd", ParquetCompression::Zstd),
            ("snappy", ParquetCompression::Snappy),
            ("gzip", ParquetCompression::Gzip),
            ("lz4", ParquetCompression::Lz4),
            ("lz4_raw", ParquetCompression::Lz4Raw),
            ("uncompressed", ParquetCompression::Uncompressed),
        ],
    )?;
    let key = "parquet.row_group_size";
    let row_group_rows: Option<usize> = options.take_parsed(key, "a whole number of rows")?;
    if row_group_rows == Some(0) {
        return Err(OptionError::new(key, format!("option \"{key}\" must be above 0")));
    }
    Ok(ParquetOptions { compression: compression.unwrap_or_default(), row_group_rows })
}
