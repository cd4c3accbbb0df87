//! The words in which a job is spoken of from outside: what is asked for, what is reported.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use artifacts::Digest;
use protocol::rpc;

use crate::state::JobState;

/// What to run.
#[derive(Clone, Debug)]
pub struct JobSpec {
    pub name: String,
    /// The SQL, kept for people to read.
    pub query: String,
    /// Digest of the generated sources; a worker must name the same.
    pub code: String,
    /// Digest of the binary in the artifact store.
    pub binary: Digest,
    /// JSON of `protocol::job::JobPlan`, handed to the worker unread.
    pub plan: String,
    pub tuning: Tuning,
}

/// What a worker is told beside its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Most rows of a source's batch.
    pub source_batch_rows: u32,
    /// Longest that a row waits for its batch to fill.
    pub source_linger: Duration,
    /// Batches in each queue between two tasks.
    pub queue_batches: u32,
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopMode {
    /// Sources end, what they have read flows through, windows are flushed, sinks publish.
    Graceful,
    /// Rows in flight are dropped.
    Immediate,
}

impl From<StopMode> for rpc::StopMode {
    fn from(mode: StopMode) -> Self {
        match mode {
            StopMode::Graceful => rpc::StopMode::StopGraceful,
            StopMode::Immediate => rpc::StopMode::StopImmediate,
        }
    }
}

/// Whose fault a failure is, which is all that the restart policy reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The outside world failed; the same work may succeed later.
    Retryable,
    /// Our bug or a broken installation.
    Fatal,
    /// The query or its data.
    User,
}

impl ErrorClass {
    pub fn name(self) -> &'static str {
        match self {
            ErrorClass::Retryable => "retryable",
            ErrorClass::Fatal => "fatal",
            ErrorClass::User => "user",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [ErrorClass::Retryable, ErrorClass::Fatal, ErrorClass::User].into_iter().find(|class| class.name() == name)
    }
}

impl From<rpc::ErrorClass> for ErrorClass {
    fn from(class: rpc::ErrorClass) -> Self {
        match class {
            rpc::ErrorClass::Retryable => ErrorClass::Retryable,
            rpc::ErrorClass::Fatal => ErrorClass::Fatal,
            rpc::ErrorClass::User => ErrorClass::User,
        }
    }
}

/// Why a job failed or had to be restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub class: ErrorClass,
    /// Lower case, no full stop.
    pub message: String,
    pub hint: Option<String>,
    /// The last lines that the worker wrote to its stderr, when it died without a word.
    pub detail: Option<String>,
}

impl Failure {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Failure { class, message: message.into(), hint: None, detail: None }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A job as its watchers see it.
#[derive(Clone, Debug)]
pub struct JobStatus {
    pub state: JobState,
    /// The attempt, from 1 once the first worker is scheduled.
    pub generation: u64,
    /// Restarts after failures, since the job was last healthy.
    pub restarts: u32,
    /// What each task of the current worker last reported; empty before the first report.
    pub progress: Arc<Vec<rpc::TaskProgress>>,
    /// Why it failed, or why it was last restarted.
    pub failure: Option<Failure>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A job whose binary is the text `#!/bin/sh`, for tests that never execute it.
    pub(crate) fn spec() -> JobSpec {
        JobSpec {
            name: "flights".into(),
            query: "SELECT 1".into(),
            code: "c0de".into(),
            binary: Digest::of("#!/bin/sh"),
            plan: r#"{"code":"c0de","stages":[],"edges":[]}"#.into(),
            tuning: Tuning { source_batch_rows: 512, source_linger: Duration::from_millis(100), queue_batches: 16 },
        }
    }

    #[test]
    fn error_classes_have_names() {
        for class in [ErrorClass::Retryable, ErrorClass::Fatal, ErrorClass::User] {
            assert_eq!(ErrorClass::parse(class.name()), Some(class));
        }
        assert_eq!(ErrorClass::parse("other"), None);
    }
}
