//! Order, three-valued logic, integer division, and functions of numbers.

use std::cmp::Ordering;

use super::Errors;

/// Types that SQL compares. Floats are totally ordered: NaN equals NaN and is the largest, and -0.0 equals 0.0.
pub trait Order: Copy {
    fn order(self, other: Self) -> Ordering;
    fn equal(self, other: Self) -> bool;
    fn less(self, other: Self) -> bool;
}

macro_rules! order_by_ord {
    ($($ty:ty),*) => {$(
        impl Order for $ty {
            #[inline]
            fn order(self, other: Self) -> Ordering {
                self.cmp(&other)
            }
            #[inline]
            fn equal(self, other: Self) -> bool {
                self == other
            }
            #[inline]
            fn less(self, other: Self) -> bool {
                self < other
            }
        }
    )*};
}

order_by_ord!(i8, i16, i32, i64, i128, u8, u16, u32, u64, bool, &str, &[u8]);

macro_rules! order_of_floats {
    ($($ty:ty),*) => {$(
        impl Order for $ty {
            #[inline]
            fn order(self, other: Self) -> Ordering {
                // Only a NaN is incomparable; it is larger than any number.
                self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
            }
            #[inline]
            fn equal(self, other: Self) -> bool {
                (self == other) | (self.is_nan() & other.is_nan())
            }
            #[inline]
            fn less(self, other: Self) -> bool {
                (self < other) | (!self.is_nan() & other.is_nan())
            }
        }
    )*};
}

order_of_floats!(f32, f64);

#[inline]
pub fn order<T: Order>(a: T, b: T) -> Ordering {
    a.order(b)
}

#[inline]
pub fn eq<T: Order>(a: T, b: T) -> bool {
    a.equal(b)
}

#[inline]
pub fn ne<T: Order>(a: T, b: T) -> bool {
    !a.equal(b)
}

#[inline]
pub fn lt<T: Order>(a: T, b: T) -> bool {
    a.less(b)
}

#[inline]
pub fn le<T: Order>(a: T, b: T) -> bool {
    !b.less(a)
}

#[inline]
pub fn gt<T: Order>(a: T, b: T) -> bool {
    b.less(a)
}

#[inline]
pub fn ge<T: Order>(a: T, b: T) -> bool {
    !a.less(b)
}

/// `IS DISTINCT FROM`: null is a value like others.
#[inline]
pub fn distinct<T: Order>(a: Option<T>, b: Option<T>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => ne(a, b),
        (None, None) => false,
        _ => true,
    }
}

/// Three-valued AND. The right side is evaluated only where the left is not false.
#[inline]
pub fn and(a: Option<bool>, b: impl FnOnce() -> Option<bool>) -> Option<bool> {
    match a {
        Some(false) => Some(false),
        Some(true) => b(),
        None => b().filter(|b| !b),
    }
}

/// Three-valued OR. The right side is evaluated only where the left is not true.
#[inline]
pub fn or(a: Option<bool>, b: impl FnOnce() -> Option<bool>) -> Option<bool> {
    match a {
        Some(true) => Some(true),
        Some(false) => b(),
        None => b().filter(|b| *b),
    }
}

/// Both values, or null.
#[inline]
pub fn zip<A, B>(a: Option<A>, b: Option<B>) -> Option<(A, B)> {
    a.zip(b)
}

/// All three values, or null.
#[inline]
pub fn zip3<A, B, C>(a: Option<A>, b: Option<B>, c: Option<C>) -> Option<(A, B, C)> {
    match (a, b, c) {
        (Some(a), Some(b), Some(c)) => Some((a, b, c)),
        _ => None,
    }
}

/// Null when both are equal, else the first.
#[inline]
pub fn null_if<T: Order>(a: Option<T>, b: Option<T>) -> Option<T> {
    a.filter(|&a| !b.is_some_and(|b| eq(a, b)))
}

/// The larger one; null only if both are.
#[inline]
pub fn greatest<T: Order>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if lt(a, b) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The smaller one; null only if both are.
#[inline]
pub fn least<T: Order>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if lt(b, a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Integers that SQL divides.
pub trait Divide: Copy {
    fn quotient(self, by: Self) -> Option<Self>;
    fn remainder(self, by: Self) -> Option<Self>;
    fn shift_left(self, by: Self) -> Self;
    fn shift_right(self, by: Self) -> Self;
}

macro_rules! divide {
    ($($ty:ty),*) => {$(
        impl Divide for $ty {
            #[inline]
            fn quotient(self, by: Self) -> Option<Self> {
                if by == 0 { None } else { Some(self.wrapping_div(by)) }
            }
            #[inline]
            fn remainder(self, by: Self) -> Option<Self> {
                if by == 0 { None } else { Some(self.wrapping_rem(by)) }
            }
            #[inline]
            fn shift_left(self, by: Self) -> Self {
                self.wrapping_shl(by as u32)
            }
            #[inline]
            fn shift_right(self, by: Self) -> Self {
                self.wrapping_shr(by as u32)
            }
        }
    )*};
}

divide!(i8, i16, i32, i64, u8, u16, u32, u64);

/// Quotient, rounded toward zero. `MIN / -1` wraps; zero is an error.
#[inline]
pub fn div<T: Divide + Default>(a: T, b: T, errors: &Errors) -> T {
    a.quotient(b).unwrap_or_else(|| {
        errors.division_by_zero();
        T::default()
    })
}

/// Remainder with the sign of the dividend. `MIN % -1` is 0; zero is an error.
#[inline]
pub fn rem<T: Divide + Default>(a: T, b: T, errors: &Errors) -> T {
    a.remainder(b).unwrap_or_else(|| {
        errors.division_by_zero();
        T::default()
    })
}

/// `a << b`, the amount modulo the width.
#[inline]
pub fn shl<T: Divide>(a: T, b: T) -> T {
    a.shift_left(b)
}

/// `a >> b`, with the sign of `a`, the amount modulo the width.
#[inline]
pub fn shr<T: Divide>(a: T, b: T) -> T {
    a.shift_right(b)
}

/// Numbers that have an absolute value.
pub trait Abs: Copy {
    fn magnitude(self) -> Self;
}

macro_rules! abs_of {
    ($($ty:ty => $method:expr;)*) => {$(
        impl Abs for $ty {
            #[inline]
            fn magnitude(self) -> Self {
                $method(self)
            }
        }
    )*};
}

abs_of! {
    i8 => i8::wrapping_abs; i16 => i16::wrapping_abs; i32 => i32::wrapping_abs; i64 => i64::wrapping_abs;
    i128 => i128::wrapping_abs; u8 => std::convert::identity; u16 => std::convert::identity;
    u32 => std::convert::identity; u64 => std::convert::identity; f32 => f32::abs; f64 => f64::abs;
}

/// Absolute value; the smallest integer wraps to itself.
#[inline]
pub fn abs<T: Abs>(x: T) -> T {
    x.magnitude()
}

macro_rules! float_functions {
    ($($(#[$doc:meta])* $name:ident: |$x:ident| $body:expr;)*) => {
        /// Floats that mathematical functions take.
        pub trait Float: Copy {
            $(fn $name(self) -> Self;)*
        }
        impl Float for f32 {
            $(#[inline] fn $name(self) -> Self { let $x = self; $body })*
        }
        impl Float for f64 {
            $(#[inline] fn $name(self) -> Self { let $x = self; $body })*
        }
        $(
            $(#[$doc])*
            #[inline]
            pub fn $name<T: Float>(x: T) -> T {
                Float::$name(x)
            }
        )*
    };
}

float_functions! {
    ceil: |x| x.ceil();
    floor: |x| x.floor();
    /// Halves away from zero.
    round: |x| x.round();
    /// Toward zero; a zero of either sign gives 0.
    trunc: |x| if x == 0.0 { 0.0 } else { x.trunc() };
    sqrt: |x| x.sqrt();
    exp: |x| x.exp();
    /// Natural logarithm.
    ln: |x| x.ln();
    log2: |x| x.log2();
    log10: |x| x.log10();
}

/// `x` to the power of `y`.
#[inline]
pub fn power(x: f64, y: f64) -> f64 {
    x.powf(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, BooleanArray, Float64Array, Int64Array, UInt8Array};
    use arrow::compute::kernels::{bitwise, boolean, cmp};
    use proptest::prelude::*;

    fn floats() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            Just(f64::NAN),
            Just(-f64::NAN),
            Just(0.0),
            Just(-0.0),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            (-3i8..3).prop_map(f64::from)
        ]
    }

    /// A number whose own order is the SQL order of floats.
    fn rank(x: f64) -> i128 {
        match x {
            x if x.is_nan() => i128::MAX,
            0.0 => 0,
            x if x > 0.0 => i128::from(x.to_bits()),
            x => -i128::from((-x).to_bits()),
        }
    }

    proptest! {
        #[test]
        fn floats_have_a_total_order(a in floats(), b in floats()) {
            let expected = rank(a).cmp(&rank(b));
            prop_assert_eq!(order(a, b), expected);
            prop_assert_eq!(eq(a, b), expected.is_eq());
            prop_assert_eq!(ne(a, b), expected.is_ne());
            prop_assert_eq!(lt(a, b), expected.is_lt());
            prop_assert_eq!(le(a, b), expected.is_le());
            prop_assert_eq!(gt(a, b), expected.is_gt());
            prop_assert_eq!(ge(a, b), expected.is_ge());
            let max = greatest(Some(a), Some(b)).unwrap();
            prop_assert!(ge(max, a) && ge(max, b));
            let min = least(Some(a), Some(b)).unwrap();
            prop_assert!(le(min, a) && le(min, b));
        }

        #[test]
        fn comparisons_agree_with_arrow(a in any::<i64>(), b in any::<i64>()) {
            let (x, y) = (Int64Array::from(vec![a]), Int64Array::from(vec![b]));
            prop_assert_eq!(lt(a, b), cmp::lt(&x, &y).unwrap().value(0));
            prop_assert_eq!(ge(a, b), cmp::gt_eq(&x, &y).unwrap().value(0));
        }

        #[test]
        fn shifts_agree_with_arrow(a in any::<i64>(), by in any::<i8>(), c in any::<u8>(), n in any::<u8>()) {
            let (x, y) = (Int64Array::from(vec![a]), Int64Array::from(vec![i64::from(by)]));
            prop_assert_eq!(shl(a, i64::from(by)), bitwise::bitwise_shift_left(&x, &y).unwrap().value(0));
            prop_assert_eq!(shr(a, i64::from(by)), bitwise::bitwise_shift_right(&x, &y).unwrap().value(0));
            let (x, y) = (UInt8Array::from(vec![c]), UInt8Array::from(vec![n]));
            prop_assert_eq!(shl(c, n), bitwise::bitwise_shift_left(&x, &y).unwrap().value(0));
        }
    }

    #[test]
    fn logic_agrees_with_arrow() {
        let values = [Some(true), Some(false), None];
        for a in values {
            for b in values {
                let (x, y) = (BooleanArray::from(vec![a]), BooleanArray::from(vec![b]));
                let get = |array: BooleanArray| array.is_valid(0).then(|| array.value(0));
                assert_eq!(and(a, || b), get(boolean::and_kleene(&x, &y).unwrap()), "{a:?} and {b:?}");
                assert_eq!(or(a, || b), get(boolean::or_kleene(&x, &y).unwrap()), "{a:?} or {b:?}");
                assert_eq!(distinct(a, b), get(cmp::distinct(&x, &y).unwrap()).unwrap());
            }
        }
    }

    #[test]
    fn logic_stops_early() {
        assert_eq!(and(Some(false), || unreachable!()), Some(false));
        assert_eq!(or(Some(true), || unreachable!()), Some(true));
    }

    #[test]
    fn integer_division_wraps_and_reports_zero() {
        let errors = Errors::new();
        assert_eq!(div(-7i64, 2, &errors), -3);
        assert_eq!(rem(-7i64, 2, &errors), -1);
        assert_eq!(div(i64::MIN, -1, &errors), i64::MIN);
        assert_eq!(rem(i64::MIN, -1, &errors), 0);
        assert_eq!(div(200u8, 7, &errors), 28);
        assert_eq!(errors.check(), Ok(()));
        div(1i32, 0, &errors);
        assert_eq!(errors.check().unwrap_err().message, "division by zero");
        rem(1u8, 0, &errors);
        assert!(errors.check().is_err());
    }

    #[test]
    fn null_if_and_extremes_skip_nulls() {
        assert_eq!(null_if(Some(1), Some(1)), None);
        assert_eq!(null_if(Some(1), Some(2)), Some(1));
        assert_eq!(null_if(Some(1), None), Some(1));
        assert_eq!(null_if(None, Some(1)), None);
        assert_eq!(null_if(Some("a"), Some("a")), None);
        assert_eq!(greatest(None, Some(2)), Some(2));
        assert_eq!(least::<i32>(None, None), None);
        assert_eq!(greatest(Some(f64::NAN), Some(1.0)).map(f64::is_nan), Some(true));
    }

    #[test]
    fn functions_of_floats() {
        assert_eq!(round(2.5f64), 3.0);
        assert_eq!(round(-2.5f64), -3.0);
        assert_eq!(trunc(-1.7f32), -1.0);
        assert!(trunc(-0.0f64).is_sign_positive());
        assert_eq!(abs(i32::MIN), i32::MIN);
        assert_eq!(abs(-1.5f64), 1.5);
        assert_eq!((sqrt(9.0f64), log2(8.0f64), log10(1000.0f64), power(2.0, 10.0)), (3.0, 3.0, 3.0, 1024.0));
        assert!(ln(-1.0f64).is_nan());
        let nan = Float64Array::from(vec![f64::NAN]);
        assert!(cmp::eq(&nan, &nan).unwrap().value(0), "arrow compares NaN as we do");
    }
}
