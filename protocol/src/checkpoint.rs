//! What a job's log holds: fences and manifests. `docs/checkpoints.md` has the protocol.
//!
//! All of it is JSON in the object store, made to be read by people too. Numbers of 64 bits that need all of them are
//! texts, because most readers of JSON have doubles.

use schema::Schema;
use serde::{Deserialize, Serialize};

/// Of the documents; grows when an older program could not restore what a newer one has written.
pub const FORMAT: u32 = 1;

/// One record of the log. Its number is its file's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    Fence(Fence),
    Checkpoint(Manifest),
}

impl Record {
    pub fn generation(&self) -> u64 {
        match self {
            Record::Fence(fence) => fence.generation,
            Record::Checkpoint(manifest) => manifest.generation,
        }
    }
}

/// From here on the log belongs to this generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fence {
    pub generation: u64,
    /// Random: tells one's own fence from that of somebody who chose the same number.
    pub owner: String,
    /// Microseconds since the epoch, for people.
    pub at_micros: i64,
    /// The generation goes back to this checkpoint; none: on from the newest. It is here as a whole, because whatever
    /// becomes of the record or savepoint that it was, this is where the log goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Box<Manifest>>,
}

/// A checkpoint: all that is needed to go on from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub job: String,
    /// The number of its record.
    pub epoch: u64,
    pub generation: u64,
    /// Digest of the generated sources.
    pub code: String,
    pub reason: Reason,
    /// Microseconds since the epoch: when it was begun, and when every task had reported.
    pub begun_micros: i64,
    pub complete_micros: i64,
    pub stages: Vec<StageState>,
}

/// Why a checkpoint was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Interval,
    /// The job was stopped with it; windows are open.
    Stop,
    /// All sources have ended and all windows are closed: there is nothing to go on from.
    End,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageState {
    /// Its index in the plan.
    pub stage: usize,
    pub name: String,
    /// As the plan has them, for people.
    pub operators: Vec<String>,
    /// The table that it reads, and the one that it writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Outside>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<Outside>,
    pub tables: Vec<TableState>,
    /// By task.
    pub tasks: Vec<TaskState>,
}

/// A table of the query behind which is the outside world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    pub table: String,
    pub connector: String,
}

/// What a task has beside its tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskState {
    /// Nanoseconds since the epoch: how far the task's event time had come.
    pub watermark: Option<i64>,
    /// The task had ended: its input has no more rows.
    pub ended: bool,
    /// Of a source: where it reads on, in the connector's words, and what its partitions' watermarks were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceState>,
    /// Of a sink: what it needs to publish what it has prepared, in the connector's words; several if the task ended
    /// before an earlier one was published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// None: the source cannot be read again, and goes on with what comes.
    pub position: Option<serde_json::Value>,
    /// The largest watermark that was derived from each partition's rows: its number in the task, nanoseconds.
    pub watermarks: Vec<(usize, i64)>,
}

/// What a stage keeps, as it declares it. A table and its columns are named by what they mean (`sum(price)`): a column of
/// the same name, in the table of the same name, of the same operator, is the same state in another query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSpec {
    pub name: String,
    pub kind: TableKind,
    /// Grows when the meaning of the columns changes.
    pub version: u32,
    /// The first so many columns are the key, whose hash says which task a row belongs to; 0: task 0 has all.
    pub keys: usize,
    pub columns: Schema,
    /// Of a table that the watermark empties: which rows it removes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Lifetime>,
    #[serde(default)]
    pub operator: Operator,
}

/// Whose table it is, in words that do not change with other parts of the query: stages are renumbered by any change,
/// and other queries may come to share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// `tumble`
    pub kind: String,
    /// The tables that its rows come from, and those that its results go to, in order.
    pub sources: Vec<String>,
    pub sinks: Vec<String>,
    /// What its rows are: `bids WHERE price > 100 on dt`.
    pub rows: String,
}

/// A row goes when the watermark comes to the value of a column, a `TIMESTAMP`, and so much more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    pub column: usize,
    pub nanos: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// A row replaces the earlier one of the same key and time; the watermark removes it.
    TimeKeyed,
    /// A row replaces the earlier one of the same key; one whose last column, `_deleted`, is true removes it.
    Keyed,
    /// Rows are added; the watermark removes them.
    List,
    /// A file replaces those before it, and every task reads all of it.
    Global,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableState {
    #[serde(flatten)]
    pub spec: TableSpec,
    /// The oldest first; later rows win.
    pub files: Vec<StateFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Below the job's directory.
    pub path: String,
    pub sha256: String,
    pub bytes: u64,
    pub rows: u64,
    pub epoch: u64,
    pub generation: u64,
    pub task: usize,
    /// The task's share of the hashes, as hexadecimal text: the first, and the last.
    pub hashes: (String, String),
    /// Of a table that the watermark empties: when the last row of the file goes, in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

/// What one task reports of one checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSnapshot {
    pub stage: usize,
    pub task: usize,
    /// None: the task has ended, and this stands for it in every later checkpoint.
    pub epoch: Option<u64>,
    pub state: TaskState,
    /// By table of the stage: its specification, and the file of this epoch, if any row has changed.
    pub tables: Vec<(TableSpec, Option<StateFile>)>,
    pub times: SnapshotTimes,
}

/// How long each part of a task's checkpoint took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotTimes {
    /// From the first barrier to the last.
    pub align: u64,
    /// The task did nothing else.
    pub snapshot: u64,
    pub upload: u64,
}
