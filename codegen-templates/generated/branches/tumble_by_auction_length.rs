//! Stage 4 of the pipeline, `tumble_by_auction_length`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Avg, AvgDecimal, Count, MaxText, Min, Sum};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::scalar::Errors;
use worker_lib::select::Rows;
use worker_lib::state::TableRows;
use worker_lib::window::{Changed, Closed, Input, States, Tumble};

/// Stage 4, fused from:
/// - rows of stage 3
/// - `tumble_final 1m by auction, length [count AS n, min AS low, max AS high, avg AS mean, sum AS filtered, sum AS owed, avg AS mean_owed]`
/// - `project window.start AS start, n`
pub(crate) struct TumbleByAuctionLength {
    tumble: Tumble,
    states: States<TumbleByAuctionLengthState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct TumbleByAuctionLengthState {
    n: Count,
    low: Min<i32>,
    high: MaxText,
    mean: Avg,
    filtered: Sum<i64>,
    owed: Sum<i128>,
    mean_owed: AvgDecimal,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(TumbleByAuctionLength {
        tumble: Tumble::new(60_000_000_000, &[ScalarType::Int64, ScalarType::Int32]),
        states: States::new(),
    })
}

impl Stage for TumbleByAuctionLength {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.merge_states(&batch, cx)
    }

    fn on_watermark(
        &mut self,
        watermark: i64,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        while let Some(closed) = self.tumble.next_closed(watermark, cx)? {
            self.thaw();
            let batch = self.results(&closed)?;
            self.states.release(&closed);
            self.pass_on(batch, cx)?;
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let mut tables = TableRows::of_tables(1);
        for changed in self.tumble.changed(&mut tables[0])? {
            tables[0].push(self.state_rows(&changed), changed.end);
        }
        Ok(tables)
    }

    fn restore(
        &mut self,
        _table: usize,
        batch: &Batch,
        watermark: Option<i64>,
    ) -> Result<(), TaskError> {
        let mut cx = StageContext::default();
        self.tumble.begin_restore(watermark);
        self.tumble
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(2)),
                &[Input::row(batch.array(0)), Input::row(batch.array(1))],
                &mut cx,
            )?;
        self.thaw();
        self.put_states(batch, true);
        Ok(())
    }

    fn restored(&mut self, watermark: i64) {
        self.tumble.restored(watermark);
    }

    fn memory(&self) -> usize {
        self.tumble.memory() + self.states.memory(|state| state.high.heap())
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(cold) = self.tumble.next_cold(portion, cx)? {
            let rows = self.state_rows(&cold);
            let kept = self.tumble.freeze(&cold, &rows, &[])?;
            self.states.keep(cold.bin, kept.as_deref());
        }
        Ok(())
    }
}

impl TumbleByAuctionLength {
    /// `GROUP BY auction, length(channel)`
    fn merge_states(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(2)),
                &[Input::row(batch.array(0)), Input::row(batch.array(1))],
                cx,
            )?;
        self.thaw();
        self.put_states(batch, false);
        Ok(())
    }

    /// Partial states of the groups that were found; `replace`: what the groups had before is forgotten.
    fn put_states(&mut self, batch: &Batch, replace: bool) {
        let n = batch.i64(3);
        let low = batch.i32(4);
        let high = batch.text(5);
        let mean_sum = batch.f64(6);
        let mean_count = batch.i64(7);
        let filtered = batch.i64(8);
        let owed = batch.decimal(9);
        let mean_owed_sum = batch.decimal(10);
        let mean_owed_count = batch.i64(11);
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                if replace {
                    *state = Default::default();
                }
                state.n.merge(n.value(row));
                state.low.merge(low.get(row));
                state.high.merge(high.get(row));
                state.mean.merge(mean_sum.get(row), mean_count.value(row));
                state.filtered.merge(filtered.get(row));
                state.owed.merge(owed.get(row));
                state
                    .mean_owed
                    .merge(mean_owed_sum.get(row), mean_owed_count.value(row));
            }
        }
    }

    /// Takes the states of groups that come back from disk.
    fn thaw(&mut self) {
        while let Some(batch) = self.tumble.next_thawed() {
            self.put_states(&batch, true);
        }
    }

    /// Rows of the groups of a window: keys, window, states.
    fn state_rows(&self, changed: &Changed) -> Batch {
        changed.states(state_columns(&self.states.changed(changed)))
    }

    /// Results of closed windows.
    fn results(&self, closed: &Closed) -> Result<Batch, TaskError> {
        Ok(closed.results(result_columns(self.states.closed(closed))?))
    }

    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// States of groups.
fn state_columns(states: &[TumbleByAuctionLengthState]) -> Vec<ArrayRef> {
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
    let (values, nulls) = column::dense_opt(rows, |row| states[row].owed.finish());
    columns.push(column::from_decimal(values, nulls, 20, 2));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].mean_owed.sum());
    columns.push(column::from_decimal(values, nulls, 38, 2));
    let values = column::dense(rows, |row| states[row].mean_owed.count());
    columns.push(column::from_i64(values, None));
    columns
}

/// Results of groups.
fn result_columns(
    states: &[TumbleByAuctionLengthState],
) -> Result<Vec<ArrayRef>, TaskError> {
    let rows = states.len();
    let errors = Errors::new();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].n.finish());
    columns.push(column::from_i64(values, None));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].low.finish());
    columns.push(column::from_i32(values, nulls));
    columns.push(column::dense_text_opt(rows, |row| states[row].high.finish()));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].mean.finish());
    columns.push(column::from_f64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].filtered.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(
        rows,
        |row| states[row].owed.finish_decimal(20, 2, &errors),
    );
    columns.push(column::from_decimal(values, nulls, 20, 2));
    let (values, nulls) = column::dense_opt(
        rows,
        |row| states[row].mean_owed.finish(2, 14, 6, &errors),
    );
    columns.push(column::from_decimal(values, nulls, 14, 6));
    errors.check()?;
    Ok(columns)
}

/// `SELECT window.start, n`
fn project(batch: &Batch) -> Batch {
    let columns = [batch.path(&[2, 0]), batch.array(3).clone()];
    Batch::new(columns.into(), batch.rows)
}
