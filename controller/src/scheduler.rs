//! Where workers come from.
//!
//! A scheduler is handed what to start and gives back something to wait for and to kill. It knows neither the job's
//! state nor the protocol: the worker attaches by itself (see [`crate::server`]).

pub mod process;

#[cfg(target_os = "linux")]
mod found;
mod stderr;

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;

use artifacts::Digest;

use crate::job::Failure;
use crate::state::Exit;

/// A worker to be started.
#[derive(Clone, Debug)]
pub struct StartWorker {
    pub job_id: String,
    pub worker_id: String,
    pub generation: u64,
    /// Digest of its executable in the artifact store.
    pub binary: Digest,
    /// Where it attaches: `http://127.0.0.1:40000`.
    pub controller: String,
    /// `None`: it ends with its controller.
    pub outlives: Option<Outlives>,
}

/// How a worker goes on when its controller has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlives {
    /// Where the next controller says where it is.
    pub next_controller: PathBuf,
    /// Longest without one.
    pub most: Duration,
}

/// A process, told from others that have had its number, or will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    pub pid: u32,
    /// When it began, as the system counts.
    pub began: u64,
}

/// A worker that may run already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindWorker {
    pub job_id: String,
    pub worker_id: String,
    /// For its lines in the log.
    pub generation: u64,
    pub process: ProcessId,
}

/// Starts workers.
pub trait Scheduler: Send + Sync {
    /// Starts one. Dropping the future gives up the start, and leaves no process behind.
    fn start(&self, worker: StartWorker) -> BoxFuture<'static, Result<Box<dyn Worker>, Failure>>;

    /// A worker that an earlier controller has started, and that outlived it, if it is still there.
    fn find(&self, _worker: FindWorker) -> Option<Box<dyn Worker>> {
        None
    }

    /// Removes what was kept for a job that has ended.
    fn forget(&self, job_id: &str);
}

/// A worker that was started. Dropping it kills it.
pub trait Worker: Send + Sync {
    /// By which it can be found again; `None`: it cannot.
    fn process(&self) -> Option<ProcessId> {
        None
    }

    /// Waits until its process is gone. Cancel-safe.
    fn exited(&mut self) -> BoxFuture<'_, Exit>;

    /// Ends its process: politely, then, while it is being waited for, by force.
    fn kill(&mut self);
}
