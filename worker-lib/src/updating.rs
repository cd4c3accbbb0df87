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
//! forgotten, whose rows are marked as deleted ([`Updating::next_unsaved`]). At a restart later rows replace earlier ones
//! ([`Updating::restore`]).
//!
//! **When memory is short** groups go to disk ([`crate::frozen`]), those that have not been flushed for longest. That is known
//! of each group anyway, for its time to live. It happens right behind a flush, when no group is changing
//! ([`Updating::next_cold`]). A group that a row asks for comes back before its state is copied ([`Updating::next_thawed`]). It
//! has its time with it: if that is over it begins anew, like one in memory. Groups on disk are also looked for whose time is
//! over, some at each flush, so that all are looked at eight times in a life.
//!
//! Not here: what the aggregates are ([`crate::agg`]), input that takes rows back, distinct values.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::array::{ArrayRef, UInt32Array};
use schema::{ScalarType, TimeUnit};

use crate::batch::Batch;
use crate::column;
use crate::error::TaskError;
use crate::frozen::Frozen;
use crate::keys::{Key, KeyTable, keep_at, mark_differences};
use crate::select::Selection;
use crate::stage::StageContext;
use crate::state::TableRows;
use crate::window::{bytes_of, others};

/// Most groups that leave or are saved at once.
const CHUNK: usize = 8_192;
/// How many times in a group's life it is looked for groups to forget.
const SWEEPS: i64 = 8;
/// Groups are forgotten when they are one in so many.
const FORGET_SHARE: usize = 4;
/// States that are looked at, to tell what they have on the heap.
const SAMPLES: usize = 32;
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

/// A chunk of the rows of a snapshot, or of groups that leave memory.
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

    fn has(&self, group: u32) -> bool {
        self.bits.get(group as usize / 64).is_some_and(|word| word >> (group % 64) & 1 == 1)
    }

    /// The groups; none is left.
    fn take(&mut self) -> Vec<u32> {
        for &group in &self.groups {
            self.bits[group as usize / 64] = 0;
        }
        std::mem::take(&mut self.groups)
    }
}

/// Groups that leave memory.
#[derive(Debug)]
struct Leaving {
    /// Ascending.
    groups: Vec<u32>,
    /// So many of them have been given out.
    given: usize,
    /// Likewise; nothing is known of them outside, so they need not be kept.
    void: Vec<u32>,
    /// Changes are of interest.
    tracked: bool,
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
    /// Of those, while a snapshot is taken: the ones that it does not have yet.
    saving: VecDeque<Vec<u32>>,
    /// Keys of the groups that have been forgotten since the last snapshot.
    forgotten: VecDeque<(Vec<ArrayRef>, usize)>,
    /// When it is next looked for groups to forget.
    next_sweep: i64,

    // What is not in memory.
    frozen: Option<Box<Frozen>>,
    /// How many groups are on disk.
    away: usize,
    /// How far it has been looked for groups on disk to forget, and when.
    looked: (Option<Vec<u8>>, i64),
    leaving: Option<Leaving>,
    /// Groups that have come back, by row, and their rows.
    thawed: Option<(Vec<u32>, Batch)>,
    /// `numbers` of the batch, while others come back.
    aside: Option<Vec<u32>>,

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
            saving: VecDeque::new(),
            forgotten: VecDeque::new(),
            next_sweep: i64::MIN,
            frozen: None,
            away: 0,
            looked: (None, i64::MIN),
            leaving: None,
            thawed: None,
            aside: None,
            numbers: Vec::new(),
            touched: 0,
            begun_anew: Vec::new(),
        }
    }

    /// How many groups are in memory, those that are to be forgotten included.
    #[inline]
    pub fn groups(&self) -> usize {
        self.updated.len()
    }

    /// Finds the groups of the rows of a batch, which are about to change. To be followed by [`Updating::next_thawed`] and
    /// [`Accumulators::begin`].
    ///
    /// # Errors
    /// When there are more groups than can be numbered, or groups on disk cannot be read.
    pub fn assign(&mut self, batch: &Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        self.number(batch)?;
        self.touched = self.changed.groups.len();
        self.begun_anew.clear();
        let oldest = cx.now.saturating_sub(cx.ttl);
        for &group in &self.numbers {
            if self.changed.add(group) {
                let updated = &mut self.updated[group as usize];
                // One of which nothing is known may have a state all the same: that of a forgotten group, restored.
                if *updated <= oldest {
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
        let known = self.keys.len();
        let keys = batch.columns[..self.key_types.len()].iter().map(Key::all).collect::<Vec<_>>();
        self.numbers.clear();
        self.keys.assign(&keys, batch.rows, &mut self.numbers);
        self.updated.resize(self.keys.len(), UNKNOWN);
        if self.away > 0 && self.keys.len() > known {
            self.thaw(known..self.keys.len())?;
        }
        // The table numbers groups by u32, less one for "no group".
        match self.updated.len() >= u32::MAX as usize - 1 {
            true => Err(TaskError::user("an updating aggregate has more than 4294967294 groups")),
            false => Ok(()),
        }
    }

    /// Looks for groups on disk that are new in memory.
    fn thaw(&mut self, new: Range<usize>) -> Result<(), TaskError> {
        let Some(frozen) = &mut self.frozen else { return Ok(()) };
        if let Some((places, rows)) = frozen.take(None, &self.keys.columns(new.clone()), new.len())? {
            self.away -= places.len();
            let groups: Vec<u32> = places.into_iter().map(|place| new.start as u32 + place).collect();
            let updated = rows.i64(rows.columns.len() - 2);
            for (row, &group) in groups.iter().enumerate() {
                self.updated[group as usize] = updated.value(row);
            }
            self.thawed = Some((groups, rows));
        }
        Ok(())
    }

    /// Rows of groups that have come back from disk: of a snapshot, to be put in the place of the states of their groups, of
    /// which [`Updating::pairs`] speaks until there are no more.
    #[inline]
    pub fn next_thawed(&mut self) -> Option<Batch> {
        if self.thawed.is_none() && self.aside.is_none() {
            return None;
        }
        match self.thawed.take() {
            Some((groups, rows)) => {
                self.aside = Some(std::mem::replace(&mut self.numbers, groups));
                Some(rows)
            }
            None => {
                self.numbers = self.aside.take().unwrap_or_default();
                None
            }
        }
    }

    /// Row and group of each row of the last batch.
    #[inline]
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.numbers.iter().enumerate().map(|(row, &group)| (row, group as usize))
    }

    /// The next groups that have changed since the last flush, in the order in which they did; to be called until there are
    /// none, and again if `cx` has got too much ([`StageContext::is_full`]), and then [`Self::flushed`].
    pub fn next_changed(&mut self, cx: &mut StageContext) -> Option<Changed> {
        let range = self.given..self.changed.groups.len().min(self.given + CHUNK);
        if range.is_empty() || cx.is_full() {
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
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flushed(&mut self, cx: &mut StageContext) -> Result<Option<Vec<u32>>, TaskError> {
        for group in self.changed.take() {
            self.updated[group as usize] = cx.now;
            if cx.tracks_changes {
                self.unsaved.add(group);
            }
        }
        (self.given, self.touched) = (0, 0);
        let kept = self.sweep(cx)?;
        self.sweep_disk(cx)?;
        if !self.updated.is_empty() || self.away > 0 {
            cx.wake_at(self.next_sweep);
        }
        Ok(kept)
    }

    /// Forgets groups, if it is time to, and if it pays.
    fn sweep(&mut self, cx: &StageContext) -> Result<Option<Vec<u32>>, TaskError> {
        if cx.now < self.next_sweep {
            return Ok(None);
        }
        self.next_sweep = cx.now.saturating_add(pace(cx));
        let oldest = cx.now.saturating_sub(cx.ttl);
        let old = self.updated.iter().filter(|updated| **updated <= oldest).count();
        if old == 0 || old * FORGET_SHARE < self.updated.len() {
            return Ok(None);
        }
        let groups = 0..self.updated.len() as u32;
        let (kept, forgotten): (Vec<u32>, Vec<u32>) = groups.partition(|group| self.updated[*group as usize] > oldest);
        if cx.tracks_changes {
            for groups in forgotten.chunks(CHUNK) {
                let keys = self.keys.columns_of(groups);
                if let Some(frozen) = &mut self.frozen {
                    // Of one that has been on disk since the last snapshot.
                    frozen.forget_notes(&keys, groups.len())?;
                }
                self.forgotten.push_back((keys, groups.len()));
            }
        }
        self.keep(&kept);
        Ok(Some(kept))
    }

    /// Forgets groups on disk, of those that it is time to look at.
    fn sweep_disk(&mut self, cx: &StageContext) -> Result<(), TaskError> {
        let Some(frozen) = &mut self.frozen else { return Ok(()) };
        let (mut after, then) = std::mem::take(&mut self.looked);
        self.looked = (after.clone(), cx.now);
        // Without a time to live nothing grows too old.
        if self.away == 0 || then == i64::MIN || cx.ttl == i64::MAX {
            return Ok(());
        }
        let oldest = cx.now.saturating_sub(cx.ttl);
        let part = cx.now.saturating_sub(then) as f64 / pace(cx) as f64;
        let mut due = (self.away as f64 * part.min(1.0)).ceil() as usize;
        let mut wrapped = after.is_none();
        while due > 0 {
            let Some((last, mut rows)) = frozen.scan(None, after.as_deref(), due.min(CHUNK))? else {
                after = None;
                if wrapped {
                    break;
                }
                wrapped = true;
                continue;
            };
            due = due.saturating_sub(rows.rows);
            after = Some(last);
            let updated = rows.i64(rows.columns.len() - 2);
            let old = Selection::filter(rows.rows, None, |row| updated.value(row) <= oldest);
            if old.is_empty() {
                continue;
            }
            rows = old.take_batch(&rows);
            frozen.remove(&rows)?;
            self.away -= rows.rows;
            if cx.tracks_changes {
                let deleted = column::from_bool(column::pack(&vec![true; rows.rows]), None);
                *rows.columns.last_mut().expect("the last column says whether a group is deleted") = deleted;
                frozen.note(&rows)?;
            }
        }
        self.looked.0 = after;
        if let Some(spill) = &cx.spill {
            spill.set_entries(self.away);
        }
        Ok(())
    }

    /// Numbers the groups anew: these, which are ascending, and no others.
    fn keep(&mut self, kept: &[u32]) {
        self.keys.keep(kept);
        keep_at(&mut self.updated, kept);
        let mut unsaved = Marks::default();
        for group in self.unsaved.take() {
            if let Ok(number) = kept.binary_search(&group) {
                unsaved.add(number as u32);
            }
        }
        self.unsaved = unsaved;
    }

    /// What a snapshot has to say, once everything has been flushed, to be added to `table` in this order: groups that have
    /// been forgotten, those on disk, which are in `table` then, and those in memory that have changed. A group may be in
    /// several, and the last row counts. To be called until there is no more.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next_unsaved(&mut self, table: &mut TableRows) -> Result<Option<Saved>, TaskError> {
        if let Some((keys, rows)) = self.forgotten.pop_front() {
            return Ok(Some(Saved { groups: None, keys, updated: vec![0; rows] }));
        }
        if let Some(frozen) = &mut self.frozen
            && let Some(noted) = frozen.take_notes()?
        {
            table.keep_stored(noted, None);
        }
        if self.saving.is_empty() {
            self.saving = self.unsaved.take().chunks(CHUNK).map(<[u32]>::to_vec).collect();
        }
        Ok(self.saving.pop_front().map(|groups| self.rows_of(groups)))
    }

    fn rows_of(&self, groups: Vec<u32>) -> Saved {
        let updated = groups.iter().map(|&group| self.updated[group as usize]).collect();
        Saved { keys: self.keys.columns_of(&groups), groups: Some(groups), updated }
    }

    /// The next groups that leave memory, of which about that part of all groups does, right behind a flush; to be called
    /// until there are none, each time followed by [`Updating::freeze`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next_cold(&mut self, portion: f64, cx: &StageContext) -> Result<Option<Saved>, TaskError> {
        let Some(spill) = &cx.spill else { return Ok(None) };
        // There is one group only, or groups are changing: the flush has not come to its end.
        if self.key_types.is_empty() || !self.changed.groups.is_empty() {
            return Ok(None);
        }
        if self.leaving.is_none() {
            if self.frozen.is_none() {
                self.frozen = Some(Box::new(Frozen::open(spill, &self.key_types, false)?));
            }
            self.leaving = Some(self.choose(portion, cx.tracks_changes));
        }
        let next = self.leaving.as_ref().map(|leaving| leaving.groups[leaving.given..].iter().take(CHUNK).copied());
        let groups: Vec<u32> = next.into_iter().flatten().collect();
        if groups.is_empty() {
            self.leaving = None;
            spill.set_entries(self.away);
            return Ok(None);
        }
        Ok(Some(self.rows_of(groups)))
    }

    /// Those that have not been flushed for longest.
    fn choose(&self, portion: f64, tracked: bool) -> Leaving {
        let is_void = |updated: i64| updated == UNKNOWN;
        let mut times: Vec<i64> = self.updated.iter().copied().filter(|updated| !is_void(*updated)).collect();
        let target = ((times.len() as f64 * portion).ceil() as usize).min(times.len());
        let mut groups = Vec::with_capacity(target);
        if target > 0 {
            let (earlier, &mut last, _) = times.select_nth_unstable(target - 1);
            // Of those of one time the first.
            let mut of_last = target - earlier.iter().filter(|time| **time < last).count();
            groups.extend((0..self.updated.len() as u32).filter(|group| {
                let updated = self.updated[*group as usize];
                let leaves = !is_void(updated) && (updated < last || (updated == last && of_last > 0));
                of_last -= usize::from(leaves && updated == last);
                leaves
            }));
        }
        let void = (0..self.updated.len() as u32).filter(|group| is_void(self.updated[*group as usize])).collect();
        Leaving { groups, given: 0, void, tracked }
    }

    /// Puts groups on disk, with their states as a snapshot has them. When these were the last: the groups that stay, in the
    /// order of their new numbers; it is for [`Accumulators::keep`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn freeze(&mut self, cold: Saved, states: Vec<ArrayRef>) -> Result<Option<Vec<u32>>, TaskError> {
        let (Some(frozen), Some(leaving)) = (&mut self.frozen, &mut self.leaving) else { return Ok(None) };
        let groups = cold.groups.as_deref().unwrap_or_default();
        let unsaved: Vec<bool> = groups.iter().map(|group| leaving.tracked && self.unsaved.has(*group)).collect();
        leaving.given += groups.len();
        self.away += groups.len();
        frozen.put(&cold.batch(states), &[], &unsaved)?;
        if leaving.given < leaving.groups.len() {
            return Ok(None);
        }
        let mut gone = [leaving.groups.as_slice(), &leaving.void].concat();
        gone.sort_unstable();
        leaving.groups.clear();
        leaving.given = 0;
        let kept = others(&gone, self.updated.len());
        self.keep(&kept);
        Ok(Some(kept))
    }

    /// Bytes that keys and times occupy.
    pub fn memory(&self) -> usize {
        let marks = |marks: &Marks| marks.bits.len() * size_of::<u64>() + marks.groups.len() * size_of::<u32>();
        let marks = marks(&self.changed) + marks(&self.unsaved);
        self.keys.memory() + self.updated.len() * size_of::<i64>() + marks
    }

    /// Finds the groups of rows of a snapshot. To be followed by [`Accumulators::restore`].
    ///
    /// # Errors
    /// When there are more groups than can be numbered, or groups on disk cannot be read.
    pub fn restore(&mut self, batch: &Batch) -> Result<(), TaskError> {
        self.number(batch)?;
        // What has come back is replaced.
        self.thawed = None;
        let last = batch.columns.len() - 1;
        let (updated, deleted) = (batch.i64(last - 1), batch.bool(last));
        for (row, &group) in self.numbers.iter().enumerate() {
            // The state of a deleted row is that of a new group.
            self.updated[group as usize] = if deleted.value(row) { UNKNOWN } else { updated.value(row) };
        }
        Ok(())
    }
}

/// How often it is looked for groups to forget.
fn pace(cx: &StageContext) -> i64 {
    (cx.ttl / SWEEPS).max(cx.flush_interval).max(1)
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
        self.keep(kept);
    }

    /// Follows [`Updating::freeze`], with what that gives.
    pub fn keep(&mut self, kept: Option<Vec<u32>>) {
        if let Some(kept) = kept {
            keep_at(&mut self.states, &kept);
            self.before.shrink_to(kept.len());
        }
    }

    /// Bytes that all states occupy; `heap` says what one has besides itself.
    pub fn memory(&self, heap: impl Fn(&S) -> usize) -> usize {
        bytes_of(&self.states, SAMPLES, &heap) + bytes_of(&self.before, SAMPLES, &heap)
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
    use crate::memory::Spill;
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
            while let Some(rows) = self.updating.next_thawed() {
                self.put(&rows);
            }
            let states = self.states.begin(&self.updating);
            for (row, group) in self.updating.pairs() {
                states[group].max = states[group].max.max(Some(rows[row].1));
            }
        }

        fn flush(&mut self, cx: &mut StageContext) {
            while let Some(changed) = self.updating.next_changed(cx) {
                let (before, after) = (self.states.before(&changed), self.states.after(&changed));
                let batch = self.updating.changes(&changed, &results(before), &results(&after));
                for row in 0..batch.rows {
                    self.out.push((batch.bool(0).value(row), batch.i64(1).get(row), batch.i64(2).get(row)));
                }
            }
            self.states.flushed(self.updating.flushed(cx).unwrap());
        }

        fn evict(&mut self, portion: f64, cx: &mut StageContext) {
            self.flush(cx);
            while let Some(cold) = self.updating.next_cold(portion, cx).unwrap() {
                let states = results(&self.states.saved(&cold));
                self.states.keep(self.updating.freeze(cold, states).unwrap());
            }
        }

        fn snapshot(&mut self) -> Vec<Batch> {
            let mut table = TableRows::default();
            while let Some(saved) = self.updating.next_unsaved(&mut table).unwrap() {
                let states = results(&self.states.saved(&saved));
                table.keep(saved.batch(states));
            }
            std::iter::from_fn(|| table.next().unwrap()).collect()
        }

        fn restore(&mut self, batch: &Batch) {
            self.updating.restore(batch).unwrap();
            self.put(batch);
        }

        fn put(&mut self, batch: &Batch) {
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
        Evict(f64),
    }

    /// Each with the time that passes before it.
    fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
        let key = prop_oneof![1 => Just(None), 9 => (0i64..12).prop_map(Some)];
        let rows = prop::collection::vec((key, -4i64..5), 0..12).prop_map(Step::Rows);
        let barrier = any::<bool>().prop_map(|crash| Step::Barrier { crash });
        let evict = prop_oneof![Just(1.0), 0.0..1.0].prop_map(Step::Evict);
        let step = prop_oneof![4 => rows, 2 => Just(Step::Flush), 2 => barrier, 3 => evict];
        prop::collection::vec((0i64..30, step), 1..40)
    }

    proptest! {
        #[test]
        fn changes_are_those_of_a_map(steps in steps(), short in any::<bool>()) {
            let (mut maxima, mut naive, mut spill) = (Maxima::new(), Naive::default(), Spill::for_tests());
            let mut files: Vec<Batch> = Vec::new();
            let mut now = 1_000;
            for (passed, step) in steps {
                now += passed;
                let mut cx = StageContext { spill: Some(spill.clone()), ..at(now) };
                match step {
                    Step::Evict(portion) => {
                        maxima.evict(portion, &mut cx);
                        naive.flush(now);
                    }
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
                            spill = Spill::for_tests();
                            cx = StageContext { tracks_changes: false, spill: Some(spill.clone()), ..at(now) };
                            for file in &files {
                                maxima.restore(file);
                                if short {
                                    maxima.evict(0.7, &mut cx);
                                }
                            }
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
    fn those_that_were_not_flushed_for_longest_leave_first() {
        let mut maxima = Maxima::new();
        let spill = Spill::for_tests();
        let with = |now| StageContext { spill: Some(spill.clone()), ..at(now) };
        maxima.rows(&[(Some(1), 1), (Some(2), 2), (Some(3), 3)], &mut with(0));
        maxima.flush(&mut with(0));
        maxima.snapshot();
        maxima.rows(&[(Some(1), 5), (Some(4), 4)], &mut with(10));
        let before = maxima.updating.memory() + maxima.states.memory(|_| 0);
        // What is changing is flushed first, and stays.
        maxima.evict(0.5, &mut with(11));
        assert_eq!((maxima.updating.groups(), maxima.updating.away, spill.entries()), (2, 2, 2));
        assert!(maxima.updating.memory() + maxima.states.memory(|_| 0) < before);
        assert_eq!(maxima.out.len(), 6);
        // Of those that left a snapshot has everything.
        assert_eq!(maxima.snapshot().iter().map(|batch| batch.rows).collect::<Vec<_>>(), [2]);
        maxima.rows(&[(Some(2), 7)], &mut with(20));
        assert_eq!((maxima.updating.groups(), maxima.updating.away), (3, 1));
        maxima.evict(1.0, &mut with(20));
        assert_eq!(maxima.out[6..], [(true, Some(2), Some(2)), (false, Some(2), Some(7))]);
        // One is noted, on disk.
        let snapshot = maxima.snapshot();
        assert_eq!((snapshot.len(), snapshot[0].rows, snapshot[0].i64(1).value(0)), (1, 1, 7));
    }

    #[test]
    fn groups_on_disk_are_forgotten_too() {
        let mut maxima = Maxima::new();
        let spill = Spill::for_tests();
        let with = |now| StageContext { spill: Some(spill.clone()), ..at(now) };
        maxima.rows(&[(Some(1), 1), (Some(2), 2)], &mut with(0));
        maxima.evict(1.0, &mut with(0));
        maxima.snapshot();
        let mut deleted = Vec::new();
        for now in (10..=140).step_by(10) {
            let mut cx = with(now);
            maxima.rows(&[(Some(3), now)], &mut cx);
            maxima.flush(&mut cx);
            for batch in maxima.snapshot() {
                let gone = (0..batch.rows).filter(|row| batch.bool(3).value(*row));
                deleted.extend(gone.map(|row| (batch.i64(0).value(row), now)));
            }
        }
        assert_eq!((maxima.updating.away, spill.entries()), (0, 0));
        deleted.sort_unstable();
        assert_eq!(deleted.iter().map(|group| group.0).collect::<Vec<_>>(), [1, 2]);
        assert!(deleted.iter().all(|group| (TTL..TTL * 2).contains(&group.1)), "{deleted:?}");
        maxima.rows(&[(Some(1), 9)], &mut with(150));
        maxima.flush(&mut with(150));
        assert_eq!(maxima.out.last(), Some(&(false, Some(1), Some(9))));
    }

    #[test]
    fn one_group_without_keys_or_aggregates() {
        let mut updating = Updating::new(&[]);
        let mut cx = at(5);
        let marker = column::from_bool(column::pack(&[true; 3]), None);
        updating.assign(&Batch::new(vec![marker], 3), &mut cx).unwrap();
        let changed = updating.next_changed(&mut cx).unwrap();
        let batch = updating.changes(&changed, &[], &[]);
        assert_eq!((batch.rows, batch.columns.len(), batch.bool(0).value(0)), (1, 1, false));
        assert!(updating.next_changed(&mut cx).is_none());
        assert_eq!(updating.flushed(&mut cx), Ok(None));
        let saved = updating.next_unsaved(&mut TableRows::default()).unwrap().unwrap().batch(vec![]);
        let mut restored = Updating::new(&[]);
        restored.restore(&saved).unwrap();
        assert_eq!(restored.updated, [5]);
        // It has been emitted, and cannot change.
        restored.assign(&saved, &mut cx).unwrap();
        let changed = restored.next_changed(&mut cx).unwrap();
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
