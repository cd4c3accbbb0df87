//! The files of one task, one after another.
//!
//! File `i` belongs to task `i mod parallelism`; of Parquet files, row group `i`, counted over all files. All of a
//! task's rows are one partition.

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
use crate::listing::{Found, list};
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
}

enum Reading {
    Text {
        decoder: Decoder,
        open: Option<TextFile>,
        buffer: Vec<u8>,
        bad_rows: u64,
    },
    /// `groups` are those of the files before.
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
        let mut left = list(&options.path, options.pattern.as_deref())
            .map_err(|error| TaskError { message: format!("table \"{}\": {}", cx.table, error.message), ..error })?;
        if !parquet {
            left = left.into_iter().skip(cx.task).step_by(cx.parallelism.max(1)).collect();
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
        Ok(Files { cx, options, data, left, reading })
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, TaskError> {
        let rows = self.cx.batch_rows.max(1);
        match &mut self.reading {
            Reading::Text { decoder, open, buffer, bad_rows } => loop {
                let Some(file) = open else {
                    let Some(found) = self.left.pop() else { return Ok(None) };
                    decoder.start();
                    let counters = Arc::clone(&self.cx.counters);
                    *open = Some(TextFile::open(found, self.options.compression, counters, std::mem::take(buffer))?);
                    continue;
                };
                let more = file.decode(decoder, rows)?;
                count_bad_rows(decoder, bad_rows, &self.cx.counters);
                if !more && let Some(file) = open.take() {
                    *buffer = file.into_buffer();
                }
                let held = decoder.rows();
                if held > 0 {
                    let columns = decoder.take().map_err(TaskError::fatal)?;
                    return Ok(Some(Batch::new(columns, held)));
                }
            },
            Reading::Parquet { open, groups } => loop {
                if let Some(rows) = open {
                    match rows.next(&self.cx.counters)? {
                        Some(batch) => return Ok(Some(batch)),
                        None => *open = None,
                    }
                }
                let Some(found) = self.left.pop() else { return Ok(None) };
                let bytes = found.bytes;
                let file = ParquetFile::open(found)?;
                let before = *groups;
                *groups += file.row_groups();
                let mine = |group: &usize| (before + group) % self.cx.parallelism.max(1) == self.cx.task;
                let mine: Vec<usize> = (0..file.row_groups()).filter(mine).collect();
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

fn count_bad_rows(decoder: &Decoder, counted: &mut u64, counters: &SourceCounters) {
    let bad_rows = decoder.bad_rows();
    counters.bad_rows.fetch_add(bad_rows - *counted, Relaxed);
    *counted = bad_rows;
}

impl Source for Files {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            Ok(match self.next_batch()? {
                Some(batch) => SourceEvent::Rows { partition: 0, batch: self.with_metadata(batch) },
                None => SourceEvent::End,
            })
        })
    }
}
