//! Groups of an operator that are on the local disk, because memory is short.
//!
//! ```text
//!   key    window start, 8 bytes, if there are windows │ the key columns
//!   value  the columns of the group's row in a snapshot that are behind those │ counts, 8 bytes each
//! ```
//!
//! The counts are those of sets whose members have entries of their own ([`crate::agg::Distinct`]); a snapshot has no column for
//! them.
//!
//! A group is in memory or here, never in both. It goes as a row of its table, and comes back as one, so that an operator
//! takes it as it takes a row of a snapshot. Entries of a window stand together, in the order of their windows.
//!
//! Rows that no snapshot has are noted besides, in a space of their own: the next snapshot reads them from there, and when
//! it has been taken they are forgotten. A group that comes back leaves its note: it has been touched, so the snapshot has a
//! later row of it, which stands behind the note.
//!
//! A store takes keys of limited length. One that is longer than [`LONG`] is cut, with its digest in the place of the rest, and
//! stands whole behind its value.
//!
//! Bytes are the values, bit by bit: a group that has been here is what it was. Nothing here outlives the task.
//!
//! Not here: which groups go ([`crate::window`], [`crate::updating`]), the store ([`crate::cold`]).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::datatypes::DataType;
use artifacts::Digest;
use schema::{ScalarType, TimeUnit};

use crate::batch::Batch;
use crate::cold::{Key, Snapshot, Space, Value};
use crate::column;
use crate::error::TaskError;
use crate::keys::{Encoded, RowCodec};
use crate::memory::Spill;

/// Most rows that come back at once where they need not.
pub(crate) const CHUNK: usize = 8_192;

/// Groups on disk.
pub(crate) struct Frozen {
    groups: Space,
    /// Rows that the next snapshot is to have.
    unsaved: Space,
    /// There may be some.
    notes: usize,
    layout: Layout,
    /// Behind the spaces, so that it is dropped after them.
    spill: Spill,
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen").field("layout", &self.layout).field("notes", &self.notes).finish_non_exhaustive()
    }
}

impl Frozen {
    /// For groups with these keys; `windowed`: of windows, whose start is the column behind the keys.
    pub(crate) fn open(spill: &Spill, keys: &[ScalarType], windowed: bool) -> Result<Frozen, TaskError> {
        let keys = keys.iter().map(ScalarType::to_arrow).collect();
        Ok(Frozen {
            groups: spill.space("groups")?,
            unsaved: spill.space("unsaved")?,
            notes: 0,
            layout: Layout { keys: Arc::new(RowBytes::new(keys)), rest: None, windowed, counts: 0 },
            spill: spill.clone(),
        })
    }

    /// Takes groups: rows of their table, and columns of counts, always as many. Notes the rows that `unsaved` says.
    pub(crate) fn put(&mut self, rows: &Batch, counts: &[ArrayRef], unsaved: &[bool]) -> Result<(), TaskError> {
        if rows.rows == 0 {
            return Ok(());
        }
        self.layout.counts = counts.len();
        let (keys, values) = self.layout.encode(rows);
        let counts: Vec<_> = counts.iter().map(column::i64).collect();
        let with_counts = |row: usize| match counts.as_slice() {
            [] => Cow::Borrowed(values.row(row)),
            counts => {
                let mut value = values.row(row).to_vec();
                counts.iter().for_each(|counts| value.extend_from_slice(&counts.value(row).to_le_bytes()));
                Cow::Owned(value)
            }
        };
        let entries = keys.iter().enumerate().map(|(row, key)| (fitted(key), value_of(key, with_counts(row))));
        self.groups.put(entries)?;
        let noted: Vec<usize> = (0..rows.rows).filter(|row| unsaved[*row]).collect();
        self.notes += noted.len();
        match noted.is_empty() {
            true => Ok(()),
            false => {
                let entries = noted.into_iter().map(|row| (&keys[row], values.row(row)));
                self.unsaved.put(entries.map(|(key, value)| (fitted(key), value_of(key, value.into()))))
            }
        }
    }

    /// Notes rows, for the next snapshot, of groups that are not here.
    pub(crate) fn note(&mut self, rows: &Batch) -> Result<(), TaskError> {
        if rows.rows == 0 {
            return Ok(());
        }
        let (keys, values) = self.layout.encode(rows);
        self.notes += rows.rows;
        let entries = keys.iter().enumerate();
        self.unsaved.put(entries.map(|(row, key)| (fitted(key), value_of(key, values.row(row).into()))))
    }

    /// Forgets what is noted of groups.
    pub(crate) fn forget_notes(&mut self, keys: &[ArrayRef], count: usize) -> Result<(), TaskError> {
        match self.notes {
            0 => Ok(()),
            _ => self.unsaved.remove(&self.layout.keys(None, keys, count)),
        }
    }

    /// Of `count` groups with these keys those that are here, by their places, and their rows, with the columns of counts. They
    /// are here no more.
    pub(crate) fn take(
        &mut self,
        window: Option<i64>,
        keys: &[ArrayRef],
        count: usize,
    ) -> Result<Option<(Vec<u32>, Batch)>, TaskError> {
        let mut entries = self.layout.keys(window, keys, count);
        let found = self.groups.get(&entries)?;
        let places: Vec<u32> = (0..count as u32).filter(|place| found[*place as usize].is_some()).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let mut place = 0..;
        entries.retain(|_| place.next().is_some_and(|place: usize| found[place].is_some()));
        self.groups.remove(&entries)?;
        let values = entries.iter().zip(found.iter().flatten()).map(|(key, value)| whole(key, value).1);
        let at = UInt32Array::from(places.clone());
        let keys = keys.iter().map(|key| column::take(key, &at)).collect();
        Ok(Some((places, self.layout.rows(keys, vec![window.unwrap_or(0); at.len()], values))))
    }

    /// The next groups of a window (of all, without windows), at most `limit`: the last one's entry, and their rows.
    pub(crate) fn scan(
        &self,
        window: Option<i64>,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Option<(Vec<u8>, Batch)>, TaskError> {
        let prefix = window.map(window_bytes);
        let entries = self.groups.scan(prefix.as_ref().map_or(&[], |prefix| &prefix[..]), after, limit)?;
        Ok(entries.last().map(|(last, _)| (last.to_vec(), self.layout.decode(&entries))))
    }

    /// Forgets groups without windows, by the rows that they had.
    pub(crate) fn remove(&mut self, rows: &Batch) -> Result<(), TaskError> {
        let keys = self.layout.keys.types.len();
        self.groups.remove(&self.layout.keys(None, &rows.columns[..keys], rows.rows))
    }

    /// Forgets a window, and what is noted of it.
    pub(crate) fn forget_window(&mut self, start: i64) -> Result<(), TaskError> {
        self.groups.remove_prefix(&window_bytes(start))?;
        match self.notes {
            0 => Ok(()),
            _ => self.unsaved.remove_prefix(&window_bytes(start)),
        }
    }

    /// The rows that are noted; from here on, none is.
    pub(crate) fn take_notes(&mut self) -> Result<Option<StoredRows>, TaskError> {
        if self.notes == 0 || self.layout.rest.is_none() {
            return Ok(None);
        }
        let snapshot = self.unsaved.snapshot();
        self.unsaved.clear()?;
        let most = std::mem::take(&mut self.notes);
        let layout = Layout { counts: 0, ..self.layout.clone() };
        let decode = Box::new(move |entries: &[(Key, Value)]| layout.decode(entries));
        Ok(Some(StoredRows::new(snapshot, most, CHUNK, decode, &self.spill)))
    }
}

/// Rows on the local disk, as they were when a snapshot was taken, in the order of their keys.
pub(crate) struct StoredRows {
    snapshot: Snapshot,
    /// There are no more.
    most: usize,
    /// Entries that are read at once, and what they are.
    limit: usize,
    decode: Decode,
    after: Option<Vec<u8>>,
    /// Behind the snapshot.
    _spill: Spill,
}

/// The rows of entries.
pub(crate) type Decode = Box<dyn Fn(&[(Key, Value)]) -> Batch + Send>;

impl fmt::Debug for StoredRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRows").field("most", &self.most).finish_non_exhaustive()
    }
}

impl StoredRows {
    /// All entries of a snapshot, of which `limit` are read at once.
    pub(crate) fn new(snapshot: Snapshot, most: usize, limit: usize, decode: Decode, spill: &Spill) -> StoredRows {
        StoredRows { snapshot, most, limit, decode, after: None, _spill: spill.clone() }
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// The next ones; `None`: there are no more.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>, TaskError> {
        let entries = self.snapshot.scan(&[], self.after.as_deref(), self.limit)?;
        let Some((last, _)) = entries.last() else { return Ok(None) };
        self.after = Some(last.to_vec());
        Ok(Some((self.decode)(&entries)))
    }
}

/// How a row of a table is an entry.
#[derive(Clone, Debug)]
struct Layout {
    keys: Arc<RowBytes>,
    /// Known from the first row on.
    rest: Option<Arc<RowBytes>>,
    windowed: bool,
    /// How many there are.
    counts: usize,
}

impl Layout {
    /// The entries' keys, and their values.
    fn encode(&mut self, rows: &Batch) -> (Vec<Vec<u8>>, Encoded) {
        let count = self.keys.types.len();
        let (keys, rest) = rows.columns.split_at(count);
        let starts = self.windowed.then(|| column::i64(&rest[0]));
        let rest = &rest[usize::from(self.windowed)..];
        let codec = self.rest.get_or_insert_with(|| {
            Arc::new(RowBytes::new(rest.iter().map(|column| column.data_type().clone()).collect()))
        });
        let values = codec.encode(rest, rows.rows);
        let encoded = self.keys.encode(keys, rows.rows);
        let key = |row: usize| match &starts {
            Some(starts) => [&window_bytes(starts.value(row)), encoded.row(row)].concat(),
            None => encoded.row(row).to_vec(),
        };
        ((0..rows.rows).map(key).collect(), values)
    }

    /// Those of entries.
    fn keys(&self, window: Option<i64>, keys: &[ArrayRef], count: usize) -> Vec<Vec<u8>> {
        let encoded = self.keys.encode(keys, count);
        let prefix = window.map(window_bytes);
        let prefix = prefix.as_ref().map_or(&[][..], |prefix| prefix);
        (0..count).map(|row| fitted(&[prefix, encoded.row(row)].concat()).into_owned()).collect()
    }

    /// Rows of a table.
    fn rows<'a>(&self, keys: Vec<ArrayRef>, starts: Vec<i64>, values: impl Iterator<Item = &'a [u8]>) -> Batch {
        let rows = starts.len();
        let mut columns = keys;
        if self.windowed {
            columns.push(column::from_timestamp(starts, None, TimeUnit::Nanosecond, None));
        }
        let rest = self.rest.as_ref().expect("there is an entry, so its columns are known");
        let split = |value: &'a [u8]| value.split_at(value.len() - self.counts * COUNT_BYTES);
        let (values, counts): (Vec<_>, Vec<_>) = values.map(split).unzip();
        columns.extend(rest.decode(values.into_iter()));
        columns.extend((0..self.counts).map(|number| {
            let count = |bytes: &&[u8]| {
                bytes[number * COUNT_BYTES..].first_chunk().map_or(0, |count| i64::from_le_bytes(*count))
            };
            column::from_i64(counts.iter().map(count).collect(), None)
        }));
        Batch::new(columns, rows)
    }

    fn decode(&self, entries: &[(Key, Value)]) -> Batch {
        let entries: Vec<_> = entries.iter().map(|(key, value)| whole(key, value)).collect();
        let prefix = if self.windowed { WINDOW_BYTES } else { 0 };
        let start = |key: &[u8]| match key.first_chunk() {
            Some(bytes) if self.windowed => window_of(*bytes),
            _ => 0,
        };
        let starts = entries.iter().map(|(key, _)| start(key)).collect();
        let keys = self.keys.decode(entries.iter().map(|(key, _)| &key[prefix..]));
        self.rows(keys, starts, entries.iter().map(|(_, value)| *value))
    }
}

const WINDOW_BYTES: usize = 8;
const COUNT_BYTES: usize = 8;

/// In the order of time.
pub(crate) fn window_bytes(start: i64) -> [u8; WINDOW_BYTES] {
    ((start as u64) ^ (1 << 63)).to_be_bytes()
}

pub(crate) fn window_of(bytes: [u8; WINDOW_BYTES]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

/// The longest key that is not cut, in bytes.
const LONG: usize = 32 << 10;

/// The key under which an entry is found; no two have the same.
pub(crate) fn fitted(key: &[u8]) -> Cow<'_, [u8]> {
    match key.len() <= LONG {
        true => Cow::Borrowed(key),
        false => Cow::Owned([&key[..LONG], Digest::of(key).to_string().as_bytes()].concat()),
    }
}

/// The value of an entry, with the key if that is cut.
pub(crate) fn value_of<'a>(key: &[u8], value: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    match key.len() <= LONG {
        true => value,
        false => Cow::Owned([&*value, key, &(key.len() as u32).to_le_bytes()].concat()),
    }
}

/// The key and the value of an entry, as they were.
pub(crate) fn whole<'a>(key: &'a [u8], value: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    match value.split_last_chunk() {
        Some((value, len)) if key.len() > LONG => {
            let (value, key) = value.split_at(value.len() - u32::from_le_bytes(*len) as usize);
            (key, value)
        }
        _ => (key, value),
    }
}

/// Rows of certain columns as byte strings, bit by bit.
#[derive(Debug)]
pub(crate) struct RowBytes {
    types: Vec<DataType>,
    /// With integers in the place of floats, of which other codecs make keys.
    stored: Vec<DataType>,
    codec: RowCodec,
}

impl RowBytes {
    pub(crate) fn new(types: Vec<DataType>) -> RowBytes {
        let stored = |ty: &DataType| match ty {
            DataType::Float32 => DataType::Int32,
            DataType::Float64 => DataType::Int64,
            ty => ty.clone(),
        };
        let stored: Vec<DataType> = types.iter().map(stored).collect();
        RowBytes { codec: RowCodec::new(&stored), types, stored }
    }

    pub(crate) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Encoded {
        self.codec.encode(&columns.iter().map(bits).collect::<Vec<_>>(), rows)
    }

    pub(crate) fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        let columns = self.codec.decode(&self.stored, rows);
        columns.into_iter().zip(&self.types).map(|(column, ty)| floats(column, ty)).collect()
    }
}

/// A column of floats as one of their bits.
fn bits(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let bits = column::f32(array).values.iter().map(|value| value.to_bits() as i32);
            column::from_i32(bits.collect(), array.nulls().cloned())
        }
        DataType::Float64 => {
            let bits = column::f64(array).values.iter().map(|value| value.to_bits() as i64);
            column::from_i64(bits.collect(), array.nulls().cloned())
        }
        _ => array.clone(),
    }
}

fn floats(array: ArrayRef, ty: &DataType) -> ArrayRef {
    match ty {
        DataType::Float32 => {
            let values = column::i32(&array).values.iter().map(|bits| f32::from_bits(*bits as u32));
            column::from_f32(values.collect(), array.nulls().cloned())
        }
        DataType::Float64 => {
            let values = column::i64(&array).values.iter().map(|bits| f64::from_bits(*bits as u64));
            column::from_f64(values.collect(), array.nulls().cloned())
        }
        _ => array,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{from_decimal, from_f32, from_f64, from_i64, from_struct, from_text, from_timestamp, validity};
    use crate::memory::Spill;

    fn group(keys: &[Option<&str>], starts: &[i64], sums: &[f64]) -> Batch {
        let starts = from_timestamp(starts.to_vec(), None, TimeUnit::Nanosecond, None);
        Batch::new(vec![from_text(keys), starts, from_f64(sums.to_vec(), None)], keys.len())
    }

    fn rows(batch: &Batch) -> Vec<(Option<String>, i64, u64)> {
        let row = |row| {
            (batch.text(0).get(row).map(str::to_owned), batch.i64(1).value(row), batch.f64(2).value(row).to_bits())
        };
        (0..batch.rows).map(row).collect()
    }

    #[test]
    fn rows_come_back_bit_by_bit() {
        let nan = f64::from_bits(f64::NAN.to_bits() | 5);
        let valid = validity(&[true, false, true]);
        let inner = from_struct(&[("x", from_f64(vec![-0.0, nan, 2.5], valid.clone()), true)], valid.clone());
        let flat: Vec<ArrayRef> = vec![
            from_f64(vec![-0.0, 1.5, nan], valid.clone()),
            from_f32(vec![-0.0, f32::NAN, f32::MIN], None),
            from_text(&[Some(""), None, Some("long enough to be no word")]),
            from_decimal(vec![-7, i128::MAX / 2, 0], valid.clone(), 38, 2),
            from_timestamp(vec![i64::MIN, 0, 5], valid, TimeUnit::Millisecond, Some("UTC")),
        ];
        for columns in [flat.clone(), [flat, vec![inner]].concat()] {
            let codec = RowBytes::new(columns.iter().map(|column| column.data_type().clone()).collect());
            let encoded = codec.encode(&columns, 3);
            let back = codec.decode((0..3).map(|row| encoded.row(row)));
            for (column, back) in columns.iter().zip(&back) {
                assert_eq!(column.data_type(), back.data_type());
                // Equality of arrays would call two NaN different.
                let shown = |column: &ArrayRef| format!("{column:?}");
                assert_eq!(shown(column), shown(back));
            }
            let of = |columns: &[ArrayRef]| column::f64(&columns[0]).values[0].to_bits();
            assert_eq!(of(&columns), of(&back));
        }
        let none = RowBytes::new(vec![]);
        assert_eq!((none.encode(&[], 2).row(1), none.decode([&[][..]].into_iter()).len()), (&[][..], 0));
    }

    #[test]
    fn windows_are_in_the_order_of_time() {
        let starts = [i64::MIN, -10, -1, 0, 1, 10, i64::MAX];
        assert!(starts.map(window_bytes).is_sorted());
        assert_eq!(starts.map(|start| window_of(window_bytes(start))), starts);
    }

    #[test]
    fn groups_are_taken_once_and_noted_until_a_snapshot() {
        let spill = Spill::for_tests();
        let mut frozen = Frozen::open(&spill, &[ScalarType::Utf8], true).unwrap();
        let all = group(&[Some("a"), Some("b"), None, Some("a")], &[0, 0, 0, 10], &[1.0, -0.0, 3.0, 4.0]);
        frozen.put(&all, &[], &[true, false, true, true]).unwrap();

        let wanted = from_text(&[Some("c"), Some("b"), None]);
        let (places, found) = frozen.take(Some(0), std::slice::from_ref(&wanted), 3).unwrap().unwrap();
        assert_eq!((places, rows(&found)), (vec![1, 2], rows(&all)[1..3].to_vec()));
        assert!(frozen.take(Some(0), &[wanted], 3).unwrap().is_none());

        let mut noted = frozen.take_notes().unwrap().unwrap();
        // What comes later is not in it.
        frozen.put(&group(&[Some("z")], &[0], &[9.0]), &[], &[true]).unwrap();
        let found = noted.next().unwrap().unwrap();
        let mut expected = rows(&all);
        expected.remove(1);
        expected.sort();
        let mut found = rows(&found);
        found.sort();
        assert_eq!((found, noted.next().unwrap().map(|batch| batch.rows)), (expected, None));

        let (last, found) = frozen.scan(Some(0), None, 1).unwrap().unwrap();
        assert_eq!(rows(&found)[0].0.as_deref(), Some("a"));
        let (last, found) = frozen.scan(Some(0), Some(&last), 5).unwrap().unwrap();
        assert_eq!(rows(&found)[0].0.as_deref(), Some("z"));
        assert!(frozen.scan(Some(0), Some(&last), 5).unwrap().is_none());
        frozen.forget_window(0).unwrap();
        assert!(frozen.scan(Some(0), None, 5).unwrap().is_none());
        assert_eq!(rows(&frozen.scan(Some(10), None, 5).unwrap().unwrap().1), rows(&all)[3..]);
        assert!(frozen.take_notes().unwrap().unwrap().next().unwrap().is_none());
        assert!(frozen.take_notes().unwrap().is_none());
    }

    #[test]
    fn groups_without_keys_or_states() {
        let spill = Spill::for_tests();
        let mut frozen = Frozen::open(&spill, &[], true).unwrap();
        let start = from_timestamp(vec![10], None, TimeUnit::Nanosecond, None);
        frozen.put(&Batch::new(vec![start], 1), &[], &[false]).unwrap();
        let (places, found) = frozen.take(Some(10), &[], 1).unwrap().unwrap();
        assert_eq!((places, found.rows, found.columns.len()), (vec![0], 1, 1));
    }

    #[test]
    fn long_keys_are_cut_and_come_back_whole() {
        let mut frozen = Frozen::open(&Spill::for_tests(), &[ScalarType::Utf8], true).unwrap();
        let long = ["x", "y"].map(|end| "k".repeat(3 * LONG) + end);
        let keys = [Some(long[0].as_str()), Some(long[1].as_str()), Some("short")];
        let all = group(&keys, &[0, 0, 0], &[1.0, 2.0, 3.0]);
        frozen.put(&all, &[from_i64(vec![7, 8, 9], None)], &[true, true, true]).unwrap();
        let (_, found) = frozen.take(Some(0), &[from_text(&keys[1..2])], 1).unwrap().unwrap();
        assert_eq!((rows(&found), found.i64(3).value(0)), (rows(&all)[1..2].to_vec(), 8));
        let sorted = |batch: &Batch| {
            let mut rows = rows(batch);
            rows.sort();
            rows
        };
        let noted = frozen.take_notes().unwrap().unwrap().next().unwrap().unwrap();
        assert_eq!(sorted(&noted), sorted(&all));
        let (_, left) = frozen.scan(Some(0), None, 5).unwrap().unwrap();
        assert_eq!(left.rows, 2);
        frozen.forget_window(0).unwrap();
        assert!(frozen.scan(Some(0), None, 5).unwrap().is_none());
    }

    #[test]
    fn counts_are_not_in_a_snapshot() {
        let mut frozen = Frozen::open(&Spill::for_tests(), &[ScalarType::Utf8], true).unwrap();
        let counts = [from_i64(vec![7, -1], None), from_i64(vec![0, i64::MAX], None)];
        let all = group(&[Some("a"), Some("b")], &[0, 0], &[1.0, 2.0]);
        frozen.put(&all, &counts, &[true, false]).unwrap();
        let noted = frozen.take_notes().unwrap().unwrap().next().unwrap().unwrap();
        assert_eq!((noted.columns.len(), rows(&noted)), (3, rows(&all)[..1].to_vec()));
        let (_, found) = frozen.take(Some(0), &[from_text(&[Some("b")])], 1).unwrap().unwrap();
        assert_eq!((found.i64(3).value(0), found.i64(4).value(0)), (-1, i64::MAX));
        assert_eq!(rows(&found), rows(&all)[1..]);
    }
}
