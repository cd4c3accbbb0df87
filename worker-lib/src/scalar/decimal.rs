//! Decimals: an `i128` scaled by `10^scale`, up to 38 digits.
//!
//! The scale of a result is the compiler's affair (it follows Arrow: `max(s1, s2)` for sums and remainders, `s1 + s2`
//! for products). Overflow of `i128` and division by zero are errors; as in Arrow, arithmetic does not check the
//! precision of its result, casts do.

use std::cmp::Ordering;

use super::Errors;
use super::cast::{Number, Wide};

const POWERS_OF_TEN: [i128; 39] = {
    let mut powers = [1; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// `x * 10^digits`, rounded half away from zero where digits are dropped.
fn rescale(x: i128, digits: i32) -> Option<i128> {
    if digits >= 0 {
        return match POWERS_OF_TEN.get(digits as usize) {
            Some(power) => x.checked_mul(*power),
            None => (x == 0).then_some(0),
        };
    }
    let Some(&power) = POWERS_OF_TEN.get(digits.unsigned_abs() as usize) else { return Some(0) };
    let (quotient, remainder) = (x / power, x % power);
    let round = if remainder.abs() >= power / 2 { remainder.signum() } else { 0 };
    Some(quotient + round)
}

fn fits(x: i128, precision: u8) -> bool {
    POWERS_OF_TEN.get(usize::from(precision)).is_none_or(|&limit| -limit < x && x < limit)
}

fn digits(from: i8, to: i8) -> i32 {
    i32::from(to) - i32::from(from)
}

/// Both with the larger scale.
fn align(a: i128, b: i128, a_scale: i8, b_scale: i8) -> Option<(i128, i128)> {
    let scale = a_scale.max(b_scale);
    Some((rescale(a, digits(a_scale, scale))?, rescale(b, digits(b_scale, scale))?))
}

fn or_overflow(result: Option<i128>, errors: &Errors) -> i128 {
    result.unwrap_or_else(|| {
        errors.user("decimal is out of range: more than 38 digits");
        0
    })
}

/// Sum, with the larger scale.
pub fn decimal_add(a: i128, b: i128, a_scale: i8, b_scale: i8, errors: &Errors) -> i128 {
    or_overflow(align(a, b, a_scale, b_scale).and_then(|(a, b)| a.checked_add(b)), errors)
}

/// Difference, with the larger scale.
pub fn decimal_sub(a: i128, b: i128, a_scale: i8, b_scale: i8, errors: &Errors) -> i128 {
    or_overflow(align(a, b, a_scale, b_scale).and_then(|(a, b)| a.checked_sub(b)), errors)
}

/// Product, with the sum of the scales.
pub fn decimal_mul(a: i128, b: i128, errors: &Errors) -> i128 {
    or_overflow(a.checked_mul(b), errors)
}

/// Quotient with scale `out_scale`, rounded toward zero.
pub fn decimal_div(a: i128, b: i128, a_scale: i8, b_scale: i8, out_scale: i8, errors: &Errors) -> i128 {
    if b == 0 {
        errors.division_by_zero();
        return 0;
    }
    let digits = i32::from(out_scale) - i32::from(a_scale) + i32::from(b_scale);
    let scaled =
        if digits >= 0 { rescale(a, digits).map(|a| (a, b)) } else { rescale(b, -digits).map(|divisor| (a, divisor)) };
    or_overflow(scaled.and_then(|(a, b)| a.checked_div(b)), errors)
}

/// Remainder with the sign of the dividend and the larger scale.
pub fn decimal_rem(a: i128, b: i128, a_scale: i8, b_scale: i8, errors: &Errors) -> i128 {
    if b == 0 {
        errors.division_by_zero();
        return 0;
    }
    or_overflow(align(a, b, a_scale, b_scale).map(|(a, b)| a.wrapping_rem(b)), errors)
}

/// Compares decimals of different scales.
pub fn decimal_order(a: i128, b: i128, a_scale: i8, b_scale: i8) -> Ordering {
    match align(a, b, a_scale, b_scale) {
        Some((a, b)) => a.cmp(&b),
        // One that does not fit once it is scaled up is farther from zero than the other.
        None => {
            let scale = a_scale.max(b_scale);
            match rescale(a, digits(a_scale, scale)) {
                None => a.cmp(&0),
                Some(_) => 0.cmp(&b),
            }
        }
    }
}

/// Another precision and scale; null where the value does not fit. Dropped digits round half away from zero.
pub fn try_decimal_cast(a: i128, from_scale: i8, precision: u8, scale: i8) -> Option<i128> {
    rescale(a, digits(from_scale, scale)).filter(|&x| fits(x, precision))
}

/// Another precision and scale; an error where the value does not fit.
pub fn decimal_cast(a: i128, from_scale: i8, precision: u8, scale: i8, errors: &Errors) -> i128 {
    try_decimal_cast(a, from_scale, precision, scale).unwrap_or_else(|| out_of_range(precision, scale, errors))
}

#[cold]
fn out_of_range(precision: u8, scale: i8, errors: &Errors) -> i128 {
    errors.user(&format!("value is out of range for type DECIMAL({precision},{scale})"));
    0
}

/// Integers and truth values, which casts to and from decimals take.
pub trait Integer: Number {
    #[inline]
    fn to_i128(self) -> i128 {
        match self.widen() {
            Wide::Signed(x) => i128::from(x),
            Wide::Unsigned(x) => i128::from(x),
            Wide::Float(x) => x as i128,
            Wide::Single(x) => x as i128,
        }
    }
    #[inline]
    fn of_i128(value: i128) -> Option<Self> {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(x), _) => Self::narrow(Wide::Signed(x)),
            (_, Ok(x)) => Self::narrow(Wide::Unsigned(x)),
            _ => None,
        }
    }
}

impl Integer for i8 {}
impl Integer for i16 {}
impl Integer for i32 {}
impl Integer for i64 {}
impl Integer for u8 {}
impl Integer for u16 {}
impl Integer for u32 {}
impl Integer for u64 {}

/// An integer as a decimal; null where it does not fit.
#[inline]
pub fn try_decimal_from_int<T: Integer>(x: T, precision: u8, scale: i8) -> Option<i128> {
    try_decimal_cast(x.to_i128(), 0, precision, scale)
}

/// An integer as a decimal; an error where it does not fit.
#[inline]
pub fn decimal_from_int<T: Integer>(x: T, precision: u8, scale: i8, errors: &Errors) -> i128 {
    decimal_cast(x.to_i128(), 0, precision, scale, errors)
}

/// The whole part as an integer; null where it does not fit.
#[inline]
pub fn try_decimal_to_int<T: Integer>(a: i128, scale: i8) -> Option<T> {
    whole(a, scale).and_then(T::of_i128)
}

/// The whole part as an integer; an error where it does not fit.
#[inline]
pub fn decimal_to_int<T: Integer>(a: i128, scale: i8, errors: &Errors) -> T {
    try_decimal_to_int(a, scale).unwrap_or_else(|| {
        errors.user("decimal is out of range for an integer type");
        T::default()
    })
}

fn whole(a: i128, scale: i8) -> Option<i128> {
    if scale <= 0 {
        return rescale(a, -i32::from(scale));
    }
    Some(POWERS_OF_TEN.get(scale as usize).map_or(0, |power| a / power))
}

/// The nearest float.
pub fn decimal_to_f64(a: i128, scale: i8) -> f64 {
    a as f64 / 10f64.powi(i32::from(scale))
}

/// A float as a decimal, rounded half away from zero; null where it does not fit.
pub fn try_decimal_from_f64(x: f64, precision: u8, scale: i8) -> Option<i128> {
    let scaled = (10f64.powi(i32::from(scale)) * x).round();
    if scaled.abs() < 1e38 { Some(scaled as i128).filter(|&x| fits(x, precision)) } else { None }
}

/// A float as a decimal, rounded half away from zero; an error where it does not fit.
pub fn decimal_from_f64(x: f64, precision: u8, scale: i8, errors: &Errors) -> i128 {
    try_decimal_from_f64(x, precision, scale).unwrap_or_else(|| out_of_range(precision, scale, errors))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array, Float64Array, Int32Array, Int64Array};
    use arrow::compute::kernels::numeric;
    use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type};
    use proptest::prelude::*;

    fn array(x: i128, precision: u8, scale: i8) -> Decimal128Array {
        Decimal128Array::from(vec![x]).with_precision_and_scale(precision, scale).unwrap()
    }

    fn first(result: Result<ArrayRef, arrow::error::ArrowError>) -> Option<i128> {
        result.ok().map(|array| array.as_primitive::<Decimal128Type>().value(0))
    }

    fn ours(run: impl FnOnce(&Errors) -> i128) -> Option<i128> {
        let errors = Errors::new();
        let value = run(&errors);
        errors.check().is_ok().then_some(value)
    }

    fn numbers() -> impl Strategy<Value = i128> {
        prop_oneof![
            -1_000_000i128..1_000_000,
            any::<i64>().prop_map(i128::from),
            any::<i128>().prop_map(|x| x % POWERS_OF_TEN[38]),
            Just(0),
        ]
    }

    proptest! {
        #[test]
        fn arithmetic_agrees_with_arrow(a in numbers(), b in numbers(), s1 in 0i8..10, s2 in 0i8..10) {
            let (x, y) = (array(a, 38, s1), array(b, 38, s2));
            let (l, r): (&dyn Datum, &dyn Datum) = (&x, &y);
            prop_assert_eq!(ours(|e| decimal_add(a, b, s1, s2, e)), first(numeric::add(l, r)));
            prop_assert_eq!(ours(|e| decimal_sub(a, b, s1, s2, e)), first(numeric::sub(l, r)));
            prop_assert_eq!(ours(|e| decimal_mul(a, b, e)), first(numeric::mul(l, r)));
            prop_assert_eq!(ours(|e| decimal_div(a, b, s1, s2, s1 + 4, e)), first(numeric::div(l, r)));
            prop_assert_eq!(ours(|e| decimal_rem(a, b, s1, s2, e)), first(numeric::rem(l, r)));
        }

        #[test]
        fn casts_agree_with_arrow(a in numbers(), s1 in 0i8..12, precision in 1u8..39, s2 in 0i8..12, n in any::<i64>()) {
            prop_assume!(s2 <= precision as i8);
            let ty = DataType::Decimal128(precision, s2);
            let cast = |array: ArrayRef| {
                let array = arrow::compute::cast(&array, &ty).unwrap();
                array.is_valid(0).then(|| array.as_primitive::<Decimal128Type>().value(0))
            };
            prop_assert_eq!(try_decimal_cast(a, s1, precision, s2), cast(Arc::new(array(a, 38, s1))));
            prop_assert_eq!(try_decimal_from_int(n, precision, s2), cast(Arc::new(Int64Array::from(vec![n]))));
            let small = n as i32;
            prop_assert_eq!(try_decimal_from_int(small, precision, s2), cast(Arc::new(Int32Array::from(vec![small]))));
            let float = n as f64 / 4096.0;
            prop_assert_eq!(try_decimal_from_f64(float, precision, s2), cast(Arc::new(Float64Array::from(vec![float]))));

            let decimals: ArrayRef = Arc::new(array(a, 38, s1));
            let ints = arrow::compute::cast(&decimals, &DataType::Int32).unwrap();
            let expected = ints.is_valid(0).then(|| ints.as_primitive::<Int32Type>().value(0));
            prop_assert_eq!(try_decimal_to_int::<i32>(a, s1), expected);
            let floats = arrow::compute::cast(&decimals, &DataType::Float64).unwrap();
            prop_assert_eq!(decimal_to_f64(a, s1), floats.as_primitive::<Float64Type>().value(0));
        }

        #[test]
        fn order_ignores_scale(a in numbers(), b in numbers(), s1 in 0i8..10, s2 in 0i8..10) {
            // Dividing both by a common power keeps the order wherever it decides.
            let scale = s1.max(s2);
            if let (Some(x), Some(y)) = (rescale(a, i32::from(scale - s1)), rescale(b, i32::from(scale - s2))) {
                prop_assert_eq!(decimal_order(a, b, s1, s2), x.cmp(&y));
            } else {
                let float = decimal_to_f64(a, s1).total_cmp(&decimal_to_f64(b, s2));
                prop_assert_eq!(decimal_order(a, b, s1, s2), float);
            }
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(try_decimal_cast(125, 2, 10, 1), Some(13));
        assert_eq!(try_decimal_cast(-125, 2, 10, 1), Some(-13));
        assert_eq!(try_decimal_cast(124, 2, 10, 1), Some(12));
        assert_eq!(try_decimal_to_int::<i64>(199, 2), Some(1));
        assert_eq!(try_decimal_from_f64(f64::NAN, 10, 2), None);
    }

    #[test]
    fn failures_are_named() {
        let errors = Errors::new();
        decimal_div(1, 0, 0, 0, 4, &errors);
        assert_eq!(errors.check().unwrap_err().message, "division by zero");
        decimal_cast(12_345, 2, 3, 2, &errors);
        assert_eq!(errors.check().unwrap_err().message, "value is out of range for type DECIMAL(3,2)");
    }
}
