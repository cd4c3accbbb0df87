//! Columns into JSON lines.
//!
//! Rows are written straight into the output: each batch's arrays are resolved once into [`Values`], and each value
//! is one `match` on it. Null is written as `null`, a float that is not finite too (JSON has no such numbers), binary
//! as base64, intervals and durations as ISO 8601 text. Timestamps are written in UTC: without an offset for a
//! column without a zone, with `Z` for one with a zone.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, GenericByteArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, BinaryType, Date32Type, Decimal128Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use schema::{ScalarType, Schema, TimeUnit};

use super::find_special;
use crate::number::{write_decimal, write_i64, write_u64};
use crate::options::{DecimalEncoding, JsonOptions, TimestampFormat};
use crate::{base64, time};

#[derive(Debug)]
pub(crate) struct Encoder {
    options: JsonOptions,
    columns: Vec<(Vec<u8>, ScalarType)>,
}

impl Encoder {
    pub(crate) fn new(options: &JsonOptions, schema: &Schema) -> Result<Self, String> {
        if options.unstructured {
            crate::raw::check_single_column(schema, &[ScalarType::Json, ScalarType::Utf8], "json.unstructured")?;
        }
        if options.include_schema {
            return Err("json.include_schema is not supported yet for sinks".to_owned());
        }
        check(&ScalarType::Struct(schema.fields.clone()))?;
        let columns = keys(schema.fields.iter().map(|field| (field.name.as_str(), &field.ty)));
        Ok(Encoder { options: options.clone(), columns })
    }

    pub(crate) fn encode(&self, columns: &[ArrayRef], rows: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.options.unstructured
            && let Some(column) = columns.first()
        {
            return unstructured(column, rows, out);
        }
        let objects = self.objects(columns)?;
        for row in 0..rows {
            objects.write(row, out);
            out.push(b'\n');
        }
        Ok(())
    }

    /// The rows of a batch.
    pub(crate) fn objects<'a>(&'a self, columns: &'a [ArrayRef]) -> Result<Objects<'a>, String> {
        if columns.len() != self.columns.len() {
            return Err(format!("{} columns given, the schema has {}", columns.len(), self.columns.len()));
        }
        let members =
            self.columns.iter().zip(columns).map(|((key, ty), array)| Ok((key.clone(), View::new(ty, array)?)));
        Ok(Objects { options: &self.options, members: members.collect::<Result<_, String>>()? })
    }
}

/// The rows of a batch, each as an object.
pub(crate) struct Objects<'a> {
    options: &'a JsonOptions,
    members: Vec<(Vec<u8>, View<'a>)>,
}

impl Objects<'_> {
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        write_members(&self.members, row, self.options, out);
    }

    /// Whether two rows have the same values in some columns, as they are written.
    pub(crate) fn is_alike(&self, row: usize, other: usize, columns: &[usize]) -> bool {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        columns.iter().all(|column| {
            let (_, view) = &self.members[*column];
            one.clear();
            two.clear();
            view.write(row, self.options, &mut one);
            view.write(other, self.options, &mut two);
            one == two
        })
    }
}

/// `{"name":` and `,"name":` in order.
fn keys<'a>(fields: impl Iterator<Item = (&'a str, &'a ScalarType)>) -> Vec<(Vec<u8>, ScalarType)> {
    let key = |(i, (name, ty)): (usize, (&str, &ScalarType))| {
        let mut key = vec![if i == 0 { b'{' } else { b',' }];
        write_string(name.as_bytes(), &mut key);
        key.push(b':');
        (key, ty.clone())
    };
    fields.enumerate().map(key).collect()
}

/// Whether JSON can hold the type: an object's keys are text.
fn check(ty: &ScalarType) -> Result<(), String> {
    match ty {
        ScalarType::Struct(fields) => fields.iter().try_for_each(|field| check(&field.ty)),
        ScalarType::List(item) => check(item),
        ScalarType::Map { key, value } if **key == ScalarType::Utf8 => check(value),
        ScalarType::Map { .. } => Err(format!("type {ty} cannot be written as JSON: the keys of a map must be TEXT")),
        _ => Ok(()),
    }
}

/// Documents as they are; null as `null`.
fn unstructured(column: &ArrayRef, rows: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let texts = column.as_any().downcast_ref::<StringArray>().ok_or("the column is not text")?;
    for row in 0..rows {
        out.extend_from_slice(if texts.is_valid(row) { texts.value(row).as_bytes() } else { b"null" });
        out.push(b'\n');
    }
    Ok(())
}

fn write_members(members: &[(Vec<u8>, View<'_>)], row: usize, options: &JsonOptions, out: &mut Vec<u8>) {
    if members.is_empty() {
        out.push(b'{');
    }
    for (key, view) in members {
        out.extend_from_slice(key);
        view.write(row, options, out);
    }
    out.push(b'}');
}

/// An array whose type has been looked at.
pub(crate) struct View<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal { values: &'a [i128], scale: i8 },
    Text(&'a StringArray),
    Json(&'a StringArray),
    Binary(&'a GenericByteArray<BinaryType>),
    Date(&'a [i32]),
    Time(&'a [i64]),
    Timestamp { values: &'a [i64], unit: TimeUnit, zoned: bool },
    Interval(&'a [IntervalMonthDayNano]),
    Duration { values: &'a [i64], unit: TimeUnit },
    List { offsets: &'a OffsetBuffer<i32>, item: Box<View<'a>> },
    Struct(Vec<(Vec<u8>, View<'a>)>),
    Map { offsets: &'a OffsetBuffer<i32>, keys: &'a StringArray, value: Box<View<'a>> },
}

fn slice<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<&[T::Native], String> {
    match array.as_any().downcast_ref::<PrimitiveArray<T>>() {
        Some(array) => Ok(array.values()),
        None => Err(format!("a column of type {} was given as {}", T::DATA_TYPE, array.data_type())),
    }
}

impl<'a> View<'a> {
    /// # Errors
    /// When the array is not in the type's representation: a bug of the caller.
    pub(crate) fn new(ty: &ScalarType, array: &'a ArrayRef) -> Result<Self, String> {
        let wrong = || format!("a column of type {ty} was given as {}", array.data_type());
        let values = match ty {
            ScalarType::Null => Values::Null,
            ScalarType::Bool => Values::Bool(array.as_boolean_opt().ok_or_else(wrong)?),
            ScalarType::Int8 => Values::Int8(slice::<Int8Type>(array)?),
            ScalarType::Int16 => Values::Int16(slice::<Int16Type>(array)?),
            ScalarType::Int32 => Values::Int32(slice::<Int32Type>(array)?),
            ScalarType::Int64 => Values::Int64(slice::<Int64Type>(array)?),
            ScalarType::UInt8 => Values::UInt8(slice::<UInt8Type>(array)?),
            ScalarType::UInt16 => Values::UInt16(slice::<UInt16Type>(array)?),
            ScalarType::UInt32 => Values::UInt32(slice::<UInt32Type>(array)?),
            ScalarType::UInt64 => Values::UInt64(slice::<UInt64Type>(array)?),
            ScalarType::Float32 => Values::Float32(slice::<Float32Type>(array)?),
            ScalarType::Float64 => Values::Float64(slice::<Float64Type>(array)?),
            ScalarType::Decimal { scale, .. } => {
                Values::Decimal { values: slice::<Decimal128Type>(array)?, scale: *scale }
            }
            ScalarType::Utf8 => Values::Text(array.as_string_opt().ok_or_else(wrong)?),
            ScalarType::Json => Values::Json(array.as_string_opt().ok_or_else(wrong)?),
            ScalarType::Binary => Values::Binary(array.as_binary_opt().ok_or_else(wrong)?),
            ScalarType::Date => Values::Date(slice::<Date32Type>(array)?),
            ScalarType::Time => Values::Time(slice::<Time64NanosecondType>(array)?),
            ScalarType::Timestamp { unit, zone } => {
                let values = match unit {
                    TimeUnit::Second => slice::<TimestampSecondType>(array)?,
                    TimeUnit::Millisecond => slice::<TimestampMillisecondType>(array)?,
                    TimeUnit::Microsecond => slice::<TimestampMicrosecondType>(array)?,
                    TimeUnit::Nanosecond => slice::<TimestampNanosecondType>(array)?,
                };
                Values::Timestamp { values, unit: *unit, zoned: zone.is_some() }
            }
            ScalarType::Interval => Values::Interval(slice::<IntervalMonthDayNanoType>(array)?),
            ScalarType::Duration { unit } => {
                let values = match unit {
                    TimeUnit::Second => slice::<DurationSecondType>(array)?,
                    TimeUnit::Millisecond => slice::<DurationMillisecondType>(array)?,
                    TimeUnit::Microsecond => slice::<DurationMicrosecondType>(array)?,
                    TimeUnit::Nanosecond => slice::<DurationNanosecondType>(array)?,
                };
                Values::Duration { values, unit: *unit }
            }
            ScalarType::List(item) => {
                let list = array.as_list_opt::<i32>().ok_or_else(wrong)?;
                Values::List { offsets: list.offsets(), item: Box::new(View::new(item, list.values())?) }
            }
            ScalarType::Struct(fields) => {
                let array = array.as_struct_opt().ok_or_else(wrong)?;
                Values::Struct(View::members(fields, array)?)
            }
            ScalarType::Map { value, .. } => {
                let map = array.as_map_opt().ok_or_else(wrong)?;
                let keys = map.keys().as_string_opt().ok_or_else(wrong)?;
                Values::Map { offsets: map.offsets(), keys, value: Box::new(View::new(value, map.values())?) }
            }
        };
        Ok(View { nulls: array.nulls(), values })
    }

    fn members(fields: &[schema::Field], array: &'a StructArray) -> Result<Vec<(Vec<u8>, View<'a>)>, String> {
        if fields.len() != array.num_columns() {
            return Err(format!("a struct of {} members was given with {}", fields.len(), array.num_columns()));
        }
        let keys = keys(fields.iter().map(|field| (field.name.as_str(), &field.ty)));
        keys.into_iter().zip(array.columns()).map(|((key, ty), array)| Ok((key, View::new(&ty, array)?))).collect()
    }

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes value `row`.
    pub(crate) fn write(&self, row: usize, options: &JsonOptions, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Null => out.extend_from_slice(b"null"),
            Values::Bool(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Values::Int8(values) => write_i64(i64::from(values[row]), out),
            Values::Int16(values) => write_i64(i64::from(values[row]), out),
            Values::Int32(values) => write_i64(i64::from(values[row]), out),
            Values::Int64(values) => write_i64(values[row], out),
            Values::UInt8(values) => write_u64(u64::from(values[row]), out),
            Values::UInt16(values) => write_u64(u64::from(values[row]), out),
            Values::UInt32(values) => write_u64(u64::from(values[row]), out),
            Values::UInt64(values) => write_u64(values[row], out),
            Values::Float32(values) if !values[row].is_finite() => out.extend_from_slice(b"null"),
            Values::Float64(values) if !values[row].is_finite() => out.extend_from_slice(b"null"),
            Values::Float32(values) => write_debug(&values[row], out),
            Values::Float64(values) => write_debug(&values[row], out),
            Values::Decimal { values, scale } => write_decimal_as(values[row], *scale, options.decimal_encoding, out),
            Values::Text(values) => write_string(values.value(row).as_bytes(), out),
            Values::Json(values) => write_document(values.value(row), out),
            Values::Binary(values) => quoted(out, |out| base64::encode(values.value(row), out)),
            Values::Date(values) => quoted(out, |out| time::write_date(i64::from(values[row]), out)),
            Values::Time(values) => quoted(out, |out| time::write_time(values[row], out)),
            Values::Timestamp { values, unit, zoned } => match options.timestamp_format {
                TimestampFormat::UnixMillis => write_i64(time::ticks_to_millis(values[row], *unit), out),
                TimestampFormat::Rfc3339 => quoted(out, |out| {
                    time::write_timestamp(values[row], *unit, out);
                    if *zoned {
                        out.push(b'Z');
                    }
                }),
            },
            Values::Interval(values) => quoted(out, |out| time::write_interval(values[row], out)),
            Values::Duration { values, unit } => match values[row].checked_mul(unit.nanos()) {
                Some(nanos) => {
                    quoted(out, |out| time::write_interval(IntervalMonthDayNano::new(0, 0, nanos), out));
                }
                // Beyond 292 years: ticks, which the decoder reads too.
                None => write_i64(values[row], out),
            },
            Values::List { offsets, item } => {
                out.push(b'[');
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                for i in start..end {
                    if i > start {
                        out.push(b',');
                    }
                    item.write(i, options, out);
                }
                out.push(b']');
            }
            Values::Struct(members) => write_members(members, row, options, out),
            Values::Map { offsets, keys, value } => {
                out.push(b'{');
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                for i in start..end {
                    if i > start {
                        out.push(b',');
                    }
                    write_string(keys.value(i).as_bytes(), out);
                    out.push(b':');
                    value.write(i, options, out);
                }
                out.push(b'}');
            }
        }
    }

    /// Writes value `row`, which is not null, as a text without JSON's quotes, as CSV and file paths have it.
    pub(crate) fn write_bare(&self, row: usize, out: &mut Vec<u8>) {
        const PLAIN: &JsonOptions = &JsonOptions {
            timestamp_format: TimestampFormat::Rfc3339,
            decimal_encoding: DecimalEncoding::Number,
            unstructured: false,
            include_schema: false,
            exact_keys: false,
        };
        match &self.values {
            Values::Text(values) | Values::Json(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Values::Float64(values) if values[row].is_nan() => out.extend_from_slice(b"NaN"),
            Values::Float32(values) if values[row].is_nan() => out.extend_from_slice(b"NaN"),
            Values::Float64(values) if values[row].is_infinite() => write_debug(&values[row], out),
            Values::Float32(values) if values[row].is_infinite() => write_debug(&values[row], out),
            Values::Binary(_)
            | Values::Date(_)
            | Values::Time(_)
            | Values::Timestamp { .. }
            | Values::Interval(_)
            | Values::Duration { .. } => {
                let start = out.len();
                self.write(row, PLAIN, out);
                if out.get(start) == Some(&b'"') {
                    out.pop();
                    out.remove(start);
                }
            }
            _ => self.write(row, PLAIN, out),
        }
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// The shortest digits that read back as the same float, with an exponent where that is shorter.
fn write_debug(value: &dyn std::fmt::Debug, out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value:?}");
}

fn write_decimal_as(value: i128, scale: i8, encoding: DecimalEncoding, out: &mut Vec<u8>) {
    match encoding {
        DecimalEncoding::Number => write_decimal(value, scale, out),
        DecimalEncoding::String => quoted(out, |out| write_decimal(value, scale, out)),
        DecimalEncoding::Bytes => quoted(out, |out| {
            let bytes = value.to_be_bytes();
            // Leading bytes that only repeat the sign are left out.
            let sign = if value < 0 { 0xff } else { 0 };
            let redundant = (0..15).take_while(|i| bytes[*i] == sign && (bytes[i + 1] ^ sign) < 0x80).count();
            base64::encode(&bytes[redundant..], out);
        }),
    }
}

/// A JSON column's text is a document already; a line break between its tokens would end the line.
fn write_document(text: &str, out: &mut Vec<u8>) {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    }
}

/// Writes a string with quotes and escapes.
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut at = 0;
    loop {
        let end = find_special(text, at);
        out.extend_from_slice(&text[at..end]);
        let Some(byte) = text.get(end) else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            byte => {
                out.extend_from_slice(b"\\u00");
                out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[digit as usize]));
            }
        }
        at = end + 1;
    }
    out.push(b'"');
}
