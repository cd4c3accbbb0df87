//! `multi_hash(...)`: the XXH3 128-bit hash of its arguments, 16 bytes, most significant first.
//!
//! It is fed, for each argument, a byte that is 0 for null and 1 otherwise, and then the value: numbers, dates and
//! times in their little-endian bytes, text and binary as a 64-bit length and their bytes, lists, structs and maps as
//! their JSON text. So equal rows hash alike in any block and on any machine, and `('ab', 'c')` differs from
//! `('a', 'bc')`. -0.0 hashes as 0.0, and every NaN alike.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use xxhash_rust::xxh3::Xxh3;

use crate::cast::write_json;
use crate::operator::canonical_floats;

pub(crate) fn multi_hash() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(MultiHash { signature: Signature::variadic_any(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MultiHash {
    signature: Signature,
}

impl ScalarUDFImpl for MultiHash {
    fn name(&self) -> &str {
        "multi_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let arrays = arrays.iter().map(canonical_floats).collect::<std::result::Result<Vec<_>, _>>();
        let arrays = arrays.map_err(DataFusionError::Execution)?;
        let rows = arrays.first().map_or(0, |array| array.len());
        let mut hashes = BinaryBuilder::with_capacity(rows, rows * 16);
        let mut hasher = Xxh3::new();
        for row in 0..rows {
            hasher.reset();
            for array in &arrays {
                feed(&mut hasher, array, row).map_err(DataFusionError::Execution)?;
            }
            hashes.append_value(hasher.digest128().to_be_bytes());
        }
        Ok(ColumnarValue::Array(Arc::new(hashes.finish())))
    }
}

fn feed(hasher: &mut Xxh3, array: &ArrayRef, row: usize) -> std::result::Result<(), String> {
    if array.is_null(row) {
        hasher.update(&[0]);
        return Ok(());
    }
    hasher.update(&[1]);
    let mut sized = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    match array.data_type() {
        DataType::Utf8 => sized(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Utf8View => sized(array.as_string_view().value(row).as_bytes()),
        DataType::LargeUtf8 => sized(array.as_string::<i64>().value(row).as_bytes()),
        DataType::Binary => sized(array.as_binary::<i32>().value(row)),
        DataType::Boolean => hasher.update(&[u8::from(array.as_boolean().value(row))]),
        ty => match ty.primitive_width() {
            // The values of a primitive array stand in its first buffer, in the machine's byte order.
            Some(width) => {
                let data = array.to_data();
                let start = (data.offset() + row) * width;
                let mut value = data.buffers()[0].as_slice()[start..start + width].to_vec();
                if cfg!(target_endian = "big") {
                    value.reverse();
                }
                hasher.update(&value);
            }
            None => {
                let mut text = String::new();
                write_json(array, row, &mut text)?;
                sized(text.as_bytes());
            }
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{Kernel, Param, ScalarType, function};
    use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
    use std::collections::HashSet;
    use std::sync::Arc;

    #[test]
    fn equal_rows_hash_alike_and_others_do_not() {
        let text = || Param::column(ScalarType::Utf8, true);
        let kernel = Kernel::new(function::multi_hash, &[text(), text()], &ScalarType::Binary).unwrap();
        let a: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), Some("a"), None, Some(""), Some("ab")]));
        let b: ArrayRef = Arc::new(StringArray::from(vec![Some("c"), Some("bc"), Some(""), None, Some("c")]));
        let got = kernel.call(&[a.clone(), b.clone()], 5).unwrap();
        let hashes: Vec<_> = got.as_binary::<i32>().iter().flatten().collect();
        assert_eq!(hashes[0], hashes[4]);
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 4);
        assert!(hashes.iter().all(|hash| hash.len() == 16));
        // Sliced arrays are read where they start.
        let sliced = kernel.call(&[a.slice(4, 1), b.slice(4, 1)], 1).unwrap();
        assert_eq!(sliced.as_binary::<i32>().value(0), hashes[0]);
    }

    #[test]
    fn numbers_hash_by_value() {
        let one = |ty: ScalarType, array: ArrayRef| {
            let rows = array.len();
            let kernel = Kernel::new(function::multi_hash, &[Param::column(ty, true)], &ScalarType::Binary).unwrap();
            let got = kernel.call(&[array], rows).unwrap();
            got.as_binary::<i32>().iter().flatten().map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let floats = one(ScalarType::Float64, Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN])));
        assert!(floats[0] == floats[1] && floats[2] == floats[3] && floats[0] != floats[2]);
        let numbers = Int64Array::from(vec![7, 8, 7]);
        let sliced = one(ScalarType::Int64, Arc::new(numbers.slice(2, 1)));
        assert_eq!(one(ScalarType::Int64, Arc::new(numbers))[0], sliced[0]);
    }
}
