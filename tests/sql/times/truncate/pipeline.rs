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
//!   │ compute kernel:date_bin(INTERVAL '900 seconds', at) AS date_bin, kernel:date_bin(INTERVAL '7 days', at, TIMESTAMP '2024-01-01 00:00:00') AS date_bin_1
//!   │ project id, date_trunc('hour', at) AS hour, date_trunc('week', at) AS week, date_trunc('quarter', at) AS quarter, date_trunc('second', at) AS second, date_trunc('month', CAST(day AS TIMESTAMP)) AS month, date_bin AS bin, date_bin_1 AS week_bin
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
use worker_lib::column::{ArrayRef, ScalarType, TimeUnit};
use worker_lib::scalar::Errors;

/// Stage 0, fused from:
/// - `source v (single_file)`
/// - `compute kernel:date_bin(INTERVAL '900 seconds', at) AS date_bin, kernel:date_bin(INTERVAL '7 days', at, TIMESTAMP '2024-01-01 00:00:00') AS date_bin_1`
/// - `project id, date_trunc('hour', at) AS hour, date_trunc('week', at) AS week, date_trunc('quarter', at) AS quarter, date_trunc('second', at) AS second, date_trunc('month', CAST(day AS TIMESTAMP)) AS month, date_bin AS bin, date_bin_1 AS week_bin`
pub(crate) struct V {
    date_bin: Kernel,
    date_bin_1: Kernel,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(V {
        date_bin: Kernel::new(
                kernels::function::date_bin,
                &[
                    Param::interval(0, 0, 900_000_000_000),
                    Param::column(ScalarType::TIMESTAMP_NS, true),
                ],
                &ScalarType::TIMESTAMP_NS,
            )
            .expect("the compiler has checked this call"),
        date_bin_1: Kernel::new(
                kernels::function::date_bin,
                &[
                    Param::interval(0, 7, 0),
                    Param::column(ScalarType::TIMESTAMP_NS, true),
                    Param::int(ScalarType::TIMESTAMP_NS, 1_704_067_200_000_000_000),
                ],
                &ScalarType::TIMESTAMP_NS,
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
        let batch = project(&batch)?;
        cx.emit(batch);
        Ok(())
    }
}

impl V {
    /// `kernel:date_bin(INTERVAL '900 seconds', at)`
    fn date_bin(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.date_bin
            .call(&[batch.array(1).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// `kernel:date_bin(INTERVAL '7 days', at, TIMESTAMP '2024-01-01 00:00:00')`
    fn date_bin_1(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.date_bin_1
            .call(&[batch.array(1).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// Appends what kernels compute.
    fn compute(&self, mut batch: Batch) -> Result<Batch, TaskError> {
        let columns = [self.date_bin(&batch)?, self.date_bin_1(&batch)?];
        batch.columns.extend(columns);
        Ok(batch)
    }
}

/// `SELECT id, date_trunc('hour', "at"), date_trunc('week', "at"), date_trunc('quarter', "at"), date_trunc('second', "at"), date_trunc('month', CAST("day" AS TIMEST...`
fn project(batch: &Batch) -> Result<Batch, TaskError> {
    let columns = [
        batch.array(0).clone(),
        hour(batch),
        week(batch),
        quarter(batch),
        second(batch),
        month(batch)?,
        batch.array(3).clone(),
        batch.array(4).clone(),
    ];
    Ok(Batch::new(columns.into(), batch.rows))
}

/// `date_trunc('hour', at)`
fn hour(batch: &Batch) -> ArrayRef {
    let at = batch.i64(1);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_trunc_hour(at.value(row), TimeUnit::Nanosecond),
    );
    column::from_timestamp(
        values,
        column::all_valid(&[at.nulls]),
        TimeUnit::Nanosecond,
        None,
    )
}

/// `date_trunc('week', at)`
fn week(batch: &Batch) -> ArrayRef {
    let at = batch.i64(1);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_trunc_week(at.value(row), TimeUnit::Nanosecond),
    );
    column::from_timestamp(
        values,
        column::all_valid(&[at.nulls]),
        TimeUnit::Nanosecond,
        None,
    )
}

/// `date_trunc('quarter', at)`
fn quarter(batch: &Batch) -> ArrayRef {
    let at = batch.i64(1);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_trunc_quarter(at.value(row), TimeUnit::Nanosecond),
    );
    column::from_timestamp(
        values,
        column::all_valid(&[at.nulls]),
        TimeUnit::Nanosecond,
        None,
    )
}

/// `date_trunc('second', at)`
fn second(batch: &Batch) -> ArrayRef {
    let at = batch.i64(1);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_trunc_second(at.value(row), TimeUnit::Nanosecond),
    );
    column::from_timestamp(
        values,
        column::all_valid(&[at.nulls]),
        TimeUnit::Nanosecond,
        None,
    )
}

/// `date_trunc('month', CAST(day AS TIMESTAMP))`
fn month(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let day = batch.i32(2);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            day.get(row)
                .map(|x| scalar::date_to_timestamp(x, TimeUnit::Nanosecond, &errors))
                .map(|x| scalar::date_trunc_month(x, TimeUnit::Nanosecond))
        },
    );
    errors.check()?;
    Ok(column::from_timestamp(values, nulls, TimeUnit::Nanosecond, None))
}
