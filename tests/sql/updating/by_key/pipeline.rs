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
//!   │ project kind, n AS count_n, CAST(n AS DOUBLE) AS avg_n
//!
//! 1 updating_by_kind
//!   ◀── 0 by hash of kind
//!   │ updating by kind [count(*) AS count, count(count_n) AS count_n, sum(count_n) AS sum_n, min(count_n) AS min_n, max(count_n) AS max_n, avg(avg_n) AS avg_n]
//!   │ project _retract, kind, count AS times, count_n AS known, sum_n AS total, min_n AS least, max_n AS most, avg_n AS mean
//!
//! 2 to_stdout
//!   ◀── 1
//!   │ sink stdout (stdout)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod v;
mod updating_by_kind;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 0,
            name: "v",
            new: v::new,
        },
        StageDef {
            id: 1,
            name: "updating_by_kind",
            new: updating_by_kind::new,
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

// src/updating_by_kind.rs
//! Stage 1 of the pipeline, `updating_by_kind`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Avg, Count, Max, Min, Sum};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::state::TableRows;
use worker_lib::updating::{Accumulators, Updating};

/// Stage 1, fused from:
/// - rows of stage 0
/// - `updating by kind [count(*) AS count, count(count_n) AS count_n, sum(count_n) AS sum_n, min(count_n) AS min_n, max(count_n) AS max_n, avg(avg_n) AS avg_n]`
/// - `project _retract, kind, count AS times, count_n AS known, sum_n AS total, min_n AS least, max_n AS most, avg_n AS mean`
pub(crate) struct UpdatingByKind {
    groups: Updating,
    states: Accumulators<UpdatingByKindState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct UpdatingByKindState {
    count: Count,
    count_n: Count,
    sum_n: Sum<i64>,
    min_n: Min<i64>,
    max_n: Max<i64>,
    avg_n: Avg,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(UpdatingByKind {
        groups: Updating::new(&[ScalarType::Utf8]),
        states: Accumulators::new(),
    })
}

impl Stage for UpdatingByKind {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.add_rows(&batch, cx)
    }

    fn on_watermark(
        &mut self,
        watermark: i64,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        match watermark {
            i64::MAX => self.flush(cx),
            _ => Ok(()),
        }
    }

    fn on_timer(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)
    }

    fn on_barrier(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let mut table = TableRows::default();
        while let Some(saved) = self.groups.next_unsaved(&mut table)? {
            let states = state_columns(&self.states.saved(&saved));
            table.keep(saved.batch(states));
        }
        Ok(vec![table])
    }

    fn restore(
        &mut self,
        _table: usize,
        batch: &Batch,
        _watermark: Option<i64>,
    ) -> Result<(), TaskError> {
        self.groups.restore(batch)?;
        self.put_states(batch);
        Ok(())
    }

    fn memory(&self) -> usize {
        self.groups.memory() + self.states.memory(|_| 0)
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)?;
        while let Some(cold) = self.groups.next_cold(portion, cx)? {
            let states = state_columns(&self.states.saved(&cold));
            self.states.keep(self.groups.freeze(cold, states)?);
        }
        Ok(())
    }
}

impl UpdatingByKind {
    /// `SELECT count(1), count(n), sum(n), min(n), max(n), avg(CAST(n AS DOUBLE)) GROUP BY kind`
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.groups.assign(batch, cx)?;
        self.thaw();
        let count_n = batch.i64(1);
        let avg_n = batch.f64(2);
        let states = self.states.begin(&self.groups);
        for (row, group) in self.groups.pairs() {
            let state = &mut states[group];
            state.count.add();
            if !count_n.is_null(row) {
                state.count_n.add();
            }
            if let Some(value) = count_n.get(row) {
                state.sum_n.add(value);
            }
            if let Some(value) = count_n.get(row) {
                state.min_n.add(value);
            }
            if let Some(value) = count_n.get(row) {
                state.max_n.add(value);
            }
            if let Some(value) = avg_n.get(row) {
                state.avg_n.add(value);
            }
        }
        Ok(())
    }

    /// Emits what has become of the groups that have changed.
    fn flush(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(changed) = self.groups.next_changed(cx) {
            let batch = self
                .groups
                .changes(
                    &changed,
                    &result_columns(self.states.before(&changed)),
                    &result_columns(&self.states.after(&changed)),
                );
            if batch.rows > 0 {
                self.pass_on(batch, cx)?;
            }
        }
        if !cx.more {
            self.states.flushed(self.groups.flushed(cx)?);
        }
        Ok(())
    }

    /// Replaces the states of the groups that were found.
    fn put_states(&mut self, batch: &Batch) {
        let count = batch.i64(1);
        let count_n = batch.i64(2);
        let sum_n = batch.i64(3);
        let min_n = batch.i64(4);
        let max_n = batch.i64(5);
        let avg_n_sum = batch.f64(6);
        let avg_n_count = batch.i64(7);
        let states = self.states.restore(&self.groups);
        for (row, group) in self.groups.pairs() {
            let state = &mut states[group];
            *state = Default::default();
            state.count.merge(count.value(row));
            state.count_n.merge(count_n.value(row));
            state.sum_n.merge(sum_n.get(row));
            state.min_n.merge(min_n.get(row));
            state.max_n.merge(max_n.get(row));
            state.avg_n.merge(avg_n_sum.get(row), avg_n_count.value(row));
        }
    }

    /// Takes the states of groups that come back from disk.
    fn thaw(&mut self) {
        while let Some(batch) = self.groups.next_thawed() {
            self.put_states(&batch);
        }
    }

    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// States of groups.
fn state_columns(states: &[UpdatingByKindState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].count.finish());
    columns.push(column::from_i64(values, None));
    let values = column::dense(rows, |row| states[row].count_n.finish());
    columns.push(column::from_i64(values, None));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].sum_n.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].min_n.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].max_n.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].avg_n.sum());
    columns.push(column::from_f64(values, nulls));
    let values = column::dense(rows, |row| states[row].avg_n.count());
    columns.push(column::from_i64(values, None));
    columns
}

/// Results of groups.
fn result_columns(states: &[UpdatingByKindState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].count.finish());
    columns.push(column::from_i64(values, None));
    let values = column::dense(rows, |row| states[row].count_n.finish());
    columns.push(column::from_i64(values, None));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].sum_n.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].min_n.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].max_n.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].avg_n.finish());
    columns.push(column::from_f64(values, nulls));
    columns
}

/// `INSERT INTO stdout`
fn project(batch: &Batch) -> Batch {
    let columns = [
        batch.array(0).clone(),
        batch.array(1).clone(),
        batch.array(2).clone(),
        batch.array(3).clone(),
        batch.array(4).clone(),
        batch.array(5).clone(),
        batch.array(6).clone(),
        batch.array(7).clone(),
    ];
    Batch::new(columns.into(), batch.rows)
}

// src/v.rs
//! Stage 0 of the pipeline, `v`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;

/// Stage 0, fused from:
/// - `source v (single_file)`
/// - `project kind, n AS count_n, CAST(n AS DOUBLE) AS avg_n`
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
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// `SELECT count(1), count(n), sum(n), min(n), max(n), avg(CAST(n AS DOUBLE)) GROUP BY kind`
fn project(batch: &Batch) -> Batch {
    let columns = [batch.array(0).clone(), batch.array(1).clone(), avg_n(batch)];
    Batch::new(columns.into(), batch.rows)
}

/// `CAST(n AS DOUBLE)`
fn avg_n(batch: &Batch) -> ArrayRef {
    let n = batch.i64(1);
    let values = column::dense(batch.rows, |row| n.value(row) as f64);
    column::from_f64(values, column::all_valid(&[n.nulls]))
}
