//! Stage 1 of the pipeline, `project`.

use worker_lib::{column, scalar, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;
use worker_lib::scalar::Errors;

/// Stage 1, fused from:
/// - rows of stage 0
/// - `project coalesce(channel, 'none') AS channel, dt AS event_time, price AS n, channel = 'web' AS web_filter, CASE WHEN channel = 'web' THEN 1 / auction END AS ratio`
pub(crate) struct Project;

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(Project)
}

impl Stage for Project {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        let batch = project(&batch)?;
        cx.emit(batch);
        Ok(())
    }
}

/// `GROUP BY channel`
fn project(batch: &Batch) -> Result<Batch, TaskError> {
    let columns = [
        channel(batch),
        batch.array(3).clone(),
        batch.array(1).clone(),
        web_filter(batch),
        ratio(batch)?,
    ];
    Ok(Batch::new(columns.into(), batch.rows))
}

/// `coalesce(channel, 'none')`
fn channel(batch: &Batch) -> ArrayRef {
    let channel = batch.text(2);
    column::dense_text(batch.rows, |row| channel.get(row).unwrap_or("none"), None)
}

/// `channel = 'web'`
fn web_filter(batch: &Batch) -> ArrayRef {
    let channel = batch.text(2);
    let values = column::dense_bool(batch.rows, |row| channel.value(row) == "web");
    column::from_bool(values, column::all_valid(&[channel.nulls]))
}

/// `CASE WHEN channel = 'web' THEN 1 / auction END`
fn ratio(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let channel = batch.text(2);
    let auction = batch.i64(0);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            if channel.get(row).map(|x| x == "web") == Some(true) {
                Some(scalar::div(1i64, auction.value(row), &errors))
            } else {
                None
            }
        },
    );
    errors.check()?;
    Ok(column::from_i64(values, nulls))
}
