//! Fixed-width values as 64- or 128-bit words: equal words if and only if SQL groups the values together.
//!
//! Integers are sign- or zero-extended; floats lose the sign of zero and the payload of NaN.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;

/// The words of a column.
#[derive(Debug)]
pub(super) enum Words {
    Single(Vec<u64>),
    Double(Vec<u128>),
}

/// How many bytes the words of a type have; `None` when it is no fixed-width type.
pub(super) fn word_bytes(ty: &DataType) -> Option<usize> {
    match ty {
        DataType::Decimal128(..) | DataType::Interval(IntervalUnit::MonthDayNano) => Some(16),
        DataType::Boolean => Some(8),
        ty if ty.primitive_width().is_some_and(|width| width <= 8) => Some(8),
        _ => None,
    }
}

fn float_word(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() }
}

/// A native value as a word and back.
trait Word: Copy {
    fn word(self) -> u64;
    fn of_word(word: u64) -> Self;
}

macro_rules! words {
    ($($ty:ty),*) => {$(
        impl Word for $ty {
            #[inline]
            fn word(self) -> u64 {
                self as u64
            }
            #[inline]
            fn of_word(word: u64) -> Self {
                word as $ty
            }
        }
    )*};
}

words!(i8, i16, i32, i64, u8, u16, u32, u64);

impl Word for f64 {
    #[inline]
    fn word(self) -> u64 {
        float_word(self)
    }
    #[inline]
    fn of_word(word: u64) -> Self {
        f64::from_bits(word)
    }
}

impl Word for f32 {
    #[inline]
    fn word(self) -> u64 {
        float_word(f64::from(self))
    }
    #[inline]
    fn of_word(word: u64) -> Self {
        f64::from_bits(word) as f32
    }
}

fn interval_word(x: IntervalMonthDayNano) -> u128 {
    u128::from(x.nanoseconds as u64) | u128::from(x.days as u32) << 64 | u128::from(x.months as u32) << 96
}

fn interval_of_word(word: u128) -> IntervalMonthDayNano {
    IntervalMonthDayNano::new((word >> 96) as i32, (word >> 64) as i32, word as i64)
}

/// Calls `$run!(ArrowType)` for the type's physical representation of at most 64 bits.
macro_rules! for_word_type {
    ($ty:expr, $run:ident, $otherwise:expr) => {
        match $ty {
            DataType::Int8 => $run!(Int8Type),
            DataType::Int16 => $run!(Int16Type),
            DataType::Int32 => $run!(Int32Type),
            DataType::Date32 => $run!(Date32Type),
            DataType::Int64 => $run!(Int64Type),
            DataType::Time64(TimeUnit::Nanosecond) => $run!(Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => $run!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => $run!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => $run!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $run!(TimestampNanosecondType),
            DataType::Duration(TimeUnit::Second) => $run!(DurationSecondType),
            DataType::Duration(TimeUnit::Millisecond) => $run!(DurationMillisecondType),
            DataType::Duration(TimeUnit::Microsecond) => $run!(DurationMicrosecondType),
            DataType::Duration(TimeUnit::Nanosecond) => $run!(DurationNanosecondType),
            DataType::UInt8 => $run!(UInt8Type),
            DataType::UInt16 => $run!(UInt16Type),
            DataType::UInt32 => $run!(UInt32Type),
            DataType::UInt64 => $run!(UInt64Type),
            DataType::Float32 => $run!(Float32Type),
            DataType::Float64 => $run!(Float64Type),
            _ => $otherwise,
        }
    };
}

fn unexpected(ty: &DataType) -> ! {
    unreachable!("a key of type {ty} has no fixed width")
}

/// Every value of the array; arbitrary where it is null.
pub(super) fn read_words(array: &ArrayRef) -> Words {
    match array.data_type() {
        DataType::Decimal128(..) => {
            Words::Double(array.as_primitive::<Decimal128Type>().values().iter().map(|&x| x as u128).collect())
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
            Words::Double(values.iter().map(|&x| interval_word(x)).collect())
        }
        _ => {
            let mut words = Vec::new();
            append_words(array, None, &mut words);
            Words::Single(words)
        }
    }
}

fn gather<T: ArrowPrimitiveType<Native: Word>>(array: &ArrayRef, rows: Option<&[u32]>, out: &mut Vec<u64>) {
    let values = array.as_primitive::<T>().values();
    match rows {
        None => out.extend(values.iter().map(|value| value.word())),
        Some(rows) => out.extend(rows.iter().map(|&row| values[row as usize].word())),
    }
}

/// The values of a column of 64-bit integers, which are their own words.
pub(super) fn native_words(array: &ArrayRef) -> Option<&[u64]> {
    let integers = array.as_primitive_opt::<Int64Type>()?;
    Some(integers.values().inner().typed_data())
}

/// Appends the words of the values at `rows` (or all) of a column of at most 64 bits.
pub(super) fn append_words(array: &ArrayRef, rows: Option<&[u32]>, out: &mut Vec<u64>) {
    if let Some(values) = array.as_boolean_opt() {
        match rows {
            None => out.extend((0..values.len()).map(|row| u64::from(values.value(row)))),
            Some(rows) => out.extend(rows.iter().map(|&row| u64::from(values.value(row as usize)))),
        }
        return;
    }
    macro_rules! run {
        ($ty:ty) => {
            gather::<$ty>(array, rows, out)
        };
    }
    for_word_type!(array.data_type(), run, unexpected(array.data_type()));
}

/// The column of values with these words.
pub(super) fn array_of_words(ty: &DataType, words: &[u64], nulls: Option<NullBuffer>) -> ArrayRef {
    if *ty == DataType::Boolean {
        return Arc::new(BooleanArray::new(words.iter().map(|&word| word != 0).collect(), nulls));
    }
    macro_rules! run {
        ($arrow:ty) => {{
            let values = words.iter().map(|&word| Word::of_word(word)).collect::<Vec<_>>();
            Arc::new(PrimitiveArray::<$arrow>::new(values.into(), nulls).with_data_type(ty.clone()))
        }};
    }
    for_word_type!(ty, run, unexpected(ty))
}

/// The column of values with these words, of a 128-bit type.
pub(super) fn array_of_double_words(ty: &DataType, words: &[u128], nulls: Option<NullBuffer>) -> ArrayRef {
    match ty {
        DataType::Decimal128(..) => {
            let values = words.iter().map(|&word| word as i128).collect::<Vec<_>>();
            Arc::new(PrimitiveArray::<Decimal128Type>::new(values.into(), nulls).with_data_type(ty.clone()))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = words.iter().map(|&word| interval_of_word(word)).collect::<Vec<_>>();
            Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::new(values.into(), nulls))
        }
        _ => unexpected(ty),
    }
}

/// The column with its floats normalised, at any depth.
pub(super) fn normalise(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let mut words = Vec::new();
            append_words(array, None, &mut words);
            array_of_words(array.data_type(), &words, array.nulls().cloned())
        }
        ty if ty.is_nested() => {
            let data = array.to_data();
            let children = data.child_data().iter();
            let children = children.map(|child| normalise(&arrow::array::make_array(child.clone())).to_data());
            let data = data.clone().into_builder().child_data(children.collect());
            arrow::array::make_array(data.build().expect("the children keep type and length"))
        }
        _ => array.clone(),
    }
}
