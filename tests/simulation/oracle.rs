//! What must hold, by an observer who sees everything at the moment at which it happens, and who knows arithmetic.
//!
//! | oracle | says |
//! |---|---|
//! | Output | what is published at the end is, as a multiset, what a run without faults publishes; and, if the job has gone back, what checkpoints name that it has left behind |
//! | State | at each manifest: its files are, and what has been committed by then is, what the rows before its positions come to |
//! | Commit | nothing is visible that no manifest names; what a manifest names is there, whole, and never overwritten |
//! | Kept | nothing that can still be needed is deleted: records, state, savepoints, what is prepared |
//! | Log | generations do not mix in it, and it can always be read |
//! | Progress | the job comes to its end, and nothing that is tried again fails for good |
//!
//! The expected rows are computed from positions and watermarks alone, not by the code that is tested. Of that, only the
//! hash of a key is used, which says whose watermark counts for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use artifacts::Digest;
use artifacts::objects::{MemoryObjects, Objects};
use bytes::Bytes;
use controller::log::{Log, RestorePoint};
use futures::FutureExt as _;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use protocol::checkpoint::{Manifest, Record, StateFile, TaskState};
use worker_lib::keys::hash_columns;

use crate::pipeline::{JOB, KEYS, PARTITIONS, ROWS, WINDOW, key_of, value_of};

/// A row that comes out: window start and key, count, sum.
pub(crate) type Row = (i64, i64, i64, i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oracle {
    Output,
    State,
    Commit,
    Kept,
    Log,
    Progress,
}

/// What an oracle says when it does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    oracle: Oracle,
    what: String,
}

impl Violation {
    pub(crate) fn new(oracle: Oracle, what: impl fmt::Display) -> Violation {
        Violation { oracle, what: what.to_string() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.oracle, self.what)
    }
}

/// What has led to a manifest: it, and those that it goes on from. A job that goes back leaves its line, for another.
#[derive(Clone, Debug, Default)]
struct Line {
    /// All that they name.
    tokens: BTreeSet<String>,
    /// Keys whose last window was closed by the end of the input.
    flushed: BTreeSet<i64>,
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By token: rows that nobody sees, and rows that everybody sees.
    prepared: BTreeMap<String, Vec<Row>>,
    published: BTreeMap<String, Vec<Row>>,
    /// By token: rows that a manifest names.
    committed: BTreeMap<String, Vec<Row>>,
    /// Of the log: its last record, and whose it is.
    last: u64,
    generation: u64,
    /// Its records that count and are still there, with the files that they name.
    records: BTreeMap<u64, BTreeSet<String>>,
    /// Where it goes on from: its last manifest, or the one that a fence has gone back to since.
    newest: Option<Manifest>,
    /// Of that one, and those of all manifests that there ever were, by epoch.
    line: Line,
    lines: BTreeMap<u64, Line>,
    /// The last ones of these are retained, so many.
    keep: usize,
    /// How often the job has gone back.
    gone_back: usize,
    /// By the names of their objects.
    savepoints: BTreeMap<String, Manifest>,
    /// Savepoints to which somebody is about to go back, by who that is.
    chosen: BTreeMap<String, String>,
    /// Of state files, whose bytes do not change.
    rows: BTreeMap<String, Vec<Row>>,
}

impl Books {
    pub(crate) fn new(keep: usize) -> Books {
        Books { keep, ..Books::default() }
    }

    pub(crate) fn is_newest(&self, generation: u64) -> bool {
        self.generation == generation
    }

    // --- the object store ---------------------------------------------------------------------------------------------

    /// An object has come to be that was not there.
    pub(crate) fn created(&mut self, name: &str, bytes: &[u8], objects: &MemoryObjects) -> Result<(), Violation> {
        let Some(number) = below_job(name).and_then(record_number) else { return Ok(()) };
        if number <= self.last {
            // A zombie's, or a request's that was under way for long. It does not count: there are later ones.
            return Ok(());
        }
        let record: Record = serde_json::from_slice(bytes).unwrap();
        let generation = record.generation();
        let follows = match &record {
            Record::Fence(_) => generation > self.generation,
            Record::Checkpoint(_) => generation == self.generation,
        };
        if number != self.last + 1 || !follows {
            let (last, of) = (self.last, self.generation);
            let what = format!("record {number} of generation {generation} follows record {last} of generation {of}");
            return Err(Violation::new(Oracle::Log, what));
        }
        (self.last, self.generation) = (number, generation);
        let manifest = match record {
            Record::Checkpoint(manifest) => manifest,
            Record::Fence(fence) => {
                self.records.insert(number, BTreeSet::new());
                self.chosen.remove(&fence.owner);
                if let Some(from) = fence.from {
                    let Some(line) = self.lines.get(&from.epoch) else {
                        let what = format!("fence {number} goes back to {}, which is no checkpoint", from.epoch);
                        return Err(Violation::new(Oracle::Log, what));
                    };
                    self.line = line.clone();
                    self.newest = Some(*from);
                    self.gone_back += 1;
                }
                return Ok(());
            }
        };
        self.records.insert(number, files(&manifest).map(|file| file.path.clone()).collect());
        self.commit(&manifest)?;
        self.check_files(&manifest, objects)?;
        self.check_state(&manifest, &self.line.flushed)?;
        self.check_committed(&manifest)?;
        let tasks = &manifest.stages[1].tasks;
        self.line.flushed.extend((0..KEYS).filter(|key| tasks[owner(*key, tasks.len())].ended));
        self.lines.insert(number, self.line.clone());
        self.newest = Some(manifest);
        Ok(())
    }

    /// An object is about to go.
    pub(crate) fn deleted(&mut self, name: &str) -> Result<(), Violation> {
        let kept = |why: &str| Err(Violation::new(Oracle::Kept, format!("{name} is deleted, {why}")));
        let Some(below) = below_job(name) else { return Ok(()) };
        if self.savepoints.contains_key(below) {
            return kept("a savepoint");
        }
        if let Some(number) = record_number(below) {
            if number == self.last {
                return kept("the last record of the log");
            }
            if self.lines.keys().rev().take(self.keep).any(|epoch| *epoch == number) {
                return kept("one of the newest manifests");
            }
            self.records.remove(&number);
            return Ok(());
        }
        // What can be found of the log is what goes down from its end without a gap.
        let found = (1..=self.last).rev().map_while(|number| Some((number, self.records.get(&number)?)));
        for (number, named) in found {
            if named.contains(below) {
                return kept(&format!("which record {number} names"));
            }
        }
        if self.newest.iter().flat_map(files).any(|file| file.path == below) {
            return kept("which the job goes on from");
        }
        for (savepoint, manifest) in &self.savepoints {
            if files(manifest).any(|file| file.path == below) {
                return kept(&format!("which {savepoint} names"));
            }
        }
        Ok(())
    }

    pub(crate) fn saved(&mut self, name: String, manifest: Manifest, objects: &MemoryObjects) -> Result<(), Violation> {
        let whole = self.check_files(&manifest, objects);
        self.savepoints.insert(name, manifest);
        whole
    }

    // --- going back ---------------------------------------------------------------------------------------------------

    /// What a user sees that one can go back to: checkpoints whose records are there, though perhaps not for long, and
    /// savepoints.
    pub(crate) fn points(&self) -> Vec<RestorePoint> {
        let epochs = self.lines.keys().filter(|epoch| self.records.contains_key(epoch));
        let names = self.savepoints.keys().filter_map(|object| savepoint_name(object));
        let savepoints = names.map(|name| RestorePoint::Savepoint(name.to_owned()));
        epochs.map(|epoch| RestorePoint::Epoch(*epoch)).chain(savepoints).collect()
    }

    /// Somebody is about to go back there.
    pub(crate) fn choose(&mut self, who: &str, point: &RestorePoint) {
        if let RestorePoint::Savepoint(name) = point {
            self.chosen.insert(who.to_owned(), name.clone());
        }
    }

    /// To a savepoint.
    pub(crate) fn is_about_to_go_back(&self, who: &str) -> bool {
        self.chosen.contains_key(who)
    }

    /// Savepoints that their user may remove: nobody is about to go back to them.
    pub(crate) fn removable(&self) -> Vec<String> {
        let is_chosen = |object: &str| self.chosen.values().any(|name| savepoint_name(object) == Some(name));
        self.savepoints.keys().filter(|object| !is_chosen(object)).cloned().collect()
    }

    /// The user removes a savepoint, and relies on it no more.
    pub(crate) fn forget(&mut self, object: &str) {
        self.savepoints.remove(object);
    }

    pub(crate) fn newest(&self) -> Option<&Manifest> {
        self.newest.as_ref()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn gone_back(&self) -> usize {
        self.gone_back
    }

    // --- the sink -----------------------------------------------------------------------------------------------------

    pub(crate) fn prepare(&mut self, token: &str, rows: &[Row]) {
        self.prepared.insert(token.to_owned(), rows.to_vec());
    }

    /// The inner error: there is nothing that the token stands for.
    pub(crate) fn publish(&mut self, token: &str) -> Result<Result<(), String>, Violation> {
        let Some(rows) = self.prepared.remove(token) else {
            return Ok(match self.published.contains_key(token) {
                true => Ok(()),
                false => Err(format!("what {token} stands for is gone")),
            });
        };
        self.published.insert(token.to_owned(), rows);
        match self.committed.contains_key(token) {
            true => Ok(Ok(())),
            false => Err(Violation::new(Oracle::Commit, format!("{token} is visible, and no manifest names it"))),
        }
    }

    /// Of generations before this one; how many there were.
    pub(crate) fn discard(&mut self, generation: &str) -> Result<usize, Violation> {
        let gone: Vec<String> = self.prepared.keys().filter(|token| token.as_str() < generation).cloned().collect();
        for token in &gone {
            self.prepared.remove(token);
            if self.committed.contains_key(token) {
                let what = format!("{token} is discarded, which a manifest names and nobody has published");
                return Err(Violation::new(Oracle::Kept, what));
            }
        }
        Ok(gone.len())
    }

    // --- what ought to be ---------------------------------------------------------------------------------------------

    fn commit(&mut self, manifest: &Manifest) -> Result<(), Violation> {
        let tasks = manifest.stages.iter().flat_map(|stage| &stage.tasks);
        for token in tasks.flat_map(|task| &task.tokens) {
            let token = token.as_str().unwrap();
            let Some(rows) = self.prepared.get(token).or_else(|| self.published.get(token)) else {
                let what = format!("manifest {} names {token}, which stands for nothing", manifest.epoch);
                return Err(Violation::new(Oracle::Commit, what));
            };
            self.committed.insert(token.to_owned(), rows.clone());
            self.line.tokens.insert(token.to_owned());
        }
        Ok(())
    }

    /// The files that a manifest names are there, with the bytes that it says.
    fn check_files(&mut self, manifest: &Manifest, objects: &MemoryObjects) -> Result<(), Violation> {
        for file in files(manifest) {
            let wrong = |what: &str| {
                let what = format!("manifest {} names {}, {what}", manifest.epoch, file.path);
                Violation::new(Oracle::Commit, what)
            };
            let bytes = object(objects, &format!("{JOB}/{}", file.path)).ok_or_else(|| wrong("which is not there"))?;
            if !self.rows.contains_key(&file.path) {
                if Digest::of(&bytes).to_string() != file.sha256 {
                    return Err(wrong("which has other bytes"));
                }
                self.rows.insert(file.path.clone(), rows_in(bytes));
            }
        }
        Ok(())
    }

    /// The files of a manifest come to the open windows of the rows before its positions.
    fn check_state(&self, manifest: &Manifest, flushed: &BTreeSet<i64>) -> Result<(), Violation> {
        let tasks = &manifest.stages[1].tasks;
        let mut found: BTreeMap<(i64, i64), Row> = BTreeMap::new();
        for row in manifest.stages[1].tables[0].files.iter().flat_map(|file| &self.rows[&file.path]) {
            found.insert((row.0, row.1), *row);
        }
        let found = found.into_values().filter(|row| !is_closed(row, tasks, flushed)).collect();
        let all = sums(&positions(manifest)?);
        let open = all.into_iter().filter(|row| !is_closed(row, tasks, flushed)).collect();
        compare(Oracle::State, &format!("the state of manifest {}", manifest.epoch), found, open)
    }

    /// What the manifests of its line name up to this one are the closed windows of the rows before its positions.
    fn check_committed(&self, manifest: &Manifest) -> Result<(), Violation> {
        let tasks = &manifest.stages[1].tasks;
        let all = sums(&positions(manifest)?);
        let closed = all.into_iter().filter(|row| is_closed(row, tasks, &self.line.flushed)).collect();
        let found = rows_of(&self.committed, &self.line.tokens);
        compare(Oracle::State, &format!("the output up to manifest {}", manifest.epoch), found, closed)
    }

    /// The job is over.
    pub(crate) fn check_end(&mut self, objects: &Arc<MemoryObjects>) -> Result<(), Violation> {
        let found = rows_of(&self.published, &self.line.tokens);
        compare(Oracle::Output, "the output", found, sums(&[ROWS; PARTITIONS]))?;
        // Beside it is all that checkpoints name which were left behind, and nothing else: no row is there twice but those.
        if let Some(token) = self.committed.keys().find(|token| !self.published.contains_key(*token)) {
            return Err(Violation::new(Oracle::Output, format!("{token}, which a manifest names, has not come out")));
        }
        if self.gone_back == 0 && self.published.len() > self.line.tokens.len() {
            return Err(Violation::new(Oracle::Output, "there is more than the newest manifest has come to"));
        }
        let savepoints = std::mem::take(&mut self.savepoints);
        for manifest in savepoints.values().chain(&self.newest.clone()) {
            self.check_files(manifest, objects)?;
            self.check_state(manifest, &self.lines[&manifest.epoch].flushed)?;
        }
        let log = Log::new(objects.clone(), JOB);
        let read = log.read().now_or_never().unwrap().map_err(|error| Violation::new(Oracle::Log, error))?;
        if (read.last, read.generation, &read.newest) != (self.last, self.generation, &self.newest) {
            let newest = read.newest.map(|manifest| manifest.epoch);
            let what = format!("it reads as {} of generation {}, newest {newest:?}", read.last, read.generation);
            return Err(Violation::new(Oracle::Log, what));
        }
        Ok(())
    }
}

fn below_job(name: &str) -> Option<&str> {
    name.strip_prefix(JOB)?.strip_prefix('/')
}

fn record_number(below: &str) -> Option<u64> {
    below.strip_prefix("log/")?.strip_suffix(".json")?.parse().ok()
}

fn object(objects: &MemoryObjects, name: &str) -> Option<Bytes> {
    objects.get(name).now_or_never().unwrap().unwrap()
}

fn savepoint_name(object: &str) -> Option<&str> {
    object.strip_prefix("savepoints/")?.strip_suffix(".json")
}

/// The rows of some tokens.
fn rows_of(of: &BTreeMap<String, Vec<Row>>, tokens: &BTreeSet<String>) -> Vec<Row> {
    tokens.iter().filter_map(|token| of.get(token)).flatten().copied().collect()
}

fn files(manifest: &Manifest) -> impl Iterator<Item = &StateFile> {
    manifest.stages.iter().flat_map(|stage| &stage.tables).flat_map(|table| &table.files)
}

fn rows_in(file: Bytes) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let number = |column: usize| batch.column(column).as_primitive::<Int64Type>();
        let starts = batch.column(1).as_primitive::<TimestampNanosecondType>();
        for row in 0..batch.num_rows() {
            rows.push((starts.value(row), number(0).value(row), number(2).value(row), number(3).value(row)));
        }
    }
    rows
}

/// The task of so many that has a key.
fn owner(key: i64, tasks: usize) -> usize {
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![key]));
    let mut hashes = Vec::new();
    hash_columns(&[keys], 1, &mut hashes);
    ((u128::from(hashes[0]) * tasks as u128) >> 64) as usize
}

/// Whether a row's window had come out, by its owner's watermark or the end of the input.
fn is_closed(row: &Row, tasks: &[TaskState], flushed: &BTreeSet<i64>) -> bool {
    let (start, key, ..) = *row;
    let owner = &tasks[owner(key, tasks.len())];
    owner.ended || flushed.contains(&key) || owner.watermark >= Some(start + WINDOW)
}

/// Of each partition, the rows that have been read.
fn positions(manifest: &Manifest) -> Result<[i64; PARTITIONS], Violation> {
    let mut positions = [None; PARTITIONS];
    for source in manifest.stages[0].tasks.iter().filter_map(|task| task.source.as_ref()) {
        let of_task: Vec<(usize, i64)> = serde_json::from_value(source.position.clone().unwrap()).unwrap();
        for (partition, row) in of_task {
            positions[partition] = Some(row);
        }
    }
    match positions.iter().all(Option::is_some) {
        true => Ok(positions.map(Option::unwrap_or_default)),
        false => Err(Violation::new(Oracle::State, format!("manifest {} lacks positions", manifest.epoch))),
    }
}

/// What rows come to: all windows and keys, sorted.
fn sums(positions: &[i64; PARTITIONS]) -> Vec<Row> {
    let mut sums: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for (partition, position) in positions.iter().enumerate() {
        for row in 0..*position {
            let sum = sums.entry((row / WINDOW * WINDOW, key_of(partition, row))).or_default();
            *sum = (sum.0 + 1, sum.1 + value_of(partition, row));
        }
    }
    sums.into_iter().map(|((start, key), (count, sum))| (start, key, count, sum)).collect()
}

/// `expected` is sorted.
fn compare(oracle: Oracle, what: &str, mut found: Vec<Row>, expected: Vec<Row>) -> Result<(), Violation> {
    found.sort_unstable();
    if found == expected {
        return Ok(());
    }
    let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
    let wrong: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
    let twice: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    Err(Violation::new(oracle, format!("{what}: missing {missing:?}, wrong {wrong:?}, twice {twice:?}")))
}
