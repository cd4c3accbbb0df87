//! Fused stages against a hand-written loop and against DataFusion, on the same in-memory batches, one thread.
//!
//! ```text
//! cargo run --release -p bench --bin fused [CASE [BATCH_ROWS]]
//! ```
//!
//! Rounds alternate between the three, and medians are compared, so that a machine that is busy for a while is busy for
//! all of them. Every implementation must give the same number of rows.

mod data;
mod engine;
mod hand;
mod stages;

use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;
use worker_lib::Batch;
use worker_lib::stage::StageContext;

use stages::{Project, Step, Totals};

const ROUNDS: usize = 5;
const BATCH_ROWS: [usize; 5] = [64, 512, 1_024, 8_192, 65_536];

struct Case {
    name: &'static str,
    keys: u64,
    rows: usize,
    sql: &'static str,
    fused: fn() -> Box<dyn Step>,
    hand: fn(&[Batch]) -> usize,
}

const CASES: [Case; 4] = [
    Case {
        name: "filter + project of 6 expressions",
        keys: 10_000,
        rows: 1 << 22,
        sql: "SELECT auction, bidder, price * 2, CAST(price AS DOUBLE) * 0.908, price + bidder, auction % 100 = 7
              FROM bids WHERE price > 4000",
        fused: || Box::new(Project),
        hand: |batches| batches.iter().map(|batch| hand::project(batch).rows).sum(),
    },
    Case {
        name: "tumble by integer, 10k keys",
        keys: 10_000,
        rows: 1 << 22,
        sql: BY_AUCTION,
        fused: || Box::new(Totals::by_auction()),
        hand: by_auction,
    },
    Case {
        name: "tumble by integer, 1M keys",
        keys: 1_000_000,
        rows: 1 << 23,
        sql: BY_AUCTION,
        fused: || Box::new(Totals::by_auction()),
        hand: by_auction,
    },
    Case {
        name: "tumble by text, 10k keys",
        keys: 10_000,
        rows: 1 << 22,
        sql: "SELECT date_bin(INTERVAL '10 seconds', dt), channel, count(*), sum(price) FROM bids GROUP BY 1, 2",
        fused: || Box::new(Totals::by_channel()),
        hand: by_channel,
    },
];

const BY_AUCTION: &str =
    "SELECT date_bin(INTERVAL '10 seconds', dt), auction, count(*), sum(price) FROM bids GROUP BY 1, 2";

fn by_auction(batches: &[Batch]) -> usize {
    let (mut totals, mut rows) = (hand::ByAuction::default(), 0);
    for batch in batches {
        totals.on_batch(batch);
        totals.on_watermark(watermark(batch), &mut |out| rows += out.rows);
    }
    totals.on_watermark(i64::MAX, &mut |out| rows += out.rows);
    rows
}

fn by_channel(batches: &[Batch]) -> usize {
    let (mut totals, mut rows) = (hand::ByChannel::default(), 0);
    for batch in batches {
        totals.on_batch(batch);
        totals.on_watermark(watermark(batch), &mut |out| rows += out.rows);
    }
    totals.on_watermark(i64::MAX, &mut |out| rows += out.rows);
    rows
}

/// No row with an earlier event time comes after the batch.
fn watermark(batch: &Batch) -> i64 {
    let times = batch.columns[3].as_primitive::<TimestampNanosecondType>().values();
    times[batch.rows - 1] - data::DISORDER
}

fn fused(mut stage: Box<dyn Step>, batches: &[Batch]) -> anyhow::Result<usize> {
    let mut cx = StageContext::default();
    let mut rows = 0;
    for batch in batches {
        stage.on_batch(batch, &mut cx)?;
        stage.on_watermark(watermark(batch), &mut cx)?;
        rows += cx.emitted.drain(..).map(|out| out.rows).sum::<usize>();
    }
    stage.on_watermark(i64::MAX, &mut cx)?;
    rows += cx.emitted.drain(..).map(|out| out.rows).sum::<usize>();
    anyhow::ensure!(cx.late_rows == 0, "{} rows were late", cx.late_rows);
    Ok(rows)
}

fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = run();
    (start.elapsed(), result)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

fn run(case: &Case, batch_rows: usize) -> anyhow::Result<()> {
    let input = data::bids(case.rows, batch_rows, case.keys);
    let query = engine::Query::new(case.sql, &input, batch_rows)?;
    let to_batch = |batch: &RecordBatch| Batch::new(batch.columns().to_vec(), batch.num_rows());
    let batches = input.iter().map(to_batch).collect::<Vec<_>>();
    let (mut fused_times, mut hand_times, mut engine_times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (time, fused_rows) = timed(|| fused((case.fused)(), &batches));
        fused_times.push(time);
        let (time, hand_rows) = timed(|| (case.hand)(&batches));
        hand_times.push(time);
        let (time, engine_rows) = query.run()?;
        engine_times.push(time);
        let fused_rows = fused_rows?;
        anyhow::ensure!(
            fused_rows == hand_rows && hand_rows == engine_rows,
            "{}: {fused_rows} rows fused, {hand_rows} by hand, {engine_rows} by DataFusion",
            case.name,
        );
    }
    let (fused, hand, engine) = (median(fused_times), median(hand_times), median(engine_times));
    let rate = |seconds: f64| case.rows as f64 / seconds / 1e6;
    println!(
        "| {:33} | {batch_rows:6} | {:7.1} | {:7.1} | {:10.1} | {:6.2} | {:10.2} |",
        case.name,
        rate(fused),
        rate(hand),
        rate(engine),
        hand / fused,
        engine / fused,
    );
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next().unwrap_or_default();
    let only_rows = arguments.next().map(|rows| rows.parse::<usize>()).transpose()?;
    println!("Million rows per second, median of {ROUNDS}; ratios of times.");
    println!("| case                              |  batch |   fused | by hand | DataFusion | ÷ hand | ÷ DataFus. |");
    println!("|-----------------------------------|-------:|--------:|--------:|-----------:|-------:|-----------:|");
    for case in CASES.iter().filter(|case| case.name.contains(&wanted)) {
        for batch_rows in BATCH_ROWS.into_iter().filter(|rows| only_rows.is_none_or(|only| only == *rows)) {
            run(case, batch_rows)?;
        }
    }
    Ok(())
}
