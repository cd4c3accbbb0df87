//! State at a checkpoint: rows that leave a stage for its tables, and come back.
//!
//! A stage declares its tables in the plan (`protocol::checkpoint::TableSpec`) and knows them by their number. At a
//! barrier it gives the rows that have changed since the last one ([`crate::Stage::snapshot`]), at a restart it gets
//! back all rows that make up the table ([`crate::Stage::restore`]), the oldest first: a later row of the same key
//! replaces an earlier one.
//!
//! Rows of groups that are on disk stay there until they are written: whoever writes them reads them piece by piece
//! ([`TableRows::next`]), while the stage goes on.
//!
//! Not here: files and where they are ([`crate::runtime`]).

use std::collections::VecDeque;

use crate::batch::Batch;
use crate::error::TaskError;
use crate::frozen::StoredRows;

/// Changed rows of one table.
#[derive(Debug, Default)]
pub struct TableRows {
    parts: VecDeque<Part>,
    /// In a table that the watermark empties: when the last of these rows goes, in nanoseconds since the epoch.
    pub expires: Option<i64>,
}

#[derive(Debug)]
enum Part {
    Rows(Batch),
    Stored(Box<StoredRows>),
}

impl TableRows {
    /// Nothing, for so many tables.
    pub fn of_tables(count: usize) -> Vec<TableRows> {
        (0..count).map(|_| TableRows::default()).collect()
    }

    /// Adds rows that the watermark removes when it comes to `expires`.
    pub fn push(&mut self, batch: Batch, expires: i64) {
        if batch.rows > 0 {
            self.expires = self.expires.max(Some(expires));
            self.parts.push_back(Part::Rows(batch));
        }
    }

    /// Adds rows that stay until others take their place.
    pub fn keep(&mut self, batch: Batch) {
        if batch.rows > 0 {
            self.parts.push_back(Part::Rows(batch));
        }
    }

    /// Adds rows that are on disk.
    pub(crate) fn keep_stored(&mut self, rows: StoredRows, expires: Option<i64>) {
        self.expires = self.expires.max(expires);
        self.parts.push_back(Part::Stored(Box::new(rows)));
    }

    /// Puts older rows before these.
    pub(crate) fn put_before(&mut self, mut older: TableRows) {
        self.expires = self.expires.max(older.expires);
        older.parts.append(&mut self.parts);
        self.parts = older.parts;
    }

    /// The next rows; `None`: there are no more.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>, TaskError> {
        while let Some(part) = self.parts.pop_front() {
            match part {
                Part::Rows(batch) => return Ok(Some(batch)),
                Part::Stored(mut rows) => {
                    if let Some(batch) = rows.next()? {
                        self.parts.push_front(Part::Stored(rows));
                        return Ok(Some(batch));
                    }
                }
            }
        }
        Ok(None)
    }

    /// There are no more rows than that; of those on disk the number is not known.
    pub fn rows_most(&self) -> usize {
        let rows = |part: &Part| match part {
            Part::Rows(batch) => batch.rows,
            Part::Stored(rows) => rows.most(),
        };
        self.parts.iter().map(rows).sum()
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let memory = |part: &Part| match part {
            Part::Rows(batch) => batch.memory(),
            Part::Stored(_) => 0,
        };
        self.parts.iter().map(memory).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.rows_most() == 0
    }
}
