//! Stage 1 of the pipeline, `project`.

use worker_lib::{column, scalar, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;

/// Stage 1, fused from:
/// - rows of stage 0
/// - `project auction, character_length(channel) AS length, price AS total, channel AS last, d AS mean_owed, channel = 'web' AS web_filter`
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
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// `GROUP BY auction, length(channel)`
fn project(batch: &Batch) -> Batch {
    let columns = [
        batch.array(0).clone(),
        length(batch),
        batch.array(1).clone(),
        batch.array(2).clone(),
        batch.array(3).clone(),
        web_filter(batch),
    ];
    Batch::new(columns.into(), batch.rows)
}

/// `character_length(channel)`
fn length(batch: &Batch) -> ArrayRef {
    let channel = batch.text(2);
    let values = column::dense(
        batch.rows,
        |row| scalar::char_length(channel.value(row)),
    );
    column::from_i32(values, column::all_valid(&[channel.nulls]))
}

/// `channel = 'web'`
fn web_filter(batch: &Batch) -> ArrayRef {
    let channel = batch.text(2);
    let values = column::dense_bool(batch.rows, |row| channel.value(row) == "web");
    column::from_bool(values, column::all_valid(&[channel.nulls]))
}
