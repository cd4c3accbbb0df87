//! Rows as lines on the worker's standard output.
//!
//! Lines are encoded into a buffer and written when it is large enough, when the input pauses and at least every
//! 100 ms (the runtime calls `flush` then). Writing happens on tokio's blocking threads: a pipe whose reader is
//! slow (a pager) must hold back this sink, not the thread of other tasks. One write is whole lines under one lock, so
//! the lines of several tasks do not mix.
//!
//! A closed pipe is the end of the job's purpose and no error: the sink says so to the runtime
//! (`SinkCounters::closed`), drops what is left, and the job stops.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

use std::io::{ErrorKind, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use connectors_options::stdout::StdoutSink;
use formats::Encoder;
use futures::future::BoxFuture;
use worker_lib::connector::{ConnectorDef, Sink, SinkContext, SinkCounters};
use worker_lib::{Batch, TaskError};

pub static STDOUT_SINK: ConnectorDef = ConnectorDef { name: "stdout", source: None, sink: Some(new) };

/// A buffer of this size is written though the input does not pause. Handing a buffer to another thread costs about as
/// much as encoding a few hundred bytes.
const WRITE_BYTES: usize = 64 << 10;

fn new(cx: SinkContext) -> Result<Box<dyn Sink>, TaskError> {
    Ok(Box::new(Stdout::new(cx, Arc::new(Mutex::new(std::io::stdout())))?))
}

/// What is written to, in tests not the standard output. The lock is held for one write.
type Writer = Arc<Mutex<dyn Write + Send>>;

struct Stdout {
    encoder: Encoder,
    buffer: Vec<u8>,
    writer: Writer,
    counters: Arc<SinkCounters>,
}

impl Stdout {
    fn new(cx: SinkContext, writer: Writer) -> Result<Stdout, TaskError> {
        let wrong = |reason: String| {
            TaskError::fatal(format!("cannot write table \"{}\" to the standard output: {reason}", cx.table))
        };
        let StdoutSink { format, .. } =
            serde_json::from_value(cx.options.clone()).map_err(|error| wrong(error.to_string()))?;
        let encoder = Encoder::of_changes(&format, &cx.schema, cx.changelog.as_ref()).map_err(&wrong)?;
        let mut buffer = Vec::new();
        if cx.task == 0 {
            encoder.header(&mut buffer);
        }
        Ok(Stdout { encoder, buffer, writer, counters: cx.counters })
    }

    async fn write_buffer(&mut self) -> Result<(), TaskError> {
        if self.buffer.is_empty() || self.counters.closed.load(Relaxed) {
            self.buffer.clear();
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let writer = self.writer.clone();
        let writing = tokio::task::spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let written = writer.write_all(&buffer).and_then(|()| writer.flush());
            (written, buffer)
        });
        let (written, mut buffer) =
            writing.await.map_err(|error| TaskError::fatal(format!("cannot write to the standard output: {error}")))?;
        match written {
            Ok(()) => {
                self.counters.bytes.fetch_add(buffer.len() as u64, Relaxed);
                buffer.clear();
                self.buffer = buffer;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.counters.closed.store(true, Relaxed);
                Ok(())
            }
            Err(error) => Err(TaskError::user(format!("cannot write to the standard output: {error}"))),
        }
    }
}

impl Sink for Stdout {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            self.encoder
                .encode(&batch.columns, batch.rows, &mut self.buffer)
                .map_err(|reason| TaskError::fatal(format!("cannot encode a row for the standard output: {reason}")))?;
            if self.buffer.len() >= WRITE_BYTES { self.write_buffer().await } else { Ok(()) }
        })
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(self.write_buffer())
    }

    /// What is printed cannot be held back: rows since the last checkpoint are printed again after a restart.
    fn prepare(&mut self) -> BoxFuture<'_, Result<Option<serde_json::Value>, TaskError>> {
        Box::pin(async move { self.write_buffer().await.map(|()| None) })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BooleanArray, Int64Array};
    use formats::{Format, JsonOptions};
    use schema::{Changelog, Field, ScalarType, Schema};
    use worker_lib::connector::Attempt;

    use super::*;

    /// Keeps lines; after `most` writes the reader is gone.
    struct Pipe {
        lines: Arc<Mutex<Vec<u8>>>,
        most: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.most == 0 {
                return Err(ErrorKind::BrokenPipe.into());
            }
            self.most -= 1;
            self.lines.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn sink(most: usize) -> (Stdout, Arc<Mutex<Vec<u8>>>, Arc<SinkCounters>) {
        let lines: Arc<Mutex<Vec<u8>>> = Arc::default();
        let counters: Arc<SinkCounters> = Arc::default();
        let format = Format::Json(JsonOptions::default());
        let cx = SinkContext {
            table: "t".into(),
            options: serde_json::json!({ "format": format }),
            schema: Schema::new(vec![Field::new("a", ScalarType::Int64, true)]),
            changelog: None,
            task: 0,
            parallelism: 1,
            counters: counters.clone(),
            attempt: Attempt::default(),
        };
        let sink = Stdout::new(cx, Arc::new(Mutex::new(Pipe { lines: lines.clone(), most }))).unwrap();
        (sink, lines, counters)
    }

    fn batch(values: &[Option<i64>]) -> Batch {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        Batch::new(vec![column], values.len())
    }

    #[tokio::test]
    async fn rows_are_lines_after_a_flush() {
        let (mut sink, lines, counters) = sink(usize::MAX);
        sink.write(batch(&[Some(1)])).await.unwrap();
        assert!(lines.lock().unwrap().is_empty());
        sink.flush().await.unwrap();
        assert_eq!(*lines.lock().unwrap(), b"{\"a\":1}\n");
        sink.write(batch(&[Some(2)])).await.unwrap();
        assert_eq!(sink.prepare().await.unwrap(), None);
        assert_eq!(*lines.lock().unwrap(), b"{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(counters.bytes.load(Relaxed), 16);
    }

    #[tokio::test]
    async fn changes_are_envelopes() {
        let lines: Arc<Mutex<Vec<u8>>> = Arc::default();
        let format = Format::DebeziumJson(JsonOptions::default());
        let cx = SinkContext {
            table: "t".into(),
            options: serde_json::json!({ "format": format }),
            schema: Schema::new(vec![Changelog::retract_field(), Field::new("a", ScalarType::Int64, true)]),
            changelog: Some(Changelog { key: None }),
            task: 0,
            parallelism: 1,
            counters: Arc::default(),
            attempt: Attempt::default(),
        };
        let mut sink = Stdout::new(cx, Arc::new(Mutex::new(Pipe { lines: lines.clone(), most: usize::MAX }))).unwrap();
        let retract: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        sink.write(Batch::new(vec![retract, column], 1)).await.unwrap();
        sink.flush().await.unwrap();
        assert_eq!(*lines.lock().unwrap(), b"{\"before\":{\"a\":1},\"after\":null,\"op\":\"d\"}\n");
    }

    #[tokio::test]
    async fn a_large_buffer_does_not_wait_for_a_flush() {
        let (mut sink, lines, _) = sink(usize::MAX);
        sink.write(batch(&vec![Some(123_456); WRITE_BYTES / 8])).await.unwrap();
        assert!(lines.lock().unwrap().len() > WRITE_BYTES);
    }

    #[tokio::test]
    async fn a_closed_pipe_is_said_once_and_is_no_error() {
        let (mut sink, lines, counters) = sink(1);
        for value in 0..4 {
            sink.write(batch(&[Some(value)])).await.unwrap();
            sink.flush().await.unwrap();
        }
        sink.prepare().await.unwrap();
        assert!(counters.closed.load(Relaxed));
        assert_eq!(*lines.lock().unwrap(), b"{\"a\":0}\n");
    }
}
