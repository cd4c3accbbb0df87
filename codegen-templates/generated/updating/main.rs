//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 bids
//!   │ source bids (nexmark)
//!   │ watermark dt - INTERVAL '5 seconds'
//!   │ project auction, price, channel, 1.50 AS d
//!
//! 1 project
//!   ◀── 0
//!   │ project auction, character_length(channel) AS length, price AS total, channel AS last, d AS mean_owed, channel = 'web' AS web_filter
//!
//! 2 updating_by_auction_length
//!   ◀── 1 by hash of auction, length
//!   │ updating by auction, length [count(*) AS n, sum(total) AS total, max(last) AS last, avg(mean_owed) AS mean_owed, count(*) FILTER (WHERE web_filter) AS web]
//!   │ filter n > 1
//!   │ project _retract, total, last, mean_owed, web, auction, length
//!
//! 3 to_totals
//!   ◀── 2
//!   │ sink totals (stdout)
//!
//! 4 project_2
//!   ◀── 0
//!   │ project TRUE AS row
//!
//! 5 updating_to_all_bids
//!   ◀── 4 gathered
//!   │ updating [count(*) AS n]
//!   │ sink all_bids (stdout)
//!
//! 6 project_3
//!   ◀── 0
//!   │ project channel
//!
//! 7 updating_by_channel_to_channels
//!   ◀── 6 by hash of channel
//!   │ updating by channel []
//!   │ sink channels (stdout)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod bids;
mod project;
mod updating_by_auction_length;
mod project_2;
mod updating_to_all_bids;
mod project_3;
mod updating_by_channel_to_channels;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 0,
            name: "bids",
            new: bids::new,
        },
        StageDef {
            id: 1,
            name: "project",
            new: project::new,
        },
        StageDef {
            id: 2,
            name: "updating_by_auction_length",
            new: updating_by_auction_length::new,
        },
        StageDef {
            id: 4,
            name: "project_2",
            new: project_2::new,
        },
        StageDef {
            id: 5,
            name: "updating_to_all_bids",
            new: updating_to_all_bids::new,
        },
        StageDef {
            id: 6,
            name: "project_3",
            new: project_3::new,
        },
        StageDef {
            id: 7,
            name: "updating_by_channel_to_channels",
            new: updating_by_channel_to_channels::new,
        },
    ],
    connectors: &[&connectors_nexmark::NEXMARK_SOURCE, &connectors_stdout::STDOUT_SINK],
};

pub(crate) fn main() -> ExitCode {
    worker_lib::main(&PIPELINE)
}
