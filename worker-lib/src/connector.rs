//! The interface between the runtime and connectors.
//!
//! A connector crate exports one [`ConnectorDef`] for each name it serves. Generated code lists the ones that
//! its pipeline needs, so a pipeline links no client that it does not use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use futures::future::BoxFuture;
use schema::Schema;

use crate::batch::Batch;
use crate::error::TaskError;

/// The runtime half of a connector. Its options are in `connectors-options`, under the same name.
pub struct ConnectorDef {
    pub name: &'static str,
    pub source: Option<NewSource>,
    pub sink: Option<NewSink>,
}

/// Opens a source, for one task.
pub type NewSource = fn(SourceContext) -> Result<Box<dyn Source>, TaskError>;

/// Opens a sink, for one task.
pub type NewSink = fn(SinkContext) -> Result<Box<dyn Sink>, TaskError>;

/// What a source is given when its task starts.
pub struct SourceContext {
    /// The SQL table name, for messages.
    pub table: String,
    /// The options, as `connectors-options` validated them.
    pub options: serde_json::Value,
    /// The columns to produce, in order; only those. A struct may lack members that the query does not read.
    pub schema: Schema,
    /// Same length as the schema: the metadata key of a column that is `METADATA FROM 'key'`.
    pub metadata: Vec<Option<String>>,
    /// This task, of `parallelism` tasks that share the table's partitions.
    pub task: usize,
    pub parallelism: usize,
    /// Most rows of a batch.
    pub batch_rows: usize,
    /// Longest that a row may wait for its batch to fill.
    pub linger: std::time::Duration,
    pub counters: Arc<SourceCounters>,
}

/// What a source counts, beside the rows that the runtime counts.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Bytes read from outside, before decompression.
    pub bytes: AtomicU64,
    /// Rows dropped under `bad_data = 'drop'`.
    pub bad_rows: AtomicU64,
    /// Bytes, rows or messages not read yet, as far as the source knows (0: it does not).
    pub lag: AtomicU64,
}

/// Where rows come from.
pub trait Source: Send {
    /// The next event. Cancel-safe: a future that is dropped loses no rows. Blocking for the time of one batch of
    /// file reading is fine; waiting for the world must be `.await`ed.
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>>;
}

#[derive(Debug)]
pub enum SourceEvent {
    /// Rows of one partition, in its order. Partitions are numbered by the source, from 0 in each task.
    Rows { partition: usize, batch: Batch },
    /// The partition will have no more rows: it no longer holds back the watermark.
    PartitionEnd { partition: usize },
    /// No more rows at all.
    End,
}

/// What a sink is given when its task starts.
pub struct SinkContext {
    pub table: String,
    pub options: serde_json::Value,
    pub schema: Schema,
    pub task: usize,
    pub parallelism: usize,
    pub counters: Arc<SinkCounters>,
}

#[derive(Debug, Default)]
pub struct SinkCounters {
    pub bytes: AtomicU64,
    /// Set by a sink whose reader has gone for good (a closed pipe). It is given no more rows, and the job stops as
    /// on a graceful stop.
    pub closed: AtomicBool,
}

/// Where rows go.
pub trait Sink: Send {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), TaskError>>;

    /// Called whenever the input pauses and at least every 100 ms: rows must not linger in a buffer.
    fn flush(&mut self) -> BoxFuture<'_, Result<(), TaskError>>;

    /// The input has ended (or the job stops in good order): publish everything.
    fn close(&mut self) -> BoxFuture<'_, Result<(), TaskError>>;
}
