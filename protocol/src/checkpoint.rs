//! What a job's log holds: fences and manifests. `docs/checkpoints.md` has the protocol.
//!
//! All of it is JSON in the object store, made to be read by people too. Numbers of 64 bits that need all of them are
//! texts, because most readers of JSON have doubles.

use schema::Schema;
use serde::{Deserialize, Serialize};

/// Of the documents; grows when an older program could not restore what a newer one has written. From 2 on a file may
/// have rows outside of the hashes that it is listed with; from 3 on a checkpoint may have been asked for, and the lists of
/// joins say when their rows go.
pub const FORMAT: u32 = 3;

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
    /// The generation starts no worker: it goes on with the one that runs, or not at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopts: bool,
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
    /// Somebody wanted it now; the job went on.
    Asked,
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
    /// Of a sink, in a fence that goes back: tokens of what it leaves behind, which may not have been published yet. They
    /// are, before anything is discarded: whatever a manifest of the log names comes out, so one can go on from it later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<serde_json::Value>,
}

impl TaskState {
    /// Tokens that may not have been published, the oldest first.
    pub fn unpublished(&self) -> impl Iterator<Item = &serde_json::Value> {
        self.left_behind.iter().chain(&self.tokens)
    }
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

impl TableSpec {
    /// Whether rows go when those of an earlier form of the table did. One of format 2 may be a list that does not say.
    pub fn lives_like(&self, earlier: &TableSpec) -> bool {
        self.lifetime == earlier.lifetime || (earlier.kind == TableKind::List && earlier.lifetime.is_none())
    }
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
    /// Of one that takes back what it has written, what is written of its results, for each sink, in order: another query
    /// could only take back other rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<String>,
}

/// A row goes when the watermark comes to the value of a column, a `TIMESTAMP` or a window, of which the start counts, and
/// so much more.
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
    /// Every task reads all of it. A file holds all that its task knows by then: what it has read, and what is its own. So
    /// it replaces the task's own earlier one, and those of earlier generations, which every task has read.
    Global,
}

impl TableKind {
    /// Puts the new files of an epoch, of one generation, behind those that make up a table.
    pub fn add(self, files: &mut Vec<StateFile>, new: &[StateFile]) {
        if self == TableKind::Global
            && let Some(first) = new.first()
        {
            let is_other = |file: &StateFile| new.iter().all(|new| new.task != file.task);
            files.retain(|file| file.generation == first.generation && is_other(file));
        }
        files.extend_from_slice(new);
    }
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
    /// The hashes for which the file counts, as hexadecimal text: the first, and the last. At first they are the task's
    /// share; what has been merged into another file is taken off.
    pub hashes: (String, String),
    /// Of a table that the watermark empties: when the last row of the file goes, in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

impl StateFile {
    /// The hashes for which it counts.
    pub fn range(&self) -> HashRange {
        let number = |text: &str| u64::from_str_radix(text, 16);
        match (number(&self.hashes.0), number(&self.hashes.1)) {
            (Ok(first), Ok(last)) => HashRange { first, last },
            // Better too much than too little: whoever reads it looks at each row's hash.
            _ => HashRange::ALL,
        }
    }
}

/// Hashes from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashRange {
    pub first: u64,
    pub last: u64,
}

impl HashRange {
    pub const ALL: HashRange = HashRange { first: 0, last: u64::MAX };

    pub fn holds(self, hash: u64) -> bool {
        self.first <= hash && hash <= self.last
    }

    pub fn overlaps(self, other: HashRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What two ranges that overlap have in common.
    pub fn common(self, other: HashRange) -> HashRange {
        HashRange { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    /// What is left without another range: up to two ranges.
    pub fn without(self, other: HashRange) -> impl Iterator<Item = HashRange> {
        let below = (self.first < other.first)
            .then(|| HashRange { first: self.first, last: self.last.min(other.first.saturating_sub(1)) });
        let above = (other.last < self.last)
            .then(|| HashRange { first: self.first.max(other.last.saturating_add(1)), last: self.last });
        below.into_iter().chain(above)
    }

    /// As it is in documents.
    pub fn texts(self) -> (String, String) {
        (format!("{:016x}", self.first), format!("{:016x}", self.last))
    }
}

/// A file that a task has made of several of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Which of the stage's tables it is.
    pub table: usize,
    /// None: nothing was left of them.
    pub file: Option<StateFile>,
    pub replaces: Vec<Replaced>,
}

/// What of a file is in another one from now on: its rows with these hashes. For all others it still counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    pub path: String,
    pub hashes: HashRange,
}

impl Merged {
    /// Puts the file where those are that it was made of.
    pub fn replace(&self, files: &mut Vec<StateFile>) {
        let mut place = None;
        let mut replaced = Vec::with_capacity(files.len() + 1);
        for file in files.drain(..) {
            let of_file: Vec<HashRange> =
                self.replaces.iter().filter(|of| of.path == file.path).map(|of| of.hashes).collect();
            if of_file.iter().any(|hashes| hashes.overlaps(file.range())) {
                let left = of_file.iter().fold(vec![file.range()], |left, hashes| {
                    left.into_iter().flat_map(|range| range.without(*hashes)).collect()
                });
                replaced.extend(left.into_iter().map(|range| StateFile { hashes: range.texts(), ..file.clone() }));
                place = Some(replaced.len());
            } else {
                replaced.push(file);
            }
        }
        // Nowhere: the watermark has removed all of them meanwhile, and what was made of them.
        if let (Some(place), Some(file)) = (place, &self.file) {
            replaced.insert(place, file.clone());
        }
        *files = replaced;
    }
}

/// What one task reports of one checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSnapshot {
    pub stage: usize,
    pub task: usize,
    /// None: the task has ended, and this stands for it in every later checkpoint.
    pub epoch: Option<u64>,
    pub state: TaskState,
    /// By table of the stage: its specification, and the files of this epoch, if any row has changed; several if there are
    /// many.
    pub tables: Vec<(TableSpec, Vec<StateFile>)>,
    /// A file that takes the place of others from this checkpoint on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, first: u64, last: u64) -> StateFile {
        StateFile {
            path: path.into(),
            sha256: String::new(),
            bytes: 1,
            rows: 1,
            epoch: 1,
            generation: 1,
            task: 0,
            hashes: HashRange { first, last }.texts(),
            expires: None,
        }
    }

    fn merged(name: &str, first: u64, last: u64, of: &[(&str, u64, u64)]) -> Merged {
        let replaced = |(path, first, last): &(&str, u64, u64)| Replaced {
            path: (*path).to_owned(),
            hashes: HashRange { first: *first, last: *last },
        };
        Merged { table: 0, file: Some(file(name, first, last)), replaces: of.iter().map(replaced).collect() }
    }

    /// Paths and hashes of files.
    fn listed(files: &[StateFile]) -> Vec<(&str, u64, u64)> {
        files.iter().map(|file| (file.path.as_str(), file.range().first, file.range().last)).collect()
    }

    #[test]
    fn ranges_are_cut() {
        let range = |first, last| HashRange { first, last };
        let without = |first, last| range(10, 20).without(range(first, last)).collect::<Vec<_>>();
        assert_eq!(without(0, 9), [range(10, 20)]);
        assert_eq!(without(21, u64::MAX), [range(10, 20)]);
        assert_eq!(without(0, 14), [range(15, 20)]);
        assert_eq!(without(15, u64::MAX), [range(10, 14)]);
        assert_eq!(without(12, 12), [range(10, 11), range(13, 20)]);
        assert_eq!(without(10, 20), []);
        assert_eq!(HashRange::ALL.without(HashRange::ALL).count(), 0);
        assert_eq!(HashRange::ALL.without(range(u64::MAX, u64::MAX)).count(), 1);
    }

    #[test]
    fn a_merged_file_takes_the_place_of_what_it_has() {
        // Of an attempt with one task, then of one with two.
        let mut files = vec![file("x", 0, 99), file("a1", 0, 49), file("b1", 50, 99), file("a2", 0, 49)];
        merged("a", 0, 49, &[("x", 0, 49), ("a1", 0, 49)]).replace(&mut files);
        assert_eq!(listed(&files), [("x", 50, 99), ("a", 0, 49), ("b1", 50, 99), ("a2", 0, 49)]);
        merged("b", 50, 99, &[("x", 50, 99), ("b1", 50, 99)]).replace(&mut files);
        assert_eq!(listed(&files), [("a", 0, 49), ("b", 50, 99), ("a2", 0, 49)]);
        // Nothing was left.
        let nothing = Merged { file: None, ..merged("", 0, 0, &[("b", 50, 99)]) };
        nothing.replace(&mut files);
        assert_eq!(listed(&files), [("a", 0, 49), ("a2", 0, 49)]);
        // All that it was made of has gone.
        nothing.replace(&mut files);
        merged("c", 50, 99, &[("b", 50, 99)]).replace(&mut files);
        assert_eq!(listed(&files), [("a", 0, 49), ("a2", 0, 49)]);
    }

    #[test]
    fn a_file_that_was_cut_in_the_middle_is_listed_twice() {
        let mut files = vec![file("x", 0, 99)];
        merged("m", 40, 59, &[("x", 40, 59)]).replace(&mut files);
        assert_eq!(listed(&files), [("x", 0, 39), ("x", 60, 99), ("m", 40, 59)]);
        // One task again: it merges what stands behind the first part, and the first part stays.
        merged("n", 0, 99, &[("x", 60, 99), ("m", 40, 59)]).replace(&mut files);
        assert_eq!(listed(&files), [("x", 0, 39), ("n", 0, 99)]);
    }
}
