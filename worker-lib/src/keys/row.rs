//! Several key columns as one byte string for each row: equal strings if and only if the rows are one group.
//!
//! ```text
//!   one bit a column: is null │ each column in turn: 8 or 16 bytes, or a length of 4 bytes and the bytes
//! ```
//!
//! Rows with lists, structs or maps are encoded by Arrow's row format instead.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};

use super::table::BytesTable;
use super::words::{Words, array_of_double_words, array_of_words, normalise, read_words, word_bytes};
use super::{Key, take_key};

#[derive(Debug)]
pub(crate) enum RowCodec {
    Flat,
    Nested(Box<RowConverter>),
}

/// Encoded rows, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Where the next value of each row goes.
    cursors: Vec<usize>,
}

impl Encoded {
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    fn put(&mut self, row: usize, bytes: &[u8]) {
        let at = self.cursors[row];
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.cursors[row] = at + bytes.len();
    }
}

impl RowCodec {
    pub(crate) fn new(types: &[DataType]) -> Self {
        let is_flat = |ty: &DataType| word_bytes(ty).is_some() || is_bytes(ty);
        if types.iter().all(is_flat) {
            return RowCodec::Flat;
        }
        let fields = types.iter().map(|ty| SortField::new(ty.clone())).collect();
        RowCodec::Nested(Box::new(RowConverter::new(fields).expect("rows of every column type can be encoded")))
    }

    /// Appends the number of each row to `out`.
    pub(super) fn assign(&self, table: &mut BytesTable, keys: &[Key<'_>], scratch: &mut Encoded, out: &mut Vec<u32>) {
        let columns = keys.iter().map(take_key).collect::<Vec<_>>();
        match self {
            RowCodec::Flat => {
                encode(&columns, scratch);
                let rows: &Encoded = scratch;
                table.assign(rows.ends.len(), |row| rows.row(row), None, out);
            }
            RowCodec::Nested(converter) => {
                let columns = columns.iter().map(normalise).collect::<Vec<_>>();
                let rows = converter.convert_columns(&columns).expect("the columns have the types of the keys");
                let count = rows.num_rows();
                table.assign(count, |row| rows.row(row).data(), None, out);
            }
        }
    }

    /// The rows of columns. Floats outside of lists, structs and maps are normalised.
    pub(crate) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Encoded {
        let mut out = Encoded::default();
        match self {
            // Nothing says how many rows there are.
            RowCodec::Flat if columns.is_empty() => out.ends.resize(rows, 0),
            RowCodec::Flat => encode(columns, &mut out),
            RowCodec::Nested(converter) => {
                let encoded = converter.convert_columns(columns).expect("the columns have the types of the codec");
                for row in &encoded {
                    out.bytes.extend_from_slice(row.data());
                    out.ends.push(out.bytes.len());
                }
            }
        }
        out
    }

    /// The columns, which are of the codec's types, of rows that it has encoded.
    pub(crate) fn decode<'a>(&self, types: &[DataType], rows: impl Iterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        match self {
            RowCodec::Flat => decode(types, rows.collect()),
            RowCodec::Nested(converter) => {
                let parser = converter.parser();
                let rows = rows.map(|row| parser.parse(row));
                converter.convert_rows(rows).expect("the rows come from such a converter")
            }
        }
    }
}

fn is_bytes(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::Binary)
}

fn bytes_at(array: &ArrayRef, row: usize) -> &[u8] {
    match array.as_string_opt::<i32>() {
        Some(texts) => texts.value(row).as_bytes(),
        None => array.as_binary::<i32>().value(row),
    }
}

/// Length of the text at a row; a null has none.
fn bytes_len(array: &ArrayRef, row: usize) -> usize {
    if array.is_null(row) { 0 } else { bytes_at(array, row).len() }
}

fn encode(columns: &[ArrayRef], out: &mut Encoded) {
    let rows = columns.first().map_or(0, |column| column.len());
    let mask_bytes = columns.len().div_ceil(8);
    let fixed = columns.iter().map(|column| word_bytes(column.data_type()).unwrap_or(4)).sum::<usize>() + mask_bytes;
    out.ends.clear();
    out.ends.resize(rows, fixed);
    for column in columns.iter().filter(|column| is_bytes(column.data_type())) {
        for (row, len) in out.ends.iter_mut().enumerate() {
            *len += bytes_len(column, row);
        }
    }
    out.cursors.clear();
    let mut total = 0;
    for end in &mut out.ends {
        out.cursors.push(total + mask_bytes);
        total += *end;
        *end = total;
    }
    out.bytes.clear();
    out.bytes.resize(total, 0);
    for (index, column) in columns.iter().enumerate() {
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        if let Some(nulls) = nulls {
            for row in 0..rows {
                let start = if row == 0 { 0 } else { out.ends[row - 1] };
                out.bytes[start + index / 8] |= u8::from(nulls.is_null(row)) << (index % 8);
            }
        }
        let is_null = |row: usize| nulls.is_some_and(|nulls| nulls.is_null(row));
        if is_bytes(column.data_type()) {
            for row in 0..rows {
                let bytes = if is_null(row) { &[] } else { bytes_at(column, row) };
                out.put(row, &(bytes.len() as u32).to_le_bytes());
                out.put(row, bytes);
            }
            continue;
        }
        match read_words(column) {
            Words::Single(words) => {
                for (row, word) in words.into_iter().enumerate() {
                    out.put(row, &if is_null(row) { 0 } else { word }.to_le_bytes());
                }
            }
            Words::Double(words) => {
                for (row, word) in words.into_iter().enumerate() {
                    out.put(row, &if is_null(row) { 0 } else { word }.to_le_bytes());
                }
            }
        }
    }
}

/// The next value of `LEN` bytes of a row.
fn next<'a, const LEN: usize>(row: &mut &'a [u8]) -> &'a [u8; LEN] {
    let (value, rest) = row.split_first_chunk().expect("an encoded row holds all its columns");
    *row = rest;
    value
}

fn decode(types: &[DataType], mut rows: Vec<&[u8]>) -> Vec<ArrayRef> {
    let masks = rows.clone();
    for row in &mut rows {
        *row = &row[types.len().div_ceil(8)..];
    }
    let decode_column = |(index, ty): (usize, &DataType)| {
        let is_valid = |mask: &&[u8]| mask[index / 8] >> (index % 8) & 1 == 0;
        let nulls = crate::column::validity(&masks.iter().map(is_valid).collect::<Vec<_>>());
        if is_bytes(ty) {
            let values = rows.iter_mut().map(|row| {
                let len = u32::from_le_bytes(*next(row)) as usize;
                let (value, rest) = row.split_at(len);
                *row = rest;
                value
            });
            return bytes_array(ty, values, nulls);
        }
        match word_bytes(ty) {
            Some(16) => {
                let words = rows.iter_mut().map(|row| u128::from_le_bytes(*next(row))).collect::<Vec<_>>();
                array_of_double_words(ty, &words, nulls)
            }
            _ => {
                let words = rows.iter_mut().map(|row| u64::from_le_bytes(*next(row))).collect::<Vec<_>>();
                array_of_words(ty, &words, nulls)
            }
        }
    };
    types.iter().enumerate().map(decode_column).collect()
}

/// The column of these byte strings, which are UTF-8 when the type is text.
pub(super) fn bytes_array<'a>(
    ty: &DataType,
    values: impl Iterator<Item = &'a [u8]>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    if *ty == DataType::Utf8 {
        let (mut bytes, mut ends) = (Vec::new(), vec![0i32]);
        for value in values {
            bytes.extend_from_slice(value);
            ends.push(i32::try_from(bytes.len()).expect("a chunk of keys is shorter than 2 GiB"));
        }
        let texts = StringArray::try_new(OffsetBuffer::new(ends.into()), bytes.into(), nulls);
        return Arc::new(texts.expect("the keys were texts"));
    }
    let mut binaries = BinaryBuilder::new();
    for (row, value) in values.enumerate() {
        match &nulls {
            Some(nulls) if nulls.is_null(row) => binaries.append_null(),
            _ => binaries.append_value(value),
        }
    }
    Arc::new(binaries.finish())
}
