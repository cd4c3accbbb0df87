//! The controller: it runs jobs, and knows no more of them than digests.
//!
//! ```text
//!             submit, stop                      Attach (gRPC)
//!   CLI, API ─────────────▶ control ◀─────────────────────────── workers
//!                             │  one loop a job                     ▲
//!            state::step(job, event, now) ─▶ effects                │ spawn, kill
//!                             │                                     │
//!                 store (SQLite)          scheduler ────────────────┘
//! ```
//!
//! * [`state`] decides: a pure function from a job and an event to the next job and a list of effects. Nothing else
//!   in this crate decides anything about a job's life.
//! * [`control`] executes the effects, one task a job, and turns what the world does into events.
//! * [`checkpoint`] decides when a checkpoint begins and is complete; [`log`] is where its manifest goes, and who may write
//!   it; [`collect`] removes what nobody can restore any more, and [`inspect`] tells people what there is.
//!   [`compatibility`] decides what a changed query makes of a checkpoint.
//! * [`scheduler`] starts and ends workers. [`server`] is where they attach. [`store`] keeps what must survive, and
//!   [`lock`] keeps a second controller out of the same state directory. [`operator`] is where people ask a controller
//!   that runs.
//!
//! Invariants: a job has at most one worker that it listens to, named by its generation, and whatever an earlier
//! generation says is answered with Stop; a binary is executed only after its bytes were checked against the digest
//! that the job names; a state is in the store before its effects are executed.
//!
//! Not here: SQL, operators (of plans, only what they keep is looked at), compiling. A job comes with the digest of
//! a binary that is already in the artifact store.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod checkpoint;
pub mod collect;
pub mod compatibility;
pub mod control;
pub mod diagram;
pub mod inspect;
pub mod job;
pub mod lock;
pub mod log;
pub mod operator;
pub mod scheduler;
pub mod server;
pub mod state;
pub mod store;

pub use compatibility::Allowed;
pub use control::{Controller, ControllerError, ControllerOptions, JobHandle, WorkerLine, WorkerLog};
pub use job::{Checkpointing, ErrorClass, Failure, JobSpec, JobStatus, StopMode, Tuning};
pub use log::{RestorePoint, check_savepoint_name};
pub use protocol::rpc::TaskProgress;
pub use state::{JobState, Policy};
