//! Where a loop notes that a scalar operation failed.

use std::cell::RefCell;

use crate::error::TaskError;

/// Keeps the first error of a loop. Shared by reference, so that closures stay `Fn`.
#[derive(Debug, Default)]
pub struct Errors {
    first: RefCell<Option<TaskError>>,
}

impl Errors {
    pub fn new() -> Self {
        Errors::default()
    }

    /// Takes the error out, if there was one.
    ///
    /// # Errors
    /// The first that was noted.
    pub fn check(&self) -> Result<(), TaskError> {
        match self.first.borrow_mut().take() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Notes a mistake of the query or its data.
    #[cold]
    #[inline(never)]
    pub fn user(&self, message: &str) {
        self.first.borrow_mut().get_or_insert_with(|| TaskError::user(message));
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn division_by_zero(&self) {
        self.user("division by zero");
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn does_not_fit(&self, value: &dyn std::fmt::Display, ty: &str) {
        let error = || {
            TaskError::user(format!("value {value} is out of range for type {ty}"))
                .with_hint("TRY_CAST gives null for values that do not fit.")
        };
        self.first.borrow_mut().get_or_insert_with(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_kept_and_taken_once() {
        let errors = Errors::new();
        assert_eq!(errors.check(), Ok(()));
        errors.does_not_fit(&300, "TINYINT");
        errors.division_by_zero();
        assert_eq!(errors.check().unwrap_err().message, "value 300 is out of range for type TINYINT");
        assert_eq!(errors.check(), Ok(()));
    }
}
