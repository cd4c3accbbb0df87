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
worker-lib = "0.1.0"

// src/main.rs
//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 v
//!   │ source v (single_file)
//!   │ project id, CASE WHEN b <> 0 THEN a / b END AS guarded, CASE WHEN b = 0 THEN NULL ELSE a % b END AS other_way, CASE WHEN b IS NULL THEN -1 WHEN b = 0 THEN 0 ELSE CAST(a / b AS BIGINT) END AS nested, coalesce(CAST(b AS BIGINT), 100 / nullif(CAST(a AS BIGINT), 0)) AS fallback
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

use worker_lib::{column, scalar, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;
use worker_lib::scalar::Errors;

/// Stage 0, fused from:
/// - `source v (single_file)`
/// - `project id, CASE WHEN b <> 0 THEN a / b END AS guarded, CASE WHEN b = 0 THEN NULL ELSE a % b END AS other_way, CASE WHEN b IS NULL THEN -1 WHEN b = 0 THEN 0 ELSE CAST(a / b AS BIGINT) END AS nested, coalesce(CAST(b AS BIGINT), 100 / nullif(CAST(a AS BIGINT), 0)) AS fallback`
pub(crate) struct V;

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(V)
}

impl Stage for V {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        let batch = project(&batch)?;
        cx.emit(batch);
        Ok(())
    }
}

/// `SELECT id, CASE WHEN (b <> 0) THEN (a / b) END, CASE WHEN (b = 0) THEN NULL ELSE (a % b) END, CASE WHEN b IS NULL THEN -1 WHEN (b = 0) THEN 0 ELSE CAST((a / b) ...`
fn project(batch: &Batch) -> Result<Batch, TaskError> {
    let columns = [
        batch.array(0).clone(),
        guarded(batch)?,
        other_way(batch)?,
        nested(batch)?,
        fallback(batch)?,
    ];
    Ok(Batch::new(columns.into(), batch.rows))
}

/// `CASE WHEN b <> 0 THEN a / b END`
fn guarded(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let b = batch.i32(2);
    let a = batch.i32(1);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            if b.get(row).map(|x| x != 0) == Some(true) {
                a.get(row).and_then(|x| b.get(row).map(|y| scalar::div(x, y, &errors)))
            } else {
                None
            }
        },
    );
    errors.check()?;
    Ok(column::from_i32(values, nulls))
}

/// `CASE WHEN b = 0 THEN NULL ELSE a % b END`
fn other_way(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let b = batch.i32(2);
    let a = batch.i32(1);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            if b.get(row).map(|x| x == 0) == Some(true) {
                None::<i32>
            } else {
                a.get(row).and_then(|x| b.get(row).map(|y| scalar::rem(x, y, &errors)))
            }
        },
    );
    errors.check()?;
    Ok(column::from_i32(values, nulls))
}

/// `CASE WHEN b IS NULL THEN -1 WHEN b = 0 THEN 0 ELSE CAST(a / b AS BIGINT) END`
fn nested(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let b = batch.i32(2);
    let a = batch.i32(1);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            if b.is_null(row) {
                Some(-1i64)
            } else if b.get(row).map(|x| x == 0) == Some(true) {
                Some(0i64)
            } else {
                a.get(row).and_then(|x| b.get(row).map(|y| scalar::div(x, y, &errors)))
                    .map(|x| i64::from(x))
            }
        },
    );
    errors.check()?;
    Ok(column::from_i64(values, nulls))
}

/// `coalesce(CAST(b AS BIGINT), 100 / nullif(CAST(a AS BIGINT), 0))`
fn fallback(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let b = batch.i32(2);
    let a = batch.i32(1);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            b.get(row).map(|x| i64::from(x))
                .or_else(|| {
                    scalar::null_if(a.get(row).map(|x| i64::from(x)), Some(0i64))
                        .map(|x| scalar::div(100i64, x, &errors))
                })
        },
    );
    errors.check()?;
    Ok(column::from_i64(values, nulls))
}
