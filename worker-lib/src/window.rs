//! Tumbling windows: which rows belong to which window, and in it to which group.
//!
//! ```text
//!   rows ──▶ bins (one an open window, by start) ──▶ parts (rows of one bin) ──▶ group numbers ──▶ generated loop
//!                                                                                                   over the part
//! ```
//!
//! [`Tumble::assign`] does everything that does not depend on the query's aggregates, in precompiled code; the generated
//! stage then has one loop that updates the states of a part. Nearly always a batch lies in one window: smallest and
//! largest event time tell, and no row is divided by the width. Otherwise rows are sorted by window.
//!
//! States are in [`States`], one vector for each bin, indexed by group number: an array of structs, so that a group costs
//! one cache miss whatever the number of aggregates.
//!
//! Invariants: windows are `[start, end)`, aligned to the Unix epoch, and close in the order of their start; a row whose
//! window's end is not above the watermark, or that has no event time, is late and counted; bins keep their key tables'
//! memory for the windows to come. Arithmetic near the limits of `i64` saturates.
//!
//! **Checkpoints.** A snapshot holds the groups that have changed since the last one ([`Tumble::changed`]). New groups have
//! the highest numbers, so only rows of older groups leave a mark (one bit each), and a window that opens and closes
//! between two checkpoints leaves none. Partial states are not kept at all: they leave at the barrier
//! ([`Tumble::next_open`]). At a restart rows of a snapshot are assigned like others; those of windows that their
//! task had closed since are late.
//!
//! **When memory is short** groups go to disk ([`crate::frozen`]): of each window the same part of those that have not been
//! touched since memory became short, those first that have been here longest ([`Tumble::next_cold`]). That takes no account of
//! how far ahead a window lies: one that fills is as warm as the present one, and one that has been left alone is as cold.
//! A group that a row asks for comes back ([`Tumble::next_thawed`]): the groups that are new to a window's table are looked for
//! on disk, in one go for each batch, and what is found is put into the states before the rows are. Of a window that
//! closes, the groups in memory leave first, then the others come back in chunks and leave. So a window of any size leaves
//! through the memory of a chunk.
//!
//! Not here: the watermark's origin ([`observe`] apart), what the aggregates are ([`crate::agg`]), when memory is short
//! ([`crate::memory`]).

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::ArrayRef;
use protocol::mutant::{self, Mutant};
use schema::{ScalarType, TimeUnit};

use crate::batch::Batch;
use crate::column;
use crate::error::TaskError;
use crate::frozen::Frozen;
use crate::keys::{Key, KeyTable, keep_at};
use crate::select::Rows;
use crate::stage::StageContext;
use crate::state::TableRows;

/// Most groups that leave at once.
const CHUNK: usize = 8_192;
/// Windows of one batch that are looked for one by one, before a map is used.
const FEW: usize = 16;

/// A column, and whether it is aligned to the batch's rows or to the selection's positions.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    array: &'a ArrayRef,
    by_row: bool,
}

impl<'a> Input<'a> {
    /// A column of the batch.
    pub fn row(array: &'a ArrayRef) -> Self {
        Input { array, by_row: true }
    }

    /// A column that was computed for the selected rows.
    pub fn position(array: &'a ArrayRef) -> Self {
        Input { array, by_row: false }
    }
}

/// Rows of one batch that belong to one window.
#[derive(Clone, Debug)]
pub struct Part {
    /// Number of the window's bin; reused once the window has closed.
    pub bin: usize,
    /// Groups that the window has by now.
    pub groups: usize,
    range: Range<usize>,
}

/// A chunk of the groups of a closed window.
#[derive(Clone, Debug)]
pub struct Closed {
    pub bin: usize,
    /// Numbers of the groups in this chunk.
    pub groups: Range<usize>,
    /// All states of the bin have left with it.
    pub last: bool,
    /// And there are no more groups of the window.
    pub ends: bool,
    /// The key columns, one value for each group.
    pub keys: Vec<ArrayRef>,
    /// Nanoseconds since the Unix epoch.
    pub start: i64,
    pub end: i64,
}

impl Closed {
    /// What leaves: keys, `STRUCT<start, end>`, columns of the groups.
    pub fn results(&self, columns: Vec<ArrayRef>) -> Batch {
        table(&self.keys, self.window(), columns, self.groups.len())
    }

    /// Partial states that leave: keys, the window's start, columns of the groups.
    pub fn states(&self, columns: Vec<ArrayRef>) -> Batch {
        table(&self.keys, self.window_start(), columns, self.groups.len())
    }

    /// The column `STRUCT<start, end>`.
    pub fn window(&self) -> ArrayRef {
        column::window(self.start, self.end, self.groups.len())
    }

    /// The column of the window's start, in nanoseconds.
    pub fn window_start(&self) -> ArrayRef {
        column::from_timestamp(vec![self.start; self.groups.len()], None, TimeUnit::Nanosecond, None)
    }
}

/// Groups of an open window: those that have changed since the last snapshot, or those that leave memory.
#[derive(Clone, Debug)]
pub struct Changed {
    pub bin: usize,
    /// Their numbers, ascending.
    pub groups: Vec<u32>,
    /// The key columns, one value for each group.
    pub keys: Vec<ArrayRef>,
    /// Nanoseconds since the Unix epoch.
    pub start: i64,
    pub end: i64,
}

impl Changed {
    /// Rows of the table: keys, the window's start, columns of the groups.
    pub fn states(&self, columns: Vec<ArrayRef>) -> Batch {
        table(&self.keys, self.window_start(), columns, self.groups.len())
    }

    /// The column of the window's start, in nanoseconds.
    pub fn window_start(&self) -> ArrayRef {
        column::from_timestamp(vec![self.start; self.groups.len()], None, TimeUnit::Nanosecond, None)
    }
}

fn table(keys: &[ArrayRef], window: ArrayRef, more: Vec<ArrayRef>, rows: usize) -> Batch {
    let mut columns = Vec::with_capacity(keys.len() + 1 + more.len());
    columns.extend_from_slice(keys);
    columns.push(window);
    columns.extend(more);
    Batch::new(columns, rows)
}

/// What has happened to a bin's groups since the last snapshot.
#[derive(Debug, Default)]
struct Changes {
    /// Groups that the last snapshot has seen; all others are new.
    seen: usize,
    /// A bit for each of these: it has changed.
    marks: Vec<u64>,
}

impl Changes {
    #[inline]
    fn mark(&mut self, groups: &[u32]) {
        if self.seen > 0 {
            for &group in groups.iter().filter(|group| (**group as usize) < self.seen) {
                self.marks[group as usize / 64] |= 1 << (group % 64);
            }
        }
    }

    /// The changed groups; from here on, none is.
    fn take(&mut self, groups: usize) -> Vec<u32> {
        let bits = |(word, bits): (usize, u64)| {
            let mut bits = bits;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(word as u32 * 64 + bit)
            })
        };
        let changed = self.marks.iter().copied().enumerate().flat_map(bits);
        let mut changed: Vec<u32> = changed.chain(self.seen as u32..groups as u32).collect();
        if mutant::is(Mutant::UpdateOmitted) && changed.first().is_some_and(|group| (*group as usize) < self.seen) {
            changed.remove(0);
        }
        self.all_seen(groups);
        changed
    }

    fn has(&self, group: u32) -> bool {
        let group = group as usize;
        group >= self.seen || has_bit(&self.marks, group)
    }

    /// Only these groups are left, in this order.
    fn keep(&mut self, kept: &[u32]) {
        let changed: Vec<bool> = kept.iter().map(|group| self.has(*group)).collect();
        self.all_seen(kept.partition_point(|group| (*group as usize) < self.seen));
        for number in (0..self.seen).filter(|number| changed[*number]) {
            self.marks[number / 64] |= 1 << (number % 64);
        }
    }

    fn all_seen(&mut self, groups: usize) {
        self.seen = groups;
        self.marks.clear();
        self.marks.resize(groups.div_ceil(64), 0);
    }
}

#[inline]
fn has_bit(bits: &[u64], group: usize) -> bool {
    bits.get(group / 64).is_some_and(|word| word >> (group % 64) & 1 == 1)
}

/// Groups that have been touched while memory was nearly short.
#[derive(Debug, Default)]
struct Touches {
    bits: Vec<u64>,
}

impl Touches {
    fn add(&mut self, groups: &[u32], of: usize) {
        if self.bits.len() * 64 < of {
            self.bits.resize(of.div_ceil(64), 0);
        }
        for &group in groups {
            self.bits[group as usize / 64] |= 1 << (group % 64);
        }
    }

    fn count(&self) -> usize {
        self.bits.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// A bin whose groups, or some of them, leave memory.
#[derive(Debug)]
struct Leaving {
    window: Window,
    slot: usize,
    /// Ascending.
    groups: Vec<u32>,
    /// So many of them have been given out.
    given: usize,
}

/// Groups of a bin that come back from disk.
#[derive(Debug)]
struct Thawed {
    slot: usize,
    /// Groups that the bin has by now.
    of: usize,
    /// By row.
    groups: Vec<u32>,
    rows: Batch,
}

/// What `assign` has said of a batch.
#[derive(Debug, Default)]
struct Assigned {
    parts: Vec<Part>,
    rows: Vec<u32>,
    groups: Vec<u32>,
    counting: usize,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    start: i64,
    end: i64,
}

impl Window {
    fn around(time: i64, width: i64) -> Window {
        let since_start = time.rem_euclid(width);
        Window { start: time.saturating_sub(since_start), end: time.saturating_add(width - since_start) }
    }

    #[inline]
    fn holds(&self, time: i64) -> bool {
        self.start <= time && (time < self.end || self.end == i64::MAX)
    }
}

#[derive(Debug)]
struct Bin {
    window: Window,
    slot: usize,
}

/// Where the rows of one window in the present batch go.
#[derive(Debug)]
struct Route {
    window: Window,
    late: bool,
    rows: usize,
}

/// Open windows and their groups.
#[derive(Debug)]
pub struct Tumble {
    width: i64,
    key_types: Vec<ScalarType>,
    watermark: i64,
    /// Open windows by start.
    bins: Vec<Bin>,
    /// Key tables by slot, used and free.
    tables: Vec<KeyTable>,
    free: Vec<usize>,
    /// By slot.
    changes: Vec<Changes>,
    /// Changes are of interest.
    tracks: bool,
    /// Groups of the first bin that have left.
    flushed: usize,

    // What is not in memory.
    frozen: Option<Box<Frozen>>,
    /// By slot: how many groups are on disk.
    away: Vec<usize>,
    /// By slot.
    touches: Vec<Touches>,
    /// When the last of the groups goes that are noted for the next snapshot.
    noted_until: Option<i64>,
    leaving: Option<Vec<Leaving>>,
    thawed: Vec<Thawed>,
    /// What is said of the batch while others come back.
    aside: Option<Assigned>,
    /// Of the first bin: the last entry on disk that has come back to leave.
    left: Option<Vec<u8>>,

    // What `assign` says of the present batch.
    parts: Vec<Part>,
    rows: Vec<u32>,
    groups: Vec<u32>,
    /// Positions in the selection, in the order of `rows`; only while rows are being routed.
    positions: Vec<u32>,
    /// The first so many of `rows` are 0, 1, 2, ...
    counting: usize,
    times: Vec<i64>,
    routes: Vec<Route>,
    route_of: Vec<u32>,
    route_of_start: HashMap<i64, u32>,
}

impl Tumble {
    /// Windows of `width` nanoseconds, grouped by keys of these types.
    pub fn new(width: i64, keys: &[ScalarType]) -> Self {
        Tumble {
            width: width.max(1),
            key_types: keys.to_vec(),
            watermark: i64::MIN,
            bins: Vec::new(),
            tables: Vec::new(),
            free: Vec::new(),
            changes: Vec::new(),
            tracks: false,
            flushed: 0,
            frozen: None,
            away: Vec::new(),
            touches: Vec::new(),
            noted_until: None,
            leaving: None,
            thawed: Vec::new(),
            aside: None,
            left: None,
            parts: Vec::new(),
            rows: Vec::new(),
            groups: Vec::new(),
            positions: Vec::new(),
            counting: 0,
            times: Vec::new(),
            routes: Vec::new(),
            route_of: Vec::new(),
            route_of_start: HashMap::new(),
        }
    }

    /// Routes rows to windows and finds their groups. `event_time` is a timestamp of any unit. Late rows are counted in
    /// `cx` and are in no part. Where groups may be on disk, to be followed by [`Tumble::next_thawed`].
    ///
    /// # Errors
    /// When a window has more groups than can be numbered, or groups on disk cannot be read.
    pub fn assign(
        &mut self,
        rows: Rows<'_>,
        event_time: Input<'_>,
        keys: &[Input<'_>],
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.parts.clear();
        self.groups.clear();
        self.tracks = cx.tracks_changes;
        if rows.is_empty() {
            return Ok(());
        }
        match self.only_window(rows, event_time) {
            Some(window) if window.end <= self.watermark => cx.late_rows += rows.len() as u64,
            Some(window) => {
                self.list_all(rows);
                self.add_part(window, 0..rows.len(), None, keys, cx)?;
            }
            None => {
                cx.late_rows += self.route(rows, event_time);
                self.sort_by_route(rows);
                let positions = std::mem::take(&mut self.positions);
                let mut from = 0;
                for index in 0..self.routes.len() {
                    let Route { window, late, rows } = self.routes[index];
                    if !late {
                        self.add_part(window, from..from + rows, Some(&positions), keys, cx)?;
                        from += rows;
                    }
                }
                self.positions = positions;
            }
        }
        // The tables number groups by u32, less one for "no group".
        match self.parts.iter().any(|part| part.groups >= u32::MAX as usize - 1) {
            true => Err(TaskError::user("a window has more than 4294967294 groups")),
            false => Ok(()),
        }
    }

    /// The window that holds all rows, if it is one, none of them without an event time.
    fn only_window(&mut self, rows: Rows<'_>, event_time: Input<'_>) -> Option<Window> {
        let (times, nanos) = column::ticks(event_time.array);
        if times.nulls.is_some() {
            return None;
        }
        let values = match rows {
            Rows::Some(rows) if event_time.by_row => {
                self.times.clear();
                self.times.extend(rows.values().iter().map(|&row| times.values[row as usize]));
                &self.times
            }
            _ => times.values,
        };
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for &time in values {
            min = min.min(time);
            max = max.max(time);
        }
        let window = Window::around(min.saturating_mul(nanos), self.width);
        window.holds(max.saturating_mul(nanos)).then_some(window)
    }

    /// Makes `self.rows` the rows.
    fn list_all(&mut self, rows: Rows<'_>) {
        match rows {
            Rows::All(count) => {
                if self.counting < count {
                    self.rows.clear();
                    self.rows.extend(0..count as u32);
                    self.counting = count;
                }
            }
            Rows::Some(rows) => {
                self.counting = 0;
                self.rows.clear();
                self.rows.extend_from_slice(rows.values());
            }
        }
    }

    /// Finds the window of each row; returns how many are late.
    fn route(&mut self, rows: Rows<'_>, event_time: Input<'_>) -> u64 {
        self.routes.clear();
        self.route_of.clear();
        self.route_of_start.clear();
        let (times, nanos) = column::ticks(event_time.array);
        let mut without_time = 0;
        let mut last = 0;
        for position in 0..rows.len() {
            let row = if event_time.by_row { rows.row(position) } else { position };
            let Some(time) = times.get(row) else {
                without_time += 1;
                self.route_of.push(u32::MAX);
                continue;
            };
            let time = time.saturating_mul(nanos);
            if !self.routes.get(last).is_some_and(|route| route.window.holds(time)) {
                last = self.route_to(time);
            }
            self.routes[last].rows += 1;
            self.route_of.push(last as u32);
        }
        without_time + self.routes.iter().filter(|route| route.late).map(|route| route.rows as u64).sum::<u64>()
    }

    fn route_to(&mut self, time: i64) -> usize {
        let next = self.routes.len();
        if next <= FEW
            && let Some(found) = self.routes.iter().position(|route| route.window.holds(time))
        {
            return found;
        }
        let window = Window::around(time, self.width);
        let found = *self.route_of_start.entry(window.start).or_insert(next as u32) as usize;
        if found == next {
            self.routes.push(Route { window, late: window.end <= self.watermark, rows: 0 });
        }
        found
    }

    /// Makes `self.rows` and `self.positions` the rows that are not late, by route.
    fn sort_by_route(&mut self, rows: Rows<'_>) {
        let mut total = 0;
        let mut next = Vec::with_capacity(self.routes.len());
        for route in &self.routes {
            next.push(total);
            total += if route.late { 0 } else { route.rows };
        }
        self.counting = 0;
        self.rows.clear();
        self.rows.resize(total, 0);
        self.positions.clear();
        self.positions.resize(total, 0);
        for (position, &route) in self.route_of.iter().enumerate() {
            if route != u32::MAX && !self.routes[route as usize].late {
                let at = next[route as usize];
                next[route as usize] += 1;
                self.rows[at] = rows.row(position) as u32;
                self.positions[at] = position as u32;
            }
        }
    }

    /// Finds the groups of the rows in `range` of `self.rows`, which belong to one window. `positions` goes with
    /// `self.rows`; `None`: these are all rows, in order.
    fn add_part(
        &mut self,
        window: Window,
        range: Range<usize>,
        positions: Option<&[u32]>,
        keys: &[Input<'_>],
        cx: &StageContext,
    ) -> Result<(), TaskError> {
        let bin = self.bin_of(window);
        let rows = &self.rows[range.clone()];
        let is_all = positions.is_none() && self.counting > 0;
        let key = |key: &Input<'_>| -> Option<&[u32]> {
            match (key.by_row, positions) {
                (true, _) => (!is_all).then_some(rows),
                (false, positions) => positions.map(|positions| &positions[range.clone()]),
            }
        };
        let keys = keys.iter().map(|input| Key { array: input.array, indices: key(input) }).collect::<Vec<_>>();
        let table = &mut self.tables[bin];
        let (before, known) = (self.groups.len(), table.len());
        table.assign(&keys, range.len(), &mut self.groups);
        let groups = table.len();
        if self.tracks {
            self.changes[bin].mark(&self.groups[before..]);
        }
        if cx.notes_touches {
            self.touches[bin].add(&self.groups[before..], groups);
        }
        self.parts.push(Part { bin, groups, range });
        match groups > known && self.away[bin] > 0 {
            true => self.thaw(window, bin, known..groups),
            false => Ok(()),
        }
    }

    /// Looks for groups on disk that are new to a window's table.
    fn thaw(&mut self, window: Window, slot: usize, new: Range<usize>) -> Result<(), TaskError> {
        let Some(frozen) = &mut self.frozen else { return Ok(()) };
        let table = &self.tables[slot];
        let keys = table.columns(new.clone());
        if let Some((places, rows)) = frozen.take(Some(window.start), &keys, new.len())? {
            self.away[slot] -= places.len();
            let groups = places.into_iter().map(|place| new.start as u32 + place).collect();
            self.thawed.push(Thawed { slot, of: table.len(), groups, rows });
        }
        Ok(())
    }

    /// Rows of groups that have come back from disk: of a snapshot, to be put in the place of the states of their groups, of
    /// which [`Tumble::parts`] and [`Tumble::pairs`] speak until there are no more.
    #[inline]
    pub fn next_thawed(&mut self) -> Option<Batch> {
        match self.thawed.is_empty() && self.aside.is_none() {
            true => None,
            false => self.put_aside(),
        }
    }

    fn put_aside(&mut self) -> Option<Batch> {
        let assigned = match self.thawed.pop() {
            Some(Thawed { slot, of, groups, rows }) => {
                let (count, range) = (groups.len(), 0..groups.len());
                let parts = vec![Part { bin: slot, groups: of, range }];
                Some((Assigned { parts, rows: (0..count as u32).collect(), groups, counting: count }, rows))
            }
            None => None,
        };
        let (now, batch) = match assigned {
            Some((assigned, batch)) => (assigned, Some(batch)),
            None => (self.aside.take().unwrap_or_default(), None),
        };
        let before = Assigned {
            parts: std::mem::replace(&mut self.parts, now.parts),
            rows: std::mem::replace(&mut self.rows, now.rows),
            groups: std::mem::replace(&mut self.groups, now.groups),
            counting: std::mem::replace(&mut self.counting, now.counting),
        };
        if batch.is_some() && self.aside.is_none() {
            self.aside = Some(before);
        }
        batch
    }

    /// The slot of a window's bin.
    fn bin_of(&mut self, window: Window) -> usize {
        match self.bins.binary_search_by_key(&window.start, |bin| bin.window.start) {
            Ok(at) => self.bins[at].slot,
            Err(at) => {
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.tables.push(KeyTable::new(&self.key_types));
                    self.changes.push(Changes::default());
                    self.away.push(0);
                    self.touches.push(Touches::default());
                    self.tables.len() - 1
                });
                self.bins.insert(at, Bin { window, slot });
                slot
            }
        }
    }

    /// The rows of the last batch, by window.
    #[inline]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The rows of a part.
    #[inline]
    pub fn rows_of(&self, part: &Part) -> &[u32] {
        &self.rows[part.range.clone()]
    }

    /// The group number of each row of a part.
    #[inline]
    pub fn groups_of(&self, part: &Part) -> &[u32] {
        &self.groups[part.range.clone()]
    }

    /// Row and group of each row of a part.
    #[inline]
    pub fn pairs(&self, part: &Part) -> impl Iterator<Item = (usize, usize)> {
        self.rows_of(part).iter().zip(self.groups_of(part)).map(|(&row, &group)| (row as usize, group as usize))
    }

    /// The next groups of windows that end at or before the watermark, oldest window first; to be called until there
    /// are none, and again if `cx` has got too much ([`StageContext::is_full`]). Whoever gets a chunk puts into the states what
    /// has come back for it ([`Tumble::next_thawed`]), and releases them before the next call.
    ///
    /// # Errors
    /// When groups on disk cannot be read.
    pub fn next_closed(&mut self, watermark: i64, cx: &mut StageContext) -> Result<Option<Closed>, TaskError> {
        self.watermark = self.watermark.max(watermark);
        self.next_ending_by(self.watermark, cx)
    }

    /// The next groups of any window: as [`Self::next_closed`], but the windows may come again. Groups that leave so are
    /// never on disk.
    pub fn next_open(&mut self, cx: &mut StageContext) -> Option<Closed> {
        if self.bins.is_empty() || cx.is_full() {
            return None;
        }
        self.next_in_memory()
    }

    fn next_ending_by(&mut self, limit: i64, cx: &mut StageContext) -> Result<Option<Closed>, TaskError> {
        loop {
            let Some(Bin { window, slot }) = self.bins.first().filter(|bin| bin.window.end <= limit) else {
                return Ok(None);
            };
            let (window, slot) = (*window, *slot);
            if cx.is_full() {
                return Ok(None);
            }
            if self.away[slot] == 0 || !self.tables[slot].is_empty() {
                return Ok(self.next_in_memory());
            }
            if let Some(closed) = self.next_on_disk(window, slot)? {
                return Ok(Some(closed));
            }
        }
    }

    /// A chunk of the groups of the first bin that are in memory.
    fn next_in_memory(&mut self) -> Option<Closed> {
        let Bin { window, slot } = self.bins.first()?;
        let (window, slot) = (*window, *slot);
        let table = &mut self.tables[slot];
        let groups = self.flushed..table.len().min(self.flushed + CHUNK);
        let last = groups.end == table.len();
        let keys = table.columns(groups.clone());
        self.flushed = groups.end;
        if last {
            table.clear();
            self.changes[slot].all_seen(0);
            self.touches[slot] = Touches::default();
            self.flushed = 0;
            if self.away[slot] == 0 {
                self.free.push(slot);
                self.bins.remove(0);
            }
        }
        let ends = last && self.away[slot] == 0;
        Some(Closed { bin: slot, groups, last, ends, keys, start: window.start, end: window.end })
    }

    /// A chunk of the groups of the first bin that are on disk; it has none in memory.
    fn next_on_disk(&mut self, window: Window, slot: usize) -> Result<Option<Closed>, TaskError> {
        let found = match &self.frozen {
            Some(frozen) => frozen.scan(Some(window.start), self.left.as_deref(), CHUNK)?,
            None => None,
        };
        let rows = found.as_ref().map_or(0, |(_, rows)| rows.rows);
        self.away[slot] = if rows == 0 { 0 } else { self.away[slot].saturating_sub(rows) };
        let ends = self.away[slot] == 0;
        let closed = found.map(|(last, rows)| {
            self.left = Some(last);
            let (groups, keys) = (0..rows.rows, rows.columns[..self.key_types.len()].to_vec());
            let all = groups.clone().map(|group| group as u32).collect();
            self.thawed.push(Thawed { slot, of: groups.end, groups: all, rows });
            Closed { bin: slot, groups, last: true, ends, keys, start: window.start, end: window.end }
        });
        if ends {
            if let Some(frozen) = &mut self.frozen {
                frozen.forget_window(window.start)?;
            }
            self.left = None;
            self.free.push(slot);
            self.bins.remove(0);
        }
        Ok(closed)
    }

    /// For each open window, oldest first, the groups in memory that have changed since the last call; perhaps none. The rows
    /// of others that no snapshot has, on disk, are in `table` then.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn changed(&mut self, table: &mut TableRows) -> Result<Vec<Changed>, TaskError> {
        if let Some(frozen) = &mut self.frozen
            && let Some(noted) = frozen.take_notes()?
        {
            table.keep_stored(noted, self.noted_until.take());
        }
        let mut changed = Vec::with_capacity(self.bins.len());
        for Bin { window, slot } in &self.bins {
            let table = &self.tables[*slot];
            let groups = self.changes[*slot].take(table.len());
            let keys = table.columns_of(&groups);
            changed.push(Changed { bin: *slot, groups, keys, start: window.start, end: window.end });
        }
        Ok(changed)
    }

    /// The next groups that leave memory, of which about that part of all groups does; to be called until there are none,
    /// each time followed by [`Tumble::freeze`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next_cold(&mut self, portion: f64, cx: &StageContext) -> Result<Option<Changed>, TaskError> {
        let Some(spill) = &cx.spill else { return Ok(None) };
        if self.leaving.is_none() {
            if self.frozen.is_none() {
                self.frozen = Some(Box::new(Frozen::open(spill, &self.key_types, true)?));
            }
            // Nobody knows whether what they have kept will be of use.
            for slot in &self.free {
                self.tables[*slot] = KeyTable::new(&self.key_types);
            }
            self.leaving = Some(self.choose(portion));
        }
        let Some(leaving) = self.leaving.as_mut().and_then(|leaving| leaving.last_mut()) else {
            self.leaving = None;
            spill.set_entries(self.away.iter().sum());
            return Ok(None);
        };
        let groups = leaving.groups[leaving.given..].iter().take(CHUNK).copied().collect::<Vec<_>>();
        let keys = self.tables[leaving.slot].columns_of(&groups);
        let Window { start, end } = leaving.window;
        Ok(Some(Changed { bin: leaving.slot, groups, keys, start, end }))
    }

    /// Of each window the groups that are to leave.
    fn choose(&mut self, portion: f64) -> Vec<Leaving> {
        let total: usize = self.bins.iter().map(|bin| self.tables[bin.slot].len()).sum();
        let touched: usize = self.bins.iter().map(|bin| self.touches[bin.slot].count()).sum();
        let target = ((total as f64 * portion).ceil() as usize).min(total);
        let untouched = total.saturating_sub(touched);
        let part = |of: usize, all: usize| if all == 0 { 0.0 } else { of as f64 / all as f64 };
        let of_untouched = part(target.min(untouched), untouched);
        let of_touched = part(target.saturating_sub(untouched), touched);
        let mut all = Vec::new();
        for Bin { window, slot } in &self.bins {
            let (groups, touches) = (self.tables[*slot].len(), std::mem::take(&mut self.touches[*slot]));
            let touched = touches.count();
            let mut left = [(groups - touched, of_untouched), (touched, of_touched)]
                .map(|(groups, part)| (groups as f64 * part).ceil() as usize);
            let chosen = (0..groups as u32).filter(|group| {
                let left = &mut left[usize::from(has_bit(&touches.bits, *group as usize))];
                let leaves = *left > 0;
                *left -= usize::from(leaves);
                leaves
            });
            let groups: Vec<u32> = chosen.collect();
            if !groups.is_empty() {
                all.push(Leaving { window: *window, slot: *slot, groups, given: 0 });
            }
        }
        all
    }

    /// Puts groups on disk: `rows` are theirs, as a snapshot has them, and `counts` those of their sets, which come back as
    /// further columns. When these were the last of their bin: the groups that stay, in the order of their new numbers; it is
    /// for [`States::keep`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn freeze(&mut self, cold: &Changed, rows: &Batch, counts: &[ArrayRef]) -> Result<Option<Vec<u32>>, TaskError> {
        let (Some(frozen), Some(leaving)) = (&mut self.frozen, &mut self.leaving) else { return Ok(None) };
        let unsaved = |group: &u32| self.tracks && self.changes[cold.bin].has(*group);
        let unsaved: Vec<bool> = cold.groups.iter().map(unsaved).collect();
        if unsaved.contains(&true) {
            self.noted_until = self.noted_until.max(Some(cold.end));
        }
        frozen.put(rows, counts, &unsaved)?;
        self.away[cold.bin] += cold.groups.len();
        let Some(bin) = leaving.last_mut() else { return Ok(None) };
        bin.given += cold.groups.len();
        if bin.given < bin.groups.len() {
            return Ok(None);
        }
        let table = &mut self.tables[cold.bin];
        let kept = others(&bin.groups, table.len());
        table.keep(&kept);
        self.changes[cold.bin].keep(&kept);
        leaving.pop();
        Ok(Some(kept))
    }

    pub(crate) fn key_types(&self) -> &[ScalarType] {
        &self.key_types
    }

    pub(crate) fn tracks_changes(&self) -> bool {
        self.tracks
    }

    /// The start of the window of a part.
    pub(crate) fn start_of(&self, part: &Part) -> i64 {
        let bin = self.bins.iter().find(|bin| bin.slot == part.bin);
        bin.map_or(0, |bin| bin.window.start)
    }

    /// Key columns of some groups of a bin.
    pub fn keys_of(&self, bin: usize, groups: &[u32]) -> Vec<ArrayRef> {
        self.tables[bin].columns_of(groups)
    }

    /// Rows of a snapshot are about to be assigned, those of windows that end by `watermark` to be left out.
    pub fn begin_restore(&mut self, watermark: Option<i64>) {
        self.watermark = watermark.unwrap_or(i64::MIN);
    }

    /// All rows of a snapshot have been assigned: they are as the snapshot has them.
    pub fn restored(&mut self, watermark: i64) {
        self.watermark = watermark;
        if mutant::is(Mutant::WindowForgotten) && !self.bins.is_empty() {
            self.bins.remove(0);
        }
        for Bin { slot, .. } in &self.bins {
            self.changes[*slot].all_seen(self.tables[*slot].len());
        }
    }

    /// Bytes that the key tables occupy.
    pub fn memory(&self) -> usize {
        let marks = |bits: &Vec<u64>| bits.len() * size_of::<u64>();
        let tables: usize = self.tables.iter().map(KeyTable::memory).sum();
        let changes: usize = self.changes.iter().map(|changes| marks(&changes.marks)).sum();
        tables + changes + self.touches.iter().map(|touches| marks(&touches.bits)).sum::<usize>()
    }
}

/// The numbers up to `all` that are not among these, which are ascending.
pub(crate) fn others(these: &[u32], all: usize) -> Vec<u32> {
    let mut these = these.iter().peekable();
    let mut others = Vec::with_capacity(all - these.len());
    others.extend((0..all as u32).filter(|number| these.next_if_eq(&number).is_none()));
    others
}

/// States of the groups: one vector for each bin of a [`Tumble`].
#[derive(Clone, Debug)]
pub struct States<S> {
    bins: Vec<Vec<S>>,
}

impl<S> Default for States<S> {
    fn default() -> Self {
        States { bins: Vec::new() }
    }
}

/// States that are looked at, to tell what they have on the heap.
const SAMPLES: usize = 64;

/// Bytes that states occupy, by a sample of what each has besides itself.
#[inline]
pub(crate) fn bytes_of<S>(states: &[S], samples: usize, heap: impl Fn(&S) -> usize) -> usize {
    let step = (states.len() / samples.max(1)).max(1);
    let (mut looked_at, mut bytes) = (0, 0);
    for state in states.iter().step_by(step) {
        looked_at += 1;
        bytes += heap(state);
    }
    size_of_val(states) + bytes * states.len() / looked_at.max(1)
}

impl<S: Default> States<S> {
    pub fn new() -> Self {
        States::default()
    }

    /// The states of a bin, of which there are to be `groups`.
    #[inline]
    pub fn of(&mut self, bin: usize, groups: usize) -> &mut [S] {
        if self.bins.len() <= bin {
            self.bins.resize_with(bin + 1, Vec::new);
        }
        let states = &mut self.bins[bin];
        if states.len() < groups {
            states.resize_with(groups, S::default);
        }
        states
    }

    /// The states of a chunk.
    #[inline]
    pub fn closed(&self, closed: &Closed) -> &[S] {
        &self.bins[closed.bin][closed.groups.clone()]
    }

    /// Copies of the states of changed groups.
    pub fn changed(&self, changed: &Changed) -> Vec<S>
    where
        S: Clone,
    {
        changed.groups.iter().map(|&group| self.bins[changed.bin][group as usize].clone()).collect()
    }

    /// Bytes that all states occupy; `heap` says what one has besides itself.
    pub fn memory(&self, heap: impl Fn(&S) -> usize) -> usize {
        let samples = SAMPLES / self.bins.len().max(1);
        self.bins.iter().map(|states| bytes_of(states, samples, &heap)).sum()
    }

    /// Follows [`Tumble::freeze`], with what that gives.
    pub fn keep(&mut self, bin: usize, kept: Option<&[u32]>) {
        let Some(kept) = kept else { return };
        if let Some(states) = self.bins.get_mut(bin) {
            keep_at(states, kept);
        }
        self.bins.iter_mut().filter(|states| states.is_empty()).for_each(|states| *states = Vec::new());
    }

    /// Forgets the states of a window, once its last chunk has left; keeps the memory for the next one.
    #[inline]
    pub fn release(&mut self, closed: &Closed) {
        if closed.last {
            let states = &mut self.bins[closed.bin];
            states.clear();
            states.shrink_to(closed.groups.end * 16);
        }
    }
}

/// Takes part in the stage's watermark: the largest of `times` (a timestamp of any unit), plus `add_nanos`.
pub fn observe(times: &ArrayRef, add_nanos: i64, cx: &mut StageContext) {
    let (times, nanos) = column::ticks(times);
    let latest = match times.nulls {
        None => times.values.iter().copied().max(),
        Some(nulls) => nulls.valid_indices().map(|row| times.values[row]).max(),
    };
    if let Some(latest) = latest {
        let watermark = latest.saturating_mul(nanos).saturating_add(add_nanos);
        cx.observed_watermark = Some(cx.observed_watermark.map_or(watermark, |observed| observed.max(watermark)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::column::{from_i64, from_timestamp, validity};
    use crate::memory::Spill;
    use crate::select::Selection;
    use arrow::array::Array;
    use proptest::prelude::*;

    #[derive(Clone, Debug, Default)]
    struct State {
        count: i64,
        sum: i64,
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Event time (if any), key, and whether the row passes the filter.
        Rows(Vec<(Option<i64>, i64, bool)>),
        Watermark(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let time =
            prop_oneof![8 => (-40i64..40).prop_map(Some), 1 => Just(None), 1 => (-4_000i64..4_000).prop_map(Some)];
        let row = (time, -3i64..3, prop::bool::weighted(0.8));
        let rows = prop::collection::vec(row, 0..40).prop_map(Step::Rows);
        prop::collection::vec(prop_oneof![3 => rows, 1 => (-50i64..60).prop_map(Step::Watermark)], 1..12)
    }

    /// Window start and key to count and sum; each is emitted once.
    type Out = Vec<BTreeMap<(i64, i64), (i64, i64)>>;

    struct Fused {
        tumble: Tumble,
        states: States<State>,
        out: Out,
        late: u64,
        touches: bool,
    }

    impl Fused {
        fn rows(&mut self, rows: &[(Option<i64>, i64, bool)], unit: TimeUnit, computed: bool, filtered: bool) {
            let valid = rows.iter().map(|row| row.0.is_some()).collect::<Vec<_>>();
            let times =
                from_timestamp(rows.iter().map(|row| row.0.unwrap_or(7)).collect(), validity(&valid), unit, None);
            let keys = from_i64(rows.iter().map(|row| row.1).collect(), None);
            let selection = Selection::filter(rows.len(), None, |row| !filtered || rows[row].2);
            let selected = if filtered { selection.rows() } else { Rows::All(rows.len()) };
            let (taken_times, taken_keys) = (selected.take(&times), selected.take(&keys));
            let (time, key) = match computed {
                true => (Input::position(&taken_times), Input::position(&taken_keys)),
                false => (Input::row(&times), Input::row(&keys)),
            };
            let mut cx = StageContext { tracks_changes: true, notes_touches: self.touches, ..StageContext::default() };
            self.tumble.assign(selected, time, &[key], &mut cx).unwrap();
            self.late += cx.late_rows;
            self.thaw();
            for part in self.tumble.parts() {
                let states = self.states.of(part.bin, part.groups);
                for (row, group) in self.tumble.pairs(part) {
                    states[group].count += 1;
                    states[group].sum += rows[row].1 * 10 + rows[row].0.unwrap();
                }
            }
        }

        fn watermark(&mut self, watermark: i64) {
            let mut emitted = BTreeMap::new();
            let mut last_start = i64::MIN;
            while let Some(closed) = self.tumble.next_closed(watermark, &mut StageContext::default()).unwrap() {
                assert!(closed.start >= last_start, "windows close in order");
                last_start = closed.start;
                self.thaw();
                let keys = column::i64(&closed.keys[0]);
                for (at, state) in self.states.closed(&closed).iter().enumerate() {
                    emitted.insert((closed.start, keys.value(at)), (state.count, state.sum));
                }
                self.states.release(&closed);
            }
            self.out.push(emitted);
        }

        fn thaw(&mut self) {
            while let Some(rows) = self.tumble.next_thawed() {
                self.put(&rows);
            }
        }

        fn put(&mut self, rows: &Batch) {
            for part in self.tumble.parts() {
                let into = self.states.of(part.bin, part.groups);
                for (row, group) in self.tumble.pairs(part) {
                    into[group] = State { count: rows.i64(2).value(row), sum: rows.i64(3).value(row) };
                }
            }
        }

        fn rows_of(&self, changed: &Changed) -> Batch {
            let states = self.states.changed(changed);
            let mut columns = changed.keys.clone();
            columns.push(changed.window_start());
            columns.push(from_i64(states.iter().map(|state| state.count).collect(), None));
            columns.push(from_i64(states.iter().map(|state| state.sum).collect(), None));
            Batch::new(columns, states.len())
        }

        fn evict(&mut self, portion: f64, cx: &mut StageContext) {
            while let Some(cold) = self.tumble.next_cold(portion, cx).unwrap() {
                let rows = self.rows_of(&cold);
                let kept = self.tumble.freeze(&cold, &rows, &[]).unwrap();
                self.states.keep(cold.bin, kept.as_deref());
            }
        }

        /// Rows of a snapshot, in their order.
        fn snapshot(&mut self) -> Vec<Batch> {
            let mut table = TableRows::default();
            for changed in self.tumble.changed(&mut table).unwrap() {
                table.push(self.rows_of(&changed), changed.end);
            }
            std::iter::from_fn(|| table.next().unwrap()).collect()
        }

        fn restore(&mut self, rows: &Batch, watermark: Option<i64>) {
            self.tumble.begin_restore(watermark);
            let keys = [Input::row(rows.array(0))];
            let mut cx = StageContext::default();
            self.tumble.assign(Rows::All(rows.rows), Input::row(rows.array(1)), &keys, &mut cx).unwrap();
            self.thaw();
            self.put(rows);
        }
    }

    /// The same by plain arithmetic on maps.
    fn naive(steps: &[Step], width: i64, nanos: i64, filtered: bool) -> (Out, u64) {
        let (mut open, mut out, mut late, mut watermark) = (BTreeMap::new(), Out::new(), 0, i64::MIN);
        for step in steps {
            match step {
                Step::Rows(rows) => {
                    for &(time, key, keep) in rows {
                        if filtered && !keep {
                            continue;
                        }
                        let Some(ticks) = time else {
                            late += 1;
                            continue;
                        };
                        let start = (ticks * nanos).div_euclid(width) * width;
                        if start + width <= watermark {
                            late += 1;
                            continue;
                        }
                        let state: &mut (i64, i64) = open.entry((start, key)).or_default();
                        state.0 += 1;
                        state.1 += key * 10 + ticks;
                    }
                }
                Step::Watermark(to) => {
                    watermark = watermark.max(*to);
                    let later = open.split_off(&(watermark.saturating_sub(width).saturating_add(1), i64::MIN));
                    out.push(std::mem::replace(&mut open, later));
                }
            }
        }
        (out, late)
    }

    proptest! {
        #[test]
        fn windows_are_those_of_plain_arithmetic(
            steps in steps(),
            width in prop::sample::select(vec![1i64, 7, 10, 60]),
            millis in any::<bool>(),
            computed in any::<bool>(),
            filtered in any::<bool>(),
        ) {
            let unit = if millis { TimeUnit::Millisecond } else { TimeUnit::Nanosecond };
            let nanos = unit.nanos();
            let mut steps = steps;
            for step in &mut steps {
                if let Step::Watermark(to) = step {
                    *to *= nanos;
                }
            }
            steps.push(Step::Watermark(i64::MAX));
            let tumble = Tumble::new(width * nanos, &[ScalarType::Int64]);
            let mut fused = Fused { tumble, states: States::new(), out: Vec::new(), late: 0, touches: false };
            for step in &steps {
                match step {
                    Step::Rows(rows) => fused.rows(rows, unit, computed, filtered),
                    Step::Watermark(to) => fused.watermark(*to),
                }
            }
            let (out, late) = naive(&steps, width * nanos, nanos, filtered);
            prop_assert_eq!(fused.out, out);
            prop_assert_eq!(fused.late, late);
        }
    }

    proptest! {
        /// Snapshots, each with the changes alone, put into a fresh instance at any moment, change nothing; neither do groups
        /// that go to disk at any moment, also while rows are restored.
        #[test]
        fn snapshots_add_up_to_the_state(
            steps in steps(),
            snapshots in prop::collection::vec(any::<bool>(), 12),
            evictions in prop::collection::vec(prop::option::of(0.0..1.0), 12),
            touches in any::<bool>(),
            crash in 0usize..12,
        ) {
            let fresh = || Fused {
                tumble: Tumble::new(10, &[ScalarType::Int64]),
                states: States::new(), out: Vec::new(), late: 0, touches,
            };
            let tracked = || StageContext { tracks_changes: true, spill: Some(Spill::for_tests()), ..StageContext::default() };
            let mut steps = steps;
            steps.push(Step::Watermark(i64::MAX));
            let (mut fused, mut cx) = (fresh(), tracked());
            let mut files: Vec<Batch> = Vec::new();
            let mut watermark = None;
            for (at, step) in steps.iter().enumerate() {
                match step {
                    Step::Rows(rows) => fused.rows(rows, TimeUnit::Nanosecond, false, false),
                    Step::Watermark(to) => {
                        fused.watermark(*to);
                        watermark = watermark.max(Some(*to));
                    }
                }
                if let Some(portion) = evictions[at % 12] {
                    fused.evict(portion, &mut cx);
                }
                if snapshots[at % 12] || at == crash {
                    files.extend(fused.snapshot());
                }
                if at == crash {
                    let (out, late) = (fused.out, fused.late);
                    fused = Fused { out, late, ..fresh() };
                    cx = StageContext { tracks_changes: false, ..tracked() };
                    for rows in &files {
                        fused.restore(rows, watermark);
                        if let Some(portion) = evictions[at % 12] {
                            fused.evict(portion, &mut cx);
                        }
                    }
                    fused.tumble.restored(watermark.unwrap_or(i64::MIN));
                    cx.tracks_changes = true;
                }
            }
            let (out, late) = naive(&steps, 10, 1, false);
            prop_assert_eq!(fused.out, out);
            prop_assert_eq!(fused.late, late);
        }
    }

    #[test]
    fn untouched_groups_leave_first_and_by_window_alike() {
        let mut fused = Fused {
            tumble: Tumble::new(10, &[ScalarType::Int64]),
            states: States::new(),
            out: Vec::new(),
            late: 0,
            touches: false,
        };
        let spill = Spill::for_tests();
        let mut cx = StageContext { tracks_changes: true, spill: Some(spill.clone()), ..StageContext::default() };
        let rows = |start: i64, keys: Range<i64>| keys.map(|key| (Some(start), key, true)).collect::<Vec<_>>();
        fused.rows(&rows(0, 0..8), TimeUnit::Nanosecond, false, false);
        fused.rows(&rows(10, 0..16), TimeUnit::Nanosecond, false, false);
        let before = fused.tumble.memory() + fused.states.memory(|_| 0);
        fused.touches = true;
        fused.rows(&rows(0, 0..2), TimeUnit::Nanosecond, false, false);
        fused.rows(&rows(10, 4..6), TimeUnit::Nanosecond, false, false);
        // Twenty have not been touched; ten leave.
        fused.evict(10.0 / 24.0, &mut cx);
        assert_eq!((fused.tumble.away.as_slice(), spill.entries()), (&[3, 7][..], 10));
        let left = |fused: &Fused, bin: usize| {
            let keys = fused.tumble.tables[bin].columns(0..fused.tumble.tables[bin].len());
            column::i64(&keys[0]).values.to_vec()
        };
        assert_eq!(left(&fused, 0), [0, 1, 5, 6, 7]);
        assert_eq!(left(&fused, 1), [4, 5, 9, 10, 11, 12, 13, 14, 15]);
        assert!(fused.tumble.memory() + fused.states.memory(|_| 0) < before);
        // All of them have changed, wherever they are, and some are noted.
        assert_eq!(fused.snapshot().iter().map(|batch| batch.rows).collect::<Vec<_>>(), [10, 5, 9]);
        fused.evict(1.0, &mut cx);
        assert_eq!((fused.snapshot().len(), fused.tumble.away.as_slice()), (0, &[8, 16][..]));
        // One that comes back has changed, and says no more of the others.
        fused.rows(&[(Some(10), 3, true)], TimeUnit::Nanosecond, false, false);
        assert_eq!(fused.tumble.away, [8, 15]);
        let snapshot = fused.snapshot();
        assert_eq!((snapshot.len(), snapshot[0].i64(0).value(0), snapshot[0].i64(2).value(0)), (1, 3, 2));
    }

    #[test]
    fn a_window_on_disk_leaves_in_chunks() {
        let mut fused = Fused {
            tumble: Tumble::new(10, &[ScalarType::Int64]),
            states: States::new(),
            out: Vec::new(),
            late: 0,
            touches: false,
        };
        let mut cx = StageContext { spill: Some(Spill::for_tests()), ..StageContext::default() };
        let rows = (0..CHUNK as i64 * 2 + 5).map(|key| (Some(3), key, true)).collect::<Vec<_>>();
        fused.rows(&rows, TimeUnit::Nanosecond, false, false);
        fused.evict(1.0, &mut cx);
        fused.rows(&[(Some(3), 7, true), (Some(4), -1, true)], TimeUnit::Nanosecond, false, false);
        let mut sizes = Vec::new();
        while let Some(closed) = fused.tumble.next_closed(10, &mut cx).unwrap() {
            fused.thaw();
            assert_eq!(fused.states.closed(&closed).len(), closed.groups.len());
            fused.states.release(&closed);
            sizes.push(closed.groups.len());
        }
        assert_eq!(sizes, [2, CHUNK, CHUNK, 4]);
        assert!(fused.tumble.bins.is_empty());
        // The slot is as good as new.
        fused.rows(&[(Some(13), 7, true)], TimeUnit::Nanosecond, false, false);
        fused.watermark(20);
        assert_eq!(fused.out, [BTreeMap::from([((10, 7), (1, 83))])]);
    }

    #[test]
    fn much_leaves_in_several_calls() {
        let mut tumble = Tumble::new(10, &[ScalarType::Int64]);
        let count = CHUNK as i64 * 20;
        let keys = from_i64((0..count).collect(), None);
        let times = from_timestamp(vec![3; count as usize], None, TimeUnit::Nanosecond, None);
        let mut cx = StageContext::default();
        tumble.assign(Rows::All(count as usize), Input::row(&times), &[Input::row(&keys)], &mut cx).unwrap();
        let mut calls = Vec::new();
        loop {
            while let Some(closed) = tumble.next_closed(10, &mut cx).unwrap() {
                cx.emit(Batch::new(closed.keys.clone(), closed.groups.len()));
            }
            calls.push(cx.emitted.drain(..).len());
            if !std::mem::take(&mut cx.more) {
                break;
            }
        }
        assert_eq!(calls, [8, 8, 4]);
    }

    #[test]
    fn a_window_leaves_in_chunks_in_the_order_of_first_appearance() {
        let count = CHUNK * 2 + 5;
        let mut tumble = Tumble::new(10, &[ScalarType::Int64]);
        let keys = from_i64((0..count as i64).rev().collect(), None);
        let times = from_timestamp(vec![3; count], None, TimeUnit::Nanosecond, None);
        let mut cx = StageContext::default();
        tumble.assign(Rows::All(count), Input::row(&times), &[Input::row(&keys)], &mut cx).unwrap();
        assert!(tumble.next_closed(9, &mut cx).unwrap().is_none());
        let mut next = count as i64;
        let mut lasts = Vec::new();
        while let Some(closed) = tumble.next_closed(10, &mut cx).unwrap() {
            assert_eq!((closed.start, closed.end), (0, 10));
            for &key in column::i64(&closed.keys[0]).values {
                next -= 1;
                assert_eq!(key, next);
            }
            assert_eq!(closed.window().len(), closed.groups.len());
            assert_eq!(column::i64(&closed.window_start()).value(0), 0);
            lasts.push(closed.last);
        }
        assert_eq!((next, lasts), (0, vec![false, false, true]));
        // The window is closed: its rows are late now.
        tumble.assign(Rows::All(count), Input::row(&times), &[Input::row(&keys)], &mut cx).unwrap();
        assert_eq!((cx.late_rows, tumble.parts().len()), (count as u64, 0));
    }

    #[test]
    fn the_limits_of_time_saturate() {
        let mut tumble = Tumble::new(1_000, &[]);
        let times = from_timestamp(vec![i64::MIN, i64::MAX, -1, 0], None, TimeUnit::Second, None);
        let mut cx = StageContext::default();
        tumble.assign(Rows::All(4), Input::row(&times), &[], &mut cx).unwrap();
        assert_eq!(tumble.parts().len(), 4);
        assert_eq!(
            tumble.changed(&mut TableRows::default()).unwrap().iter().map(|window| window.start).collect::<Vec<_>>(),
            {
                let last = i64::MAX - i64::MAX % 1_000;
                [i64::MIN, -1_000_000_000, 0, last]
            }
        );
        let mut closed = 0;
        while tumble.next_closed(i64::MAX, &mut cx).unwrap().is_some() {
            closed += 1;
        }
        assert_eq!((closed, cx.late_rows), (4, 0));
    }

    #[test]
    fn the_largest_time_is_observed() {
        let mut cx = StageContext::default();
        observe(&from_timestamp(vec![5, 9], validity(&[true, false]), TimeUnit::Second, None), -1, &mut cx);
        assert_eq!(cx.observed_watermark, Some(4_999_999_999));
        observe(&from_timestamp(vec![1], None, TimeUnit::Nanosecond, None), 0, &mut cx);
        observe(&from_timestamp(vec![1], validity(&[false]), TimeUnit::Nanosecond, None), 0, &mut cx);
        assert_eq!(cx.observed_watermark, Some(4_999_999_999));
        observe(&from_timestamp(vec![i64::MAX], None, TimeUnit::Second, None), 5, &mut cx);
        assert_eq!(cx.observed_watermark, Some(i64::MAX));
    }
}
