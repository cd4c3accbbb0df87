//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 bids
//!   │ source bids (nexmark)
//!   │ watermark dt - INTERVAL '5 seconds'
//!   │ filter price > 100 AND channel IN ('web', 'app') AND auction % 2 = 0
//!   │ project auction, CAST(price AS DOUBLE) * 0.908 AS euros, coalesce(channel, 'none') AS channel
//!
//! 1 to_out
//!   ◀── 0
//!   │ sink out (stdout)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod bids;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 0,
            name: "bids",
            new: bids::new,
        },
    ],
    connectors: &[&connectors_nexmark::NEXMARK_SOURCE, &connectors_stdout::STDOUT_SINK],
};

pub(crate) fn main() -> ExitCode {
    worker_lib::main(&PIPELINE)
}
