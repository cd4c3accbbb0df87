//! The interface between generated code and the runtime.

use crate::batch::Batch;
use crate::connector::ConnectorDef;
use crate::error::TaskError;
use crate::memory::Spill;
use crate::state::TableRows;

/// What a generated crate is: a table of constructors.
pub struct Pipeline {
    /// Digest of the generated sources; the plan that the controller sends must name the same.
    pub code: &'static str,
    pub stages: &'static [StageDef],
    /// The connectors that are linked.
    pub connectors: &'static [&'static ConnectorDef],
}

/// One generated stage.
pub struct StageDef {
    /// Its index in the graph.
    pub id: usize,
    pub name: &'static str,
    /// Called once for each task.
    pub new: fn() -> Box<dyn Stage>,
}

/// The operators of a stage, fused. One instance is one task's; calls never overlap.
pub trait Stage: Send {
    /// Takes rows, emits rows.
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError>;

    /// No row with an event time before `watermark` (nanoseconds since the epoch) is to come; `i64::MAX` at the end
    /// of the input. The runtime forwards the watermark after what is emitted here.
    ///
    /// This, `on_timer`, `on_barrier` and `evict` are called again, with what they were called with, when they have left
    /// off because much had been emitted ([`StageContext::is_full`]); nothing else happens to the stage before.
    fn on_watermark(&mut self, _watermark: i64, _cx: &mut StageContext) -> Result<(), TaskError> {
        Ok(())
    }

    /// The time that it has asked for has come ([`StageContext::wake_at`]), or has been for a while: a stage that is busy is
    /// called between two batches.
    fn on_timer(&mut self, _cx: &mut StageContext) -> Result<(), TaskError> {
        Ok(())
    }

    /// A checkpoint is about to be taken: what is held back only to save messages goes on as rows. Everything else is
    /// in the tables that [`Stage::snapshot`] gives.
    fn on_barrier(&mut self, _cx: &mut StageContext) -> Result<(), TaskError> {
        Ok(())
    }

    /// By table of the plan: the rows that have changed since the last snapshot, or since the start. Rows in a
    /// snapshot may be there although they have not changed.
    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        Ok(Vec::new())
    }

    /// Rows of a table, as a task of an earlier attempt at the job has written them; what that task's watermark had
    /// removed since is to be left out. Called before the first row.
    fn restore(&mut self, _table: usize, _rows: &Batch, _watermark: Option<i64>) -> Result<(), TaskError> {
        Ok(())
    }

    /// All rows have been restored, if there were any, and event time had come that far: rows before it are late. `i64::MIN`:
    /// it had not begun.
    fn restored(&mut self, _watermark: i64) {}

    /// Bytes of memory that the state occupies.
    fn memory(&self) -> usize {
        0
    }

    /// Memory is short: about that part of the state leaves it, the coldest first, for the disk
    /// ([`StageContext::spill`]), or as rows if it is only held back. Also called between two calls of `restore`.
    fn evict(&mut self, _portion: f64, _cx: &mut StageContext) -> Result<(), TaskError> {
        Ok(())
    }
}

/// So many batches are sent before a stage emits more.
const EMITTED_MOST: usize = 8;

/// What a stage hears from the runtime and can say to it during a callback. The runtime empties it after each.
#[derive(Debug, Default)]
pub struct StageContext {
    /// Which input of the stage the rows of this call come from: 0, or 1 for the right side of a join.
    pub port: usize,
    /// Rows that leave the stage, in order.
    pub emitted: Vec<Batch>,
    /// Rows dropped because their window had been closed, or because they have no event time.
    pub late_rows: u64,
    /// The largest watermark that a `Watermark` operator has derived from the rows of this call, if any.
    /// Only stages with a source have one; the runtime min-combines it over the source's partitions.
    pub observed_watermark: Option<i64>,
    /// Checkpoints are taken: operators remember what has changed since the last one.
    pub tracks_changes: bool,
    /// The worker's clock at this call, in nanoseconds since the epoch. It does not go back while the task runs.
    pub now: i64,
    /// How long, in nanoseconds, an operator whose results are updated gathers changes before it emits them.
    pub flush_interval: i64,
    /// How long, in nanoseconds, an operator keeps a group that gets no rows.
    pub ttl: i64,
    /// When [`Stage::on_timer`] is to be called at the latest.
    pub wake: Option<i64>,
    /// The callback has left off, and is to be called again when what it has emitted is sent.
    pub more: bool,
    /// Memory is nearly short: operators note which groups are touched.
    pub notes_touches: bool,
    /// Where state goes when memory is short. Without it, all of it stays.
    pub spill: Option<Spill>,
}

impl StageContext {
    /// Rows that leave the stage. An empty batch is not sent.
    pub fn emit(&mut self, batch: Batch) {
        if batch.rows > 0 {
            self.emitted.push(batch);
        }
    }

    /// Whether so much has been emitted that it should be sent first; the callback is called again then.
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.more = self.emitted.len() >= EMITTED_MOST;
        self.more
    }

    /// Asks for [`Stage::on_timer`] when the clock comes to `time` (see [`StageContext::now`]); the earliest of several times
    /// counts, and the call uses it up.
    pub fn wake_at(&mut self, time: i64) {
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }
}
