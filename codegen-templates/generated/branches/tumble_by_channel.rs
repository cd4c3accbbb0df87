//! Stage 2 of the pipeline, `tumble_by_channel`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Distinct, Sum};
use worker_lib::column::ScalarType;
use worker_lib::select::Rows;
use worker_lib::window::{Closed, Input, States, Tumble};

/// Stage 2, fused from:
/// - rows of stage 1
/// - `tumble 1m on event_time by channel [count(DISTINCT n) AS n, count(DISTINCT n) FILTER (WHERE web_filter) AS web, sum(ratio) AS ratio]`
/// - `project window.start AS start, n`
pub(crate) struct TumbleByChannel {
    n: Distinct,
    web: Distinct,
    tumble: Tumble,
    states: States<TumbleByChannelState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct TumbleByChannelState {
    ratio: Sum<i64>,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(TumbleByChannel {
        n: Distinct::new(&ScalarType::Int32),
        web: Distinct::new(&ScalarType::Int32),
        tumble: Tumble::new(60_000_000_000, &[ScalarType::Utf8]),
        states: States::new(),
    })
}

impl Stage for TumbleByChannel {
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
        while let Some(closed) = self.tumble.next_closed(watermark) {
            let batch = self.results(&closed);
            self.states.release(&closed);
            self.n.release(&closed);
            self.web.release(&closed);
            self.pass_on(batch, cx)?;
        }
        Ok(())
    }
}

impl TumbleByChannel {
    /// `GROUP BY channel`
    fn add_rows(
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
        let web_filter = batch.bool(3);
        let ratio = batch.i64(4);
        let n = batch.array(2).clone();
        let web = batch.array(2).clone();
        let keep2 = column::dense_bool(
            batch.rows,
            |row| web_filter.get(row) == Some(true),
        );
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                if let Some(value) = ratio.get(row) {
                    state.ratio.add(value);
                }
            }
            self.n
                .assign(
                    part.bin,
                    self.tumble.rows_of(part),
                    self.tumble.groups_of(part),
                    &n,
                    None,
                );
            self.web
                .assign(
                    part.bin,
                    self.tumble.rows_of(part),
                    self.tumble.groups_of(part),
                    &web,
                    Some(&keep2),
                );
        }
        Ok(())
    }

    /// Results of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        let rows = closed.groups.len();
        let states = self.states.closed(closed);
        let mut columns = closed.keys.clone();
        columns.push(closed.window());
        columns.push(column::from_i64(self.n.finish(closed), None));
        columns.push(column::from_i64(self.web.finish(closed), None));
        let (values, nulls) = column::dense_opt(rows, |row| states[row].ratio.finish());
        columns.push(column::from_i64(values, nulls));
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
    let columns = [batch.path(&[1, 0]), batch.array(2).clone()];
    Batch::new(columns.into(), batch.rows)
}
