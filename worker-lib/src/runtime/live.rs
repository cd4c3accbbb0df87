//! Which rows of a table count: those that no watermark has removed, and where a later row replaces an earlier one the last.
//!
//! Whoever restores state leaves that to the stage, which has the rows in memory anyway. Compaction, migration and export have
//! files, and go by this.

use arrow::datatypes::DataType;
use protocol::checkpoint::{Lifetime, TableKind, TableSpec};
use schema::ScalarType;

use crate::batch::Batch;
use crate::column;
use crate::keys::{Key, KeyTable};
use crate::select::Selection;

/// Of a table that the watermark empties: which rows it removes.
fn lifetime(spec: &TableSpec) -> Option<Lifetime> {
    spec.lifetime.filter(|_| matches!(spec.kind, TableKind::TimeKeyed | TableKind::List))
}

/// Whether the columns that are counted on are there: keys, the time, and `_deleted`.
pub(crate) fn is_sound(spec: &TableSpec) -> bool {
    let ty = |column: usize| spec.columns.fields.get(column).map(|field| &field.ty);
    let time = lifetime(spec).is_none_or(|lifetime| ty(lifetime.column).is_some_and(is_time));
    let deleted = spec.kind != TableKind::Keyed
        || spec.columns.fields.last().is_some_and(|field| field.name == "_deleted" && field.ty == ScalarType::Bool);
    spec.keys <= spec.columns.len() && time && deleted
}

/// Whether values say when a row goes: timestamps, or windows, which begin with one.
fn is_time(ty: &ScalarType) -> bool {
    let is_timestamp = |ty: &ScalarType| matches!(ty, ScalarType::Timestamp { .. });
    match ty {
        ScalarType::Struct(members) => members.first().is_some_and(|start| is_timestamp(&start.ty)),
        ty => is_timestamp(ty),
    }
}

/// Whether a file of rows says by itself which of them count: who removes them otherwise is not known.
pub(crate) fn says_what_counts(spec: &TableSpec) -> bool {
    match spec.kind {
        TableKind::Global => false,
        TableKind::Keyed => is_sound(spec),
        TableKind::TimeKeyed | TableKind::List => spec.lifetime.is_some() && is_sound(spec),
    }
}

/// By row of a batch: the watermark that removes it, [`i64::MAX`] for one without a time. `None`: no watermark does.
pub(crate) fn removed_at(spec: &TableSpec, batch: &Batch) -> Option<Vec<i64>> {
    let lifetime = lifetime(spec)?;
    let times = match batch.array(lifetime.column) {
        window if matches!(window.data_type(), DataType::Struct(_)) => column::member(window, 0),
        times => times.clone(),
    };
    let (times, nanos) = column::ticks(&times);
    let goes = |time: i64| time.saturating_mul(nanos).saturating_add(lifetime.nanos);
    Some((0..batch.rows).map(|row| times.get(row).map_or(i64::MAX, goes)).collect())
}

/// The rows that the watermark of their task has not removed.
pub(crate) fn lasting(spec: &TableSpec, batch: Batch, watermark: Option<i64>) -> Batch {
    let Some(watermark) = watermark else { return batch };
    match removed_at(spec, &batch) {
        Some(removed_at) => chosen(batch, |row| removed_at[row] > watermark),
        None => batch,
    }
}

/// The rows that do not say that their key is deleted.
pub(crate) fn not_deleted(spec: &TableSpec, batch: Batch) -> Batch {
    if spec.kind != TableKind::Keyed {
        return batch;
    }
    let deleted: Vec<bool> = {
        let deleted = batch.bool(batch.columns.len() - 1);
        (0..batch.rows).map(|row| deleted.get(row) == Some(true)).collect()
    };
    chosen(batch, |row| !deleted[row])
}

/// The rows for which the question is answered with yes.
pub(crate) fn chosen(batch: Batch, is_chosen: impl Fn(usize) -> bool) -> Batch {
    let flags: Vec<bool> = (0..batch.rows).map(is_chosen).collect();
    if flags.iter().all(|chosen| *chosen) { batch } else { Selection::of_flags(&flags, None).take_batch(&batch) }
}

/// Of the rows of a table that come newest batch first: the last one of each key. In a table that the watermark empties
/// the time belongs to the key; in a list each row is one of its own.
pub(crate) struct Latest {
    /// By what the rows of a key are known: columns. None: all rows count.
    identity: Option<Vec<usize>>,
    /// The keys that have been seen.
    keys: KeyTable,
    /// Of the rows of a batch: the numbers of their keys.
    numbers: Vec<u32>,
}

impl Latest {
    pub(crate) fn new(spec: &TableSpec) -> Latest {
        let time = lifetime(spec).map(|lifetime| lifetime.column);
        let identity: Vec<usize> = (0..spec.keys).chain(time).collect();
        let types: Vec<ScalarType> = identity.iter().map(|column| spec.columns.fields[*column].ty.clone()).collect();
        let identity = (spec.kind != TableKind::List).then_some(identity);
        Latest { identity, keys: KeyTable::new(&types), numbers: Vec::new() }
    }

    /// The rows of a batch, older than all before it, whose keys have not been seen.
    pub(crate) fn unseen(&mut self, batch: Batch) -> Batch {
        let Some(identity) = &self.identity else { return batch };
        let known = self.keys.len();
        let keys: Vec<Key<'_>> = identity.iter().map(|column| Key::all(batch.array(*column))).collect();
        self.numbers.clear();
        self.keys.assign(&keys, batch.rows, &mut self.numbers);
        let mut new = vec![true; self.keys.len() - known];
        let mut last = vec![false; batch.rows];
        for (row, number) in self.numbers.iter().enumerate().rev() {
            let number = *number as usize;
            last[row] = number >= known && std::mem::take(&mut new[number - known]);
        }
        chosen(batch, |row| last[row])
    }

    /// Whether batches are to come newest first; those of a list are to stay in order.
    pub(crate) fn is_newest_first(&self) -> bool {
        self.identity.is_some()
    }
}
