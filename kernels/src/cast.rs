//! `CAST` and `TRY_CAST`: Arrow's conversions with DataFusion's options, and lists, structs and maps to JSON text.
//!
//! A value that does not fit is an error, or null for `TRY_CAST`. JSON is text, so text to JSON is the same text and
//! is not checked. Text to a list, struct or map is not supported.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringBuilder, new_empty_array, new_null_array};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, concat};
use arrow::datatypes::DataType;
use arrow::util::display::ArrayFormatter;
use schema::ScalarType;

use crate::call::Block;
use crate::param::Param;
use crate::represent::{STRICT, arrow_message, represent};

pub(crate) fn cast(params: &[Param], ret: &ScalarType) -> Result<Block, String> {
    bind(params, ret, false)
}

pub(crate) fn try_cast(params: &[Param], ret: &ScalarType) -> Result<Block, String> {
    bind(params, ret, true)
}

fn bind(params: &[Param], ret: &ScalarType, safe: bool) -> Result<Block, String> {
    // `arrow_cast` and its like name the type in a second argument, which `ret` repeats.
    let Some(param) = params.first() else {
        return Err("a cast needs an argument".to_owned());
    };
    let (from, to) = (param.ty.to_arrow(), ret.to_arrow());
    let as_json = ret.is_text() && is_nested(&from);
    let between_nested = is_nested(&from) && is_nested(&to);
    // Arrow makes a list of one item of any value.
    let into_nested = is_nested(&to) && !is_nested(&from) && from != DataType::Null;
    if into_nested || (!as_json && !between_nested && from != to && !can_cast_types(&from, &to)) {
        return Err(format!("cannot cast type {} to {ret}", param.ty));
    }
    let conversion = Conversion { to, safe };
    Ok(Box::new(move |args, rows| {
        let array = args[0].array(rows)?;
        match conversion.of(&array) {
            Err(_) if safe => conversion.of_each(&array),
            converted => converted,
        }
    }))
}

struct Conversion {
    to: DataType,
    safe: bool,
}

impl Conversion {
    fn of(&self, array: &ArrayRef) -> Result<ArrayRef, String> {
        let nested = is_nested(array.data_type());
        if nested && self.to == DataType::Utf8 {
            return json_text(array);
        }
        match cast_with_options(array, &self.to, &CastOptions { safe: self.safe, ..STRICT }) {
            Ok(array) => Ok(array),
            // Arrow matches the fields of structs by name; ours match by position too.
            Err(_) if nested && is_nested(&self.to) => represent(array, &self.to),
            Err(error) => Err(arrow_message(error)),
        }
    }

    /// Values and items of lists one by one, null where it cannot be done: Arrow does not write dates beyond the year
    /// 262143, and ends there even if it was asked for nulls.
    fn of_each(&self, array: &ArrayRef) -> Result<ArrayRef, String> {
        if let (DataType::List(_), DataType::List(item)) = (array.data_type(), &self.to) {
            let list = array.as_list::<i32>();
            let items = Conversion { to: item.data_type().clone(), safe: self.safe }.of_each(list.values())?;
            let list = ListArray::try_new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned());
            return Ok(Arc::new(list.map_err(arrow_message)?));
        }
        let one = |row| self.of(&array.slice(row, 1)).unwrap_or_else(|_| new_null_array(&self.to, 1));
        let each: Vec<ArrayRef> = (0..array.len()).map(one).collect();
        if each.is_empty() {
            return Ok(new_empty_array(&self.to));
        }
        let each: Vec<&dyn Array> = each.iter().map(AsRef::as_ref).collect();
        concat(&each).map_err(arrow_message)
    }
}

fn is_nested(ty: &DataType) -> bool {
    matches!(ty, DataType::List(_) | DataType::Struct(_) | DataType::Map(..))
}

fn json_text(array: &ArrayRef) -> Result<ArrayRef, String> {
    let mut rows = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            rows.append_null();
        } else {
            text.clear();
            write_json(array, row, &mut text)?;
            rows.append_value(&text);
        }
    }
    Ok(Arc::new(rows.finish()))
}

/// Appends one value as JSON.
pub(crate) fn write_json(array: &dyn Array, row: usize, out: &mut String) -> Result<(), String> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::List(_) => {
            out.push('[');
            let list = array.as_list::<i32>();
            for i in list.value_offsets()[row]..list.value_offsets()[row + 1] {
                if i > list.value_offsets()[row] {
                    out.push(',');
                }
                write_json(list.values(), i as usize, out)?;
            }
            out.push(']');
        }
        DataType::Struct(fields) => {
            out.push('{');
            for (i, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write_text(field.name(), out)?;
                out.push(':');
                write_json(column, row, out)?;
            }
            out.push('}');
        }
        DataType::Map(..) => {
            out.push('{');
            let map = array.as_map();
            for i in map.value_offsets()[row]..map.value_offsets()[row + 1] {
                out.push_str(if i > map.value_offsets()[row] { "," } else { "" });
                write_text(&plain_text(map.keys(), i as usize)?, out)?;
                out.push(':');
                write_json(map.values(), i as usize, out)?;
            }
            out.push('}');
        }
        ty if ty.is_numeric() || *ty == DataType::Boolean => {
            let text = plain_text(array, row)?;
            // JSON has no NaN and no infinities.
            out.push_str(if text.ends_with("inf") || text.ends_with("NaN") { "null" } else { &text });
        }
        _ => write_text(&plain_text(array, row)?, out)?,
    }
    Ok(())
}

fn plain_text(array: &dyn Array, row: usize) -> Result<String, String> {
    let formatter = ArrayFormatter::try_new(array, &STRICT.format_options).map_err(arrow_message)?;
    formatter.value(row).try_to_string().map_err(arrow_message)
}

fn write_text(text: &str, out: &mut String) -> Result<(), String> {
    out.push_str(&serde_json::to_string(text).map_err(|error| error.to_string())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kernel, function};
    use arrow::array::{Float64Array, Int64Array, StringArray, TimestampSecondArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Int32Type, Int64Type};

    fn kernel(safe: bool, from: ScalarType, to: ScalarType) -> Kernel {
        let function = if safe { function::try_cast } else { function::cast };
        Kernel::new(function, &[Param::column(from, true)], &to).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_an_error_or_null() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("12"), Some("x"), None]));
        let error =
            kernel(false, ScalarType::Utf8, ScalarType::Int64).call(std::slice::from_ref(&text), 3).unwrap_err();
        assert_eq!(error, "cannot cast string 'x' to value of Int64 type");
        let got = kernel(true, ScalarType::Utf8, ScalarType::Int64).call(&[text], 3).unwrap();
        assert_eq!(got.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(12), None, None]));
    }

    #[test]
    fn floats_truncate_toward_zero_and_nan_does_not_fit() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![2.9, -2.9, f64::NAN, 1e300]));
        let got = kernel(true, ScalarType::Float64, ScalarType::Int32).call(&[floats], 4).unwrap();
        let got: Vec<_> = got.as_primitive::<Int32Type>().iter().collect();
        assert_eq!(got, [Some(2), Some(-2), None, None]);
    }

    #[test]
    fn nested_values_become_json() {
        let member = schema::Field::new("a\"b", ScalarType::Utf8, true);
        let row = ScalarType::Struct(vec![member, schema::Field::new("n", ScalarType::Int64, true)]);
        let list = ScalarType::List(Box::new(row.clone()));
        let value = Param::list(
            row.clone(),
            vec![
                Param::structure(row.clone(), vec![Param::utf8("x\ny"), Param::int(ScalarType::Int64, 7)]),
                Param::null(row),
            ],
        );
        assert_eq!(value.ty, list);
        let kernel = Kernel::new(function::cast, &[value], &ScalarType::Json).unwrap();
        let got = kernel.call(&[], 1).unwrap();
        assert_eq!(got.as_string::<i32>().value(0), r#"[{"a\"b":"x\ny","n":7},null]"#);
    }

    #[test]
    fn a_date_that_cannot_be_written_is_null_where_that_is_asked_for() {
        let seconds = ScalarType::Timestamp { unit: schema::TimeUnit::Second, zone: None };
        // The last one is in the year 2,000,000.
        let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![Some(0), None, Some(63_050_000_000_000)]));
        let item = Field::new("item", times.data_type().clone(), true);
        let offsets = OffsetBuffer::from_lengths([1, 2, 0]);
        let lists: ArrayRef = Arc::new(ListArray::new(Arc::new(item), offsets, times, None));
        let from = ScalarType::List(Box::new(seconds));
        assert!(kernel(false, from.clone(), ScalarType::Utf8).call(std::slice::from_ref(&lists), 3).is_err());
        let texts = kernel(true, from.clone(), ScalarType::Utf8).call(std::slice::from_ref(&lists), 3).unwrap();
        let texts: Vec<_> = texts.as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("[\"1970-01-01T00:00:00\"]"), None, Some("[]")]);
        let to = ScalarType::List(Box::new(ScalarType::Utf8));
        let lists = kernel(true, from, to).call(&[lists], 3).unwrap();
        let lists = lists.as_list::<i32>();
        assert_eq!((lists.value_offsets(), lists.null_count()), (&[0, 1, 3, 3][..], 0));
        let items: Vec<_> = lists.values().as_string::<i32>().iter().collect();
        assert_eq!(items, [Some("1970-01-01T00:00:00"), None, None]);
    }

    #[test]
    fn impossible_casts_are_said_when_the_kernel_is_made() {
        let params = [Param::column(ScalarType::Bool, true)];
        let error = Kernel::new(function::cast, &params, &ScalarType::Date).unwrap_err();
        assert_eq!(error, "cannot cast type BOOLEAN to DATE");
        let params = [Param::column(ScalarType::Utf8, true)];
        let error = Kernel::new(function::cast, &params, &ScalarType::List(Box::new(ScalarType::Int64))).unwrap_err();
        assert_eq!(error, "cannot cast type TEXT to BIGINT[]");
    }
}
