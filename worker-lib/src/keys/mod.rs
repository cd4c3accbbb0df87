//! Group keys: which rows belong together.
//!
//! A [`KeyTable`] gives each distinct key a number, counted from 0 in the order of first appearance, and gives the keys
//! back as columns. State of a group lives elsewhere, at its number, in whatever form its owner likes.
//!
//! | keys | table |
//! |---|---|
//! | none | one group |
//! | one of at most 64 bits | words |
//! | one text or binary | byte strings |
//! | anything else | rows encoded as byte strings |
//!
//! Null is a value like others; floats are normalised (one NaN, one zero). Same input, same numbers: nothing is seeded.
//! Nothing here is generic towards its callers, so a pipeline compiles none of it.
//!
//! Not here: windows ([`crate::window`]), aggregates ([`crate::agg`]).

mod compare;
mod hash;
mod row;
mod table;
mod words;

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use schema::ScalarType;

pub use compare::mark_differences;
pub use hash::hash_columns;
pub(crate) use row::{Encoded, RowCodec};
pub(crate) use table::keep_at;

use table::{BytesTable, WordTable};
use words::{append_words, array_of_words, native_words, word_bytes};

/// A key column, and which of its values are meant.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub array: &'a ArrayRef,
    /// All values, or those at these indices.
    pub indices: Option<&'a [u32]>,
}

impl<'a> Key<'a> {
    pub fn all(array: &'a ArrayRef) -> Self {
        Key { array, indices: None }
    }

    fn len(&self) -> usize {
        self.indices.map_or(self.array.len(), <[u32]>::len)
    }
}

/// The meant values as a column of their own.
fn take_key(key: &Key<'_>) -> ArrayRef {
    match key.indices {
        None => key.array.clone(),
        Some(indices) => crate::column::take(key.array, &UInt32Array::from(indices.to_vec())),
    }
}

/// Distinct keys and their numbers.
#[derive(Debug)]
pub struct KeyTable {
    types: Vec<DataType>,
    kind: Kind,
    words: Vec<u64>,
    valid: Vec<bool>,
}

#[derive(Debug)]
enum Kind {
    Unit { groups: usize },
    Words(WordTable),
    Bytes(BytesTable),
    Rows { table: BytesTable, codec: RowCodec, encoded: Encoded },
}

impl KeyTable {
    /// For keys of these types.
    pub fn new(types: &[ScalarType]) -> Self {
        let types = types.iter().map(ScalarType::to_arrow).collect::<Vec<_>>();
        let kind = match types.as_slice() {
            [] => Kind::Unit { groups: 0 },
            [DataType::Utf8 | DataType::Binary] => Kind::Bytes(BytesTable::new()),
            [ty] if word_bytes(ty) == Some(8) => Kind::Words(WordTable::new()),
            types => Kind::Rows { table: BytesTable::new(), codec: RowCodec::new(types), encoded: Encoded::default() },
        };
        KeyTable { types, kind, words: Vec::new(), valid: Vec::new() }
    }

    /// How many distinct keys there are.
    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Unit { groups } => *groups,
            Kind::Words(table) => table.keys.len(),
            Kind::Bytes(table) | Kind::Rows { table, .. } => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the number of the key of each of `rows` rows to `out`. Keys not seen before get the next numbers. Every
    /// column means as many values.
    pub fn assign(&mut self, keys: &[Key<'_>], rows: usize, out: &mut Vec<u32>) {
        debug_assert!(keys.len() == self.types.len() && keys.iter().all(|key| key.len() == rows));
        if rows == 0 {
            return;
        }
        let valid = match keys {
            [key] => read_valid(key, &mut self.valid).then_some(self.valid.as_slice()),
            _ => None,
        };
        match (&mut self.kind, keys) {
            (Kind::Unit { groups }, _) => {
                *groups = 1;
                out.resize(out.len() + rows, 0);
            }
            (Kind::Words(table), [key]) => {
                if let (None, Some(words)) = (key.indices, native_words(key.array)) {
                    table.assign(words, valid, out);
                } else {
                    self.words.clear();
                    append_words(key.array, key.indices, &mut self.words);
                    table.assign(&self.words, valid, out);
                }
            }
            (Kind::Bytes(table), [key]) => match (key.array.as_string_opt::<i32>(), key.indices) {
                (Some(texts), at) => {
                    let (bytes, offsets) = (texts.value_data(), texts.value_offsets());
                    let text = |row: usize| &bytes[offsets[row] as usize..offsets[row + 1] as usize];
                    match at {
                        None => table.assign(rows, text, valid, out),
                        Some(at) => table.assign(rows, |i| text(at[i] as usize), valid, out),
                    }
                }
                (None, at) => {
                    let binaries = key.array.as_binary::<i32>();
                    table.assign(rows, |i| binaries.value(at.map_or(i, |at| at[i] as usize)), valid, out);
                }
            },
            (Kind::Rows { table, codec, encoded }, keys) => codec.assign(table, keys, encoded, out),
            _ => unreachable!("as many columns as key types"),
        }
    }

    /// The keys with these numbers, as columns.
    pub fn columns(&self, numbers: Range<usize>) -> Vec<ArrayRef> {
        match &self.kind {
            Kind::Words(table) => {
                let nulls = nulls(table.null, numbers.clone());
                vec![array_of_words(&self.types[0], &table.keys[numbers], nulls)]
            }
            _ => self.columns_at(numbers),
        }
    }

    /// The same of numbers in any order.
    pub fn columns_of(&self, numbers: &[u32]) -> Vec<ArrayRef> {
        match (numbers.first(), numbers.last()) {
            (Some(&first), Some(&last)) if numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) => {
                self.columns(first as usize..last as usize + 1)
            }
            _ => self.columns_at(numbers.iter().map(|&number| number as usize)),
        }
    }

    fn columns_at(&self, numbers: impl Iterator<Item = usize> + Clone) -> Vec<ArrayRef> {
        match &self.kind {
            Kind::Unit { .. } => Vec::new(),
            Kind::Words(table) => {
                let words = numbers.clone().map(|number| table.keys[number]).collect::<Vec<_>>();
                vec![array_of_words(&self.types[0], &words, nulls(table.null, numbers))]
            }
            Kind::Bytes(table) => {
                let keys = numbers.clone().map(|number| table.key(number));
                vec![row::bytes_array(&self.types[0], keys, nulls(table.null, numbers))]
            }
            Kind::Rows { table, codec, .. } => codec.decode(&self.types, numbers.map(|number| table.key(number))),
        }
    }

    /// Forgets all keys, and keeps the memory for about as many new ones.
    pub fn clear(&mut self) {
        match &mut self.kind {
            Kind::Unit { groups } => *groups = 0,
            Kind::Words(table) => table.clear(),
            Kind::Bytes(table) | Kind::Rows { table, .. } => table.clear(),
        }
    }

    /// Forgets all keys but those with these numbers, which are ascending, and numbers them anew in that order.
    pub fn keep(&mut self, kept: &[u32]) {
        match &mut self.kind {
            Kind::Unit { groups } => *groups = kept.len(),
            Kind::Words(table) => table.keep(kept),
            Kind::Bytes(table) | Kind::Rows { table, .. } => table.keep(kept),
        }
    }

    /// Bytes that the table occupies. Memory that is reserved for keys to come, and has never been touched, costs nothing.
    pub fn memory(&self) -> usize {
        match &self.kind {
            Kind::Unit { .. } => 0,
            Kind::Words(table) => table.memory(),
            Kind::Bytes(table) | Kind::Rows { table, .. } => table.memory(),
        }
    }
}

/// The null mask of keys of which one number is that of null.
fn nulls(null: Option<u32>, numbers: impl Iterator<Item = usize> + Clone) -> Option<NullBuffer> {
    let null = null? as usize;
    numbers.clone().any(|number| number == null).then_some(())?;
    crate::column::validity(&numbers.map(|number| number != null).collect::<Vec<_>>())
}

/// Which of the meant values are not null; false when all are, and then `valid` means nothing.
fn read_valid(key: &Key<'_>, valid: &mut Vec<bool>) -> bool {
    let Some(nulls) = key.array.nulls().filter(|nulls| nulls.null_count() > 0) else { return false };
    valid.clear();
    match key.indices {
        None => valid.extend(nulls.iter()),
        Some(indices) => valid.extend(indices.iter().map(|&index| nulls.is_valid(index as usize))),
    }
    valid.contains(&false)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::column;
    use arrow::array::*;
    use arrow::datatypes::Int32Type;
    use proptest::prelude::*;

    /// Numbers by an obviously right method: rows as text, in a standard map.
    fn expected(columns: &[ArrayRef], numbers: &mut HashMap<String, u32>) -> Vec<u32> {
        let show = |row: usize| {
            let values = columns.iter().map(|column| {
                let column = column.slice(row, 1);
                match column.as_primitive_opt::<arrow::datatypes::Float64Type>() {
                    Some(x) if x.is_valid(0) && x.value(0) == 0.0 => "0".to_owned(),
                    _ => format!("{column:?}"),
                }
            });
            values.collect::<Vec<_>>().join("|")
        };
        (0..columns[0].len())
            .map(|row| {
                let next = numbers.len() as u32;
                *numbers.entry(show(row)).or_insert(next)
            })
            .collect()
    }

    /// Feeds batches, compares numbers, and compares the keys that come out with those that went in.
    fn check(types: &[ScalarType], batches: &[Vec<ArrayRef>]) {
        let mut table = KeyTable::new(types);
        // Twice: a cleared table is as good as new.
        for _ in 0..2 {
            let mut numbers = HashMap::new();
            let mut firsts: Vec<Vec<ArrayRef>> = Vec::new();
            for batch in batches {
                let mut out = vec![77];
                let keys = batch.iter().map(Key::all).collect::<Vec<_>>();
                table.assign(&keys, batch[0].len(), &mut out);
                assert_eq!(out[1..], expected(batch, &mut numbers));
                for (row, &number) in out[1..].iter().enumerate() {
                    if number as usize == firsts.len() {
                        firsts.push(batch.iter().map(|column| column.slice(row, 1)).collect());
                    }
                }
            }
            assert_eq!(table.len(), firsts.len());
            let half = firsts.len() / 2;
            for (index, ty) in types.iter().enumerate() {
                for range in [0..half, half..firsts.len()] {
                    let column = table.columns(range.clone())[index].clone();
                    assert_eq!(column.data_type(), &ty.to_arrow());
                    assert_eq!(column.len(), range.len());
                    for (at, number) in range.enumerate() {
                        assert_eq!(
                            format!("{:?}", column.slice(at, 1)).replace("-0.0", "0.0"),
                            format!("{:?}", firsts[number][index]).replace("-0.0", "0.0"),
                        );
                    }
                }
            }
            // Of the keys that are kept none is new, and the others are.
            let kept = (0..table.len() as u32).filter(|number| number % 3 != 1).collect::<Vec<_>>();
            table.keep(&kept);
            assert_eq!(table.len(), kept.len());
            for (number, &of) in kept.iter().enumerate() {
                let mut out = vec![];
                table.assign(&firsts[of as usize].iter().map(Key::all).collect::<Vec<_>>(), 1, &mut out);
                assert_eq!(out, [number as u32]);
            }
            assert_eq!(table.len(), kept.len());
            for (of, first) in firsts.iter().enumerate() {
                let mut out = vec![];
                table.assign(&first.iter().map(Key::all).collect::<Vec<_>>(), 1, &mut out);
                assert_eq!(kept.contains(&(of as u32)), (out[0] as usize) < kept.len());
            }
            assert_eq!(table.len(), firsts.len());
            table.clear();
            assert!(table.is_empty());
        }
    }

    fn ints() -> impl Strategy<Value = Option<i64>> {
        prop_oneof![(-4i64..4).prop_map(Some), any::<i64>().prop_map(Some), Just(None)]
    }

    fn texts() -> impl Strategy<Value = Option<String>> {
        prop_oneof![1 => Just(None), 9 => "[ab\\x00é]{0,12}".prop_map(Some), 3 => "[ab]{16,40}".prop_map(Some)]
    }

    fn floats() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            Just(None),
            prop::sample::select(vec![0.0, -0.0, f64::NAN, 1.5, f64::INFINITY]).prop_map(Some),
            any::<f64>().prop_filter("one NaN is enough", |x| !x.is_nan()).prop_map(Some)
        ]
    }

    type Row = (Option<i64>, Option<String>, Option<f64>, Option<bool>);

    fn batches() -> impl Strategy<Value = Vec<Vec<Row>>> {
        let row = (ints(), texts(), floats(), any::<Option<bool>>());
        prop::collection::vec(prop::collection::vec(row, 1..80), 1..4)
    }

    fn columns(rows: &[Row]) -> [ArrayRef; 4] {
        [
            Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn numbers_are_those_of_a_map(batches in batches()) {
            let types = [ScalarType::Int64, ScalarType::Utf8, ScalarType::Float64, ScalarType::Bool];
            for index in 0..4 {
                let batches = batches.iter().map(|rows| vec![columns(rows)[index].clone()]).collect::<Vec<_>>();
                check(&types[index..=index], &batches);
            }
            let all = batches.iter().map(|rows| columns(rows).to_vec()).collect::<Vec<_>>();
            check(&types, &all);
            let two = batches.iter().map(|rows| columns(rows)[..2].to_vec()).collect::<Vec<_>>();
            check(&types[..2], &two);
        }

        #[test]
        fn indices_pick_values(rows in prop::collection::vec((ints(), texts(), floats(), any::<Option<bool>>()), 1..60), step in 1usize..4) {
            let types = [ScalarType::Int64, ScalarType::Utf8, ScalarType::Float64, ScalarType::Bool];
            let indices = (0..rows.len() as u32).step_by(step).collect::<Vec<_>>();
            let columns = columns(&rows);
            for pick in [0..1, 1..2, 0..4] {
                let (mut picked, mut taken) = (Vec::new(), Vec::new());
                let keys = columns[pick.clone()].iter().map(|array| Key { array, indices: Some(&indices) });
                KeyTable::new(&types[pick.clone()]).assign(&keys.collect::<Vec<_>>(), indices.len(), &mut picked);
                let arrays = columns[pick.clone()].iter().map(|array| column::take(array, &indices.clone().into())).collect::<Vec<_>>();
                KeyTable::new(&types[pick]).assign(&arrays.iter().map(Key::all).collect::<Vec<_>>(), indices.len(), &mut taken);
                prop_assert_eq!(picked, taken);
            }
        }
    }

    #[test]
    fn keys_come_back_in_any_order() {
        let rows = [(Some(4), "d"), (None, "a long text, not in the slot"), (Some(-1), ""), (Some(9), "b")];
        let numbers: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
        let texts: ArrayRef = Arc::new(rows.iter().map(|row| row.0.map(|_| row.1)).collect::<StringArray>());
        for columns in [vec![numbers.clone()], vec![texts.clone()], vec![numbers, texts]] {
            let types = columns.iter().map(|column| ScalarType::from_arrow(column.data_type()).unwrap());
            let mut table = KeyTable::new(&types.collect::<Vec<_>>());
            table.assign(&columns.iter().map(Key::all).collect::<Vec<_>>(), rows.len(), &mut Vec::new());
            for picked in [vec![3u32, 0, 1], vec![1, 2, 3], vec![2], vec![]] {
                let at = UInt32Array::from(picked.clone());
                let expected = columns.iter().map(|key| column::take(key, &at)).collect::<Vec<_>>();
                assert_eq!(table.columns_of(&picked), expected, "{picked:?}");
            }
        }
        let mut table = KeyTable::new(&[]);
        table.assign(&[], 1, &mut Vec::new());
        assert!(table.columns_of(&[0]).is_empty());
    }

    #[test]
    fn tables_grow() {
        let numbers =
            |n: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..n).map(|i| i * 4_096 % 65_537))) };
        let texts = |n: i64| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("key number {}", i % 9_973))))
        };
        check(&[ScalarType::Int64], &[vec![numbers(3_000)], vec![numbers(6_000)]]);
        check(&[ScalarType::Utf8], &[vec![texts(3_000)], vec![texts(12_000)]]);
    }

    #[test]
    fn every_other_type_can_be_a_key() {
        use schema::{Field, TimeUnit};
        let decimals = column::from_decimal(vec![5, -5, 5], None, 20, 2);
        check(&[ScalarType::Decimal { precision: 20, scale: 2 }], &[vec![decimals]]);
        let interval = |days| column::IntervalMonthDayNano::new(1, days, -1);
        let intervals = column::from_interval(vec![interval(-2), interval(2), interval(-2)], None);
        check(&[ScalarType::Interval], &[vec![intervals]]);
        let zoned = ScalarType::Timestamp { unit: TimeUnit::Millisecond, zone: Some("UTC".into()) };
        check(&[zoned], &[vec![column::from_timestamp(vec![1, -1, 1], None, TimeUnit::Millisecond, Some("UTC"))]]);
        check(&[ScalarType::Date], &[vec![column::from_date(vec![-3, 3, -3], column::validity(&[true, false, true]))]]);
        let singles: ArrayRef = Arc::new(Float32Array::from(vec![1.5, f32::NAN, -f32::NAN, f32::MIN_POSITIVE]));
        let mut table = KeyTable::new(&[ScalarType::Float32]);
        let mut out = Vec::new();
        table.assign(&[Key::all(&singles)], 4, &mut out);
        assert_eq!(out, [0, 1, 1, 2]);
        let binaries = column::from_binary(&[Some(b"\xff\x00"), None, Some(b"\xff\x00"), Some(b"")]);
        check(&[ScalarType::Binary], &[vec![binaries]]);
        let lists = [Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(1), None])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
        let list = ScalarType::List(Box::new(ScalarType::Int32));
        check(std::slice::from_ref(&list), &[vec![lists.clone()]]);
        let pairs = column::from_struct(&[("l", lists, true)], None);
        let pair = ScalarType::Struct(vec![Field::new("l", list, true)]);
        check(&[pair, ScalarType::Int64], &[vec![pairs, column::from_i64(vec![1, 1, 1, 1], None)]]);
    }

    #[test]
    fn nested_floats_are_normalised() {
        let member: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let pairs = column::from_struct(&[("x", member, true)], None);
        let mut table = KeyTable::new(&[ScalarType::Struct(vec![schema::Field::new("x", ScalarType::Float64, true)])]);
        let mut out = Vec::new();
        table.assign(&[Key::all(&pairs)], 4, &mut out);
        assert_eq!(out, [0, 0, 1, 1]);
    }

    #[test]
    fn no_keys_are_one_group() {
        let mut table = KeyTable::new(&[]);
        let mut out = Vec::new();
        table.assign(&[], 0, &mut out);
        assert!(table.is_empty());
        table.assign(&[], 3, &mut out);
        assert_eq!((out, table.len(), table.columns(0..1).len()), (vec![0, 0, 0], 1, 0));
    }
}
