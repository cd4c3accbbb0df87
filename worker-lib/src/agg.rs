//! Aggregates: the state of one group, how a row changes it, how a partial state is merged in, what comes of it.
//!
//! A generated stage puts the ones it needs into one struct and keeps a vector of those, indexed by group number. `add`
//! takes a value that is not null: the generated loop tests for null, and for the `FILTER` condition. Partial states
//! are columns as `Aggregate::state_fields` of the IR names them.
//!
//! Not here: grouping ([`crate::keys`]), windows ([`crate::window`]).

use arrow::array::{ArrayRef, UInt32Array};
use arrow::buffer::BooleanBuffer;
use schema::{ScalarType, TimeUnit};

use crate::batch::Batch;
use crate::error::TaskError;
use crate::frozen::CHUNK;
use crate::keys::{Key, KeyTable, keep_at};
use crate::pairs::ColdPairs;
use crate::scalar::{Errors, Order, lt, try_decimal_cast};
use crate::select::Selection;
use crate::stage::StageContext;
use crate::state::TableRows;
use crate::window::{Changed, Closed, Part, Tumble};

/// `count(*)`, or `count(x)` when rows with null are not added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    count: i64,
}

impl Count {
    #[inline]
    pub fn add(&mut self) {
        self.count += 1;
    }

    #[inline]
    pub fn merge(&mut self, count: i64) {
        self.count += count;
    }

    #[inline]
    pub fn finish(&self) -> i64 {
        self.count
    }
}

/// Numbers that are summed. Integers wrap; a decimal sum that is out of range stays so, see [`OUT_OF_RANGE`].
pub trait Summand: Copy + Default {
    fn plus(self, other: Self) -> Self;
}

macro_rules! summands {
    ($($ty:ty: $plus:expr;)*) => {$(
        impl Summand for $ty {
            #[inline]
            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }
        }
    )*};
}

summands! {
    i64: i64::wrapping_add;
    u64: u64::wrapping_add;
    i128: decimal_plus;
    f64: std::ops::Add::add;
}

/// What a sum of decimals is once it has left the range of 128 bits: no decimal has this value.
const OUT_OF_RANGE: i128 = i128::MIN;

#[inline]
fn decimal_plus(a: i128, b: i128) -> i128 {
    if a == OUT_OF_RANGE || b == OUT_OF_RANGE { OUT_OF_RANGE } else { a.checked_add(b).unwrap_or(OUT_OF_RANGE) }
}

/// A sum of decimals as a decimal of that precision.
fn decimal_sum(sum: i128, precision: u8, scale: i8, errors: &Errors) -> Option<i128> {
    let fits = try_decimal_cast(sum, scale, precision, scale).filter(|sum| *sum != OUT_OF_RANGE);
    if fits.is_none() {
        errors.user(&format!("sum is out of range for type DECIMAL({precision},{scale})"));
    }
    fits
}

/// Sum of an argument that is never null, without a filter: a group has a row, so it has a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total<T> {
    value: T,
}

impl<T: Summand> Total<T> {
    #[inline]
    pub fn add(&mut self, value: T) {
        self.value = self.value.plus(value);
    }

    #[inline]
    pub fn merge(&mut self, value: Option<T>) {
        if let Some(value) = value {
            self.add(value);
        }
    }

    #[inline]
    pub fn finish(&self) -> T {
        self.value
    }

    #[inline]
    pub fn finish_opt(&self) -> Option<T> {
        Some(self.value)
    }
}

impl Total<i128> {
    pub fn finish_decimal(&self, precision: u8, scale: i8, errors: &Errors) -> Option<i128> {
        decimal_sum(self.value, precision, scale, errors)
    }
}

/// Sum; null when nothing was added.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum<T> {
    value: T,
    seen: bool,
}

impl<T: Summand> Sum<T> {
    #[inline]
    pub fn add(&mut self, value: T) {
        self.value = self.value.plus(value);
        self.seen = true;
    }

    #[inline]
    pub fn merge(&mut self, value: Option<T>) {
        if let Some(value) = value {
            self.add(value);
        }
    }

    #[inline]
    pub fn finish(&self) -> Option<T> {
        if self.seen { Some(self.value) } else { None }
    }
}

impl Sum<i128> {
    pub fn finish_decimal(&self, precision: u8, scale: i8, errors: &Errors) -> Option<i128> {
        decimal_sum(self.finish()?, precision, scale, errors)
    }
}

/// What an allocation costs besides its bytes.
const ALLOCATION: usize = 16;

macro_rules! extremes {
    ($($(#[$doc:meta])* $name:ident, $text:ident, $binary:ident, |$new:ident, $old:ident| $better:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct $name<T> {
            value: Option<T>,
        }

        impl<T: Order> $name<T> {
            #[inline]
            pub fn add(&mut self, $new: T) {
                if self.value.is_none_or(|$old| $better) {
                    self.value = Some($new);
                }
            }

            #[inline]
            pub fn merge(&mut self, value: Option<T>) {
                if let Some(value) = value {
                    self.add(value);
                }
            }

            #[inline]
            pub fn finish(&self) -> Option<T> {
                self.value
            }
        }

        extremes!(@owned $(#[$doc])* $text, str, |$new, $old| $better);
        extremes!(@owned $(#[$doc])* $binary, [u8], |$new, $old| $better);
    )*};
    (@owned $(#[$doc:meta])* $name:ident, $ty:ty, |$new:ident, $old:ident| $better:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            value: Option<Box<$ty>>,
        }

        impl $name {
            pub fn add(&mut self, $new: &$ty) {
                if self.value.as_deref().is_none_or(|$old| $better) {
                    self.value = Some($new.into());
                }
            }

            #[inline]
            pub fn merge(&mut self, value: Option<&$ty>) {
                if let Some(value) = value {
                    self.add(value);
                }
            }

            pub fn finish(&self) -> Option<&$ty> {
                self.value.as_deref()
            }

            /// Bytes that it occupies besides itself.
            #[inline]
            pub fn heap(&self) -> usize {
                self.value.as_ref().map_or(0, |value| value.len() + ALLOCATION)
            }
        }
    };
}

extremes! {
    /// Smallest value; null when nothing was added.
    Min, MinText, MinBinary, |new, old| lt(new, old);
    /// Largest value; null when nothing was added.
    Max, MaxText, MaxBinary, |new, old| lt(old, new);
}

/// Mean of floats; null when nothing was added.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Avg {
    sum: f64,
    count: i64,
}

impl Avg {
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    #[inline]
    pub fn merge(&mut self, sum: Option<f64>, count: i64) {
        self.sum += sum.unwrap_or(0.0);
        self.count += count;
    }

    #[inline]
    pub fn sum(&self) -> Option<f64> {
        if self.count > 0 { Some(self.sum) } else { None }
    }

    #[inline]
    pub fn count(&self) -> i64 {
        self.count
    }

    #[inline]
    pub fn finish(&self) -> Option<f64> {
        self.sum().map(|sum| sum / self.count as f64)
    }
}

/// Mean of decimals; null when nothing was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AvgDecimal {
    sum: i128,
    count: i64,
}

impl AvgDecimal {
    #[inline]
    pub fn add(&mut self, value: i128) {
        self.sum = decimal_plus(self.sum, value);
        self.count += 1;
    }

    #[inline]
    pub fn merge(&mut self, sum: Option<i128>, count: i64) {
        self.sum = decimal_plus(self.sum, sum.unwrap_or(0));
        self.count += count;
    }

    #[inline]
    pub fn sum(&self) -> Option<i128> {
        if self.count > 0 { Some(self.sum) } else { None }
    }

    #[inline]
    pub fn count(&self) -> i64 {
        self.count
    }

    /// The mean as a decimal of `precision` and `scale`, which is not below the argument's scale; rounded toward zero.
    pub fn finish(&self, arg_scale: i8, precision: u8, scale: i8, errors: &Errors) -> Option<i128> {
        let sum = self.sum()?;
        let in_range = Some(sum).filter(|sum| *sum != OUT_OF_RANGE);
        // The digits are added first: that is where the precision of the mean comes from.
        let mean = in_range.and_then(|sum| try_decimal_cast(sum, arg_scale, u8::MAX, scale));
        let mean = mean.map(|sum| sum / i128::from(self.count));
        let mean = mean.and_then(|mean| try_decimal_cast(mean, scale, precision, scale));
        if mean.is_none() {
            errors.user(&format!("average is out of range for type DECIMAL({precision},{scale})"));
        }
        mean
    }
}

/// `count(DISTINCT x)` for all groups of all open windows: the distinct pairs of group and value are the keys of one
/// table for each window.
///
/// When groups of a window go to disk all pairs of the window do, in a space of their own, and each group takes its count along.
/// A pair that is new in memory then is looked for there, and counted if it is not found. It stays there: pairs never change,
/// so those in memory may be copies.
#[derive(Debug)]
pub struct Distinct {
    ty: ScalarType,
    bins: Vec<DistinctBin>,
    rows: Vec<u32>,
    groups: Vec<u32>,
    numbers: Vec<u32>,
    cold: Option<Box<ColdPairs>>,
    /// When the last of the pairs goes that are noted for the next snapshot.
    noted_until: Option<i64>,
}

#[derive(Debug)]
struct DistinctBin {
    pairs: KeyTable,
    /// By group; may be shorter than there are groups.
    counts: Vec<i64>,
    /// Pairs that the last snapshot has seen: pairs are only ever added.
    seen: usize,
    /// By pair, perhaps of the first ones only: it is on disk.
    copies: Vec<bool>,
    /// There are pairs on disk.
    away: bool,
}

impl DistinctBin {
    fn new(ty: &ScalarType) -> Self {
        let pairs = KeyTable::new(&[ScalarType::UInt32, ty.clone()]);
        DistinctBin { pairs, counts: Vec::new(), seen: 0, copies: Vec::new(), away: false }
    }

    fn is_copy(&self, pair: usize) -> bool {
        self.copies.get(pair).copied().unwrap_or(false)
    }

    fn clear(&mut self) {
        self.pairs.clear();
        self.copies.clear();
        self.seen = 0;
    }
}

impl Distinct {
    /// For arguments of this type.
    pub fn new(ty: &ScalarType) -> Self {
        Distinct {
            ty: ty.clone(),
            bins: Vec::new(),
            rows: Vec::new(),
            groups: Vec::new(),
            numbers: Vec::new(),
            cold: None,
            noted_until: None,
        }
    }

    /// Adds rows of one window. `values` and `keep` (the `FILTER` condition) are by row. Null values are not counted.
    ///
    /// # Errors
    /// When pairs on disk cannot be read.
    pub fn assign(
        &mut self,
        part: &Part,
        tumble: &Tumble,
        values: &ArrayRef,
        keep: Option<&BooleanBuffer>,
    ) -> Result<(), TaskError> {
        while self.bins.len() <= part.bin {
            self.bins.push(DistinctBin::new(&self.ty));
        }
        let nulls = crate::column::nulls(values);
        self.rows.clear();
        self.groups.clear();
        for (&row, &group) in tumble.rows_of(part).iter().zip(tumble.groups_of(part)) {
            let at = row as usize;
            if nulls.is_none_or(|nulls| nulls.is_valid(at)) && keep.is_none_or(|keep| keep.value(at)) {
                self.rows.push(row);
                self.groups.push(group);
            }
        }
        let bin = &mut self.bins[part.bin];
        let known = bin.pairs.len();
        let group_keys = crate::column::from_u32(self.groups.clone(), None);
        self.numbers.clear();
        let keys = [Key::all(&group_keys), Key { array: values, indices: Some(&self.rows) }];
        bin.pairs.assign(&keys, self.rows.len(), &mut self.numbers);
        if let Some(cold) = self.cold.as_ref().filter(|_| bin.away && bin.pairs.len() > known) {
            let new = PairColumns::of(bin, known..bin.pairs.len(), part.bin, tumble);
            bin.copies.resize(known, false);
            bin.copies.extend(cold.holds(tumble.start_of(part), &new.keys, &new.values)?);
        }
        let mut seen = known;
        for (&number, &group) in self.numbers.iter().zip(&self.groups) {
            // Numbers are given in order: this pair is new exactly when it has the next one.
            if number as usize == seen {
                let group = group as usize;
                if bin.counts.len() <= group {
                    bin.counts.resize(group + 1, 0);
                }
                bin.counts[group] += i64::from(!bin.is_copy(seen));
                seen += 1;
            }
        }
        Ok(())
    }

    /// The counts of a chunk's groups.
    pub fn finish(&self, closed: &Closed) -> Vec<i64> {
        self.counts_of(closed.bin, closed.groups.clone())
    }

    fn counts_of(&self, bin: usize, groups: impl Iterator<Item = usize>) -> Vec<i64> {
        let counts = self.bins.get(bin).map_or(&[][..], |bin| &bin.counts);
        groups.map(|group| counts.get(group).copied().unwrap_or(0)).collect()
    }

    /// Forgets a window, once its last chunk has left.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn release(&mut self, closed: &Closed) -> Result<(), TaskError> {
        let Some(bin) = self.bins.get_mut(closed.bin).filter(|_| closed.last) else { return Ok(()) };
        bin.clear();
        bin.counts.clear();
        match &mut self.cold {
            Some(cold) if closed.ends && std::mem::take(&mut bin.away) => cold.forget_window(closed.start),
            _ => Ok(()),
        }
    }

    /// Adds rows (keys, window start, value) of the pairs that are new in a window since the last call to a snapshot.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn changed(&mut self, changed: &Changed, tumble: &Tumble, table: &mut TableRows) -> Result<(), TaskError> {
        if let Some(cold) = &mut self.cold
            && let Some(noted) = cold.take_notes()?
        {
            table.keep_stored(noted, self.noted_until.take());
        }
        let Some(bin) = self.bins.get_mut(changed.bin) else { return Ok(()) };
        let new = bin.seen..bin.pairs.len();
        bin.seen = new.end;
        let rows = PairColumns::of(bin, new, changed.bin, tumble).rows(changed.start);
        table.push(rows, changed.end);
        Ok(())
    }

    /// The counts of groups that leave memory.
    pub fn counts(&self, cold: &Changed) -> ArrayRef {
        crate::column::from_i64(self.counts_of(cold.bin, cold.groups.iter().map(|group| *group as usize)), None)
    }

    /// Puts the pairs of a window on disk whose groups leave memory. To be called before [`Tumble::freeze`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn freeze(&mut self, leaving: &Changed, tumble: &Tumble, cx: &StageContext) -> Result<(), TaskError> {
        let (Some(spill), Some(bin)) = (&cx.spill, self.bins.get_mut(leaving.bin)) else { return Ok(()) };
        if bin.pairs.is_empty() {
            return Ok(());
        }
        let cold = match &mut self.cold {
            Some(cold) => cold,
            none => none.insert(Box::new(ColdPairs::open(spill, tumble.key_types(), &self.ty)?)),
        };
        let all = bin.pairs.len();
        for from in (0..all).step_by(CHUNK) {
            let chunk = from..all.min(from + CHUNK);
            let (saved, unsaved) = match tumble.tracks_changes() {
                true => (chunk.start..chunk.end.min(bin.seen), chunk.start.max(bin.seen)..chunk.end),
                false => (chunk, 0..0),
            };
            for (pairs, noted) in [(saved, false), (unsaved, true)] {
                if !pairs.is_empty() {
                    let rows = PairColumns::of(bin, pairs, leaving.bin, tumble).rows(leaving.start);
                    let keys = tumble.key_types().len();
                    cold.put(leaving.start, &rows.columns[..keys], rows.array(keys + 1), noted && rows.rows > 0)?;
                    if noted && rows.rows > 0 {
                        self.noted_until = self.noted_until.max(Some(leaving.end));
                    }
                }
            }
        }
        bin.clear();
        bin.pairs = KeyTable::new(&[ScalarType::UInt32, self.ty.clone()]);
        bin.away = true;
        Ok(())
    }

    /// Follows [`Tumble::freeze`], with what that gives.
    pub fn keep(&mut self, bin: usize, kept: Option<&[u32]>) {
        if let (Some(bin), Some(kept)) = (self.bins.get_mut(bin), kept) {
            let groups = kept.last().map_or(0, |last| *last as usize + 1);
            bin.counts.resize(groups.max(bin.counts.len()), 0);
            keep_at(&mut bin.counts, kept);
        }
    }

    /// The counts of the groups that come back from disk, of which `tumble` speaks.
    pub fn put_counts(&mut self, tumble: &Tumble, counts: &ArrayRef) {
        let values = crate::column::i64(counts);
        for part in tumble.parts() {
            while self.bins.len() <= part.bin {
                self.bins.push(DistinctBin::new(&self.ty));
            }
            let counts = &mut self.bins[part.bin].counts;
            counts.resize(part.groups.max(counts.len()), 0);
            for (row, group) in tumble.pairs(part) {
                counts[group] = values.value(row);
            }
        }
    }

    /// Bytes that the pairs and their numbers occupy.
    pub fn memory(&self) -> usize {
        let bytes = |bin: &DistinctBin| bin.pairs.memory() + size_of_val(&*bin.counts) + bin.copies.len();
        self.bins.iter().map(bytes).sum()
    }

    /// All rows of a snapshot have been assigned.
    pub fn restored(&mut self) {
        self.bins.iter_mut().for_each(|bin| bin.seen = bin.pairs.len());
    }
}

/// Some pairs of a window.
struct PairColumns {
    keys: Vec<ArrayRef>,
    values: ArrayRef,
    /// By pair: it is on disk.
    copies: Vec<bool>,
}

impl PairColumns {
    fn of(bin: &DistinctBin, pairs: std::ops::Range<usize>, slot: usize, tumble: &Tumble) -> PairColumns {
        let copies = pairs.clone().map(|pair| bin.is_copy(pair)).collect();
        let [groups, values] = bin.pairs.columns(pairs).try_into().expect("pairs have two columns");
        // Each group's key is made once; the pairs' groups come in any order, and again.
        let groups = crate::column::u32(&groups).values;
        let mut sorted = groups.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let at = groups.iter().map(|group| sorted.partition_point(|known| known < group) as u32);
        let at = UInt32Array::from_iter_values(at);
        let keys = tumble.keys_of(slot, &sorted);
        let keys = keys.iter().map(|key| crate::column::take(key, &at)).collect();
        PairColumns { keys, values, copies }
    }

    /// Those that are not on disk.
    fn rows(self, start: i64) -> Batch {
        let count = self.copies.len();
        let mut columns = self.keys;
        columns.push(crate::column::from_timestamp(vec![start; count], None, TimeUnit::Nanosecond, None));
        columns.push(self.values);
        let batch = Batch::new(columns, count);
        match self.copies.contains(&true) {
            true => Selection::filter(count, None, |pair| !self.copies[pair]).take_batch(&batch),
            false => batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;
    use crate::column;
    use crate::memory::Spill;
    use crate::select::Rows;
    use crate::window::Input;
    use arrow::array::Int64Array;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merging_parts_is_adding_all(values in prop::collection::vec(any::<Option<i64>>(), 0..40), split in any::<prop::sample::Index>()) {
            let split = if values.is_empty() { 0 } else { split.index(values.len()) };
            type All = (Count, Sum<i64>, Min<i64>, Max<i64>, AvgDecimal, MinText, MaxBinary);
            let run = |values: &[Option<i64>]| {
                let mut all = All::default();
                for value in values.iter().flatten() {
                    all.0.add();
                    all.1.add(*value);
                    all.2.add(*value);
                    all.3.add(*value);
                    all.4.add(i128::from(*value));
                    all.5.add(&value.to_string());
                    all.6.add(&value.to_be_bytes());
                }
                all
            };
            let (left, right, whole) = (run(&values[..split]), run(&values[split..]), run(&values));
            let mut merged = left.clone();
            merged.0.merge(right.0.finish());
            merged.1.merge(right.1.finish());
            merged.2.merge(right.2.finish());
            merged.3.merge(right.3.finish());
            merged.4.merge(right.4.sum(), right.4.count());
            merged.5.merge(right.5.finish());
            merged.6.merge(right.6.finish());
            prop_assert_eq!(&merged, &whole);
            let present = values.iter().flatten();
            prop_assert_eq!(whole.0.finish(), present.clone().count() as i64);
            prop_assert_eq!(whole.1.finish(), present.clone().copied().reduce(i64::wrapping_add));
            prop_assert_eq!(whole.2.finish(), present.clone().min().copied());
            prop_assert_eq!(whole.3.finish(), present.clone().max().copied());
            let texts = present.clone().map(i64::to_string).min();
            prop_assert_eq!(whole.5.finish(), texts.as_deref());
        }

        /// Whatever the order, and however it is cut into parts.
        #[test]
        fn sums_of_decimals_are_right_or_out_of_range(values in prop::collection::vec(any::<i128>(), 1..8), split in any::<prop::sample::Index>()) {
            let sum = |values: &[i128]| values.iter().fold(Total::<i128>::default(), |mut sum, value| { sum.add(*value); sum });
            let (left, right) = values.split_at(split.index(values.len()));
            let mut merged = sum(left);
            merged.merge(sum(right).finish_opt());
            let exact = values.iter().fold(0i128, |sum, value| sum.wrapping_add(*value));
            for total in [sum(&values), merged] {
                let errors = Errors::new();
                match total.finish_decimal(38, 2, &errors) {
                    Some(value) => prop_assert_eq!(value, exact),
                    None => prop_assert!(errors.check().unwrap_err().message.contains("sum is out of range")),
                }
            }
        }

        #[test]
        fn distinct_counts_are_sizes_of_sets(
            rows in prop::collection::vec(
                (0u32..5, (0i64..3).prop_map(|window| window * 10), prop::option::of(0i64..6), any::<bool>()), 0..90,
            ),
            filtered in any::<bool>(),
            evictions in prop::collection::vec(prop::option::of(prop_oneof![Just(1.0), 0.0..1.0]), 8),
            snapshots in prop::collection::vec(any::<bool>(), 8),
            crash in 0usize..8,
        ) {
            let mut sets = Sets::new();
            let mut expected: BTreeMap<(i64, u32), HashSet<i64>> = BTreeMap::new();
            let (mut groups, mut values) = (Vec::new(), Vec::new());
            for (at, rows) in rows.chunks(11).enumerate() {
                sets.add(rows, filtered);
                for (key, start, value, keep) in rows {
                    let set = expected.entry((*start, *key)).or_default();
                    set.extend(value.filter(|_| *keep || !filtered));
                }
                if let Some(portion) = evictions[at % 8] {
                    sets.evict(portion);
                }
                if snapshots[at % 8] || at == crash {
                    let [of_groups, of_values] = sets.snapshot();
                    groups.extend(of_groups);
                    values.extend(of_values);
                }
                if at == crash {
                    sets = Sets::new();
                    sets.cx.tracks_changes = false;
                    for (table, batches) in [(0, &groups), (1, &values)] {
                        for batch in batches {
                            sets.restore(table, batch);
                            if let Some(portion) = evictions[at % 8] {
                                sets.evict(portion);
                            }
                        }
                    }
                    sets.tumble.restored(i64::MIN);
                    sets.distinct.restored();
                    sets.cx.tracks_changes = true;
                }
            }
            // Each pair is in one row of all snapshots.
            let [_, of_values] = sets.snapshot();
            values.extend(of_values);
            let saved: usize = values.iter().map(|batch| batch.rows).sum();
            prop_assert_eq!(saved, expected.values().map(HashSet::len).sum::<usize>());
            let expected: BTreeMap<(i64, u32), i64> =
                expected.into_iter().map(|(group, set)| (group, set.len() as i64)).collect();
            prop_assert_eq!(sets.close(), expected);
        }
    }

    /// A stage with `count(DISTINCT value) FILTER (WHERE keep)` by window and key.
    struct Sets {
        tumble: Tumble,
        distinct: Distinct,
        cx: StageContext,
    }

    impl Sets {
        fn new() -> Sets {
            Sets {
                tumble: Tumble::new(10, &[ScalarType::UInt32]),
                distinct: Distinct::new(&ScalarType::Int64),
                cx: StageContext { tracks_changes: true, spill: Some(Spill::for_tests()), ..StageContext::default() },
            }
        }

        fn assign(&mut self, keys: &ArrayRef, starts: &ArrayRef, rows: usize) {
            self.tumble.assign(Rows::All(rows), Input::row(starts), &[Input::row(keys)], &mut self.cx).unwrap();
            self.thaw();
        }

        fn thaw(&mut self) {
            while let Some(rows) = self.tumble.next_thawed() {
                self.distinct.put_counts(&self.tumble, rows.array(2));
            }
        }

        fn add(&mut self, rows: &[(u32, i64, Option<i64>, bool)], filtered: bool) {
            let values: ArrayRef = std::sync::Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>());
            let keep = rows.iter().map(|row| row.3).collect::<BooleanBuffer>();
            let keys = column::from_u32(rows.iter().map(|row| row.0).collect(), None);
            let starts = rows.iter().map(|row| row.1).collect();
            self.assign(&keys, &column::from_timestamp(starts, None, TimeUnit::Nanosecond, None), rows.len());
            for part in self.tumble.parts() {
                self.distinct.assign(part, &self.tumble, &values, filtered.then_some(&keep)).unwrap();
            }
        }

        fn rows_of(changed: &Changed) -> Batch {
            Batch::new(vec![changed.keys[0].clone(), changed.window_start()], changed.groups.len())
        }

        fn evict(&mut self, portion: f64) {
            while let Some(cold) = self.tumble.next_cold(portion, &self.cx).unwrap() {
                let counts = [self.distinct.counts(&cold)];
                self.distinct.freeze(&cold, &self.tumble, &self.cx).unwrap();
                let kept = self.tumble.freeze(&cold, &Sets::rows_of(&cold), &counts).unwrap();
                self.distinct.keep(cold.bin, kept.as_deref());
            }
        }

        fn snapshot(&mut self) -> [Vec<Batch>; 2] {
            let (mut groups, mut values) = (TableRows::default(), TableRows::default());
            for changed in self.tumble.changed(&mut groups).unwrap() {
                groups.push(Sets::rows_of(&changed), changed.end);
                self.distinct.changed(&changed, &self.tumble, &mut values).unwrap();
            }
            [groups, values].map(|mut table| std::iter::from_fn(|| table.next().unwrap()).collect())
        }

        fn restore(&mut self, table: usize, batch: &Batch) {
            self.tumble.begin_restore(None);
            self.assign(batch.array(0), batch.array(1), batch.rows);
            for part in self.tumble.parts().iter().filter(|_| table == 1) {
                self.distinct.assign(part, &self.tumble, batch.array(2), None).unwrap();
            }
        }

        fn close(&mut self) -> BTreeMap<(i64, u32), i64> {
            let mut out = BTreeMap::new();
            while let Some(closed) = self.tumble.next_closed(i64::MAX, &mut self.cx).unwrap() {
                self.thaw();
                let keys = column::u32(&closed.keys[0]);
                for (at, count) in self.distinct.finish(&closed).into_iter().enumerate() {
                    assert_eq!(out.insert((closed.start, keys.value(at)), count), None);
                }
                self.distinct.release(&closed).unwrap();
            }
            assert!(self.distinct.bins.iter().all(|bin| bin.pairs.is_empty() && !bin.away));
            out
        }
    }

    #[test]
    fn nothing_added_is_null() {
        assert_eq!((Sum::<f64>::default().finish(), Min::<f64>::default().finish()), (None, None));
        assert_eq!((Avg::default().finish(), Count::default().finish()), (None, 0));
        assert_eq!(AvgDecimal::default().finish(2, 10, 6, &Errors::new()), None);
        assert_eq!(MaxText::default().finish(), None);
    }

    #[test]
    fn nan_is_the_largest() {
        let (mut min, mut max) = (Min::default(), Max::default());
        for value in [1.0, f64::NAN, -1.0] {
            min.add(value);
            max.add(value);
        }
        assert_eq!(min.finish(), Some(-1.0));
        assert!(max.finish().unwrap().is_nan());
    }

    #[test]
    fn means_of_decimals_have_more_digits() {
        let errors = Errors::new();
        let mut mean = AvgDecimal::default();
        mean.add(100);
        mean.merge(Some(100), 2);
        // (1.00 + 1.00) / 3 with six digits.
        assert_eq!(mean.finish(2, 14, 6, &errors), Some(666_666));
        assert_eq!(errors.check(), Ok(()));
        assert_eq!(mean.finish(2, 5, 6, &errors), None);
        assert!(errors.check().is_err());
    }

    #[test]
    fn totals_and_means() {
        let mut total = Total::<u64>::default();
        total.add(u64::MAX);
        total.merge(Some(2));
        assert_eq!((total.finish(), total.finish_opt()), (1, Some(1)));
        let mut mean = Avg::default();
        mean.add(1.0);
        mean.merge(Some(4.0), 3);
        assert_eq!((mean.sum(), mean.count(), mean.finish()), (Some(5.0), 4, Some(1.25)));
        let groups = column::from_u32(vec![1], None);
        assert_eq!(column::u32(&groups).value(0), 1);
    }
}
