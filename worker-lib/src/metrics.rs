//! What a task counts while it runs.
//!
//! Each task has one [`TaskCounters`], which only it writes and which the control thread reads at any time: plain
//! atomics, no lock, so that reporting never makes a task wait. A batch costs a handful of uncontended additions.
//! Numbers are not read as one consistent set; each of them only grows (but for the watermark and the lag). Times are those
//! of the system's clock, unlike those by which tasks decide, which are tokio's: a simulation owns that one.
//!
//! Not here: how they travel (`rpc`) and what sources and sinks count themselves (`connector`).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use protocol::rpc::TaskProgress;

use crate::batch::Batch;
use crate::connector::{SinkCounters, SourceCounters};
use crate::event_time;
use crate::memory::Spill;

/// The counters of one task.
#[derive(Debug)]
pub struct TaskCounters {
    pub stage: usize,
    pub stage_name: String,
    pub task: usize,
    source: Option<Arc<SourceCounters>>,
    sink: Option<Arc<SinkCounters>>,
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    batches_in: AtomicU64,
    batches_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    blocked_nanos: AtomicU64,
    /// When the wait that is not over yet began: nanoseconds since `origin` plus one, or 0.
    blocked_since: AtomicU64,
    busy_nanos: AtomicU64,
    late_rows: AtomicU64,
    /// `i64::MIN`: none yet.
    watermark: AtomicI64,
    state_bytes: AtomicU64,
    state_bytes_most: AtomicU64,
    spilled_bytes_most: AtomicU64,
    /// Where state is that memory has no room for.
    spill: OnceLock<Spill>,
    finished: AtomicBool,
    origin: Instant,
}

impl TaskCounters {
    pub(crate) fn new(
        (stage, stage_name): (usize, &str),
        task: usize,
        source: Option<Arc<SourceCounters>>,
        sink: Option<Arc<SinkCounters>>,
    ) -> Self {
        TaskCounters {
            stage,
            stage_name: stage_name.to_owned(),
            task,
            source,
            sink,
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            batches_in: AtomicU64::new(0),
            batches_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            blocked_nanos: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            late_rows: AtomicU64::new(0),
            watermark: AtomicI64::new(i64::MIN),
            state_bytes: AtomicU64::new(0),
            state_bytes_most: AtomicU64::new(0),
            spilled_bytes_most: AtomicU64::new(0),
            spill: OnceLock::new(),
            finished: AtomicBool::new(false),
            origin: Instant::now(),
        }
    }

    /// The counters as they stand, in the form in which they travel.
    pub fn snapshot(&self) -> TaskProgress {
        let blocked_now = match self.blocked_since.load(Relaxed) {
            0 => 0,
            since => (self.origin.elapsed().as_nanos() as u64).saturating_sub(since - 1),
        };
        let watermark = self.watermark.load(Relaxed);
        let spilled_bytes = self.spill.get().map_or(0, Spill::disk_bytes);
        TaskProgress {
            stage: self.stage as u32,
            task: self.task as u32,
            rows_in: self.rows_in.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            batches_in: self.batches_in.load(Relaxed),
            batches_out: self.batches_out.load(Relaxed),
            bytes_in: match &self.source {
                Some(source) => source.bytes.load(Relaxed),
                None => self.bytes_in.load(Relaxed),
            },
            bytes_out: match &self.sink {
                Some(sink) => sink.bytes.load(Relaxed),
                None => self.bytes_out.load(Relaxed),
            },
            blocked_nanos: self.blocked_nanos.load(Relaxed) + blocked_now,
            busy_nanos: self.busy_nanos.load(Relaxed),
            late_rows: self.late_rows.load(Relaxed),
            bad_rows: self.source.as_ref().map_or(0, |source| source.bad_rows.load(Relaxed)),
            watermark: (watermark != i64::MIN).then_some(watermark),
            lag: self.source.as_ref().map_or(0, |source| source.lag.load(Relaxed)),
            finished: self.finished.load(Relaxed),
            state_bytes: self.state_bytes.load(Relaxed),
            state_bytes_most: self.state_bytes_most.load(Relaxed),
            spilled_groups: self.spill.get().map_or(0, Spill::entries),
            spilled_bytes,
            spilled_bytes_most: self.spilled_bytes_most.fetch_max(spilled_bytes, Relaxed).max(spilled_bytes),
        }
    }

    /// Counts a batch; its bytes.
    pub(crate) fn batch_in(&self, batch: &Batch) -> u64 {
        let bytes = batch_bytes(batch);
        self.rows_in.fetch_add(batch.rows as u64, Relaxed);
        self.batches_in.fetch_add(1, Relaxed);
        if self.source.is_none() {
            self.bytes_in.fetch_add(bytes, Relaxed);
        }
        bytes
    }

    /// What the task's state occupies in memory.
    pub(crate) fn holds(&self, bytes: usize) {
        self.state_bytes.store(bytes as u64, Relaxed);
        self.state_bytes_most.fetch_max(bytes as u64, Relaxed);
    }

    /// Some of it has gone to disk.
    pub(crate) fn has_spilled(&self) {
        let bytes = self.spill.get().map_or(0, Spill::disk_bytes);
        self.spilled_bytes_most.fetch_max(bytes, Relaxed);
    }

    pub(crate) fn spills_to(&self, spill: Spill) {
        // Once, when the task begins.
        let _ = self.spill.set(spill);
    }

    pub(crate) fn batch_out(&self, batch: &Batch) {
        self.rows_out.fetch_add(batch.rows as u64, Relaxed);
        self.batches_out.fetch_add(1, Relaxed);
        if self.sink.is_none() {
            self.bytes_out.fetch_add(batch_bytes(batch), Relaxed);
        }
    }

    pub(crate) fn late(&self, rows: u64) {
        self.late_rows.fetch_add(rows, Relaxed);
    }

    /// The gauge shows real event times: the end of the input leaves it at the last one.
    pub(crate) fn reached(&self, watermark: i64) {
        if watermark != event_time::END {
            self.watermark.store(watermark, Relaxed);
        }
    }

    pub(crate) fn finish(&self) {
        self.finished.store(true, Relaxed);
    }

    /// Counts the time until the guard is dropped as blocked.
    pub(crate) fn blocked(&self) -> Blocked<'_> {
        let since = Instant::now();
        self.blocked_since.store((since - self.origin).as_nanos() as u64 + 1, Relaxed);
        Blocked { counters: self, since }
    }
}

pub(crate) struct Blocked<'a> {
    counters: &'a TaskCounters,
    since: Instant,
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.counters.blocked_since.store(0, Relaxed);
        self.counters.blocked_nanos.fetch_add(self.since.elapsed().as_nanos() as u64, Relaxed);
    }
}

/// A task's future, counted as busy while it has a thread. That is all of its work and none of its waiting,
/// wherever in it the waits are.
pub(crate) struct Metered<T> {
    pub(crate) task: Pin<Box<dyn Future<Output = T> + Send>>,
    pub(crate) counters: Arc<TaskCounters>,
}

impl<T> Future for Metered<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let start = Instant::now();
        let result = self.task.as_mut().poll(cx);
        self.counters.busy_nanos.fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
        result
    }
}

/// Bytes of the values in a batch: of slices only what they show. Arrow's own functions either count shared buffers
/// whole or clone the array's description first, which is too much for each batch.
pub(crate) fn batch_bytes(batch: &Batch) -> u64 {
    batch.columns.iter().map(array_bytes).sum()
}

fn array_bytes(array: &ArrayRef) -> u64 {
    let rows = array.len() as u64;
    let validity = if array.nulls().is_some() { rows.div_ceil(8) } else { 0 };
    let values = match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => rows.div_ceil(8),
        DataType::Utf8 => offsets_bytes(array.as_string::<i32>().value_offsets()),
        DataType::Binary => offsets_bytes(array.as_binary::<i32>().value_offsets()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(array_bytes).sum(),
        other => match other.primitive_width() {
            Some(width) => rows * width as u64,
            None => array.to_data().get_slice_memory_size().unwrap_or(0) as u64,
        },
    };
    values + validity
}

/// Bytes that the offsets span, and the offsets themselves.
fn offsets_bytes(offsets: &[i32]) -> u64 {
    let span = match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (last - first) as u64,
        _ => 0,
    };
    span + size_of_val(offsets) as u64
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn bytes_of_a_slice_are_those_it_shows() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["aaaa", "b", "cc", ""]));
        assert_eq!(batch_bytes(&Batch::new(vec![numbers.clone(), text.clone()], 4)), (32 + 1) + (7 + 20));
        assert_eq!(batch_bytes(&Batch::new(vec![numbers.slice(2, 1), text.slice(1, 2)], 1)), (8 + 1) + (3 + 12));
    }

    #[test]
    fn a_wait_is_seen_while_it_lasts() {
        let counters = TaskCounters::new((0, "a"), 0, None, None);
        let blocked = counters.blocked();
        while counters.snapshot().blocked_nanos == 0 {
            std::hint::spin_loop();
        }
        drop(blocked);
        let after = counters.snapshot().blocked_nanos;
        assert!(after > 0);
        assert_eq!(counters.snapshot().blocked_nanos, after);
    }

    #[test]
    fn the_end_does_not_show_as_a_watermark() {
        let counters = TaskCounters::new((0, "a"), 0, None, None);
        assert_eq!(counters.snapshot().watermark, None);
        counters.reached(5);
        counters.reached(event_time::END);
        assert_eq!(counters.snapshot().watermark, Some(5));
    }
}
