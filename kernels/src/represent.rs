//! One representation for each type.
//!
//! Functions return what suits them: large or view strings, dictionaries, fixed-size lists, structs whose fields have
//! other names or nullability. Batches hold only what [`schema::ScalarType::to_arrow`] gives. [`represent`] converts;
//! it moves buffers where it can and never changes a value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt32Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion_common::DataFusionError;

/// Conversions fail rather than give null for a value that does not fit.
pub(crate) const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: datafusion_common::format::DEFAULT_FORMAT_OPTIONS };

/// The same values as an array of type `ty`.
///
/// # Errors
/// When `ty` cannot hold the values of the array's type, or not all of them.
pub(crate) fn represent(array: &ArrayRef, ty: &DataType) -> Result<ArrayRef, String> {
    convert(array, ty).map_err(arrow_message)
}

fn convert(array: &ArrayRef, ty: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == ty {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), ty) {
        (DataType::Null, _) => Ok(new_null_array(ty, array.len())),
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = convert(list.values(), item.data_type())?;
            let list = ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())?;
            Ok(Arc::new(list))
        }
        (
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::ListView(item),
            DataType::List(_),
        ) => {
            let plain = cast_with_options(array, &DataType::List(Arc::clone(item)), &STRICT)?;
            convert(&plain, ty)
        }
        (DataType::Struct(from), DataType::Struct(to)) if from.len() == to.len() => {
            let array = array.as_struct();
            let columns = array.columns().iter().zip(to).map(|(column, field)| convert(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let array = StructArray::try_new_with_length(to.clone(), columns, array.nulls().cloned(), array.len())?;
            Ok(Arc::new(array))
        }
        (DataType::Map(..), DataType::Map(entries, ordered)) => {
            let map = array.as_map();
            let inner: ArrayRef = Arc::new(map.entries().clone());
            let inner = convert(&inner, entries.data_type())?.as_struct().clone();
            let map =
                MapArray::try_new(Arc::clone(entries), map.offsets().clone(), inner, map.nulls().cloned(), *ordered)?;
            Ok(Arc::new(map))
        }
        _ => cast_with_options(array, ty, &STRICT),
    }
}

/// The first row of `array`, `rows` times.
pub(crate) fn repeat(array: &ArrayRef, rows: usize) -> Result<ArrayRef, String> {
    if rows == 1 && array.len() == 1 {
        return Ok(Arc::clone(array));
    }
    take(array, &UInt32Array::from(vec![0; rows]), None).map_err(arrow_message)
}

/// The message alone, without the words that tell which library and layer it came from.
pub(crate) fn message(error: DataFusionError) -> String {
    match error {
        DataFusionError::ArrowError(error, _) => arrow_message(*error),
        DataFusionError::Context(_, inner) => message(*inner),
        DataFusionError::Diagnostic(_, inner) => message(*inner),
        other => plain(&other.strip_backtrace()),
    }
}

pub(crate) fn arrow_message(error: ArrowError) -> String {
    match error {
        ArrowError::DivideByZero => "division by zero".to_owned(),
        ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
            Ok(inner) => message(*inner),
            Err(inner) => plain(&inner.to_string()),
        },
        other => plain(&other.to_string()),
    }
}

/// Error kinds that the libraries put before their messages.
const PREFIXES: &[&str] = &[
    "Arrow error: ",
    "Execution error: ",
    "Error during planning: ",
    "Internal error: ",
    "This feature is not implemented: ",
    "Not yet implemented: ",
    "Invalid argument error: ",
    "Compute error: ",
    "Cast error: ",
    "Parser error: ",
    "Arithmetic overflow: ",
    "Schema error: ",
    "External error: ",
    "External: ",
];

fn plain(text: &str) -> String {
    let mut text = text.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim_start();
    }
    // The libraries ask the reader of an internal error to report it to them.
    let text = text.split("\nThis issue was likely caused by a bug").next().unwrap_or(text);
    let text = text.trim().trim_end_matches('.').replace('\n', " ");
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{FixedSizeListArray, Int64Array, StringViewArray};
    use arrow::datatypes::{Field, Fields, Int64Type};
    use schema::ScalarType;

    #[test]
    fn representations_become_the_one_of_the_type() {
        let view: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        assert_eq!(represent(&view, &DataType::Utf8).unwrap().as_string::<i32>().value(0), "a");

        let fixed: ArrayRef =
            Arc::new(FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None]), None], 2));
        let list = ScalarType::List(Box::new(ScalarType::Int64)).to_arrow();
        let got = represent(&fixed, &list).unwrap();
        assert_eq!((got.data_type(), got.null_count()), (&list, 1));

        let fields = Fields::from(vec![Field::new("c0", DataType::Int64, true)]);
        let pair = StructArray::new(fields, vec![Arc::new(Int64Array::from(vec![1]))], None);
        let to = ScalarType::Struct(vec![schema::Field::new("x", ScalarType::Int32, false)]).to_arrow();
        assert_eq!(represent(&(Arc::new(pair) as ArrayRef), &to).unwrap().data_type(), &to);
    }

    #[test]
    fn messages_lose_the_names_of_libraries() {
        let nested = ArrowError::CastError("Cannot cast string 'x' to value of Int64 type".into());
        let text = message(DataFusionError::ArrowError(Box::new(nested), None));
        assert_eq!(text, "cannot cast string 'x' to value of Int64 type");
        assert_eq!(message(DataFusionError::Execution("UTF8 is wrong.".into())), "UTF8 is wrong");
        assert_eq!(arrow_message(ArrowError::DivideByZero), "division by zero");
    }
}
