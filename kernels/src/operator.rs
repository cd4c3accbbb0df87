//! Operators on columns of any type, by Arrow's kernels.
//!
//! These serve the types that native code lacks: decimals, intervals, durations, binary, lists, structs, maps; and
//! every other type with the same result as native code gives.
//!
//! Nested values compare member by member; a null member equals a null member and is larger than any other.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float32Array, Float64Array, ListArray, MapArray,
    PrimitiveArray, StructArray, make_comparator, new_null_array,
};
use arrow::compute::kernels::{bitwise, cmp, numeric, zip::zip};
use arrow::compute::{self, SortOptions, prep_null_mask_filter};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use schema::ScalarType;

use crate::call::{Block, Value};
use crate::param::Param;
use crate::represent::{arrow_message, represent};

type Bound = Result<Block, String>;

// Arithmetic.

pub(crate) fn add(params: &[Param], _: &ScalarType) -> Bound {
    arity(params, 2)?;
    match (&params[0].ty, &params[1].ty) {
        (ScalarType::Time, ScalarType::Interval) => return Ok(shift_time(0, 1, 1)),
        (ScalarType::Interval, ScalarType::Time) => return Ok(shift_time(1, 0, 1)),
        _ => {}
    }
    Ok(Box::new(|args, _| numeric::add_wrapping(args[0].datum(), args[1].datum()).map_err(arrow_message)))
}

pub(crate) fn subtract(params: &[Param], _: &ScalarType) -> Bound {
    arity(params, 2)?;
    if (&params[0].ty, &params[1].ty) == (&ScalarType::Time, &ScalarType::Interval) {
        return Ok(shift_time(0, 1, -1));
    }
    Ok(Box::new(|args, _| numeric::sub_wrapping(args[0].datum(), args[1].datum()).map_err(arrow_message)))
}

/// A time of day and an interval: around the clock, so days and months change nothing.
fn shift_time(time: usize, interval: usize, sign: i64) -> Block {
    const DAY: i64 = 86_400_000_000_000;
    Box::new(move |args, rows| {
        let (times, intervals) = (args[time].array(rows)?, args[interval].array(rows)?);
        let times = times.as_primitive::<arrow::datatypes::Time64NanosecondType>();
        let intervals = intervals.as_primitive::<arrow::datatypes::IntervalMonthDayNanoType>();
        let shifted: PrimitiveArray<arrow::datatypes::Time64NanosecondType> =
            arrow::compute::binary(times, intervals, |time, by| (time + sign * (by.nanoseconds % DAY)).rem_euclid(DAY))
                .map_err(arrow_message)?;
        Ok(Arc::new(shifted))
    })
}

pub(crate) fn multiply(params: &[Param], _: &ScalarType) -> Bound {
    arity(params, 2)?;
    Ok(Box::new(|args, _| numeric::mul_wrapping(args[0].datum(), args[1].datum()).map_err(arrow_message)))
}

/// Runs `$body` with `$ty` standing for the Arrow type of an integer array; `$other` for all else.
macro_rules! with_integer {
    ($data_type:expr, $ty:ident => $body:expr, $other:expr) => {
        match $data_type {
            DataType::Int8 => {
                type $ty = arrow::datatypes::Int8Type;
                $body
            }
            DataType::Int16 => {
                type $ty = arrow::datatypes::Int16Type;
                $body
            }
            DataType::Int32 => {
                type $ty = arrow::datatypes::Int32Type;
                $body
            }
            DataType::Int64 => {
                type $ty = arrow::datatypes::Int64Type;
                $body
            }
            DataType::UInt8 => {
                type $ty = arrow::datatypes::UInt8Type;
                $body
            }
            DataType::UInt16 => {
                type $ty = arrow::datatypes::UInt16Type;
                $body
            }
            DataType::UInt32 => {
                type $ty = arrow::datatypes::UInt32Type;
                $body
            }
            DataType::UInt64 => {
                type $ty = arrow::datatypes::UInt64Type;
                $body
            }
            _ => $other,
        }
    };
}

type Checked<N> = fn(N, N) -> Result<N, ArrowError>;

/// Two integer columns of one type, row by row; null where either is.
fn integers<T: ArrowPrimitiveType>(args: &[Value], rows: usize, op: Checked<T::Native>) -> Result<ArrayRef, String> {
    let (left, right) = (args[0].array(rows)?, args[1].array(rows)?);
    let result: Result<PrimitiveArray<T>, _> =
        compute::try_binary(left.as_primitive::<T>(), right.as_primitive::<T>(), op);
    result.map(|array| Arc::new(array) as ArrayRef).map_err(arrow_message)
}

fn same_types(args: &[Value]) -> bool {
    args[0].data_type() == args[1].data_type()
}

pub(crate) fn divide(params: &[Param], _: &ScalarType) -> Bound {
    arity(params, 2)?;
    Ok(Box::new(|args, rows| {
        let other = || numeric::div(args[0].datum(), args[1].datum()).map_err(arrow_message);
        if !same_types(args) {
            return other();
        }
        // Arrow's division fails for the smallest integer by -1.
        with_integer!(args[0].data_type(), T => integers::<T>(args, rows, |a, b| match b {
            0 => Err(ArrowError::DivideByZero),
            b => Ok(a.wrapping_div(b)),
        }), other())
    }))
}

pub(crate) fn remainder(params: &[Param], _: &ScalarType) -> Bound {
    arity(params, 2)?;
    Ok(Box::new(|args, rows| {
        let other = || numeric::rem(args[0].datum(), args[1].datum()).map_err(arrow_message);
        if !same_types(args) {
            return other();
        }
        with_integer!(args[0].data_type(), T => integers::<T>(args, rows, |a, b| match b {
            0 => Err(ArrowError::DivideByZero),
            b => Ok(a.wrapping_rem(b)),
        }), other())
    }))
}

pub(crate) fn negate(params: &[Param], _: &ScalarType) -> Bound {
    arity(params, 1)?;
    Ok(Box::new(|args, rows| numeric::neg_wrapping(&args[0].array(rows)?).map_err(arrow_message)))
}

// Bits.

macro_rules! bits {
    ($($(#[$doc:meta])* $name:ident => $kernel:path;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(params: &[Param], ret: &ScalarType) -> Bound {
            arity(params, 2)?;
            if !ret.is_integer() {
                return Err(format!("bits of type {ret} are not supported"));
            }
            let ty = ret.to_arrow();
            Ok(Box::new(move |args, rows| {
                let (left, right) = (represent(&args[0].array(rows)?, &ty)?, represent(&args[1].array(rows)?, &ty)?);
                with_integer!(&ty, T => {
                    let result = $kernel(left.as_primitive::<T>(), right.as_primitive::<T>());
                    result.map(|array| Arc::new(array) as ArrayRef).map_err(arrow_message)
                }, Err(format!("bits of type {ty} are not supported")))
            }))
        }
    )*};
}

bits! {
    bit_and => bitwise::bitwise_and;
    bit_or => bitwise::bitwise_or;
    bit_xor => bitwise::bitwise_xor;
    /// Shifts by the count modulo the width of the type.
    shift_left => bitwise::bitwise_shift_left;
    /// Shifts by the count modulo the width of the type; keeps the sign.
    shift_right => bitwise::bitwise_shift_right;
}

// Comparison.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Distinct,
    NotDistinct,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Equal | Comparison::NotDistinct => ordering.is_eq(),
            Comparison::NotEqual | Comparison::Distinct => ordering.is_ne(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// Never null, since null is a value like others.
    fn sees_nulls(self) -> bool {
        matches!(self, Comparison::Distinct | Comparison::NotDistinct)
    }
}

macro_rules! comparisons {
    ($($name:ident => $comparison:ident;)*) => {$(
        pub(crate) fn $name(params: &[Param], _: &ScalarType) -> Bound {
            arity(params, 2)?;
            Ok(Box::new(|args, rows| {
                compare(Comparison::$comparison, &args[0], &args[1], rows).map(|array| Arc::new(array) as ArrayRef)
            }))
        }
    )*};
}

comparisons! {
    equal => Equal;
    not_equal => NotEqual;
    less => Less;
    less_or_equal => LessOrEqual;
    greater => Greater;
    greater_or_equal => GreaterOrEqual;
    is_distinct_from => Distinct;
    is_not_distinct_from => NotDistinct;
}

fn compare(op: Comparison, left: &Value, right: &Value, rows: usize) -> Result<BooleanArray, String> {
    let (left, right) = (left.map(&canonical_floats)?, right.map(&canonical_floats)?);
    let (left, right) = match (left.data_type(), right.data_type()) {
        (DataType::Null, DataType::Null) => {
            let value = op.sees_nulls().then(|| op.holds(Ordering::Equal));
            return Ok((0..rows).map(|_| value).collect());
        }
        (DataType::Null, ty) => {
            let ty = ty.clone();
            (left.map(&|array| represent(array, &ty))?, right)
        }
        (ty, DataType::Null) => {
            let ty = ty.clone();
            (left, right.map(&|array| represent(array, &ty))?)
        }
        _ => (left, right),
    };
    if left.data_type().is_nested() {
        return compare_nested(op, &left.array(rows)?, &right.array(rows)?);
    }
    let (left, right) = (left.datum(), right.datum());
    let result = match op {
        Comparison::Equal => cmp::eq(left, right),
        Comparison::NotEqual => cmp::neq(left, right),
        Comparison::Less => cmp::lt(left, right),
        Comparison::LessOrEqual => cmp::lt_eq(left, right),
        Comparison::Greater => cmp::gt(left, right),
        Comparison::GreaterOrEqual => cmp::gt_eq(left, right),
        Comparison::Distinct => cmp::distinct(left, right),
        Comparison::NotDistinct => cmp::not_distinct(left, right),
    };
    result.map_err(arrow_message)
}

fn compare_nested(op: Comparison, left: &ArrayRef, right: &ArrayRef) -> Result<BooleanArray, String> {
    let right = represent(right, left.data_type())?;
    let options = SortOptions { descending: false, nulls_first: false };
    let ordering = make_comparator(left, &right, options).map_err(arrow_message)?;
    let value = |row| {
        let known = op.sees_nulls() || (left.is_valid(row) && right.is_valid(row));
        known.then(|| op.holds(ordering(row, row)))
    };
    Ok((0..left.len()).map(value).collect())
}

/// The same values with one zero and one NaN, which Arrow's total order then compares as SQL does.
pub(crate) fn canonical_floats(array: &ArrayRef) -> Result<ArrayRef, String> {
    if !has_floats(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    let rebuilt: Result<ArrayRef, ArrowError> = match array.data_type() {
        DataType::Float32 => {
            let array: Float32Array = array.as_primitive::<Float32Type>().unary(|value| match value {
                value if value.is_nan() => f32::NAN,
                value => value + 0.0,
            });
            Ok(Arc::new(array))
        }
        DataType::Float64 => {
            let array: Float64Array = array.as_primitive::<Float64Type>().unary(|value| match value {
                value if value.is_nan() => f64::NAN,
                value => value + 0.0,
            });
            Ok(Arc::new(array))
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = canonical_floats(list.values())?;
            ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())
                .map(|list| Arc::new(list) as ArrayRef)
        }
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let columns = array.columns().iter().map(canonical_floats).collect::<Result<Vec<_>, _>>()?;
            StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())
                .map(|array| Arc::new(array) as ArrayRef)
        }
        DataType::Map(entries, ordered) => {
            let map = array.as_map();
            let inner = canonical_floats(&(Arc::new(map.entries().clone()) as ArrayRef))?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            MapArray::try_new(Arc::clone(entries), offsets, inner, nulls, *ordered).map(|map| Arc::new(map) as ArrayRef)
        }
        _ => Ok(Arc::clone(array)),
    };
    rebuilt.map_err(arrow_message)
}

fn has_floats(ty: &DataType) -> bool {
    match ty {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(item) | DataType::Map(item, _) => has_floats(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

// Logic.

fn boolean(value: &Value, rows: usize) -> Result<BooleanArray, String> {
    Ok(represent(&value.array(rows)?, &DataType::Boolean)?.as_boolean().clone())
}

fn logical(params: &[Param], op: fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>) -> Bound {
    arity(params, 2)?;
    Ok(Box::new(move |args, rows| {
        let result = op(&boolean(&args[0], rows)?, &boolean(&args[1], rows)?);
        result.map(|array| Arc::new(array) as ArrayRef).map_err(arrow_message)
    }))
}

pub(crate) fn and(params: &[Param], _: &ScalarType) -> Bound {
    logical(params, compute::and_kleene)
}

pub(crate) fn or(params: &[Param], _: &ScalarType) -> Bound {
    logical(params, compute::or_kleene)
}

pub(crate) fn not(params: &[Param], _: &ScalarType) -> Bound {
    arity(params, 1)?;
    Ok(Box::new(|args, rows| {
        compute::not(&boolean(&args[0], rows)?).map(|array| Arc::new(array) as ArrayRef).map_err(arrow_message)
    }))
}

pub(crate) fn is_null(params: &[Param], _: &ScalarType) -> Bound {
    arity(params, 1)?;
    Ok(Box::new(|args, rows| {
        compute::is_null(&args[0].array(rows)?).map(|array| Arc::new(array) as ArrayRef).map_err(arrow_message)
    }))
}

pub(crate) fn is_not_null(params: &[Param], _: &ScalarType) -> Bound {
    arity(params, 1)?;
    Ok(Box::new(|args, rows| {
        compute::is_not_null(&args[0].array(rows)?).map(|array| Arc::new(array) as ArrayRef).map_err(arrow_message)
    }))
}

/// `arg IN (item, ...)`: true when one is equal, else null when `arg` or an item is null, else false.
pub(crate) fn in_list(params: &[Param], _: &ScalarType) -> Bound {
    at_least(params, 1)?;
    Ok(Box::new(|args, rows| is_in(args, rows).map(|found| Arc::new(found) as ArrayRef)))
}

pub(crate) fn not_in_list(params: &[Param], _: &ScalarType) -> Bound {
    at_least(params, 1)?;
    Ok(Box::new(|args, rows| {
        let found = is_in(args, rows)?;
        compute::not(&found).map(|array| Arc::new(array) as ArrayRef).map_err(arrow_message)
    }))
}

fn is_in(args: &[Value], rows: usize) -> Result<BooleanArray, String> {
    let mut found = BooleanArray::from(vec![false; rows]);
    for item in &args[1..] {
        let equal = compare(Comparison::Equal, &args[0], item, rows)?;
        found = compute::or_kleene(&found, &equal).map_err(arrow_message)?;
    }
    Ok(found)
}

// Choice.

/// `CASE WHEN a THEN x WHEN b THEN y ELSE z END` as `op_case(a, x, b, y, z)`. Every argument has been evaluated for
/// every row: branches that can fail stand behind a guard.
pub(crate) fn case(params: &[Param], ret: &ScalarType) -> Bound {
    at_least(params, 2)?;
    let ty = ret.to_arrow();
    Ok(Box::new(move |args, rows| {
        let (branches, otherwise) = args.as_chunks::<2>();
        let mut result = match otherwise {
            [value] => represent(&value.array(rows)?, &ty)?,
            _ => new_null_array(&ty, rows),
        };
        for [when, then] in branches.iter().rev() {
            let when = boolean(when, rows)?;
            result = choose(&when, &represent(&then.array(rows)?, &ty)?, &result)?;
        }
        Ok(result)
    }))
}

/// The rows of `then` where `when` is true, else those of `otherwise`.
fn choose(when: &BooleanArray, then: &ArrayRef, otherwise: &ArrayRef) -> Result<ArrayRef, String> {
    let when = match when.null_count() {
        0 => when.clone(),
        _ => prep_null_mask_filter(when),
    };
    zip(&when, then, otherwise).map_err(arrow_message)
}

pub(crate) fn coalesce(params: &[Param], ret: &ScalarType) -> Bound {
    at_least(params, 1)?;
    let ty = ret.to_arrow();
    Ok(Box::new(move |args, rows| {
        let mut result = new_null_array(&ty, rows);
        for value in args.iter().rev() {
            let value = represent(&value.array(rows)?, &ty)?;
            let known = compute::is_not_null(&value).map_err(arrow_message)?;
            result = choose(&known, &value, &result)?;
        }
        Ok(result)
    }))
}

/// `nvl2(a, x, y)`: `x` where `a` is not null, else `y`.
pub(crate) fn nvl2(params: &[Param], ret: &ScalarType) -> Bound {
    arity(params, 3)?;
    let ty = ret.to_arrow();
    Ok(Box::new(move |args, rows| {
        let known = compute::is_not_null(&args[0].array(rows)?).map_err(arrow_message)?;
        choose(&known, &represent(&args[1].array(rows)?, &ty)?, &represent(&args[2].array(rows)?, &ty)?)
    }))
}

pub(crate) fn nullif(params: &[Param], ret: &ScalarType) -> Bound {
    arity(params, 2)?;
    let ty = ret.to_arrow();
    Ok(Box::new(move |args, rows| {
        let equal = compare(Comparison::Equal, &args[0], &args[1], rows)?;
        let value = represent(&args[0].array(rows)?, &ty)?;
        choose(&equal, &new_null_array(&ty, rows), &value)
    }))
}

fn arity(params: &[Param], count: usize) -> Result<(), String> {
    match params.len() {
        given if given == count => Ok(()),
        given => Err(format!("expected {count} arguments, not {given}")),
    }
}

fn at_least(params: &[Param], count: usize) -> Result<(), String> {
    match params.len() {
        given if given >= count => Ok(()),
        given => Err(format!("expected at least {count} arguments, not {given}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Function, Kernel, function};
    use arrow::array::{Int8Array, Int64Array};
    use arrow::datatypes::{Int8Type, Int64Type};
    use proptest::prelude::*;

    fn columns(function: fn() -> Function, ty: &ScalarType, ret: &ScalarType, args: &[ArrayRef]) -> ArrayRef {
        let params: Vec<_> = args.iter().map(|_| Param::column(ty.clone(), true)).collect();
        Kernel::new(function, &params, ret).unwrap().call(args, args[0].len()).unwrap()
    }

    fn truth(function: fn() -> Function, ty: &ScalarType, args: &[ArrayRef]) -> Vec<Option<bool>> {
        columns(function, ty, &ScalarType::Bool, args).as_boolean().iter().collect()
    }

    #[test]
    fn integers_wrap() {
        let a: ArrayRef = Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(127), None]));
        let b: ArrayRef = Arc::new(Int8Array::from(vec![Some(-1), Some(1), Some(0)]));
        let both = [a.clone(), b];
        let of = |function| columns(function, &ScalarType::Int8, &ScalarType::Int8, &both);
        assert_eq!(of(function::op_divide).as_primitive::<Int8Type>().value(0), i8::MIN);
        assert_eq!(of(function::op_remainder).as_primitive::<Int8Type>().value(0), 0);
        assert_eq!(of(function::op_add).as_primitive::<Int8Type>().value(1), i8::MIN);
        // The zero stands beside a null.
        assert!(of(function::op_divide).is_null(2));
        let negated = columns(function::op_negate, &ScalarType::Int8, &ScalarType::Int8, &[a]);
        assert_eq!(negated.as_primitive::<Int8Type>().value(0), i8::MIN);
    }

    #[test]
    fn decimals_and_intervals() {
        let ty = ScalarType::Decimal { precision: 10, scale: 2 };
        let params = [Param::decimal(10, 2, 1050), Param::decimal(10, 2, 200)];
        let ret = ScalarType::Decimal { precision: 11, scale: 2 };
        let sum = Kernel::new(function::op_add, &params, &ret).unwrap().call(&[], 1).unwrap();
        assert_eq!(sum.as_primitive::<arrow::datatypes::Decimal128Type>().value(0), 1250);
        let greater = Kernel::new(function::op_gt, &params, &ScalarType::Bool).unwrap().call(&[], 1).unwrap();
        assert!(greater.as_boolean().value(0));
        let zero = [Param::column(ty, true), Param::decimal(10, 2, 0)];
        let ret = ScalarType::Decimal { precision: 16, scale: 6 };
        let kernel = Kernel::new(function::op_divide, &zero, &ret).unwrap();
        let one: ArrayRef =
            Arc::new(arrow::array::Decimal128Array::from(vec![1]).with_precision_and_scale(10, 2).unwrap());
        assert_eq!(kernel.call(&[one], 1).unwrap_err(), "division by zero");

        let day = 86_400_000_000_000;
        let params = [Param::int(ScalarType::TIMESTAMP_NS, 30 * day), Param::interval(1, 0, 1)];
        let kernel = Kernel::new(function::op_add, &params, &ScalarType::TIMESTAMP_NS).unwrap();
        let got = kernel.call(&[], 1).unwrap();
        // 31 January and a month is 28 February.
        assert_eq!(got.as_primitive::<arrow::datatypes::TimestampNanosecondType>().value(0), 58 * day + 1);
    }

    #[test]
    fn floats_have_one_zero_and_one_nan_which_is_largest() {
        let a: ArrayRef = Arc::new(Float64Array::from(vec![0.0, f64::NAN, f64::INFINITY, 1.0]));
        let b: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, -f64::NAN, f64::NAN, 2.0]));
        let both = [a, b];
        let ty = ScalarType::Float64;
        assert_eq!(truth(function::op_eq, &ty, &both), [Some(true), Some(true), Some(false), Some(false)]);
        assert_eq!(truth(function::op_lt, &ty, &both), [Some(false), Some(false), Some(true), Some(true)]);
        let list = ScalarType::List(Box::new(ty));
        let items = |value: f64| Param::list(ScalarType::Float64, vec![Param::float(ScalarType::Float64, value)]);
        for (a, b, equal) in [(0.0, -0.0, true), (f64::NAN, -f64::NAN, true), (1.0, 2.0, false)] {
            let params = [items(a), items(b)];
            assert_eq!(params[0].ty, list);
            let got = Kernel::new(function::op_eq, &params, &ScalarType::Bool).unwrap().call(&[], 1).unwrap();
            assert_eq!(got.as_boolean().value(0), equal, "{a} {b}");
        }
    }

    #[test]
    fn nested_values_compare_and_nulls_are_three_valued() {
        let list = ScalarType::List(Box::new(ScalarType::Int64));
        let of = |rows: Vec<Option<Vec<Option<i64>>>>| -> ArrayRef {
            Arc::new(represent_list(ListArray::from_iter_primitive::<Int64Type, _, _>(rows)))
        };
        let a = of(vec![Some(vec![Some(1), None]), Some(vec![Some(1)]), None]);
        let b = of(vec![Some(vec![Some(1), None]), Some(vec![Some(1), Some(0)]), None]);
        let both = [a, b];
        assert_eq!(truth(function::op_eq, &list, &both), [Some(true), Some(false), None]);
        assert_eq!(truth(function::op_lt, &list, &both), [Some(false), Some(true), None]);
        assert_eq!(truth(function::op_is_distinct_from, &list, &both), [Some(false), Some(true), Some(false)]);
        assert_eq!(truth(function::op_is_not_distinct_from, &list, &both), [Some(true), Some(false), Some(true)]);
        assert_eq!(truth(function::is_null, &list, &both[..1]), [Some(false), Some(false), Some(true)]);
    }

    fn represent_list(list: ListArray) -> ListArray {
        list
    }

    #[test]
    fn null_typed_arguments() {
        let params = [Param::null(ScalarType::Null), Param::column(ScalarType::Int64, true)];
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let of = |function| {
            let kernel = Kernel::new(function, &params, &ScalarType::Bool).unwrap();
            kernel.call(std::slice::from_ref(&column), 2).unwrap().as_boolean().iter().collect::<Vec<_>>()
        };
        assert_eq!(of(function::op_eq), [None, None]);
        assert_eq!(of(function::op_is_distinct_from), [Some(true), Some(false)]);
    }

    #[test]
    fn in_list_is_three_valued() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
        let int = |value| Param::int(ScalarType::Int64, value);
        let of = |function, items: &[Param]| {
            let params = [&[Param::column(ScalarType::Int64, true)], items].concat();
            let kernel = Kernel::new(function, &params, &ScalarType::Bool).unwrap();
            kernel.call(std::slice::from_ref(&column), 3).unwrap().as_boolean().iter().collect::<Vec<_>>()
        };
        assert_eq!(of(function::in_list, &[int(1), int(3)]), [Some(true), Some(false), None]);
        let with_null = [int(1), Param::null(ScalarType::Int64)];
        assert_eq!(of(function::in_list, &with_null), [Some(true), None, None]);
        assert_eq!(of(function::not_in_list, &with_null), [Some(false), None, None]);
    }

    #[test]
    fn choices() {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let when: ArrayRef = Arc::new(BooleanArray::from(vec![Some(false), Some(true), None]));
        let column = || Param::column(ScalarType::Int64, true);
        let params = [Param::column(ScalarType::Bool, true), column(), Param::int(ScalarType::Int64, 9)];
        let kernel = Kernel::new(function::op_case, &params, &ScalarType::Int64).unwrap();
        let got: Vec<_> = kernel.call(&[when, a.clone()], 3).unwrap().as_primitive::<Int64Type>().iter().collect();
        assert_eq!(got, [Some(9), None, Some(9)]);
        let of = |function, params: &[Param]| {
            let kernel = Kernel::new(function, params, &ScalarType::Int64).unwrap();
            kernel.call(std::slice::from_ref(&a), 3).unwrap().as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
        };
        assert_eq!(of(function::coalesce, &[column(), Param::int(ScalarType::Int64, 7)]), [Some(1), Some(7), Some(3)]);
        assert_eq!(of(function::nullif, &[column(), Param::int(ScalarType::Int64, 3)]), [Some(1), None, None]);
        let three = [column(), Param::int(ScalarType::Int64, 1), Param::int(ScalarType::Int64, 0)];
        assert_eq!(of(function::nvl2, &three), [Some(1), Some(0), Some(1)]);
    }

    #[test]
    fn shifts_and_bits() {
        let params = [Param::int(ScalarType::Int64, -8), Param::int(ScalarType::Int64, 1)];
        for (function, expected) in [
            (function::op_shr as fn() -> Function, -4),
            (function::op_shl, -16),
            (function::op_bitand, 0),
            (function::op_bitor, -7),
            (function::op_bitxor, -7),
        ] {
            let got = Kernel::new(function, &params, &ScalarType::Int64).unwrap().call(&[], 1).unwrap();
            assert_eq!(got.as_primitive::<Int64Type>().value(0), expected);
        }
    }

    proptest! {
        /// A constant and a column of equal values compare alike, whichever side it is on.
        #[test]
        fn constants_and_columns_agree(values in proptest::collection::vec(any::<Option<f64>>(), 1..20), at: f64) {
            let rows = values.len();
            let column: ArrayRef = Arc::new(Float64Array::from(values));
            let constant: ArrayRef = Arc::new(Float64Array::from(vec![at; rows]));
            for function in [function::op_lt as fn() -> Function, function::op_eq, function::op_is_distinct_from] {
                let expected = columns(function, &ScalarType::Float64, &ScalarType::Bool, &[column.clone(), constant.clone()]);
                let params = [Param::column(ScalarType::Float64, true), Param::float(ScalarType::Float64, at)];
                let got = Kernel::new(function, &params, &ScalarType::Bool).unwrap().call(std::slice::from_ref(&column), rows);
                prop_assert_eq!(&got.unwrap(), &expected);
            }
        }
    }
}
