//! Stage 6 of the pipeline, `tumble_by_window`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::Count;
use worker_lib::select::Rows;
use worker_lib::window::{Closed, Input, States, Tumble};

/// Stage 6, fused from:
/// - rows of stage 5
/// - `tumble_final 1m [count AS n]`
/// - `project window.start AS start, n`
pub(crate) struct TumbleByWindow {
    tumble: Tumble,
    states: States<TumbleByWindowState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct TumbleByWindowState {
    n: Count,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(TumbleByWindow {
        tumble: Tumble::new(60_000_000_000, &[]),
        states: States::new(),
    })
}

impl Stage for TumbleByWindow {
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
        while let Some(closed) = self.tumble.next_closed(watermark) {
            let batch = self.results(&closed);
            self.states.release(&closed);
            self.pass_on(batch, cx)?;
        }
        Ok(())
    }
}

impl TumbleByWindow {
    /// ``
    fn merge_states(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(0)), &[], cx)?;
        let n = batch.i64(1);
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                state.n.merge(n.value(row));
            }
        }
        Ok(())
    }

    /// Results of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        let rows = closed.groups.len();
        let states = self.states.closed(closed);
        let mut columns = closed.keys.clone();
        columns.push(closed.window());
        let values = column::dense(rows, |row| states[row].n.finish());
        columns.push(column::from_i64(values, None));
        Batch::new(columns, rows)
    }

    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// `SELECT window.start, n`
fn project(batch: &Batch) -> Batch {
    let columns = [batch.path(&[0, 0]), batch.array(1).clone()];
    Batch::new(columns.into(), batch.rows)
}
