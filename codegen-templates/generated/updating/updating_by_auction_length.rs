//! Stage 2 of the pipeline, `updating_by_auction_length`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{AvgDecimal, Count, MaxText, Total};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::scalar::Errors;
use worker_lib::select::Selection;
use worker_lib::state::TableRows;
use worker_lib::updating::{Accumulators, Updating};

/// Stage 2, fused from:
/// - rows of stage 1
/// - `updating by auction, length [count(*) AS n, sum(total) AS total, max(last) AS last, avg(mean_owed) AS mean_owed, count(*) FILTER (WHERE web_filter) AS web]`
/// - `filter n > 1`
/// - `project _retract, total, last, mean_owed, web, auction, length`
pub(crate) struct UpdatingByAuctionLength {
    groups: Updating,
    states: Accumulators<UpdatingByAuctionLengthState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct UpdatingByAuctionLengthState {
    n: Count,
    total: Total<i64>,
    last: MaxText,
    mean_owed: AvgDecimal,
    web: Count,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(UpdatingByAuctionLength {
        groups: Updating::new(&[ScalarType::Int64, ScalarType::Int32]),
        states: Accumulators::new(),
    })
}

impl Stage for UpdatingByAuctionLength {
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
        match watermark {
            i64::MAX => self.flush(cx),
            _ => Ok(()),
        }
    }

    fn on_timer(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)
    }

    fn on_barrier(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let mut table = TableRows::default();
        while let Some(saved) = self.groups.next_unsaved(&mut table)? {
            let states = state_columns(&self.states.saved(&saved));
            table.keep(saved.batch(states));
        }
        Ok(vec![table])
    }

    fn restore(
        &mut self,
        _table: usize,
        batch: &Batch,
        _watermark: Option<i64>,
    ) -> Result<(), TaskError> {
        self.groups.restore(batch)?;
        self.put_states(batch);
        Ok(())
    }

    fn memory(&self) -> usize {
        self.groups.memory() + self.states.memory(|state| state.last.heap())
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)?;
        while let Some(cold) = self.groups.next_cold(portion, cx)? {
            let states = state_columns(&self.states.saved(&cold));
            self.states.keep(self.groups.freeze(cold, states)?);
        }
        Ok(())
    }
}

impl UpdatingByAuctionLength {
    /// `GROUP BY auction, length(channel)`
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.groups.assign(batch, cx)?;
        self.thaw();
        let total = batch.i64(2);
        let last = batch.text(3);
        let mean_owed = batch.decimal(4);
        let web_filter = batch.bool(5);
        let states = self.states.begin(&self.groups);
        for (row, group) in self.groups.pairs() {
            let state = &mut states[group];
            state.n.add();
            state.total.add(total.value(row));
            if let Some(value) = last.get(row) {
                state.last.add(value);
            }
            state.mean_owed.add(mean_owed.value(row));
            if web_filter.get(row) == Some(true) {
                state.web.add();
            }
        }
        Ok(())
    }

    /// Emits what has become of the groups that have changed.
    fn flush(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(changed) = self.groups.next_changed(cx) {
            let batch = self
                .groups
                .changes(
                    &changed,
                    &result_columns(self.states.before(&changed))?,
                    &result_columns(&self.states.after(&changed))?,
                );
            if batch.rows > 0 {
                self.pass_on(batch, cx)?;
            }
        }
        if !cx.more {
            self.states.flushed(self.groups.flushed(cx)?);
        }
        Ok(())
    }

    /// Replaces the states of the groups that were found.
    fn put_states(&mut self, batch: &Batch) {
        let n = batch.i64(2);
        let total = batch.i64(3);
        let last = batch.text(4);
        let mean_owed_sum = batch.decimal(5);
        let mean_owed_count = batch.i64(6);
        let web = batch.i64(7);
        let states = self.states.restore(&self.groups);
        for (row, group) in self.groups.pairs() {
            let state = &mut states[group];
            *state = Default::default();
            state.n.merge(n.value(row));
            state.total.merge(total.get(row));
            state.last.merge(last.get(row));
            state.mean_owed.merge(mean_owed_sum.get(row), mean_owed_count.value(row));
            state.web.merge(web.value(row));
        }
    }

    /// Takes the states of groups that come back from disk.
    fn thaw(&mut self) {
        while let Some(batch) = self.groups.next_thawed() {
            self.put_states(&batch);
        }
    }

    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let selection = filter(&batch);
        if selection.is_empty() {
            return Ok(());
        }
        let batch = project(&batch, &selection);
        cx.emit(batch);
        Ok(())
    }
}

/// States of groups.
fn state_columns(states: &[UpdatingByAuctionLengthState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].n.finish());
    columns.push(column::from_i64(values, None));
    let values = column::dense(rows, |row| states[row].total.finish());
    columns.push(column::from_i64(values, None));
    columns.push(column::dense_text_opt(rows, |row| states[row].last.finish()));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].mean_owed.sum());
    columns.push(column::from_decimal(values, nulls, 38, 2));
    let values = column::dense(rows, |row| states[row].mean_owed.count());
    columns.push(column::from_i64(values, None));
    let values = column::dense(rows, |row| states[row].web.finish());
    columns.push(column::from_i64(values, None));
    columns
}

/// Results of groups.
fn result_columns(
    states: &[UpdatingByAuctionLengthState],
) -> Result<Vec<ArrayRef>, TaskError> {
    let rows = states.len();
    let errors = Errors::new();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].n.finish());
    columns.push(column::from_i64(values, None));
    let values = column::dense(rows, |row| states[row].total.finish());
    columns.push(column::from_i64(values, None));
    columns.push(column::dense_text_opt(rows, |row| states[row].last.finish()));
    let (values, nulls) = column::dense_opt(
        rows,
        |row| states[row].mean_owed.finish(2, 14, 6, &errors),
    );
    columns.push(column::from_decimal(values, nulls, 14, 6));
    let values = column::dense(rows, |row| states[row].web.finish());
    columns.push(column::from_i64(values, None));
    errors.check()?;
    Ok(columns)
}

/// `HAVING count(*) > 1`
fn filter(batch: &Batch) -> Selection {
    let n = batch.i64(3);
    Selection::filter(batch.rows, None, |row| n.value(row) > 1)
}

/// `SELECT total, ...`
fn project(batch: &Batch, selection: &Selection) -> Batch {
    let columns = [
        selection.take(batch.array(0)),
        selection.take(batch.array(4)),
        selection.take(batch.array(5)),
        selection.take(batch.array(6)),
        selection.take(batch.array(7)),
        selection.take(batch.array(1)),
        selection.take(batch.array(2)),
    ];
    Batch::new(columns.into(), selection.len())
}
