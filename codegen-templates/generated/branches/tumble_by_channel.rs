//! Stage 2 of the pipeline, `tumble_by_channel`.

use worker_lib::{column, Batch, Stage, StageContext, TaskError};
use worker_lib::agg::{Distinct, Sum};
use worker_lib::column::{ArrayRef, ScalarType};
use worker_lib::select::Rows;
use worker_lib::state::TableRows;
use worker_lib::window::{Changed, Closed, Input, States, Tumble};

/// Stage 2, fused from:
/// - rows of stage 1
/// - `tumble 1m on event_time by channel [count(DISTINCT n) AS n, count(DISTINCT n) FILTER (WHERE web_filter) AS web, sum(ratio) AS ratio]`
/// - `project window.start AS start, n`
pub(crate) struct TumbleByChannel {
    n: Distinct,
    web: Distinct,
    tumble: Tumble,
    states: States<TumbleByChannelState>,
}

/// What is kept for a group.
#[derive(Clone, Default)]
struct TumbleByChannelState {
    ratio: Sum<i64>,
}

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(TumbleByChannel {
        n: Distinct::new(&ScalarType::Int32),
        web: Distinct::new(&ScalarType::Int32),
        tumble: Tumble::new(60_000_000_000, &[ScalarType::Utf8]),
        states: States::new(),
    })
}

impl Stage for TumbleByChannel {
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
        while let Some(closed) = self.tumble.next_closed(watermark, cx)? {
            self.thaw();
            let batch = self.results(&closed);
            self.states.release(&closed);
            self.n.release(&closed)?;
            self.web.release(&closed)?;
            self.pass_on(batch, cx)?;
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let mut tables = TableRows::of_tables(3);
        for changed in self.tumble.changed(&mut tables[0])? {
            tables[0].push(self.state_rows(&changed), changed.end);
            self.n.changed(&changed, &self.tumble, &mut tables[1])?;
            self.web.changed(&changed, &self.tumble, &mut tables[2])?;
        }
        Ok(tables)
    }

    fn restore(
        &mut self,
        table: usize,
        batch: &Batch,
        watermark: Option<i64>,
    ) -> Result<(), TaskError> {
        let mut cx = StageContext::default();
        self.tumble.begin_restore(watermark);
        self.tumble
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(1)),
                &[Input::row(batch.array(0))],
                &mut cx,
            )?;
        self.thaw();
        if table == 0 {
            self.put_states(batch, true);
        }
        for part in self.tumble.parts() {
            match table {
                1 => self.n.assign(part, &self.tumble, batch.array(2), None)?,
                2 => self.web.assign(part, &self.tumble, batch.array(2), None)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn restored(&mut self, watermark: i64) {
        self.tumble.restored(watermark);
        self.n.restored();
        self.web.restored();
    }

    fn memory(&self) -> usize {
        self.tumble.memory() + self.states.memory(|_| 0) + self.n.memory()
            + self.web.memory()
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(cold) = self.tumble.next_cold(portion, cx)? {
            let rows = self.state_rows(&cold);
            self.n.freeze(&cold, &self.tumble, cx)?;
            self.web.freeze(&cold, &self.tumble, cx)?;
            let kept = self
                .tumble
                .freeze(&cold, &rows, &[self.n.counts(&cold), self.web.counts(&cold)])?;
            self.states.keep(cold.bin, kept.as_deref());
            self.n.keep(cold.bin, kept.as_deref());
            self.web.keep(cold.bin, kept.as_deref());
        }
        Ok(())
    }
}

impl TumbleByChannel {
    /// `GROUP BY channel`
    fn add_rows(
        &mut self,
        batch: &Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        self.tumble
            .assign(
                Rows::All(batch.rows),
                Input::row(batch.array(1)),
                &[Input::row(batch.array(0))],
                cx,
            )?;
        self.thaw();
        let web_filter = batch.bool(3);
        let ratio = batch.i64(4);
        let n = batch.array(2).clone();
        let web = batch.array(2).clone();
        let keep2 = column::dense_bool(
            batch.rows,
            |row| web_filter.get(row) == Some(true),
        );
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                if let Some(value) = ratio.get(row) {
                    state.ratio.add(value);
                }
            }
            self.n.assign(part, &self.tumble, &n, None)?;
            self.web.assign(part, &self.tumble, &web, Some(&keep2))?;
        }
        Ok(())
    }

    /// Partial states of the groups that were found; `replace`: what the groups had before is forgotten.
    fn put_states(&mut self, batch: &Batch, replace: bool) {
        let ratio = batch.i64(2);
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                let state = &mut states[group];
                if replace {
                    *state = Default::default();
                }
                state.ratio.merge(ratio.get(row));
            }
        }
    }

    /// Takes the states of groups that come back from disk.
    fn thaw(&mut self) {
        while let Some(batch) = self.tumble.next_thawed() {
            self.put_states(&batch, true);
            self.n.put_counts(&self.tumble, batch.array(3));
            self.web.put_counts(&self.tumble, batch.array(4));
        }
    }

    /// Rows of the groups of a window: keys, window, states.
    fn state_rows(&self, changed: &Changed) -> Batch {
        changed.states(group_columns(&self.states.changed(changed)))
    }

    /// Results of closed windows.
    fn results(&self, closed: &Closed) -> Batch {
        let mut columns = group_columns(self.states.closed(closed));
        columns.insert(0, column::from_i64(self.n.finish(closed), None));
        columns.insert(1, column::from_i64(self.web.finish(closed), None));
        closed.results(columns)
    }

    /// Takes results through the rest of the stage.
    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let batch = project(&batch);
        cx.emit(batch);
        Ok(())
    }
}

/// Aggregates of groups, as columns.
fn group_columns(states: &[TumbleByChannelState]) -> Vec<ArrayRef> {
    let rows = states.len();
    let mut columns = Vec::new();
    let (values, nulls) = column::dense_opt(rows, |row| states[row].ratio.finish());
    columns.push(column::from_i64(values, nulls));
    columns
}

/// `SELECT window.start, n`
fn project(batch: &Batch) -> Batch {
    let columns = [batch.path(&[1, 0]), batch.array(2).clone()];
    Batch::new(columns.into(), batch.rows)
}
