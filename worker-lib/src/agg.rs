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
use crate::keys::{Key, KeyTable};
use crate::scalar::{Errors, Order, lt, try_decimal_cast};
use crate::window::{Changed, Closed, Tumble};

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
#[derive(Debug)]
pub struct Distinct {
    ty: ScalarType,
    bins: Vec<DistinctBin>,
    rows: Vec<u32>,
    groups: Vec<u32>,
    numbers: Vec<u32>,
}

#[derive(Debug)]
struct DistinctBin {
    pairs: KeyTable,
    /// By group; may be shorter than there are groups.
    counts: Vec<i64>,
    /// Pairs that the last snapshot has seen: pairs are only ever added.
    seen: usize,
}

impl Distinct {
    /// For arguments of this type.
    pub fn new(ty: &ScalarType) -> Self {
        Distinct { ty: ty.clone(), bins: Vec::new(), rows: Vec::new(), groups: Vec::new(), numbers: Vec::new() }
    }

    /// Adds rows of one window: `groups[i]` is the group of row `rows[i]`. `values` and `keep` (the `FILTER` condition)
    /// are by row. Null values are not counted.
    pub fn assign(
        &mut self,
        bin: usize,
        rows: &[u32],
        groups: &[u32],
        values: &ArrayRef,
        keep: Option<&BooleanBuffer>,
    ) {
        while self.bins.len() <= bin {
            let pairs = KeyTable::new(&[ScalarType::UInt32, self.ty.clone()]);
            self.bins.push(DistinctBin { pairs, counts: Vec::new(), seen: 0 });
        }
        let nulls = crate::column::nulls(values);
        self.rows.clear();
        self.groups.clear();
        for (&row, &group) in rows.iter().zip(groups) {
            let at = row as usize;
            if nulls.is_none_or(|nulls| nulls.is_valid(at)) && keep.is_none_or(|keep| keep.value(at)) {
                self.rows.push(row);
                self.groups.push(group);
            }
        }
        let DistinctBin { pairs, counts, .. } = &mut self.bins[bin];
        let mut seen = pairs.len();
        let group_keys = crate::column::from_u32(self.groups.clone(), None);
        self.numbers.clear();
        let keys = [Key::all(&group_keys), Key { array: values, indices: Some(&self.rows) }];
        pairs.assign(&keys, self.rows.len(), &mut self.numbers);
        for (&number, &group) in self.numbers.iter().zip(&self.groups) {
            // Numbers are given in order: this pair is new exactly when it has the next one.
            if number as usize == seen {
                seen += 1;
                let group = group as usize;
                if counts.len() <= group {
                    counts.resize(group + 1, 0);
                }
                counts[group] += 1;
            }
        }
    }

    /// The counts of a chunk's groups.
    pub fn finish(&self, closed: &Closed) -> Vec<i64> {
        let counts = self.bins.get(closed.bin).map_or(&[][..], |bin| &bin.counts);
        closed.groups.clone().map(|group| counts.get(group).copied().unwrap_or(0)).collect()
    }

    /// Forgets a window, once its last chunk has left.
    pub fn release(&mut self, closed: &Closed) {
        if let Some(bin) = self.bins.get_mut(closed.bin).filter(|_| closed.last) {
            bin.pairs.clear();
            bin.counts.clear();
            bin.seen = 0;
        }
    }

    /// Rows (keys, window start, value) of the pairs that are new in a window since the last call.
    pub fn changed(&mut self, changed: &Changed, tumble: &Tumble) -> Batch {
        let Some(bin) = self.bins.get_mut(changed.bin) else { return Batch::new(Vec::new(), 0) };
        let new = bin.seen..bin.pairs.len();
        bin.seen = new.end;
        let rows = new.len();
        let [groups, values] = bin.pairs.columns(new).try_into().expect("pairs have two columns");
        // Key tables give keys of ascending numbers; the pairs' groups come in any order, and again.
        let groups = crate::column::u32(&groups).values.to_vec();
        let mut sorted = groups.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let at = groups.iter().map(|group| sorted.partition_point(|known| known < group) as u32);
        let at = UInt32Array::from_iter_values(at);
        let keys = tumble.keys_of(changed.bin, &sorted);
        let mut columns: Vec<ArrayRef> = keys.iter().map(|key| crate::column::take(key, &at)).collect();
        columns.push(crate::column::from_timestamp(vec![changed.start; rows], None, TimeUnit::Nanosecond, None));
        columns.push(values);
        Batch::new(columns, rows)
    }

    /// All rows of a snapshot have been assigned.
    pub fn restored(&mut self) {
        self.bins.iter_mut().for_each(|bin| bin.seen = bin.pairs.len());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::column;
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
            rows in prop::collection::vec((0u32..5, prop::option::of(0i64..6), any::<bool>()), 0..80),
            filtered in any::<bool>(),
        ) {
            let mut distinct = Distinct::new(&ScalarType::Int64);
            let mut sets = vec![HashSet::new(); 5];
            for rows in rows.chunks(17) {
                let values: ArrayRef = std::sync::Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
                let keep = rows.iter().map(|row| row.2).collect::<BooleanBuffer>();
                let groups = rows.iter().map(|row| row.0).collect::<Vec<_>>();
                let numbers = (0..rows.len() as u32).collect::<Vec<_>>();
                distinct.assign(1, &numbers, &groups, &values, filtered.then_some(&keep));
                for row in rows.iter().filter(|row| row.2 || !filtered) {
                    sets[row.0 as usize].extend(row.1);
                }
            }
            let closed = Closed { bin: 1, groups: 1..5, last: true, keys: vec![], start: 0, end: 1 };
            let expected = sets[1..].iter().map(|set| set.len() as i64).collect::<Vec<_>>();
            prop_assert_eq!(distinct.finish(&closed), expected);
            distinct.release(&closed);
            prop_assert_eq!(distinct.finish(&closed), vec![0; 4]);
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
