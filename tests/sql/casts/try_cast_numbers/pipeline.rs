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
//!   │ compute kernel:try_cast(n) AS try_cast
//!   │ project id, TRY_CAST(n AS TINYINT) AS t, TRY_CAST(n AS SMALLINT UNSIGNED) AS u, TRY_CAST(x AS INT) AS i, TRY_CAST(x AS BIGINT) AS b, try_cast AS exact
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
use worker_lib::{column, scalar, Batch, Stage, StageContext, TaskError};
use worker_lib::column::{ArrayRef, ScalarType};

/// Stage 0, fused from:
/// - `source v (single_file)`
/// - `compute kernel:try_cast(n) AS try_cast`
/// - `project id, TRY_CAST(n AS TINYINT) AS t, TRY_CAST(n AS SMALLINT UNSIGNED) AS u, TRY_CAST(x AS INT) AS i, TRY_CAST(x AS BIGINT) AS b, try_cast AS exact`
pub(crate) struct V {
    try_cast: Kernel,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(V {
        try_cast: Kernel::new(
                kernels::function::try_cast,
                &[Param::column(ScalarType::Int64, true)],
                &ScalarType::Decimal {
                    precision: 5,
                    scale: 2,
                },
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
    /// `kernel:try_cast(n)`
    fn try_cast(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.try_cast
            .call(&[batch.array(2).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// Appends what kernels compute.
    fn compute(&self, mut batch: Batch) -> Result<Batch, TaskError> {
        let columns = [self.try_cast(&batch)?];
        batch.columns.extend(columns);
        Ok(batch)
    }
}

/// `SELECT id, TRY_CAST(n AS TINYINT), TRY_CAST(n AS SMALLINT UNSIGNED), TRY_CAST(x AS INTEGER), TRY_CAST(x AS BIGINT), TRY_CAST(n AS DECIMAL(5,2))`
fn project(batch: &Batch) -> Batch {
    let columns = [
        batch.array(0).clone(),
        t(batch),
        u(batch),
        i(batch),
        b(batch),
        batch.array(3).clone(),
    ];
    Batch::new(columns.into(), batch.rows)
}

/// `TRY_CAST(n AS TINYINT)`
fn t(batch: &Batch) -> ArrayRef {
    let n = batch.i64(2);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| n.get(row).and_then(|x| scalar::try_cast::<i64, i8>(x)),
    );
    column::from_i8(values, nulls)
}

/// `TRY_CAST(n AS SMALLINT UNSIGNED)`
fn u(batch: &Batch) -> ArrayRef {
    let n = batch.i64(2);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| n.get(row).and_then(|x| scalar::try_cast::<i64, u16>(x)),
    );
    column::from_u16(values, nulls)
}

/// `TRY_CAST(x AS INT)`
fn i(batch: &Batch) -> ArrayRef {
    let x2 = batch.f64(1);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| x2.get(row).and_then(|x| scalar::try_cast::<f64, i32>(x)),
    );
    column::from_i32(values, nulls)
}

/// `TRY_CAST(x AS BIGINT)`
fn b(batch: &Batch) -> ArrayRef {
    let x2 = batch.f64(1);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| x2.get(row).and_then(|x| scalar::try_cast::<f64, i64>(x)),
    );
    column::from_i64(values, nulls)
}
