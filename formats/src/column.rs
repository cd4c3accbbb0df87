//! Columns under construction: typed vectors that rows are appended to.
//!
//! Arrow's own builders are one Rust type for each data type, so a decoder over them is a tree of trait objects with
//! a dynamic call for each value. Here a column is one enum: a decoder matches on it once for each value, with the
//! buffer at hand, and a row that turns out to be bad is taken back by [`Column::truncate`].
//!
//! Invariants: `len` values are in every column of a row set between rows; the members of a struct column have as
//! many values as it has (a null struct has null members, whatever they declare); offsets start at 0.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray, NullArray, NullBufferBuilder,
    PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use schema::{ScalarType, TimeUnit};

use crate::json::names::Names;
use crate::number::{DecimalFault, parse_decimal, parse_integer};
use crate::{base64, time};

/// One column, or a member, item or value of one.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) ty: ScalarType,
    pub(crate) nullable: bool,
    pub(crate) nulls: NullBufferBuilder,
    pub(crate) data: Data,
}

#[derive(Debug)]
pub(crate) enum Data {
    Null,
    Bool(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal { values: Vec<i128>, precision: u8, scale: i8 },
    Text(Texts),
    Json(Texts),
    Binary(Texts),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp { values: Vec<i64>, unit: TimeUnit, needs_offset: bool },
    Interval(Vec<IntervalMonthDayNano>),
    Duration { values: Vec<i64>, unit: TimeUnit },
    List { offsets: Vec<i32>, item: Box<Column> },
    Struct { names: Names, members: Vec<Column> },
    Map { offsets: Vec<i32>, keys: Texts, value: Box<Column> },
}

/// Byte strings, one after another.
#[derive(Debug)]
pub(crate) struct Texts {
    offsets: Vec<i32>,
    /// What is being appended ends here, until [`Texts::seal`] makes it a value.
    pub(crate) bytes: Vec<u8>,
}

impl Texts {
    fn new() -> Self {
        Texts { offsets: vec![0], bytes: Vec::new() }
    }

    /// Ends the value that was appended to `bytes`.
    ///
    /// # Errors
    /// When the column holds more than Arrow's 32-bit offsets reach.
    #[inline]
    pub(crate) fn seal(&mut self) -> Result<(), String> {
        let Ok(end) = i32::try_from(self.bytes.len()) else {
            return Err("more than 2 GiB of text in one batch".to_owned());
        };
        self.offsets.push(end);
        Ok(())
    }

    fn repeat_end(&mut self) {
        self.offsets.push(*self.offsets.last().expect("offsets start at 0"));
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.bytes.truncate(*self.offsets.last().expect("offsets start at 0") as usize);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let offsets = renew(&mut self.offsets);
        self.offsets.push(0);
        let bytes = renew(&mut self.bytes);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes))
    }

    fn take_strings(&mut self, nulls: Option<NullBuffer>) -> Result<StringArray, String> {
        let (offsets, bytes) = self.take();
        StringArray::try_new(offsets, bytes, nulls).map_err(|error| error.to_string())
    }
}

impl Column {
    /// # Errors
    /// When no text can hold the type.
    pub(crate) fn new(ty: &ScalarType, nullable: bool) -> Result<Self, String> {
        let data = match ty {
            ScalarType::Null => Data::Null,
            ScalarType::Bool => Data::Bool(BooleanBufferBuilder::new(0)),
            ScalarType::Int8 => Data::Int8(Vec::new()),
            ScalarType::Int16 => Data::Int16(Vec::new()),
            ScalarType::Int32 => Data::Int32(Vec::new()),
            ScalarType::Int64 => Data::Int64(Vec::new()),
            ScalarType::UInt8 => Data::UInt8(Vec::new()),
            ScalarType::UInt16 => Data::UInt16(Vec::new()),
            ScalarType::UInt32 => Data::UInt32(Vec::new()),
            ScalarType::UInt64 => Data::UInt64(Vec::new()),
            ScalarType::Float32 => Data::Float32(Vec::new()),
            ScalarType::Float64 => Data::Float64(Vec::new()),
            ScalarType::Decimal { precision, scale } => {
                Data::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            ScalarType::Utf8 => Data::Text(Texts::new()),
            ScalarType::Json => Data::Json(Texts::new()),
            ScalarType::Binary => Data::Binary(Texts::new()),
            ScalarType::Date => Data::Date(Vec::new()),
            ScalarType::Time => Data::Time(Vec::new()),
            ScalarType::Timestamp { unit, zone } => {
                let utc = |zone: &str| matches!(zone, "UTC" | "utc" | "Z" | "+00:00" | "Etc/UTC");
                let needs_offset = zone.as_deref().is_some_and(|zone| !utc(zone));
                Data::Timestamp { values: Vec::new(), unit: *unit, needs_offset }
            }
            ScalarType::Interval => Data::Interval(Vec::new()),
            ScalarType::Duration { unit } => Data::Duration { values: Vec::new(), unit: *unit },
            ScalarType::List(item) => Data::List { offsets: vec![0], item: Box::new(Column::new(item, true)?) },
            ScalarType::Struct(fields) => Data::Struct {
                names: Names::new(fields.iter().map(|field| field.name.as_str())),
                members: fields.iter().map(|field| Column::new(&field.ty, field.nullable)).collect::<Result<_, _>>()?,
            },
            ScalarType::Map { key, value } => {
                if **key != ScalarType::Utf8 {
                    return Err(format!("type {ty} cannot be read: the keys of a map must be TEXT"));
                }
                Data::Map { offsets: vec![0], keys: Texts::new(), value: Box::new(Column::new(value, true)?) }
            }
        };
        Ok(Column { ty: ty.clone(), nullable, nulls: NullBufferBuilder::new(0), data })
    }

    /// Values that are complete.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// A null, if the column may have one.
    #[inline]
    pub(crate) fn append_null(&mut self) -> Result<(), String> {
        if !self.nullable {
            return Err("null in a column that is NOT NULL".to_owned());
        }
        self.append_hole();
        Ok(())
    }

    /// A null that nobody sees as a value of its own: in a member of a null struct it is never forbidden.
    fn append_hole(&mut self) {
        match &mut self.data {
            Data::Null => {}
            Data::Bool(values) => values.append(false),
            Data::Int8(values) => values.push(0),
            Data::Int16(values) => values.push(0),
            Data::Int32(values) | Data::Date(values) => values.push(0),
            Data::Int64(values)
            | Data::Time(values)
            | Data::Timestamp { values, .. }
            | Data::Duration { values, .. } => values.push(0),
            Data::UInt8(values) => values.push(0),
            Data::UInt16(values) => values.push(0),
            Data::UInt32(values) => values.push(0),
            Data::UInt64(values) => values.push(0),
            Data::Float32(values) => values.push(0.0),
            Data::Float64(values) => values.push(0.0),
            Data::Decimal { values, .. } => values.push(0),
            Data::Text(texts) | Data::Json(texts) | Data::Binary(texts) => texts.repeat_end(),
            Data::Interval(values) => values.push(IntervalMonthDayNano::ZERO),
            Data::List { offsets, .. } | Data::Map { offsets, .. } => {
                offsets.push(*offsets.last().expect("offsets start at 0"));
            }
            Data::Struct { members, .. } => members.iter_mut().for_each(Column::append_hole),
        }
        self.nulls.append_null();
    }

    /// Takes back everything after the first `len` values, and what a value in the making has left behind.
    pub(crate) fn truncate(&mut self, len: usize) {
        match &mut self.data {
            Data::Null => {}
            Data::Bool(values) => values.truncate(len),
            Data::Int8(values) => values.truncate(len),
            Data::Int16(values) => values.truncate(len),
            Data::Int32(values) | Data::Date(values) => values.truncate(len),
            Data::Int64(values)
            | Data::Time(values)
            | Data::Timestamp { values, .. }
            | Data::Duration { values, .. } => values.truncate(len),
            Data::UInt8(values) => values.truncate(len),
            Data::UInt16(values) => values.truncate(len),
            Data::UInt32(values) => values.truncate(len),
            Data::UInt64(values) => values.truncate(len),
            Data::Float32(values) => values.truncate(len),
            Data::Float64(values) => values.truncate(len),
            Data::Decimal { values, .. } => values.truncate(len),
            Data::Text(texts) | Data::Json(texts) | Data::Binary(texts) => texts.truncate(len),
            Data::Interval(values) => values.truncate(len),
            Data::List { offsets, item } => {
                offsets.truncate(len + 1);
                item.truncate(*offsets.last().expect("offsets start at 0") as usize);
            }
            Data::Struct { members, .. } => members.iter_mut().for_each(|member| member.truncate(len)),
            Data::Map { offsets, keys, value } => {
                offsets.truncate(len + 1);
                let entries = *offsets.last().expect("offsets start at 0") as usize;
                keys.truncate(entries);
                value.truncate(entries);
            }
        }
        if self.nulls.len() > len {
            self.nulls.truncate(len);
        }
    }

    /// Appends the value that `text` stands for outside JSON: in a CSV field, or in JSON text of a decimal, date or
    /// time.
    pub(crate) fn append_text(&mut self, text: &[u8]) -> Result<(), String> {
        let wrong = |ty: &ScalarType| format!("{ty} expected, found '{}'", shorten(text));
        let range = |ty: &ScalarType| format!("'{}' is out of range for {ty}", shorten(text));
        macro_rules! integer {
            ($values:expr) => {
                match parse_integer(text) {
                    Some(value) => $values.push(value.try_into().map_err(|_| range(&self.ty))?),
                    None => return Err(wrong(&self.ty)),
                }
            };
        }
        match &mut self.data {
            Data::Bool(values) => match text {
                b"true" | b"TRUE" | b"True" | b"t" | b"T" | b"1" => values.append(true),
                b"false" | b"FALSE" | b"False" | b"f" | b"F" | b"0" => values.append(false),
                _ => return Err(wrong(&self.ty)),
            },
            Data::Int8(values) => integer!(values),
            Data::Int16(values) => integer!(values),
            Data::Int32(values) => integer!(values),
            Data::Int64(values) => integer!(values),
            Data::UInt8(values) => integer!(values),
            Data::UInt16(values) => integer!(values),
            Data::UInt32(values) => integer!(values),
            Data::UInt64(values) => integer!(values),
            Data::Float32(values) => {
                values.push(parse_std(text).ok_or_else(|| wrong(&self.ty))?);
            }
            Data::Float64(values) => {
                values.push(parse_std(text).ok_or_else(|| wrong(&self.ty))?);
            }
            Data::Decimal { values, precision, scale } => match parse_decimal(text, *precision, *scale) {
                Ok(value) => values.push(value),
                Err(DecimalFault::NotANumber) => return Err(wrong(&self.ty)),
                Err(DecimalFault::TooLarge) => return Err(range(&self.ty)),
                Err(DecimalFault::TooPrecise) => {
                    return Err(format!("'{}' has more decimal places than {}", shorten(text), self.ty));
                }
            },
            Data::Text(texts) | Data::Json(texts) => {
                std::str::from_utf8(text).map_err(|_| "text is not valid UTF-8".to_owned())?;
                texts.bytes.extend_from_slice(text);
                texts.seal()?;
            }
            Data::Binary(texts) => {
                base64::decode(text, &mut texts.bytes).ok_or_else(|| "base64 expected".to_owned())?;
                texts.seal()?;
            }
            Data::Date(values) => values.push(time::parse_date(text).ok_or_else(|| wrong(&self.ty))?),
            Data::Time(values) => values.push(time::parse_time(text).ok_or_else(|| wrong(&self.ty))?),
            Data::Timestamp { values, unit, needs_offset } => {
                let instant = time::parse_timestamp(text).ok_or_else(|| wrong(&self.ty))?;
                if *needs_offset && !instant.zoned {
                    return Err(format!("'{}' lacks the offset from UTC that {} needs", shorten(text), self.ty));
                }
                values.push(time::ticks(&instant, *unit).ok_or_else(|| range(&self.ty))?);
            }
            Data::Interval(values) => values.push(time::parse_interval(text).ok_or_else(|| wrong(&self.ty))?),
            Data::Duration { values, unit } => match time::parse_interval(text) {
                Some(interval) if interval.months == 0 && interval.days == 0 => {
                    values.push(interval.nanoseconds / unit.nanos());
                }
                _ => return Err(wrong(&self.ty)),
            },
            Data::Null | Data::List { .. } | Data::Struct { .. } | Data::Map { .. } => return Err(wrong(&self.ty)),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// The values as an array of the type's Arrow representation; the column is empty afterwards.
    ///
    /// # Errors
    /// When a text is not UTF-8, which decoders have checked.
    pub(crate) fn take(&mut self) -> Result<ArrayRef, String> {
        let len = self.len();
        let nulls = self.nulls.finish();
        Ok(match &mut self.data {
            Data::Null => Arc::new(NullArray::new(len)),
            Data::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Data::Int8(values) => primitive::<Int8Type>(values, nulls),
            Data::Int16(values) => primitive::<Int16Type>(values, nulls),
            Data::Int32(values) => primitive::<Int32Type>(values, nulls),
            Data::Int64(values) => primitive::<Int64Type>(values, nulls),
            Data::UInt8(values) => primitive::<UInt8Type>(values, nulls),
            Data::UInt16(values) => primitive::<UInt16Type>(values, nulls),
            Data::UInt32(values) => primitive::<UInt32Type>(values, nulls),
            Data::UInt64(values) => primitive::<UInt64Type>(values, nulls),
            Data::Float32(values) => primitive::<Float32Type>(values, nulls),
            Data::Float64(values) => primitive::<Float64Type>(values, nulls),
            Data::Decimal { values, .. } => typed::<Decimal128Type>(values, nulls, self.ty.to_arrow()),
            Data::Text(texts) | Data::Json(texts) => Arc::new(texts.take_strings(nulls)?),
            Data::Binary(texts) => {
                let (offsets, bytes) = texts.take();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            Data::Date(values) => primitive::<Date32Type>(values, nulls),
            Data::Time(values) => primitive::<Time64NanosecondType>(values, nulls),
            Data::Timestamp { values, unit, .. } => match unit {
                TimeUnit::Second => typed::<TimestampSecondType>(values, nulls, self.ty.to_arrow()),
                TimeUnit::Millisecond => typed::<TimestampMillisecondType>(values, nulls, self.ty.to_arrow()),
                TimeUnit::Microsecond => typed::<TimestampMicrosecondType>(values, nulls, self.ty.to_arrow()),
                TimeUnit::Nanosecond => typed::<TimestampNanosecondType>(values, nulls, self.ty.to_arrow()),
            },
            Data::Interval(values) => primitive::<IntervalMonthDayNanoType>(values, nulls),
            Data::Duration { values, unit } => match unit {
                TimeUnit::Second => primitive::<DurationSecondType>(values, nulls),
                TimeUnit::Millisecond => primitive::<DurationMillisecondType>(values, nulls),
                TimeUnit::Microsecond => primitive::<DurationMicrosecondType>(values, nulls),
                TimeUnit::Nanosecond => primitive::<DurationNanosecondType>(values, nulls),
            },
            Data::List { offsets, item } => {
                let DataType::List(field) = self.ty.to_arrow() else { return Err("a list has a list type".into()) };
                let list = ListArray::try_new(field, take_offsets(offsets), item.take()?, nulls);
                Arc::new(list.map_err(|error| error.to_string())?)
            }
            Data::Struct { members, .. } => {
                let DataType::Struct(fields) = self.ty.to_arrow() else {
                    return Err("a struct has a struct type".into());
                };
                let arrays = members.iter_mut().map(Column::take).collect::<Result<Vec<_>, _>>()?;
                let array = StructArray::try_new_with_length(fields, arrays, nulls, len);
                Arc::new(array.map_err(|error| error.to_string())?)
            }
            Data::Map { offsets, keys, value } => {
                let DataType::Map(field, sorted) = self.ty.to_arrow() else {
                    return Err("a map has a map type".into());
                };
                let DataType::Struct(fields) = field.data_type().clone() else {
                    return Err("a map has entries".into());
                };
                let arrays: Vec<ArrayRef> = vec![Arc::new(keys.take_strings(None)?), value.take()?];
                let entries = StructArray::try_new(fields, arrays, None).map_err(|error| error.to_string())?;
                let map = MapArray::try_new(field, take_offsets(offsets), entries, nulls, sorted);
                Arc::new(map.map_err(|error| error.to_string())?)
            }
        })
    }
}

/// Takes the values and leaves room for as many again.
fn renew<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = values.len();
    std::mem::replace(values, Vec::with_capacity(room))
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    typed::<T>(values, nulls, T::DATA_TYPE)
}

/// An array whose type has parameters: a scale, a zone.
fn typed<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>, ty: DataType) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(renew(values)), nulls).with_data_type(ty))
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = renew(offsets);
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
}

/// Ends a list or map after `len` items.
pub(crate) fn seal_offsets(offsets: &mut Vec<i32>, len: usize) -> Result<(), String> {
    offsets.push(i32::try_from(len).map_err(|_| "more than 2^31 list items in one batch".to_owned())?);
    Ok(())
}

fn parse_std<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The start of a text, for messages.
pub(crate) fn shorten(text: &[u8]) -> String {
    const SHOWN: usize = 40;
    let shown = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned();
    if text.len() > SHOWN { shown + "..." } else { shown }
}
