//! Stage 5 of the pipeline, `rows_by_window`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::Count;
use worker_lib::column::ArrayRef;
use worker_lib::select::Rows;
use worker_lib::window::{Closed, Input, States, Tumble};

/// Stage 5, fused from:
/// - rows of stage 0
/// - `tumble_partial 1m on dt [count(*) AS n]`
pub(crate) struct RowsByWindow {
    tumble: Tumble,
    states: States<RowsByWindowState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct RowsByWindowState {
    n: Count,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(RowsByWindow {
        tumble: Tumble::new(60_000_000_000, &[]),
        states: States::new(),
    })
}

impl Stage for RowsByWindow {
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
        self.tumble.memory() + self.states.memory(|_| 0)
    }

    fn evict(&mut self, _portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.on_barrier(cx)
    }
}

impl RowsByWindow {
    /// ``
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(3)), &[], cx)?;
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (_, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                state.n.add();
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
fn group_columns(states: &[RowsByWindowState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].n.finish());
    columns.push(column::from_i64(values, None));
    columns
}
