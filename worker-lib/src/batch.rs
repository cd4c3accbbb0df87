//! A batch of rows: Arrow columns of equal length, without a schema (the plan has it).

use arrow::array::ArrayRef;

/// Columns of equal length. Cheap to clone: columns are shared.
#[derive(Clone, Debug)]
pub struct Batch {
    pub columns: Vec<ArrayRef>,
    /// Number of rows; a batch may have rows without having columns.
    pub rows: usize,
}

impl Batch {
    /// Every column must have `rows` values.
    pub fn new(columns: Vec<ArrayRef>, rows: usize) -> Self {
        debug_assert!(columns.iter().all(|column| column.len() == rows), "columns of unequal length");
        Batch { columns, rows }
    }
}
