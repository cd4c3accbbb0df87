//! Line files: inflated, cut into chunks, decoded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use connectors_options::filesystem::Compression;
use formats::Decoder;
use worker_lib::TaskError;
use worker_lib::connector::SourceCounters;

use crate::listing::Found;
use crate::{io_error, position};

/// Bytes that are asked for at once.
const CHUNK: usize = 1 << 20;
/// Most bytes of a line: what has no end of line for so long is no file of lines.
const LONGEST: usize = 64 << 20;

/// A file being read.
pub(crate) struct TextFile {
    file: Found,
    /// As positions have it.
    pub(crate) name: String,
    /// Rows that were given out before the restart, and how many of them have yet to be read over.
    before: u64,
    skip: u64,
    /// Rows given out, with those before.
    pub(crate) given: u64,
    reader: Box<dyn Read + Send>,
    /// What was read and not yet decoded is `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    exhausted: bool,
}

impl TextFile {
    /// `before`: so many rows were given out before a restart.
    pub(crate) fn open(
        file: Found,
        before: u64,
        compression: Option<Compression>,
        counters: Arc<SourceCounters>,
        buffer: Vec<u8>,
    ) -> Result<Self, TaskError> {
        let opened = File::open(&file.path).map_err(|error| io_error("open", &file.path, &error))?;
        let counted = Counted { file: opened, counters };
        let reader: Box<dyn Read + Send> = match compression.unwrap_or_else(|| by_extension(&file.path)) {
            Compression::None => Box::new(counted),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(counted)),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(counted);
                Box::new(decoder.map_err(|error| io_error("read", &file.path, &error))?)
            }
        };
        let name = position::name(&file.path);
        Ok(TextFile {
            file,
            name,
            before,
            skip: before,
            given: before,
            reader,
            buffer,
            start: 0,
            end: 0,
            exhausted: false,
        })
    }

    /// Reads over rows that were given out before the restart, at most `rows` of them. False: there were none left.
    pub(crate) fn skip(&mut self, decoder: &mut Decoder, rows: usize) -> Result<bool, TaskError> {
        if self.skip == 0 {
            return Ok(false);
        }
        let more = self.decode(decoder, usize::try_from(self.skip).unwrap_or(rows).min(rows))?;
        self.skip -= decoder.rows() as u64;
        decoder.take().map_err(TaskError::fatal)?;
        if !more && self.skip > 0 {
            let have = self.before - self.skip;
            return Err(position::shrunk(&self.file.path, have, self.before));
        }
        Ok(true)
    }

    /// Decodes until `decoder` holds `rows` rows, a chunk had none that can be read, or the file ends. False: it has ended.
    pub(crate) fn decode(&mut self, decoder: &mut Decoder, rows: usize) -> Result<bool, TaskError> {
        loop {
            let input = &self.buffer[self.start..self.end];
            let read = decoder.decode(input, self.exhausted, rows).map_err(|bad| {
                TaskError::user(format!("\"{}\", {bad}", self.file.path.display()))
                    .with_hint("WITH (bad_data = 'drop') leaves out rows that cannot be read, and counts them")
            })?;
            self.start += read;
            if decoder.rows() >= rows {
                return Ok(true);
            }
            if self.exhausted {
                return Ok(false);
            }
            if read > 0 && decoder.rows() == 0 {
                return Ok(true);
            }
            self.fill()?;
        }
    }

    /// Reads on, behind the partial line that is left.
    fn fill(&mut self) -> Result<(), TaskError> {
        if self.end - self.start > LONGEST {
            let message = format!("\"{}\": a line is longer than {LONGEST} bytes", self.file.path.display());
            return Err(
                TaskError::user(message).with_hint("Is this a file of lines, and is its compression the one it has?")
            );
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < self.end + CHUNK {
            self.buffer.resize((self.end + CHUNK).next_power_of_two(), 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.exhausted = true,
                Ok(bytes) => self.end += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(io_error("read", &self.file.path, &error)),
            }
            // A long line is searched again whenever there is more of it, so that must not be in small pieces.
            if self.exhausted || self.end <= CHUNK || self.end == self.buffer.len() {
                return Ok(());
            }
        }
    }

    /// The buffer, for the next file.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

fn by_extension(path: &Path) -> Compression {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz" | "gzip") => Compression::Gzip,
        Some("zst" | "zstd") => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Counts bytes as they leave the file, before they are inflated.
struct Counted {
    file: File,
    counters: Arc<SourceCounters>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.counters.bytes.fetch_add(bytes as u64, Relaxed);
        take_lag(&self.counters, bytes as u64);
        Ok(bytes)
    }
}

/// Fewer bytes are left; a file that grew meanwhile does not make it less than none.
pub(crate) fn take_lag(counters: &SourceCounters, bytes: u64) {
    let lag = counters.lag.load(Relaxed);
    counters.lag.store(lag.saturating_sub(bytes), Relaxed);
}
