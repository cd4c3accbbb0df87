//! What can go wrong in a task.

use std::fmt;

/// What the restart policy needs to know of an error, and all that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The outside world failed; the same work may succeed later.
    Retryable,
    /// Our bug or a broken installation; trying again will not help.
    Fatal,
    /// The query or its data: a bad row, a division by zero, a missing file.
    User,
}

/// An error that ends a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskError {
    pub class: ErrorClass,
    /// Lower case, no full stop, says what was attempted, on what: `cannot open "a.json": no such file`.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl TaskError {
    pub fn user(message: impl Into<String>) -> Self {
        TaskError { class: ErrorClass::User, message: message.into(), hint: None }
    }

    pub fn retryable(message: impl Into<String>) -> Self {
        TaskError { class: ErrorClass::Retryable, message: message.into(), hint: None }
    }

    pub fn fatal(message: impl Into<String>) -> Self {
        TaskError { class: ErrorClass::Fatal, message: message.into(), hint: None }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TaskError {}
