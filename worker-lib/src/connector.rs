//! The interface between the runtime and connectors.
//!
//! A connector crate exports one [`ConnectorDef`] for each name it serves. Generated code lists the ones that
//! its pipeline needs, so a pipeline links no client that it does not use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use futures::future::BoxFuture;
use schema::{Changelog, Schema};

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
    /// What [`Source::position`] said in every task of the table, at the checkpoint that is restored; there may have
    /// been another number of tasks.
    pub restored: Option<Vec<serde_json::Value>>,
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

    /// Where the rows go on after those that [`Source::next`] has given out, in words of the connector: given back as
    /// [`SourceContext::restored`], the same rows follow. `None`: what has been read cannot be read again.
    fn position(&self) -> Option<serde_json::Value> {
        None
    }
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
    /// Set when rows can be taken back: which do, the first column of the schema says.
    pub changelog: Option<Changelog>,
    pub task: usize,
    pub parallelism: usize,
    pub counters: Arc<SinkCounters>,
    /// Names what this sink prepares.
    pub attempt: Attempt,
}

/// One attempt at a job. Both words are fit for a file's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Like that of no other job.
    pub job: String,
    /// Larger than those of the attempts before it.
    pub generation: u64,
}

#[derive(Debug, Default)]
pub struct SinkCounters {
    pub bytes: AtomicU64,
    /// Set by a sink whose reader has gone for good (a closed pipe). It is given no more rows, and the job stops:
    /// as on a graceful stop, or as its controller orders if it has checkpoints to go back to.
    pub closed: AtomicBool,
}

/// Where rows go, in two phases: [`Sink::prepare`] makes rows safe, [`Sink::publish`] makes them visible.
///
/// ```text
///   write* prepare ─▶ token ─▶ (the token is in a manifest) ─▶ publish(token)
///                                                     restart ─▶ publish(token) again, in the next attempt
/// ```
///
/// A sink whose rows cannot be held back writes them as they come and prepares nothing: after a crash it repeats the
/// rows since the last checkpoint.
pub trait Sink: Send {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), TaskError>>;

    /// Called whenever the input pauses and at least every 100 ms: rows that may be seen already must not linger in a
    /// buffer.
    fn flush(&mut self) -> BoxFuture<'_, Result<(), TaskError>>;

    /// Sees everything that was written since the last call onto the disk (or its like), where no reader sees it, and
    /// gives the token by which it is published. `None`: there is nothing to publish. Called at each checkpoint and at
    /// the end of the input.
    fn prepare(&mut self) -> BoxFuture<'_, Result<Option<serde_json::Value>, TaskError>>;

    /// Makes visible what a token stands for. The token may be one of an earlier attempt, and may have been published
    /// before: then there is nothing to do.
    fn publish(&mut self, _token: serde_json::Value) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async { Ok(()) })
    }

    /// The same for output that was committed, but not published for certain, when the job went back to an earlier
    /// checkpoint. Nothing goes on from it now. A sink whose rows are seen before they are published has nothing to do.
    fn publish_left_behind(&mut self, token: serde_json::Value) -> BoxFuture<'_, Result<(), TaskError>> {
        self.publish(token)
    }

    /// Every token of earlier attempts has been published: what they left beside is rubbish. Called once, before the
    /// first row, in task 0.
    fn discard_leftovers(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async { Ok(()) })
    }
}
