//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 bids_by_auction
//!   │ source bids (nexmark)
//!   │ watermark dt - INTERVAL '5 seconds'
//!   │ filter price > 100
//!   │ tumble_partial 10s on dt by auction [count(*) AS bids, sum(price) AS total, max(channel) AS channel]
//!
//! 1 tumble_by_auction
//!   ◀── 0 by hash of auction
//!   │ tumble_final 10s by auction [count AS bids, sum AS total, max AS channel]
//!   │ filter bids >= 2
//!   │ project auction, window.start AS start, bids, CAST(total AS DOUBLE) / CAST(bids AS DOUBLE) AS mean, channel
//!
//! 2 to_out
//!   ◀── 1
//!   │ sink out (stdout)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod bids_by_auction;
mod tumble_by_auction;

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
    ],
    connectors: &[&connectors_nexmark::NEXMARK_SOURCE, &connectors_stdout::STDOUT_SINK],
};

pub(crate) fn main() -> ExitCode {
    worker_lib::main(&PIPELINE)
}
