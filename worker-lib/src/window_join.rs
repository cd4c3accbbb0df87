//! The windowed join: rows of two inputs, paired where their windows and their keys are equal.
//!
//! ```text
//!   left  ──▶┐ open windows, by start          the watermark passes a window's end
//!            ├─ rows of both sides, as they ──▶ pairs ─▶ condition ─▶ left alone, right alone ──▶ chunks of output
//!   right ──▶┘ came; one key table for both
//! ```
//!
//! A row brings its keys as the first columns of its batch, then its window, or the start of it. Batches are kept as they
//! come (cut, where they hold several windows) beside the number that each row's keys have in the table of the window,
//! so that closing a window hashes nothing: the right rows are sorted by number, counting, and each left row finds its
//! partners as a range. Only what leaves is copied.
//!
//! **Order.** Windows leave in the order of their start. Of one window come first the pairs, in the order in which the
//! left rows came, each with its right rows in the order of theirs; then the left rows without a partner, then the right
//! ones, both in the order in which they came. The same input in the same order gives the same output.
//!
//! **Meaning.** A key that is null equals nothing; within a struct or a list null is a value like others. Floats have one
//! NaN and one zero. A row without a partner leaves, with nulls in the partner's place, if the join keeps its side. With a
//! condition, a partner is a row for which it is true. The event time of what leaves is the end of its window: it leaves
//! before a watermark that is later.
//!
//! **Checkpoints.** A table for each side, as a list: a snapshot holds the rows that came since the last one, the
//! watermark removes them when it comes to the end of their window.
//!
//! **When memory is short** the rows of windows go to disk ([`crate::blocks`]): of the window that closes last those first, for
//! nothing is read of a window before it closes. Rows that come later are in memory until memory is short again. A
//! window of which any row is on disk closes in parts: by the hash of their keys, so that one part of it is in memory at
//! a time; the order above is that of each part then.
//!
//! Invariants: a row whose window's end is not above the watermark is late and counted; rows that cannot leave (a null
//! among the keys, on a side that is not kept) are dropped at once. Arithmetic near the limits of `i64` saturates.
//!
//! Cost: for each row in, the key table's; for each row out, a copy of the columns that leave. A window, or a part of one that
//! is on disk, is in memory until its last chunk has left: with the pairs of a key all of its rows are.
//!
//! Not here: the windows' own making ([`crate::window`]), expressions over what leaves (the stage's).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, NullArray, UInt32Array};
use schema::ScalarType;

use crate::batch::Batch;
use crate::blocks::{Blocks, PARTS};
use crate::column;
use crate::error::TaskError;
use crate::keys::{Key, KeyTable};
use crate::select::Selection;
use crate::stage::StageContext;
use crate::state::TableRows;

/// Most rows that leave at once.
const CHUNK: usize = 8_192;
/// The number of a row whose keys equal none.
const NO_GROUP: u32 = u32::MAX;

/// Which rows leave that have no partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    /// Those of the left input.
    Left,
    Right,
    Full,
}

/// Chooses pairs: of a batch with the columns of the left input, then those of the right, the rows that count.
pub type Condition = fn(&Batch) -> Result<Selection, TaskError>;

/// Open windows with the rows of both inputs.
#[derive(Debug)]
pub struct WindowJoin {
    /// Whether rows without a partner leave, by side.
    keeps: [bool; 2],
    width: i64,
    keys: usize,
    /// Of the columns, by side.
    types: [Vec<ScalarType>; 2],
    /// The columns that leave; numbers go through the left ones, then the right ones.
    output: Vec<usize>,
    /// The columns that it reads, numbered likewise.
    condition: Option<(Vec<usize>, Condition)>,
    watermark: i64,
    /// By start.
    open: BTreeMap<i64, Window>,
    /// The window that is leaving, or a part of it.
    closing: Option<Closing>,
    /// The window on disk that is leaving, and which part of it is next.
    in_parts: Option<(i64, u8)>,
    /// Rows on disk, once there have been any.
    blocks: Option<Box<Blocks>>,
    /// By side: when the last of the rows goes that are noted for the next snapshot.
    noted_until: [Option<i64>; 2],
}

#[derive(Debug)]
struct Window {
    keys: KeyTable,
    sides: [Side; 2],
    /// Some of its rows are on disk.
    on_disk: bool,
}

impl Window {
    fn new(keys: &[ScalarType]) -> Self {
        Window { keys: KeyTable::new(keys), sides: Default::default(), on_disk: false }
    }

    fn memory(&self) -> usize {
        self.keys.memory() + self.sides.iter().map(Side::memory).sum::<usize>()
    }
}

/// The rows of one input in one window.
#[derive(Debug, Default)]
struct Side {
    batches: Vec<Batch>,
    /// The number of each row's keys, through all batches.
    groups: Vec<u32>,
    /// So many batches are in a snapshot.
    saved: usize,
    /// Bytes of the batches.
    bytes: usize,
}

impl Side {
    fn memory(&self) -> usize {
        self.bytes + self.groups.len() * size_of::<u32>()
    }
}

impl WindowJoin {
    /// Of windows of `width` nanoseconds. The inputs have columns of the types `left` and `right`; the first `keys` of
    /// each are its keys, the next one is its window, whole or the start of it.
    pub fn new(
        kind: JoinKind,
        width: i64,
        keys: usize,
        left: &[ScalarType],
        right: &[ScalarType],
        output: &[usize],
    ) -> Self {
        let keeps = match kind {
            JoinKind::Inner => [false, false],
            JoinKind::Left => [true, false],
            JoinKind::Right => [false, true],
            JoinKind::Full => [true, true],
        };
        WindowJoin {
            keeps,
            width,
            keys,
            types: [left.to_vec(), right.to_vec()],
            output: output.to_vec(),
            condition: None,
            watermark: i64::MIN,
            open: BTreeMap::new(),
            closing: None,
            in_parts: None,
            blocks: None,
            noted_until: [None; 2],
        }
    }

    /// With a further condition on pairs, which reads these columns.
    pub fn with_condition(mut self, reads: &[usize], condition: Condition) -> Self {
        self.condition = Some((reads.to_vec(), condition));
        self
    }

    /// Takes rows of the input that `cx` says. Late rows are counted there.
    ///
    /// # Errors
    /// When a window has more rows of one side than can be numbered.
    pub fn add(&mut self, batch: &Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        cx.late_rows += self.put(cx.port, batch, self.watermark)?;
        Ok(())
    }

    /// Takes rows of a side; returns how many are late.
    fn put(&mut self, side: usize, batch: &Batch, watermark: i64) -> Result<u64, TaskError> {
        let window = match self.types[side][self.keys] {
            ScalarType::Struct(_) => column::member(batch.array(self.keys), 0),
            _ => batch.array(self.keys).clone(),
        };
        let starts = column::i64(&window).values;
        let Some(&first) = starts.first() else { return Ok(0) };
        if starts.iter().all(|start| *start == first) {
            return self.put_in_window(side, first, batch.clone(), watermark);
        }
        let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, start) in starts.iter().enumerate() {
            rows.entry(*start).or_default().push(row as u32);
        }
        let mut late = 0;
        for (start, rows) in rows {
            let rows = UInt32Array::from(rows);
            let columns = batch.columns.iter().map(|array| column::take(array, &rows)).collect();
            late += self.put_in_window(side, start, Batch::new(columns, rows.values().len()), watermark)?;
        }
        Ok(late)
    }

    fn put_in_window(&mut self, side: usize, start: i64, batch: Batch, watermark: i64) -> Result<u64, TaskError> {
        if start.saturating_add(self.width) <= watermark {
            return Ok(batch.rows as u64);
        }
        let key_types = &self.types[side][..self.keys];
        let window = self.open.entry(start).or_insert_with(|| Window::new(key_types));
        add_to(window, side, batch, self.keys, self.keeps[side])?;
        Ok(0)
    }

    /// The next rows of windows that end at or before the watermark, oldest window first; to be called until there are
    /// none, and again if `cx` has got too much ([`StageContext::is_full`]).
    ///
    /// # Errors
    /// Those of the condition; when rows on disk cannot be read.
    pub fn next_closed(&mut self, watermark: i64, cx: &mut StageContext) -> Result<Option<Batch>, TaskError> {
        self.watermark = self.watermark.max(watermark);
        loop {
            if cx.is_full() {
                return Ok(None);
            }
            let mut closing = match self.closing.take() {
                Some(closing) => closing,
                None => match self.next_window()? {
                    Some(window) => Closing::new(window),
                    None => return Ok(None),
                },
            };
            // A window of which nothing is left is dropped here.
            let Some(mut rows) = closing.next_rows(self.keeps) else { continue };
            if rows.are_pairs() {
                if let Some((reads, condition)) = &self.condition {
                    let unread: ArrayRef = Arc::new(NullArray::new(rows.len()));
                    let columns = (0..self.types[0].len() + self.types[1].len()).map(|column| {
                        if reads.contains(&column) { self.column(&closing, column, &rows) } else { unread.clone() }
                    });
                    let kept = condition(&Batch::new(columns.collect(), rows.len()))?;
                    rows.retain(&kept);
                }
                closing.partner(&rows);
            }
            let columns = self.output.iter().map(|&column| self.column(&closing, column, &rows)).collect();
            let batch = Batch::new(columns, rows.len());
            self.closing = Some(closing);
            if batch.rows > 0 {
                return Ok(Some(batch));
            }
        }
    }

    /// The next window to leave, or the next part of one that is on disk.
    fn next_window(&mut self) -> Result<Option<Window>, TaskError> {
        loop {
            if let (Some((start, part)), Some(blocks)) = (self.in_parts, &mut self.blocks) {
                if part < PARTS {
                    self.in_parts = Some((start, part + 1));
                    let mut window = Window::new(&self.types[0][..self.keys]);
                    for side in 0..2 {
                        for batch in blocks.read(start, part, side)? {
                            add_to(&mut window, side, batch, self.keys, self.keeps[side])?;
                        }
                    }
                    return Ok(Some(window));
                }
                blocks.forget_window(start)?;
                self.in_parts = None;
            }
            let Some(entry) = self.open.first_entry() else { return Ok(None) };
            let start = *entry.key();
            if start.saturating_add(self.width) > self.watermark {
                return Ok(None);
            }
            let mut window = entry.remove();
            if !window.on_disk {
                return Ok(Some(window));
            }
            // What has come since, so that all of it is in parts. No snapshot will want it.
            if let Some(blocks) = &mut self.blocks {
                for (number, side) in window.sides.iter_mut().enumerate() {
                    blocks.put(start, number, &std::mem::take(side).batches)?;
                }
            }
            self.in_parts = Some((start, 0));
        }
    }

    /// Bytes that rows and keys occupy.
    pub fn memory(&self) -> usize {
        let closing = self.closing.as_ref().map_or(0, |closing| closing.bytes);
        closing + self.open.values().map(Window::memory).sum::<usize>()
    }

    /// Puts about that part of the rows on disk, those of the window that closes last first.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn evict(&mut self, portion: f64, cx: &StageContext) -> Result<(), TaskError> {
        let Some(spill) = &cx.spill else { return Ok(()) };
        let blocks = match &mut self.blocks {
            Some(blocks) => blocks,
            none => none.insert(Box::new(Blocks::open(spill, &self.types, self.keys, self.width)?)),
        };
        let total: usize = self.open.values().map(Window::memory).sum();
        let stays = (total as f64 * (1.0 - portion)) as usize;
        let mut left = total;
        for (start, window) in self.open.iter_mut().rev() {
            let bytes = window.memory();
            if left <= stays && portion < 1.0 {
                break;
            }
            left -= bytes;
            for (number, side) in window.sides.iter_mut().enumerate() {
                let Side { batches, saved, .. } = std::mem::take(side);
                if cx.tracks_changes && saved < batches.len() {
                    let until = &mut self.noted_until[number];
                    *until = (*until).max(Some(start.saturating_add(self.width)));
                    batches[saved..].iter().try_for_each(|batch| blocks.note(*start, number, batch))?;
                }
                window.on_disk |= !batches.is_empty();
                blocks.put(*start, number, &batches)?;
            }
            window.keys = KeyTable::new(&self.types[0][..self.keys]);
        }
        spill.set_entries(self.open.values().filter(|window| window.on_disk).count());
        Ok(())
    }

    /// A column of some rows of a window; null on a side that has none.
    fn column(&self, closing: &Closing, column: usize, rows: &Chosen) -> ArrayRef {
        let (side, column) = match column.checked_sub(self.types[0].len()) {
            None => (0, column),
            Some(column) => (1, column),
        };
        match &rows.of[side] {
            Some(numbers) => closing.sides[side].column(column, numbers),
            None => column::nulls_of(&self.types[side][column], rows.len()),
        }
    }

    /// By side: the rows that came since the last call and whose window is open.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn changed(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let mut tables = TableRows::of_tables(2);
        if let Some(blocks) = &mut self.blocks {
            for (side, table) in tables.iter_mut().enumerate() {
                if let Some(noted) = blocks.take_notes(side)? {
                    table.keep_stored(noted, self.noted_until[side].take());
                }
            }
        }
        for (start, window) in &mut self.open {
            let end = start.saturating_add(self.width);
            for (table, side) in tables.iter_mut().zip(&mut window.sides) {
                side.batches[side.saved..].iter().for_each(|batch| table.push(batch.clone(), end));
                side.saved = side.batches.len();
            }
        }
        Ok(tables)
    }

    /// Takes back rows of a side, as [`WindowJoin::changed`] gave them; those of windows that end by `watermark` are
    /// left out.
    ///
    /// # Errors
    /// As [`WindowJoin::add`].
    pub fn restore(&mut self, side: usize, batch: &Batch, watermark: Option<i64>) -> Result<(), TaskError> {
        self.put(side, batch, watermark.unwrap_or(i64::MIN))?;
        // A list has each row once: what came from a snapshot goes into no other.
        for Side { batches, saved, .. } in self.open.values_mut().map(|window| &mut window.sides[side]) {
            *saved = batches.len();
        }
        Ok(())
    }

    /// All rows have been taken back, and event time had come that far.
    pub fn restored(&mut self, watermark: i64) {
        self.watermark = watermark;
    }
}

/// Adds rows of one window to a side, of which rows without a partner leave or not.
fn add_to(window: &mut Window, side: usize, mut batch: Batch, keys: usize, keeps: bool) -> Result<(), TaskError> {
    let mut valid = column::all_valid(&(0..keys).map(|key| batch.nulls(key)).collect::<Vec<_>>());
    if let Some(nulls) = valid.take_if(|_| !keeps) {
        batch = Selection::of_flags(&vec![true; batch.rows], Some(&nulls)).take_batch(&batch);
    }
    if batch.rows == 0 {
        return Ok(());
    }
    let Side { batches, groups, bytes, .. } = &mut window.sides[side];
    let before = groups.len();
    let columns = batch.columns[..keys].iter().map(Key::all).collect::<Vec<_>>();
    window.keys.assign(&columns, batch.rows, groups);
    if let Some(valid) = valid {
        for (row, group) in groups[before..].iter_mut().enumerate() {
            if valid.is_null(row) {
                *group = NO_GROUP;
            }
        }
    }
    *bytes += batch.memory();
    batches.push(batch);
    match groups.len() >= NO_GROUP as usize {
        true => Err(TaskError::user("a window has more than 4294967294 rows on one side of a join")),
        false => Ok(()),
    }
}

/// A window on its way out.
#[derive(Debug)]
struct Closing {
    /// About what it occupies.
    bytes: usize,
    sides: [Rows; 2],
    /// The numbers of the right rows by group: of group g those from `starts[g]` to `starts[g + 1]`.
    by_group: Vec<u32>,
    starts: Vec<usize>,
    /// By side and row: it has left in a pair.
    partnered: [Vec<bool>; 2],
    next: Next,
}

/// What leaves next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The pairs of a left row, from the n-th on.
    Pairs { row: usize, from: usize },
    /// Rows of a side that have no partner, from this one on.
    Alone { side: usize, row: usize },
}

/// The rows of one side.
#[derive(Debug)]
struct Rows {
    batches: Vec<Batch>,
    groups: Vec<u32>,
    /// Batch and row of each.
    places: Vec<(usize, usize)>,
}

impl Rows {
    fn new(side: Side) -> Self {
        let rows = side.batches.iter().map(|batch| batch.rows).enumerate();
        let places = rows.flat_map(|(batch, rows)| (0..rows).map(move |row| (batch, row))).collect();
        Rows { batches: side.batches, groups: side.groups, places }
    }

    fn column(&self, column: usize, numbers: &[u32]) -> ArrayRef {
        if let [batch] = self.batches.as_slice() {
            return column::take(batch.array(column), &UInt32Array::from(numbers.to_vec()));
        }
        let arrays = self.batches.iter().map(|batch| batch.array(column)).collect::<Vec<_>>();
        let picks = numbers.iter().map(|&number| self.places[number as usize]).collect::<Vec<_>>();
        column::interleave(&arrays, &picks)
    }
}

/// Rows that leave together, by their numbers: of both sides as many, or of one alone.
#[derive(Debug)]
struct Chosen {
    of: [Option<Vec<u32>>; 2],
}

impl Chosen {
    fn len(&self) -> usize {
        self.of.iter().flatten().next().map_or(0, Vec::len)
    }

    fn are_pairs(&self) -> bool {
        self.of.iter().all(Option::is_some)
    }

    fn retain(&mut self, selection: &Selection) {
        for numbers in self.of.iter_mut().flatten() {
            *numbers = selection.map(|position| numbers[position]);
        }
    }
}

impl Closing {
    fn new(window: Window) -> Self {
        let (groups, bytes) = (window.keys.len(), window.memory());
        let sides = window.sides.map(Rows::new);
        // A counting sort, which keeps the order of rows.
        let right = &sides[1].groups;
        let mut starts = vec![0; groups + 1];
        for &group in right.iter().filter(|group| **group != NO_GROUP) {
            starts[group as usize + 1] += 1;
        }
        let mut rows = 0;
        for start in &mut starts {
            rows += *start;
            *start = rows;
        }
        let mut ends = starts.clone();
        let mut by_group = vec![0; starts[groups]];
        for (row, &group) in right.iter().enumerate().filter(|(_, group)| **group != NO_GROUP) {
            let end = &mut ends[group as usize];
            by_group[*end] = row as u32;
            *end += 1;
        }
        let partnered = [0, 1].map(|side: usize| vec![false; sides[side].groups.len()]);
        Closing { bytes, sides, by_group, starts, partnered, next: Next::Pairs { row: 0, from: 0 } }
    }

    /// The next rows to leave, at most [`CHUNK`]. The pairs among them have to fulfil the condition yet.
    fn next_rows(&mut self, keeps: [bool; 2]) -> Option<Chosen> {
        loop {
            match self.next {
                Next::Pairs { row, from } => match self.pairs(row, from) {
                    Some(pairs) => return Some(pairs),
                    None => self.next = Next::Alone { side: 0, row: 0 },
                },
                Next::Alone { side: 2.., .. } => return None,
                Next::Alone { side, row } if keeps[side] => {
                    let rest = self.partnered[side].iter().enumerate().skip(row);
                    let alone = rest.filter(|(_, partnered)| !**partnered).map(|(row, _)| row as u32);
                    let alone = alone.take(CHUNK).collect::<Vec<_>>();
                    match alone.last() {
                        Some(&last) => {
                            self.next = Next::Alone { side, row: last as usize + 1 };
                            let mut of = [None, None];
                            of[side] = Some(alone);
                            return Some(Chosen { of });
                        }
                        None => self.next = Next::Alone { side: side + 1, row: 0 },
                    }
                }
                Next::Alone { side, .. } => self.next = Next::Alone { side: side + 1, row: 0 },
            }
        }
    }

    fn pairs(&mut self, mut row: usize, mut from: usize) -> Option<Chosen> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        while left.len() < CHUNK
            && let Some(&group) = self.sides[0].groups.get(row)
        {
            let partners: &[u32] = match group {
                NO_GROUP => &[],
                group => &self.by_group[self.starts[group as usize]..self.starts[group as usize + 1]],
            };
            let to = partners.len().min(from + CHUNK - left.len());
            right.extend_from_slice(&partners[from..to]);
            left.resize(right.len(), row as u32);
            (row, from) = if to == partners.len() { (row + 1, 0) } else { (row, to) };
        }
        self.next = Next::Pairs { row, from };
        (!left.is_empty()).then_some(Chosen { of: [Some(left), Some(right)] })
    }

    /// These rows are pairs.
    fn partner(&mut self, rows: &Chosen) {
        for (partnered, numbers) in self.partnered.iter_mut().zip(&rows.of) {
            for &number in numbers.iter().flatten() {
                partnered[number as usize] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Spill;
    use proptest::prelude::*;

    const WIDTH: i64 = 10;

    /// The start of its window, key, value.
    type Row = (i64, Option<i64>, i64);
    /// The values of a pair, or of a row without a partner.
    type Out = Vec<(Option<i64>, Option<i64>)>;

    #[derive(Clone, Debug)]
    enum Step {
        Rows { side: usize, rows: Vec<Row> },
        Watermark(i64),
        Checkpoint { crash: bool },
        Evict(f64),
    }

    fn steps(short: bool) -> impl Strategy<Value = Vec<Step>> {
        let row = ((0i64..4).prop_map(|n| n * WIDTH), prop::option::weighted(0.8, 0i64..3), 0i64..100);
        let rows = (0usize..2, prop::collection::vec(row, 0..12)).prop_map(|(side, rows)| Step::Rows { side, rows });
        let watermark = (0i64..45).prop_map(Step::Watermark);
        let checkpoint = any::<bool>().prop_map(|crash| Step::Checkpoint { crash });
        let evict = prop_oneof![Just(1.0), 0.0..1.0].prop_map(Step::Evict);
        let often = u32::from(short) * 2;
        prop::collection::vec(prop_oneof![4 => rows, 1 => watermark, 1 => checkpoint, often => evict], 1..16)
    }

    /// Columns key, window, value.
    fn batch(rows: &[Row], whole: bool) -> Batch {
        let valid = rows.iter().map(|row| row.1.is_some()).collect::<Vec<_>>();
        let keys = column::from_i64(rows.iter().map(|row| row.1.unwrap_or(7)).collect(), column::validity(&valid));
        let times = |add: i64| {
            let times = rows.iter().map(|row| row.0 + add).collect();
            column::from_timestamp(times, None, schema::TimeUnit::Nanosecond, None)
        };
        let window = match whole {
            true => column::from_struct(&[("start", times(0), false), ("end", times(WIDTH), false)], None),
            false => times(0),
        };
        let values = column::from_i64(rows.iter().map(|row| row.2).collect(), None);
        Batch::new(vec![keys, window, values], rows.len())
    }

    /// The left value is less than the right one.
    fn less(pairs: &Batch) -> Result<Selection, TaskError> {
        let (left, right) = (pairs.i64(2), pairs.i64(5));
        Ok(Selection::filter(pairs.rows, None, |row| left.value(row) < right.value(row)))
    }

    fn join(kind: JoinKind, whole: bool, conditional: bool) -> WindowJoin {
        let window = if whole { ScalarType::window() } else { ScalarType::TIMESTAMP_NS };
        let types = [ScalarType::Int64, window, ScalarType::Int64];
        let join = WindowJoin::new(kind, WIDTH, 1, &types, &types, &[2, 5]);
        if conditional { join.with_condition(&[2, 5], less) } else { join }
    }

    fn drain(join: &mut WindowJoin, watermark: i64) -> Out {
        let mut out = Out::new();
        while let Some(batch) = join.next_closed(watermark, &mut StageContext::default()).unwrap() {
            assert!(batch.rows <= CHUNK);
            let (left, right) = (batch.i64(0), batch.i64(1));
            out.extend((0..batch.rows).map(|row| (left.get(row), right.get(row))));
        }
        out
    }

    fn run(steps: &[Step], kind: JoinKind, whole: bool, conditional: bool) -> (Out, u64) {
        let mut under_test = join(kind, whole, conditional);
        let (mut out, mut watermark, mut late) = (Out::new(), None, 0);
        let mut saved: [Vec<Batch>; 2] = [Vec::new(), Vec::new()];
        let mut spill = Spill::for_tests();
        let short = steps.iter().any(|step| matches!(step, Step::Evict(_)));
        for step in steps {
            match step {
                Step::Rows { side, rows } => {
                    let mut cx = StageContext { port: *side, ..StageContext::default() };
                    under_test.add(&batch(rows, whole), &mut cx).unwrap();
                    late += cx.late_rows;
                }
                Step::Watermark(to) => {
                    out.extend(drain(&mut under_test, *to));
                    watermark = watermark.max(Some(*to));
                }
                Step::Checkpoint { crash } => {
                    for (saved, mut table) in saved.iter_mut().zip(under_test.changed().unwrap()) {
                        saved.extend(std::iter::from_fn(|| table.next().unwrap()));
                    }
                    if *crash {
                        under_test = join(kind, whole, conditional);
                        spill = Spill::for_tests();
                        let cx = StageContext { spill: Some(spill.clone()), ..StageContext::default() };
                        for (side, batches) in saved.iter().enumerate() {
                            for rows in batches {
                                under_test.restore(side, rows, watermark).unwrap();
                                if short {
                                    under_test.evict(0.5, &cx).unwrap();
                                }
                            }
                        }
                        if let Some(watermark) = watermark {
                            under_test.restored(watermark);
                        }
                    }
                }
                Step::Evict(portion) => {
                    let spill = Some(spill.clone());
                    let cx = StageContext { tracks_changes: true, spill, ..StageContext::default() };
                    under_test.evict(*portion, &cx).unwrap();
                    if *portion == 1.0 {
                        assert!(under_test.open.values().all(|window| window.sides[0].batches.is_empty()));
                    }
                }
            }
        }
        (out, late)
    }

    /// The same by two loops over all rows of a window.
    fn naive(steps: &[Step], kind: JoinKind, conditional: bool) -> (Out, u64) {
        let [keeps_left, keeps_right] = match kind {
            JoinKind::Inner => [false, false],
            JoinKind::Left => [true, false],
            JoinKind::Right => [false, true],
            JoinKind::Full => [true, true],
        };
        let mut open: BTreeMap<i64, [Vec<Row>; 2]> = BTreeMap::new();
        let (mut out, mut late, mut watermark) = (Out::new(), 0, i64::MIN);
        for step in steps {
            match step {
                Step::Rows { side, rows } => {
                    for row in rows {
                        if row.0 + WIDTH <= watermark {
                            late += 1;
                        } else {
                            open.entry(row.0).or_default()[*side].push(*row);
                        }
                    }
                }
                Step::Watermark(to) => {
                    watermark = watermark.max(*to);
                    let later = open.split_off(&(watermark - WIDTH + 1));
                    for [left, right] in std::mem::replace(&mut open, later).into_values() {
                        let pairs = |l: &Row, r: &Row| l.1.is_some() && l.1 == r.1 && (!conditional || l.2 < r.2);
                        for l in &left {
                            let partners = right.iter().filter(|r| pairs(l, r));
                            out.extend(partners.map(|r| (Some(l.2), Some(r.2))));
                        }
                        let alone = left.iter().filter(|l| keeps_left && !right.iter().any(|r| pairs(l, r)));
                        out.extend(alone.map(|l| (Some(l.2), None)));
                        let alone = right.iter().filter(|r| keeps_right && !left.iter().any(|l| pairs(l, r)));
                        out.extend(alone.map(|r| (None, Some(r.2))));
                    }
                }
                Step::Checkpoint { .. } | Step::Evict(_) => {}
            }
        }
        (out, late)
    }

    proptest! {
        /// Whatever comes when, and whenever it is taken down and up again: the pairs, in the order that is promised.
        #[test]
        fn rows_are_those_of_two_loops(
            steps in steps(false),
            kind in prop::sample::select(vec![JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full]),
            whole in any::<bool>(),
            conditional in any::<bool>(),
        ) {
            let mut steps = steps;
            steps.push(Step::Watermark(i64::MAX));
            prop_assert_eq!(run(&steps, kind, whole, conditional), naive(&steps, kind, conditional));
        }

        /// Wherever rows are meanwhile: the same, in some order.
        #[test]
        fn rows_on_disk_are_those_of_two_loops(
            steps in steps(true),
            kind in prop::sample::select(vec![JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full]),
            whole in any::<bool>(),
            conditional in any::<bool>(),
        ) {
            let mut steps = steps;
            steps.push(Step::Watermark(i64::MAX));
            let (mut found, mut expected) = (run(&steps, kind, whole, conditional), naive(&steps, kind, conditional));
            found.0.sort_unstable();
            expected.0.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_window_that_closes_last_goes_first() {
        let mut join = join(JoinKind::Full, false, false);
        for start in [0, 20, 10] {
            let rows: Vec<Row> = (0..100).map(|value| (start, Some(value), value)).collect();
            join.add(&batch(&rows, false), &mut StageContext::default()).unwrap();
        }
        let before = join.memory();
        let spill = Spill::for_tests();
        let cx = StageContext { spill: Some(spill.clone()), ..StageContext::default() };
        join.evict(0.3, &cx).unwrap();
        assert_eq!(join.open.values().map(|window| window.on_disk).collect::<Vec<_>>(), [false, false, true]);
        assert!(join.memory() < before * 3 / 4);
        join.evict(0.6, &cx).unwrap();
        assert_eq!((join.open[&0].on_disk, join.open[&10].on_disk, spill.entries()), (true, true, 3));
        // Rows that come later are in memory, and leave with the others.
        join.add(&batch(&[(20, Some(100), 100)], false), &mut StageContext::default()).unwrap();
        assert_eq!(drain(&mut join, 20).len(), 200);
        let mut last = drain(&mut join, 30);
        last.sort_unstable();
        assert_eq!(last, (0..=100).map(|value| (Some(value), None)).collect::<Out>());
        assert_eq!(join.memory(), 0);
    }

    #[test]
    fn what_leaves_is_cut_into_chunks() {
        let mut join = join(JoinKind::Full, false, false);
        let rows = |key: i64, count: i64| (0..count).map(|value| (0, Some(key), value)).collect::<Vec<Row>>();
        let mut add = |side: usize, rows: &[Row]| {
            join.add(&batch(rows, false), &mut StageContext { port: side, ..StageContext::default() }).unwrap();
        };
        let (pairs, alone) = (3 * CHUNK as i64 + 1, CHUNK as i64 + 5);
        // One left row with more partners than leave at once.
        add(0, &rows(1, 1));
        add(1, &rows(1, pairs));
        add(0, &rows(2, alone));
        add(1, &rows(3, alone));
        let out = drain(&mut join, WIDTH);
        let mut expected = (0..pairs).map(|value| (Some(0), Some(value))).collect::<Out>();
        expected.extend((0..alone).map(|value| (Some(value), None)));
        expected.extend((0..alone).map(|value| (None, Some(value))));
        assert_eq!(out, expected);
        assert_eq!(drain(&mut join, i64::MAX), []);
    }

    #[test]
    fn without_keys_all_rows_of_a_window_are_pairs() {
        let types = [ScalarType::TIMESTAMP_NS, ScalarType::Int64];
        let mut join = WindowJoin::new(JoinKind::Inner, WIDTH, 0, &types, &types, &[1, 3]);
        for side in 0..2 {
            let Batch { columns, rows } = batch(&[(0, Some(1), 1), (10, None, 2), (0, None, 3)], false);
            let mut cx = StageContext { port: side, ..StageContext::default() };
            join.add(&Batch::new(columns[1..].to_vec(), rows), &mut cx).unwrap();
        }
        let pairs = [(1, 1), (1, 3), (3, 1), (3, 3), (2, 2)].map(|(l, r)| (Some(l), Some(r)));
        assert_eq!(drain(&mut join, 20), pairs);
    }

    #[test]
    fn a_null_in_any_key_has_no_partner() {
        let types = [ScalarType::Utf8, ScalarType::Float64, ScalarType::TIMESTAMP_NS, ScalarType::Int64];
        let mut join = WindowJoin::new(JoinKind::Left, WIDTH, 2, &types, &types, &[3, 7]);
        let rows = |texts: &[Option<&str>], floats: &[f64], first: i64| {
            let valid = floats.iter().map(|float| *float != 9.0).collect::<Vec<_>>();
            let count = texts.len();
            let columns = vec![
                column::from_text(texts),
                column::from_f64(floats.to_vec(), column::validity(&valid)),
                column::from_timestamp(vec![0; count], None, schema::TimeUnit::Nanosecond, None),
                column::from_i64((first..first + count as i64).collect(), None),
            ];
            Batch::new(columns, count)
        };
        let texts = [Some("a"), None, Some("a"), Some(""), Some("b")];
        let mut cx = StageContext::default();
        join.add(&rows(&texts, &[0.0, 1.0, 9.0, 2.0, f64::NAN], 0), &mut cx).unwrap();
        cx.port = 1;
        join.add(&rows(&texts, &[-0.0, 1.0, 9.0, 3.0, -f64::NAN], 10), &mut cx).unwrap();
        // Rows that no kept row can find are not stored.
        assert_eq!(join.changed().unwrap().iter().map(TableRows::rows_most).collect::<Vec<_>>(), [5, 3]);
        let out = [(0, Some(10)), (4, Some(14)), (1, None), (2, None), (3, None)];
        assert_eq!(drain(&mut join, WIDTH), out.map(|(left, right)| (Some(left), right)));
    }

    #[test]
    fn an_error_of_the_condition_ends_the_join() {
        let types = [ScalarType::Int64, ScalarType::TIMESTAMP_NS, ScalarType::Int64];
        let mut join = WindowJoin::new(JoinKind::Left, WIDTH, 1, &types, &types, &[2])
            .with_condition(&[2], |_| Err(TaskError::user("division by zero")));
        for side in 0..2 {
            let mut cx = StageContext { port: side, ..StageContext::default() };
            join.add(&batch(&[(0, Some(1), 1)], false), &mut cx).unwrap();
        }
        let mut cx = StageContext::default();
        assert_eq!(join.next_closed(WIDTH, &mut cx).unwrap_err().message, "division by zero");
    }
}
