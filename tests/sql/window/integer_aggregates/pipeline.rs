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
//! 0 v_by_window
//!   │ source v (single_file)
//!   │ watermark at - INTERVAL '1 seconds'
//!   │ tumble_partial 10s on at [count(n) AS count_n, sum(n) AS sum_n, min(n) AS min_n, max(n) AS max_n, avg(CAST(n AS DOUBLE)) AS avg_n, sum(CAST(CAST(n AS TINYINT) AS BIGINT) + 1) AS sum_value, max(CAST(id AS BIGINT UNSIGNED)) AS max_id]
//!
//! 1 tumble_by_window_to_stdout
//!   ◀── 0 gathered
//!   │ tumble_final 10s [count AS count_n, sum AS sum_n, min AS min_n, max AS max_n, avg AS avg_n, sum AS sum_value, max AS max_id]
//!   │ project window, count_n AS known, sum_n AS total, min_n AS least, max_n AS most, avg_n AS mean, sum_value AS tiny, max_id AS unsigned
//!   │ sink stdout (stdout)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod v_by_window;
mod tumble_by_window_to_stdout;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 0,
            name: "v_by_window",
            new: v_by_window::new,
        },
        StageDef {
            id: 1,
            name: "tumble_by_window_to_stdout",
            new: tumble_by_window_to_stdout::new,
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

// src/tumble_by_window_to_stdout.rs
//! Stage 1 of the pipeline, `tumble_by_window_to_stdout`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Avg, Count, Max, Min, Sum};
use worker_lib::column::ArrayRef;
use worker_lib::select::Rows;
use worker_lib::state::TableRows;
use worker_lib::window::{Changed, Closed, Input, States, Tumble};

/// Stage 1, fused from:
/// - rows of stage 0
/// - `tumble_final 10s [count AS count_n, sum AS sum_n, min AS min_n, max AS max_n, avg AS avg_n, sum AS sum_value, max AS max_id]`
/// - `project window, count_n AS known, sum_n AS total, min_n AS least, max_n AS most, avg_n AS mean, sum_value AS tiny, max_id AS unsigned`
/// - `sink stdout (stdout)`
pub(crate) struct TumbleByWindowToStdout {
    tumble: Tumble,
    states: States<TumbleByWindowToStdoutState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct TumbleByWindowToStdoutState {
    count_n: Count,
    sum_n: Sum<i64>,
    min_n: Min<i64>,
    max_n: Max<i64>,
    avg_n: Avg,
    sum_value: Sum<i64>,
    max_id: Max<u64>,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(TumbleByWindowToStdout {
        tumble: Tumble::new(10_000_000_000, &[]),
        states: States::new(),
    })
}

impl Stage for TumbleByWindowToStdout {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.merge_states(&batch, cx)
    }

    fn on_watermark(
        &mut self,
        watermark: i64,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        while let Some(closed) = self.tumble.next_closed(watermark, cx)? {
            self.thaw();
            let batch = self.results(&closed);
            self.states.release(&closed);
            self.pass_on(batch, cx)?;
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let mut tables = TableRows::of_tables(1);
        for changed in self.tumble.changed(&mut tables[0])? {
            tables[0].push(self.state_rows(&changed), changed.end);
        }
        Ok(tables)
    }

    fn restore(
        &mut self,
        _table: usize,
        batch: &Batch,
        watermark: Option<i64>,
    ) -> Result<(), TaskError> {
        let mut cx = StageContext::default();
        self.tumble.begin_restore(watermark);
        self.tumble
            .assign(Rows::All(batch.rows), Input::row(batch.array(0)), &[], &mut cx)?;
        self.thaw();
        self.put_states(batch, true);
        Ok(())
    }

    fn restored(&mut self, watermark: i64) {
        self.tumble.restored(watermark);
    }

    fn memory(&self) -> usize {
        self.tumble.memory() + self.states.memory(|_| 0)
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(cold) = self.tumble.next_cold(portion, cx)? {
            let rows = self.state_rows(&cold);
            let kept = self.tumble.freeze(&cold, &rows, &[])?;
            self.states.keep(cold.bin, kept.as_deref());
        }
        Ok(())
    }
}

impl TumbleByWindowToStdout {
    /// `SELECT count(n), sum(n), min(n), max(n), avg(CAST(n AS DOUBLE)), sum((CAST(CAST(n AS TINYINT) AS BIGINT) + 1)), max(CAST(id AS BIGINT UNSIGNED)) GROUP BY tumble...`
    fn merge_states(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(0)), &[], cx)?;
        self.thaw();
        self.put_states(batch, false);
        Ok(())
    }

    /// Partial states of the groups that were found; `replace`: what the groups had before is forgotten.
    fn put_states(&mut self, batch: &Batch, replace: bool) {
        let count_n = batch.i64(1);
        let sum_n = batch.i64(2);
        let min_n = batch.i64(3);
        let max_n = batch.i64(4);
        let avg_n_sum = batch.f64(5);
        let avg_n_count = batch.i64(6);
        let sum_value = batch.i64(7);
        let max_id = batch.u64(8);
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                if replace {
                    *state = Default::default();
                }
                state.count_n.merge(count_n.value(row));
                state.sum_n.merge(sum_n.get(row));
                state.min_n.merge(min_n.get(row));
                state.max_n.merge(max_n.get(row));
                state.avg_n.merge(avg_n_sum.get(row), avg_n_count.value(row));
                state.sum_value.merge(sum_value.get(row));
                state.max_id.merge(max_id.get(row));
            }
        }
    }

    /// Takes the states of groups that come back from disk.
    fn thaw(&mut self) {
        while let Some(batch) = self.tumble.next_thawed() {
            self.put_states(&batch, true);
        }
    }

    /// Rows of the groups of a window: keys, window, states.
    fn state_rows(&self, changed: &Changed) -> Batch {
        changed.states(state_columns(&self.states.changed(changed)))
    }

    /// Results of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        closed.results(result_columns(self.states.closed(closed)))
    }

    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// States of groups.
fn state_columns(states: &[TumbleByWindowToStdoutState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
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
    let (values, nulls) = column::dense_opt(rows, |row| states[row].sum_value.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].max_id.finish());
    columns.push(column::from_u64(values, nulls));
    columns
}

/// Results of groups.
fn result_columns(states: &[TumbleByWindowToStdoutState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
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
    let (values, nulls) = column::dense_opt(rows, |row| states[row].sum_value.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].max_id.finish());
    columns.push(column::from_u64(values, nulls));
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

// src/v_by_window.rs
//! Stage 0 of the pipeline, `v_by_window`.

use worker_lib::{column, scalar, window, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Avg, Count, Max, Min, Sum};
use worker_lib::column::ArrayRef;
use worker_lib::scalar::Errors;
use worker_lib::select::Rows;
use worker_lib::window::{Closed, Input, States, Tumble};

/// Stage 0, fused from:
/// - `source v (single_file)`
/// - `watermark at - INTERVAL '1 seconds'`
/// - `tumble_partial 10s on at [count(n) AS count_n, sum(n) AS sum_n, min(n) AS min_n, max(n) AS max_n, avg(CAST(n AS DOUBLE)) AS avg_n, sum(CAST(CAST(n AS TINYINT) AS BIGINT) + 1) AS sum_value, max(CAST(id AS BIGINT UNSIGNED)) AS max_id]`
pub(crate) struct VByWindow {
    tumble: Tumble,
    states: States<VByWindowState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct VByWindowState {
    count_n: Count,
    sum_n: Sum<i64>,
    min_n: Min<i64>,
    max_n: Max<i64>,
    avg_n: Avg,
    sum_value: Sum<i64>,
    max_id: Max<u64>,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(VByWindow {
        tumble: Tumble::new(10_000_000_000, &[]),
        states: States::new(),
    })
}

impl Stage for VByWindow {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        watermark(&batch, cx);
        self.add_rows(&batch, cx)
    }

    fn on_watermark(
        &mut self,
        watermark: i64,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        while let Some(closed) = self.tumble.next_closed(watermark, cx)? {
            let batch = self.results(&closed);
            self.states.release(&closed);
            cx.emit(batch);
        }
        Ok(())
    }

    fn on_barrier(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(open) = self.tumble.next_open(cx) {
            let batch = self.results(&open);
            self.states.release(&open);
            cx.emit(batch);
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.tumble.memory() + self.states.memory(|_| 0)
    }

    fn evict(&mut self, _portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.on_barrier(cx)
    }
}

impl VByWindow {
    /// `SELECT count(n), sum(n), min(n), max(n), avg(CAST(n AS DOUBLE)), sum((CAST(CAST(n AS TINYINT) AS BIGINT) + 1)), max(CAST(id AS BIGINT UNSIGNED)) GROUP BY tumble...`
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(2)), &[], cx)?;
        let n = batch.i64(1);
        let id = batch.i32(0);
        let errors = Errors::new();
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                if !n.is_null(row) {
                    state.count_n.add();
                }
                if let Some(value) = n.get(row) {
                    state.sum_n.add(value);
                }
                if let Some(value) = n.get(row) {
                    state.min_n.add(value);
                }
                if let Some(value) = n.get(row) {
                    state.max_n.add(value);
                }
                if let Some(value) = n.get(row).map(|x| x as f64) {
                    state.avg_n.add(value);
                }
                if let Some(value) = n.get(row)
                    .map(|x| scalar::cast::<i64, i8>(x, &errors))
                    .map(|x| i64::from(x))
                    .map(|x| x.wrapping_add(1))
                {
                    state.sum_value.add(value);
                }
                state.max_id.add(scalar::cast::<i32, u64>(id.value(row), &errors));
            }
        }
        errors.check()?;
        Ok(())
    }

    /// Partial states of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        closed.states(group_columns(self.states.closed(closed)))
    }
}

/// `WATERMARK FOR at AS at - INTERVAL '1 second'`
fn watermark(batch: &Batch, cx: &mut StageContext) {
    window::observe(batch.array(2), -1_000_000_000, cx);
}

/// Aggregates of groups, as columns.
fn group_columns(states: &[VByWindowState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
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
    let (values, nulls) = column::dense_opt(rows, |row| states[row].sum_value.finish());
    columns.push(column::from_i64(values, nulls));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].max_id.finish());
    columns.push(column::from_u64(values, nulls));
    columns
}
