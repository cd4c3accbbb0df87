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
//!   │ compute kernel:regex_match(s, '^-?[0-9]{1,9}$') AS regex_match, kernel:repeat(t, CAST(a AS BIGINT) % 5) AS repeat WHERE a > 0, kernel:reverse(s) AS reverse WHERE a > 0 IS NOT TRUE, kernel:ascii(t) AS ascii WHERE t <> ''
//!   │ compute kernel:cast(s) AS cast WHERE regex_match
//!   │ project id, CASE WHEN regex_match THEN cast END AS number, CASE WHEN a > 0 THEN repeat ELSE reverse END AS either, CASE WHEN t <> '' THEN ascii END AS code
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
use worker_lib::select::Selection;

/// Stage 0, fused from:
/// - `source v (single_file)`
/// - `compute kernel:regex_match(s, '^-?[0-9]{1,9}$') AS regex_match, kernel:repeat(t, CAST(a AS BIGINT) % 5) AS repeat WHERE a > 0, kernel:reverse(s) AS reverse WHERE a > 0 IS NOT TRUE, kernel:ascii(t) AS ascii WHERE t <> ''`
/// - `compute kernel:cast(s) AS cast WHERE regex_match`
/// - `project id, CASE WHEN regex_match THEN cast END AS number, CASE WHEN a > 0 THEN repeat ELSE reverse END AS either, CASE WHEN t <> '' THEN ascii END AS code`
pub(crate) struct V {
    regex_match: Kernel,
    repeat: Kernel,
    reverse: Kernel,
    ascii: Kernel,
    cast: Kernel,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(V {
        regex_match: Kernel::new(
                kernels::function::regex_match,
                &[Param::column(ScalarType::Utf8, true), Param::utf8("^-?[0-9]{1,9}$")],
                &ScalarType::Bool,
            )
            .expect("the compiler has checked this call"),
        repeat: Kernel::new(
                kernels::function::repeat,
                &[
                    Param::column(ScalarType::Utf8, true),
                    Param::column(ScalarType::Int64, true),
                ],
                &ScalarType::Utf8,
            )
            .expect("the compiler has checked this call"),
        reverse: Kernel::new(
                kernels::function::reverse,
                &[Param::column(ScalarType::Utf8, true)],
                &ScalarType::Utf8,
            )
            .expect("the compiler has checked this call"),
        ascii: Kernel::new(
                kernels::function::ascii,
                &[Param::column(ScalarType::Utf8, true)],
                &ScalarType::Int32,
            )
            .expect("the compiler has checked this call"),
        cast: Kernel::new(
                kernels::function::cast,
                &[Param::column(ScalarType::Utf8, true)],
                &ScalarType::Int32,
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
        let batch = self.compute2(batch)?;
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

impl V {
    /// `kernel:regex_match(s, '^-?[0-9]{1,9}$')`
    fn regex_match(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        self.regex_match
            .call(&[batch.array(2).clone()], batch.rows)
            .map_err(TaskError::user)
    }

    /// `kernel:repeat(t, CAST(a AS BIGINT) % 5)` where `a > 0`
    fn repeat(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        let selection = &repeat_guard(batch);
        let result = self
            .repeat
            .call(
                &[selection.take(batch.array(3)), repeat_argument(batch, selection)],
                selection.len(),
            )
            .map_err(TaskError::user)?;
        Ok(selection.scatter(&result, batch.rows))
    }

    /// `kernel:reverse(s)` where `a > 0 IS NOT TRUE`
    fn reverse(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        let selection = &reverse_guard(batch);
        let result = self
            .reverse
            .call(&[selection.take(batch.array(2))], selection.len())
            .map_err(TaskError::user)?;
        Ok(selection.scatter(&result, batch.rows))
    }

    /// `kernel:ascii(t)` where `t <> ''`
    fn ascii(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        let selection = &ascii_guard(batch);
        let result = self
            .ascii
            .call(&[selection.take(batch.array(3))], selection.len())
            .map_err(TaskError::user)?;
        Ok(selection.scatter(&result, batch.rows))
    }

    /// Appends what kernels compute.
    fn compute(&self, mut batch: Batch) -> Result<Batch, TaskError> {
        let columns = [
            self.regex_match(&batch)?,
            self.repeat(&batch)?,
            self.reverse(&batch)?,
            self.ascii(&batch)?,
        ];
        batch.columns.extend(columns);
        Ok(batch)
    }

    /// `kernel:cast(s)` where `regex_match`
    fn cast(&self, batch: &Batch) -> Result<ArrayRef, TaskError> {
        let selection = &cast_guard(batch);
        let result = self
            .cast
            .call(&[selection.take(batch.array(2))], selection.len())
            .map_err(TaskError::user)?;
        Ok(selection.scatter(&result, batch.rows))
    }

    /// Appends what kernels compute.
    fn compute2(&self, mut batch: Batch) -> Result<Batch, TaskError> {
        let columns = [self.cast(&batch)?];
        batch.columns.extend(columns);
        Ok(batch)
    }
}

/// `CAST(a AS BIGINT) % 5`
fn repeat_argument(batch: &Batch, selection: &Selection) -> ArrayRef {
    let a = batch.i32(1);
    let values = selection.map(|row| i64::from(a.value(row)) % 5);
    column::from_i64(values, selection.valid(&[a.nulls]))
}

/// `a > 0`
fn repeat_guard(batch: &Batch) -> Selection {
    let a = batch.i32(1);
    Selection::filter(batch.rows, a.nulls, |row| a.value(row) > 0)
}

/// `a > 0 IS NOT TRUE`
fn reverse_guard(batch: &Batch) -> Selection {
    let a = batch.i32(1);
    Selection::filter(batch.rows, None, |row| !(a.get(row).map(|x| x > 0) == Some(true)))
}

/// `t <> ''`
fn ascii_guard(batch: &Batch) -> Selection {
    let t = batch.text(3);
    Selection::filter(batch.rows, t.nulls, |row| t.value(row) != "")
}

/// `regex_match`
fn cast_guard(batch: &Batch) -> Selection {
    let regex_match = batch.bool(4);
    Selection::filter(batch.rows, regex_match.nulls, |row| regex_match.value(row))
}

/// `SELECT id, CASE WHEN (s ~ '^-?[0-9]{1,9}$') THEN CAST(s AS INTEGER) END, CASE WHEN (a > 0) THEN repeat(t, (CAST(a AS BIGINT) % 5)) ELSE reverse(s) END, CASE WHE...`
fn project(batch: &Batch) -> Batch {
    let columns = [batch.array(0).clone(), number(batch), either(batch), code(batch)];
    Batch::new(columns.into(), batch.rows)
}

/// `CASE WHEN regex_match THEN cast END`
fn number(batch: &Batch) -> ArrayRef {
    let regex_match = batch.bool(4);
    let cast = batch.i32(8);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| if regex_match.get(row) == Some(true) { cast.get(row) } else { None },
    );
    column::from_i32(values, nulls)
}

/// `CASE WHEN a > 0 THEN repeat ELSE reverse END`
fn either(batch: &Batch) -> ArrayRef {
    let a = batch.i32(1);
    let repeat = batch.text(5);
    let reverse = batch.text(6);
    column::dense_text_opt(
        batch.rows,
        |row| {
            if a.get(row).map(|x| x > 0) == Some(true) {
                repeat.get(row)
            } else {
                reverse.get(row)
            }
        },
    )
}

/// `CASE WHEN t <> '' THEN ascii END`
fn code(batch: &Batch) -> ArrayRef {
    let t = batch.text(3);
    let ascii = batch.i32(7);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            if t.get(row).map(|x| x != "") == Some(true) { ascii.get(row) } else { None }
        },
    );
    column::from_i32(values, nulls)
}
