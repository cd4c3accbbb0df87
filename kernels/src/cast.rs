//! `CAST` and `TRY_CAST`: Arrow's conversions with DataFusion's options, and lists, structs and maps to JSON text.
//!
//! A value that does not fit is an error, or null for `TRY_CAST`. JSON is text, so text to JSON is the same text and
//! is not checked. Text to a list, struct or map is not supported.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
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
    let options = CastOptions { safe, ..STRICT };
    Ok(Box::new(move |args, rows| {
        let array = args[0].array(rows)?;
        if as_json {
            return json_text(&array);
        }
        match cast_with_options(&array, &to, &options) {
            Ok(array) => Ok(array),
            // Arrow matches the fields of structs by name; ours match by position too.
            Err(_) if between_nested => represent(&array, &to),
            Err(error) => Err(arrow_message(error)),
        }
    }))
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
    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Int32Type, Int64Type};

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
    fn impossible_casts_are_said_when_the_kernel_is_made() {
        let params = [Param::column(ScalarType::Bool, true)];
        let error = Kernel::new(function::cast, &params, &ScalarType::Date).unwrap_err();
        assert_eq!(error, "cannot cast type BOOLEAN to DATE");
        let params = [Param::column(ScalarType::Utf8, true)];
        let error = Kernel::new(function::cast, &params, &ScalarType::List(Box::new(ScalarType::Int64))).unwrap_err();
        assert_eq!(error, "cannot cast type TEXT to BIGINT[]");
    }
}
