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
//! 0 v_by_kind_ok_n
//!   │ source v (single_file)
//!   │ watermark at - INTERVAL '1 seconds'
//!   │ tumble_partial 10s on at by kind, ok, n [count(*) AS count, sum(x) AS sum_x]
//!
//! 1 tumble_by_kind_ok_n
//!   ◀── 0 by hash of kind, ok, n
//!   │ tumble_final 10s by kind, ok, n [count AS count, sum AS sum_x]
//!   │ project kind, ok, n, window, count AS rows, sum_x AS total
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

mod v_by_kind_ok_n;
mod tumble_by_kind_ok_n;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 0,
            name: "v_by_kind_ok_n",
            new: v_by_kind_ok_n::new,
        },
        StageDef {
            id: 1,
            name: "tumble_by_kind_ok_n",
            new: tumble_by_kind_ok_n::new,
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

// src/tumble_by_kind_ok_n.rs
//! Stage 1 of the pipeline, `tumble_by_kind_ok_n`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Count, Sum};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::select::Rows;
use worker_lib::state::TableRows;
use worker_lib::window::{Changed, Closed, Input, States, Tumble};

/// Stage 1, fused from:
/// - rows of stage 0
/// - `tumble_final 10s by kind, ok, n [count AS count, sum AS sum_x]`
/// - `project kind, ok, n, window, count AS rows, sum_x AS total`
pub(crate) struct TumbleByKindOkN {
    tumble: Tumble,
    states: States<TumbleByKindOkNState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct TumbleByKindOkNState {
    count: Count,
    sum_x: Sum<f64>,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(TumbleByKindOkN {
        tumble: Tumble::new(
            10_000_000_000,
            &[ScalarType::Utf8, ScalarType::Bool, ScalarType::Int64],
        ),
        states: States::new(),
    })
}

impl Stage for TumbleByKindOkN {
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
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(3)),
                &[
                    Input::row(batch.array(0)),
                    Input::row(batch.array(1)),
                    Input::row(batch.array(2)),
                ],
                &mut cx,
            )?;
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

impl TumbleByKindOkN {
    /// `SELECT count(1), sum(x) GROUP BY tumble(10s), kind, ok, n`
    fn merge_states(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(3)),
                &[
                    Input::row(batch.array(0)),
                    Input::row(batch.array(1)),
                    Input::row(batch.array(2)),
                ],
                cx,
            )?;
        self.thaw();
        self.put_states(batch, false);
        Ok(())
    }

    /// Partial states of the groups that were found; `replace`: what the groups had before is forgotten.
    fn put_states(&mut self, batch: &Batch, replace: bool) {
        let count = batch.i64(4);
        let sum_x = batch.f64(5);
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                if replace {
                    *state = Default::default();
                }
                state.count.merge(count.value(row));
                state.sum_x.merge(sum_x.get(row));
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
        changed.states(group_columns(&self.states.changed(changed)))
    }

    /// Results of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        closed.results(group_columns(self.states.closed(closed)))
    }

    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// Aggregates of groups, as columns.
fn group_columns(states: &[TumbleByKindOkNState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].count.finish());
    columns.push(column::from_i64(values, None));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].sum_x.finish());
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
    ];
    Batch::new(columns.into(), batch.rows)
}

// src/v_by_kind_ok_n.rs
//! Stage 0 of the pipeline, `v_by_kind_ok_n`.

use worker_lib::{column, window, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Count, Sum};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::select::Rows;
use worker_lib::window::{Closed, Input, States, Tumble};

/// Stage 0, fused from:
/// - `source v (single_file)`
/// - `watermark at - INTERVAL '1 seconds'`
/// - `tumble_partial 10s on at by kind, ok, n [count(*) AS count, sum(x) AS sum_x]`
pub(crate) struct VByKindOkN {
    tumble: Tumble,
    states: States<VByKindOkNState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct VByKindOkNState {
    count: Count,
    sum_x: Sum<f64>,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(VByKindOkN {
        tumble: Tumble::new(
            10_000_000_000,
            &[ScalarType::Utf8, ScalarType::Bool, ScalarType::Int64],
        ),
        states: States::new(),
    })
}

impl Stage for VByKindOkN {
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

impl VByKindOkN {
    /// `SELECT count(1), sum(x) GROUP BY tumble(10s), kind, ok, n`
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(4)),
                &[
                    Input::row(batch.array(0)),
                    Input::row(batch.array(3)),
                    Input::row(batch.array(1)),
                ],
                cx,
            )?;
        let x2 = batch.f64(2);
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                state.count.add();
                if let Some(value) = x2.get(row) {
                    state.sum_x.add(value);
                }
            }
        }
        Ok(())
    }

    /// Partial states of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        closed.states(group_columns(self.states.closed(closed)))
    }
}

/// `WATERMARK FOR at AS at - INTERVAL '1 second'`
fn watermark(batch: &Batch, cx: &mut StageContext) {
    window::observe(batch.array(4), -1_000_000_000, cx);
}

/// Aggregates of groups, as columns.
fn group_columns(states: &[VByKindOkNState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let values = column::dense(rows, |row| states[row].count.finish());
    columns.push(column::from_i64(values, None));
    let (values, nulls) = column::dense_opt(rows, |row| states[row].sum_x.finish());
    columns.push(column::from_f64(values, nulls));
    columns
}
