//! In which rows two columns differ, as groups do: null equals null, floats are normalised.

use arrow::array::{Array, ArrayRef, AsArray};

use super::words::{Words, read_words};

/// Marks the rows in which columns of one type differ; leaves the marks that are there. Not for lists, structs and maps.
pub fn mark_differences(left: &ArrayRef, right: &ArrayRef, differs: &mut [bool]) {
    if let (Some(a), Some(b)) = (left.as_string_opt::<i32>(), right.as_string_opt::<i32>()) {
        return mark(left, right, differs, |row| a.value(row) != b.value(row));
    }
    if let (Some(a), Some(b)) = (left.as_binary_opt::<i32>(), right.as_binary_opt::<i32>()) {
        return mark(left, right, differs, |row| a.value(row) != b.value(row));
    }
    match (read_words(left), read_words(right)) {
        (Words::Single(a), Words::Single(b)) => mark(left, right, differs, |row| a[row] != b[row]),
        (Words::Double(a), Words::Double(b)) => mark(left, right, differs, |row| a[row] != b[row]),
        _ => unreachable!("the columns have one type"),
    }
}

fn mark(left: &ArrayRef, right: &ArrayRef, differs: &mut [bool], unequal: impl Fn(usize) -> bool) {
    for (row, differs) in differs.iter_mut().enumerate() {
        let nulls = (left.is_null(row), right.is_null(row));
        *differs |= nulls.0 != nulls.1 || (!nulls.0 && unequal(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column;

    fn differences(left: &ArrayRef, right: &ArrayRef) -> Vec<bool> {
        let mut differs = vec![false; left.len()];
        mark_differences(left, right, &mut differs);
        differs
    }

    #[test]
    fn values_differ_as_groups_do() {
        let left =
            column::from_f64(vec![0.0, f64::NAN, 1.0, 5.0, 5.0], column::validity(&[true, true, true, false, true]));
        let right =
            column::from_f64(vec![-0.0, -f64::NAN, 2.0, 6.0, 5.0], column::validity(&[true, true, true, false, false]));
        assert_eq!(differences(&left, &right), [false, false, true, false, true]);
        let left = column::from_text(&[Some("a"), None, Some(""), Some("long enough to be compared")]);
        let right = column::from_text(&[Some("a"), Some(""), None, Some("long enough to be compareD")]);
        assert_eq!(differences(&left, &right), [false, true, true, true]);
        let left = column::from_binary(&[Some(b"\x00"), Some(b"\x00")]);
        assert_eq!(differences(&left, &column::from_binary(&[Some(b"\x00\x00"), Some(b"\x00")])), [true, false]);
        let left = column::from_decimal(vec![1 << 70, 5], None, 30, 2);
        assert_eq!(differences(&left, &column::from_decimal(vec![1 << 71, 5], None, 30, 2)), [true, false]);
        let flags = |flags: &[bool]| column::from_bool(column::pack(flags), None);
        assert_eq!(differences(&flags(&[true, false]), &flags(&[true, true])), [false, true]);
    }

    #[test]
    fn marks_that_are_there_stay() {
        let same = column::from_i64(vec![1, 2], None);
        let mut differs = vec![true, false];
        mark_differences(&same, &same, &mut differs);
        assert_eq!(differs, [true, false]);
    }
}
