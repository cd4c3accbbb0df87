//! Stage 0 of the pipeline, `bids`.

use kernels::{Kernel, Param};
use worker_lib::{column, scalar, window, Batch, Stage, StageContext, TaskError};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::scalar::Errors;
use worker_lib::select::Selection;

/// Stage 0, fused from:
/// - `source bids (nexmark)`
/// - `watermark dt - INTERVAL '5 seconds'`
/// - `filter price > 100`
/// - `compute kernel:upper(channel) AS upper, kernel:regexp_replace(substr(channel, 2), 'a+', 'b') AS replaced, kernel:to_hex(100 / bidder) AS hex WHERE bidder <> 0`
/// - `compute kernel:reverse(upper) AS reversed`
/// - `project auction, replaced, hex, reversed`
pub(crate) struct Bids {
    upper: Kernel,
    replaced: Kernel,
    hex: Kernel,
    reversed: Kernel,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(Bids {
        upper: Kernel::new(
                kernels::function::upper,
                &[Param::column(ScalarType::Utf8, true)],
                &ScalarType::Utf8,
            )
            .expect("the compiler has checked this call"),
        replaced: Kernel::new(
                kernels::function::regexp_replace,
                &[
                    Param::column(ScalarType::Utf8, true),
                    Param::utf8("a+"),
                    Param::utf8("b"),
                ],
                &ScalarType::Utf8,
            )
            .expect("the compiler has checked this call"),
        hex: Kernel::new(
                kernels::function::to_hex,
                &[Param::column(ScalarType::Int64, false)],
                &ScalarType::Utf8,
            )
            .expect("the compiler has checked this call"),
        reversed: Kernel::new(
                kernels::function::reverse,
                &[Param::column(ScalarType::Utf8, true)],
                &ScalarType::Utf8,
            )
            .expect("the compiler has checked this call"),
    })
}

impl Stage for Bids {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        watermark(&batch, cx);
        let selection = filter(&batch);
        if selection.is_empty() {
            return Ok(());
        }
        let batch = selection.take_columns(&batch, &[0, 1, 3]);
        let batch = self.compute(batch)?;
        let batch = self.compute2(batch)?;
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

impl Bids {
    /// `kernel:upper(channel)`
    fn upper(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.upper.call(&[batch.array(3).clone()], batch.rows).map_err(TaskError::user)
    }

    /// `kernel:regexp_replace(substr(channel, 2), 'a+', 'b')`
    fn replaced(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.replaced
            .call(&[replaced_argument(batch)], batch.rows)
            .map_err(TaskError::user)
    }

    /// `kernel:to_hex(100 / bidder)` where `bidder <> 0`
    fn hex(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        let selection = &hex_guard(batch);
        let result = self
            .hex
            .call(&[hex_argument(batch, selection)?], selection.len())
            .map_err(TaskError::user)?;
        Ok(selection.scatter(&result, batch.rows))
    }

    /// Appends what kernels compute.
    fn compute(&self, mut batch: Batch) -> Result<Batch, TaskError> {
        let columns = [self.upper(&batch)?, self.replaced(&batch)?, self.hex(&batch)?];
        batch.columns.extend(columns);
        Ok(batch)
    }

    /// `kernel:reverse(upper)`
    fn reversed(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.reversed
            .call(&[batch.array(5).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// Appends what kernels compute.
    fn compute2(&self, mut batch: Batch) -> Result<Batch, TaskError> {
        let columns = [self.reversed(&batch)?];
        batch.columns.extend(columns);
        Ok(batch)
    }
}

/// `WATERMARK FOR dt AS dt - INTERVAL '5 seconds'`
fn watermark(batch: &Batch, cx: &mut StageContext) {
    window::observe(batch.array(4), -5_000_000_000, cx);
}

/// `WHERE price > 100`
fn filter(batch: &Batch) -> Selection {
    let price = batch.i64(2);
    Selection::filter(batch.rows, None, |row| price.value(row) > 100)
}

/// `substr(channel, 2)`
fn replaced_argument(batch: &Batch) -> ArrayRef {
    let channel = batch.text(3);
    column::dense_text(
        batch.rows,
        |row| scalar::substr(channel.value(row), 2i64),
        column::all_valid(&[channel.nulls]),
    )
}

/// `100 / bidder`
fn hex_argument(batch: &Batch, selection: &Selection) -> Result<ArrayRef, TaskError> {
    let bidder = batch.i64(1);
    let errors = Errors::new();
    let values = selection.map(|row| scalar::div(100i64, bidder.value(row), &errors));
    errors.check()?;
    Ok(column::from_i64(values, None))
}

/// `bidder <> 0`
fn hex_guard(batch: &Batch) -> Selection {
    let bidder = batch.i64(1);
    Selection::filter(batch.rows, None, |row| bidder.value(row) != 0)
}

/// `SELECT auction, ...`
fn project(batch: &Batch) -> Batch {
    let columns = [
        batch.array(0).clone(),
        batch.array(6).clone(),
        batch.array(7).clone(),
        batch.array(8).clone(),
    ];
    Batch::new(columns.into(), batch.rows)
}
