//! Casts between numbers, booleans, dates and timestamps.
//!
//! A float becomes an integer by truncation toward zero; NaN and values out of range do not fit. An integer becomes a
//! float by rounding. A finer timestamp becomes a coarser one by truncation of its tick count, as in Arrow.

use super::Errors;
use crate::column::TimeUnit;

/// A type that casts convert from and to. A value travels as one of the three widest numbers.
pub trait Number: Copy + Default + std::fmt::Display {
    const SQL_NAME: &'static str;
    fn widen(self) -> Wide;
    fn narrow(value: Wide) -> Option<Self>;
}

/// Any number. Every branch on it is decided at compile time, since each type has one variant only.
#[derive(Clone, Copy, Debug)]
pub enum Wide {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    /// Apart from `Float`: an `f32` made from the `f64` of an integer would be rounded twice.
    Single(f32),
}

macro_rules! integers {
    ($($ty:ty, $variant:ident as $wide:ty, $name:literal;)*) => {$(
        impl Number for $ty {
            const SQL_NAME: &'static str = $name;
            #[inline]
            fn widen(self) -> Wide {
                Wide::$variant(<$wide>::from(self))
            }
            #[inline]
            fn narrow(value: Wide) -> Option<Self> {
                // The float just below the smallest value, and the one just above the largest: exact powers of two.
                const ABOVE: f64 = (<$ty>::MAX / 2 + 1) as f64 * 2.0;
                const LOWEST: f64 = <$ty>::MIN as f64;
                match value {
                    Wide::Signed(x) => <$ty>::try_from(x).ok(),
                    Wide::Unsigned(x) => <$ty>::try_from(x).ok(),
                    Wide::Float(x) => {
                        let x = x.trunc();
                        if (LOWEST..ABOVE).contains(&x) { Some(x as $ty) } else { None }
                    }
                    Wide::Single(x) => Self::narrow(Wide::Float(f64::from(x))),
                }
            }
        }
    )*};
}

integers! {
    i8, Signed as i64, "TINYINT";
    i16, Signed as i64, "SMALLINT";
    i32, Signed as i64, "INT";
    i64, Signed as i64, "BIGINT";
    u8, Unsigned as u64, "TINYINT UNSIGNED";
    u16, Unsigned as u64, "SMALLINT UNSIGNED";
    u32, Unsigned as u64, "INT UNSIGNED";
    u64, Unsigned as u64, "BIGINT UNSIGNED";
}

impl Number for f32 {
    const SQL_NAME: &'static str = "REAL";
    #[inline]
    fn widen(self) -> Wide {
        Wide::Single(self)
    }
    #[inline]
    fn narrow(value: Wide) -> Option<Self> {
        Some(match value {
            Wide::Signed(x) => x as f32,
            Wide::Unsigned(x) => x as f32,
            Wide::Float(x) => x as f32,
            Wide::Single(x) => x,
        })
    }
}

impl Number for f64 {
    const SQL_NAME: &'static str = "DOUBLE";
    #[inline]
    fn widen(self) -> Wide {
        Wide::Float(self)
    }
    #[inline]
    fn narrow(value: Wide) -> Option<Self> {
        Some(match value {
            Wide::Signed(x) => x as f64,
            Wide::Unsigned(x) => x as f64,
            Wide::Float(x) => x,
            Wide::Single(x) => f64::from(x),
        })
    }
}

impl Number for bool {
    const SQL_NAME: &'static str = "BOOLEAN";
    #[inline]
    fn widen(self) -> Wide {
        Wide::Unsigned(u64::from(self))
    }
    #[inline]
    fn narrow(value: Wide) -> Option<Self> {
        Some(match value {
            Wide::Signed(x) => x != 0,
            Wide::Unsigned(x) => x != 0,
            Wide::Float(x) => x != 0.0,
            Wide::Single(x) => x != 0.0,
        })
    }
}

/// `TRY_CAST`: null where the value does not fit.
#[inline]
pub fn try_cast<A: Number, B: Number>(value: A) -> Option<B> {
    B::narrow(value.widen())
}

/// `CAST`: an error where the value does not fit.
#[inline]
pub fn cast<A: Number, B: Number>(value: A, errors: &Errors) -> B {
    B::narrow(value.widen()).unwrap_or_else(|| {
        errors.does_not_fit(&value, B::SQL_NAME);
        B::default()
    })
}

/// Ticks of one unit in ticks of another; null beyond the range of `i64`.
#[inline]
pub fn try_cast_unit(ticks: i64, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let (from, to) = (from.nanos(), to.nanos());
    if from >= to { ticks.checked_mul(from / to) } else { Some(ticks / (to / from)) }
}

/// Ticks of one unit in ticks of another; an error beyond the range of `i64`.
#[inline]
pub fn cast_unit(ticks: i64, from: TimeUnit, to: TimeUnit, errors: &Errors) -> i64 {
    try_cast_unit(ticks, from, to).unwrap_or_else(|| {
        errors.does_not_fit(&ticks, "TIMESTAMP");
        0
    })
}

/// The day that holds the instant; null beyond the range of dates.
#[inline]
pub fn try_cast_date(ticks: i64, unit: TimeUnit) -> Option<i32> {
    i32::try_from(ticks.div_euclid(86_400_000_000_000 / unit.nanos())).ok()
}

/// The day that holds the instant; an error beyond the range of dates.
#[inline]
pub fn cast_date(ticks: i64, unit: TimeUnit, errors: &Errors) -> i32 {
    try_cast_date(ticks, unit).unwrap_or_else(|| {
        errors.does_not_fit(&ticks, "DATE");
        0
    })
}

/// The day that holds the instant, in microseconds or finer: no such instant is beyond the range of dates.
#[inline]
pub fn timestamp_to_date(ticks: i64, unit: TimeUnit) -> i32 {
    try_cast_date(ticks, unit).unwrap_or_default()
}

/// Midnight at the start of the day; null beyond the range of `i64`.
#[inline]
pub fn try_date_to_timestamp(days: i32, unit: TimeUnit) -> Option<i64> {
    i64::from(days).checked_mul(86_400_000_000_000 / unit.nanos())
}

/// Midnight at the start of the day; an error beyond the range of `i64`.
#[inline]
pub fn date_to_timestamp(days: i32, unit: TimeUnit, errors: &Errors) -> i64 {
    try_date_to_timestamp(days, unit).unwrap_or_else(|| {
        errors.user("date is out of range for type TIMESTAMP");
        0
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
    use arrow::datatypes::{
        DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    };
    use proptest::prelude::*;

    /// Compares `try_cast` with Arrow's safe cast.
    fn agrees<A, B>(value: A::Native) -> Result<(), TestCaseError>
    where
        A: ArrowPrimitiveType<Native: Number>,
        B: ArrowPrimitiveType<Native: Number + std::fmt::Debug + PartialEq>,
    {
        let array: ArrayRef = Arc::new(PrimitiveArray::<A>::from_iter_values([value]));
        let expected = arrow::compute::cast(&array, &B::DATA_TYPE).unwrap();
        let expected = expected.as_primitive::<B>();
        let ours = try_cast::<A::Native, B::Native>(value);
        prop_assert_eq!(ours.is_some(), expected.is_valid(0), "{} to {}", value, B::DATA_TYPE);
        if let Some(ours) = ours {
            // Compared as text: NaN is equal to itself there.
            prop_assert_eq!(ours.to_string(), expected.value(0).to_string());
        }
        let errors = Errors::new();
        let strict = cast::<A::Native, B::Native>(value, &errors);
        prop_assert_eq!(errors.check().is_ok(), ours.is_some());
        if let Some(ours) = ours {
            prop_assert_eq!(strict.to_string(), ours.to_string());
        }
        Ok(())
    }

    fn to_all<A: ArrowPrimitiveType<Native: Number>>(value: A::Native) -> Result<(), TestCaseError> {
        agrees::<A, Int8Type>(value)?;
        agrees::<A, Int16Type>(value)?;
        agrees::<A, Int32Type>(value)?;
        agrees::<A, Int64Type>(value)?;
        agrees::<A, UInt8Type>(value)?;
        agrees::<A, UInt16Type>(value)?;
        agrees::<A, UInt32Type>(value)?;
        agrees::<A, UInt64Type>(value)?;
        agrees::<A, Float32Type>(value)?;
        agrees::<A, Float64Type>(value)
    }

    fn near_limits() -> impl Strategy<Value = i64> {
        let limits = [0, i8::MAX as i64, i16::MAX as i64, i32::MAX as i64, u32::MAX as i64, i64::MAX, i64::MIN];
        (prop::sample::select(limits.to_vec()), -3i64..4, any::<bool>())
            .prop_map(|(limit, delta, negate)| if negate { limit.wrapping_neg() } else { limit }.wrapping_add(delta))
    }

    proptest! {
        #[test]
        fn casts_of_numbers_agree_with_arrow(near in near_limits(), any in any::<i64>(), float in any::<f64>()) {
            for value in [near, any] {
                to_all::<Int64Type>(value)?;
                to_all::<Int32Type>(value as i32)?;
                to_all::<Int8Type>(value as i8)?;
                to_all::<UInt64Type>(value as u64)?;
                to_all::<UInt16Type>(value as u16)?;
                to_all::<Float64Type>(value as f64)?;
                to_all::<Float64Type>(value as f64 + 0.75)?;
                to_all::<Float32Type>(value as f32)?;
            }
            to_all::<Float64Type>(float)?;
            to_all::<Float32Type>(float as f32)?;
        }
    }

    #[test]
    fn floats_that_are_no_numbers_do_not_fit() {
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 9_223_372_036_854_775_808.0, -9.3e18] {
            assert_eq!(try_cast::<f64, i64>(x), None, "{x}");
        }
        assert_eq!(try_cast::<f64, i64>(i64::MIN as f64), Some(i64::MIN));
        assert_eq!(try_cast::<f64, u8>(255.9), Some(255));
        assert_eq!(try_cast::<f64, u8>(-0.9), Some(0));
        assert_eq!(try_cast::<f64, i8>(-128.9), Some(-128));
    }

    #[test]
    fn booleans_are_zero_and_one() {
        assert_eq!(try_cast::<bool, i32>(true), Some(1));
        assert_eq!(try_cast::<i64, bool>(-5), Some(true));
        assert_eq!(try_cast::<f64, bool>(0.0), Some(false));
        assert_eq!(try_cast::<bool, f32>(true), Some(1.0));
    }

    #[test]
    fn an_error_names_value_and_type() {
        let errors = Errors::new();
        cast::<i64, i16>(70_000, &errors);
        assert_eq!(errors.check().unwrap_err().message, "value 70000 is out of range for type SMALLINT");
    }

    #[test]
    fn times_change_units_as_in_arrow() {
        use TimeUnit::*;
        assert_eq!(try_cast_unit(-1_500, Millisecond, Second), Some(-1));
        assert_eq!(try_cast_unit(3, Second, Nanosecond), Some(3_000_000_000));
        assert_eq!(try_cast_unit(i64::MAX, Second, Millisecond), None);
        assert_eq!(try_cast_unit(i64::MAX, Second, Second), Some(i64::MAX));
        assert_eq!(timestamp_to_date(-1, Nanosecond), -1);
        assert_eq!(timestamp_to_date(i64::MIN, Microsecond), -106_751_992);
        assert_eq!(try_cast_date(86_400, Second), Some(1));
        assert_eq!(try_cast_date(i64::from(i32::MAX) * 86_400 + 86_399, Second), Some(i32::MAX));
        assert_eq!(try_cast_date(i64::from(i32::MAX) * 86_400 + 86_400, Second), None);
        assert_eq!(try_cast_date(i64::MIN, Millisecond), None);
        assert_eq!(try_date_to_timestamp(-1, Second), Some(-86_400));
        assert_eq!(try_date_to_timestamp(i32::MAX, Nanosecond), None);
        assert_eq!(try_date_to_timestamp(i32::MAX, Microsecond), None);
        assert!(try_date_to_timestamp(i32::MIN, Millisecond).is_some());
        let errors = Errors::new();
        assert_eq!(date_to_timestamp(i32::MAX, Nanosecond, &errors), 0);
        assert!(errors.check().is_err());
        assert_eq!(cast_date(i64::MAX, Second, &errors), 0);
        assert_eq!(errors.check().unwrap_err().message, "value 9223372036854775807 is out of range for type DATE");
        for ticks in [-86_400_001i64, -1, 0, 86_399_999, 86_400_000] {
            let array: ArrayRef = Arc::new(PrimitiveArray::<TimestampMillisecondType>::from_iter_values([ticks]));
            let dates = arrow::compute::cast(&array, &DataType::Date32).unwrap();
            assert_eq!(Some(dates.as_primitive::<Date32Type>().value(0)), try_cast_date(ticks, Millisecond));
        }
    }
}
