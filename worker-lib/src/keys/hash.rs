//! Hash functions, and the stable hash of rows that exchanges partition by.
//!
//! All are fixed: no random seed, no dependence on the platform, the process, or the version of a library. Two workers
//! must agree on where a key belongs, and a checkpoint's key ranges must mean the same tomorrow.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

use super::words::{Words, read_words};

const K0: u64 = 0x9E37_79B9_7F4A_7C15;
const K1: u64 = 0xD1B5_4A32_D192_ED03;
const K2: u64 = 0xA24B_AED4_963E_E407;
const K3: u64 = 0x8CB9_2BA7_2F3D_8DD7;
const NULL: u64 = 0xC2B2_AE3D_27D4_EB4F;

/// The halves of the 128-bit product, folded: every bit of the result depends on every bit of both.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Hash of a 64-bit key. The high bits are the good ones.
#[inline]
pub(super) fn hash_word(word: u64) -> u64 {
    fold(word ^ K1, K0)
}

#[inline]
fn read4(bytes: &[u8]) -> u64 {
    u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[inline]
fn read8(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Hash of a byte string. Up to [`EXACT`] bytes, strings of one length have one hash only if they are equal: every
/// step is a bijection of the word that holds all the bytes.
#[inline]
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let word = match len {
        0 => 0,
        1..=3 => u64::from(bytes[0]) | u64::from(bytes[len / 2]) << 8 | u64::from(bytes[len - 1]) << 16,
        4..=8 => read4(bytes) | read4(&bytes[len - 4..]) << 32,
        9..=16 => return fold(read8(bytes) ^ K1, read8(&bytes[len - 8..]) ^ K2 ^ len as u64).wrapping_mul(K0),
        _ => return hash_long(bytes),
    };
    let mixed = word.wrapping_mul(K0);
    (mixed ^ (mixed >> 32)).wrapping_mul(K3)
}

/// The longest byte string whose hash and length say all.
pub(super) const EXACT: usize = 8;

fn hash_long(bytes: &[u8]) -> u64 {
    let mut hash = K2 ^ bytes.len() as u64;
    let (chunks, _) = bytes.as_chunks::<16>();
    for chunk in chunks {
        hash = fold(read8(chunk) ^ K1, read8(&chunk[8..]) ^ hash);
    }
    let tail = &bytes[bytes.len() - 16..];
    fold(fold(read8(tail) ^ K3, read8(&tail[8..]) ^ hash), K0)
}

#[inline]
fn combine(hash: u64, value: u64) -> u64 {
    fold(hash.rotate_left(23) ^ value, K3)
}

/// Appends a hash for each row: rows that are equal (null is a value; floats are normalised) have equal hashes. Every
/// bit depends on every column.
pub fn hash_columns(columns: &[ArrayRef], rows: usize, out: &mut Vec<u64>) {
    let from = out.len();
    out.resize(from + rows, K0);
    for column in columns {
        for (hash, value) in out[from..].iter_mut().zip(hash_values(column)) {
            *hash = combine(*hash, value);
        }
    }
    for hash in &mut out[from..] {
        *hash = fold(*hash ^ (*hash >> 32), K1);
    }
}

/// A hash for each value of an array.
fn hash_values(array: &ArrayRef) -> Vec<u64> {
    let mut hashes = match array.data_type() {
        DataType::Null => vec![NULL; array.len()],
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            (0..array.len()).map(|row| hash_bytes(texts.value(row).as_bytes())).collect()
        }
        DataType::Binary => {
            let binaries = array.as_binary::<i32>();
            (0..array.len()).map(|row| hash_bytes(binaries.value(row))).collect()
        }
        DataType::Struct(_) => {
            let mut hashes = vec![K0; array.len()];
            for member in array.as_struct().columns() {
                for (hash, value) in hashes.iter_mut().zip(hash_values(member)) {
                    *hash = combine(*hash, value);
                }
            }
            hashes
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            hash_lists(&hash_values(lists.values()), lists.value_offsets())
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(maps.entries().clone());
            hash_lists(&hash_values(&entries), maps.value_offsets())
        }
        _ => match read_words(array) {
            Words::Single(words) => words.into_iter().map(hash_word).collect(),
            Words::Double(words) => {
                words.into_iter().map(|word| fold(hash_word(word as u64), K2 ^ (word >> 64) as u64)).collect()
            }
        },
    };
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        for (row, hash) in hashes.iter_mut().enumerate() {
            if nulls.is_null(row) {
                *hash = NULL;
            }
        }
    }
    hashes
}

fn hash_lists(items: &[u64], offsets: &[i32]) -> Vec<u64> {
    let list = |bounds: &[i32]| {
        let items = &items[bounds[0] as usize..bounds[1] as usize];
        items.iter().fold(K1 ^ items.len() as u64, |hash, item| combine(hash, *item))
    };
    offsets.windows(2).map(list).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::column;
    use arrow::array::{Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    fn hashes(columns: &[ArrayRef]) -> Vec<u64> {
        let mut out = Vec::new();
        hash_columns(columns, columns[0].len(), &mut out);
        out
    }

    #[test]
    fn the_hash_is_frozen() {
        // A changed value means that running jobs lose track of their keys.
        let columns: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(vec![Some(1), None, Some(-1)])),
            Arc::new(StringArray::from(vec![Some("JFK"), Some("a longer airport name"), None])),
            Arc::new(Float64Array::from(vec![Some(0.5), Some(-0.0), None])),
        ];
        assert_eq!(hashes(&columns), FROZEN);
    }
    const FROZEN: [u64; 3] = [3_292_782_274_399_190_244, 11_817_954_625_136_080_311, 16_993_139_245_655_140_851];

    #[test]
    fn equal_values_hash_equally() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let hashed = hashes(&[floats]);
        assert_eq!((hashed[0], hashed[2]), (hashed[1], hashed[3]));
        assert_ne!(hashed[0], hashed[2]);
        // What lies under a null does not matter.
        let nulls = column::from_i64(vec![1, 2], column::validity(&[false, false]));
        let hashed = hashes(&[nulls]);
        assert_eq!(hashed[0], hashed[1]);
    }

    #[test]
    fn nested_values_hash_by_content() {
        let lists = vec![Some(vec![Some(1), None]), Some(vec![Some(1)]), Some(vec![]), None, Some(vec![Some(1), None])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        let hashed = hashes(std::slice::from_ref(&lists));
        assert_eq!(hashed[0], hashed[4]);
        let mut different = hashed[..4].to_vec();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 4);
        assert_eq!(hashes(&[lists.slice(3, 2)]), hashed[3..]);
        let pair = column::from_struct(&[("a", lists, true)], None);
        assert_eq!(hashes(&[pair.slice(1, 2)]), hashes(&[pair])[1..3]);
    }

    #[test]
    fn high_bits_spread_regular_keys() {
        for step in [1i64, 8, 1 << 20, 1 << 40] {
            let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..8_192).map(|i| i * step)));
            let mut buckets = [0; 64];
            for hash in hashes(&[keys]) {
                buckets[(hash >> 58) as usize] += 1;
            }
            assert!(buckets.iter().all(|&n| (64..256).contains(&n)), "step {step}: {buckets:?}");
        }
    }

    proptest! {
        #[test]
        fn short_strings_are_told_apart(strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..200)) {
            let mut seen = HashMap::new();
            for string in strings {
                let first = seen.entry((string.len(), hash_bytes(&string))).or_insert(string.clone());
                prop_assert_eq!(&*first, &string);
            }
        }

        #[test]
        fn one_changed_byte_changes_the_hash(mut string in prop::collection::vec(any::<u8>(), 1..80), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let before = hash_bytes(&string);
            let at = at.index(string.len());
            string[at] ^= flip;
            prop_assert_ne!(hash_bytes(&string), before);
        }
    }
}
