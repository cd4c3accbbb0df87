//! The files of one task, one after another.
//!
//! File `i` belongs to task `i mod parallelism`; of Parquet files, row group `i`, counted over all files. All of a
//! task's rows are one partition.
//!
//! After a restore the same holds of what was not read to its end, among the files that are there then: a unit that was
//! read in part is read again by whoever it falls to, over the rows that were given out. [`crate::position`] has what
//! tasks say about that.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{ArrayRef, TimestampNanosecondArray};
use connectors_options::filesystem::FilesystemSource;
use formats::{Decoder, Format};
use futures::future::BoxFuture;
use schema::{EVENT_TIME, Schema};
use worker_lib::connector::{Source, SourceContext, SourceCounters, SourceEvent};
use worker_lib::{Batch, TaskError};

use crate::columns::{ParquetFile, Rows};
use crate::listing::{Found, list, list_any};
use crate::position::{self, Position};
use crate::text::{TextFile, take_lag};

pub(crate) fn new(cx: SourceContext) -> Result<Box<dyn Source>, TaskError> {
    Ok(Box::new(Files::new(cx)?))
}

struct Files {
    cx: SourceContext,
    options: FilesystemSource,
    /// The columns that are in the files.
    data: Schema,
    /// Files that are not opened yet, last first.
    left: Vec<Found>,
    reading: Reading,
    /// What all tasks had read when the job was restored: it decides what is left, and for whom.
    restored: Position,
    /// What this task has read since; in task 0, what was restored too.
    position: Position,
}

enum Step {
    Rows(Batch),
    /// Rows have been read that nobody gets: they were given out before the restart, or are bad.
    Skipped,
    End,
}

enum Reading {
    Text {
        decoder: Decoder,
        open: Option<TextFile>,
        buffer: Vec<u8>,
        bad_rows: u64,
    },
    /// `groups` are those of the files before, without what was done before the restart.
    Parquet {
        open: Option<Rows>,
        groups: usize,
    },
}

impl Files {
    fn new(cx: SourceContext) -> Result<Self, TaskError> {
        let options: FilesystemSource = serde_json::from_value(cx.options.clone())
            .map_err(|error| TaskError::fatal(format!("cannot read the options of table \"{}\": {error}", cx.table)))?;
        let mut data = Vec::new();
        for (field, key) in cx.schema.fields.iter().zip(&cx.metadata) {
            match key.as_deref() {
                None => data.push(field.clone()),
                Some(EVENT_TIME) => {}
                Some(key) => return Err(TaskError::fatal(format!("files have no metadata '{key}'"))),
            }
        }
        let data = Schema::new(data);
        let parquet = matches!(options.reading.format, Format::Parquet(_));
        let restored = match &cx.restored {
            None => Position::default(),
            Some(tasks) => Position::restored(tasks).ok_or_else(|| {
                let positions = serde_json::Value::from(tasks.clone());
                TaskError::fatal(format!("table \"{}\" cannot go on from positions {positions}", cx.table))
            })?,
        };
        let (path, pattern) = (&options.path, options.pattern.as_deref());
        // What has been read may have been taken away.
        let left =
            if restored.is_empty() { list(path, pattern) } else { list_any(path, pattern).map(|(left, _)| left) };
        let mut left =
            left.map_err(|error| TaskError { message: format!("table \"{}\": {}", cx.table, error.message), ..error })?;
        for (file, _, rows) in restored.open() {
            if !left.iter().any(|found| position::name(&found.path) == file) {
                return Err(position::gone(file, rows));
            }
        }
        if !parquet {
            left.retain(|found| !restored.is_done(&position::name(&found.path), 0));
            left = left.into_iter().skip(cx.task).step_by(cx.parallelism.max(1)).collect();
        }
        if parquet {
            // All tasks read of every file: each counts its part of the bytes.
            for file in &mut left {
                file.bytes = part_of(file.bytes, cx.task, cx.parallelism.max(1));
            }
        }
        cx.counters.lag.store(left.iter().map(|file| file.bytes).sum(), Relaxed);
        left.reverse();
        let reading = if parquet {
            Reading::Parquet { open: None, groups: 0 }
        } else {
            let decoder = Decoder::new(&options.reading, &data)
                .map_err(|reason| TaskError::user(format!("table \"{}\": {reason}", cx.table)))?;
            Reading::Text { decoder, open: None, buffer: Vec::new(), bad_rows: 0 }
        };
        let position = if cx.task == 0 { restored.clone() } else { Position::default() };
        Ok(Files { cx, options, data, left, reading, restored, position })
    }

    fn step(&mut self) -> Result<Step, TaskError> {
        let rows = self.cx.batch_rows.max(1);
        match &mut self.reading {
            Reading::Text { decoder, open, buffer, bad_rows } => loop {
                let Some(file) = open else {
                    let Some(found) = self.left.pop() else { return Ok(Step::End) };
                    decoder.start();
                    let before = self.restored.rows(&position::name(&found.path), 0);
                    let (counters, buffer) = (Arc::clone(&self.cx.counters), std::mem::take(buffer));
                    *open = Some(TextFile::open(found, before, self.options.compression, counters, buffer)?);
                    continue;
                };
                if file.skip(decoder, rows)? {
                    // Bad rows among them were counted then.
                    *bad_rows = decoder.bad_rows();
                    return Ok(Step::Skipped);
                }
                let more = file.decode(decoder, rows)?;
                count_bad_rows(decoder, bad_rows, &self.cx.counters);
                let held = decoder.rows();
                if held > 0 {
                    file.given += held as u64;
                    self.position.give(&file.name, 0, file.given);
                }
                if !more && let Some(file) = open.take() {
                    self.position.finish(&file.name, 0);
                    *buffer = file.into_buffer();
                }
                if held > 0 {
                    let columns = decoder.take().map_err(TaskError::fatal)?;
                    return Ok(Step::Rows(Batch::new(columns, held)));
                }
                if more {
                    return Ok(Step::Skipped);
                }
            },
            Reading::Parquet { open, groups } => loop {
                if let Some(rows) = open {
                    match rows.next(&self.cx.counters, &mut self.position)? {
                        Some(batch) => return Ok(Step::Rows(batch)),
                        None => *open = None,
                    }
                }
                let Some(found) = self.left.pop() else { return Ok(Step::End) };
                let bytes = found.bytes;
                let file = ParquetFile::open(found)?;
                // Nobody would come to a row group that is not there any more.
                for (_, group, given) in self.restored.open().filter(|(name, ..)| *name == file.name) {
                    file.group(group, given)?;
                }
                let mut mine = Vec::new();
                for group in (0..file.row_groups()).filter(|group| !self.restored.is_done(&file.name, *group)) {
                    if *groups % self.cx.parallelism.max(1) == self.cx.task {
                        mine.push(file.group(group, self.restored.rows(&file.name, group))?);
                    }
                    *groups += 1;
                }
                if mine.is_empty() {
                    take_lag(&self.cx.counters, bytes);
                    continue;
                }
                *open = Some(file.read(mine, &self.data, rows)?);
            },
        }
    }

    /// Adds the columns that are not in the files.
    fn with_metadata(&self, batch: Batch) -> Batch {
        if self.cx.metadata.iter().all(Option::is_none) {
            return batch;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i64);
        let mut data = batch.columns.into_iter();
        let time = || Arc::new(TimestampNanosecondArray::from_value(now, batch.rows)) as ArrayRef;
        let columns = self.cx.metadata.iter().map(|key| match key {
            None => data.next().expect("one column for each field without a metadata key"),
            Some(_) => time(),
        });
        Batch::new(columns.collect(), batch.rows)
    }
}

/// What falls to one of so many tasks.
fn part_of(bytes: u64, task: usize, tasks: usize) -> u64 {
    let (task, tasks) = (task as u64, tasks as u64);
    bytes / tasks + u64::from(task < bytes % tasks)
}

fn count_bad_rows(decoder: &Decoder, counted: &mut u64, counters: &SourceCounters) {
    let bad_rows = decoder.bad_rows();
    counters.bad_rows.fetch_add(bad_rows - *counted, Relaxed);
    *counted = bad_rows;
}

impl Source for Files {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            loop {
                match self.step()? {
                    Step::Rows(batch) => {
                        return Ok(SourceEvent::Rows { partition: 0, batch: self.with_metadata(batch) });
                    }
                    // Reading over many rows takes as long as reading them: others get their turns.
                    Step::Skipped => tokio::task::yield_now().await,
                    Step::End => return Ok(SourceEvent::End),
                }
            }
        })
    }

    fn position(&self) -> Option<serde_json::Value> {
        Some(self.position.to_json())
    }
}
