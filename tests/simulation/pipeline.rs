//! The job that is run: a source with partitions, windows over keys behind a hash exchange, a sink in two phases. Stages
//! are written as the compiler would; what is outside of them is the [`World`]'s.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use futures::future::BoxFuture;
use protocol::checkpoint::{Lifetime, Operator, TableKind, TableSpec};
use protocol::job::{EdgePlan, ExchangePlan, JobPlan, SinkPlan, SourcePlan, StagePlan};
use schema::{Field, ScalarType, Schema};
use serde_json::{Value, json};
use worker_lib::connector::{ConnectorDef, Sink, SinkContext, Source, SourceContext, SourceEvent};
use worker_lib::select::Rows;
use worker_lib::state::TableRows;
use worker_lib::window::{Changed, Input, States, Tumble};
use worker_lib::{Batch, Pipeline, Stage, StageContext, StageDef, TaskError, column};

use crate::oracle::Row;
use crate::process::{Process, Side, Step};
use crate::world::World;

pub(crate) const JOB: &str = "job";
const CODE: &str = "simulated";

/// Rows have the times 0, 1, 2 ... in each partition.
pub(crate) const PARTITIONS: usize = 4;
pub(crate) const ROWS: i64 = 160;
pub(crate) const WINDOW: i64 = 20;
pub(crate) const KEYS: i64 = 11;
const BATCH: i64 = 4;

pub(crate) fn key_of(partition: usize, row: i64) -> i64 {
    (row * 7 + partition as i64) % KEYS
}

pub(crate) fn value_of(partition: usize, row: i64) -> i64 {
    row * 10 + partition as i64
}

thread_local! {
    /// The workers of this life, because a connector is made from nothing but its options.
    static WORKERS: RefCell<Vec<Arc<Process>>> = const { RefCell::new(Vec::new()) };
}

fn worker_of(options: &Value) -> Arc<Process> {
    WORKERS.with_borrow(|workers| workers[options["worker"].as_u64().unwrap() as usize].clone())
}

/// A life is over.
pub(crate) fn forget_workers() {
    WORKERS.with_borrow_mut(Vec::clear);
}

// --- source and sink --------------------------------------------------------------------------------------------------

/// Partition `p` belongs to task `p mod parallelism`.
struct Numbers {
    worker: Arc<Process>,
    /// Partition and next row.
    partitions: Vec<(usize, i64)>,
    /// Partitions whose end has been told.
    ended: Vec<bool>,
    /// One task may have rows long before another.
    begun: bool,
}

fn new_source(cx: SourceContext) -> Result<Box<dyn Source>, TaskError> {
    let mut next = [0; PARTITIONS];
    for position in cx.restored.iter().flatten() {
        for (partition, row) in serde_json::from_value::<Vec<(usize, i64)>>(position.clone()).unwrap() {
            next[partition] = row;
        }
    }
    let mine = (0..PARTITIONS).filter(|partition| partition % cx.parallelism == cx.task);
    let partitions: Vec<_> = mine.map(|partition| (partition, next[partition])).collect();
    let ended = vec![false; partitions.len()];
    Ok(Box::new(Numbers { worker: worker_of(&cx.options), partitions, ended, begun: false }))
}

impl Source for Numbers {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            // Nothing is taken before the waits are over: whoever drops it loses nothing.
            self.worker.at(Step::Read, Side::Before).await;
            let random = &self.worker.world.random;
            if !std::mem::replace(&mut self.begun, true) && random.one_in(3) {
                random.pause(100).await;
            }
            if !random.one_in(3) {
                random.pause(8).await;
            }
            let open: Vec<usize> = (0..self.partitions.len()).filter(|at| !self.ended[*at]).collect();
            let Some(slowest) = open.iter().map(|at| self.partitions[*at].1).min() else {
                return Ok(SourceEvent::End);
            };
            // Partitions of a task are read about evenly, so that with `SLACK` no row is late.
            let near: Vec<usize> =
                open.into_iter().filter(|at| self.partitions[*at].1 <= slowest + 2 * BATCH).collect();
            let at = random.pick(&near);
            let (partition, first) = self.partitions[at];
            if first == ROWS {
                self.ended[at] = true;
                return Ok(SourceEvent::PartitionEnd { partition: at });
            }
            let last = (first + BATCH).min(ROWS);
            self.partitions[at].1 = last;
            let keys: Int64Array = (first..last).map(|row| key_of(partition, row)).collect();
            let times = column::from_timestamp((first..last).collect(), None, schema::TimeUnit::Nanosecond, None);
            let values: Int64Array = (first..last).map(|row| value_of(partition, row)).collect();
            let columns: Vec<ArrayRef> = vec![Arc::new(keys), times, Arc::new(values)];
            Ok(SourceEvent::Rows { partition: at, batch: Batch::new(columns, (last - first) as usize) })
        })
    }

    fn position(&self) -> Option<Value> {
        Some(serde_json::to_value(&self.partitions).unwrap())
    }
}

struct Kept {
    worker: Arc<Process>,
    /// As tokens begin.
    generation: String,
    task: usize,
    prepared: u64,
    rows: Vec<Row>,
}

fn new_sink(cx: SinkContext) -> Result<Box<dyn Sink>, TaskError> {
    let generation = format!("{:06}", cx.attempt.generation);
    Ok(Box::new(Kept { worker: worker_of(&cx.options), generation, task: cx.task, prepared: 0, rows: Vec::new() }))
}

fn lost(what: &str) -> TaskError {
    TaskError::retryable(format!("cannot {what}: no answer"))
}

impl Sink for Kept {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), TaskError>> {
        let number = |column: usize| batch.columns[column].as_primitive::<Int64Type>();
        let starts = batch.columns[1].as_primitive::<TimestampNanosecondType>();
        for row in 0..batch.rows {
            self.rows.push((starts.value(row), number(0).value(row), number(2).value(row), number(3).value(row)));
        }
        Box::pin(async { Ok(()) })
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async { Ok(()) })
    }

    fn prepare(&mut self) -> BoxFuture<'_, Result<Option<Value>, TaskError>> {
        Box::pin(async move {
            if self.rows.is_empty() {
                return Ok(None);
            }
            self.prepared += 1;
            let token = format!("{}-{}-{}", self.generation, self.task, self.prepared);
            let (named, rows) = (token.clone(), std::mem::take(&mut self.rows));
            let act = move |world: &World, by: &str| world.prepare(by, &named, &rows);
            let done = self.worker.remote(Step::Prepare, "prepare", act).await;
            done.map(|()| Some(json!(token))).ok_or_else(|| lost("prepare"))
        })
    }

    fn publish(&mut self, token: Value) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            let token = token.as_str().unwrap().to_owned();
            let step = if token.starts_with(&self.generation) { Step::Publish } else { Step::Republish };
            let act = move |world: &World, by: &str| world.publish(by, &token);
            let done = self.worker.remote(step, "publish", act).await;
            done.ok_or_else(|| lost("publish"))?.map_err(TaskError::fatal)
        })
    }

    fn discard_leftovers(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            let ours = self.generation.clone();
            let act = move |world: &World, by: &str| world.discard(by, &ours);
            self.worker.remote(Step::Discard, "discard", act).await.ok_or_else(|| lost("discard"))
        })
    }
}

static NUMBERS: ConnectorDef = ConnectorDef { name: "numbers", source: Some(new_source), sink: None };
static KEPT: ConnectorDef = ConnectorDef { name: "kept", source: None, sink: Some(new_sink) };

// --- stages -----------------------------------------------------------------------------------------------------------

/// The watermark is `SLACK` behind the time of the newest row.
struct Times;

const SLACK: i64 = 4 * BATCH;

impl Stage for Times {
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        worker_lib::window::observe(batch.array(1), -SLACK, cx);
        cx.emit(batch);
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Sums {
    count: i64,
    sum: i64,
}

struct Windows {
    tumble: Tumble,
    states: States<Sums>,
}

impl Windows {
    fn new() -> Windows {
        Windows { tumble: Tumble::new(WINDOW, &[ScalarType::Int64]), states: States::new() }
    }

    fn thaw(&mut self) {
        while let Some(rows) = self.tumble.next_thawed() {
            self.put(&rows);
        }
    }

    fn put(&mut self, rows: &Batch) {
        let (counts, sums) = (rows.i64(2), rows.i64(3));
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                states[group] = Sums { count: counts.value(row), sum: sums.value(row) };
            }
        }
    }

    fn rows_of(&self, changed: &Changed) -> Batch {
        let states = self.states.changed(changed);
        let mut columns = changed.keys.clone();
        columns.push(changed.window_start());
        columns.push(column::from_i64(states.iter().map(|state| state.count).collect(), None));
        columns.push(column::from_i64(states.iter().map(|state| state.sum).collect(), None));
        Batch::new(columns, states.len())
    }
}

impl Stage for Windows {
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let values = batch.i64(2);
        let keys = [Input::row(batch.array(0))];
        self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(1)), &keys, cx)?;
        self.thaw();
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                states[group].count += 1;
                states[group].sum += values.value(row);
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: i64, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(closed) = self.tumble.next_closed(watermark, cx)? {
            self.thaw();
            let states = self.states.closed(&closed);
            let mut columns = closed.keys.clone();
            columns.push(closed.window_start());
            columns.push(column::from_i64(states.iter().map(|state| state.count).collect(), None));
            columns.push(column::from_i64(states.iter().map(|state| state.sum).collect(), None));
            cx.emit(Batch::new(columns, states.len()));
            self.states.release(&closed);
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let mut rows = TableRows::default();
        for changed in self.tumble.changed(&mut rows)? {
            rows.push(self.rows_of(&changed), changed.end);
        }
        Ok(vec![rows])
    }

    fn restore(&mut self, _table: usize, batch: &Batch, watermark: Option<i64>) -> Result<(), TaskError> {
        let keys = [Input::row(batch.array(0))];
        self.tumble.begin_restore(watermark);
        self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(1)), &keys, &mut StageContext::default())?;
        self.thaw();
        self.put(batch);
        Ok(())
    }

    fn memory(&self) -> usize {
        self.tumble.memory() + self.states.memory(|_| 0)
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(cold) = self.tumble.next_cold(portion, cx)? {
            let rows = self.rows_of(&cold);
            let kept = self.tumble.freeze(&cold, &rows, &[])?;
            self.states.keep(cold.bin, kept.as_deref());
        }
        Ok(())
    }

    fn restored(&mut self, watermark: i64) {
        self.tumble.restored(watermark);
    }
}

static STAGES: [StageDef; 2] = [
    StageDef { id: 0, name: "numbers", new: || Box::new(Times) },
    StageDef { id: 1, name: "windows", new: || Box::new(Windows::new()) },
];
static CONNECTORS: [&ConnectorDef; 2] = [&NUMBERS, &KEPT];
pub(crate) static PIPELINE: Pipeline = Pipeline { code: CODE, stages: &STAGES, connectors: &CONNECTORS };

/// The plan for a worker, with so many tasks of each stage.
pub(crate) fn plan(worker: Arc<Process>, tasks: [usize; 2]) -> JobPlan {
    let options = WORKERS.with_borrow_mut(|workers| {
        workers.push(worker);
        json!({ "worker": workers.len() - 1 })
    });
    let number = |name: &str| Field::new(name, ScalarType::Int64, false);
    let time = |name: &str| Field::new(name, ScalarType::TIMESTAMP_NS, false);
    let rows = Schema::new(vec![number("key"), time("time"), number("value")]);
    let sums = Schema::new(vec![number("key"), time("window_start"), number("count"), number("sum")]);
    let table = TableSpec {
        name: "groups".into(),
        kind: TableKind::TimeKeyed,
        version: 1,
        keys: 1,
        columns: sums.clone(),
        lifetime: Some(Lifetime { column: 1, nanos: WINDOW }),
        operator: Operator::default(),
    };
    let stage = |id: usize, name: &str, input: &Schema, output: &Schema| StagePlan {
        id,
        name: name.into(),
        operators: vec![name.into()],
        parallelism: tasks[id],
        generated: true,
        source: None,
        sink: None,
        input_schema: input.clone(),
        output_schema: output.clone(),
        tables: vec![],
        updating_ttl_micros: None,
    };
    let mut from = stage(0, "numbers", &rows, &rows);
    from.source = Some(SourcePlan {
        table: "numbers".into(),
        connector: "numbers".into(),
        options: options.clone(),
        metadata: vec![None, None, None],
        watermark: true,
        idle_micros: None,
    });
    let mut to = stage(1, "windows", &rows, &sums);
    to.sink = Some(SinkPlan { table: "kept".into(), connector: "kept".into(), options, changelog: None });
    to.tables = vec![table];
    let edges = vec![EdgePlan { from: 0, to: 1, port: 0, exchange: ExchangePlan::Hash(vec![0]) }];
    JobPlan { code: CODE.into(), stages: vec![from, to], edges }
}
