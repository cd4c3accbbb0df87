//! State files: rows of a table as Parquet, in the store and back.
//!
//! A file holds what one task has changed of one table in one epoch, or the whole of its share; its columns are those of
//! the table's specification (but for intervals: see [`super::stored`]), so that any reader of Parquet can look into it. It
//! is named by the manifest with its digest, and not read without being checked.
//!
//! **Size.** What a task has changed may be more than memory holds, where most of it is on disk: rows are read as they are
//! encoded, and a file is closed when it has [`FILE_BYTES`]. So an epoch has several files of such a table.
//!
//! **Shares.** Task `t` of `n` has the rows whose keys hash into its range ([`hash_range`]). A restart with another `n`
//! reads all files whose range overlaps the new one, and leaves out the rows of others. So it does with rows outside of
//! the hashes that a file is listed with: they are in another file by now ([`super::compact`]).
//!
//! **A store that fails**, is full or cannot be written is asked again until it is mended: files are written behind the
//! task's back, so rows flow on. A task that begins needs its files, and asks for a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use artifacts::Digest;
use artifacts::objects::{ObjectError, Objects};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use protocol::checkpoint::{HashRange, StageState, StateFile, TableKind, TableSpec};
use protocol::mutant::{self, Mutant};
use schema::Schema;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::live::lasting;
use super::migration::Migration;
use super::stored;
use super::task::Restored;
use crate::batch::Batch;
use crate::column;
use crate::error::TaskError;
use crate::exchange::{destination, hash_range};
use crate::keys::hash_columns;
use crate::metrics::batch_bytes;
use crate::select::Selection;
use crate::stage::Stage;
use crate::state::TableRows;

/// So many rows are encoded and decoded where we are; more would keep a thread from its tasks for too long.
const HERE_MOST: usize = 20_000;

/// Rows of a batch that is read from a file.
const BATCH_ROWS: usize = 8_192;

/// Files whose bytes are there or on their way at a restart.
const FETCHED_AHEAD: usize = 2;
/// Batches of a file that wait until they are taken in.
const DECODED_AHEAD: usize = 4;
/// Pauses before a store that fails is asked again; they double.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a file is asked for by a task that begins: three quarters of a minute.
const READ_TRIES: u32 = 15;

/// Waits before a store that fails is asked again; the pause after this one.
async fn wait_for_store(action: &str, stage: usize, task: usize, error: &ObjectError, pause: Duration) -> Duration {
    if pause == FIRST_PAUSE || pause == LONGEST_PAUSE {
        tracing::warn!(stage, task, "cannot {action} a checkpoint, trying again: {error}");
    }
    tokio::time::sleep(pause).await;
    (pause * 2).min(LONGEST_PAUSE)
}
/// A file that has come to this size gets no more rows.
const FILE_BYTES: usize = 64 << 20;

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
    /// Writes a table's changes: a file if there are any, and more if they are many.
    pub(crate) async fn write(
        &self,
        spec: &TableSpec,
        rows: TableRows,
        share: Share,
        epoch: u64,
    ) -> Result<Vec<StateFile>, TaskError> {
        self.write_files(spec, rows, share, epoch, FILE_BYTES).await
    }

    async fn write_files(
        &self,
        spec: &TableSpec,
        mut rows: TableRows,
        share: Share,
        epoch: u64,
        file_bytes: usize,
    ) -> Result<Vec<StateFile>, TaskError> {
        // A file of a global table takes the place of those before it.
        let file_bytes = if spec.kind == TableKind::Global { usize::MAX } else { file_bytes };
        let mut files = Vec::new();
        while !rows.is_empty() {
            let columns = spec.columns.clone();
            let (contents, rest) = off_thread(rows.rows_most(), move || {
                let contents = encode_some(&columns, &mut rows, file_bytes)?;
                Ok((contents, rows))
            })
            .await?;
            rows = rest;
            if contents.rows > 0 {
                let suffix = if files.is_empty() { String::new() } else { format!("-{}", files.len() + 1) };
                files.push(self.store(spec, contents, share, epoch, &suffix).await?);
            }
        }
        Ok(files)
    }

    /// Puts a file into the store, as one of an epoch. `suffix` tells it from the table's other files of that epoch.
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
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.objects.put(&name, contents.bytes.clone()).await {
            // What makes no sense now will make none later. All else can be mended: the stream goes on meanwhile, and how long
            // a checkpoint may take is its coordinator's business.
            if matches!(error, ObjectError::Url(_) | ObjectError::Name { .. }) {
                return Err(TaskError::fatal(format!("cannot write a checkpoint: {error}")));
            }
            pause = wait_for_store("write", stage, task, &error, pause).await;
        }
        Ok(file)
    }

    /// Gives a task's stage the rows of its share, those of the oldest file first, and says how far event time had come;
    /// `make_room` is called after each batch, with its bytes. Returns, by table, rows that had other columns: no file has
    /// them as they are now.
    pub(super) async fn restore(
        &self,
        stage: &mut dyn Stage,
        tables: &[TableSpec],
        share: Share,
        restored: &Restored,
        make_room: &mut (dyn FnMut(&mut dyn Stage, u64) -> Result<(), TaskError> + Send),
    ) -> Result<Vec<TableRows>, TaskError> {
        let (begun, mut bytes) = (Instant::now(), 0);
        let mut migrations = Vec::with_capacity(tables.len());
        let mut all_migrated = TableRows::of_tables(tables.len());
        let looked_for = match restored.owners.len() != share.parallelism && mutant::is(Mutant::KeyRangeOff) {
            true => Share { parallelism: share.parallelism + 1, ..share },
            false => share,
        };
        let mut mine = Vec::new();
        for (table, (spec, from)) in tables.iter().zip(&restored.tables).enumerate() {
            migrations.push(Migration::between(&from.spec, spec).map_err(TaskError::fatal)?);
            let files = from.files.iter().filter(|file| looked_for.has_some_of(&from.spec, file));
            mine.extend(files.map(|file| (table, file)));
        }
        // The next file is on its way while one is taken in.
        let fetch = |(table, file)| async move { (table, file, self.fetch(file).await) }.boxed();
        let fetched: Vec<BoxFuture<'_, _>> = mine.into_iter().map(fetch).collect();
        let mut fetched = stream::iter(fetched).buffered(FETCHED_AHEAD);
        while let Some((table, file, contents)) = fetched.next().await {
            let (from, migrated) = (&restored.tables[table], &mut all_migrated[table]);
            let mut decoded = self.decoded(&from.spec, file, contents?, share, &restored.owners)?;
            while let Some((rows, watermark)) = decoded.next().await? {
                let came = batch_bytes(&rows);
                let Some(migration) = &migrations[table] else {
                    stage.restore(table, &rows, watermark)?;
                    make_room(stage, came)?;
                    continue;
                };
                let rows = lasting(&tables[table], migration.apply(&rows), watermark);
                stage.restore(table, &rows, watermark)?;
                make_room(stage, came)?;
                migrated.keep(rows);
                migrated.expires = migrated.expires.max(file.expires);
            }
            bytes += file.bytes;
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
        let mut batches = Vec::new();
        if share.has_some_of(spec, file) {
            let mut decoded = self.decoded(spec, file, self.fetch(file).await?, share, before)?;
            while let Some(rows) = decoded.next().await? {
                batches.push(rows);
            }
        }
        Ok(batches)
    }

    /// The same of bytes that are there. A large file is decoded by one thread and checked by another while its first rows
    /// are taken in: whoever has taken them has to forget them if an error follows.
    fn decoded(
        &self,
        spec: &TableSpec,
        file: &StateFile,
        bytes: Bytes,
        share: Share,
        before: &[Owner],
    ) -> Result<Decoded, TaskError> {
        if file.rows <= HERE_MOST as u64 {
            let mut batches = Vec::new();
            self.decode(spec, file, bytes, |batch| {
                share_of(batch, spec, file.range(), share, before, &mut batches);
                Ok(())
            })?;
            return Ok(Decoded { rows: batches.into(), threads: None });
        }
        let (sender, rows) = mpsc::channel(DECODED_AHEAD);
        let checker = spawn_blocking({
            let (files, file, bytes) = (self.clone(), file.clone(), bytes.clone());
            move || files.check(&file, &bytes)
        });
        let (files, spec, file, before) = (self.clone(), spec.clone(), file.clone(), before.to_vec());
        let decoder = spawn_blocking(move || {
            let mut batches = Vec::new();
            files.decode_unchecked(&spec, &file, bytes, |batch| {
                share_of(batch, &spec, file.range(), share, &before, &mut batches);
                let abandoned = |_| TaskError::fatal("nobody takes the rows of a state file");
                batches.drain(..).try_for_each(|rows| sender.blocking_send(rows).map_err(abandoned))
            })
        });
        Ok(Decoded { rows: VecDeque::new(), threads: Some(Threads { rows, checker, decoder }) })
    }

    /// A file's bytes, unchecked.
    pub(crate) async fn fetch(&self, file: &StateFile) -> Result<Bytes, TaskError> {
        let name = format!("{}/{}", self.job, file.path);
        let (mut pause, mut tries) = (FIRST_PAUSE, 1);
        let found = loop {
            match self.objects.get(&name).await {
                Ok(found) => break found,
                Err(error) if error.retryable() && tries < READ_TRIES => {
                    tries += 1;
                    pause = wait_for_store("read", 0, file.task, &error, pause).await;
                }
                Err(error) => return Err(TaskError::retryable(format!("cannot read a checkpoint: {error}"))),
            }
        };
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
        take: impl FnMut(Batch) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        self.check(file, &bytes)?;
        self.decode_unchecked(spec, file, bytes, take)
    }

    fn check(&self, file: &StateFile, bytes: &Bytes) -> Result<(), TaskError> {
        let found = Digest::of(bytes).to_string();
        if found == file.sha256 {
            return Ok(());
        }
        let path = format!("{}/{}/{}", self.objects.url(), self.job, file.path);
        Err(TaskError::fatal(format!(
            "the checkpoint's file \"{path}\" is damaged: its digest is {found}, the manifest says {}",
            file.sha256
        ))
        .with_hint("restore an older checkpoint, and check the storage"))
    }

    fn decode_unchecked(
        &self,
        spec: &TableSpec,
        file: &StateFile,
        bytes: Bytes,
        mut take: impl FnMut(Batch) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let name = format!("{}/{}", self.job, file.path);
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

/// Rows of a file, each batch with the watermark of the task that had them.
struct Decoded {
    rows: VecDeque<(Batch, Option<i64>)>,
    /// Those who make more.
    threads: Option<Threads>,
}

struct Threads {
    rows: mpsc::Receiver<(Batch, Option<i64>)>,
    checker: JoinHandle<Result<(), TaskError>>,
    decoder: JoinHandle<Result<(), TaskError>>,
}

impl Decoded {
    /// `None` once all have been taken, and the file has been found to be undamaged.
    async fn next(&mut self) -> Result<Option<(Batch, Option<i64>)>, TaskError> {
        let Some(threads) = &mut self.threads else { return Ok(self.rows.pop_front()) };
        if let Some(rows) = threads.rows.recv().await {
            return Ok(Some(rows));
        }
        if let Some(Threads { checker, decoder, .. }) = self.threads.take() {
            let ended = |error| TaskError::fatal(format!("cannot decode state: {error}"));
            // What a decoder says of damaged bytes helps nobody.
            checker.await.map_err(ended)??;
            decoder.await.map_err(ended)??;
        }
        Ok(None)
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
    let done = spawn_blocking(work).await;
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

/// A Parquet file of the next rows, until it is as large as that.
fn encode_some(columns: &Schema, rows: &mut TableRows, file_bytes: usize) -> Result<Contents, TaskError> {
    let mut writer = FileWriter::new(columns)?;
    let mut written = 0;
    while writer.bytes() < file_bytes
        && let Some(batch) = rows.next()?
    {
        writer.write(&batch)?;
        written += batch.rows;
    }
    Ok(Contents { bytes: writer.finish()?, rows: written, expires: rows.expires })
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

    /// About how large it is by now.
    fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
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
    use schema::{Field, ScalarType};

    use super::*;

    fn spec() -> TableSpec {
        let kind = TableKind::Keyed;
        let columns = Schema::new(vec![Field::new("key", ScalarType::Int64, true)]);
        let operator = Default::default();
        TableSpec { name: "keys".into(), kind, version: 1, keys: 1, columns, lifetime: None, operator }
    }

    #[tokio::test]
    async fn files_of_any_size_come_back_whole_and_in_order_or_not_at_all() {
        let objects: Arc<dyn Objects> = Arc::new(MemoryObjects::new());
        let files = StateFiles { objects: objects.clone(), job: "job".into(), generation: 1 };
        let share = Share { stage: 0, task: 0, parallelism: 1 };
        let before = [Owner { watermark: Some(7), ended: false }];
        for (epoch, count) in [(1, 1_000), (2, 10 * HERE_MOST as i64)] {
            let columns = vec![column::from_i64((0..count).collect(), None)];
            let mut rows = TableRows::default();
            rows.keep(Batch::new(columns, count as usize));
            let [file] = files.write(&spec(), rows, share, epoch).await.unwrap().try_into().unwrap();
            let read = files.read(&spec(), &file, share, &before).await.unwrap();
            assert!(read.iter().all(|(_, watermark)| *watermark == Some(7)));
            let values = read.iter().flat_map(|(batch, _)| batch.i64(0).values.to_vec());
            assert!(values.eq(0..count), "{count} rows");
            let mut halves = 0;
            for task in 0..2 {
                let half = Share { task, parallelism: 2, ..share };
                let read = files.read(&spec(), &file, half, &before).await.unwrap();
                halves += read.iter().map(|(batch, _)| batch.rows as i64).sum::<i64>();
            }
            assert_eq!(halves, count);

            let name = format!("job/{}", file.path);
            let mut bytes = objects.get(&name).await.unwrap().unwrap().to_vec();
            for at in [100, bytes.len() / 2, bytes.len() - 10] {
                bytes[at] ^= 1;
                objects.put(&name, bytes.clone().into()).await.unwrap();
                let error = files.read(&spec(), &file, share, &before).await.unwrap_err();
                assert!(error.message.contains("is damaged: its digest is"), "{error}");
                bytes[at] ^= 1;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Not a bit of a state file can change without being noticed.
        #[test]
        fn a_damaged_state_file_is_named_and_not_read(at in any::<prop::sample::Index>(), with in 1u8.., cut in any::<bool>()) {
            let spec = TableSpec { name: "counts".into(), ..spec() };
            let objects = Arc::new(MemoryObjects::new());
            let files = StateFiles { objects: objects.clone(), job: "job".into(), generation: 1 };
            let share = Share { stage: 0, task: 0, parallelism: 1 };
            let mut rows = TableRows::default();
            rows.push(Batch::new(vec![column::from_i64((0..50).collect(), None)], 50), 0);
            let now = |file| files.read(&spec, file, share, &[Owner { watermark: None, ended: false }]).now_or_never().unwrap();
            let file = files.write(&spec, rows, share, 2).now_or_never().unwrap().unwrap().remove(0);
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

    #[tokio::test]
    async fn many_rows_are_several_files_in_their_order() {
        let spec = TableSpec { name: "groups".into(), ..spec() };
        let objects = Arc::new(MemoryObjects::new());
        let files = StateFiles { objects, job: "job".into(), generation: 1 };
        let share = Share { stage: 1, task: 0, parallelism: 1 };
        let rows = || {
            let mut rows = TableRows::default();
            for first in (0..6_000).step_by(1_000) {
                rows.keep(Batch::new(vec![column::from_i64((first..first + 1_000).collect(), None)], 1_000));
            }
            rows
        };
        let written = files.write_files(&spec, rows(), share, 3, 10_000).await.unwrap();
        assert!(written.len() > 1, "{written:?}");
        assert_eq!(written.iter().map(|file| file.rows).sum::<u64>(), 6_000);
        assert!(written[0].path.ends_with("-groups.parquet") && written[1].path.ends_with("-groups-2.parquet"));
        let mut keys = Vec::new();
        for file in &written {
            for (batch, _) in files.read(&spec, file, share, &[]).await.unwrap() {
                keys.extend_from_slice(batch.i64(0).values);
            }
        }
        assert!(keys.into_iter().eq(0..6_000));
        let global = TableSpec { kind: TableKind::Global, ..spec.clone() };
        assert_eq!(files.write_files(&global, rows(), share, 4, 10_000).await.unwrap().len(), 1);
        assert!(files.write(&spec, TableRows::default(), share, 5).await.unwrap().is_empty());
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
