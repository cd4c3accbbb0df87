//! Stage 2 of the pipeline, `project`.

use worker_lib::{Batch, Stage, StageContext, TaskError};

/// Stage 2, fused from:
/// - rows of stage 1
/// - `project auction AS rival, window AS rival_window, bids AS rival_bids`
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

/// `SELECT auction, window, bids`
fn project(batch: &Batch) -> Batch {
    let columns = [
        batch.array(0).clone(),
        batch.array(1).clone(),
        batch.array(2).clone(),
    ];
    Batch::new(columns.into(), batch.rows)
}
