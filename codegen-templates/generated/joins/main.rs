//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 bids_by_auction
//!   │ source bids (nexmark)
//!   │ watermark dt - INTERVAL '5 seconds'
//!   │ tumble_partial 10s on dt by auction [count(*) AS bids, sum(price) AS total]
//!
//! 1 tumble_by_auction
//!   ◀── 0 by hash of auction
//!   │ tumble_final 10s by auction [count AS bids, sum AS total]
//!
//! 2 project
//!   ◀── 1
//!   │ project auction AS rival, window AS rival_window, bids AS rival_bids
//!
//! 3 join_by_auction
//!   ◀── 1 by hash of auction, on the left
//!   ◀── 2 by hash of rival, on the right
//!   │ window_join left 10s on auction = rival AND window = rival_window AND bids < rival_bids
//!   │ project auction, window.start AS start, total, rival_bids AS more
//!
//! 4 to_out
//!   ◀── 3
//!   │ sink out (stdout)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod bids_by_auction;
mod tumble_by_auction;
mod project;
mod join_by_auction;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 0,
            name: "bids_by_auction",
            new: bids_by_auction::new,
        },
        StageDef {
            id: 1,
            name: "tumble_by_auction",
            new: tumble_by_auction::new,
        },
        StageDef {
            id: 2,
            name: "project",
            new: project::new,
        },
        StageDef {
            id: 3,
            name: "join_by_auction",
            new: join_by_auction::new,
        },
    ],
    connectors: &[&connectors_nexmark::NEXMARK_SOURCE, &connectors_stdout::STDOUT_SINK],
};

pub(crate) fn main() -> ExitCode {
    worker_lib::main(&PIPELINE)
}
