//! Stage 0 of the pipeline, `bids`.

use worker_lib::{column, scalar, window, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;
use worker_lib::scalar::Errors;

/// Stage 0, fused from:
/// - `source bids (nexmark)`
/// - `watermark dt - INTERVAL '5 seconds'`
/// - `project auction, CAST(price AS INT) AS price, channel, dt, CAST(price AS DOUBLE) AS f, 1.50 AS d`
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
        let batch = project(&batch)?;
        cx.emit(batch);
        Ok(())
    }
}

/// `WATERMARK FOR dt AS dt - INTERVAL '5 seconds'`
fn watermark(batch: &Batch, cx: &mut StageContext) {
    window::observe(batch.array(4), -5_000_000_000, cx);
}

/// `SELECT ...`
fn project(batch: &Batch) -> Result<Batch, TaskError> {
    let columns = [
        batch.array(0).clone(),
        price(batch)?,
        batch.array(3).clone(),
        batch.array(4).clone(),
        f(batch),
        d(batch),
    ];
    Ok(Batch::new(columns.into(), batch.rows))
}

/// `CAST(price AS INT)`
fn price(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let price = batch.i64(2);
    let errors = Errors::new();
    let values = column::dense(
        batch.rows,
        |row| scalar::cast::<i64, i32>(price.value(row), &errors),
    );
    errors.check()?;
    Ok(column::from_i32(values, None))
}

/// `CAST(price AS DOUBLE)`
fn f(batch: &Batch) -> ArrayRef {
    let price = batch.i64(2);
    let values = column::dense(batch.rows, |row| price.value(row) as f64);
    column::from_f64(values, None)
}

/// `1.50`
fn d(batch: &Batch) -> ArrayRef {
    column::repeat(&column::from_decimal(vec![150i128], None, 10, 2), batch.rows)
}
