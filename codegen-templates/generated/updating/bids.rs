//! Stage 0 of the pipeline, `bids`.

use worker_lib::{column, window, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;

/// Stage 0, fused from:
/// - `source bids (nexmark)`
/// - `watermark dt - INTERVAL '5 seconds'`
/// - `project auction, price, channel, 1.50 AS d`
pub(crate) struct Bids;

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(Bids)
}

impl Stage for Bids {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        watermark(&batch, cx);
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// `WATERMARK FOR dt AS dt - INTERVAL '5 seconds'`
fn watermark(batch: &Batch, cx: &mut StageContext) {
    window::observe(batch.array(4), -5_000_000_000, cx);
}

/// `SELECT ...`
fn project(batch: &Batch) -> Batch {
    let columns = [
        batch.array(0).clone(),
        batch.array(2).clone(),
        batch.array(3).clone(),
        d(batch),
    ];
    Batch::new(columns.into(), batch.rows)
}

/// `1.50`
fn d(batch: &Batch) -> ArrayRef {
    column::repeat(&column::from_decimal(vec![150i128], None, 10, 2), batch.rows)
}
