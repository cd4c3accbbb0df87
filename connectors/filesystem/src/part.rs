//! One file being written, under a hidden name.
//!
//! ```text
//!   Part ──close──▶ Temporary ──sync──▶ prepare ──▶ a token's part
//! ```
//!
//! A part that is dropped leaves nothing behind.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use connectors_options::filesystem::FilesystemSink;
use formats::{Encoder, Format, ParquetCompression, ParquetOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use schema::{Changelog, Schema};
use worker_lib::TaskError;
use worker_lib::connector::SinkCounters;

use crate::io_error;
use crate::lines::{Counted, LineWriter};
use crate::temporary::Temporary;

pub(crate) struct Part {
    temporary: Temporary,
    writer: Writer,
    pub(crate) begun: Instant,
    pub(crate) touched: Instant,
    schema: Schema,
    /// Bytes handed to the file.
    written: Arc<AtomicU64>,
}

enum Writer {
    Lines(Box<LineWriter>),
    Parquet(Box<ArrowWriter<Counted>>),
}

impl Part {
    /// Begins a file in a directory that is there.
    pub(crate) fn create(
        temporary: Temporary,
        options: &FilesystemSink,
        schema: &Schema,
        changelog: Option<&Changelog>,
        counters: &Arc<SinkCounters>,
    ) -> Result<Self, TaskError> {
        let file = File::create(&temporary.path).map_err(|error| io_error("create", &temporary.path, &error))?;
        let written = Arc::default();
        let counted = Counted { file, counters: Arc::clone(counters), written: Arc::clone(&written) };
        let writer = Writer::new(counted, options, schema, changelog)
            .map_err(|error| io_error("write", &temporary.path, &error))?;
        let now = Instant::now();
        Ok(Part { temporary, writer, begun: now, touched: now, schema: schema.clone(), written })
    }

    pub(crate) fn write(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(), TaskError> {
        self.touched = Instant::now();
        let written = match &mut self.writer {
            Writer::Lines(lines) => {
                lines.encode(columns, rows).map_err(TaskError::fatal)?;
                lines.write_lines()
            }
            Writer::Parquet(writer) => {
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let batch = RecordBatch::try_new_with_options(self.schema.to_arrow(), columns.to_vec(), &options)
                    .map_err(|error| TaskError::fatal(format!("cannot write a batch: {error}")))?;
                writer.write(&batch).map_err(io_of)
            }
        };
        written.map_err(|error| io_error("write", &self.temporary.path, &error))
    }

    /// Hands lines to the operating system. What a compressor or Parquet's row group holds back stays there.
    pub(crate) fn flush(&mut self) -> Result<(), TaskError> {
        match &mut self.writer {
            Writer::Lines(lines) => lines.flush().map_err(|error| io_error("write", &self.temporary.path, &error)),
            Writer::Parquet(_) => Ok(()),
        }
    }

    /// About the size that the file would have if it were closed now.
    pub(crate) fn bytes(&self) -> u64 {
        let held = match &self.writer {
            Writer::Lines(lines) => lines.held(),
            Writer::Parquet(writer) => writer.in_progress_size(),
        };
        self.written.load(Relaxed) + held as u64
    }

    /// Completes the file. It may not be on disk.
    pub(crate) fn close(self) -> Result<Temporary, TaskError> {
        let Part { temporary, writer, .. } = self;
        match writer.finish() {
            Ok(()) => Ok(temporary),
            Err(error) => Err(io_error("write", &temporary.path, &error)),
        }
    }
}

impl Writer {
    fn new(
        file: Counted,
        options: &FilesystemSink,
        schema: &Schema,
        changelog: Option<&Changelog>,
    ) -> io::Result<Writer> {
        if let Format::Parquet(options) = &options.format {
            let writer = ArrowWriter::try_new(file, schema.to_arrow(), Some(properties(options)?)).map_err(io_of)?;
            return Ok(Writer::Parquet(Box::new(writer)));
        }
        let encoder = Encoder::of_changes(&options.format, schema, changelog).map_err(io::Error::other)?;
        Ok(Writer::Lines(Box::new(LineWriter::new(file, encoder, options.compression, true)?)))
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Writer::Lines(mut lines) => lines.complete().map(|_| ()),
            Writer::Parquet(writer) => writer.close().map(|_| ()).map_err(io_of),
        }
    }
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
    let mut builder = WriterProperties::builder().set_compression(codec).set_created_by("streamwright".to_owned());
    if let Some(rows) = options.row_group_rows {
        builder = builder.set_max_row_group_row_count(Some(rows));
    }
    Ok(builder.set_max_row_group_bytes(options.row_group_bytes).build())
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
