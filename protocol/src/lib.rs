//! What controller and workers say to each other.
//!
//! [`job`] is the execution plan, data that the compiler writes, the controller carries unread and the worker
//! runs. [`checkpoint`] is what survives it. [`rpc`] is the gRPC service, generated from `proto/worker.proto`. [`report`] is
//! what is told of counters to people, [`mutant`] is for tests.
//!
//! Not here: behaviour. Both sides depend on this crate, so it depends on neither.

pub mod checkpoint;
pub mod job;
pub mod mutant;
pub mod report;

/// What a worker's Register must name: it grows with every change of the protocol that an older side would not
/// understand.
pub const VERSION: u32 = 3;

/// The gRPC messages and service; see `proto/worker.proto`.
#[allow(clippy::all, clippy::pedantic, unreachable_pub, missing_docs)]
pub mod rpc {
    tonic::include_proto!("streamwright.worker");
}
