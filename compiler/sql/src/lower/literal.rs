//! DataFusion's constants to the IR's.

use arrow::array::{Array, ArrayRef};
use compiler_ir::{Expr, Literal};
use datafusion_common::ScalarValue;
use schema::{ScalarType, TimeUnit};

/// A constant and its type; `None` when no column can have that type.
pub(super) fn constant(value: &ScalarValue) -> Option<Expr> {
    let ty = ScalarType::from_arrow(&value.data_type()).ok()?;
    let literal = literal(value, &ty)?;
    Some(Expr::literal(literal, ty))
}

fn literal(value: &ScalarValue, ty: &ScalarType) -> Option<Literal> {
    use ScalarValue as S;
    if value.is_null() {
        return Some(Literal::Null);
    }
    Some(match value {
        S::Boolean(Some(value)) => Literal::Bool(*value),
        S::Int8(Some(value)) => Literal::Int((*value).into()),
        S::Int16(Some(value)) => Literal::Int((*value).into()),
        S::Int32(Some(value)) => Literal::Int((*value).into()),
        S::Int64(Some(value)) => Literal::Int(*value),
        S::UInt8(Some(value)) => Literal::UInt((*value).into()),
        S::UInt16(Some(value)) => Literal::UInt((*value).into()),
        S::UInt32(Some(value)) => Literal::UInt((*value).into()),
        S::UInt64(Some(value)) => Literal::UInt(*value),
        S::Float16(Some(value)) => Literal::Float(value.to_f64()),
        S::Float32(Some(value)) => Literal::Float((*value).into()),
        S::Float64(Some(value)) => Literal::Float(*value),
        S::Decimal32(Some(value), ..) => Literal::Decimal((*value).into()),
        S::Decimal64(Some(value), ..) => Literal::Decimal((*value).into()),
        S::Decimal128(Some(value), ..) => Literal::Decimal(*value),
        S::Utf8(Some(text)) | S::LargeUtf8(Some(text)) | S::Utf8View(Some(text)) => Literal::Utf8(text.clone()),
        S::Binary(Some(bytes))
        | S::LargeBinary(Some(bytes))
        | S::BinaryView(Some(bytes))
        | S::FixedSizeBinary(_, Some(bytes)) => Literal::Binary(bytes.clone()),
        S::Date32(Some(days)) => Literal::Int((*days).into()),
        S::Date64(Some(millis)) => Literal::Int(millis.div_euclid(86_400_000)),
        S::Time32Second(Some(value)) => ticks((*value).into(), TimeUnit::Second)?,
        S::Time32Millisecond(Some(value)) => ticks((*value).into(), TimeUnit::Millisecond)?,
        S::Time64Microsecond(Some(value)) => ticks(*value, TimeUnit::Microsecond)?,
        S::Time64Nanosecond(Some(value)) => Literal::Int(*value),
        S::TimestampSecond(Some(value), _)
        | S::TimestampMillisecond(Some(value), _)
        | S::TimestampMicrosecond(Some(value), _)
        | S::TimestampNanosecond(Some(value), _)
        | S::DurationSecond(Some(value))
        | S::DurationMillisecond(Some(value))
        | S::DurationMicrosecond(Some(value))
        | S::DurationNanosecond(Some(value)) => Literal::Int(*value),
        S::IntervalYearMonth(Some(months)) => Literal::Interval { months: *months, days: 0, nanos: 0 },
        S::IntervalDayTime(Some(value)) => {
            Literal::Interval { months: 0, days: value.days, nanos: i64::from(value.milliseconds) * 1_000_000 }
        }
        S::IntervalMonthDayNano(Some(value)) => {
            Literal::Interval { months: value.months, days: value.days, nanos: value.nanoseconds }
        }
        S::Dictionary(_, inner) => literal(inner, ty)?,
        S::List(array) => list(&array.value(0), ty)?,
        S::LargeList(array) => list(&array.value(0), ty)?,
        S::FixedSizeList(array) => list(&array.value(0), ty)?,
        S::Struct(array) => {
            let ScalarType::Struct(fields) = ty else { return None };
            let values = array.columns().iter().zip(fields).map(|(column, field)| item(column, 0, &field.ty));
            Literal::Struct(values.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// Times are nanoseconds, whatever DataFusion has them in.
fn ticks(value: i64, unit: TimeUnit) -> Option<Literal> {
    Some(Literal::Int(value.checked_mul(unit.nanos())?))
}

fn list(array: &ArrayRef, ty: &ScalarType) -> Option<Literal> {
    let ScalarType::List(of) = ty else { return None };
    Some(Literal::List((0..array.len()).map(|index| item(array, index, of)).collect::<Option<_>>()?))
}

fn item(array: &ArrayRef, index: usize, ty: &ScalarType) -> Option<Literal> {
    literal(&ScalarValue::try_from_array(array, index).ok()?, ty)
}
