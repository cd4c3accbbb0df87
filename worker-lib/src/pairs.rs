//! Distinct values of groups that are on the local disk, because memory is short.
//!
//! ```text
//!   key    window start, 8 bytes │ length of the group's keys, 4 bytes │ the keys │ the value
//!   value  nothing
//! ```
//!
//! Pairs of group and value are only ever added, until their window goes. Those that no snapshot has are noted besides
//! ([`crate::frozen`] has the same for groups).
//!
//! Not here: which pairs go, and what is counted ([`crate::agg::Distinct`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use schema::{ScalarType, TimeUnit};

use crate::batch::Batch;
use crate::cold::{Key, Space, Value};
use crate::column;
use crate::error::TaskError;
use crate::frozen::{CHUNK, RowBytes, StoredRows, fitted, value_of, whole, window_bytes, window_of};
use crate::memory::Spill;

/// Pairs on disk.
pub(crate) struct ColdPairs {
    pairs: Space,
    /// Those that the next snapshot is to have.
    unsaved: Space,
    notes: usize,
    coding: Coding,
    /// Behind the spaces, so that it is dropped after them.
    spill: Spill,
}

impl fmt::Debug for ColdPairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ColdPairs").field("notes", &self.notes).finish_non_exhaustive()
    }
}

impl ColdPairs {
    /// For groups with these keys, and values of this type.
    pub(crate) fn open(spill: &Spill, keys: &[ScalarType], value: &ScalarType) -> Result<ColdPairs, TaskError> {
        let keys = keys.iter().map(ScalarType::to_arrow).collect();
        let coding =
            Coding { keys: Arc::new(RowBytes::new(keys)), value: Arc::new(RowBytes::new(vec![value.to_arrow()])) };
        Ok(ColdPairs {
            pairs: spill.another_space("distinct")?,
            unsaved: spill.another_space("unsaved-distinct")?,
            notes: 0,
            coding,
            spill: spill.clone(),
        })
    }

    /// Whether each of these pairs is here.
    pub(crate) fn holds(&self, start: i64, keys: &[ArrayRef], values: &ArrayRef) -> Result<Vec<bool>, TaskError> {
        let entries = self.coding.encode(start, keys, values);
        let found = self.pairs.get(&entries.iter().map(|entry| fitted(entry)).collect::<Vec<_>>())?;
        Ok(found.iter().map(Option::is_some).collect())
    }

    /// Takes pairs; `noted`: the next snapshot is to have them.
    pub(crate) fn put(
        &mut self,
        start: i64,
        keys: &[ArrayRef],
        values: &ArrayRef,
        noted: bool,
    ) -> Result<(), TaskError> {
        let entries = self.coding.encode(start, keys, values);
        let whole = || entries.iter().map(|entry| (fitted(entry), value_of(entry, NOTHING.into())));
        self.pairs.put(whole())?;
        if noted {
            self.notes += entries.len();
            self.unsaved.put(whole())?;
        }
        Ok(())
    }

    /// Forgets a window, and what is noted of it.
    pub(crate) fn forget_window(&mut self, start: i64) -> Result<(), TaskError> {
        self.pairs.remove_prefix(&window_bytes(start))?;
        match self.notes {
            0 => Ok(()),
            _ => self.unsaved.remove_prefix(&window_bytes(start)),
        }
    }

    /// The pairs that are noted, as rows of their table; from here on, none is.
    pub(crate) fn take_notes(&mut self) -> Result<Option<StoredRows>, TaskError> {
        let most = std::mem::take(&mut self.notes);
        if most == 0 {
            return Ok(None);
        }
        let snapshot = self.unsaved.snapshot();
        self.unsaved.clear()?;
        let coding = self.coding.clone();
        let decode = Box::new(move |entries: &[(Key, Value)]| coding.decode(entries));
        Ok(Some(StoredRows::new(snapshot, most, CHUNK, decode, &self.spill)))
    }
}

/// What is in the place of a value.
const NOTHING: &[u8] = &[];

#[derive(Clone)]
struct Coding {
    keys: Arc<RowBytes>,
    value: Arc<RowBytes>,
}

impl Coding {
    fn encode(&self, start: i64, keys: &[ArrayRef], values: &ArrayRef) -> Vec<Vec<u8>> {
        let count = values.len();
        let keys = self.keys.encode(keys, count);
        let values = self.value.encode(std::slice::from_ref(values), count);
        let entry = |pair: usize| {
            let group = keys.row(pair);
            [&window_bytes(start)[..], &(group.len() as u32).to_le_bytes(), group, values.row(pair)].concat()
        };
        (0..count).map(entry).collect()
    }

    fn decode(&self, entries: &[(Key, Value)]) -> Batch {
        let (mut starts, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, value) in entries {
            let (entry, _) = whole(entry, value);
            let parts = entry.split_first_chunk().and_then(|(start, rest)| Some((start, rest.split_first_chunk()?)));
            let (start, (len, rest)) = parts.expect("an entry begins with a window and a length");
            let (group, value) = rest.split_at(u32::from_le_bytes(*len) as usize);
            starts.push(window_of(*start));
            keys.push(group);
            values.push(value);
        }
        let rows = starts.len();
        let mut columns = self.keys.decode(keys.into_iter());
        columns.push(column::from_timestamp(starts, None, TimeUnit::Nanosecond, None));
        columns.extend(self.value.decode(values.into_iter()));
        Batch::new(columns, rows)
    }
}
