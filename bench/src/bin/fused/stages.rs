//! Fused stages, written as the compiler emits them.

use worker_lib::agg::{Count, Total};
use worker_lib::column::{self, ScalarType};
use worker_lib::select::{Rows, Selection};
use worker_lib::stage::StageContext;
use worker_lib::window::{Input, States, Tumble};
use worker_lib::{Batch, TaskError};

use crate::data::WINDOW;

/// What a stage does with a batch and a watermark.
pub(crate) trait Step {
    fn on_batch(&mut self, batch: &Batch, cx: &mut StageContext) -> Result<(), TaskError>;
    fn on_watermark(&mut self, watermark: i64, cx: &mut StageContext) -> Result<(), TaskError>;
}

/// `SELECT auction, bidder, price * 2, price * 0.908, price + bidder, auction % 100 = 7 WHERE price > 4000`
pub(crate) struct Project;

impl Step for Project {
    fn on_batch(&mut self, batch: &Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let price = batch.i64(1);
        let selection = Selection::filter(batch.rows, price.nulls, |row| price.value(row) > 4_000);
        let batch = &selection.take_columns(batch, &[0, 1, 4]);
        let (auction, price, bidder) = (batch.i64(0), batch.i64(1), batch.i64(4));
        let columns = vec![
            batch.array(0).clone(),
            batch.array(4).clone(),
            column::from_i64(
                column::dense(batch.rows, |row| price.value(row).wrapping_mul(2)),
                column::all_valid(&[price.nulls]),
            ),
            column::from_f64(
                column::dense(batch.rows, |row| price.value(row) as f64 * 0.908),
                column::all_valid(&[price.nulls]),
            ),
            column::from_i64(
                column::dense(batch.rows, |row| price.value(row).wrapping_add(bidder.value(row))),
                column::all_valid(&[price.nulls, bidder.nulls]),
            ),
            column::from_bool(
                column::dense_bool(batch.rows, |row| auction.value(row).wrapping_rem(100) == 7),
                column::all_valid(&[auction.nulls]),
            ),
        ];
        cx.emit(Batch::new(columns, batch.rows));
        Ok(())
    }

    fn on_watermark(&mut self, _watermark: i64, _cx: &mut StageContext) -> Result<(), TaskError> {
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct TotalsState {
    count: Count,
    sum: Total<i64>,
}

/// `SELECT key, count(*), sum(price) GROUP BY tumble(interval '10 seconds'), key`
pub(crate) struct Totals {
    key: usize,
    tumble: Tumble,
    states: States<TotalsState>,
}

impl Totals {
    pub(crate) fn by_auction() -> Self {
        Totals { key: 0, tumble: Tumble::new(WINDOW, &[ScalarType::Int64]), states: States::new() }
    }

    pub(crate) fn by_channel() -> Self {
        Totals { key: 2, tumble: Tumble::new(WINDOW, &[ScalarType::Utf8]), states: States::new() }
    }
}

impl Step for Totals {
    fn on_batch(&mut self, batch: &Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let price = batch.i64(1);
        let rows = Rows::All(batch.rows);
        self.tumble.assign(rows, Input::row(batch.array(3)), &[Input::row(batch.array(self.key))], cx)?;
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                state.count.add();
                state.sum.add(price.value(row));
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: i64, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(closed) = self.tumble.next_closed(watermark, cx)? {
            let states = self.states.closed(&closed);
            let rows = states.len();
            let mut columns = closed.keys.clone();
            columns.push(closed.window());
            columns.push(column::from_i64(column::dense(rows, |row| states[row].count.finish()), None));
            columns.push(column::from_i64(column::dense(rows, |row| states[row].sum.finish()), None));
            cx.emit(Batch::new(columns, rows));
            self.states.release(&closed);
        }
        Ok(())
    }
}
