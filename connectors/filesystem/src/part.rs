//! One file being written.
//!
//! A part is written under a hidden temporary name beside its place and renamed when it is complete and on disk, so
//! that whoever lists the directory sees whole files only. A part that is dropped before leaves nothing behind. A
//! single file is written in place instead: its reader may follow it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use connectors_options::filesystem::Compression;
use formats::{Encoder, Format, ParquetCompression, ParquetOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use schema::Schema;
use worker_lib::TaskError;
use worker_lib::connector::SinkCounters;

use crate::io_error;

/// Bytes that wait for the operating system to be asked.
const BUFFER: usize = 256 * 1024;

pub(crate) struct Part {
    path: PathBuf,
    /// Where it is written; the same as `path` for a single file.
    temporary: PathBuf,
    writer: Option<Writer>,
    pub(crate) begun: Instant,
    pub(crate) touched: Instant,
    schema: Schema,
    lines: Vec<u8>,
    /// Bytes handed to the file.
    written: Arc<std::sync::atomic::AtomicU64>,
}

enum Writer {
    Lines { encoder: Box<Encoder>, out: Lines },
    Parquet(Box<ArrowWriter<Counted>>),
}

enum Lines {
    Plain(BufWriter<Counted>),
    Gzip(flate2::write::GzEncoder<BufWriter<Counted>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Counted>>),
}

impl Part {
    /// Begins a file; `in_place` replaces what is there at once.
    pub(crate) fn create(
        path: PathBuf,
        in_place: bool,
        format: &Format,
        compression: Compression,
        schema: &Schema,
        counters: &Arc<SinkCounters>,
    ) -> Result<Self, TaskError> {
        let temporary = if in_place { path.clone() } else { temporary_name(&path) };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(|error| io_error("create directory", directory, &error))?;
        }
        let file = File::create(&temporary).map_err(|error| io_error("create", &temporary, &error))?;
        let written = Arc::default();
        let counted = Counted { file, counters: Arc::clone(counters), written: Arc::clone(&written) };
        let now = Instant::now();
        let mut part = Part {
            path,
            temporary,
            writer: None,
            begun: now,
            touched: now,
            schema: schema.clone(),
            lines: Vec::new(),
            written,
        };
        let writer = writer(counted, format, compression, schema);
        part.writer = Some(writer.map_err(|error| part.failed("write", &error))?);
        if let Some(Writer::Lines { encoder, .. }) = &part.writer {
            encoder.header(&mut part.lines);
        }
        part.write_lines()?;
        Ok(part)
    }

    #[cold]
    fn failed(&self, action: &str, error: &io::Error) -> TaskError {
        io_error(action, &self.temporary, error)
    }

    pub(crate) fn write(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(), TaskError> {
        self.touched = Instant::now();
        match &mut self.writer {
            Some(Writer::Lines { encoder, .. }) => {
                encoder.encode(columns, rows, &mut self.lines).map_err(TaskError::fatal)?;
                self.write_lines()
            }
            Some(Writer::Parquet(writer)) => {
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let batch = RecordBatch::try_new_with_options(self.schema.to_arrow(), columns.to_vec(), &options)
                    .map_err(|error| TaskError::fatal(format!("cannot write a batch: {error}")))?;
                writer.write(&batch).map_err(|error| io_error("write", &self.temporary, &io_of(error)))
            }
            None => Err(TaskError::fatal("a file was written after it was closed")),
        }
    }

    fn write_lines(&mut self) -> Result<(), TaskError> {
        if let Some(Writer::Lines { out, .. }) = &mut self.writer {
            let result = match out {
                Lines::Plain(out) => out.write_all(&self.lines),
                Lines::Gzip(out) => out.write_all(&self.lines),
                Lines::Zstd(out) => out.write_all(&self.lines),
            };
            result.map_err(|error| self.failed("write", &error))?;
        }
        self.lines.clear();
        Ok(())
    }

    /// Hands lines to the operating system. What a compressor or Parquet's row group holds back stays there.
    pub(crate) fn flush(&mut self) -> Result<(), TaskError> {
        let Some(Writer::Lines { out: Lines::Plain(out), .. }) = &mut self.writer else { return Ok(()) };
        out.flush().map_err(|error| self.failed("write", &error))
    }

    /// About the size that the file would have if it were closed now.
    pub(crate) fn bytes(&self) -> u64 {
        let held = match &self.writer {
            Some(Writer::Lines { out: Lines::Plain(out), .. }) => out.buffer().len(),
            Some(Writer::Parquet(writer)) => writer.in_progress_size(),
            _ => 0,
        };
        self.written.load(Relaxed) + held as u64
    }

    /// Completes the file, sees it onto the disk, and gives it its name.
    pub(crate) fn close(mut self) -> Result<(), TaskError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let file = finish(writer).map_err(|error| self.failed("write", &error))?;
        file.sync_all().map_err(|error| self.failed("write", &error))?;
        if self.temporary != self.path {
            fs::rename(&self.temporary, &self.path).map_err(|error| io_error("create", &self.path, &error))?;
            self.temporary.clone_from(&self.path);
        }
        sync_directory(&self.path).map_err(|error| io_error("write", &self.path, &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.temporary != self.path {
            // Nobody is left to be told of a failure.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

/// The rename itself must survive a crash.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn writer(file: Counted, format: &Format, compression: Compression, schema: &Schema) -> io::Result<Writer> {
    if let Format::Parquet(options) = format {
        let writer = ArrowWriter::try_new(file, schema.to_arrow(), Some(properties(options)?)).map_err(io_of)?;
        return Ok(Writer::Parquet(Box::new(writer)));
    }
    let encoder = Box::new(Encoder::new(format, schema).map_err(io::Error::other)?);
    let out = BufWriter::with_capacity(BUFFER, file);
    let out = match compression {
        Compression::None => Lines::Plain(out),
        Compression::Gzip => Lines::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default())),
        Compression::Zstd => Lines::Zstd(zstd::stream::write::Encoder::new(out, 0)?),
    };
    Ok(Writer::Lines { encoder, out })
}

fn properties(options: &ParquetOptions) -> io::Result<WriterProperties> {
    let codec = match options.compression {
        ParquetCompression::Zstd => Codec::ZSTD(ZstdLevel::default()),
        ParquetCompression::Snappy => Codec::SNAPPY,
        ParquetCompression::Gzip => Codec::GZIP(GzipLevel::default()),
        ParquetCompression::Lz4 => Codec::LZ4,
        ParquetCompression::Lz4Raw => Codec::LZ4_RAW,
        ParquetCompression::Uncompressed => Codec::UNCOMPRESSED,
    };
    let builder = WriterProperties::builder().set_compression(codec).set_created_by("streamwright".to_owned());
    Ok(match options.row_group_rows {
        Some(rows) => builder.set_max_row_group_row_count(Some(rows)).build(),
        None => builder.build(),
    })
}

/// The operating system's error inside Parquet's, where there is one.
fn io_of(error: parquet::errors::ParquetError) -> io::Error {
    match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}

fn finish(writer: Writer) -> io::Result<File> {
    let out = match writer {
        Writer::Parquet(writer) => return Ok(writer.into_inner().map_err(io_of)?.file),
        Writer::Lines { out, .. } => match out {
            Lines::Plain(out) => out,
            Lines::Gzip(out) => out.finish()?,
            Lines::Zstd(out) => out.finish()?,
        },
    };
    Ok(out.into_inner().map_err(io::IntoInnerError::into_error)?.file)
}

/// Counts bytes as they reach the file.
struct Counted {
    file: File,
    counters: Arc<SinkCounters>,
    written: Arc<std::sync::atomic::AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.counters.bytes.fetch_add(written as u64, Relaxed);
        self.written.fetch_add(written as u64, Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
