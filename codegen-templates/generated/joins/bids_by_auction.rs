//! Stage 0 of the pipeline, `bids_by_auction`.

use worker_lib::{column, window, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Count, Total};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::select::Rows;
use worker_lib::window::{Closed, Input, States, Tumble};

/// Stage 0, fused from:
/// - `source bids (nexmark)`
/// - `watermark dt - INTERVAL '5 seconds'`
/// - `tumble_partial 10s on dt by auction [count(*) AS bids, sum(price) AS total]`
pub(crate) struct BidsByAuction {
    tumble: Tumble,
    states: States<BidsByAuctionState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct BidsByAuctionState {
    bids: Count,
    total: Total<i64>,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(BidsByAuction {
        tumble: Tumble::new(10_000_000_000, &[ScalarType::Int64]),
        states: States::new(),
    })
}

impl Stage for BidsByAuction {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        watermark(&batch, cx);
        self.add_rows(&batch, cx)
    }

    fn on_watermark(
        &mut self,
        watermark: i64,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        while let Some(closed) = self.tumble.next_closed(watermark, cx)? {
            let batch = self.results(&closed);
            self.states.release(&closed);
            cx.emit(batch);
        }
        Ok(())
    }

    fn on_barrier(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(open) = self.tumble.next_open(cx) {
            let batch = self.results(&open);
            self.states.release(&open);
            cx.emit(batch);
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.tumble.memory() + self.states.memory(|_| 0)
    }

    fn evict(&mut self, _portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.on_barrier(cx)
    }
}

impl BidsByAuction {
    /// `GROUP BY auction, tumble(10s)`
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(4)),
                &[Input::row(batch.array(0))],
                cx,
            )?;
        let price = batch.i64(2);
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                state.bids.add();
                state.total.add(price.value(row));
            }
        }
        Ok(())
    }

    /// Partial states of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        closed.states(group_columns(self.states.closed(closed)))
    }
}

/// `WATERMARK FOR dt AS dt - INTERVAL '5 seconds'`
fn watermark(batch: &Batch, cx: &mut StageContext) {
    window::observe(batch.array(4), -5_000_000_000, cx);
}

/// Aggregates of groups, as columns.
fn group_columns(states: &[BidsByAuctionState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].bids.finish());
    columns.push(column::from_i64(values, None));
    let values = column::dense(rows, |row| states[row].total.finish());
    columns.push(column::from_i64(values, None));
    columns
}
