//! Stage 0 of the pipeline, `bids`.

use worker_lib::{column, window, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;
use worker_lib::select::Selection;

/// Stage 0, fused from:
/// - `source bids (nexmark)`
/// - `watermark dt - INTERVAL '5 seconds'`
/// - `filter price > 100 AND channel IN ('web', 'app') AND auction % 2 = 0`
/// - `project auction, CAST(price AS DOUBLE) * 0.908 AS euros, coalesce(channel, 'none') AS channel`
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
        let selection = filter(&batch);
        if selection.is_empty() {
            return Ok(());
        }
        let batch = project(&batch, &selection);
        cx.emit(batch);
        Ok(())
    }
}

/// `WATERMARK FOR dt AS dt - INTERVAL '5 seconds'`
fn watermark(batch: &Batch, cx: &mut StageContext) {
    window::observe(batch.array(4), -5_000_000_000, cx);
}

/// `WHERE price > 100 AND channel IN ('web', 'app') AND auction % 2 = 0`
fn filter(batch: &Batch) -> Selection {
    let price = batch.i64(2);
    let auction = batch.i64(0);
    let channel = batch.text(3);
    let mut selection = Selection::filter(
        batch.rows,
        None,
        |row| (price.value(row) > 100) & (auction.value(row) % 2 == 0),
    );
    selection.retain(channel.nulls, |row| matches!(channel.value(row), "web" | "app"));
    selection
}

/// `SELECT auction, price * 0.908 AS euros, coalesce(channel, 'none')`
fn project(batch: &Batch, selection: &Selection) -> Batch {
    let columns = [
        selection.take(batch.array(0)),
        euros(batch, selection),
        channel(batch, selection),
    ];
    Batch::new(columns.into(), selection.len())
}

/// `CAST(price AS DOUBLE) * 0.908`
fn euros(batch: &Batch, selection: &Selection) -> ArrayRef {
    let price = batch.i64(2);
    let values = selection.map(|row| price.value(row) as f64 * 0.908);
    column::from_f64(values, None)
}

/// `coalesce(channel, 'none')`
fn channel(batch: &Batch, selection: &Selection) -> ArrayRef {
    let channel = batch.text(3);
    selection.map_text(|row| channel.get(row).unwrap_or("none"), None)
}
