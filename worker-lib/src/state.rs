//! State at a checkpoint: rows that leave a stage for its tables, and come back.
//!
//! A stage declares its tables in the plan (`protocol::checkpoint::TableSpec`) and knows them by their number. At a
//! barrier it gives the rows that have changed since the last one ([`crate::Stage::snapshot`]), at a restart it gets
//! back all rows that make up the table ([`crate::Stage::restore`]), the oldest first: a later row of the same key
//! replaces an earlier one.
//!
//! Not here: files and where they are ([`crate::runtime`]).

use crate::batch::Batch;

/// Changed rows of one table.
#[derive(Clone, Debug, Default)]
pub struct TableRows {
    pub batches: Vec<Batch>,
    /// In a table that the watermark empties: when the last of these rows goes, in nanoseconds since the epoch.
    pub expires: Option<i64>,
}

impl TableRows {
    /// Adds rows that the watermark removes when it comes to `expires`.
    pub fn push(&mut self, batch: Batch, expires: i64) {
        if batch.rows > 0 {
            self.expires = self.expires.max(Some(expires));
            self.batches.push(batch);
        }
    }

    /// Adds rows that stay until others take their place.
    pub fn keep(&mut self, batch: Batch) {
        if batch.rows > 0 {
            self.batches.push(batch);
        }
    }

    /// Puts older rows before these.
    pub(crate) fn put_before(&mut self, older: TableRows) {
        self.expires = self.expires.max(older.expires);
        self.batches.splice(0..0, older.batches);
    }

    pub fn rows(&self) -> usize {
        self.batches.iter().map(|batch| batch.rows).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }
}
