//! Columns as state files have them.
//!
//! Parquet has no interval of months, days and nanoseconds. In a file, wherever a value holds one, there is a struct
//! of the three numbers; all other types are their own.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use schema::{Field, ScalarType, Schema};

use crate::column;

/// The columns of a file that holds these.
pub(super) fn schema(columns: &Schema) -> Schema {
    Schema::new(columns.fields.iter().map(field).collect())
}

/// A column on its way into a file.
pub(super) fn to_file(array: &ArrayRef, ty: &ScalarType) -> ArrayRef {
    converted(array, ty, Way::ToFile)
}

/// A column that comes out of a file.
pub(super) fn from_file(array: &ArrayRef, ty: &ScalarType) -> ArrayRef {
    converted(array, ty, Way::FromFile)
}

fn field(field: &Field) -> Field {
    Field::new(&field.name, stored(&field.ty), field.nullable)
}

fn stored(ty: &ScalarType) -> ScalarType {
    let number = |name: &str, ty| Field::new(name, ty, false);
    match ty {
        ScalarType::Interval => ScalarType::Struct(vec![
            number("months", ScalarType::Int32),
            number("days", ScalarType::Int32),
            number("nanos", ScalarType::Int64),
        ]),
        ScalarType::List(item) => ScalarType::List(Box::new(stored(item))),
        ScalarType::Struct(fields) => ScalarType::Struct(fields.iter().map(field).collect()),
        ty => ty.clone(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToFile,
    FromFile,
}

fn converted(array: &ArrayRef, ty: &ScalarType, way: Way) -> ArrayRef {
    let in_file = stored(ty);
    if in_file == *ty {
        return array.clone();
    }
    let to = match way {
        Way::ToFile => in_file.to_arrow(),
        Way::FromFile => ty.to_arrow(),
    };
    match (ty, to) {
        (ScalarType::List(item), DataType::List(to)) => {
            let lists = array.as_list::<i32>();
            let items = converted(lists.values(), item, way);
            Arc::new(ListArray::new(to, lists.offsets().clone(), items, lists.nulls().cloned()))
        }
        (ScalarType::Struct(fields), DataType::Struct(to)) => {
            let members = array.as_struct();
            let columns = fields.iter().zip(members.columns()).map(|(field, member)| converted(member, &field.ty, way));
            Arc::new(StructArray::new(to, columns.collect(), members.nulls().cloned()))
        }
        _ if way == Way::ToFile => numbers(array),
        _ => interval(array),
    }
}

fn numbers(array: &ArrayRef) -> ArrayRef {
    let values = column::interval(array).values;
    let months = column::from_i32(values.iter().map(|value| value.months).collect(), None);
    let days = column::from_i32(values.iter().map(|value| value.days).collect(), None);
    let nanos = column::from_i64(values.iter().map(|value| value.nanoseconds).collect(), None);
    let members = [("months", months, false), ("days", days, false), ("nanos", nanos, false)];
    column::from_struct(&members, array.nulls().cloned())
}

fn interval(array: &ArrayRef) -> ArrayRef {
    let members = array.as_struct();
    let (months, days) = (column::i32(members.column(0)), column::i32(members.column(1)));
    let nanos = column::i64(members.column(2));
    let value = |row: usize| IntervalMonthDayNano::new(months.value(row), days.value(row), nanos.value(row));
    column::from_interval(column::dense(members.len(), value), members.nulls().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_comes_back_wherever_it_is_held() {
        let ty = ScalarType::Struct(vec![
            Field::new("spans", ScalarType::List(Box::new(ScalarType::Interval)), true),
            Field::new("n", ScalarType::Int64, false),
        ]);
        let span = |months, days, nanos| IntervalMonthDayNano::new(months, days, nanos);
        let spans = vec![span(-1, 2, i64::MIN), span(0, 0, 0), span(i32::MAX, -30, 7)];
        let spans = column::from_interval(spans, column::validity(&[true, false, true]));
        let list = column::list(&ScalarType::Interval, std::slice::from_ref(&spans));
        let n = column::from_i64(vec![5], None);
        let array = column::from_struct(&[("spans", list, true), ("n", n, false)], None);

        let written = to_file(&array, &ty);
        assert_eq!(*written.data_type(), stored(&ty).to_arrow());
        assert_eq!(*from_file(&written, &ty), *array);
        assert_eq!(*from_file(&to_file(&spans, &ScalarType::Interval), &ScalarType::Interval), *spans);
    }

    #[test]
    fn other_columns_are_their_own() {
        let ty = ScalarType::List(Box::new(ScalarType::Utf8));
        let array = column::list(&ScalarType::Utf8, &[column::from_text(&[Some("a"), None])]);
        assert!(Arc::ptr_eq(&to_file(&array, &ty), &array));
        assert!(Arc::ptr_eq(&from_file(&array, &ty), &array));
    }
}
