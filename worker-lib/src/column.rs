//! Columns as generated loops see them: typed views of Arrow arrays, and arrays made from loop results.
//!
//! The generic functions here ([`dense`] and its kin) are a few lines each, because they are compiled again with each
//! closure of each pipeline. Whatever is long (null-mask algebra, downcasts, array construction) is behind a plain
//! function that is compiled once.
//!
//! Invariants: the `nulls` of a view are `None` when the column has no null; the values at null rows are arbitrary but
//! readable. Not here: selections ([`crate::select`]), the meaning of values ([`crate::scalar`]).

use std::sync::Arc;

use arrow::array::{
    Array, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Decimal128Array,
    DurationMicrosecondArray, DurationMillisecondArray, DurationNanosecondArray, DurationSecondArray, ListArray,
    PrimitiveArray, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt32Array, downcast_primitive_array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Field as ArrowField, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64NanosecondType, TimeUnit as ArrowTimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};

pub use arrow::array::ArrayRef;
pub use arrow::buffer::{BooleanBuffer, NullBuffer};
pub use arrow::datatypes::IntervalMonthDayNano;
pub use schema::{Field, ScalarType, TimeUnit};

/// A column of fixed-width values.
#[derive(Clone, Copy, Debug)]
pub struct Prim<'a, T> {
    pub values: &'a [T],
    /// `None` when no row is null.
    pub nulls: Option<&'a NullBuffer>,
}

impl<T: Copy> Prim<'_, T> {
    /// The value; arbitrary where it is null.
    #[inline]
    pub fn value(&self, row: usize) -> T {
        self.values[row]
    }

    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        if self.is_null(row) { None } else { Some(self.values[row]) }
    }

    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

macro_rules! view {
    ($(#[$doc:meta])* $view:ident, $array:ty, $value:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $view<'a> {
            array: &'a $array,
            /// `None` when no row is null.
            pub nulls: Option<&'a NullBuffer>,
        }

        impl<'a> $view<'a> {
            /// The value; arbitrary where it is null.
            #[inline]
            pub fn value(&self, row: usize) -> $value {
                self.array.value(row)
            }

            #[inline]
            pub fn get(&self, row: usize) -> Option<$value> {
                if self.is_null(row) { None } else { Some(self.array.value(row)) }
            }

            #[inline]
            pub fn is_null(&self, row: usize) -> bool {
                self.nulls.is_some_and(|nulls| nulls.is_null(row))
            }
        }
    };
}

view!(
    /// A column of booleans.
    Bools, BooleanArray, bool
);
view!(
    /// A column of UTF-8 text.
    Texts, StringArray, &'a str
);
view!(
    /// A column of byte strings.
    Binaries, BinaryArray, &'a [u8]
);

/// Null mask of an array; `None` when it has no null.
pub fn nulls(array: &ArrayRef) -> Option<&NullBuffer> {
    array.nulls().filter(|nulls| nulls.null_count() > 0)
}

fn mismatch(array: &ArrayRef, wanted: &str) -> ! {
    // The verifier has checked every type before code was generated.
    let ty = array.data_type();
    unreachable!("a column of type {ty} is read as {wanted}")
}

macro_rules! views {
    ($($name:ident: $native:ty = $($ty:ty)|+;)*) => {$(
        #[doc = concat!("The values of a column that is stored as `", stringify!($native), "`.")]
        pub fn $name(array: &ArrayRef) -> Prim<'_, $native> {
            $(if let Some(array) = array.as_primitive_opt::<$ty>() {
                return Prim { values: array.values(), nulls: array.nulls().filter(|nulls| nulls.null_count() > 0) };
            })+
            mismatch(array, stringify!($native))
        }
    )*};
}

views! {
    i8: i8 = Int8Type;
    i16: i16 = Int16Type;
    i32: i32 = Int32Type | Date32Type;
    i64: i64 = Int64Type | TimestampNanosecondType | TimestampMicrosecondType | TimestampMillisecondType
        | TimestampSecondType | Time64NanosecondType | DurationNanosecondType | DurationMicrosecondType
        | DurationMillisecondType | DurationSecondType;
    u8: u8 = UInt8Type;
    u16: u16 = UInt16Type;
    u32: u32 = UInt32Type;
    u64: u64 = UInt64Type;
    f32: f32 = Float32Type;
    f64: f64 = Float64Type;
    decimal: i128 = Decimal128Type;
    interval: IntervalMonthDayNano = IntervalMonthDayNanoType;
}

/// The values of a boolean column.
pub fn bool(array: &ArrayRef) -> Bools<'_> {
    match array.as_boolean_opt() {
        Some(values) => Bools { array: values, nulls: nulls(array) },
        None => mismatch(array, "bool"),
    }
}

/// The values of a text column.
pub fn text(array: &ArrayRef) -> Texts<'_> {
    match array.as_string_opt::<i32>() {
        Some(values) => Texts { array: values, nulls: nulls(array) },
        None => mismatch(array, "text"),
    }
}

/// The values of a binary column.
pub fn binary(array: &ArrayRef) -> Binaries<'_> {
    match array.as_binary_opt::<i32>() {
        Some(values) => Binaries { array: values, nulls: nulls(array) },
        None => mismatch(array, "binary"),
    }
}

/// Member of a struct; null where the struct is.
pub fn member(array: &ArrayRef, index: usize) -> ArrayRef {
    let Some(parent) = array.as_struct_opt() else { mismatch(array, "struct") };
    let child = parent.column(index);
    match nulls(array) {
        None => child.clone(),
        Some(parent_nulls) => {
            let not_null = BooleanArray::new(!parent_nulls.inner(), None);
            arrow::compute::nullif(child, &not_null).expect("a member is as long as its struct")
        }
    }
}

/// AND of null masks over all rows of a batch; `None` when nothing is null.
pub fn all_valid(masks: &[Option<&NullBuffer>]) -> Option<NullBuffer> {
    masks.iter().fold(None, |all: Option<NullBuffer>, mask| NullBuffer::union(all.as_ref(), *mask))
}

/// A value for each row from 0 to `rows`.
#[inline]
pub fn dense<T>(rows: usize, value: impl FnMut(usize) -> T) -> Vec<T> {
    (0..rows).map(value).collect()
}

/// A value or null for each row.
#[inline]
pub fn dense_opt<T: Default>(rows: usize, mut value: impl FnMut(usize) -> Option<T>) -> (Vec<T>, Option<NullBuffer>) {
    let mut valid = vec![false; rows];
    let values = valid.iter_mut().enumerate().map(|(row, valid)| {
        let value = value(row);
        *valid = value.is_some();
        value.unwrap_or_default()
    });
    let values = values.collect();
    (values, validity(&valid))
}

/// A truth value for each row.
#[inline]
pub fn dense_bool(rows: usize, value: impl FnMut(usize) -> bool) -> BooleanBuffer {
    pack(&dense(rows, value))
}

/// True, false or null for each row.
#[inline]
pub fn dense_bool_opt(rows: usize, value: impl FnMut(usize) -> Option<bool>) -> (BooleanBuffer, Option<NullBuffer>) {
    let (values, nulls) = dense_opt(rows, value);
    (pack(&values), nulls)
}

/// A text for each row; null where `nulls` says so.
#[inline]
pub fn dense_text<'a>(rows: usize, mut value: impl FnMut(usize) -> &'a str, nulls: Option<NullBuffer>) -> ArrayRef {
    let mut texts = TextWriter::new(rows);
    for row in 0..rows {
        texts.push(value(row));
    }
    texts.finish(nulls)
}

/// A text or null for each row.
#[inline]
pub fn dense_text_opt<'a>(rows: usize, mut value: impl FnMut(usize) -> Option<&'a str>) -> ArrayRef {
    let mut texts = TextWriter::new(rows);
    for row in 0..rows {
        texts.push_opt(value(row));
    }
    texts.finish(None)
}

/// A byte string for each row; null where `nulls` says so.
#[inline]
pub fn dense_binary<'a>(rows: usize, mut value: impl FnMut(usize) -> &'a [u8], nulls: Option<NullBuffer>) -> ArrayRef {
    let mut binaries = BinaryWriter::new(rows);
    for row in 0..rows {
        binaries.push(value(row));
    }
    binaries.finish(nulls)
}

/// A byte string or null for each row.
#[inline]
pub fn dense_binary_opt<'a>(rows: usize, mut value: impl FnMut(usize) -> Option<&'a [u8]>) -> ArrayRef {
    let mut binaries = BinaryWriter::new(rows);
    for row in 0..rows {
        binaries.push_opt(value(row));
    }
    binaries.finish(None)
}

/// Collects the texts of a column.
#[derive(Debug)]
pub struct TextWriter(StringBuilder);

impl TextWriter {
    pub fn new(rows: usize) -> Self {
        TextWriter(StringBuilder::with_capacity(rows, rows * 16))
    }

    #[inline(never)]
    pub fn push(&mut self, text: &str) {
        self.0.append_value(text);
    }

    #[inline(never)]
    pub fn push_opt(&mut self, text: Option<&str>) {
        self.0.append_option(text);
    }

    /// The column; also null where `nulls` says so.
    pub fn finish(mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        mask(Arc::new(self.0.finish()), nulls)
    }
}

/// Collects the byte strings of a column.
#[derive(Debug)]
pub struct BinaryWriter(BinaryBuilder);

impl BinaryWriter {
    pub fn new(rows: usize) -> Self {
        BinaryWriter(BinaryBuilder::with_capacity(rows, rows * 16))
    }

    #[inline(never)]
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.append_value(bytes);
    }

    #[inline(never)]
    pub fn push_opt(&mut self, bytes: Option<&[u8]>) {
        self.0.append_option(bytes);
    }

    /// The column; also null where `nulls` says so.
    pub fn finish(mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        mask(Arc::new(self.0.finish()), nulls)
    }
}

/// The array, null also where `nulls` says so.
fn mask(array: ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    match nulls {
        None => array,
        Some(nulls) => {
            let not_valid = BooleanArray::new(!nulls.inner(), None);
            arrow::compute::nullif(&array, &not_valid).expect("a mask is as long as its column")
        }
    }
}

/// Eight truth values as the bits of a byte, first one lowest.
#[inline]
pub(crate) fn pack_byte(flags: [bool; 8]) -> u8 {
    // Each byte is 0 or 1; the product brings bit 0 of byte i to bit 56 + i, and no two terms meet.
    (u64::from_le_bytes(flags.map(u8::from)).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

/// Truth values as bits.
pub fn pack(flags: &[bool]) -> BooleanBuffer {
    let (whole, rest) = flags.as_chunks::<8>();
    let mut bytes = Vec::with_capacity(flags.len().div_ceil(8));
    bytes.extend(whole.iter().map(|chunk| pack_byte(*chunk)));
    if !rest.is_empty() {
        let mut last = [false; 8];
        last[..rest.len()].copy_from_slice(rest);
        bytes.push(pack_byte(last));
    }
    BooleanBuffer::new(Buffer::from_vec(bytes), 0, flags.len())
}

/// A null mask from "is valid" for each row; `None` when all are.
pub fn validity(valid: &[bool]) -> Option<NullBuffer> {
    let nulls = NullBuffer::new(pack(valid));
    (nulls.null_count() > 0).then_some(nulls)
}

macro_rules! makers {
    ($($name:ident: $native:ty => $arrow:ty;)*) => {$(
        #[doc = concat!("A column of `", stringify!($native), "` values.")]
        pub fn $name(values: Vec<$native>, nulls: Option<NullBuffer>) -> ArrayRef {
            primitive::<$arrow>(values, nulls)
        }
    )*};
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

makers! {
    from_i8: i8 => Int8Type;
    from_i16: i16 => Int16Type;
    from_i32: i32 => Int32Type;
    from_i64: i64 => Int64Type;
    from_u8: u8 => UInt8Type;
    from_u16: u16 => UInt16Type;
    from_u32: u32 => UInt32Type;
    from_u64: u64 => UInt64Type;
    from_f32: f32 => Float32Type;
    from_f64: f64 => Float64Type;
    from_date: i32 => Date32Type;
    from_time: i64 => Time64NanosecondType;
    from_interval: IntervalMonthDayNano => IntervalMonthDayNanoType;
}

/// A column of booleans.
pub fn from_bool(values: BooleanBuffer, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(BooleanArray::new(values, nulls))
}

/// A column of these texts.
pub fn from_text(values: &[Option<&str>]) -> ArrayRef {
    dense_text_opt(values.len(), |row| values[row])
}

/// A column of these byte strings.
pub fn from_binary(values: &[Option<&[u8]>]) -> ArrayRef {
    dense_binary_opt(values.len(), |row| values[row])
}

/// A column of one list. Each of `values` holds one item of the type `item`.
pub fn list(item: &ScalarType, values: &[ArrayRef]) -> ArrayRef {
    let items = match values {
        [] => nulls_of(item, 0),
        values => {
            let values = values.iter().map(|value| value.as_ref()).collect::<Vec<_>>();
            arrow::compute::concat(&values).expect("the items have one type")
        }
    };
    let field = Arc::new(ArrowField::new_list_field(item.to_arrow(), true));
    Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([items.len()]), items, None))
}

/// A column of timestamps, in ticks of `unit`.
pub fn from_timestamp(values: Vec<i64>, nulls: Option<NullBuffer>, unit: TimeUnit, zone: Option<&str>) -> ArrayRef {
    let values = values.into();
    match unit {
        TimeUnit::Second => Arc::new(TimestampSecondArray::new(values, nulls).with_timezone_opt(zone)),
        TimeUnit::Millisecond => Arc::new(TimestampMillisecondArray::new(values, nulls).with_timezone_opt(zone)),
        TimeUnit::Microsecond => Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone_opt(zone)),
        TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::new(values, nulls).with_timezone_opt(zone)),
    }
}

/// A column of durations, in ticks of `unit`.
pub fn from_duration(values: Vec<i64>, nulls: Option<NullBuffer>, unit: TimeUnit) -> ArrayRef {
    let values = values.into();
    match unit {
        TimeUnit::Second => Arc::new(DurationSecondArray::new(values, nulls)),
        TimeUnit::Millisecond => Arc::new(DurationMillisecondArray::new(values, nulls)),
        TimeUnit::Microsecond => Arc::new(DurationMicrosecondArray::new(values, nulls)),
        TimeUnit::Nanosecond => Arc::new(DurationNanosecondArray::new(values, nulls)),
    }
}

/// A column of decimals: numbers scaled by `10^scale`.
pub fn from_decimal(values: Vec<i128>, nulls: Option<NullBuffer>, precision: u8, scale: i8) -> ArrayRef {
    let array = Decimal128Array::new(values.into(), nulls);
    Arc::new(array.with_precision_and_scale(precision, scale).expect("the compiler makes valid decimal types"))
}

/// A struct column; members are name, values, and whether they can be null.
pub fn from_struct(members: &[(&str, ArrayRef, bool)], nulls: Option<NullBuffer>) -> ArrayRef {
    let fields =
        members.iter().map(|(name, array, nullable)| ArrowField::new(*name, array.data_type().clone(), *nullable));
    let fields = fields.collect::<Fields>();
    Arc::new(StructArray::new(fields, members.iter().map(|(_, array, _)| array.clone()).collect(), nulls))
}

/// The column of windows `[start, end)`, the same one for all rows: `STRUCT<start, end>`.
pub fn window(start: i64, end: i64, rows: usize) -> ArrayRef {
    let bound = |value| from_timestamp(vec![value; rows], None, TimeUnit::Nanosecond, None);
    from_struct(&[("start", bound(start), false), ("end", bound(end), false)], None)
}

/// A column of nothing but nulls.
pub fn nulls_of(ty: &ScalarType, rows: usize) -> ArrayRef {
    arrow::array::new_null_array(&ty.to_arrow(), rows)
}

/// A column that repeats the only value of `array`.
pub fn repeat(array: &ArrayRef, rows: usize) -> ArrayRef {
    take(array, &UInt32Array::from(vec![0; rows]))
}

/// A column that takes row `picks[i].1` of array `picks[i].0` as its row i; all arrays have the same type.
pub fn interleave(arrays: &[&ArrayRef], picks: &[(usize, usize)]) -> ArrayRef {
    let arrays = arrays.iter().map(|array| array.as_ref()).collect::<Vec<_>>();
    arrow::compute::interleave(&arrays, picks).expect("the arrays have one type and the rows exist")
}

/// The rows at `indices`; null where the index is.
pub(crate) fn take(array: &ArrayRef, indices: &UInt32Array) -> ArrayRef {
    // Arrow's kernel costs some hundred nanoseconds a call, which a batch of 512 rows feels.
    if indices.null_count() == 0 {
        downcast_primitive_array! {
            array => return gather(array, indices.values()),
            _ => {}
        }
    }
    arrow::compute::take(array, indices, None).expect("the rows exist")
}

fn gather<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, rows: &[u32]) -> ArrayRef {
    let values = array.values();
    let taken = rows.iter().map(|&row| values[row as usize]).collect::<Vec<_>>();
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let nulls = nulls.and_then(|nulls| validity(&dense(rows.len(), |i| nulls.is_valid(rows[i] as usize))));
    Arc::new(PrimitiveArray::<T>::new(taken.into(), nulls).with_data_type(array.data_type().clone()))
}

/// Ticks of a timestamp column and the nanoseconds of a tick.
pub(crate) fn ticks(array: &ArrayRef) -> (Prim<'_, i64>, i64) {
    let nanos = match array.data_type() {
        DataType::Timestamp(ArrowTimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(ArrowTimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(ArrowTimeUnit::Microsecond, _) => 1_000,
        DataType::Timestamp(ArrowTimeUnit::Nanosecond, _) => 1,
        _ => mismatch(array, "timestamp"),
    };
    (i64(array), nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn views_hoist_the_absence_of_nulls() {
        let array = from_i64(vec![1, 2], Some(NullBuffer::new_valid(2)));
        assert!(i64(&array).nulls.is_none());
        let array = from_i64(vec![1, 2], validity(&[true, false]));
        let view = i64(&array);
        assert_eq!((view.get(0), view.get(1), view.value(1)), (Some(1), None, 2));
    }

    #[test]
    fn every_sixty_four_bit_type_is_read_as_i64() {
        for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            let array = from_timestamp(vec![-7], None, unit, Some("UTC"));
            let ty = ScalarType::Timestamp { unit, zone: Some("UTC".into()) };
            assert_eq!(array.data_type(), &ty.to_arrow());
            assert_eq!(i64(&array).values, &[-7]);
            assert_eq!(ticks(&array).1, unit.nanos());
            let array = from_duration(vec![9], None, unit);
            assert_eq!(array.data_type(), &ScalarType::Duration { unit }.to_arrow());
            assert_eq!(i64(&array).values, &[9]);
        }
        assert_eq!(i64(&from_time(vec![3], None)).values, &[3]);
        assert_eq!(i32(&from_date(vec![3], None)).values, &[3]);
    }

    #[test]
    fn members_are_null_where_their_struct_is() {
        let inner = from_struct(&[("x", from_i64(vec![1, 2, 3], validity(&[true, true, false])), true)], None);
        let outer = from_struct(&[("inner", inner, true)], validity(&[true, false, true]));
        let batch = crate::Batch::new(vec![outer], 3);
        let x = batch.path(&[0, 0, 0]);
        assert_eq!((0..3).map(|row| i64(&x).get(row)).collect::<Vec<_>>(), [Some(1), None, None]);
    }

    #[test]
    fn window_columns_have_the_window_type() {
        let array = window(0, 10, 3);
        assert_eq!(array.data_type(), &ScalarType::window().to_arrow());
        assert_eq!(i64(&member(&array, 1)).values, &[10, 10, 10]);
    }

    #[test]
    fn lists_of_constants() {
        let array = list(&ScalarType::Int64, &[from_i64(vec![1], None), nulls_of(&ScalarType::Int64, 1)]);
        assert_eq!(array.data_type(), &ScalarType::List(Box::new(ScalarType::Int64)).to_arrow());
        assert_eq!((array.len(), array.as_list::<i32>().value(0).len()), (1, 2));
        assert_eq!(list(&ScalarType::Utf8, &[]).as_list::<i32>().value(0).len(), 0);
        let texts = repeat(&from_text(&[Some("x")]), 3);
        assert_eq!((texts.len(), text(&texts).value(2)), (3, "x"));
    }

    #[test]
    fn texts_keep_given_nulls() {
        let words = ["a", "", "ccc"];
        let array = dense_text(3, |row| words[row], validity(&[true, false, true]));
        let view = text(&array);
        assert_eq!((view.get(0), view.get(1), view.get(2)), (Some("a"), None, Some("ccc")));
        let array = dense_binary_opt(2, |row| (row == 1).then_some(b"xy".as_slice()));
        assert_eq!((binary(&array).get(0), binary(&array).get(1)), (None, Some(b"xy".as_slice())));
    }

    proptest! {
        #[test]
        fn packing_is_the_same_as_collecting(flags in prop::collection::vec(any::<bool>(), 0..200)) {
            prop_assert_eq!(pack(&flags), flags.iter().copied().collect::<BooleanBuffer>());
        }

        #[test]
        fn optional_values_survive(values in prop::collection::vec(any::<Option<i64>>(), 0..200)) {
            let (out, nulls) = dense_opt(values.len(), |row| values[row]);
            let array = from_i64(out, nulls);
            let back = (0..values.len()).map(|row| i64(&array).get(row)).collect::<Vec<_>>();
            prop_assert_eq!(back, values);
        }
    }
}
