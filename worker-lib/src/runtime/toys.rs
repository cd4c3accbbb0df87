//! Toy stages, sources and sinks for the tests of the runtime, steered by their options.
//!
//! Rows are `(key, time)` pairs of `i64`. Sinks keep what they get under the name in their options, because tests
//! cannot reach into a running task.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use futures::future::BoxFuture;
use protocol::checkpoint::{TableKind, TableSpec};
use protocol::job::{EdgePlan, ExchangePlan, JobPlan, SinkPlan, SourcePlan, StagePlan};
use schema::{Field, ScalarType, Schema};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::batch::Batch;
use crate::column;
use crate::connector::{ConnectorDef, Sink, SinkContext, SinkCounters, Source, SourceContext, SourceEvent};
use crate::error::TaskError;
use crate::stage::{Pipeline, Stage, StageContext, StageDef};
use crate::state::TableRows;
use crate::updating::{Accumulators, Updating};

pub(crate) const CODE: &str = "toys";

static TOY: ConnectorDef = ConnectorDef {
    name: "toy",
    source: Some(|cx| Ok(Box::new(ToySource::new(cx)))),
    sink: Some(|cx| Ok(Box::new(ToySink::new(cx)?))),
};

type NewStage = fn() -> Box<dyn Stage>;

/// A pipeline with those stages, by id.
pub(crate) fn pipeline(stages: &[(usize, NewStage)]) -> &'static Pipeline {
    let stages: Vec<_> = stages.iter().map(|(id, new)| StageDef { id: *id, name: "toy", new: *new }).collect();
    let connectors: &'static [&'static ConnectorDef] = Box::leak(Box::new([&TOY]));
    Box::leak(Box::new(Pipeline { code: CODE, stages: stages.leak(), connectors }))
}

/// A stage of `(key, time)` rows.
pub(crate) fn stage(id: usize, parallelism: usize, generated: bool) -> StagePlan {
    let field = |name: &str| Field::new(name, ScalarType::Int64, true);
    let schema = Schema::new(vec![field("key"), field("time")]);
    StagePlan {
        id,
        name: format!("stage_{id}"),
        operators: Vec::new(),
        parallelism,
        generated,
        source: None,
        sink: None,
        input_schema: schema.clone(),
        output_schema: schema,
        tables: Vec::new(),
        updating_ttl_micros: None,
    }
}

pub(crate) fn source(options: Value, watermark: bool) -> SourcePlan {
    SourcePlan {
        table: "toys".into(),
        connector: "toy".into(),
        options,
        metadata: vec![None, None],
        watermark,
        idle_micros: None,
    }
}

pub(crate) fn sink(name: &str) -> SinkPlan {
    SinkPlan { table: "kept".into(), connector: "toy".into(), options: json!({ "name": name }), changelog: None }
}

pub(crate) fn plan(stages: Vec<StagePlan>, edges: &[(usize, usize, ExchangePlan)]) -> JobPlan {
    let edge = |(from, to, exchange): &(usize, usize, ExchangePlan)| EdgePlan {
        from: *from,
        to: *to,
        port: 0,
        exchange: exchange.clone(),
    };
    let edges = edges.iter().map(edge);
    JobPlan { code: CODE.into(), stages, edges: edges.collect() }
}

/// `rows` rows from each task of a source, forwarded to a sink.
pub(crate) fn plan_to_sink(name: &str, rows: usize, parallelism: usize) -> JobPlan {
    let mut from = stage(0, parallelism, false);
    from.source = Some(source(json!({ "rows": rows }), false));
    let mut to = stage(1, parallelism, false);
    to.sink = Some(sink(name));
    plan(vec![from, to], &[(0, 1, ExchangePlan::Forward)])
}

/// Options (each may be an array with a value for each task): `rows` (default 0), `step` of time between rows
/// (default 1), `hang`: at the end, wait for ever.
struct ToySource {
    task: usize,
    next: usize,
    rows: usize,
    step: i64,
    batch_rows: usize,
    hang: bool,
}

impl ToySource {
    fn new(cx: SourceContext) -> Self {
        let option = |name: &str| match &cx.options[name] {
            Value::Array(each) => each[cx.task].clone(),
            value => value.clone(),
        };
        ToySource {
            task: cx.task,
            next: 0,
            rows: option("rows").as_u64().unwrap_or(0) as usize,
            step: option("step").as_i64().unwrap_or(1),
            batch_rows: cx.batch_rows,
            hang: option("hang").as_bool().unwrap_or(false),
        }
    }
}

impl Source for ToySource {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            if self.next == self.rows {
                if self.hang {
                    std::future::pending::<()>().await;
                }
                return Ok(SourceEvent::End);
            }
            let rows = self.batch_rows.min(self.rows - self.next);
            let range = self.next as i64..(self.next + rows) as i64;
            self.next += rows;
            let keys: Int64Array = range.clone().map(|row| row * 10 + self.task as i64).collect();
            let times: Int64Array = range.map(|row| row * self.step).collect();
            Ok(SourceEvent::Rows { partition: 0, batch: Batch::new(vec![Arc::new(keys), Arc::new(times)], rows) })
        })
    }
}

#[derive(Default)]
struct Kept {
    rows: Vec<(i64, i64)>,
    closed: bool,
}

static KEPT: LazyLock<Mutex<HashMap<String, Kept>>> = LazyLock::new(Default::default);

/// Permits for the sinks that wait for one before each write.
pub(crate) static GATE: Semaphore = Semaphore::const_new(0);

pub(crate) fn rows(name: &str) -> Vec<(i64, i64)> {
    KEPT.lock().unwrap().get(name).map(|kept| kept.rows.clone()).unwrap_or_default()
}

pub(crate) fn is_closed(name: &str) -> bool {
    KEPT.lock().unwrap().get(name).is_some_and(|kept| kept.closed)
}

/// Waits for something that another task does. A test that waits for ever is a failed test.
pub(crate) async fn wait_until(mut happened: impl FnMut() -> bool) {
    while !happened() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Options: `name`; `fail_after` so many rows; `close_after` so many rows, as a pipe whose reader goes; `gate`.
struct ToySink {
    name: String,
    fail_after: Option<u64>,
    close_after: Option<u64>,
    gate: bool,
    counters: Arc<SinkCounters>,
    got: u64,
}

impl ToySink {
    fn new(cx: SinkContext) -> Result<Self, TaskError> {
        if cx.options["refuse"].as_bool() == Some(true) {
            return Err(TaskError::user("the toy sink does not open"));
        }
        Ok(ToySink {
            name: cx.options["name"].as_str().unwrap().to_owned(),
            fail_after: cx.options["fail_after"].as_u64(),
            close_after: cx.options["close_after"].as_u64(),
            gate: cx.options["gate"].as_bool().unwrap_or(false),
            counters: cx.counters,
            got: 0,
        })
    }
}

impl Sink for ToySink {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            if self.gate {
                GATE.acquire().await.unwrap().forget();
            }
            self.got += batch.rows as u64;
            if self.fail_after.is_some_and(|most| self.got > most) {
                return Err(TaskError::user("the toy sink is full"));
            }
            if self.close_after.is_some_and(|most| self.got > most) {
                self.counters.closed.store(true, Relaxed);
            }
            let column = |i: usize| batch.columns[i].as_primitive::<Int64Type>().values().to_vec();
            let mut kept = KEPT.lock().unwrap();
            kept.entry(self.name.clone()).or_default().rows.extend(column(0).into_iter().zip(column(1)));
            Ok(())
        })
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async { Ok(()) })
    }

    fn prepare(&mut self) -> BoxFuture<'_, Result<Option<Value>, TaskError>> {
        Box::pin(async { Ok(Some(json!({ "prepared": self.got }))) })
    }

    fn publish(&mut self, _token: Value) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async {
            KEPT.lock().unwrap().entry(self.name.clone()).or_default().closed = true;
            Ok(())
        })
    }
}

pub(crate) fn pairs(pairs: impl IntoIterator<Item = (i64, i64)>) -> Batch {
    let (keys, values): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
    let rows = keys.len();
    Batch::new(vec![Arc::new(Int64Array::from(keys)), Arc::new(Int64Array::from(values))], rows)
}

pub(crate) fn values(batch: &Batch) -> Vec<(i64, i64)> {
    let column = |i: usize| batch.columns[i].as_primitive::<Int64Type>().values().to_vec();
    column(0).into_iter().zip(column(1)).collect()
}

/// Derives the watermark from the time.
pub(crate) struct Times;

impl Stage for Times {
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        cx.observed_watermark = values(&batch).iter().map(|(_, time)| *time).max();
        cx.emit(batch);
        Ok(())
    }
}

/// Keys modulo 7.
pub(crate) struct Modulo;

impl Stage for Modulo {
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        cx.emit(pairs(values(&batch).into_iter().map(|(key, time)| (key % 7, time))));
        Ok(())
    }
}

/// Counts rows by key; says so at the end.
#[derive(Default)]
pub(crate) struct Counts {
    counts: HashMap<i64, i64>,
}

impl Stage for Counts {
    fn on_batch(&mut self, batch: Batch, _cx: &mut StageContext) -> Result<(), TaskError> {
        for (key, _) in values(&batch) {
            *self.counts.entry(key).or_default() += 1;
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: i64, cx: &mut StageContext) -> Result<(), TaskError> {
        if watermark == i64::MAX {
            cx.emit(pairs(self.counts.drain()));
        }
        Ok(())
    }
}

/// As [`Counts`], and keeps what it has counted in [`tally_table`].
#[derive(Default)]
pub(crate) struct Tally {
    counts: Counts,
    changed: BTreeSet<i64>,
}

pub(crate) fn tally_table() -> TableSpec {
    let number = |name: &str| Field::new(name, ScalarType::Int64, false);
    let columns = Schema::new(vec![number("key"), number("count"), Field::new("_deleted", ScalarType::Bool, false)]);
    TableSpec {
        name: "tally".into(),
        kind: TableKind::Keyed,
        version: 1,
        keys: 1,
        columns,
        lifetime: None,
        operator: Default::default(),
    }
}

impl Stage for Tally {
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        self.changed.extend(values(&batch).into_iter().map(|(key, _)| key));
        self.counts.on_batch(batch, cx)
    }

    fn on_watermark(&mut self, watermark: i64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.counts.on_watermark(watermark, cx)
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let counts = &self.counts.counts;
        let mut batch = pairs(std::mem::take(&mut self.changed).into_iter().map(|key| (key, counts[&key])));
        batch.columns.push(column::from_bool(column::pack(&vec![false; batch.rows]), None));
        let mut rows = TableRows::default();
        rows.keep(batch);
        Ok(vec![rows])
    }

    fn restore(&mut self, _table: usize, rows: &Batch, _watermark: Option<i64>) -> Result<(), TaskError> {
        self.counts.counts.extend(values(rows));
        Ok(())
    }
}

/// Says of each row which input it came from: `(port, time)`.
pub(crate) struct Ports;

impl Stage for Ports {
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let port = cx.port as i64;
        cx.emit(pairs(values(&batch).into_iter().map(|(_, time)| (port, time))));
        Ok(())
    }
}

/// Swallows rows and makes watermarks visible: a row `(watermark, rows before it)` for each.
#[derive(Default)]
pub(crate) struct Watermarks {
    rows: i64,
}

impl Stage for Watermarks {
    fn on_batch(&mut self, batch: Batch, _cx: &mut StageContext) -> Result<(), TaskError> {
        self.rows += batch.rows as i64;
        Ok(())
    }

    fn on_watermark(&mut self, watermark: i64, cx: &mut StageContext) -> Result<(), TaskError> {
        cx.emit(pairs([(watermark, self.rows)]));
        Ok(())
    }
}

/// Gathers rows for a flush interval: a row `(rows gathered, calls of the timer)` for each.
#[derive(Default)]
pub(crate) struct Timed {
    rows: i64,
    calls: i64,
}

impl Stage for Timed {
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        if self.rows == 0 {
            cx.wake_at(cx.now + cx.flush_interval);
        }
        self.rows += batch.rows as i64;
        Ok(())
    }

    fn on_timer(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        self.calls += 1;
        cx.emit(pairs([(std::mem::take(&mut self.rows), self.calls)]));
        Ok(())
    }
}

/// Counts rows by key, and says at each change what it said before and what is true now.
pub(crate) struct Totals {
    updating: Updating,
    counts: Accumulators<i64>,
    say: fn(Batch) -> Batch,
}

impl Totals {
    /// `say`: what leaves of rows that say whether they are taken back, a key and its count.
    pub(crate) fn new(say: fn(Batch) -> Batch) -> Self {
        Totals { updating: Updating::new(&[ScalarType::Int64]), counts: Accumulators::new(), say }
    }

    fn flush(&mut self, cx: &mut StageContext) -> Result<(), TaskError> {
        while let Some(changed) = self.updating.next_changed(cx) {
            let before = column::from_i64(self.counts.before(&changed).to_vec(), None);
            let after = column::from_i64(self.counts.after(&changed), None);
            cx.emit((self.say)(self.updating.changes(&changed, &[before], &[after])));
        }
        if !cx.more {
            self.counts.flushed(self.updating.flushed(cx)?);
        }
        Ok(())
    }
}

impl Totals {
    fn put(&mut self, rows: &Batch) {
        let saved = rows.i64(1);
        let counts = self.counts.restore(&self.updating);
        self.updating.pairs().for_each(|(row, group)| counts[group] = saved.value(row));
    }
}

/// `(key, count)`, or `(key, -count)` if that is taken back.
pub(crate) fn signed(changes: Batch) -> Batch {
    let sign = |row| if changes.bool(0).value(row) { -1 } else { 1 };
    pairs((0..changes.rows).map(|row| (changes.i64(1).value(row), sign(row) * changes.i64(2).value(row))))
}

impl Stage for Totals {
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        self.updating.assign(&batch, cx)?;
        while let Some(rows) = self.updating.next_thawed() {
            self.put(&rows);
        }
        let counts = self.counts.begin(&self.updating);
        self.updating.pairs().for_each(|(_, group)| counts[group] += 1);
        Ok(())
    }

    fn on_watermark(&mut self, watermark: i64, cx: &mut StageContext) -> Result<(), TaskError> {
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
        while let Some(saved) = self.updating.next_unsaved(&mut table)? {
            let counts = column::from_i64(self.counts.saved(&saved), None);
            table.keep(saved.batch(vec![counts]));
        }
        Ok(vec![table])
    }

    fn restore(&mut self, _table: usize, batch: &Batch, _watermark: Option<i64>) -> Result<(), TaskError> {
        self.updating.restore(batch)?;
        self.put(batch);
        Ok(())
    }

    fn memory(&self) -> usize {
        self.updating.memory() + self.counts.memory(|_| 0)
    }

    fn evict(&mut self, portion: f64, cx: &mut StageContext) -> Result<(), TaskError> {
        self.flush(cx)?;
        while let Some(cold) = self.updating.next_cold(portion, cx)? {
            let counts = column::from_i64(self.counts.saved(&cold), None);
            self.counts.keep(self.updating.freeze(cold, vec![counts])?);
        }
        Ok(())
    }
}

/// The table of [`Totals`].
pub(crate) fn totals_table() -> TableSpec {
    let field = |name: &str, ty| Field::new(name, ty, false);
    let columns = Schema::new(vec![
        Field::new("key", ScalarType::Int64, true),
        field("count", ScalarType::Int64),
        field("_updated", ScalarType::TIMESTAMP_NS),
        field("_deleted", ScalarType::Bool),
    ]);
    TableSpec {
        name: "groups".into(),
        kind: TableKind::Keyed,
        version: 1,
        keys: 1,
        columns,
        lifetime: None,
        operator: Default::default(),
    }
}

/// Has the row (3, 30) of its table changed at each checkpoint.
pub(crate) struct Changing;

impl Stage for Changing {
    fn on_batch(&mut self, _batch: Batch, _cx: &mut StageContext) -> Result<(), TaskError> {
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableRows>, TaskError> {
        let mut rows = TableRows::default();
        rows.keep(pairs([(3, 30)]));
        Ok(vec![rows])
    }
}

/// Panics at its first row.
pub(crate) struct Panics;

impl Stage for Panics {
    fn on_batch(&mut self, _batch: Batch, _cx: &mut StageContext) -> Result<(), TaskError> {
        panic!("the toy is broken")
    }
}
