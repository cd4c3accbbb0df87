//! Stage 3 of the pipeline, `rows_by_auction_length`.

use worker_lib::{column, scalar, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Avg, AvgDecimal, Count, MaxText, Min, Sum, Total};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::select::Rows;
use worker_lib::window::{Closed, Input, States, Tumble};

/// Stage 3, fused from:
/// - rows of stage 0
/// - `tumble_partial 1m on dt by auction, character_length(channel) AS length [count(channel) AS n, min(price) AS low, max(channel) AS high, avg(f) AS mean, sum(price) FILTER (WHERE channel = 'web') AS filtered, sum(d) AS owed, avg(d) AS mean_owed]`
pub(crate) struct RowsByAuctionLength {
    tumble: Tumble,
    states: States<RowsByAuctionLengthState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct RowsByAuctionLengthState {
    n: Count,
    low: Min<i32>,
    high: MaxText,
    mean: Avg,
    filtered: Sum<i64>,
    owed: Total<i128>,
    mean_owed: AvgDecimal,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(RowsByAuctionLength {
        tumble: Tumble::new(60_000_000_000, &[ScalarType::Int64, ScalarType::Int32]),
        states: States::new(),
    })
}

impl Stage for RowsByAuctionLength {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.add_rows(&batch, cx)
    }

    fn on_watermark(
        &mut self,
        watermark: i64,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        while let Some(closed) = self.tumble.next_closed(watermark, cx)? {
            let batch = self.results(&closed);
            self.states.release(&closed);
            cx.emit(batch);
        }
        Ok(())
    }

    fn on_barrier(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(open) = self.tumble.next_open(cx) {
            let batch = self.results(&open);
            self.states.release(&open);
            cx.emit(batch);
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.tumble.memory() + self.states.memory(|state| state.high.heap())
    }

    fn evict(&mut self, _portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.on_barrier(cx)
    }
}

impl RowsByAuctionLength {
    /// `GROUP BY auction, length(channel)`
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        let length = length(batch);
        self.tumble
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(3)),
                &[Input::row(batch.array(0)), Input::position(&length)],
                cx,
            )?;
        let channel = batch.text(2);
        let price = batch.i32(1);
        let f = batch.f64(4);
        let d = batch.decimal(5);
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                if !channel.is_null(row) {
                    state.n.add();
                }
                state.low.add(price.value(row));
                if let Some(value) = channel.get(row) {
                    state.high.add(value);
                }
                state.mean.add(f.value(row));
                if channel.get(row).map(|x| x == "web") == Some(true) {
                    state.filtered.add(i64::from(price.value(row)));
                }
                state.owed.add(d.value(row));
                state.mean_owed.add(d.value(row));
            }
        }
        Ok(())
    }

    /// Partial states of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        closed.states(group_columns(self.states.closed(closed)))
    }
}

/// Aggregates of groups, as columns.
fn group_columns(states: &[RowsByAuctionLengthState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].n.finish());
    columns.push(column::from_i64(values, None));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].low.finish());
    columns.push(column::from_i32(values, nulls));
    columns.push(column::dense_text_opt(rows, |row| states[row].high.finish()));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].mean.sum());
    columns.push(column::from_f64(values, nulls));
    let values = column::dense(rows, |row| states[row].mean.count());
    columns.push(column::from_i64(values, None));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].filtered.finish());
    columns.push(column::from_i64(values, nulls));
    let values = column::dense(rows, |row| states[row].owed.finish());
    columns.push(column::from_decimal(values, None, 20, 2));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].mean_owed.sum());
    columns.push(column::from_decimal(values, nulls, 38, 2));
    let values = column::dense(rows, |row| states[row].mean_owed.count());
    columns.push(column::from_i64(values, None));
    columns
}

/// `character_length(channel)`
fn length(batch: &Batch) -> ArrayRef {
    let channel = batch.text(2);
    let values = column::dense(
        batch.rows,
        |row| scalar::char_length(channel.value(row)),
    );
    column::from_i32(values, column::all_valid(&[channel.nulls]))
}
