// Cargo.toml
# The build links the crates below from Streamwright's toolchain bundle. To open this crate in an editor, point them at
# a source tree of Streamwright by `path`, and set STREAMWRIGHT_CODE to any text.
[package]
name = "pipeline"
version = "0.1.0"
edition = "2024"
publish = false

[dependencies]
connectors-filesystem = "0.1.0"
kernels = "0.1.0"
worker-lib = "0.1.0"

// src/filter.rs
//! Stage 1 of the pipeline, `filter`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;
use worker_lib::select::Selection;

/// Stage 1, fused from:
/// - rows of stage 0
/// - `filter n > 4`
/// - `project CAST(id AS BIGINT) AS id, kind AS name`
pub(crate) struct Filter;

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(Filter)
}

impl Stage for Filter {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        let selection = filter(&batch);
        if selection.is_empty() {
            return Ok(());
        }
        let batch = project(&batch, &selection);
        cx.emit(batch);
        Ok(())
    }
}

/// `WHERE (n > 4)`
fn filter(batch: &Batch) -> Selection {
    let n = batch.i64(2);
    Selection::filter(batch.rows, n.nulls, |row| n.value(row) > 4)
}

/// `SELECT CAST(id AS BIGINT), kind`
fn project(batch: &Batch, selection: &Selection) -> Batch {
    let batch = &selection.take_columns(batch, &[0, 1]);
    let columns = [id(batch), batch.array(1).clone()];
    Batch::new(columns.into(), batch.rows)
}

/// `CAST(id AS BIGINT)`
fn id(batch: &Batch) -> ArrayRef {
    let id = batch.i32(0);
    let values = column::dense(batch.rows, |row| i64::from(id.value(row)));
    column::from_i64(values, None)
}

// src/filter_2.rs
//! Stage 2 of the pipeline, `filter_2`.

use kernels::{Kernel, Param};
use worker_lib::{Batch, Stage, StageContext, TaskError};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::select::Selection;

/// Stage 2, fused from:
/// - rows of stage 0
/// - `filter n <= 4`
/// - `compute kernel:upper(kind) AS upper`
/// - `project n AS id, upper AS name`
pub(crate) struct Filter2 {
    upper: Kernel,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(Filter2 {
        upper: Kernel::new(
                kernels::function::upper,
                &[Param::column(ScalarType::Utf8, true)],
                &ScalarType::Utf8,
            )
            .expect("the compiler has checked this call"),
    })
}

impl Stage for Filter2 {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        let selection = filter(&batch);
        if selection.is_empty() {
            return Ok(());
        }
        let batch = selection.take_columns(&batch, &[1, 2]);
        let batch = self.compute(batch)?;
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

impl Filter2 {
    /// `kernel:upper(kind)`
    fn upper(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.upper.call(&[batch.array(1).clone()], batch.rows).map_err(TaskError::user)
    }

    /// Appends what kernels compute.
    fn compute(&self, mut batch: Batch) -> Result<Batch, TaskError> {
        let columns = [self.upper(&batch)?];
        batch.columns.extend(columns);
        Ok(batch)
    }
}

/// `WHERE (n <= 4)`
fn filter(batch: &Batch) -> Selection {
    let n = batch.i64(2);
    Selection::filter(batch.rows, n.nulls, |row| n.value(row) <= 4)
}

/// `SELECT n, upper(kind)`
fn project(batch: &Batch) -> Batch {
    let columns = [batch.array(2).clone(), batch.array(3).clone()];
    Batch::new(columns.into(), batch.rows)
}

// src/main.rs
//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 events
//!   │ source events (single_file)
//!
//! 1 filter
//!   ◀── 0
//!   │ filter n > 4
//!   │ project CAST(id AS BIGINT) AS id, kind AS name
//!
//! 2 filter_2
//!   ◀── 0
//!   │ filter n <= 4
//!   │ compute kernel:upper(kind) AS upper
//!   │ project n AS id, upper AS name
//!
//! 3 rows
//!   ◀── 1
//!   ◀── 2
//!
//! 4 to_result
//!   ◀── 3
//!   │ sink result (single_file)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod filter;
mod filter_2;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 1,
            name: "filter",
            new: filter::new,
        },
        StageDef {
            id: 2,
            name: "filter_2",
            new: filter_2::new,
        },
    ],
    connectors: &[
        &connectors_filesystem::SINGLE_FILE_SOURCE,
        &connectors_filesystem::SINGLE_FILE_SINK,
    ],
};

pub(crate) fn main() -> ExitCode {
    worker_lib::main(&PIPELINE)
}
