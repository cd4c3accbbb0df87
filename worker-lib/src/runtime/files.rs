//! State files: rows of a table as Parquet, in the store and back.
//!
//! A file holds what one task has changed of one table in one epoch, or the whole of its share; its columns are those of
//! the table's specification (but for intervals: see [`super::stored`]), so that any reader of Parquet can look into it. It
//! is named by the manifest with its digest, and not read without being checked.
//!
//! **Shares.** Task `t` of `n` has the rows whose keys hash into its range ([`hash_range`]). A restart with another `n`
//! reads all files whose range overlaps the new one, and leaves out the rows of others. So it does with rows outside of
//! the hashes that a file is listed with: they are in another file by now ([`super::compact`]).

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use artifacts::Digest;
use artifacts::objects::Objects;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use protocol::checkpoint::{HashRange, StageState, StateFile, TableKind, TableSpec};
use protocol::mutant::{self, Mutant};
use schema::Schema;
use tokio::time::Instant;

use super::migration::Migration;
use super::stored;
use super::task::Restored;
use crate::batch::Batch;
use crate::column;
use crate::error::TaskError;
use crate::exchange::{destination, hash_range};
use crate::keys::hash_columns;
use crate::select::Selection;
use crate::stage::Stage;
use crate::state::TableRows;

/// So many rows are encoded and decoded where we are; more would keep a thread from its tasks for too long.
const HERE_MOST: usize = 20_000;

/// Rows of a batch that is read from a file.
const BATCH_ROWS: usize = 8_192;

/// One task, of so many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) stage: usize,
    pub(crate) task: usize,
    pub(crate) parallelism: usize,
}

impl Share {
    /// The hashes whose rows it has of a table; `None`: it has nothing of it.
    pub(crate) fn range(self, spec: &TableSpec) -> Option<HashRange> {
        if spec.kind == TableKind::Global {
            return Some(HashRange::ALL);
        }
        if spec.keys == 0 {
            return (self.task == 0).then_some(HashRange::ALL);
        }
        let (first, last) = hash_range(self.task, self.parallelism);
        Some(HashRange { first, last })
    }

    /// Whether a file counts for hashes of its own.
    pub(crate) fn has_some_of(self, spec: &TableSpec, file: &StateFile) -> bool {
        self.range(spec).is_some_and(|range| range.overlaps(file.range()))
    }
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
        let columns = spec.columns.clone();
        let bytes = off_thread(count, move || encode(&columns, &rows.batches)).await?;
        let contents = Contents { bytes, rows: count, expires };
        self.store(spec, contents, share, epoch, "").await.map(Some)
    }

    /// Puts a file into the store, as one of an epoch. `suffix` tells it from the table's other file of that epoch.
    pub(crate) async fn store(
        &self,
        spec: &TableSpec,
        contents: Contents,
        share: Share,
        epoch: u64,
        suffix: &str,
    ) -> Result<StateFile, TaskError> {
        let Share { stage, task, parallelism } = share;
        let table = file_name(&spec.name);
        let path = format!("state/{epoch:010}-{}-{stage}-{task}-{table}{suffix}.parquet", self.generation);
        let (first, last) = hash_range(task, parallelism);
        let file = StateFile {
            sha256: Digest::of(&contents.bytes).to_string(),
            bytes: contents.bytes.len() as u64,
            rows: contents.rows as u64,
            epoch,
            generation: self.generation,
            task,
            hashes: share.range(spec).unwrap_or(HashRange { first, last }).texts(),
            expires: contents.expires.filter(|_| matches!(spec.kind, TableKind::TimeKeyed | TableKind::List)),
            path,
        };
        let name = format!("{}/{}", self.job, file.path);
        self.objects
            .put(&name, contents.bytes)
            .await
            .map_err(|error| TaskError::retryable(format!("cannot write a checkpoint: {error}")))?;
        Ok(file)
    }

    /// Gives a task's stage the rows of its share, those of the oldest file first, and says how far event time had come.
    /// Returns, by table, rows that had other columns: no file has them as they are now.
    pub(super) async fn restore(
        &self,
        stage: &mut dyn Stage,
        tables: &[TableSpec],
        share: Share,
        restored: &Restored,
    ) -> Result<Vec<TableRows>, TaskError> {
        let (begun, mut bytes, mut all_migrated) = (Instant::now(), 0, Vec::new());
        for (table, (spec, from)) in tables.iter().zip(&restored.tables).enumerate() {
            let migration = Migration::between(&from.spec, spec).map_err(TaskError::fatal)?;
            let mut migrated = TableRows::default();
            for file in from.files.iter().filter(|file| share.has_some_of(&from.spec, file)) {
                for (rows, watermark) in self.read(&from.spec, file, share, &restored.owners).await? {
                    let Some(migration) = &migration else {
                        stage.restore(table, &rows, watermark)?;
                        continue;
                    };
                    let rows = lasting(spec, migration.apply(&rows), watermark);
                    stage.restore(table, &rows, watermark)?;
                    migrated.batches.push(rows);
                    migrated.expires = migrated.expires.max(file.expires);
                }
                bytes += file.bytes;
            }
            all_migrated.push(migrated);
        }
        if bytes > 0 {
            let Share { stage, task, .. } = share;
            tracing::info!(stage, task, bytes, millis = begun.elapsed().as_millis() as u64, "state is restored");
        }
        // Also without a watermark: what has been restored is not to be written again.
        stage.restored(restored.watermark.unwrap_or(i64::MIN));
        Ok(all_migrated)
    }

    /// The rows of a file that belong to a share, each with the watermark of the task that had them.
    pub(crate) async fn read(
        &self,
        spec: &TableSpec,
        file: &StateFile,
        share: Share,
        before: &[Owner],
    ) -> Result<Vec<(Batch, Option<i64>)>, TaskError> {
        let rescaled = before.len() != share.parallelism;
        let looked_for = match rescaled && mutant::is(Mutant::KeyRangeOff) {
            true => Share { parallelism: share.parallelism + 1, ..share },
            false => share,
        };
        let mut batches = Vec::new();
        if looked_for.has_some_of(spec, file) {
            let bytes = self.fetch(file).await?;
            self.decode(spec, file, bytes, |batch| {
                share_of(batch, spec, file.range(), share, before, &mut batches);
                Ok(())
            })?;
        }
        Ok(batches)
    }

    /// A file's bytes, unchecked.
    pub(crate) async fn fetch(&self, file: &StateFile) -> Result<Bytes, TaskError> {
        let name = format!("{}/{}", self.job, file.path);
        let found = self
            .objects
            .get(&name)
            .await
            .map_err(|error| TaskError::retryable(format!("cannot read a checkpoint: {error}")))?;
        found.ok_or_else(|| {
            TaskError::fatal(format!("the checkpoint's file \"{}/{name}\" is missing", self.objects.url()))
                .with_hint("restore an older checkpoint, and check the storage")
        })
    }

    /// Takes the rows of a file, once its bytes have been found to be those of the manifest.
    pub(crate) fn decode(
        &self,
        spec: &TableSpec,
        file: &StateFile,
        bytes: Bytes,
        mut take: impl FnMut(Batch) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let name = format!("{}/{}", self.job, file.path);
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
            .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
            .map_err(|error| damaged(error.to_string()))?;
        let expected = stored::schema(&spec.columns).to_arrow();
        for batch in reader {
            let batch = batch.map_err(|error| damaged(error.to_string()))?;
            let found = batch.schema();
            if expected.fields().iter().map(|field| field.data_type()).ne(found.fields().iter().map(|f| f.data_type()))
            {
                return Err(damaged("its columns are not those of the table".to_owned()));
            }
            let columns = batch.columns().iter().zip(&spec.columns.fields);
            let columns = columns.map(|(column, field)| stored::from_file(column, &field.ty)).collect();
            take(Batch::new(columns, batch.num_rows()))?;
        }
        Ok(())
    }
}

/// What is in a file, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    pub(crate) bytes: Bytes,
    pub(crate) rows: usize,
    /// In a table that the watermark empties: when the last row goes.
    pub(crate) expires: Option<i64>,
}

/// Encodes or decodes so many rows where that keeps no task from its thread: here, if they are few.
pub(crate) async fn off_thread<T: Send + 'static>(
    rows: usize,
    work: impl FnOnce() -> Result<T, TaskError> + Send + 'static,
) -> Result<T, TaskError> {
    if rows <= HERE_MOST {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(TaskError::fatal(format!("cannot encode or decode state: {error}"))))
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

/// Appends the rows of a batch whose keys belong to a share and to the hashes that its file is `listed` with, by the
/// watermark of the task that had them `before`.
fn share_of(
    batch: Batch,
    spec: &TableSpec,
    listed: HashRange,
    share: Share,
    before: &[Owner],
    out: &mut Vec<(Batch, Option<i64>)>,
) {
    let same = before.windows(2).all(|pair| pair[0] == pair[1]);
    let first = before.first().copied().unwrap_or(Owner { watermark: None, ended: false });
    let everyone = spec.kind == TableKind::Global;
    if everyone {
        // What a task knew, others know on: it is of use until all have ended. Event time does not remove it.
        if before.is_empty() || before.iter().any(|owner| !owner.ended) {
            out.push((batch, None));
        }
        return;
    }
    if spec.keys == 0 || (same && share.parallelism == 1 && listed == HashRange::ALL) {
        if share.task == 0 && !first.ended {
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
                && listed.holds(hashes[row])
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
    let mut writer = FileWriter::new(columns)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()
}

/// A Parquet file that is being made.
pub(crate) struct FileWriter {
    columns: Schema,
    /// How they are stored.
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
}

impl FileWriter {
    pub(crate) fn new(columns: &Schema) -> Result<FileWriter, TaskError> {
        let schema = stored::schema(columns).to_arrow();
        let codec = Compression::ZSTD(ZstdLevel::try_new(1).map_err(unencodable)?);
        let properties =
            WriterProperties::builder().set_compression(codec).set_created_by("streamwright".to_owned()).build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(unencodable)?;
        Ok(FileWriter { columns: columns.clone(), schema, writer })
    }

    pub(crate) fn write(&mut self, batch: &Batch) -> Result<(), TaskError> {
        debug_assert_eq!(batch.columns.len(), self.columns.len(), "the columns of a table");
        let columns = batch.columns.iter().zip(&self.columns.fields);
        let columns = columns.map(|(column, field)| stored::to_file(column, &field.ty)).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(unencodable)?;
        self.writer.write(&batch).map_err(unencodable)
    }

    pub(crate) fn finish(self) -> Result<Bytes, TaskError> {
        self.writer.into_inner().map(Bytes::from).map_err(unencodable)
    }
}

fn unencodable(error: impl std::fmt::Display) -> TaskError {
    TaskError::fatal(format!("cannot encode state: {error}"))
}

#[cfg(test)]
mod tests {
    use artifacts::objects::MemoryObjects;
    use futures::FutureExt as _;
    use proptest::prelude::*;
    use protocol::checkpoint::Operator;
    use schema::{Field, ScalarType};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Not a bit of a state file can change without being noticed.
        #[test]
        fn a_damaged_state_file_is_named_and_not_read(at in any::<prop::sample::Index>(), with in 1u8.., cut in any::<bool>()) {
            let spec = TableSpec {
                name: "counts".into(),
                kind: TableKind::Keyed,
                version: 1,
                keys: 1,
                columns: Schema::new(vec![Field::new("key", ScalarType::Int64, false)]),
                lifetime: None,
                operator: Operator::default(),
            };
            let objects = Arc::new(MemoryObjects::new());
            let files = StateFiles { objects: objects.clone(), job: "job".into(), generation: 1 };
            let share = Share { stage: 0, task: 0, parallelism: 1 };
            let mut rows = TableRows::default();
            rows.push(Batch::new(vec![column::from_i64((0..50).collect(), None)], 50), 0);
            let now = |file| files.read(&spec, file, share, &[Owner { watermark: None, ended: false }]).now_or_never().unwrap();
            let file = files.write(&spec, rows, share, 2).now_or_never().unwrap().unwrap().unwrap();
            prop_assert_eq!(now(&file).unwrap().iter().map(|(batch, _)| batch.rows).sum::<usize>(), 50);

            let name = format!("job/{}", file.path);
            let mut bytes = objects.get(&name).now_or_never().unwrap().unwrap().unwrap().to_vec();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= with }
            objects.put(&name, bytes.into()).now_or_never().unwrap().unwrap();
            let damaged = now(&file).unwrap_err();
            prop_assert!(damaged.message.contains(&name) && damaged.message.contains("is damaged"), "{}", damaged);
            objects.delete(&name).now_or_never().unwrap().unwrap();
            let missing = now(&file).unwrap_err();
            prop_assert!(missing.message.contains(&name) && missing.message.contains("is missing"), "{}", missing);
            for error in [damaged, missing] {
                prop_assert!(error.hint.is_some() && error.class == crate::ErrorClass::Fatal, "{}", error);
            }
        }
    }

    #[test]
    fn no_two_tables_have_one_file() {
        let names = ["groups", "distinct a-b", "distinct a.b", "distinct_a_b"].map(file_name);
        assert_eq!((names[0].as_str(), names[3].as_str()), ("groups", "distinct_a_b"));
        assert!(names[1..3].iter().all(|name| name.starts_with("distinct_a_b_")), "{names:?}");
        assert_ne!(names[1], names[2]);
        let long = ["x", "y"].map(|end| file_name(&("n".repeat(70) + end)));
        assert_ne!(long[0], long[1]);
        assert!(long[0].len() < 100);
    }
}
