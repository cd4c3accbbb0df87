//! Stage 3 of the pipeline, `join_by_auction`.

use worker_lib::{Batch, Stage, StageContext, TaskError};
use worker_lib::column::ScalarType;
use worker_lib::select::Selection;
use worker_lib::state::TableRows;
use worker_lib::window_join::{JoinKind, WindowJoin};

/// Stage 3, fused from:
/// - rows of stage 1, on the left
/// - rows of stage 2, on the right
/// - `window_join left 10s on auction = rival AND window = rival_window AND bids < rival_bids`
/// - `project auction, window.start AS start, total, rival_bids AS more`
pub(crate) struct JoinByAuction {
    join: WindowJoin,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(JoinByAuction {
        join: WindowJoin::new(
                JoinKind::Left,
                10_000_000_000,
                1,
                &[
                    ScalarType::Int64,
                    ScalarType::window(),
                    ScalarType::Int64,
                    ScalarType::Int64,
                ],
                &[ScalarType::Int64, ScalarType::window(), ScalarType::Int64],
                &[0, 1, 3, 6],
            )
            .with_condition(&[2, 6], |pairs| Ok(condition(pairs))),
    })
}

impl Stage for JoinByAuction {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.join.add(&batch, cx)
    }

    fn on_watermark(
        &mut self,
        watermark: i64,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        while let Some(batch) = self.join.next_closed(watermark, cx)? {
            self.pass_on(batch, cx)?;
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        self.join.changed()
    }

    fn restore(
        &mut self,
        table: usize,
        batch: &Batch,
        watermark: Option<i64>,
    ) -> Result<(), TaskError> {
        self.join.restore(table, batch, watermark)
    }

    fn restored(&mut self, watermark: i64) {
        self.join.restored(watermark);
    }

    fn memory(&self) -> usize {
        self.join.memory()
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.join.evict(portion, cx)
    }
}

impl JoinByAuction {
    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// `bids < rival_bids`
fn condition(batch: &Batch) -> Selection {
    let bids = batch.i64(2);
    let rival_bids = batch.i64(6);
    Selection::filter(batch.rows, None, |row| bids.value(row) < rival_bids.value(row))
}

/// `SELECT auction, window.start, total, rival_bids`
fn project(batch: &Batch) -> Batch {
    let columns = [
        batch.array(0).clone(),
        batch.path(&[1, 0]),
        batch.array(2).clone(),
        batch.array(3).clone(),
    ];
    Batch::new(columns.into(), batch.rows)
}
