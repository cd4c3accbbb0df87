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
//! 0 pairs
//!   │ source pairs (single_file)
//!   │ project id, a / b AS quotient, a % b AS remainder, a / b * b + a % b = a AS consistent, -3 AS constant, a / 3 AS third
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

mod pairs;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 0,
            name: "pairs",
            new: pairs::new,
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

// src/pairs.rs
//! Stage 0 of the pipeline, `pairs`.

use worker_lib::{column, scalar, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;
use worker_lib::scalar::Errors;

/// Stage 0, fused from:
/// - `source pairs (single_file)`
/// - `project id, a / b AS quotient, a % b AS remainder, a / b * b + a % b = a AS consistent, -3 AS constant, a / 3 AS third`
pub(crate) struct Pairs;

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(Pairs)
}

impl Stage for Pairs {
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

/// `SELECT id, (a / b), (a % b), ((((a / b) * b) + (a % b)) = a), -3, (a / 3)`
fn project(batch: &Batch) -> Result<Batch, TaskError> {
    let columns = [
        batch.array(0).clone(),
        quotient(batch)?,
        remainder(batch)?,
        consistent(batch)?,
        constant(batch),
        third(batch),
    ];
    Ok(Batch::new(columns.into(), batch.rows))
}

/// `a / b`
fn quotient(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let a = batch.i64(1);
    let b = batch.i64(2);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| a.get(row).and_then(|x| b.get(row).map(|y| scalar::div(x, y, &errors))),
    );
    errors.check()?;
    Ok(column::from_i64(values, nulls))
}

/// `a % b`
fn remainder(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let a = batch.i64(1);
    let b = batch.i64(2);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| a.get(row).and_then(|x| b.get(row).map(|y| scalar::rem(x, y, &errors))),
    );
    errors.check()?;
    Ok(column::from_i64(values, nulls))
}

/// `a / b * b + a % b = a`
fn consistent(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let a = batch.i64(1);
    let b = batch.i64(2);
    let errors = Errors::new();
    let (values, nulls) = column::dense_bool_opt(
        batch.rows,
        |row| {
            a.get(row).and_then(|x| b.get(row).map(|y| scalar::div(x, y, &errors)))
                .and_then(|x| b.get(row).map(|y| x.wrapping_mul(y)))
                .and_then(|x| {
                    a.get(row)
                        .and_then(|x| b.get(row).map(|y| scalar::rem(x, y, &errors)))
                        .map(|y| x.wrapping_add(y))
                })
                .and_then(|x| a.get(row).map(|y| x == y))
        },
    );
    errors.check()?;
    Ok(column::from_bool(values, nulls))
}

/// `-3`
fn constant(batch: &Batch) -> ArrayRef {
    column::repeat(&column::from_i64(vec![- 3i64], None), batch.rows)
}

/// `a / 3`
fn third(batch: &Batch) -> ArrayRef {
    let a = batch.i64(1);
    let values = column::dense(batch.rows, |row| a.value(row) / 3);
    column::from_i64(values, column::all_valid(&[a.nulls]))
}
