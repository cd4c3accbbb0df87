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

// src/l.rs
//! Stage 0 of the pipeline, `l`.

use worker_lib::{column, scalar, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;

/// Stage 0, fused from:
/// - `source l (single_file)`
/// - `project id, p AND q AS conjunction, p OR q AS disjunction, NOT p AS negation, q = p AS same, NOT p OR NOT q AS nand, p AND NOT p AS absurd`
pub(crate) struct L;

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(L)
}

impl Stage for L {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// `SELECT id, (p AND q), (p OR q), NOT p, (q = p), (NOT p OR NOT q), (p AND NOT p)`
fn project(batch: &Batch) -> Batch {
    let columns = [
        batch.array(0).clone(),
        conjunction(batch),
        disjunction(batch),
        negation(batch),
        same(batch),
        nand(batch),
        absurd(batch),
    ];
    Batch::new(columns.into(), batch.rows)
}

/// `p AND q`
fn conjunction(batch: &Batch) -> ArrayRef {
    let p = batch.bool(1);
    let q = batch.bool(2);
    let (values, nulls) = column::dense_bool_opt(
        batch.rows,
        |row| scalar::and(p.get(row), || q.get(row)),
    );
    column::from_bool(values, nulls)
}

/// `p OR q`
fn disjunction(batch: &Batch) -> ArrayRef {
    let p = batch.bool(1);
    let q = batch.bool(2);
    let (values, nulls) = column::dense_bool_opt(
        batch.rows,
        |row| scalar::or(p.get(row), || q.get(row)),
    );
    column::from_bool(values, nulls)
}

/// `NOT p`
fn negation(batch: &Batch) -> ArrayRef {
    let p = batch.bool(1);
    let values = column::dense_bool(batch.rows, |row| !p.value(row));
    column::from_bool(values, column::all_valid(&[p.nulls]))
}

/// `q = p`
fn same(batch: &Batch) -> ArrayRef {
    let q = batch.bool(2);
    let p = batch.bool(1);
    let values = column::dense_bool(batch.rows, |row| q.value(row) == p.value(row));
    column::from_bool(values, column::all_valid(&[q.nulls, p.nulls]))
}

/// `NOT p OR NOT q`
fn nand(batch: &Batch) -> ArrayRef {
    let p = batch.bool(1);
    let q = batch.bool(2);
    let (values, nulls) = column::dense_bool_opt(
        batch.rows,
        |row| scalar::or(p.get(row).map(|x| !x), || q.get(row).map(|x| !x)),
    );
    column::from_bool(values, nulls)
}

/// `p AND NOT p`
fn absurd(batch: &Batch) -> ArrayRef {
    let p = batch.bool(1);
    let (values, nulls) = column::dense_bool_opt(
        batch.rows,
        |row| scalar::and(p.get(row), || p.get(row).map(|x| !x)),
    );
    column::from_bool(values, nulls)
}

// src/main.rs
//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 l
//!   │ source l (single_file)
//!   │ project id, p AND q AS conjunction, p OR q AS disjunction, NOT p AS negation, q = p AS same, NOT p OR NOT q AS nand, p AND NOT p AS absurd
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

mod l;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 0,
            name: "l",
            new: l::new,
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
