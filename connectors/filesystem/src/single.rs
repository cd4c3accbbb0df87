//! Batches into one file, by one task.
//!
//! Lines are written in place, so that a reader may follow the file: they are seen before they are published. A token
//! has the length that the file had; a restart cuts off what came after it, and goes on there.
//!
//! ```text
//!   {"path": "/data/out.json", "bytes": 1234}
//! ```
//!
//! A Parquet file cannot go on where it ends: its rows are written under a hidden name, which is published like a part
//! of a directory. What comes after a checkpoint is written behind a copy of the rows before it, so
//! that the file has all rows whenever it is published. That costs as much as the file is long, at each checkpoint
//! after which rows come.
//!
//! Every checkpoint has a token, also when no rows came: a restart that knew of none would begin the file anew.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::ArrayRef;
use connectors_options::filesystem::FilesystemSink;
use formats::{Encoder, Format};
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::Schema;
use serde_json::{Value, json};
use worker_lib::connector::{Sink, SinkContext, SinkCounters};
use worker_lib::{Batch, TaskError};

use crate::lines::{Counted, LineWriter};
use crate::part::Part;
use crate::temporary::{self, Temporary, blocking};
use crate::{convert, io_error};

/// Rows that are copied at once.
const COPY_ROWS: usize = 8192;

pub(crate) fn new(cx: SinkContext) -> Result<Box<dyn Sink>, TaskError> {
    let options: FilesystemSink = serde_json::from_value(cx.options.clone())
        .map_err(|error| TaskError::fatal(format!("cannot read the options of table \"{}\": {error}", cx.table)))?;
    if matches!(options.format, Format::Parquet(_)) {
        return Ok(Box::new(Replaced::new(cx, options)));
    }
    Ok(Box::new(InPlace::new(cx, options)))
}

#[cold]
fn gone() -> TaskError {
    TaskError::fatal("a file that was just opened is gone")
}

/// A file of lines.
struct InPlace {
    cx: SinkContext,
    options: FilesystemSink,
    path: PathBuf,
    /// `None`: nothing has been asked for. Only then is it known whether the file goes on.
    out: Option<LineWriter>,
    /// So long was the file at the checkpoint that is restored.
    restored: Option<u64>,
    /// Directories with new entries, which may not be on disk.
    touched: BTreeSet<PathBuf>,
}

impl InPlace {
    fn new(cx: SinkContext, options: FilesystemSink) -> Self {
        let path = PathBuf::from(&options.path);
        InPlace { cx, options, path, out: None, restored: None, touched: BTreeSet::new() }
    }

    /// The file: empty, or as long as it was at the checkpoint.
    fn open(&mut self) -> Result<&mut LineWriter, TaskError> {
        if self.out.is_none() {
            self.out = Some(self.begin()?);
        }
        self.out.as_mut().ok_or_else(gone)
    }

    fn begin(&mut self) -> Result<LineWriter, TaskError> {
        let parent = temporary::parent(&self.path);
        self.touched.extend(temporary::create_directories(&parent)?);
        self.touched.insert(parent);
        let length = self.restored.unwrap_or(0);
        let file = if length == 0 {
            // Replaced at once: a job without rows leaves an empty file, not an old one.
            File::create(&self.path).map_err(|error| io_error("create", &self.path, &error))?
        } else {
            self.cut(length)?
        };
        let counted = Counted { file, counters: Arc::clone(&self.cx.counters), written: Arc::default() };
        let FilesystemSink { format, compression, .. } = &self.options;
        let encoder = Encoder::of_changes(format, &self.cx.schema, self.cx.changelog.as_ref());
        let encoder = encoder.map_err(TaskError::fatal)?;
        LineWriter::new(counted, encoder, *compression, length == 0)
            .map_err(|error| io_error("write", &self.path, &error))
    }

    /// The file, at its end, which is there from now on.
    fn cut(&self, length: u64) -> Result<File, TaskError> {
        let mut file = File::options()
            .write(true)
            .open(&self.path)
            .map_err(|error| io_error("go on writing", &self.path, &error))?;
        let cut = file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length)));
        cut.map_err(|error| io_error("go on writing", &self.path, &error))?;
        Ok(file)
    }

    /// Notes where the file goes on. Its end is cut off later: another token may say that it was longer.
    fn restore(&mut self, token: &Value) -> Result<(), TaskError> {
        let of_token = (token.get("path").and_then(Value::as_str), token.get("bytes").and_then(Value::as_u64));
        let (Some(path), Some(bytes)) = of_token else {
            return Err(TaskError::fatal(format!("table \"{}\" cannot go on from token {token}", self.cx.table)));
        };
        let ours = temporary::absolute(&self.path)?;
        if path != ours {
            let message = format!("cannot go on writing \"{ours}\": the checkpoint is of \"{path}\"");
            return Err(
                TaskError::user(message).with_hint("start the job from the same directory, or give a full path")
            );
        }
        let length = fs::metadata(&self.path).map_err(|error| io_error("go on writing", &self.path, &error))?.len();
        if length < bytes {
            return Err(TaskError::user(format!(
                "cannot go on writing \"{path}\": it had {bytes} bytes at the checkpoint, and now it has {length}"
            )));
        }
        self.restored = self.restored.max(Some(bytes));
        Ok(())
    }

    async fn prepare_bytes(&mut self) -> Result<Value, TaskError> {
        let path = self.path.clone();
        let completed = self.open()?.complete().and_then(File::try_clone);
        let file = completed.map_err(|error| io_error("write", &path, &error))?;
        let touched = std::mem::take(&mut self.touched);
        blocking(move || {
            let synced = file.sync_all().and_then(|()| file.metadata());
            let bytes = synced.map_err(|error| io_error("write", &path, &error))?.len();
            temporary::sync_directories(&touched)?;
            Ok(json!({ "path": temporary::absolute(&path)?, "bytes": bytes }))
        })
        .await
    }
}

impl Sink for InPlace {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            let out = self.open()?;
            out.encode(&batch.columns, batch.rows).map_err(TaskError::fatal)?;
            out.write_lines().map_err(|error| io_error("write", &self.path, &error))
        })
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move { self.open()?.flush().map_err(|error| io_error("write", &self.path, &error)) })
    }

    fn prepare(&mut self) -> BoxFuture<'_, Result<Option<Value>, TaskError>> {
        Box::pin(async move { self.prepare_bytes().await.map(Some) })
    }

    /// There is nothing to do for rows of this attempt: they are there.
    fn publish(&mut self, token: Value) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            if self.out.is_some() {
                return Ok(());
            }
            self.restore(&token)
        })
    }

    /// The rows are there, as far as anything of them is to be seen: they are cut off.
    fn publish_left_behind(&mut self, _token: Value) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async { Ok(()) })
    }

    /// Cuts off what came after the checkpoint.
    fn discard_leftovers(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move { self.open().map(|_| ()) })
    }
}

/// A Parquet file, written anew for each checkpoint.
struct Replaced {
    cx: SinkContext,
    options: FilesystemSink,
    path: PathBuf,
    open: Option<Part>,
    /// The file at the last checkpoint, under whichever name, and its token.
    last: Option<(File, Value)>,
    /// Hidden files of this attempt.
    files: u64,
}

impl Replaced {
    fn new(cx: SinkContext, options: FilesystemSink) -> Self {
        let path = PathBuf::from(&options.path);
        Replaced { cx, options, path, open: None, last: None, files: 0 }
    }

    /// The file that is being written, with the rows of the last checkpoint.
    async fn part(&mut self) -> Result<&mut Part, TaskError> {
        if self.open.is_none() {
            let last = self.last.as_ref().map(|(file, _)| file.try_clone()).transpose();
            let last = last.map_err(|error| io_error("read", &self.path, &error))?;
            let temporary = Temporary::new(self.path.clone(), &self.cx.attempt, self.cx.task, self.files);
            let (options, schema) = (self.options.clone(), self.cx.schema.clone());
            let counters = Arc::clone(&self.cx.counters);
            self.files += 1;
            self.open = Some(blocking(move || begin(temporary, &options, &schema, &counters, last)).await?);
        }
        self.open.as_mut().ok_or_else(gone)
    }

    async fn prepare_file(&mut self) -> Result<Value, TaskError> {
        if let (None, Some((_, token))) = (&self.open, &self.last) {
            return Ok(token.clone());
        }
        // A job without rows leaves a file without rows.
        self.part().await?;
        let mut temporary = self.open.take().ok_or_else(gone)?.close()?;
        let (file, token) = blocking(move || {
            temporary.sync()?;
            temporary::sync_directories(&BTreeSet::from([temporary::parent(&temporary.path)]))?;
            let opened = File::open(&temporary.path).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (bytes, file) = opened.map_err(|error| io_error("open", &temporary.path, &error))?;
            Ok((file, json!({ "parts": [temporary.prepare()?], "bytes": bytes })))
        })
        .await?;
        self.last = Some((file, token.clone()));
        Ok(token)
    }

    async fn publish_file(&mut self, token: Value) -> Result<(), TaskError> {
        let (names, token) = blocking(move || Ok((temporary::publish(&token)?, token))).await?;
        // Before this attempt has written anything, it is what an earlier one has.
        if self.files == 0
            && let Some(name) = names.last()
        {
            let file = File::open(name).map_err(|error| io_error("go on writing", name, &error))?;
            self.last = Some((file, token));
        }
        Ok(())
    }
}

/// Rows that came after the checkpoint, when that is not the last one, cannot be taken out of a Parquet file.
fn check_restored(path: &str, file: &File, token: &Value) -> Result<(), TaskError> {
    let length = file.metadata().map_err(|error| io_error("go on writing", Path::new(path), &error))?.len();
    match token.get("bytes").and_then(Value::as_u64) {
        Some(bytes) if bytes != length => Err(TaskError::user(format!(
            "cannot go on writing \"{path}\": it had {bytes} bytes at the checkpoint, and now it has {length}"
        ))
        .with_hint("a Parquet file goes on from the last checkpoint only")),
        _ => Ok(()),
    }
}

/// Begins a Parquet file with the rows of another.
fn begin(
    temporary: Temporary,
    options: &FilesystemSink,
    schema: &Schema,
    counters: &Arc<SinkCounters>,
    last: Option<File>,
) -> Result<Part, TaskError> {
    let wrong =
        |error: String| TaskError::fatal(format!("cannot go on writing \"{}\" behind its rows: {error}", options.path));
    let created = temporary::create_directories(&temporary::parent(&temporary.path))?;
    temporary::sync_directories(&created.into_iter().collect())?;
    let mut part = Part::create(temporary, options, schema, None, counters)?;
    let Some(last) = last else { return Ok(part) };
    let reader = ParquetRecordBatchReaderBuilder::try_new(last)
        .and_then(|builder| builder.with_batch_size(COPY_ROWS).build())
        .map_err(|error| wrong(error.to_string()))?;
    for batch in reader {
        let batch = batch.map_err(|error| wrong(error.to_string()))?;
        let columns = schema.fields.iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| convert::convert(column, field));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, String>>().map_err(wrong)?;
        part.write(&columns, batch.num_rows())?;
    }
    Ok(part)
}

impl Sink for Replaced {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move { self.part().await?.write(&batch.columns, batch.rows) })
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn prepare(&mut self) -> BoxFuture<'_, Result<Option<Value>, TaskError>> {
        Box::pin(async move { self.prepare_file().await.map(Some) })
    }

    fn publish(&mut self, token: Value) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(self.publish_file(token))
    }

    /// The file has the rows of one checkpoint only: that of the one which is gone back to.
    fn publish_left_behind(&mut self, _token: Value) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async { Ok(()) })
    }

    fn discard_leftovers(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            if let Some((file, token)) = &self.last {
                check_restored(&self.options.path, file, token)?;
            }
            let (directory, attempt) = (temporary::parent(&self.path), self.cx.attempt.clone());
            blocking(move || temporary::discard(&directory, 0, &attempt)).await
        })
    }
}
