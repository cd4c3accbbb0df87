//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 bids
//!   │ source bids (nexmark)
//!   │ watermark dt - INTERVAL '5 seconds'
//!   │ project auction, CAST(price AS INT) AS price, channel, dt, CAST(price AS DOUBLE) AS f, 1.50 AS d
//!
//! 1 project
//!   ◀── 0
//!   │ project coalesce(channel, 'none') AS channel, dt AS event_time, price AS n, channel = 'web' AS web_filter, CASE WHEN channel = 'web' THEN 1 / auction END AS ratio
//!
//! 2 tumble_by_channel
//!   ◀── 1 by hash of channel
//!   │ tumble 1m on event_time by channel [count(DISTINCT n) AS n, count(DISTINCT n) FILTER (WHERE web_filter) AS web, sum(ratio) AS ratio]
//!   │ project window.start AS start, n
//!
//! 3 rows_by_auction_length
//!   ◀── 0
//!   │ tumble_partial 1m on dt by auction, character_length(channel) AS length [count(channel) AS n, min(price) AS low, max(channel) AS high, avg(f) AS mean, sum(price) FILTER (WHERE channel = 'web') AS filtered, sum(d) AS owed, avg(d) AS mean_owed]
//!
//! 4 tumble_by_auction_length
//!   ◀── 3 by hash of auction, length
//!   │ tumble_final 1m by auction, length [count AS n, min AS low, max AS high, avg AS mean, sum AS filtered, sum AS owed, avg AS mean_owed]
//!   │ project window.start AS start, n
//!
//! 5 rows_by_window
//!   ◀── 0
//!   │ tumble_partial 1m on dt [count(*) AS n]
//!
//! 6 tumble_by_window
//!   ◀── 5 gathered
//!   │ tumble_final 1m [count AS n]
//!   │ project window.start AS start, n
//!
//! 7 to_totals
//!   ◀── 2
//!   ◀── 4
//!   ◀── 6
//!   │ sink totals (stdout)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod bids;
mod project;
mod tumble_by_channel;
mod rows_by_auction_length;
mod tumble_by_auction_length;
mod rows_by_window;
mod tumble_by_window;

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
            name: "tumble_by_channel",
            new: tumble_by_channel::new,
        },
        StageDef {
            id: 3,
            name: "rows_by_auction_length",
            new: rows_by_auction_length::new,
        },
        StageDef {
            id: 4,
            name: "tumble_by_auction_length",
            new: tumble_by_auction_length::new,
        },
        StageDef {
            id: 5,
            name: "rows_by_window",
            new: rows_by_window::new,
        },
        StageDef {
            id: 6,
            name: "tumble_by_window",
            new: tumble_by_window::new,
        },
    ],
    connectors: &[&connectors_nexmark::NEXMARK_SOURCE, &connectors_stdout::STDOUT_SINK],
};

pub(crate) fn main() -> ExitCode {
    worker_lib::main(&PIPELINE)
}
