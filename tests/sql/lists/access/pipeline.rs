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
connectors-stdout = "0.1.0"
kernels = "0.1.0"
worker-lib = "0.1.0"

// src/main.rs
//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 v
//!   │ source v (single_file)
//!   │ compute kernel:array_element(xs, 1) AS array_element, kernel:array_element(xs, -1) AS array_element_1, kernel:array_element(xs, n) AS array_element_2, kernel:array_element(ts, 2) AS array_element_3, kernel:array_length(xs) AS array_length, kernel:cardinality(ts) AS cardinality, kernel:array_position(ts, 'b') AS array_position
//!   │ project id, array_element AS first, array_element_1 AS last, array_element_2 AS nth, array_element_3 AS second, array_length AS n, cardinality AS members, array_position AS place, xs IS NULL AS absent
//!
//! 1 to_stdout
//!   ◀── 0
//!   │ sink stdout (stdout)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod v;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 0,
            name: "v",
            new: v::new,
        },
    ],
    connectors: &[
        &connectors_filesystem::SINGLE_FILE_SOURCE,
        &connectors_stdout::STDOUT_SINK,
    ],
};

pub(crate) fn main() -> ExitCode {
    worker_lib::main(&PIPELINE)
}

// src/v.rs
//! Stage 0 of the pipeline, `v`.

use kernels::{Kernel, Param};
use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::column::{ArrayRef, ScalarType};

/// Stage 0, fused from:
/// - `source v (single_file)`
/// - `compute kernel:array_element(xs, 1) AS array_element, kernel:array_element(xs, -1) AS array_element_1, kernel:array_element(xs, n) AS array_element_2, kernel:array_element(ts, 2) AS array_element_3, kernel:array_length(xs) AS array_length, kernel:cardinality(ts) AS cardinality, kernel:array_position(ts, 'b') AS array_position`
/// - `project id, array_element AS first, array_element_1 AS last, array_element_2 AS nth, array_element_3 AS second, array_length AS n, cardinality AS members, array_position AS place, xs IS NULL AS absent`
pub(crate) struct V {
    array_element: Kernel,
    array_element_1: Kernel,
    array_element_2: Kernel,
    array_element_3: Kernel,
    array_length: Kernel,
    cardinality: Kernel,
    array_position: Kernel,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(V {
        array_element: Kernel::new(
                kernels::function::array_element,
                &[
                    Param::column(ScalarType::List(Box::new(ScalarType::Int64)), true),
                    Param::int(ScalarType::Int64, 1),
                ],
                &ScalarType::Int64,
            )
            .expect("the compiler has checked this call"),
        array_element_1: Kernel::new(
                kernels::function::array_element,
                &[
                    Param::column(ScalarType::List(Box::new(ScalarType::Int64)), true),
                    Param::int(ScalarType::Int64, -1),
                ],
                &ScalarType::Int64,
            )
            .expect("the compiler has checked this call"),
        array_element_2: Kernel::new(
                kernels::function::array_element,
                &[
                    Param::column(ScalarType::List(Box::new(ScalarType::Int64)), true),
                    Param::column(ScalarType::Int64, true),
                ],
                &ScalarType::Int64,
            )
            .expect("the compiler has checked this call"),
        array_element_3: Kernel::new(
                kernels::function::array_element,
                &[
                    Param::column(ScalarType::List(Box::new(ScalarType::Utf8)), true),
                    Param::int(ScalarType::Int64, 2),
                ],
                &ScalarType::Utf8,
            )
            .expect("the compiler has checked this call"),
        array_length: Kernel::new(
                kernels::function::array_length,
                &[Param::column(ScalarType::List(Box::new(ScalarType::Int64)), true)],
                &ScalarType::UInt64,
            )
            .expect("the compiler has checked this call"),
        cardinality: Kernel::new(
                kernels::function::cardinality,
                &[Param::column(ScalarType::List(Box::new(ScalarType::Utf8)), true)],
                &ScalarType::UInt64,
            )
            .expect("the compiler has checked this call"),
        array_position: Kernel::new(
                kernels::function::array_position,
                &[
                    Param::column(ScalarType::List(Box::new(ScalarType::Utf8)), true),
                    Param::utf8("b"),
                ],
                &ScalarType::UInt64,
            )
            .expect("the compiler has checked this call"),
    })
}

impl Stage for V {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        let batch = self.compute(batch)?;
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

impl V {
    /// `kernel:array_element(xs, 1)`
    fn array_element(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.array_element
            .call(&[batch.array(1).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// `kernel:array_element(xs, -1)`
    fn array_element_1(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.array_element_1
            .call(&[batch.array(1).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// `kernel:array_element(xs, n)`
    fn array_element_2(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.array_element_2
            .call(&[batch.array(1).clone(), batch.array(3).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// `kernel:array_element(ts, 2)`
    fn array_element_3(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.array_element_3
            .call(&[batch.array(2).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// `kernel:array_length(xs)`
    fn array_length(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.array_length
            .call(&[batch.array(1).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// `kernel:cardinality(ts)`
    fn cardinality(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.cardinality
            .call(&[batch.array(2).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// `kernel:array_position(ts, 'b')`
    fn array_position(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.array_position
            .call(&[batch.array(2).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// Appends what kernels compute.
    fn compute(&self, mut batch: Batch) -> Result<Batch, TaskError> {
        let columns = [
            self.array_element(&batch)?,
            self.array_element_1(&batch)?,
            self.array_element_2(&batch)?,
            self.array_element_3(&batch)?,
            self.array_length(&batch)?,
            self.cardinality(&batch)?,
            self.array_position(&batch)?,
        ];
        batch.columns.extend(columns);
        Ok(batch)
    }
}

/// `SELECT id, xs[1], xs[-1], xs[n], ts[2], array_length(xs), cardinality(ts), array_position(ts, 'b'), xs IS NULL`
fn project(batch: &Batch) -> Batch {
    let columns = [
        batch.array(0).clone(),
        batch.array(4).clone(),
        batch.array(5).clone(),
        batch.array(6).clone(),
        batch.array(7).clone(),
        batch.array(8).clone(),
        batch.array(9).clone(),
        batch.array(10).clone(),
        absent(batch),
    ];
    Batch::new(columns.into(), batch.rows)
}

/// `xs IS NULL`
fn absent(batch: &Batch) -> ArrayRef {
    let xs = batch.array(1);
    let values = column::dense_bool(batch.rows, |row| xs.is_null(row));
    column::from_bool(values, None)
}
