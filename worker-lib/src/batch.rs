//! A batch of rows: Arrow columns of equal length, without a schema (the plan has it).
//!
//! Typed access ([`Batch::i64`], [`Batch::text`], ...) is by the column's physical representation: a date is an
//! `i32`, a timestamp an `i64` in its own unit. The plan fixes the types, so a column of another type is a bug of
//! the compiler, and these methods panic on it.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::IntervalMonthDayNano;

use crate::column::{self, Binaries, Bools, Prim, Texts};

/// Columns of equal length. Cheap to clone: columns are shared.
#[derive(Clone, Debug)]
pub struct Batch {
    pub columns: Vec<ArrayRef>,
    /// Number of rows; a batch may have rows without having columns.
    pub rows: usize,
}

/// The slice to `rows` costs nothing and tells LLVM the length: loops over `0..batch.rows` lose their bounds checks.
macro_rules! typed_columns {
    ($($name:ident: $native:ty),* $(,)?) => {$(
        #[inline]
        pub fn $name(&self, index: usize) -> Prim<'_, $native> {
            let prim = column::$name(&self.columns[index]);
            Prim { values: &prim.values[..self.rows], nulls: prim.nulls }
        }
    )*};
}

impl Batch {
    /// Every column must have `rows` values.
    pub fn new(columns: Vec<ArrayRef>, rows: usize) -> Self {
        debug_assert!(columns.iter().all(|column| column.len() == rows), "columns of unequal length");
        Batch { columns, rows }
    }

    /// A column as it is.
    #[inline]
    pub fn array(&self, index: usize) -> &ArrayRef {
        &self.columns[index]
    }

    /// Null mask of a column; `None` when it has no null.
    #[inline]
    pub fn nulls(&self, index: usize) -> Option<&NullBuffer> {
        column::nulls(&self.columns[index])
    }

    /// Member of a member of ... a struct column: `path(&[column, member, ...])`. Null where any of them is.
    pub fn path(&self, path: &[usize]) -> ArrayRef {
        let (&index, members) = path.split_first().expect("a path starts with a column");
        members.iter().fold(self.columns[index].clone(), |array, &member| column::member(&array, member))
    }

    typed_columns! {
        i8: i8, i16: i16, i32: i32, i64: i64, u8: u8, u16: u16, u32: u32, u64: u64, f32: f32, f64: f64,
        decimal: i128, interval: IntervalMonthDayNano,
    }

    #[inline]
    pub fn bool(&self, index: usize) -> Bools<'_> {
        column::bool(&self.columns[index])
    }

    #[inline]
    pub fn text(&self, index: usize) -> Texts<'_> {
        column::text(&self.columns[index])
    }

    #[inline]
    pub fn binary(&self, index: usize) -> Binaries<'_> {
        column::binary(&self.columns[index])
    }

    /// Bytes that the columns occupy, shared buffers counted fully.
    pub fn memory(&self) -> usize {
        self.columns.iter().map(|column| column.get_array_memory_size()).sum()
    }
}
