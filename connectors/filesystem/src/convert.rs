//! Arrays as a file has them, into the representation that the table declares.
//!
//! Only what loses nothing: wider integers and floats, more decimal digits, finer timestamps, other layouts of the
//! same values (views, dictionaries, large offsets). What may lose something is refused when the file is opened, by
//! type; a value that does not fit after all (a timestamp beyond the finer unit's range) when it is read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field as ArrowField, Fields};
use schema::{Field, ScalarType, TimeUnit};

/// # Errors
/// When a column of `have` is missing or of a type whose values `want` cannot all hold; says which and why.
pub(crate) fn check(want: &[Field], have: &Fields, path: &str) -> Result<(), String> {
    for field in want {
        let name = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
        let Some(found) = find(have, &field.name) else {
            let columns: Vec<&str> = have.iter().map(|field| field.name().as_str()).collect();
            return Err(format!("has no column \"{name}\"; it has {}", columns.join(", ")));
        };
        check_type(&field.ty, found.data_type(), &name)?;
    }
    Ok(())
}

/// The member of that name, exactly or without regard to ASCII case.
pub(crate) fn find<'a>(have: &'a Fields, name: &str) -> Option<&'a Arc<ArrowField>> {
    let exact = have.iter().find(|field| field.name() == name);
    exact.or_else(|| have.iter().find(|field| field.name().eq_ignore_ascii_case(name)))
}

fn check_type(want: &ScalarType, have: &DataType, name: &str) -> Result<(), String> {
    let differs = || {
        let have = ScalarType::from_arrow(have).map_or_else(|_| have.to_string(), |have| have.to_string());
        Err(format!("has column \"{name}\" of type {have}, the table declares {want}"))
    };
    match (want, have) {
        (ScalarType::Struct(members), DataType::Struct(have)) => check(members, have, name),
        (ScalarType::List(item), DataType::List(have) | DataType::LargeList(have)) => {
            check_type(item, have.data_type(), &format!("{name}[]"))
        }
        _ => match ScalarType::from_arrow(have) {
            Ok(have) if lossless(want, &have) => Ok(()),
            _ => differs(),
        },
    }
}

fn lossless(want: &ScalarType, have: &ScalarType) -> bool {
    use ScalarType as T;
    if want == have {
        return true;
    }
    // Values of an integer type: signed, and bits without the sign's.
    let integer = |ty: &ScalarType| match ty {
        T::Int8 => Some((true, 7)),
        T::Int16 => Some((true, 15)),
        T::Int32 => Some((true, 31)),
        T::Int64 => Some((true, 63)),
        T::UInt8 => Some((false, 8)),
        T::UInt16 => Some((false, 16)),
        T::UInt32 => Some((false, 32)),
        T::UInt64 => Some((false, 64)),
        _ => None,
    };
    if let (Some((want_signed, want_bits)), Some((have_signed, have_bits))) = (integer(want), integer(have)) {
        return want_bits >= have_bits && (want_signed || !have_signed);
    }
    match (want, have) {
        (T::Float64, T::Float32) | (T::Utf8 | T::Json, T::Utf8 | T::Json) | (T::Binary, T::Utf8) => true,
        // Files that do not say that their bytes are text: each value is checked.
        (T::Utf8 | T::Json, T::Binary) => true,
        (T::Float64, have) => integer(have).is_some_and(|(_, bits)| bits <= 53),
        (T::Float32, have) => integer(have).is_some_and(|(_, bits)| bits <= 24),
        (T::Decimal { precision, scale }, T::Decimal { precision: have_precision, scale: have_scale }) => {
            let whole = |precision: &u8, scale: &i8| i16::from(*precision) - i16::from(*scale);
            scale >= have_scale && whole(precision, scale) >= whole(have_precision, have_scale)
        }
        // The same instants, finer; those that a unit cannot hold are found when they are read.
        (T::Timestamp { unit, .. }, T::Timestamp { unit: have, .. }) => finer(*unit, *have),
        (T::Duration { unit }, T::Duration { unit: have }) => finer(*unit, *have),
        (T::Timestamp { .. }, T::Date) => true,
        _ => false,
    }
}

fn finer(want: TimeUnit, have: TimeUnit) -> bool {
    want.nanos() <= have.nanos()
}

/// The array in the type's representation. Its type has been checked.
///
/// # Errors
/// When a value does not fit, or is null in a column that is NOT NULL.
pub(crate) fn convert(array: &ArrayRef, field: &Field) -> Result<ArrayRef, String> {
    let converted = convert_type(array, &field.ty).map_err(|error| format!("column \"{}\": {error}", field.name))?;
    if !field.nullable && converted.null_count() > 0 {
        return Err(format!("column \"{}\": null in a column that is NOT NULL", field.name));
    }
    Ok(converted)
}

fn convert_type(array: &ArrayRef, ty: &ScalarType) -> Result<ArrayRef, String> {
    let want = ty.to_arrow();
    if *array.data_type() == want {
        return Ok(Arc::clone(array));
    }
    match (ty, &want) {
        (ScalarType::Struct(members), DataType::Struct(fields)) => {
            let have = array.as_struct_opt().ok_or("a struct expected")?;
            let arrays = members.iter().map(|member| {
                let index = have.fields().iter().position(|field| *field.name() == member.name);
                let folded = || have.fields().iter().position(|field| field.name().eq_ignore_ascii_case(&member.name));
                let index = index.or_else(folded).ok_or_else(|| format!("no member \"{}\"", member.name))?;
                convert_type(have.column(index), &member.ty)
            });
            let arrays = arrays.collect::<Result<Vec<_>, String>>()?;
            StructArray::try_new_with_length(fields.clone(), arrays, have.nulls().cloned(), have.len())
                .map(|array| Arc::new(array) as ArrayRef)
                .map_err(|error| error.to_string())
        }
        (ScalarType::List(item), DataType::List(field)) if matches!(array.data_type(), DataType::List(_)) => {
            let have = array.as_list::<i32>();
            let items = convert_type(have.values(), item)?;
            ListArray::try_new(Arc::clone(field), have.offsets().clone(), items, have.nulls().cloned())
                .map(|array| Arc::new(array) as ArrayRef)
                .map_err(|error| error.to_string())
        }
        _ => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(array, &want, &options).map_err(|error| error.to_string())
        }
    }
}
