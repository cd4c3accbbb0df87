//! Compaction: many state files of a table become one, behind the task's back.
//!
//! ```text
//!   checkpoint 7                      checkpoint 8                         checkpoint 11
//!   too many files: a run of them ──▶ goes on, off the task's thread ... ─▶ the merged file goes to the store with this
//!   is read and merged                                                      epoch's own; the report says what it replaces
//! ```
//!
//! A [`Compaction`] is one task's. Of each table it knows, in the manifest's order, the files that have rows of the task's
//! share, whoever has written them. It merges one run of consecutive files at a time and keeps the result in memory until
//! the next snapshot: like every file it is written between a barrier and the report of it, and its name has that epoch.
//! So the collector takes it for what it is, a file of the epoch in flight, and nothing refers to it before a manifest does.
//!
//! **Which rows are in it.** Those of the task's share for which the files count, and of these
//!
//! * not those that the task's watermark has removed;
//! * in a keyed or time-keyed table, of each key (and time) the last one: newer files are read first, and a key that has
//!   been seen is passed over;
//! * in a keyed table no mention of a deleted key, if no older file can have a row of it.
//!
//! So the files with the merged one in the place of the others make up the same table, for whoever restores this share;
//! for the rest of their hashes the others still count ([`protocol::checkpoint::Merged`]).
//!
//! **Which files.** See [`run`]; not more than [`BYTES_MOST`] at once. A merge that fails is given up with a warning and tried again after a later snapshot: the
//! files that it was to replace are still there.
//!
//! Not here: global tables, whose files replace each other anyway, and tables that the watermark empties but that do not
//! say when a row goes. They are left as they are.
//!
//! Cost: the keys of the run, one input file and the merged one are in memory. [`run`] says how often a row is written.

use std::ops::Range;

use bytes::Bytes;
use protocol::checkpoint::{HashRange, Merged, Replaced, StateFile, TableSpec};
use tokio::task::JoinSet;

use super::files::{Contents, FileWriter, Share, StateFiles, off_thread};
use super::live::{self, Latest};
use crate::batch::Batch;
use crate::error::TaskError;
use crate::keys::hash_columns;

/// What tells a merged file's name from that of the epoch's own changes.
const SUFFIX: &str = "-merged";

/// Keys are numbered by `u32`.
const ROWS_MOST: u64 = u32::MAX as u64 - 1;

/// Files that have more bytes together are not merged: their keys are in memory meanwhile, and they may be of state that is not.
const BYTES_MOST: u64 = 256 << 20;

/// What merges the files of a task.
#[derive(Debug)]
pub(super) struct Compaction {
    files: StateFiles,
    share: Share,
    /// So many files in a run are merged.
    least: usize,
    tables: Vec<Table>,
    /// One at a time. Dropped, it is given up.
    merging: JoinSet<Result<Merge, TaskError>>,
}

#[derive(Debug)]
struct Table {
    spec: TableSpec,
    /// The files that count for some of them, the oldest first.
    files: Vec<StateFile>,
}

/// A run of files that has become one.
#[derive(Debug)]
struct Merge {
    table: usize,
    replaces: Vec<Replaced>,
    contents: Contents,
}

impl Compaction {
    /// For a task that goes on from these files, by table.
    pub(super) fn new(
        files: StateFiles,
        share: Share,
        tables: &[TableSpec],
        restored: &[Vec<StateFile>],
        least: usize,
    ) -> Compaction {
        let tables = tables.iter().enumerate().map(|(number, spec)| {
            let restored = restored.get(number).into_iter().flatten();
            let files = restored.filter(|file| share.has_some_of(spec, file)).cloned().collect();
            Table { spec: spec.clone(), files }
        });
        Compaction { tables: tables.collect(), files, share, least, merging: JoinSet::new() }
    }

    /// The generation that has the job, by which files are named.
    pub(super) fn name_by(&mut self, generation: u64) {
        self.files.generation = generation;
    }

    /// If a merge has come to its end since the last snapshot: puts its file into the store as one of this epoch, and says
    /// what it replaces. To be called before the epoch's own files are [added](Self::add).
    pub(super) async fn settle(&mut self, epoch: u64) -> Option<Merged> {
        let joined = self.merging.try_join_next()?;
        let merge = joined.unwrap_or_else(|error| Err(TaskError::fatal(error.to_string())));
        let stored = match merge {
            Ok(merge) => self.store(merge, epoch).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(merged) => {
                let Table { spec, files } = &mut self.tables[merged.table];
                merged.replace(files);
                // What is left of the others is not this task's.
                files.retain(|file| self.share.has_some_of(spec, file));
                Some(merged)
            }
            Err(error) => {
                let Share { stage, task, .. } = self.share;
                tracing::warn!(stage, task, "state files are left as they are: {error}");
                None
            }
        }
    }

    async fn store(&self, merge: Merge, epoch: u64) -> Result<Merged, TaskError> {
        let Merge { table, replaces, contents } = merge;
        let spec = &self.tables[table].spec;
        let file = match contents.rows {
            0 => None,
            _ => Some(self.files.store(spec, contents, self.share, epoch, SUFFIX).await?),
        };
        Ok(Merged { table, file, replaces })
    }

    /// Takes note of the files of a snapshot.
    pub(super) fn add(&mut self, written: &[(TableSpec, Vec<StateFile>)]) {
        for (table, (_, files)) in self.tables.iter_mut().zip(written) {
            table.files.extend(files.iter().cloned());
        }
    }

    /// Begins to merge where there are enough files, unless a merge is under way. All files must have been reported;
    /// `watermark` is the task's at the last snapshot.
    pub(super) fn begin(&mut self, watermark: Option<i64>) {
        for table in &mut self.tables {
            table.forget_removed(watermark);
        }
        if !self.merging.is_empty() {
            return;
        }
        let runs = self.tables.iter().enumerate().filter_map(|(number, table)| Some((number, table.run(self.least)?)));
        // The one that has waited longest.
        let Some((number, run)) = runs.max_by_key(|(_, run)| run.len()) else { return };
        let Table { spec, files } = &self.tables[number];
        let Some(range) = self.share.range(spec) else { return };
        let (spec, oldest, inputs) = (spec.clone(), run.start == 0, files[run].to_vec());
        let files = self.files.clone();
        self.merging.spawn(async move {
            let merger = Merger::new(spec, range, watermark, oldest)?;
            merge(files, number, merger, inputs).await
        });
    }
}

impl Table {
    /// Files of which the task has nothing any more need not be merged.
    fn forget_removed(&mut self, watermark: Option<i64>) {
        self.files.retain(|file| file.expires.is_none() || file.expires > watermark);
    }

    /// The files to be merged next.
    fn run(&self, least: usize) -> Option<Range<usize>> {
        if !live::says_what_counts(&self.spec) {
            return None;
        }
        let sizes: Vec<u64> = self.files.iter().map(|file| file.bytes).collect();
        let mut run = run(&sizes, least)?;
        let bytes = |run: &Range<usize>| sizes[run.clone()].iter().sum::<u64>();
        while run.len() > least && bytes(&run) > BYTES_MOST {
            run.start += 1;
        }
        if bytes(&run) > BYTES_MOST {
            return None;
        }
        let rows: u64 = self.files[run.clone()].iter().map(|file| file.rows).sum();
        (rows <= ROWS_MOST).then_some(run)
    }
}

/// The run of files to merge, of those with these sizes, the oldest first; `least` is how many there must be in it.
///
/// A run begins with a file, the newest if possible, and goes on with older ones as long as each is at most a quarter
/// larger than all newer ones of the run together. That bounds both what compaction is there to bound and what it costs:
///
/// * **The number of files.** Where a run ends, the next older file is more than a quarter larger than the run's newest. So
///   if no run is long enough there are at most `least - 1` files for each factor of 1.25 between the smallest and the
///   largest file.
/// * **How often a row is written.** A file that joins a run comes out at least 1.8 times as large, but for rows that are
///   not written again at all. Only a run's newest file may come out hardly larger, and then its older neighbour is too large
///   to join it: it is the newest of a run once.
///
/// With epochs of equal size this is the usual tree of merges, `least` at a time. Epochs that are much larger than others
/// now and then are no wall that small files pile up behind, because a run may begin at any file.
fn run(sizes: &[u64], least: usize) -> Option<Range<usize>> {
    (1..=sizes.len()).rev().find_map(|end| {
        let mut run = end - 1..end;
        let mut bytes = sizes[run.start];
        while run.start > 0 && sizes[run.start - 1] <= bytes + bytes / 4 {
            run.start -= 1;
            bytes += sizes[run.start];
        }
        (run.len() >= least).then_some(run)
    })
}

async fn merge(
    files: StateFiles,
    table: usize,
    mut merger: Merger,
    mut inputs: Vec<StateFile>,
) -> Result<Merge, TaskError> {
    let replaces =
        inputs.iter().map(|file| Replaced { path: file.path.clone(), hashes: merger.counted(file) }).collect();
    if merger.latest.is_newest_first() {
        inputs.reverse();
    }
    for file in inputs {
        let bytes = files.fetch(&file).await?;
        let files = files.clone();
        merger = off_thread(file.rows as usize, move || merger.take(&files, &file, bytes)).await?;
    }
    let contents = off_thread(merger.rows, move || merger.finish()).await?;
    Ok(Merge { table, replaces, contents })
}

/// Makes one file of several. Where the last row of a key wins the newest file comes first.
struct Merger {
    spec: TableSpec,
    /// Only rows with these hashes.
    range: HashRange,
    watermark: Option<i64>,
    /// No older file has a row of them.
    oldest: bool,
    latest: Latest,
    writer: FileWriter,
    rows: usize,
    expires: Option<i64>,
}

impl Merger {
    fn new(spec: TableSpec, range: HashRange, watermark: Option<i64>, oldest: bool) -> Result<Merger, TaskError> {
        Ok(Merger {
            range,
            watermark,
            oldest,
            latest: Latest::new(&spec),
            writer: FileWriter::new(&spec.columns)?,
            rows: 0,
            expires: None,
            spec,
        })
    }

    /// The hashes of which rows are taken from a file.
    fn counted(&self, file: &StateFile) -> HashRange {
        file.range().common(self.range)
    }

    fn take(mut self, files: &StateFiles, file: &StateFile, bytes: Bytes) -> Result<Merger, TaskError> {
        let counted = self.counted(file);
        let mut batches = Vec::new();
        files.decode(&self.spec, file, bytes, |batch| {
            let batch = self.live(batch, counted);
            if batch.rows > 0 {
                batches.push(batch);
            }
            Ok(())
        })?;
        if self.latest.is_newest_first() {
            batches.reverse();
        }
        for batch in batches {
            let batch = self.latest.unseen(batch);
            self.write(batch)?;
        }
        Ok(self)
    }

    /// The rows that the watermark has not removed, of those hashes.
    fn live(&self, mut batch: Batch, counted: HashRange) -> Batch {
        if self.spec.keys > 0 && counted != HashRange::ALL {
            let mut hashes = Vec::with_capacity(batch.rows);
            hash_columns(&batch.columns[..self.spec.keys], batch.rows, &mut hashes);
            batch = live::chosen(batch, |row| counted.holds(hashes[row]));
        }
        live::lasting(&self.spec, batch, self.watermark)
    }

    /// A deleted key is mentioned only to those who know it.
    fn write(&mut self, mut batch: Batch) -> Result<(), TaskError> {
        if self.oldest {
            batch = live::not_deleted(&self.spec, batch);
        }
        if batch.rows == 0 {
            return Ok(());
        }
        let removed_at = live::removed_at(&self.spec, &batch);
        self.expires = self.expires.max(removed_at.and_then(|removed_at| removed_at.into_iter().max()));
        self.rows += batch.rows;
        self.writer.write(&batch)
    }

    fn finish(self) -> Result<Contents, TaskError> {
        Ok(Contents { bytes: self.writer.finish()?, rows: self.rows, expires: self.expires })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StructArray};
    use arrow::datatypes::DataType;
    use artifacts::objects::{MemoryObjects, Objects as _};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::test_runner::TestCaseError;
    use protocol::checkpoint::{Lifetime, TableKind};
    use schema::{Field, ScalarType, Schema, TimeUnit};

    use super::super::files::Owner;
    use super::*;
    use crate::column;
    use crate::exchange::destination;
    use crate::state::TableRows;

    /// How long rows live after their time.
    const LIVES: i64 = 10;

    /// Key, time, and value; none: the key is deleted. Only keyed tables have that, and they have no time.
    type Row = (i64, i64, Option<i64>);

    fn spec(kind: TableKind) -> TableSpec {
        let number = |name: &str| Field::new(name, ScalarType::Int64, false);
        let time = Field::new("time", ScalarType::TIMESTAMP_NS, false);
        let window = Field::new("window", ScalarType::window(), false);
        let lifetime = Some(Lifetime { column: 1, nanos: LIVES });
        let (columns, lifetime) = match kind {
            TableKind::Keyed => {
                (vec![number("key"), number("value"), Field::new("_deleted", ScalarType::Bool, false)], None)
            }
            // Rows of joins have the window as a whole.
            TableKind::List => (vec![number("key"), window, number("value")], lifetime),
            _ => (vec![number("key"), time, number("value")], lifetime),
        };
        TableSpec {
            name: "rows of it".into(),
            kind,
            version: 1,
            keys: 1,
            columns: Schema::new(columns),
            lifetime,
            operator: Default::default(),
        }
    }

    fn batch(kind: TableKind, rows: &[Row]) -> Batch {
        let numbers = |number: fn(&Row) -> i64| column::from_i64(rows.iter().map(number).collect(), None);
        let (keys, values) = (numbers(|row| row.0), numbers(|row| row.2.unwrap_or(-1)));
        let columns = match kind {
            TableKind::Keyed => {
                let deleted: Vec<bool> = rows.iter().map(|row| row.2.is_none()).collect();
                vec![keys, values, column::from_bool(column::pack(&deleted), None)]
            }
            _ => {
                let times = rows.iter().map(|row| row.1).collect();
                let times = column::from_timestamp(times, None, TimeUnit::Nanosecond, None);
                vec![keys, if kind == TableKind::List { windows(times) } else { times }, values]
            }
        };
        Batch::new(columns, rows.len())
    }

    /// Windows that begin then; nobody asks when they end.
    fn windows(starts: ArrayRef) -> ArrayRef {
        let DataType::Struct(members) = ScalarType::window().to_arrow() else { panic!("a window is a struct") };
        Arc::new(StructArray::new(members, vec![starts.clone(), starts], None))
    }

    fn rows(kind: TableKind, batch: &Batch) -> Vec<Row> {
        let times = match kind {
            TableKind::List => column::member(batch.array(1), 0),
            _ => batch.array(1).clone(),
        };
        let row = |row| match kind {
            TableKind::Keyed if batch.bool(2).value(row) => (batch.i64(0).value(row), 0, None),
            TableKind::Keyed => (batch.i64(0).value(row), 0, Some(batch.i64(1).value(row))),
            _ => (batch.i64(0).value(row), column::i64(&times).value(row), Some(batch.i64(2).value(row))),
        };
        (0..batch.rows).map(row).collect()
    }

    /// What is left of rows that came in that order, by plain maps.
    fn live(kind: TableKind, rows: &[Row], watermark: i64) -> Vec<Row> {
        let lives = |row: &Row| kind == TableKind::Keyed || row.1 + LIVES > watermark;
        if kind == TableKind::List {
            let mut rows: Vec<Row> = rows.iter().copied().filter(lives).collect();
            rows.sort_unstable();
            return rows;
        }
        let last: BTreeMap<(i64, i64), Option<i64>> = rows.iter().map(|row| ((row.0, row.1), row.2)).collect();
        let rows = last.into_iter().map(|((key, time), value)| (key, time, value));
        rows.filter(|row| row.2.is_some() && lives(row)).collect()
    }

    /// A table of a job, with all of its tasks, through checkpoints and restarts.
    struct World {
        spec: TableSpec,
        least: usize,
        objects: Arc<MemoryObjects>,
        generation: u64,
        epoch: u64,
        watermark: i64,
        tasks: Vec<Compaction>,
        /// As the newest manifest has them.
        files: Vec<StateFile>,
        history: Vec<Row>,
        merged: usize,
    }

    impl World {
        fn new(kind: TableKind, least: usize) -> World {
            let mut world = World {
                spec: spec(kind),
                least,
                objects: Arc::new(MemoryObjects::new()),
                generation: 0,
                epoch: 0,
                watermark: i64::MIN,
                tasks: Vec::new(),
                files: Vec::new(),
                history: Vec::new(),
                merged: 0,
            };
            world.restart(1);
            world
        }

        fn state_files(&self) -> StateFiles {
            StateFiles { objects: self.objects.clone(), job: "job".into(), generation: self.generation }
        }

        fn restart(&mut self, parallelism: usize) {
            self.generation += 1;
            let (spec, files) = (std::slice::from_ref(&self.spec), std::slice::from_ref(&self.files));
            let tasks = (0..parallelism).map(|task| {
                let share = Share { stage: 3, task, parallelism };
                Compaction::new(self.state_files(), share, spec, files, self.least)
            });
            self.tasks = tasks.collect();
        }

        /// A checkpoint in which these rows have changed. Merges that have begun have `turns` to come to an end.
        async fn checkpoint(&mut self, changed: &[Row], watermark: i64, turns: usize) {
            self.epoch += 1;
            self.watermark = self.watermark.max(watermark);
            self.history.extend(changed);
            let (files, kind, parallelism) = (self.state_files(), self.spec.kind, self.tasks.len());
            let mut hashes = Vec::new();
            hash_columns(&batch(kind, changed).columns[..1], changed.len(), &mut hashes);
            let mut new = Vec::new();
            for (task, compaction) in self.tasks.iter_mut().enumerate() {
                let is_mine = |(_, hash): &(&Row, &u64)| destination(**hash, parallelism) as usize == task;
                let mine: Vec<Row> = changed.iter().zip(&hashes).filter(is_mine).map(|(row, _)| *row).collect();
                let expires = mine.iter().map(|row| row.1 + LIVES).max().unwrap_or(0);
                let mut rows = TableRows::default();
                let (first, second) = mine.split_at(mine.len() / 2);
                rows.push(batch(kind, first), expires);
                rows.push(batch(kind, second), expires);
                let share = Share { stage: 3, task, parallelism };
                let written = files.write(&self.spec, rows, share, self.epoch).await.unwrap();
                if let Some(merged) = compaction.settle(self.epoch).await {
                    assert_eq!(merged.file.as_ref().map_or(self.epoch, |file| file.epoch), self.epoch);
                    merged.replace(&mut self.files);
                    self.merged += 1;
                }
                compaction.add(&[(self.spec.clone(), written.clone())]);
                compaction.begin(Some(self.watermark));
                new.extend(written);
            }
            self.files.extend(new);
            self.files.retain(|file| file.expires.is_none_or(|expires| expires > self.watermark));
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        }

        /// What so many tasks would restore.
        async fn restored(&self, parallelism: usize) -> Vec<Row> {
            let (files, owners) = (self.state_files(), vec![Owner { watermark: None, ended: false }; self.tasks.len()]);
            let mut found = Vec::new();
            for task in 0..parallelism {
                let share = Share { stage: 3, task, parallelism };
                for file in &self.files {
                    let read = files.read(&self.spec, file, share, &owners).await.unwrap();
                    found.extend(read.iter().flat_map(|(batch, _)| rows(self.spec.kind, batch)));
                }
            }
            live(self.spec.kind, &found, self.watermark)
        }

        fn expected(&self) -> Vec<Row> {
            live(self.spec.kind, &self.history, self.watermark)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Checkpoint { rows: Vec<Row>, pass: i64, turns: usize },
        Restart { parallelism: usize },
    }

    fn any_step(kind: TableKind) -> impl Strategy<Value = Step> {
        let row = (0i64..12, 0i64..8, prop::option::weighted(0.8, 0i64..1_000));
        let row = row.prop_map(move |(key, time, value)| match kind {
            TableKind::Keyed => (key, 0, value),
            _ => (key, time, Some(value.unwrap_or(0))),
        });
        prop_oneof![
            8 => (vec(row, 0..12), 0i64..4, 0usize..3).prop_map(|(rows, pass, turns)| Step::Checkpoint { rows, pass, turns }),
            1 => (1usize..4).prop_map(|parallelism| Step::Restart { parallelism }),
        ]
    }

    fn a_life() -> impl Strategy<Value = (TableKind, usize, Vec<Step>)> {
        let kind = prop::sample::select(vec![TableKind::Keyed, TableKind::TimeKeyed, TableKind::List]);
        kind.prop_flat_map(|kind| (Just(kind), 2usize..5, vec(any_step(kind), 1..40)))
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        /// Whatever is merged, whenever, and by however many tasks: any number of tasks would restore what the rows that
        /// were written come to.
        #[test]
        fn merged_files_are_the_same_table((kind, least, steps) in a_life(), parallelism in 1usize..4) {
            block_on(async {
                let mut world = World::new(kind, least);
                let mut clock = 0;
                for step in steps {
                    match step {
                        Step::Checkpoint { rows, pass, turns } => {
                            clock += pass;
                            let rows: Vec<Row> = rows.into_iter().map(|row| match kind {
                                TableKind::Keyed => row,
                                _ => (row.0, row.1 + clock, row.2),
                            }).collect();
                            world.checkpoint(&rows, clock, turns).await;
                        }
                        Step::Restart { parallelism } => world.restart(parallelism),
                    }
                    prop_assert_eq!(world.restored(parallelism).await, world.expected());
                }
                Ok::<(), TestCaseError>(())
            })?;
        }
    }

    proptest! {
        /// Files that are merged until nothing is left to be merged are few, and were not written often.
        #[test]
        fn runs_bound_files_and_writing(sizes in vec((0u32..20, 1u64..16), 1..200), least in 2usize..8) {
            let mut files: Vec<u64> = Vec::new();
            let (mut new, mut written) = (0, 0);
            let sizes: Vec<u64> = sizes.into_iter().map(|(power, factor)| factor << power).collect();
            for size in &sizes {
                files.push(*size);
                new += size;
                while let Some(run) = run(&files, least) {
                    let merged: u64 = files[run.clone()].iter().sum();
                    written += merged;
                    drop(files.splice(run, [merged]));
                }
                let of = |files: &[u64]| (*files.iter().min().unwrap() as f64, *files.iter().max().unwrap() as f64);
                let (smallest, largest) = of(&files);
                let factors = 1.0 + (largest / smallest).ln() / 1.25f64.ln();
                prop_assert!(files.len() as f64 <= (least - 1) as f64 * factors, "{:?}", files);
            }
            let smallest = *sizes.iter().min().unwrap() as f64;
            let times = 1.0 + (new as f64 / smallest).ln() / 1.8f64.ln();
            prop_assert!(written as f64 <= new as f64 * times, "{written} of {new}");
        }
    }

    #[test]
    fn equal_files_are_merged_a_few_at_a_time() {
        assert_eq!(run(&[1, 1, 1], 4), None);
        assert_eq!(run(&[1, 1, 1, 1], 4), Some(0..4));
        // The large one waits for others of its kind.
        assert_eq!(run(&[4, 1, 1, 1], 4), None);
        assert_eq!(run(&[4, 4, 4, 4], 4), Some(0..4));
        // A large one in between is no wall.
        assert_eq!(run(&[1, 1, 1, 1, 9], 4), Some(0..5));
        assert_eq!(run(&[1, 1, 1, 1, 9, 1, 1], 4), Some(0..5));
        assert_eq!(run(&[], 2), None);
    }

    /// Of a table with as many keys as change in two checkpoints.
    #[test]
    fn a_table_that_changes_for_ever_has_few_files_and_few_rows() {
        block_on(async {
            let mut world = World::new(TableKind::Keyed, 4);
            for epoch in 0..300i64 {
                let changed: Vec<Row> = (0..50).map(|row| ((epoch * 50 + row) % 100, 0, Some(epoch))).collect();
                world.checkpoint(&changed, 0, 3).await;
                assert!(world.files.len() <= 12, "{} files", world.files.len());
            }
            assert!(world.merged > 50, "{} merges", world.merged);
            assert!(world.files.iter().map(|file| file.rows).sum::<u64>() <= 600);
            assert_eq!(world.restored(1).await, world.expected());
        });
    }

    #[test]
    fn a_deleted_key_is_mentioned_as_long_as_an_older_file_may_have_it() {
        block_on(async {
            let row = |key, value| (key, 0, value);
            let mut world = World::new(TableKind::Keyed, 2);
            let many: Vec<Row> = (0..2_000).map(|key| row(key, Some(key * key))).collect();
            world.checkpoint(&many, 0, 3).await;
            world.checkpoint(&[row(7, None)], 0, 3).await;
            world.checkpoint(&[row(8, None)], 0, 3).await;
            world.checkpoint(&[], 0, 3).await;
            let [all, deleted] = world.files.as_slice() else { panic!("{:?}", world.files) };
            assert_eq!((all.rows, deleted.rows), (2_000, 2));
            // A key that appears and goes again leaves nothing.
            let mut world = World::new(TableKind::Keyed, 2);
            world.checkpoint(&[row(7, Some(1))], 0, 3).await;
            world.checkpoint(&[row(7, None)], 0, 3).await;
            world.checkpoint(&[], 0, 3).await;
            assert_eq!((world.merged, world.files.len()), (1, 0));
        });
    }

    #[test]
    fn rows_that_the_watermark_has_removed_are_not_written_again() {
        block_on(async {
            let mut world = World::new(TableKind::TimeKeyed, 2);
            world.checkpoint(&[(1, 0, Some(1)), (1, 5, Some(2))], 0, 3).await;
            world.checkpoint(&[(1, 5, Some(3)), (2, 0, Some(4))], 10, 3).await;
            world.checkpoint(&[], 10, 3).await;
            let [left] = world.files.as_slice() else { panic!("{:?}", world.files) };
            assert_eq!((left.rows, left.expires), (1, Some(15)));
            assert!(left.path.ends_with("-merged.parquet"), "{}", left.path);
        });
    }

    #[test]
    fn a_merge_that_fails_leaves_everything_as_it_was() {
        block_on(async {
            let mut world = World::new(TableKind::Keyed, 2);
            world.checkpoint(&[(1, 0, Some(1))], 0, 0).await;
            let first = world.files[0].clone();
            let name = format!("job/{}", first.path);
            let bytes = world.objects.get(&name).await.unwrap().unwrap();
            world.objects.put(&name, "damaged".into()).await.unwrap();
            world.checkpoint(&[(2, 0, Some(2))], 0, 3).await;
            world.checkpoint(&[], 0, 3).await;
            assert_eq!((world.merged, world.files.len()), (0, 2));
            // It is tried again.
            world.objects.put(&name, bytes).await.unwrap();
            world.checkpoint(&[], 0, 3).await;
            world.checkpoint(&[], 0, 3).await;
            assert_eq!((world.merged, world.files.len()), (1, 1));
            assert_eq!(world.restored(3).await, world.expected());
        });
    }

    #[test]
    fn files_that_are_large_together_are_left_alone() {
        let run = |megabytes: &[u64]| {
            let file = |megabytes: &u64| StateFile {
                path: String::new(),
                sha256: String::new(),
                bytes: megabytes << 20,
                rows: 1,
                epoch: 1,
                generation: 1,
                task: 0,
                hashes: HashRange::ALL.texts(),
                expires: None,
            };
            Table { spec: spec(TableKind::Keyed), files: megabytes.iter().map(file).collect() }.run(2)
        };
        assert_eq!(run(&[50, 50, 50]), Some(0..3));
        // As many of the newest as may be.
        assert_eq!(run(&[100, 100, 100, 100]), Some(2..4));
        assert_eq!(run(&[200, 200, 200]), None);
        assert_eq!(run(&[200, 200, 1, 1]), Some(2..4));
    }

    #[test]
    fn tables_that_do_not_say_when_rows_go_are_left_alone() {
        let can_merge = |spec: TableSpec| live::says_what_counts(&spec);
        assert!(can_merge(spec(TableKind::Keyed)));
        assert!(can_merge(spec(TableKind::TimeKeyed)));
        assert!(can_merge(spec(TableKind::List)));
        assert!(!can_merge(TableSpec { lifetime: None, ..spec(TableKind::List) }));
        assert!(!can_merge(TableSpec { kind: TableKind::Keyed, ..spec(TableKind::List) }));
        assert!(!can_merge(spec(TableKind::Global)));
    }
}
