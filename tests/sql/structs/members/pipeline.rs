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
//!   │ filter place.zip IS NOT NULL OR place.city IS NULL
//!   │ project id, place.city AS city, CAST(place.zip AS BIGINT) + 1 AS next, place.spot.x AS x, place.spot.y AS y, place IS NULL AS nowhere, place.spot IS NULL AS spotless, place.spot AS spot
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

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;
use worker_lib::select::Selection;

/// Stage 0, fused from:
/// - `source v (single_file)`
/// - `filter place.zip IS NOT NULL OR place.city IS NULL`
/// - `project id, place.city AS city, CAST(place.zip AS BIGINT) + 1 AS next, place.spot.x AS x, place.spot.y AS y, place IS NULL AS nowhere, place.spot IS NULL AS spotless, place.spot AS spot`
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
        let selection = filter(&batch);
        if selection.is_empty() {
            return Ok(());
        }
        let batch = project(&batch, &selection);
        cx.emit(batch);
        Ok(())
    }
}

/// `WHERE (place.zip IS NOT NULL OR place.city IS NULL)`
fn filter(batch: &Batch) -> Selection {
    let place_zip = batch.path(&[1, 1]);
    let place_zip = column::i32(&place_zip);
    let place_city = batch.path(&[1, 0]);
    let place_city = column::text(&place_city);
    Selection::filter(
        batch.rows,
        None,
        |row| !place_zip.is_null(row) || place_city.is_null(row),
    )
}

/// `SELECT id, place.city, (CAST(place.zip AS BIGINT) + 1), place.spot.x, place.spot.y, place IS NULL, place.spot IS NULL, place.spot`
fn project(batch: &Batch, selection: &Selection) -> Batch {
    let columns = [
        selection.take(batch.array(0)),
        selection.take(&batch.path(&[1, 0])),
        next(batch, selection),
        selection.take(&batch.path(&[1, 2, 0])),
        selection.take(&batch.path(&[1, 2, 1])),
        nowhere(batch, selection),
        spotless(batch, selection),
        selection.take(&batch.path(&[1, 2])),
    ];
    Batch::new(columns.into(), selection.len())
}

/// `CAST(place.zip AS BIGINT) + 1`
fn next(batch: &Batch, selection: &Selection) -> ArrayRef {
    let place_zip = batch.path(&[1, 1]);
    let place_zip = column::i32(&place_zip);
    let values = selection.map(|row| i64::from(place_zip.value(row)).wrapping_add(1));
    column::from_i64(values, selection.valid(&[place_zip.nulls]))
}

/// `place IS NULL`
fn nowhere(batch: &Batch, selection: &Selection) -> ArrayRef {
    let place = batch.array(1);
    let values = selection.map_bool(|row| place.is_null(row));
    column::from_bool(values, None)
}

/// `place.spot IS NULL`
fn spotless(batch: &Batch, selection: &Selection) -> ArrayRef {
    let place_spot = batch.path(&[1, 2]);
    let values = selection.map_bool(|row| place_spot.is_null(row));
    column::from_bool(values, None)
}
