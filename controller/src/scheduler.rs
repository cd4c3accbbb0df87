//! Where workers come from.
//!
//! A scheduler is handed what to start and gives back something to wait for and to kill. It knows neither the job's
//! state nor the protocol: the worker attaches by itself (see [`crate::server`]).

pub mod process;

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
}

/// Starts workers.
pub trait Scheduler: Send + Sync {
    /// Starts one. Dropping the future gives up the start, and leaves no process behind.
    fn start(&self, worker: StartWorker) -> BoxFuture<'static, Result<Box<dyn Worker>, Failure>>;

    /// Removes what was kept for a job that has ended.
    fn forget(&self, job_id: &str);
}

/// A worker that was started. Dropping it kills it.
pub trait Worker: Send {
    /// Waits until its process is gone. Cancel-safe.
    fn exited(&mut self) -> BoxFuture<'_, Exit>;

    /// Ends its process: politely, then, while it is being waited for, by force.
    fn kill(&mut self);
}
