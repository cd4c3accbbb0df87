//! Rows as lines into a file, compressed or not.
//!
//! What is compressed is one or several members (gzip) or frames (zstd), one behind the other; every reader of these
//! formats reads them as one text. So a file can be whole, and go on.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::ArrayRef;
use connectors_options::filesystem::Compression;
use formats::Encoder;
use worker_lib::connector::SinkCounters;

/// Bytes that wait for the operating system to be asked.
const BUFFER: usize = 256 * 1024;

pub(crate) struct LineWriter {
    encoder: Encoder,
    lines: Vec<u8>,
    compression: Compression,
    /// `None`: writing has failed.
    out: Option<Out>,
}

enum Out {
    /// Without compression, or between two members.
    Plain(BufWriter<Counted>),
    Gzip(flate2::write::GzEncoder<BufWriter<Counted>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Counted>>),
}

impl LineWriter {
    /// Goes on at the end of a file, with a header where it begins.
    pub(crate) fn new(file: Counted, encoder: Encoder, compression: Compression, begins: bool) -> io::Result<Self> {
        let out = Out::Plain(BufWriter::with_capacity(BUFFER, file));
        let mut writer = LineWriter { encoder, lines: Vec::new(), compression, out: Some(out) };
        if begins {
            writer.encoder.header(&mut writer.lines);
            // A file without rows is a member without bytes: none at all would be no file of its format.
            writer.write_lines()?;
        }
        Ok(writer)
    }

    /// Encodes rows, which [`LineWriter::write_lines`] writes.
    pub(crate) fn encode(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(), String> {
        self.encoder.encode(columns, rows, &mut self.lines)
    }

    pub(crate) fn write_lines(&mut self) -> io::Result<()> {
        let out = match (self.take()?, self.compression) {
            (Out::Plain(out), Compression::Gzip) => {
                Out::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default()))
            }
            (Out::Plain(out), Compression::Zstd) => Out::Zstd(zstd::stream::write::Encoder::new(out, 0)?),
            (out, _) => out,
        };
        match self.out.insert(out) {
            Out::Plain(out) => out.write_all(&self.lines)?,
            Out::Gzip(out) => out.write_all(&self.lines)?,
            Out::Zstd(out) => out.write_all(&self.lines)?,
        }
        self.lines.clear();
        Ok(())
    }

    /// Hands lines to the operating system. What a compressor holds back stays there.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Some(Out::Plain(out)) => out.flush(),
            _ => Ok(()),
        }
    }

    /// Ends what is compressed, so that the file is whole. It may go on behind it.
    pub(crate) fn complete(&mut self) -> io::Result<&File> {
        let mut out = match self.take()? {
            Out::Plain(out) => out,
            Out::Gzip(out) => out.finish()?,
            Out::Zstd(out) => out.finish()?,
        };
        out.flush()?;
        match self.out.insert(Out::Plain(out)) {
            Out::Plain(out) => Ok(&out.get_ref().file),
            _ => Err(failed()),
        }
    }

    /// Bytes that have not been handed on, as far as that is known.
    pub(crate) fn held(&self) -> usize {
        match &self.out {
            Some(Out::Plain(out)) => out.buffer().len(),
            _ => 0,
        }
    }

    fn take(&mut self) -> io::Result<Out> {
        self.out.take().ok_or_else(failed)
    }
}

#[cold]
fn failed() -> io::Error {
    io::Error::other("an earlier write has failed")
}

/// Counts bytes as they reach the file.
pub(crate) struct Counted {
    pub(crate) file: File,
    pub(crate) counters: Arc<SinkCounters>,
    /// Bytes handed to this file.
    pub(crate) written: Arc<AtomicU64>,
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
