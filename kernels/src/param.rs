//! What a kernel is told about its arguments when it is made: columns by their type, constants by their value.
//!
//! The constructors of constants mirror the literals of the IR one to one, so that generated code reads as the query
//! does. They cannot fail where they stand: a value that is not of its type is reported by [`crate::Kernel::new`].

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, IntervalMonthDayNanoArray,
    ListArray, StringArray, StructArray, UInt64Array, new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano};
use schema::ScalarType;

use crate::represent::represent;

/// An argument of a kernel.
#[derive(Clone, Debug)]
pub struct Param {
    pub(crate) ty: ScalarType,
    pub(crate) nullable: bool,
    /// The value, one row long, of an argument that is the same for every row.
    pub(crate) constant: Option<Result<ArrayRef, String>>,
}

impl Param {
    /// An argument that is handed over with each block.
    pub fn column(ty: ScalarType, nullable: bool) -> Param {
        Param { ty, nullable, constant: None }
    }

    fn constant(ty: ScalarType, value: Result<ArrayRef, String>) -> Param {
        let value = value.and_then(|array| represent(&array, &ty.to_arrow()));
        let nullable = value.as_ref().is_ok_and(|array| array.is_null(0));
        Param { ty, nullable, constant: Some(value) }
    }

    /// `NULL` of a type.
    pub fn null(ty: ScalarType) -> Param {
        let value = new_null_array(&ty.to_arrow(), 1);
        Param { ty, nullable: true, constant: Some(Ok(value)) }
    }

    pub fn bool(value: bool) -> Param {
        Param::constant(ScalarType::Bool, Ok(Arc::new(BooleanArray::from(vec![value]))))
    }

    /// A signed integer, or a date, time, timestamp or duration in its own unit.
    pub fn int(ty: ScalarType, value: i64) -> Param {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        // Arrow makes dates of 32-bit numbers only.
        let array = match ty {
            ScalarType::Date => represent(&array, &DataType::Int32),
            _ => Ok(array),
        };
        Param::constant(ty, array)
    }

    pub fn uint(ty: ScalarType, value: u64) -> Param {
        Param::constant(ty, Ok(Arc::new(UInt64Array::from(vec![value]))))
    }

    pub fn float(ty: ScalarType, value: f64) -> Param {
        Param::constant(ty, Ok(Arc::new(Float64Array::from(vec![value]))))
    }

    /// A decimal from its unscaled number: `decimal(10, 2, 1234)` is 12.34.
    pub fn decimal(precision: u8, scale: i8, unscaled: i128) -> Param {
        let array = Decimal128Array::from(vec![unscaled]).with_precision_and_scale(precision, scale);
        let value = array.map(|array| Arc::new(array) as ArrayRef).map_err(|error| error.to_string());
        Param::constant(ScalarType::Decimal { precision, scale }, value)
    }

    /// Text, or JSON text.
    pub fn utf8(value: &str) -> Param {
        Param::constant(ScalarType::Utf8, Ok(Arc::new(StringArray::from(vec![value]))))
    }

    pub fn binary(value: &[u8]) -> Param {
        Param::constant(ScalarType::Binary, Ok(Arc::new(BinaryArray::from(vec![value]))))
    }

    pub fn interval(months: i32, days: i32, nanos: i64) -> Param {
        let value = IntervalMonthDayNano { months, days, nanoseconds: nanos };
        Param::constant(ScalarType::Interval, Ok(Arc::new(IntervalMonthDayNanoArray::from(vec![value]))))
    }

    /// A list of constants of one type.
    pub fn list(item: ScalarType, items: Vec<Param>) -> Param {
        let value = list_value(&item, items);
        Param::constant(ScalarType::List(Box::new(item)), value)
    }

    /// A struct, one constant for each field of its type.
    pub fn structure(ty: ScalarType, members: Vec<Param>) -> Param {
        let value = struct_value(&ty, members);
        Param::constant(ty, value)
    }

    fn into_value(self, ty: &DataType) -> Result<ArrayRef, String> {
        match self.constant {
            Some(value) => represent(&value?, ty),
            None => Err("a member of a constant must be a constant".to_owned()),
        }
    }
}

fn list_value(item: &ScalarType, items: Vec<Param>) -> Result<ArrayRef, String> {
    let item = item.to_arrow();
    let rows = items.into_iter().map(|param| param.into_value(&item)).collect::<Result<Vec<_>, _>>()?;
    let values = match rows.is_empty() {
        true => new_empty_array(&item),
        false => {
            let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
            concat(&rows).map_err(|error| error.to_string())?
        }
    };
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    let list = ListArray::try_new(Arc::new(Field::new_list_field(item, true)), offsets, values, None);
    list.map(|list| Arc::new(list) as ArrayRef).map_err(|error| error.to_string())
}

fn struct_value(ty: &ScalarType, members: Vec<Param>) -> Result<ArrayRef, String> {
    let DataType::Struct(fields) = ty.to_arrow() else {
        return Err(format!("type {ty} has no members"));
    };
    if fields.len() != members.len() {
        return Err(format!("type {ty} has {} members, not {}", fields.len(), members.len()));
    }
    let members = members.into_iter().zip(&fields).map(|(param, field)| param.into_value(field.data_type()));
    let members = members.collect::<Result<Vec<_>, _>>()?;
    let value = StructArray::try_new_with_length(fields, members, None, 1);
    value.map(|value| Arc::new(value) as ArrayRef).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Field, TimeUnit};

    #[test]
    fn constants_have_the_representation_of_their_type() {
        let window = ScalarType::window();
        let params = [
            Param::null(ScalarType::Null),
            Param::null(window.clone()),
            Param::bool(true),
            Param::int(ScalarType::Int8, -5),
            Param::int(ScalarType::Date, 19_000),
            Param::int(ScalarType::Time, 1),
            Param::int(ScalarType::Timestamp { unit: TimeUnit::Millisecond, zone: Some("UTC".into()) }, 7),
            Param::int(ScalarType::Duration { unit: TimeUnit::Second }, 7),
            Param::uint(ScalarType::UInt64, u64::MAX),
            Param::float(ScalarType::Float32, 0.5),
            Param::decimal(38, 10, -1),
            Param::utf8("a"),
            Param::binary(b"\xff"),
            Param::interval(1, 2, 3),
            Param::list(ScalarType::Utf8, vec![Param::utf8("a"), Param::null(ScalarType::Utf8)]),
            Param::list(ScalarType::Int64, vec![]),
            Param::structure(
                window,
                vec![Param::int(ScalarType::TIMESTAMP_NS, 0), Param::int(ScalarType::TIMESTAMP_NS, 1)],
            ),
        ];
        for param in params {
            let value = param.constant.unwrap().unwrap();
            assert_eq!((value.len(), value.data_type()), (1, &param.ty.to_arrow()));
        }
    }

    #[test]
    fn a_constant_that_does_not_fit_is_reported() {
        assert!(Param::int(ScalarType::Int8, 300).constant.unwrap().is_err());
        let pair = ScalarType::Struct(vec![Field::new("a", ScalarType::Bool, true)]);
        assert!(Param::structure(pair, vec![]).constant.unwrap().is_err());
        let column = Param::column(ScalarType::Bool, true);
        assert!(Param::list(ScalarType::Bool, vec![column]).constant.unwrap().is_err());
    }
}
