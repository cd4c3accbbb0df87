//! Stage 7 of the pipeline, `updating_by_channel_to_channels`.

use worker_lib::{Batch, Stage, StageContext, TaskError};
use worker_lib::column::ScalarType;
use worker_lib::state::TableRows;
use worker_lib::updating::Updating;

/// Stage 7, fused from:
/// - rows of stage 6
/// - `updating by channel []`
/// - `sink channels (stdout)`
pub(crate) struct UpdatingByChannelToChannels {
    groups: Updating,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(UpdatingByChannelToChannels {
        groups: Updating::new(&[ScalarType::Utf8]),
    })
}

impl Stage for UpdatingByChannelToChannels {
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
        match watermark {
            i64::MAX => self.flush(cx),
            _ => Ok(()),
        }
    }

    fn on_timer(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)
    }

    fn on_barrier(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let mut table = TableRows::default();
        while let Some(saved) = self.groups.next_unsaved(&mut table)? {
            let states = Vec::new();
            table.keep(saved.batch(states));
        }
        Ok(vec![table])
    }

    fn restore(
        &mut self,
        _table: usize,
        batch: &Batch,
        _watermark: Option<i64>,
    ) -> Result<(), TaskError> {
        self.groups.restore(batch)?;
        Ok(())
    }

    fn memory(&self) -> usize {
        self.groups.memory()
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)?;
        while let Some(cold) = self.groups.next_cold(portion, cx)? {
            let states = Vec::new();
            self.groups.freeze(cold, states)?;
        }
        Ok(())
    }
}

impl UpdatingByChannelToChannels {
    /// `GROUP BY channel`
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.groups.assign(batch, cx)?;
        self.thaw();
        Ok(())
    }

    /// Emits what has become of the groups that have changed.
    fn flush(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(changed) = self.groups.next_changed(cx) {
            let batch = self.groups.changes(&changed, &[], &[]);
            if batch.rows > 0 {
                self.pass_on(batch, cx)?;
            }
        }
        if !cx.more {
            self.groups.flushed(cx)?;
        }
        Ok(())
    }

    /// Takes the states of groups that come back from disk.
    fn thaw(&mut self) {
        while self.groups.next_thawed().is_some() {}
    }

    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        cx.emit(batch);
        Ok(())
    }
}
