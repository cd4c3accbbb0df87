//! Which rows of a batch are still in play.
//!
//! A [`Selection`] is a list of row numbers, ascending. A filter evaluates its predicate for all rows into bytes (a
//! loop that LLVM vectorises), and precompiled code turns bytes and null masks into row numbers eight at a time
//! through a table, without a branch on the predicate's outcome.
//!
//! Not here: what a predicate means, what becomes of rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, NullArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use crate::batch::Batch;
use crate::column::{self, BinaryWriter, TextWriter};

/// Rows of a batch: all of them, or those with the given numbers.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    All(usize),
    Some(&'a UInt32Array),
}

/// The rows that passed a filter.
#[derive(Clone, Debug)]
pub struct Selection {
    rows: UInt32Array,
}

impl Selection {
    /// Of the first `rows` rows, those that `nulls` holds valid and for which `keep` is true. `keep` is called for
    /// null rows too.
    #[inline]
    pub fn filter(rows: usize, nulls: Option<&NullBuffer>, keep: impl FnMut(usize) -> bool) -> Selection {
        Selection::of_flags(&column::dense(rows, keep), nulls)
    }

    /// The rows for which a three-valued predicate is true.
    #[inline]
    pub fn filter_opt(rows: usize, mut keep: impl FnMut(usize) -> Option<bool>) -> Selection {
        Selection::of_flags(&column::dense(rows, |row| keep(row) == Some(true)), None)
    }

    /// The rows whose flag is set and that `nulls` holds valid.
    pub fn of_flags(flags: &[bool], nulls: Option<&NullBuffer>) -> Selection {
        let mut rows = Vec::with_capacity(flags.len() + 8);
        let mut masks = nulls.map(|nulls| nulls.inner().bit_chunks());
        let tail = masks.as_ref().map_or(0, |masks| masks.remainder_bits());
        let mut masks = masks.as_mut().map(|masks| masks.iter().chain(std::iter::once(tail)));
        for (block, flags) in flags.chunks(64).enumerate() {
            let mut mask = mask_of(flags);
            if let Some(masks) = &mut masks {
                mask &= masks.next().unwrap_or(0);
            }
            append_bits((block * 64) as u32, mask, &mut rows);
        }
        Selection { rows: rows.into() }
    }

    /// Keeps the rows for which `keep` is true too. `nulls` is by row of the batch.
    #[inline]
    pub fn retain(&mut self, nulls: Option<&NullBuffer>, keep: impl FnMut(usize) -> bool) {
        let flags = self.map(keep);
        self.compact(&flags, nulls);
    }

    /// Keeps the rows for which a three-valued predicate is true too.
    #[inline]
    pub fn retain_opt(&mut self, mut keep: impl FnMut(usize) -> Option<bool>) {
        let flags = self.map(|row| keep(row) == Some(true));
        self.compact(&flags, None);
    }

    fn compact(&mut self, flags: &[bool], nulls: Option<&NullBuffer>) {
        let kept = Selection::of_flags(flags, None);
        let rows = kept.indices().iter().map(|&position| self.rows.values()[position as usize]);
        let rows = match nulls {
            None => rows.collect::<Vec<u32>>(),
            Some(nulls) => rows.filter(|&row| nulls.is_valid(row as usize)).collect(),
        };
        self.rows = rows.into();
    }

    /// The row numbers, ascending.
    #[inline]
    pub fn indices(&self) -> &[u32] {
        self.rows.values()
    }

    #[inline]
    pub fn rows(&self) -> Rows<'_> {
        Rows::Some(&self.rows)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// See [`Rows::take`].
    pub fn take(&self, array: &ArrayRef) -> ArrayRef {
        self.rows().take(array)
    }

    /// See [`Rows::take_batch`].
    pub fn take_batch(&self, batch: &Batch) -> Batch {
        self.rows().take_batch(batch)
    }

    /// The batch with these rows and only some columns; the others keep their places, but are null from here on.
    pub fn take_columns(&self, batch: &Batch, columns: &[usize]) -> Batch {
        let dropped: ArrayRef = Arc::new(NullArray::new(self.len()));
        let take = |(index, column)| if columns.contains(&index) { self.take(column) } else { dropped.clone() };
        Batch::new(batch.columns.iter().enumerate().map(take).collect(), self.len())
    }

    /// See [`Rows::scatter`].
    pub fn scatter(&self, array: &ArrayRef, total: usize) -> ArrayRef {
        self.rows().scatter(array, total)
    }

    /// See [`Rows::valid`].
    pub fn valid(&self, masks: &[Option<&NullBuffer>]) -> Option<NullBuffer> {
        self.rows().valid(masks)
    }

    /// A value for each selected row.
    #[inline]
    pub fn map<T>(&self, mut value: impl FnMut(usize) -> T) -> Vec<T> {
        self.indices().iter().map(|&row| value(row as usize)).collect()
    }

    #[inline]
    pub fn map_opt<T: Default>(&self, mut value: impl FnMut(usize) -> Option<T>) -> (Vec<T>, Option<NullBuffer>) {
        let rows = self.indices();
        column::dense_opt(rows.len(), |position| value(rows[position] as usize))
    }

    #[inline]
    pub fn map_bool(&self, value: impl FnMut(usize) -> bool) -> BooleanBuffer {
        column::pack(&self.map(value))
    }

    #[inline]
    pub fn map_bool_opt(&self, value: impl FnMut(usize) -> Option<bool>) -> (BooleanBuffer, Option<NullBuffer>) {
        let (values, nulls) = self.map_opt(value);
        (column::pack(&values), nulls)
    }

    /// A text for each selected row; `nulls` is by position in the selection.
    #[inline]
    pub fn map_text<'a>(&self, mut value: impl FnMut(usize) -> &'a str, nulls: Option<NullBuffer>) -> ArrayRef {
        let mut texts = TextWriter::new(self.len());
        for &row in self.indices() {
            texts.push(value(row as usize));
        }
        texts.finish(nulls)
    }

    #[inline]
    pub fn map_text_opt<'a>(&self, mut value: impl FnMut(usize) -> Option<&'a str>) -> ArrayRef {
        let mut texts = TextWriter::new(self.len());
        for &row in self.indices() {
            texts.push_opt(value(row as usize));
        }
        texts.finish(None)
    }

    /// A byte string for each selected row; `nulls` is by position in the selection.
    #[inline]
    pub fn map_binary<'a>(&self, mut value: impl FnMut(usize) -> &'a [u8], nulls: Option<NullBuffer>) -> ArrayRef {
        let mut binaries = BinaryWriter::new(self.len());
        for &row in self.indices() {
            binaries.push(value(row as usize));
        }
        binaries.finish(nulls)
    }

    #[inline]
    pub fn map_binary_opt<'a>(&self, mut value: impl FnMut(usize) -> Option<&'a [u8]>) -> ArrayRef {
        let mut binaries = BinaryWriter::new(self.len());
        for &row in self.indices() {
            binaries.push_opt(value(row as usize));
        }
        binaries.finish(None)
    }
}

/// Each `map` holds both loops; code that knows statically which one it needs calls [`column::dense`] and its kin, or
/// the methods of [`Selection`], and gives LLVM half as much to do.
impl Rows<'_> {
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Rows::All(rows) => *rows,
            Rows::Some(rows) => rows.len(),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a position.
    #[inline]
    pub fn row(&self, position: usize) -> usize {
        match self {
            Rows::All(_) => position,
            Rows::Some(rows) => rows.values()[position] as usize,
        }
    }

    /// The column with these rows only.
    pub fn take(&self, array: &ArrayRef) -> ArrayRef {
        match self {
            Rows::All(_) => array.clone(),
            // Every row is in: nothing to copy.
            Rows::Some(rows) if rows.len() == array.len() => array.clone(),
            Rows::Some(rows) => column::take(array, rows),
        }
    }

    /// The batch with these rows only.
    pub fn take_batch(&self, batch: &Batch) -> Batch {
        Batch::new(batch.columns.iter().map(|column| self.take(column)).collect(), self.len())
    }

    /// The inverse of [`Rows::take`]: a column of `total` rows, null where a row is not among these.
    pub fn scatter(&self, array: &ArrayRef, total: usize) -> ArrayRef {
        match self {
            Rows::All(_) => array.clone(),
            Rows::Some(rows) => {
                let mut positions = vec![None; total];
                for (position, &row) in rows.values().iter().enumerate() {
                    positions[row as usize] = Some(position as u32);
                }
                column::take(array, &UInt32Array::from(positions))
            }
        }
    }

    /// AND of null masks at these rows; `None` when nothing is null.
    pub fn valid(&self, masks: &[Option<&NullBuffer>]) -> Option<NullBuffer> {
        let all = column::all_valid(masks)?;
        match self {
            Rows::All(_) => Some(all).filter(|nulls| nulls.null_count() > 0),
            Rows::Some(rows) => {
                let bits = all.inner();
                column::validity(&column::dense(rows.len(), |position| bits.value(rows.values()[position] as usize)))
            }
        }
    }

    #[inline]
    pub fn map<T>(&self, mut value: impl FnMut(usize) -> T) -> Vec<T> {
        match self {
            Rows::All(rows) => column::dense(*rows, value),
            Rows::Some(rows) => rows.values().iter().map(|&row| value(row as usize)).collect(),
        }
    }

    #[inline]
    pub fn map_opt<T: Default>(&self, mut value: impl FnMut(usize) -> Option<T>) -> (Vec<T>, Option<NullBuffer>) {
        column::dense_opt(self.len(), |position| value(self.row(position)))
    }

    #[inline]
    pub fn map_bool(&self, value: impl FnMut(usize) -> bool) -> BooleanBuffer {
        column::pack(&self.map(value))
    }

    #[inline]
    pub fn map_bool_opt(&self, value: impl FnMut(usize) -> Option<bool>) -> (BooleanBuffer, Option<NullBuffer>) {
        let (values, nulls) = self.map_opt(value);
        (column::pack(&values), nulls)
    }

    /// A text for each row; `nulls` is by position.
    #[inline]
    pub fn map_text<'a>(&self, mut value: impl FnMut(usize) -> &'a str, nulls: Option<NullBuffer>) -> ArrayRef {
        column::dense_text(self.len(), |position| value(self.row(position)), nulls)
    }

    #[inline]
    pub fn map_text_opt<'a>(&self, mut value: impl FnMut(usize) -> Option<&'a str>) -> ArrayRef {
        column::dense_text_opt(self.len(), |position| value(self.row(position)))
    }

    /// A byte string for each row; `nulls` is by position.
    #[inline]
    pub fn map_binary<'a>(&self, mut value: impl FnMut(usize) -> &'a [u8], nulls: Option<NullBuffer>) -> ArrayRef {
        column::dense_binary(self.len(), |position| value(self.row(position)), nulls)
    }

    #[inline]
    pub fn map_binary_opt<'a>(&self, mut value: impl FnMut(usize) -> Option<&'a [u8]>) -> ArrayRef {
        column::dense_binary_opt(self.len(), |position| value(self.row(position)))
    }
}

/// Up to 64 truth values as bits, first one lowest.
fn mask_of(flags: &[bool]) -> u64 {
    let (whole, rest) = flags.as_chunks::<8>();
    let mut mask = 0;
    for (i, chunk) in whole.iter().enumerate() {
        mask |= u64::from(column::pack_byte(*chunk)) << (8 * i);
    }
    for (i, &flag) in rest.iter().enumerate() {
        mask |= u64::from(flag) << (8 * whole.len() + i);
    }
    mask
}

/// Appends `first + i` for every set bit i.
fn append_bits(first: u32, mask: u64, rows: &mut Vec<u32>) {
    match mask {
        0 => {}
        u64::MAX => rows.extend(first..first + 64),
        _ => {
            let mut block = [0u32; 72];
            let mut len = 0;
            for byte in 0..8 {
                let bits = (mask >> (8 * byte)) as u8;
                let out = &mut block[len..len + 8];
                for (out, &bit) in out.iter_mut().zip(&SET_BITS[usize::from(bits)]) {
                    *out = first + 8 * byte + u32::from(bit);
                }
                len += bits.count_ones() as usize;
            }
            rows.extend_from_slice(&block[..len]);
        }
    }
}

/// For each byte the numbers of its set bits, ascending, then zeros.
static SET_BITS: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut len) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte][len] = bit;
                len += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::validity;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn filters_keep_what_a_plain_loop_keeps(
            rows in prop::collection::vec((any::<bool>(), prop::bool::weighted(0.8), any::<bool>()), 0..300),
            offset in 0usize..70,
        ) {
            // A sliced mask: its bits do not start at a byte.
            let valid = rows.iter().map(|row| row.1).collect::<Vec<_>>();
            let mut padded = vec![false; offset];
            padded.extend(&valid);
            let nulls = NullBuffer::new(column::pack(&padded)).slice(offset, rows.len());
            let mut selection = Selection::filter(rows.len(), Some(&nulls), |row| rows[row].0);
            let expected = (0..rows.len() as u32).filter(|&row| rows[row as usize].0 && rows[row as usize].1);
            let expected = expected.collect::<Vec<_>>();
            prop_assert_eq!(selection.indices(), &expected);

            let mut three_valued = Selection::filter_opt(rows.len(), |row| valid[row].then_some(rows[row].0));
            prop_assert_eq!(three_valued.indices(), &expected);

            let expected = expected.into_iter().filter(|&row| rows[row as usize].2).collect::<Vec<_>>();
            selection.retain(Some(&nulls), |row| rows[row].2);
            prop_assert_eq!(selection.indices(), &expected);
            three_valued.retain_opt(|row| Some(rows[row].2));
            prop_assert_eq!(three_valued.indices(), &expected);
        }

        #[test]
        fn masks_and_values_are_gathered_together(
            rows in prop::collection::vec((any::<bool>(), any::<Option<i64>>(), any::<Option<i64>>()), 1..200),
        ) {
            let column_of = |values: Vec<Option<i64>>| {
                let (values, nulls) = column::dense_opt(values.len(), |row| values[row]);
                column::from_i64(values, nulls)
            };
            let a = column_of(rows.iter().map(|row| row.1).collect());
            let b = column_of(rows.iter().map(|row| row.2).collect());
            let (x, y) = (column::i64(&a), column::i64(&b));
            let selection = Selection::filter(rows.len(), None, |row| rows[row].0);
            let sum = column::from_i64(
                selection.map(|row| x.value(row).wrapping_add(y.value(row))),
                selection.valid(&[x.nulls, y.nulls]),
            );
            let kept = rows.iter().filter(|row| row.0).collect::<Vec<_>>();
            prop_assert_eq!(sum.len(), kept.len());
            for (i, row) in kept.iter().enumerate() {
                let expected = row.1.zip(row.2).map(|(a, b)| a.wrapping_add(b));
                prop_assert_eq!(column::i64(&sum).get(i), expected);
                prop_assert_eq!(column::i64(&selection.take(&a)).get(i), row.1);
            }
            // Scattered back, every kept row has its value and the others are null.
            let back = selection.rows().scatter(&selection.take(&a), rows.len());
            for (i, row) in rows.iter().enumerate() {
                prop_assert_eq!(column::i64(&back).get(i), row.1.filter(|_| row.0));
            }
        }
    }

    #[test]
    fn columns_that_nobody_reads_are_not_copied() {
        let batch = Batch::new(vec![column::from_i64(vec![1, 2, 3], None), column::from_i64(vec![4, 5, 6], None)], 3);
        let selection = Selection::filter(3, None, |row| row != 1);
        let taken = selection.take_columns(&batch, &[1]);
        assert_eq!((taken.rows, taken.i64(1).values), (2, [4, 6].as_slice()));
        assert_eq!(taken.array(0).data_type(), &arrow::datatypes::DataType::Null);
    }

    #[test]
    fn a_full_selection_shares_the_column() {
        let array = column::from_i64(vec![1, 2, 3], validity(&[true, false, true]));
        let selection = Selection::filter(3, None, |_| true);
        assert_eq!(selection.take(&array).to_data().buffers()[0].as_ptr(), array.to_data().buffers()[0].as_ptr());
    }
}
