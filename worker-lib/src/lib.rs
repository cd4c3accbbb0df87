//! The worker: what a compiled pipeline links.
//!
//! ```text
//!   generated crate ──▶ Pipeline { stages, connectors } ──▶ worker_lib::main
//!                                                             │ gRPC to the controller (rpc)
//!   source ─▶ stage ─▶ exchange ─▶ stage ─▶ sink              ▼ tasks (runtime)
//! ```
//!
//! Two halves. The **façade** (`batch`, `select`, `column`, `scalar`, `agg`, `keys`, `window`, `window_join`, `updating`,
//! `state`, `stage`) is what generated code calls. Everything there is synchronous and, but for one-line inline loops, not
//! generic: an async or generic function is compiled again in every pipeline that reaches it, and that is the user's
//! waiting time.
//! The **runtime** (`runtime`, `exchange`, `event_time`, `metrics`, `rpc`) drives tasks and is never seen by
//! generated code. Connectors see `connector`, `batch`, `error` and, if they make rows at a rate, `pace`. The program
//! itself reads the tables of checkpoints by `export`. Operators keep rows that memory has no room for in `cold`.
//!
//! Not here: SQL, plans, code generation, connectors, metadata storage.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod agg;
pub mod batch;
pub mod cold;
pub mod column;
pub mod connector;
pub mod error;
pub mod keys;
pub mod scalar;
pub mod select;
pub mod stage;
pub mod state;
pub mod updating;
pub mod window;
pub mod window_join;

mod entry;
mod event_time;
mod exchange;
pub mod export;
pub mod metrics;
pub mod pace;
mod rpc;
pub mod runtime;

pub use batch::Batch;
pub use entry::{exit, main};
pub use error::{ErrorClass, TaskError};
pub use stage::{Pipeline, Stage, StageContext, StageDef};
