//! The words in which a job is spoken of from outside: what is asked for, what is reported.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use artifacts::Digest;
use protocol::rpc;

use crate::checkpoint::Completed;
use crate::compatibility::Allowed;
use crate::log::RestorePoint;
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
    pub checkpoints: Checkpointing,
    /// Longest that its worker goes on without a controller; `None`: it ends with its controller.
    pub reattach: Option<Duration>,
}

/// Where a job's checkpoints are, and how often they are taken.
#[derive(Clone, Debug)]
pub struct Checkpointing {
    /// A storage URL; the job has a directory of its own there.
    pub url: String,
    pub interval: Duration,
    /// Longest that one may take.
    pub timeout: Duration,
    /// Checkpoints that are kept; older ones are collected.
    pub keep: usize,
    /// What the job goes on from when it starts; after failures it is always the latest.
    pub restore: RestorePoint,
    /// What may be wrong when it goes on from another query's.
    pub allowed: Allowed,
    /// The name that the checkpoint gets with which the job is stopped.
    pub savepoint: Option<String>,
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
    /// Longest that an operator whose results are updated gathers changes.
    pub update_flush: Duration,
    /// So many state files of a table and task are merged into one; `None`: they stay as they are.
    pub compact_after: Option<u32>,
    /// Most bytes of memory that a worker's state has; `None`: the worker decides.
    pub state_memory: Option<u64>,
    /// Where its state goes beyond that; `None`: into the job's directory.
    pub spill_directory: Option<PathBuf>,
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopMode {
    /// A last checkpoint; windows stay open in it, and the job can go on from it.
    Checkpoint,
    /// Sources end, what they have read flows through, windows are flushed, sinks publish.
    Graceful,
    /// Rows in flight are dropped.
    Immediate,
}

impl StopMode {
    /// What a worker is told; `None`: it is told by a barrier.
    pub(crate) fn order(self) -> Option<rpc::StopMode> {
        match self {
            StopMode::Checkpoint => None,
            StopMode::Graceful => Some(rpc::StopMode::StopGraceful),
            StopMode::Immediate => Some(rpc::StopMode::StopImmediate),
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
    /// The newest checkpoint of this controller.
    pub checkpoint: Option<Arc<Completed>>,
    /// The epoch that has got the name of [`Checkpointing::savepoint`], or why it has not.
    pub savepoint: Option<Result<u64, Failure>>,
}

#[cfg(test)]
pub(crate) mod tests {
    use protocol::job::{JobPlan, StagePlan};

    use super::*;

    /// One stage with two tasks, of which nothing happens by itself.
    pub(crate) fn plan() -> JobPlan {
        let stage = StagePlan {
            id: 0,
            name: "flights".into(),
            operators: vec!["source flights (toy)".into()],
            parallelism: 2,
            generated: true,
            source: None,
            sink: None,
            input_schema: Default::default(),
            output_schema: Default::default(),
            tables: Vec::new(),
            updating_ttl_micros: None,
        };
        JobPlan { code: "c0de".into(), stages: vec![stage], edges: vec![] }
    }

    /// A job whose binary is the text `#!/bin/sh`, for tests that never execute it.
    pub(crate) fn spec() -> JobSpec {
        JobSpec {
            name: "flights".into(),
            query: "SELECT 1".into(),
            code: "c0de".into(),
            binary: Digest::of("#!/bin/sh"),
            plan: serde_json::to_string(&plan()).unwrap(),
            tuning: Tuning {
                source_batch_rows: 512,
                source_linger: Duration::from_millis(100),
                queue_batches: 16,
                update_flush: Duration::from_secs(2),
                compact_after: None,
                state_memory: None,
                spill_directory: None,
            },
            checkpoints: Checkpointing {
                url: "/nowhere".into(),
                interval: Duration::from_secs(10),
                timeout: Duration::from_secs(600),
                keep: 10,
                restore: RestorePoint::Latest,
                allowed: Allowed::default(),
                savepoint: None,
            },
            reattach: None,
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
