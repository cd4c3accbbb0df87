//! State files: rows of a table as Parquet, in the store and back.
//!
//! A file holds what one task has changed of one table in one epoch, or the whole of its share; its columns are those of
//! the table's specification, so that any reader of Parquet can look into it. It is named by the manifest with its
//! digest, and not read without being checked.
//!
//! **Shares.** Task `t` of `n` has the rows whose keys hash into its range ([`hash_range`]). A restart with another `n`
//! reads all files whose range overlaps the new one, and leaves out the rows of others.

use std::sync::Arc;

use arrow::array::RecordBatch;
use artifacts::Digest;
use artifacts::objects::Objects;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use protocol::checkpoint::{StageState, StateFile, TableKind, TableSpec};
use schema::Schema;

use crate::batch::Batch;
use crate::column;
use crate::error::TaskError;
use crate::exchange::{destination, hash_range};
use crate::keys::hash_columns;
use crate::select::Selection;
use crate::state::TableRows;

/// Files with fewer rows are encoded where we are; others would keep a thread from its tasks for too long.
const ENCODE_HERE_MOST: usize = 20_000;

/// One task, of so many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) stage: usize,
    pub(crate) task: usize,
    pub(crate) parallelism: usize,
}

/// The state files of one attempt at a job.
#[derive(Clone, Debug)]
pub(crate) struct StateFiles {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) job: String,
    pub(crate) generation: u64,
}

impl StateFiles {
    /// Writes a table's changes; `None` when there are none.
    pub(crate) async fn write(
        &self,
        spec: &TableSpec,
        rows: TableRows,
        share: Share,
        epoch: u64,
    ) -> Result<Option<StateFile>, TaskError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let (count, expires) = (rows.rows(), rows.expires);
        let bytes = {
            let columns = spec.columns.clone();
            let encoding = move || encode(&columns, &rows.batches);
            if count <= ENCODE_HERE_MOST {
                encoding()?
            } else {
                let encoded = tokio::task::spawn_blocking(encoding).await;
                encoded.map_err(|error| TaskError::fatal(format!("cannot encode state: {error}")))??
            }
        };
        let path = format!(
            "state/{epoch:010}-{}-{}-{}-{}.parquet",
            self.generation,
            share.stage,
            share.task,
            file_name(&spec.name)
        );
        let (first, last) = hash_range(share.task, share.parallelism);
        let file = StateFile {
            sha256: Digest::of(&bytes).to_string(),
            bytes: bytes.len() as u64,
            rows: count as u64,
            epoch,
            generation: self.generation,
            task: share.task,
            hashes: (format!("{first:016x}"), format!("{last:016x}")),
            expires: expires.filter(|_| matches!(spec.kind, TableKind::TimeKeyed | TableKind::List)),
            path,
        };
        let name = format!("{}/{}", self.job, file.path);
        self.objects
            .put(&name, bytes)
            .await
            .map_err(|error| TaskError::retryable(format!("cannot write a checkpoint: {error}")))?;
        Ok(Some(file))
    }

    /// The rows of a file that belong to a share, each with the watermark of the task that had them.
    pub(crate) async fn read(
        &self,
        spec: &TableSpec,
        file: &StateFile,
        share: Share,
        before: &[Owner],
    ) -> Result<Vec<(Batch, Option<i64>)>, TaskError> {
        if !overlaps(file, share) {
            return Ok(Vec::new());
        }
        let name = format!("{}/{}", self.job, file.path);
        let bytes = self
            .objects
            .get(&name)
            .await
            .map_err(|error| TaskError::retryable(format!("cannot read a checkpoint: {error}")))?
            .ok_or_else(|| {
                TaskError::fatal(format!("the checkpoint's file \"{}/{name}\" is missing", self.objects.url()))
            })?;
        let found = Digest::of(&bytes).to_string();
        if found != file.sha256 {
            let url = self.objects.url();
            return Err(TaskError::fatal(format!(
                "the checkpoint's file \"{url}/{name}\" is damaged: its digest is {found}, the manifest says {}",
                file.sha256
            ))
            .with_hint("restore an older checkpoint, and check the storage"));
        }
        let damaged = |error: String| TaskError::fatal(format!("cannot read the state file \"{name}\": {error}"));
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(|builder| builder.build())
            .map_err(|error| damaged(error.to_string()))?;
        let mut batches = Vec::new();
        for batch in reader {
            let batch = batch.map_err(|error| damaged(error.to_string()))?;
            let (expected, found) = (spec.columns.to_arrow(), batch.schema());
            if expected.fields().iter().map(|field| field.data_type()).ne(found.fields().iter().map(|f| f.data_type()))
            {
                return Err(damaged("its columns are not those of the table".to_owned()));
            }
            let rows = batch.num_rows();
            share_of(Batch::new(batch.columns().to_vec(), rows), spec, share, before, &mut batches);
        }
        Ok(batches)
    }
}

/// A table's name, fit for a file's, and unlike those of others: `count_DISTINCT_price__0a1b2c3d4e5f`.
fn file_name(table: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = table.chars().take(60).map(fit).collect();
    match name == table {
        true => name,
        false => format!("{name}_{}", Digest::of(table).short()),
    }
}

fn overlaps(file: &StateFile, share: Share) -> bool {
    let number = |text: &str| u64::from_str_radix(text, 16);
    let (first, last) = hash_range(share.task, share.parallelism);
    match (number(&file.hashes.0), number(&file.hashes.1)) {
        (Ok(from), Ok(to)) => from <= last && first <= to,
        // Better too much than too little: rows are looked at one by one.
        _ => true,
    }
}

/// A task of the checkpoint that is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) watermark: Option<i64>,
    /// Nothing is left of its rows: all windows were closed by the end of the input.
    pub(crate) ended: bool,
}

impl Owner {
    /// Those of a stage, by task.
    pub(crate) fn all(state: &StageState) -> Vec<Owner> {
        state.tasks.iter().map(|task| Owner { watermark: task.watermark, ended: task.ended }).collect()
    }
}

/// The rows that the watermark of their task has not removed.
pub(crate) fn lasting(spec: &TableSpec, batch: Batch, watermark: Option<i64>) -> Batch {
    let (Some(lifetime), Some(watermark)) = (spec.lifetime, watermark) else { return batch };
    let (times, nanos) = column::ticks(batch.array(lifetime.column));
    let lasts = |row| times.value(row).saturating_mul(nanos).saturating_add(lifetime.nanos) > watermark;
    Selection::filter(batch.rows, times.nulls, lasts).take_batch(&batch)
}

/// Appends the rows of a batch whose keys belong to a share, by the watermark of the task that had them `before`.
fn share_of(batch: Batch, spec: &TableSpec, share: Share, before: &[Owner], out: &mut Vec<(Batch, Option<i64>)>) {
    let same = before.windows(2).all(|pair| pair[0] == pair[1]);
    let first = before.first().copied().unwrap_or(Owner { watermark: None, ended: false });
    let everyone = spec.kind == TableKind::Global;
    if everyone || spec.keys == 0 || (same && share.parallelism == 1) {
        if (everyone || share.task == 0) && !first.ended {
            out.push((batch, first.watermark));
        }
        return;
    }
    let mut hashes = Vec::with_capacity(batch.rows);
    hash_columns(&batch.columns[..spec.keys], batch.rows, &mut hashes);
    let mut classes: Vec<Owner> = Vec::new();
    before.iter().filter(|owner| !owner.ended).for_each(|owner| {
        if !classes.contains(owner) {
            classes.push(*owner);
        }
    });
    for class in classes {
        let mine = column::dense(batch.rows, |row| {
            destination(hashes[row], share.parallelism) as usize == share.task
                && before[destination(hashes[row], before.len()) as usize] == class
        });
        let mine = Selection::of_flags(&mine, None);
        if !mine.is_empty() {
            out.push((mine.take_batch(&batch), class.watermark));
        }
    }
}

/// A Parquet file of rows.
pub(crate) fn encode(columns: &Schema, batches: &[Batch]) -> Result<Bytes, TaskError> {
    let wrong = |error: &dyn std::fmt::Display| TaskError::fatal(format!("cannot encode state: {error}"));
    let schema = columns.to_arrow();
    let codec = Compression::ZSTD(ZstdLevel::try_new(1).map_err(|error| wrong(&error))?);
    let properties =
        WriterProperties::builder().set_compression(codec).set_created_by("streamwright".to_owned()).build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(|error| wrong(&error))?;
    for batch in batches {
        let batch = RecordBatch::try_new(schema.clone(), batch.columns.clone()).map_err(|error| wrong(&error))?;
        writer.write(&batch).map_err(|error| wrong(&error))?;
    }
    writer.into_inner().map(Bytes::from).map_err(|error| wrong(&error))
}
