//! Rows of a join's windows that are on the local disk, because memory is short.
//!
//! ```text
//!   key    window start, 8 bytes │ part, 1 byte │ side, 1 byte │ number of the block, 8 bytes
//!   value  rows, one behind the other: length, 4 bytes │ columns
//! ```
//!
//! A window's rows are cut by the hash of their keys into [`PARTS`] parts, so that when it closes the rows of one part, of
//! both sides, are in memory at a time: rows with equal keys are in one part. A block has rows of one part and side in the
//! order in which they came, and blocks are numbered in that order.
//!
//! Rows that no snapshot has are noted besides ([`crate::frozen`] has the same for groups).
//!
//! Not here: which windows go, and how rows are paired ([`crate::window_join`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use schema::{ScalarType, TimeUnit};

use crate::batch::Batch;
use crate::cold::{Key, Space, Value};
use crate::column;
use crate::error::TaskError;
use crate::frozen::{CHUNK, RowBytes, StoredRows, window_bytes, window_of};
use crate::keys::hash_columns;
use crate::memory::Spill;

/// A window on disk is paired in so many pieces.
pub(crate) const PARTS: u8 = 64;

/// Blocks that are read at once.
const BLOCKS: usize = 16;

/// Rows of windows on disk.
pub(crate) struct Blocks {
    rows: Space,
    /// By side: blocks that the next snapshot is to have, by the number of the block.
    unsaved: [Space; 2],
    /// By side: how many rows are noted.
    notes: [usize; 2],
    sides: [Side; 2],
    width: i64,
    keys: usize,
    next: u64,
    spill: Spill,
}

/// The rows of a side as bytes: all columns but that of the window.
#[derive(Clone)]
struct Side {
    codec: Arc<RowBytes>,
    /// The column of the window: its place, and whether it is its start alone.
    window: usize,
    start_alone: bool,
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("notes", &self.notes).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Blocks {
    /// For rows of those types, by side, whose first `keys` columns are keys and the next one the window.
    pub(crate) fn open(
        spill: &Spill,
        types: &[Vec<ScalarType>; 2],
        keys: usize,
        width: i64,
    ) -> Result<Blocks, TaskError> {
        let side = |types: &Vec<ScalarType>| {
            let others = types.iter().enumerate().filter(|(column, _)| *column != keys);
            Side {
                codec: Arc::new(RowBytes::new(others.map(|(_, ty)| ty.to_arrow()).collect())),
                window: keys,
                start_alone: !matches!(types[keys], ScalarType::Struct(_)),
            }
        };
        Ok(Blocks {
            rows: spill.space("rows")?,
            unsaved: [spill.space("unsaved-left")?, spill.space("unsaved-right")?],
            notes: [0, 0],
            sides: types.each_ref().map(side),
            width,
            keys,
            next: 0,
            spill: spill.clone(),
        })
    }

    /// Takes the rows of a side of a window: of several batches, which have these and no others.
    pub(crate) fn put(&mut self, start: i64, side: usize, batches: &[Batch]) -> Result<(), TaskError> {
        let mut parts: Vec<Vec<(usize, usize)>> = vec![Vec::new(); usize::from(PARTS)];
        let mut hashes = Vec::new();
        for (at, batch) in batches.iter().enumerate() {
            hashes.clear();
            hash_columns(&batch.columns[..self.keys], batch.rows, &mut hashes);
            for (row, hash) in hashes.iter().enumerate() {
                parts[usize::from(part_of(*hash))].push((at, row));
            }
        }
        let columns = batches.first().map_or(0, |batch| batch.columns.len());
        for (part, rows) in (0..PARTS).zip(parts) {
            for rows in rows.chunks(CHUNK) {
                let column = |column: usize| {
                    let arrays: Vec<&ArrayRef> = batches.iter().map(|batch| batch.array(column)).collect();
                    column::interleave(&arrays, rows)
                };
                let block = Batch::new((0..columns).map(column).collect(), rows.len());
                let key = [&window_bytes(start)[..], &[part, side as u8], &self.next.to_be_bytes()].concat();
                self.next += 1;
                self.rows.put([(key, self.sides[side].encode(&block))].into_iter())?;
            }
        }
        Ok(())
    }

    /// Notes rows for the next snapshot.
    pub(crate) fn note(&mut self, start: i64, side: usize, batch: &Batch) -> Result<(), TaskError> {
        let key = [&window_bytes(start)[..], &self.next.to_be_bytes()].concat();
        self.next += 1;
        self.notes[side] += batch.rows;
        self.unsaved[side].put([(key, self.sides[side].encode(batch))].into_iter())
    }

    /// The rows of a part of a window's side, in the order in which they came.
    pub(crate) fn read(&self, start: i64, part: u8, side: usize) -> Result<Vec<Batch>, TaskError> {
        let prefix = [&window_bytes(start)[..], &[part, side as u8]].concat();
        let (mut batches, mut after): (Vec<Batch>, Option<Vec<u8>>) = (Vec::new(), None);
        loop {
            let blocks = self.rows.scan(&prefix, after.as_deref(), BLOCKS)?;
            let Some((last, _)) = blocks.last() else { return Ok(batches) };
            after = Some(last.to_vec());
            batches.extend(blocks.iter().map(|(_, block)| self.sides[side].decode(block, start, self.width)));
        }
    }

    /// Forgets a window, and what is noted of it.
    pub(crate) fn forget_window(&mut self, start: i64) -> Result<(), TaskError> {
        let prefix = window_bytes(start);
        self.rows.remove_prefix(&prefix)?;
        for (unsaved, notes) in self.unsaved.iter_mut().zip(self.notes) {
            if notes > 0 {
                unsaved.remove_prefix(&prefix)?;
            }
        }
        Ok(())
    }

    /// The rows of a side that are noted; from here on, none is.
    pub(crate) fn take_notes(&mut self, side: usize) -> Result<Option<StoredRows>, TaskError> {
        let most = std::mem::take(&mut self.notes[side]);
        if most == 0 {
            return Ok(None);
        }
        let snapshot = self.unsaved[side].snapshot();
        self.unsaved[side].clear()?;
        let (codec, width) = (self.sides[side].clone(), self.width);
        let decode = Box::new(move |blocks: &[(Key, Value)]| {
            let (key, block) = &blocks[0];
            let start = key.first_chunk().map_or(0, |bytes| window_of(*bytes));
            codec.decode(block, start, width)
        });
        Ok(Some(StoredRows::new(snapshot, most, 1, decode, &self.spill)))
    }
}

fn part_of(hash: u64) -> u8 {
    // The highest bits say whose task the row is.
    (hash >> 16) as u8 % PARTS
}

impl Side {
    fn encode(&self, batch: &Batch) -> Vec<u8> {
        let mut columns = batch.columns.clone();
        columns.remove(self.window);
        let rows = self.codec.encode(&columns, batch.rows);
        let mut block = Vec::new();
        for row in (0..batch.rows).map(|row| rows.row(row)) {
            block.extend_from_slice(&(row.len() as u32).to_le_bytes());
            block.extend_from_slice(row);
        }
        block
    }

    fn decode(&self, block: &[u8], start: i64, width: i64) -> Batch {
        let mut rows = Vec::new();
        let mut rest = block;
        while let Some((len, after)) = rest.split_first_chunk() {
            let (row, after) = after.split_at(u32::from_le_bytes(*len) as usize);
            rows.push(row);
            rest = after;
        }
        let count = rows.len();
        let mut columns = self.codec.decode(rows.into_iter());
        let window = match self.start_alone {
            true => column::from_timestamp(vec![start; count], None, TimeUnit::Nanosecond, None),
            false => column::window(start, start.saturating_add(width), count),
        };
        columns.insert(self.window, window);
        Batch::new(columns, count)
    }
}
