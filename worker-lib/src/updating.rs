//! Aggregates without a window: one row for each group, which is replaced when it changes.
//!
//! ```text
//!   rows ──▶ group numbers ──▶ generated loop over the states
//!               │ a group that was touched for the first time since the flush: its state is copied
//!   flush ──▶ changed groups ──▶ row of the copy, row of now ──▶ differ? ──▶ retract, insert
//!               │                                                            (a new group: insert alone)
//!               └─▶ marked for the next snapshot; those that nobody has touched for long are forgotten
//! ```
//!
//! [`Updating`] does everything that does not depend on the query's aggregates, in precompiled code. The states are in
//! [`Accumulators`], an array of structs by group number, beside the copies of those that are changing: nothing is kept
//! twice for a group that is at rest.
//!
//! **When.** The first change after a flush asks for the next one, [`StageContext::flush_interval`] later; barriers and the end of
//! the input flush too. So a group is emitted at most once for each flush, and not at all if its row is what it was.
//!
//! **Time to live.** A group is forgotten when no row of it has been flushed for [`StageContext::ttl`], by the clock of the
//! worker. Its next row finds nothing and begins anew, with an insert: what was emitted is not taken back. That is exact
//! for whoever reads the rows; memory is given back later, when at least a quarter of the groups are to be forgotten
//! ([`Updating::flushed`] looks eight times in a life).
//!
//! **Checkpoints.** After the flush at the barrier every group's row is the one that was emitted last, so a snapshot needs
//! no more than keys, states and times: of the groups that have changed since the last snapshot, and of those that have been
//! forgotten, whose rows are marked as deleted ([`Updating::unsaved`]). At a restart later rows replace earlier ones
//! ([`Updating::restore`]).
//!
//! Not here: what the aggregates are ([`crate::agg`]), input that takes rows back, distinct values.

use std::ops::Range;

use arrow::array::{ArrayRef, UInt32Array};
use schema::{ScalarType, TimeUnit};

use crate::batch::Batch;
use crate::column;
use crate::error::TaskError;
use crate::keys::{Key, KeyTable, mark_differences};
use crate::stage::StageContext;

/// Most groups that leave or are saved at once.
const CHUNK: usize = 8_192;
/// How many times in a group's life it is looked for groups to forget.
const SWEEPS: i64 = 8;
/// Groups are forgotten when they are one in so many.
const FORGET_SHARE: usize = 4;
/// The time of a group of which no row is known outside.
const UNKNOWN: i64 = i64::MIN;

/// A chunk of the groups that have changed since the last flush.
#[derive(Clone, Debug)]
pub struct Changed {
    groups: Vec<u32>,
    /// Their places in the order in which groups have changed.
    range: Range<usize>,
    keys: Vec<ArrayRef>,
}

/// A chunk of the rows of a snapshot.
#[derive(Clone, Debug)]
pub struct Saved {
    /// `None`: the groups have been forgotten.
    groups: Option<Vec<u32>>,
    keys: Vec<ArrayRef>,
    /// By row: the group's time.
    updated: Vec<i64>,
}

impl Saved {
    /// Rows of the table: keys, `states`, time, whether the group is deleted.
    pub fn batch(self, states: Vec<ArrayRef>) -> Batch {
        let rows = self.updated.len();
        let mut columns = self.keys;
        columns.extend(states);
        columns.push(column::from_timestamp(self.updated, None, TimeUnit::Nanosecond, None));
        columns.push(column::from_bool(column::pack(&vec![self.groups.is_none(); rows]), None));
        Batch::new(columns, rows)
    }
}

/// Groups, each once, in the order in which they were added.
#[derive(Debug, Default)]
struct Marks {
    /// A bit for each group.
    bits: Vec<u64>,
    groups: Vec<u32>,
}

impl Marks {
    /// Whether the group was not there yet.
    #[inline]
    fn add(&mut self, group: u32) -> bool {
        let (word, bit) = (group as usize / 64, 1 << (group % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let new = self.bits[word] & bit == 0;
        if new {
            self.bits[word] |= bit;
            self.groups.push(group);
        }
        new
    }

    /// The groups; none is left.
    fn take(&mut self) -> Vec<u32> {
        for &group in &self.groups {
            self.bits[group as usize / 64] = 0;
        }
        std::mem::take(&mut self.groups)
    }
}

/// Groups, and what has happened to them.
#[derive(Debug)]
pub struct Updating {
    key_types: Vec<ScalarType>,
    keys: KeyTable,
    /// By group: when a row of it was last flushed, in nanoseconds since 1970.
    updated: Vec<i64>,
    /// Since the last flush.
    changed: Marks,
    /// So many of `changed` have been given out by the flush that is going on.
    given: usize,
    /// Since the last snapshot, flushed ones only.
    unsaved: Marks,
    /// Keys of the groups that have been forgotten since the last snapshot.
    forgotten: Vec<(Vec<ArrayRef>, usize)>,
    /// When it is next looked for groups to forget.
    next_sweep: i64,

    // What `assign` says of the present batch.
    /// By row.
    numbers: Vec<u32>,
    /// `changed` from here on was added.
    touched: usize,
    /// Groups that were too old to go on.
    begun_anew: Vec<u32>,
}

impl Updating {
    /// Groups of keys of these types, which are the first columns of every batch.
    pub fn new(keys: &[ScalarType]) -> Self {
        Updating {
            key_types: keys.to_vec(),
            keys: KeyTable::new(keys),
            updated: Vec::new(),
            changed: Marks::default(),
            given: 0,
            unsaved: Marks::default(),
            forgotten: Vec::new(),
            next_sweep: i64::MIN,
            numbers: Vec::new(),
            touched: 0,
            begun_anew: Vec::new(),
        }
    }

    /// How many groups there are, those that are to be forgotten included.
    #[inline]
    pub fn groups(&self) -> usize {
        self.updated.len()
    }

    /// Finds the groups of the rows of a batch, which are about to change. To be followed by [`Accumulators::begin`].
    ///
    /// # Errors
    /// When there are more groups than can be numbered.
    pub fn assign(&mut self, batch: &Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        self.number(batch)?;
        self.touched = self.changed.groups.len();
        self.begun_anew.clear();
        let oldest = cx.now.saturating_sub(cx.ttl);
        for &group in &self.numbers {
            if self.changed.add(group) {
                let updated = &mut self.updated[group as usize];
                if *updated != UNKNOWN && *updated <= oldest {
                    *updated = UNKNOWN;
                    self.begun_anew.push(group);
                }
            }
        }
        if self.touched == 0 && !self.changed.groups.is_empty() {
            cx.wake_at(cx.now.saturating_add(cx.flush_interval));
        }
        Ok(())
    }

    fn number(&mut self, batch: &Batch) -> Result<(), TaskError> {
        let keys = batch.columns[..self.key_types.len()].iter().map(Key::all).collect::<Vec<_>>();
        self.numbers.clear();
        self.keys.assign(&keys, batch.rows, &mut self.numbers);
        self.updated.resize(self.keys.len(), UNKNOWN);
        // The table numbers groups by u32, less one for "no group".
        match self.updated.len() >= u32::MAX as usize - 1 {
            true => Err(TaskError::user("an updating aggregate has more than 4294967294 groups")),
            false => Ok(()),
        }
    }

    /// Row and group of each row of the last batch.
    #[inline]
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.numbers.iter().enumerate().map(|(row, &group)| (row, group as usize))
    }

    /// The next groups that have changed since the last flush, in the order in which they did; to be called until there are
    /// none, and then [`Self::flushed`].
    pub fn next_changed(&mut self) -> Option<Changed> {
        let range = self.given..self.changed.groups.len().min(self.given + CHUNK);
        if range.is_empty() {
            return None;
        }
        self.given = range.end;
        let groups = self.changed.groups[range.clone()].to_vec();
        let keys = self.keys.columns_of(&groups);
        Some(Changed { groups, range, keys })
    }

    /// The rows that say what has become of some groups, of which the aggregates were and are these: whether the row is taken
    /// back, keys, aggregates. A row that is taken back stands directly before the one in its place.
    pub fn changes(&self, changed: &Changed, before: &[ArrayRef], after: &[ArrayRef]) -> Batch {
        let mut differs = vec![false; changed.groups.len()];
        for (before, after) in before.iter().zip(after) {
            mark_differences(before, after, &mut differs);
        }
        let (mut retracts, mut rows, mut picks) = (Vec::new(), Vec::new(), Vec::new());
        for (at, &group) in changed.groups.iter().enumerate() {
            let known = self.updated[group as usize] != UNKNOWN;
            if known && differs[at] {
                retracts.push(true);
                rows.push(at as u32);
                picks.push((0, at));
            }
            if !known || differs[at] {
                retracts.push(false);
                rows.push(at as u32);
                picks.push((1, at));
            }
        }
        let count = rows.len();
        let rows = UInt32Array::from(rows);
        let mut columns = vec![column::from_bool(column::pack(&retracts), None)];
        columns.extend(changed.keys.iter().map(|key| column::take(key, &rows)));
        columns.extend(before.iter().zip(after).map(|(before, after)| column::interleave(&[before, after], &picks)));
        Batch::new(columns, count)
    }

    /// Everything that has changed has been emitted. The groups that are kept, in the order of their new numbers, if some
    /// have been forgotten; it is for [`Accumulators::flushed`].
    pub fn flushed(&mut self, cx: &mut StageContext) -> Option<Vec<u32>> {
        for group in self.changed.take() {
            self.updated[group as usize] = cx.now;
            if cx.tracks_changes {
                self.unsaved.add(group);
            }
        }
        (self.given, self.touched) = (0, 0);
        let kept = self.sweep(cx);
        if !self.updated.is_empty() {
            cx.wake_at(self.next_sweep);
        }
        kept
    }

    /// Forgets groups, if it is time to, and if it pays.
    fn sweep(&mut self, cx: &StageContext) -> Option<Vec<u32>> {
        if cx.now < self.next_sweep {
            return None;
        }
        self.next_sweep = cx.now.saturating_add((cx.ttl / SWEEPS).max(cx.flush_interval).max(1));
        let oldest = cx.now.saturating_sub(cx.ttl);
        let old = self.updated.iter().filter(|updated| **updated <= oldest).count();
        if old == 0 || old * FORGET_SHARE < self.updated.len() {
            return None;
        }
        let groups = 0..self.updated.len() as u32;
        let (kept, forgotten): (Vec<u32>, Vec<u32>) = groups.partition(|group| self.updated[*group as usize] > oldest);
        if cx.tracks_changes {
            let chunks = forgotten.chunks(CHUNK).map(|groups| (self.keys.columns_of(groups), groups.len()));
            self.forgotten.extend(chunks);
        }
        self.keep(&kept);
        Some(kept)
    }

    /// Numbers the groups anew: these, which are ascending, and no others.
    fn keep(&mut self, kept: &[u32]) {
        let mut keys = KeyTable::new(&self.key_types);
        let mut numbers = Vec::with_capacity(kept.len());
        for groups in kept.chunks(CHUNK) {
            let columns = self.keys.columns_of(groups);
            keys.assign(&columns.iter().map(Key::all).collect::<Vec<_>>(), groups.len(), &mut numbers);
        }
        debug_assert!(numbers.iter().copied().eq(0..kept.len() as u32), "keys differ, so their numbers count");
        self.keys = keys;
        self.updated = kept.iter().map(|&group| self.updated[group as usize]).collect();
        let mut unsaved = Marks::default();
        for group in self.unsaved.take() {
            if let Ok(number) = kept.binary_search(&group) {
                unsaved.add(number as u32);
            }
        }
        self.unsaved = unsaved;
    }

    /// What a snapshot has to say, once everything has been flushed: groups that have been forgotten, then those that have
    /// changed. A group that was forgotten and has come again is in both, and the later row counts.
    pub fn unsaved(&mut self) -> Vec<Saved> {
        let forgotten = self.forgotten.drain(..);
        let mut saved: Vec<Saved> =
            forgotten.map(|(keys, rows)| Saved { groups: None, keys, updated: vec![0; rows] }).collect();
        for groups in self.unsaved.take().chunks(CHUNK) {
            let updated = groups.iter().map(|&group| self.updated[group as usize]).collect();
            saved.push(Saved { keys: self.keys.columns_of(groups), groups: Some(groups.to_vec()), updated });
        }
        saved
    }

    /// Finds the groups of rows of a snapshot. To be followed by [`Accumulators::restore`].
    ///
    /// # Errors
    /// When there are more groups than can be numbered.
    pub fn restore(&mut self, batch: &Batch) -> Result<(), TaskError> {
        self.number(batch)?;
        let last = batch.columns.len() - 1;
        let (updated, deleted) = (batch.i64(last - 1), batch.bool(last));
        for (row, &group) in self.numbers.iter().enumerate() {
            // The state of a deleted row is that of a new group.
            self.updated[group as usize] = if deleted.value(row) { UNKNOWN } else { updated.value(row) };
        }
        Ok(())
    }
}

/// States of the groups of an [`Updating`].
#[derive(Clone, Debug, Default)]
pub struct Accumulators<S> {
    states: Vec<S>,
    /// Of each group that has changed since the last flush, in the order in which they did: what it was then.
    before: Vec<S>,
}

impl<S: Clone + Default> Accumulators<S> {
    pub fn new() -> Self {
        Accumulators { states: Vec::new(), before: Vec::new() }
    }

    /// All states, by group, when rows have been assigned that are about to change them.
    #[inline]
    pub fn begin(&mut self, updating: &Updating) -> &mut [S] {
        self.states.resize_with(updating.groups(), S::default);
        for &group in &updating.changed.groups[updating.touched..] {
            self.before.push(self.states[group as usize].clone());
        }
        for &group in &updating.begun_anew {
            self.states[group as usize] = S::default();
        }
        &mut self.states
    }

    /// What changed groups were when they were last flushed.
    #[inline]
    pub fn before(&self, changed: &Changed) -> &[S] {
        &self.before[changed.range.clone()]
    }

    /// What they are.
    pub fn after(&self, changed: &Changed) -> Vec<S> {
        self.copies(&changed.groups)
    }

    fn copies(&self, groups: &[u32]) -> Vec<S> {
        groups.iter().map(|&group| self.states[group as usize].clone()).collect()
    }

    /// Follows [`Updating::flushed`], with what that gives.
    pub fn flushed(&mut self, kept: Option<Vec<u32>>) {
        self.before.clear();
        if let Some(kept) = kept {
            self.states = self.copies(&kept);
        }
    }

    /// By row of a snapshot.
    pub fn saved(&self, saved: &Saved) -> Vec<S> {
        match &saved.groups {
            Some(groups) => self.copies(groups),
            None => vec![S::default(); saved.updated.len()],
        }
    }

    /// All states, by group, when rows of a snapshot have been assigned that are about to replace them.
    pub fn restore(&mut self, updating: &Updating) -> &mut [S] {
        self.states.resize_with(updating.groups(), S::default);
        &mut self.states
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    const TTL: i64 = 50;

    /// `max(value)` by key.
    #[derive(Clone, Debug, Default)]
    struct State {
        max: Option<i64>,
    }

    /// Whether it is taken back, key, maximum.
    type Row = (bool, Option<i64>, Option<i64>);

    /// As a generated stage has it.
    struct Maxima {
        updating: Updating,
        states: Accumulators<State>,
        out: Vec<Row>,
    }

    fn results(states: &[State]) -> Vec<ArrayRef> {
        let (values, nulls) = column::dense_opt(states.len(), |row| states[row].max);
        vec![column::from_i64(values, nulls)]
    }

    fn at(now: i64) -> StageContext {
        StageContext { tracks_changes: true, now, flush_interval: 10, ttl: TTL, ..StageContext::default() }
    }

    impl Maxima {
        fn new() -> Self {
            let updating = Updating::new(&[ScalarType::Int64]);
            Maxima { updating, states: Accumulators::new(), out: Vec::new() }
        }

        fn rows(&mut self, rows: &[(Option<i64>, i64)], cx: &mut StageContext) {
            let valid = rows.iter().map(|row| row.0.is_some()).collect::<Vec<_>>();
            let keys = column::from_i64(rows.iter().map(|row| row.0.unwrap_or(7)).collect(), column::validity(&valid));
            self.updating.assign(&Batch::new(vec![keys], rows.len()), cx).unwrap();
            let states = self.states.begin(&self.updating);
            for (row, group) in self.updating.pairs() {
                states[group].max = states[group].max.max(Some(rows[row].1));
            }
        }

        fn flush(&mut self, cx: &mut StageContext) {
            while let Some(changed) = self.updating.next_changed() {
                let (before, after) = (self.states.before(&changed), self.states.after(&changed));
                let batch = self.updating.changes(&changed, &results(before), &results(&after));
                for row in 0..batch.rows {
                    self.out.push((batch.bool(0).value(row), batch.i64(1).get(row), batch.i64(2).get(row)));
                }
            }
            self.states.flushed(self.updating.flushed(cx));
        }

        fn snapshot(&mut self) -> Vec<Batch> {
            let saved = self.updating.unsaved().into_iter();
            let batch = |saved: Saved| {
                let states = results(&self.states.saved(&saved));
                saved.batch(states)
            };
            saved.map(batch).collect()
        }

        fn restore(&mut self, batch: &Batch) {
            self.updating.restore(batch).unwrap();
            let max = batch.i64(1);
            let states = self.states.restore(&self.updating);
            for (row, group) in self.updating.pairs() {
                states[group] = State { max: max.get(row) };
            }
        }
    }

    /// The same on a map: key to maximum, what was emitted, and when that was looked at last.
    #[derive(Default)]
    struct Naive {
        groups: BTreeMap<Option<i64>, (i64, Option<i64>, i64)>,
        changed: Vec<Option<i64>>,
        out: Vec<Row>,
    }

    impl Naive {
        fn rows(&mut self, rows: &[(Option<i64>, i64)], now: i64) {
            for &(key, value) in rows {
                if !self.changed.contains(&key) {
                    self.changed.push(key);
                    self.groups.retain(|known, group| *known != key || group.2 > now - TTL);
                }
                let group = self.groups.entry(key).or_insert((value, None, now));
                group.0 = group.0.max(value);
            }
        }

        fn flush(&mut self, now: i64) {
            for key in self.changed.drain(..) {
                let group = self.groups.get_mut(&key).unwrap();
                if group.1 != Some(group.0) {
                    if group.1.is_some() {
                        self.out.push((true, key, group.1));
                    }
                    self.out.push((false, key, Some(group.0)));
                }
                (group.1, group.2) = (Some(group.0), now);
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Rows(Vec<(Option<i64>, i64)>),
        Flush,
        /// A snapshot; then perhaps a crash.
        Barrier {
            crash: bool,
        },
    }

    /// Each with the time that passes before it.
    fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
        let key = prop_oneof![1 => Just(None), 9 => (0i64..12).prop_map(Some)];
        let rows = prop::collection::vec((key, -4i64..5), 0..12).prop_map(Step::Rows);
        let barrier = any::<bool>().prop_map(|crash| Step::Barrier { crash });
        let step = prop_oneof![4 => rows, 2 => Just(Step::Flush), 1 => barrier];
        prop::collection::vec((0i64..30, step), 1..40)
    }

    proptest! {
        #[test]
        fn changes_are_those_of_a_map(steps in steps()) {
            let (mut maxima, mut naive) = (Maxima::new(), Naive::default());
            let mut files: Vec<Batch> = Vec::new();
            let mut now = 1_000;
            for (passed, step) in steps {
                now += passed;
                let mut cx = at(now);
                match step {
                    Step::Rows(rows) => {
                        maxima.rows(&rows, &mut cx);
                        naive.rows(&rows, now);
                    }
                    Step::Flush => {
                        maxima.flush(&mut cx);
                        naive.flush(now);
                    }
                    Step::Barrier { crash } => {
                        maxima.flush(&mut cx);
                        naive.flush(now);
                        files.extend(maxima.snapshot());
                        if crash {
                            maxima = Maxima { out: maxima.out, ..Maxima::new() };
                            files.iter().for_each(|file| maxima.restore(file));
                        }
                    }
                }
                prop_assert_eq!(&maxima.out, &naive.out);
            }
        }
    }

    #[test]
    fn a_flush_is_asked_for_once() {
        let mut maxima = Maxima::new();
        let mut cx = at(100);
        maxima.rows(&[], &mut cx);
        assert_eq!(cx.wake, None);
        maxima.rows(&[(Some(1), 1)], &mut cx);
        assert_eq!(cx.wake.take(), Some(110));
        cx.now = 105;
        maxima.rows(&[(Some(1), 2), (Some(2), 2)], &mut cx);
        assert_eq!(cx.wake, None);
        cx.now = 110;
        maxima.flush(&mut cx);
        // Only to forget what is there.
        assert!(cx.wake.is_some_and(|wake| wake > 110));
        assert_eq!(maxima.out, [(false, Some(1), Some(2)), (false, Some(2), Some(2))]);
    }

    #[test]
    fn a_row_that_stays_the_same_is_not_emitted_again() {
        let mut maxima = Maxima::new();
        maxima.rows(&[(Some(1), 5), (None, 1)], &mut at(0));
        maxima.flush(&mut at(0));
        maxima.rows(&[(Some(1), 4), (None, 2)], &mut at(1));
        maxima.flush(&mut at(1));
        assert_eq!(maxima.out[2..], [(true, None, Some(1)), (false, None, Some(2))]);
    }

    #[test]
    fn groups_that_nobody_touches_are_forgotten_and_deleted() {
        let mut maxima = Maxima::new();
        maxima.rows(&[(Some(1), 1), (Some(2), 2), (Some(3), 3)], &mut at(0));
        maxima.flush(&mut at(0));
        assert_eq!(maxima.snapshot().iter().map(|batch| batch.rows).sum::<usize>(), 3);
        maxima.rows(&[(Some(2), 5)], &mut at(40));
        maxima.flush(&mut at(40));
        assert_eq!(maxima.updating.groups(), 3);
        // Nothing has come since: two of three are too old.
        maxima.flush(&mut at(60));
        assert_eq!(maxima.updating.groups(), 1);
        let snapshot = maxima.snapshot();
        let rows = |batch: &Batch| {
            let row = |row| (batch.i64(0).get(row), batch.i64(1).get(row), batch.bool(3).value(row));
            (0..batch.rows).map(row).collect::<Vec<_>>()
        };
        assert_eq!(rows(&snapshot[0]), [(Some(1), None, true), (Some(3), None, true)]);
        assert_eq!(rows(&snapshot[1]), [(Some(2), Some(5), false)]);
        assert!(maxima.snapshot().is_empty());
        // Its next row begins anew: nothing is taken back.
        maxima.rows(&[(Some(1), 0), (Some(2), 0)], &mut at(61));
        maxima.flush(&mut at(61));
        assert_eq!(maxima.out.last(), Some(&(false, Some(1), Some(0))));
    }

    #[test]
    fn nothing_is_marked_where_there_are_no_checkpoints() {
        let mut maxima = Maxima::new();
        let quiet = |now| StageContext { tracks_changes: false, ..at(now) };
        maxima.rows(&[(Some(1), 1)], &mut quiet(0));
        maxima.flush(&mut quiet(0));
        maxima.flush(&mut quiet(1_000));
        assert_eq!(maxima.updating.groups(), 0);
        assert!(maxima.snapshot().is_empty());
    }

    #[test]
    fn one_group_without_keys_or_aggregates() {
        let mut updating = Updating::new(&[]);
        let mut cx = at(5);
        let marker = column::from_bool(column::pack(&[true; 3]), None);
        updating.assign(&Batch::new(vec![marker], 3), &mut cx).unwrap();
        let changed = updating.next_changed().unwrap();
        let batch = updating.changes(&changed, &[], &[]);
        assert_eq!((batch.rows, batch.columns.len(), batch.bool(0).value(0)), (1, 1, false));
        assert!(updating.next_changed().is_none());
        assert_eq!(updating.flushed(&mut cx), None);
        let saved = updating.unsaved().pop().unwrap().batch(vec![]);
        let mut restored = Updating::new(&[]);
        restored.restore(&saved).unwrap();
        assert_eq!(restored.updated, [5]);
        // It has been emitted, and cannot change.
        restored.assign(&saved, &mut cx).unwrap();
        let changed = restored.next_changed().unwrap();
        assert_eq!(restored.changes(&changed, &[], &[]).rows, 0);
    }

    #[test]
    fn many_groups_leave_and_are_saved_in_chunks() {
        let count = CHUNK as i64 * 2 + 5;
        let rows = (0..count).map(|key| (Some(key), key)).collect::<Vec<_>>();
        let mut maxima = Maxima::new();
        maxima.rows(&rows, &mut at(0));
        maxima.flush(&mut at(0));
        assert!(maxima.out.iter().enumerate().all(|(at, row)| *row == (false, Some(at as i64), Some(at as i64))));
        let sizes = |batches: &[Batch]| batches.iter().map(|batch| batch.rows).collect::<Vec<_>>();
        assert_eq!(sizes(&maxima.snapshot()), [CHUNK, CHUNK, 5]);
        maxima.flush(&mut at(TTL));
        assert_eq!((maxima.updating.groups(), sizes(&maxima.snapshot())), (0, vec![CHUNK, CHUNK, 5]));
    }
}
