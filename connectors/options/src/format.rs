//! The options of formats: `format`, `json.*`, `csv.*`, `parquet.*`, `bad_data`, `framing`.

use formats::{
    BadData, CsvOptions, DecimalEncoding, Decoder, Encoder, Format, JsonOptions, ParquetCompression, ParquetOptions,
    Reading, TimestampFormat,
};
use schema::{Field, ScalarType, Schema};

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

/// A plain `parquet.row_group_size` up to this is a number of rows, as it is the most that the writer puts into a row
/// group by itself; a larger one is bytes, as nobody wants row groups of fewer bytes.
const MOST_ROW_GROUP_ROWS: u64 = 1024 * 1024;

/// Those that only sinks have.
const WRITTEN: &[(&str, &str)] = &[("debezium_json", "debezium_json")];

/// Formats that users know from elsewhere.
const NOT_YET: &[&str] = &["avro", "protobuf"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Reading,
    Writing,
}

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
    let format = take_format(options, schema, carrier, default, Use::Reading)?;
    let lines = !matches!(format, Format::Parquet(_));
    let bad_data = options.take_choice("bad_data", &[("fail", BadData::Fail), ("drop", BadData::Drop)])?;
    if bad_data == Some(BadData::Drop) && !lines {
        options.without_effect("bad_data", "on Parquet: a file that cannot be read fails the job");
    }
    let longest = take_framing(options, lines)?;
    let max_line_bytes = longest.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let reading = Reading { format, bad_data: bad_data.unwrap_or_default(), max_line_bytes };
    if lines {
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
    let format = take_format(options, schema, carrier, default, Use::Writing)?;
    let lines = !matches!(format, Format::Parquet(_));
    if take_framing(options, lines)?.is_some() && lines {
        options.without_effect("framing.newline.max_length", "on a sink");
    }
    if options.take_choice("bad_data", &[("fail", ()), ("drop", ())])?.is_some() {
        options.without_effect("bad_data", "on a sink");
    }
    if lines {
        Encoder::new(&format, schema).map_err(|reason| OptionError::new("format", reason))?;
    }
    Ok(format)
}

/// Takes `framing` and its options: the most bytes of a line.
fn take_framing(options: &mut Options, lines: bool) -> Result<Option<u64>, OptionError> {
    let key = "framing.newline.max_length";
    let framing = options.take_choice("framing", &[("newline", ())])?;
    let longest = options.take_bytes(key)?;
    for (key, given) in [("framing", framing.is_some()), (key, longest.is_some())] {
        if given && !lines {
            options.without_effect(key, "on Parquet, which has no lines");
        }
    }
    Ok(longest)
}

fn take_format(
    options: &mut Options,
    schema: &Schema,
    carrier: Carrier,
    default: Option<Format>,
    wanted: Use,
) -> Result<Format, OptionError> {
    let word = match (options.take("format"), default) {
        (Some(word), _) => word.to_ascii_lowercase(),
        (None, Some(default)) => default.name().to_owned(),
        (None, None) => return Err(OptionError::new("format", "option \"format\" is required")),
    };
    if NOT_YET.contains(&word.as_str()) {
        return Err(OptionError::new("format", format!("format '{word}' is not supported yet")));
    }
    let formats = match wanted {
        Use::Reading if WRITTEN.iter().any(|(written, _)| *written == word) => {
            return Err(OptionError::new("format", format!("format '{word}' of a source is not supported yet"))
                .with_hint("only sinks have it: changes of rows cannot be read yet"));
        }
        Use::Reading => FORMATS.to_vec(),
        Use::Writing => [FORMATS, WRITTEN].concat(),
    };
    let mut only = Options::new([("format".to_owned(), word)]);
    match only.take_choice("format", &formats)? {
        Some("json") => Ok(Format::Json(take_json(options, schema, JsonOptions::default())?)),
        Some("debezium_json") => {
            // As those who read Debezium expect it.
            let default = JsonOptions {
                timestamp_format: TimestampFormat::UnixMillis,
                decimal_encoding: DecimalEncoding::Bytes,
                ..JsonOptions::default()
            };
            Ok(Format::DebeziumJson(take_json(options, schema, default)?))
        }
        Some("csv") => Ok(Format::Csv(take_csv(options, schema)?)),
        Some("raw_string") => Ok(Format::RawString),
        Some("raw_bytes") => Ok(Format::RawBytes),
        _ if carrier == Carrier::Files => Ok(Format::Parquet(take_parquet(options)?)),
        _ => Err(OptionError::new("format", "format 'parquet' is for files only")),
    }
}

fn take_json(options: &mut Options, schema: &Schema, default: JsonOptions) -> Result<JsonOptions, OptionError> {
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
        timestamp_format: timestamp_format.unwrap_or(default.timestamp_format),
        decimal_encoding: decimal_encoding.unwrap_or(default.decimal_encoding),
        unstructured: options.take_parsed("json.unstructured", "true or false")?.unwrap_or(false),
        include_schema: options.take_parsed("json.include_schema", "true or false")?.unwrap_or(false),
        exact_keys: case_matters(&schema.fields),
    })
}

/// Whether two columns, or two members of one struct, have names that differ in case alone.
fn case_matters(fields: &[Field]) -> bool {
    fn inside(ty: &ScalarType) -> bool {
        match ty {
            ScalarType::List(item) => inside(item),
            ScalarType::Struct(members) => case_matters(members),
            ScalarType::Map { value, .. } => inside(value),
            _ => false,
        }
    }
    let mut names: Vec<String> = fields.iter().map(|field| field.name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1]) || fields.iter().any(|field| inside(&field.ty))
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
    let mut size = |key: &str| {
        let plain = options.get(key).is_some_and(|text| text.trim().parse::<u64>().is_ok());
        match options.take_bytes(key)? {
            Some(0) => Err(OptionError::new(key, format!("option \"{key}\" must be above 0"))),
            size => Ok((size, plain)),
        }
    };
    let (row_group_size, plain) = size("parquet.row_group_size")?;
    let (row_group_bytes, _) = size("parquet.row_group_bytes")?;
    let (rows, bytes) = match row_group_size {
        Some(rows) if plain && rows <= MOST_ROW_GROUP_ROWS => (Some(rows), None),
        bytes => (None, bytes),
    };
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(ParquetOptions {
        compression: compression.unwrap_or_default(),
        row_group_rows: rows.map(count),
        row_group_bytes: row_group_bytes.or(bytes).map(count),
    })
}
