//! Stage 6 of the pipeline, `project_3`.

use worker_lib::{Batch, Stage, StageContext, TaskError};

/// Stage 6, fused from:
/// - rows of stage 0
/// - `project channel`
pub(crate) struct Project3;

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(Project3)
}

impl Stage for Project3 {
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

/// `GROUP BY channel`
fn project(batch: &Batch) -> Batch {
    let columns = [batch.array(2).clone()];
    Batch::new(columns.into(), batch.rows)
}
