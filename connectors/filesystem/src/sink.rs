//! Batches into the files of a directory, by partition, rolled by size and time.
//!
//! A file that is closed is whole, but hidden. All files are closed at each checkpoint, and get their names when it is
//! published. A name is given once: those that are numbered have the attempt in them from the second on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use connectors_options::filesystem::{Compression, FilesystemSink, NamingStrategy};
use formats::Format;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use worker_lib::connector::{Sink, SinkContext};
use worker_lib::{Batch, TaskError};

use crate::part::Part;
use crate::temporary::{self, Temporary, blocking};

/// Files that are open at once; of more partitions, the one that was written to longest ago is closed.
const OPEN_FILES: usize = 256;

/// What stands for null in a directory's name, as in Hive.
const NULL_DIRECTORY: &str = "__HIVE_DEFAULT_PARTITION__";

pub(crate) fn new(cx: SinkContext) -> Result<Box<dyn Sink>, TaskError> {
    Ok(Box::new(Files::new(cx)?))
}

struct Files {
    cx: SinkContext,
    options: FilesystemSink,
    /// Columns that name directories.
    partition_by: Vec<usize>,
    /// By the directory below the path: `origin=JFK/carrier=AA`, or nothing.
    open: BTreeMap<String, Part>,
    files: u64,
    /// Files that are whole, since the last checkpoint, and those of them that are on disk.
    closed: Vec<Temporary>,
    synced: Vec<Temporary>,
    /// Directories with new entries, which may not be on disk.
    touched: BTreeSet<PathBuf>,
}

impl Files {
    fn new(cx: SinkContext) -> Result<Self, TaskError> {
        let options: FilesystemSink = serde_json::from_value(cx.options.clone())
            .map_err(|error| TaskError::fatal(format!("cannot read the options of table \"{}\": {error}", cx.table)))?;
        // The first column of a changelog is none of the rows'.
        let first = usize::from(cx.changelog.is_some());
        let column = |name: &String| {
            let index = cx.schema.fields.iter().skip(first).position(|field| field.name == *name)?;
            Some(first + index)
        };
        let partition_by = options.partition_by.iter().map(column).collect::<Option<Vec<_>>>();
        let partition_by = partition_by.ok_or_else(|| TaskError::fatal("a partitioning column does not exist"))?;
        Ok(Files {
            cx,
            options,
            partition_by,
            open: BTreeMap::new(),
            files: 0,
            closed: Vec::new(),
            synced: Vec::new(),
            touched: BTreeSet::new(),
        })
    }

    fn write_batch(&mut self, batch: &Batch) -> Result<(), TaskError> {
        if self.partition_by.is_empty() {
            self.write_part("", &batch.columns, batch.rows)?;
        } else {
            for (directory, rows) in self.partitions(batch)? {
                let rows = UInt32Array::from(rows);
                let columns = batch.columns.iter().map(|column| take(column, &rows, None));
                let columns = columns.collect::<Result<Vec<ArrayRef>, _>>();
                let columns = columns.map_err(|error| TaskError::fatal(format!("cannot split a batch: {error}")))?;
                self.write_part(&directory, &columns, rows.len())?;
            }
        }
        self.roll()
    }

    /// Directories, and the rows of the batch that go there.
    fn partitions(&self, batch: &Batch) -> Result<BTreeMap<String, Vec<u32>>, TaskError> {
        let mut directories = vec![String::new(); batch.rows];
        for column in &self.partition_by {
            let field = &self.cx.schema.fields[*column];
            let texts = formats::texts(field, &batch.columns[*column]).map_err(TaskError::fatal)?;
            for (directory, text) in directories.iter_mut().zip(texts) {
                if !directory.is_empty() {
                    directory.push('/');
                }
                directory.push_str(&escape(&field.name));
                directory.push('=');
                directory.push_str(&text.map_or_else(|| NULL_DIRECTORY.to_owned(), |text| escape(&text)));
            }
        }
        let mut rows: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (row, directory) in directories.into_iter().enumerate() {
            rows.entry(directory).or_default().push(row as u32);
        }
        Ok(rows)
    }

    fn write_part(&mut self, directory: &str, columns: &[ArrayRef], rows: usize) -> Result<(), TaskError> {
        self.part(directory)?.write(columns, rows)
    }

    fn part(&mut self, directory: &str) -> Result<&mut Part, TaskError> {
        if !self.open.contains_key(directory) {
            if self.open.len() >= OPEN_FILES {
                self.close_oldest()?;
            }
            let path = self.next_path(directory);
            let parent = temporary::parent(&path);
            self.touched.extend(temporary::create_directories(&parent)?);
            self.touched.insert(parent);
            let temporary = Temporary::new(path, &self.cx.attempt, self.cx.task, self.files);
            let SinkContext { schema, changelog, counters, .. } = &self.cx;
            let part = Part::create(temporary, &self.options, schema, changelog.as_ref(), counters)?;
            self.files += 1;
            self.open.insert(directory.to_owned(), part);
        }
        self.open.get_mut(directory).ok_or_else(|| TaskError::fatal("a file that was just opened is gone"))
    }

    fn close_oldest(&mut self) -> Result<(), TaskError> {
        let oldest = self.open.iter().min_by_key(|(_, part)| part.touched).map(|(directory, _)| directory.clone());
        if let Some(part) = oldest.and_then(|directory| self.open.remove(&directory)) {
            self.closed.push(part.close()?);
        }
        Ok(())
    }

    fn next_path(&self, directory: &str) -> PathBuf {
        let root = Path::new(&self.options.path);
        let naming = &self.options.naming;
        let unique = match naming.strategy {
            NamingStrategy::Serial => match self.cx.attempt.generation {
                0 | 1 => format!("{:05}-{:03}", self.files, self.cx.task),
                generation => format!("{:05}-{:03}-g{generation}", self.files, self.cx.task),
            },
            NamingStrategy::Uuid => uuid::Uuid::new_v4().to_string(),
            NamingStrategy::UuidV7 => uuid::Uuid::now_v7().to_string(),
            NamingStrategy::Ulid => ulid(uuid::Uuid::now_v7().as_u128()),
        };
        let prefix = naming.prefix.as_ref().map(|prefix| format!("{prefix}-")).unwrap_or_default();
        let suffix = naming.suffix.clone().unwrap_or_else(|| {
            let compression = match (&self.options.format, self.options.compression) {
                (Format::Parquet(_), _) | (_, Compression::None) => "",
                (_, Compression::Gzip) => ".gz",
                (_, Compression::Zstd) => ".zst",
            };
            format!(".{}{compression}", self.options.format.extension())
        });
        root.join(directory).join(format!("{prefix}{unique}{suffix}"))
    }

    /// Closes the files whose time has come.
    fn roll(&mut self) -> Result<(), TaskError> {
        let rolling = &self.options.rolling;
        let now = Instant::now();
        let over = |since: Instant, micros: Option<u64>| {
            micros.is_some_and(|micros| now.duration_since(since) >= Duration::from_micros(micros))
        };
        let due = |part: &Part| {
            over(part.begun, rolling.interval_micros)
                || over(part.touched, rolling.inactivity_micros)
                || rolling.file_bytes.is_some_and(|bytes| part.bytes() >= bytes)
        };
        let due: Vec<String> =
            self.open.iter().filter(|(_, part)| due(part)).map(|(directory, _)| directory.clone()).collect();
        for directory in due {
            if let Some(part) = self.open.remove(&directory) {
                self.closed.push(part.close()?);
            }
        }
        Ok(())
    }

    /// Sees onto the disk what has been closed.
    async fn sync(&mut self) -> Result<(), TaskError> {
        if self.closed.is_empty() {
            return Ok(());
        }
        let closed = std::mem::take(&mut self.closed);
        let synced = blocking(move || {
            closed.iter().try_for_each(Temporary::sync)?;
            Ok(closed)
        })
        .await?;
        self.synced.extend(synced);
        Ok(())
    }

    async fn prepare_parts(&mut self) -> Result<Option<Value>, TaskError> {
        for part in std::mem::take(&mut self.open).into_values() {
            self.closed.push(part.close()?);
        }
        self.sync().await?;
        if self.synced.is_empty() {
            return Ok(None);
        }
        let touched = std::mem::take(&mut self.touched);
        blocking(move || temporary::sync_directories(&touched)).await?;
        let mut synced = std::mem::take(&mut self.synced);
        let parts = synced.iter_mut().map(Temporary::prepare).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(json!({ "parts": parts })))
    }
}

impl Sink for Files {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            self.write_batch(&batch)?;
            self.sync().await
        })
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            self.open.values_mut().try_for_each(Part::flush)?;
            self.roll()?;
            self.sync().await
        })
    }

    fn prepare(&mut self) -> BoxFuture<'_, Result<Option<Value>, TaskError>> {
        Box::pin(self.prepare_parts())
    }

    fn publish(&mut self, token: Value) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(blocking(move || temporary::publish(&token).map(drop)))
    }

    fn discard_leftovers(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        let (root, depth) = (PathBuf::from(&self.options.path), self.partition_by.len());
        let attempt = self.cx.attempt.clone();
        Box::pin(blocking(move || temporary::discard(&root, depth, &attempt)))
    }
}

/// A value as part of a directory's name: other bytes than letters, digits and `-_.` as `%XX`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// 128 bits in Crockford's base 32.
fn ulid(bits: u128) -> String {
    let symbol = |i: u32| char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(bits >> (125 - 5 * i)) as usize & 31]);
    (0..26).map(symbol).collect()
}
