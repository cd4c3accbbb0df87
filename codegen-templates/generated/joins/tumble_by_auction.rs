//! Stage 1 of the pipeline, `tumble_by_auction`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Count, Sum};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::select::Rows;
use worker_lib::state::TableRows;
use worker_lib::window::{Changed, Closed, Input, States, Tumble};

/// Stage 1, fused from:
/// - rows of stage 0
/// - `tumble_final 10s by auction [count AS bids, sum AS total]`
pub(crate) struct TumbleByAuction {
    tumble: Tumble,
    states: States<TumbleByAuctionState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct TumbleByAuctionState {
    bids: Count,
    total: Sum<i64>,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(TumbleByAuction {
        tumble: Tumble::new(10_000_000_000, &[ScalarType::Int64]),
        states: States::new(),
    })
}

impl Stage for TumbleByAuction {
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
            let batch = self.results(&closed);
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
                Input::row(batch.array(1)),
                &[Input::row(batch.array(0))],
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
        self.tumble.memory() + self.states.memory(|_| 0)
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

impl TumbleByAuction {
    /// `GROUP BY auction, tumble(10s)`
    fn merge_states(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(1)),
                &[Input::row(batch.array(0))],
                cx,
            )?;
        self.thaw();
        self.put_states(batch, false);
        Ok(())
    }

    /// Partial states of the groups that were found; `replace`: what the groups had before is forgotten.
    fn put_states(&mut self, batch: &Batch, replace: bool) {
        let bids = batch.i64(2);
        let total = batch.i64(3);
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                if replace {
                    *state = Default::default();
                }
                state.bids.merge(bids.value(row));
                state.total.merge(total.get(row));
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
        changed.states(group_columns(&self.states.changed(changed)))
    }

    /// Results of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        closed.results(group_columns(self.states.closed(closed)))
    }

    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        cx.emit(batch);
        Ok(())
    }
}

/// Aggregates of groups, as columns.
fn group_columns(states: &[TumbleByAuctionState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].bids.finish());
    columns.push(column::from_i64(values, None));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].total.finish());
    columns.push(column::from_i64(values, nulls));
    columns
}
