//! Stage 5 of the pipeline, `updating_to_all_bids`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::Count;
use worker_lib::column::ArrayRef;
use worker_lib::state::TableRows;
use worker_lib::updating::{Accumulators, Updating};

/// Stage 5, fused from:
/// - rows of stage 4
/// - `updating [count(*) AS n]`
/// - `sink all_bids (stdout)`
pub(crate) struct UpdatingToAllBids {
    groups: Updating,
    states: Accumulators<UpdatingToAllBidsState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct UpdatingToAllBidsState {
    n: Count,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(UpdatingToAllBids {
        groups: Updating::new(&[]),
        states: Accumulators::new(),
    })
}

impl Stage for UpdatingToAllBids {
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
            let states = group_columns(&self.states.saved(&saved));
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
        self.groups.memory() + self.states.memory(|_| 0)
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)?;
        while let Some(cold) = self.groups.next_cold(portion, cx)? {
            let states = group_columns(&self.states.saved(&cold));
            self.states.keep(self.groups.freeze(cold, states)?);
        }
        Ok(())
    }
}

impl UpdatingToAllBids {
    /// `SELECT count(*)`
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.groups.assign(batch, cx)?;
        self.thaw();
        let states = self.states.begin(&self.groups);
        for (_, group) in self.groups.pairs() {
            let state = &mut states[group];
            state.n.add();
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
                    &group_columns(self.states.before(&changed)),
                    &group_columns(&self.states.after(&changed)),
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
        let n = batch.i64(0);
        let states = self.states.restore(&self.groups);
        for (row, group) in self.groups.pairs() {
            let state = &mut states[group];
            *state = Default::default();
            state.n.merge(n.value(row));
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
        cx.emit(batch);
        Ok(())
    }
}

/// Aggregates of groups, as columns.
fn group_columns(states: &[UpdatingToAllBidsState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].n.finish());
    columns.push(column::from_i64(values, None));
    columns
}
