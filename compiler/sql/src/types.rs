//! SQL type names to column types. Members of structs keep their spelling, as columns do.

use std::collections::BTreeSet;

use schema::{Field, ScalarType, TimeUnit};
use sqlparser::ast::{ArrayElemTypeDef, DataType, ExactNumberInfo, TimezoneInfo};

use crate::parse::normalize;

/// The column type that a SQL type names.
///
/// # Errors
/// What to say of a type that no column can have.
pub(crate) fn scalar_type(ty: &DataType) -> Result<ScalarType, String> {
    let timestamp = |precision: &Option<u64>| {
        let unit = match precision {
            Some(0) => TimeUnit::Second,
            Some(3) => TimeUnit::Millisecond,
            Some(6) => TimeUnit::Microsecond,
            None | Some(9) => TimeUnit::Nanosecond,
            Some(other) => {
                return Err(format!("precision {other} of a timestamp is not supported; it is 0, 3, 6 or 9"));
            }
        };
        Ok(ScalarType::Timestamp { unit, zone: None })
    };
    Ok(match ty {
        DataType::Bool | DataType::Boolean => ScalarType::Bool,
        DataType::TinyInt(_) => ScalarType::Int8,
        DataType::SmallInt(_) | DataType::Int2(_) | DataType::Int16 => ScalarType::Int16,
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) | DataType::Int32 => ScalarType::Int32,
        DataType::BigInt(_) | DataType::Int8(_) | DataType::Int64 => ScalarType::Int64,
        DataType::TinyIntUnsigned(_) | DataType::UTinyInt | DataType::UInt8 => ScalarType::UInt8,
        DataType::SmallIntUnsigned(_) | DataType::Int2Unsigned(_) | DataType::USmallInt | DataType::UInt16 => {
            ScalarType::UInt16
        }
        DataType::IntUnsigned(_)
        | DataType::IntegerUnsigned(_)
        | DataType::Int4Unsigned(_)
        | DataType::UInt32
        | DataType::Unsigned
        | DataType::UnsignedInteger => ScalarType::UInt32,
        DataType::BigIntUnsigned(_) | DataType::Int8Unsigned(_) | DataType::UBigInt | DataType::UInt64 => {
            ScalarType::UInt64
        }
        DataType::Float(ExactNumberInfo::Precision(bits)) if *bits > 24 => ScalarType::Float64,
        DataType::Float(_) | DataType::Real | DataType::Float4 | DataType::Float32 => ScalarType::Float32,
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float64 => ScalarType::Float64,
        DataType::Decimal(info) | DataType::Numeric(info) | DataType::Dec(info) => decimal(info)?,
        DataType::Char(_)
        | DataType::Character(_)
        | DataType::CharVarying(_)
        | DataType::CharacterVarying(_)
        | DataType::Varchar(_)
        | DataType::Nvarchar(_)
        | DataType::Text
        | DataType::String(_) => ScalarType::Utf8,
        DataType::JSON => ScalarType::Json,
        DataType::Bytea | DataType::Bytes(_) | DataType::Binary(_) | DataType::Varbinary(_) | DataType::Blob(_) => {
            ScalarType::Binary
        }
        DataType::Date | DataType::Date32 => ScalarType::Date,
        DataType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => ScalarType::Time,
        DataType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
        | DataType::Datetime(precision)
        | DataType::TimestampNtz(precision) => timestamp(precision)?,
        DataType::Interval { .. } => ScalarType::Interval,
        DataType::Array(ArrayElemTypeDef::AngleBracket(item) | ArrayElemTypeDef::SquareBracket(item, _)) => {
            ScalarType::List(Box::new(scalar_type(item)?))
        }
        DataType::Struct(members, _) => {
            let mut fields = Vec::with_capacity(members.len());
            let (mut names, mut spellings) = (BTreeSet::new(), BTreeSet::new());
            for member in members {
                let Some(name) = &member.field_name else {
                    return Err("the members of a STRUCT type need names".into());
                };
                if !names.insert(normalize(name)) | !spellings.insert(name.value.clone()) {
                    return Err(format!("member \"{}\" of a STRUCT type is defined twice", name.value));
                }
                fields.push(Field::new(&name.value, scalar_type(&member.field_type)?, true));
            }
            if fields.is_empty() {
                return Err("a STRUCT type needs at least one member".into());
            }
            ScalarType::Struct(fields)
        }
        other => return Err(format!("type {other} is not supported")),
    })
}

fn decimal(info: &ExactNumberInfo) -> Result<ScalarType, String> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => (38, 10),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if s >= 0 && s as u64 <= precision => {
            Ok(ScalarType::Decimal { precision: p, scale: s })
        }
        _ => {
            Err(format!("type DECIMAL({precision},{scale}) is not supported; precision goes to 38, scale from 0 to it"))
        }
    }
}

/// Whether INSERT converts a value by itself: between numbers, to text, to another precision; not out of text.
pub(crate) fn assignable(from: &ScalarType, to: &ScalarType) -> bool {
    use ScalarType::{Binary, Date, Decimal, Duration, Interval, Json, List, Null, Struct, Time, Timestamp, Utf8};
    let number = |ty: &ScalarType| ty.is_integer() || ty.is_float() || matches!(ty, Decimal { .. });
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _) => true,
        (from, to) if number(from) && number(to) => true,
        (Struct(_) | List(_) | ScalarType::Map { .. } | Interval | Binary, Utf8 | Json) => false,
        (from, Utf8) if !matches!(from, Duration { .. }) => true,
        (Utf8, Json) => true,
        (Timestamp { zone: a, .. }, Timestamp { zone: b, .. }) => a == b,
        (Date, Timestamp { .. }) | (Timestamp { .. }, Date) | (Timestamp { .. }, Time) => true,
        (Duration { .. }, Duration { .. }) => true,
        (List(from), List(to)) => assignable(from, to),
        (Struct(from), Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(a, b)| a.name == b.name && assignable(&a.ty, &b.ty))
        }
        _ => false,
    }
}
