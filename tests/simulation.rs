//! A job through crashes, in a world of its own: the real coordinator, log and tasks; the object store, the outside
//! world behind source and sink, and the network between controller and worker are simulated, with faults, pauses and
//! choices from a seed.
//!
//! ```text
//!   attempt 1:  claim ─ worker ─ checkpoints ... ✗ killed, cut off, or left alone as a zombie
//!   attempt 2:        claim ─ restore ─ worker ─ checkpoints ...
//!   ...                                                            the input ends: what has been published?
//! ```
//!
//! Attempts overlap: one that is cut off goes on for as long as it can, with its controller, while others have begun. The
//! oracle is plain arithmetic over the input. `SEED=n` runs one seed, `SEEDS=n` so many from the first. Time is the real
//! one, so a seed gives the same faults and pauses again, but not to the microsecond the same order of events.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use artifacts::objects::{Created, Entry, MemoryObjects, ObjectError, Objects};
use bytes::Bytes;
use controller::checkpoint::{Coordinator, Effect, Event, Setting};
use controller::log::Log;
use controller::state::Time;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use protocol::checkpoint::{Reason, TableKind, TableSpec};
use protocol::job::{EdgePlan, ExchangePlan, JobPlan, SinkPlan, SourcePlan, StagePlan};
use schema::{Field, ScalarType, Schema};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use worker_lib::connector::{Attempt, ConnectorDef, Sink, SinkContext, Source, SourceContext, SourceEvent};
use worker_lib::runtime::{Barrier, Controls, Ending, Job, Keeping, Limits, Report, Stop};
use worker_lib::select::Rows;
use worker_lib::state::TableRows;
use worker_lib::window::{Input, States, Tumble};
use worker_lib::{Batch, Pipeline, Stage, StageContext, StageDef, TaskError, column};

const JOB: &str = "job";
const CODE: &str = "simulated";
const WINDOW: i64 = 20;
/// Partitions of the source, and rows of each. Row `i` of partition `p` has time `i` and key `(i * 7 + p) % 5`.
const PARTITIONS: usize = 3;
const ROWS: i64 = 120;
const INTERVAL: Duration = Duration::from_millis(15);

// --- chance ---------------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct Random(AtomicU64);

impl Random {
    fn word(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&self, limit: u64) -> u64 {
        self.word() % limit
    }

    fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    async fn pause(&self, most_millis: u64) {
        tokio::time::sleep(Duration::from_micros(self.below(most_millis * 1000))).await;
    }
}

// --- the world that survives ------------------------------------------------------------------------------------------

/// A row that has come out: window start and key, count, sum.
type Row = (i64, i64, i64, i64);

#[derive(Debug)]
struct World {
    id: u64,
    random: Random,
    objects: MemoryObjects,
    /// One store fault in so many operations; 0: none any more.
    faults: AtomicU64,
    sink: Mutex<SinkWorld>,
}

#[derive(Debug, Default)]
struct SinkWorld {
    /// By token.
    prepared: BTreeMap<String, Vec<Row>>,
    published: BTreeMap<String, Vec<Row>>,
}

static WORLDS: LazyLock<Mutex<HashMap<u64, Arc<World>>>> = LazyLock::new(Default::default);

fn world_of(options: &Value) -> Arc<World> {
    WORLDS.lock().unwrap()[&options["world"].as_u64().unwrap()].clone()
}

/// The store as one attempt sees it: slow, and failing before or after the fact.
#[derive(Clone, Debug)]
struct Faulty(Arc<World>);

impl Faulty {
    async fn faulty<T>(&self, operation: BoxFuture<'_, Result<T, ObjectError>>) -> Result<T, ObjectError> {
        let world = &self.0;
        let failed = || ObjectError::Io {
            action: "reach",
            path: "the store".into(),
            source: std::io::Error::from(std::io::ErrorKind::TimedOut),
        };
        world.random.pause(6).await;
        let every = world.faults.load(Ordering::Relaxed);
        let fault = every > 0 && world.random.one_in(every);
        if fault && world.random.one_in(2) {
            return Err(failed());
        }
        let done = operation.await;
        world.random.pause(3).await;
        // The answer is lost.
        if fault { Err(failed()) } else { done }
    }
}

impl Objects for Faulty {
    fn url(&self) -> &str {
        "memory:"
    }

    fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(self.faulty(self.0.objects.put(name, bytes)))
    }

    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created, ObjectError>> {
        Box::pin(self.faulty(self.0.objects.create(name, bytes)))
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectError>> {
        Box::pin(self.faulty(self.0.objects.get(name)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, ObjectError>> {
        Box::pin(self.faulty(self.0.objects.list(prefix)))
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(self.faulty(self.0.objects.delete(name)))
    }
}

// --- source and sink --------------------------------------------------------------------------------------------------

/// Partition `p` belongs to task `p mod parallelism`.
struct Numbers {
    world: Arc<World>,
    /// Partition and next row.
    partitions: Vec<(usize, i64)>,
    batch: i64,
}

fn new_source(cx: SourceContext) -> Result<Box<dyn Source>, TaskError> {
    let mut next = [0; PARTITIONS];
    for position in cx.restored.iter().flatten() {
        for (partition, row) in serde_json::from_value::<Vec<(usize, i64)>>(position.clone()).unwrap() {
            next[partition] = row;
        }
    }
    let mine = (0..PARTITIONS).filter(|partition| partition % cx.parallelism == cx.task);
    let partitions = mine.map(|partition| (partition, next[partition])).collect();
    Ok(Box::new(Numbers { world: world_of(&cx.options), partitions, batch: 4 }))
}

impl Source for Numbers {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, TaskError>> {
        Box::pin(async move {
            // Nothing is taken before the pause is over: whoever drops it loses nothing.
            self.world.random.pause(4).await;
            let open: Vec<usize> = (0..self.partitions.len()).filter(|at| self.partitions[*at].1 < ROWS).collect();
            if open.is_empty() {
                return Ok(SourceEvent::End);
            }
            // Partitions of a task are read about evenly, so that with `SLACK` no row is late.
            let first = open.iter().map(|at| self.partitions[*at].1).min().unwrap_or(0);
            let near: Vec<usize> =
                open.into_iter().filter(|at| self.partitions[*at].1 <= first + 2 * self.batch).collect();
            let at = near[self.world.random.below(near.len() as u64) as usize];
            let (partition, first) = self.partitions[at];
            let last = (first + self.batch).min(ROWS);
            self.partitions[at].1 = last;
            if first == last {
                return Ok(SourceEvent::PartitionEnd { partition: at });
            }
            let keys: Int64Array = (first..last).map(|row| (row * 7 + partition as i64) % 5).collect();
            let times = column::from_timestamp((first..last).collect(), None, schema::TimeUnit::Nanosecond, None);
            let values: Int64Array = (first..last).map(|row| row * 10 + partition as i64).collect();
            let columns: Vec<ArrayRef> = vec![Arc::new(keys), times, Arc::new(values)];
            Ok(SourceEvent::Rows { partition: at, batch: Batch::new(columns, (last - first) as usize) })
        })
    }

    fn position(&self) -> Option<Value> {
        Some(serde_json::to_value(&self.partitions).unwrap())
    }
}

struct Kept {
    world: Arc<World>,
    attempt: Attempt,
    task: usize,
    prepared: u64,
    rows: Vec<Row>,
}

fn new_sink(cx: SinkContext) -> Result<Box<dyn Sink>, TaskError> {
    let world = world_of(&cx.options);
    Ok(Box::new(Kept { world, attempt: cx.attempt, task: cx.task, prepared: 0, rows: Vec::new() }))
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
            self.world.random.pause(3).await;
            if self.rows.is_empty() {
                return Ok(None);
            }
            self.prepared += 1;
            let token = format!("{:06}-{}-{}", self.attempt.generation, self.task, self.prepared);
            let rows = std::mem::take(&mut self.rows);
            self.world.sink.lock().unwrap().prepared.insert(token.clone(), rows);
            Ok(Some(json!(token)))
        })
    }

    fn publish(&mut self, token: Value) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            self.world.random.pause(5).await;
            let token = token.as_str().unwrap();
            let mut sink = self.world.sink.lock().unwrap();
            match sink.prepared.remove(token) {
                Some(rows) => {
                    sink.published.insert(token.to_owned(), rows);
                    Ok(())
                }
                None if sink.published.contains_key(token) => Ok(()),
                None => Err(TaskError::fatal(format!("what {token} stands for is gone"))),
            }
        })
    }

    fn discard_leftovers(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(async move {
            let ours = format!("{:06}", self.attempt.generation);
            self.world.sink.lock().unwrap().prepared.retain(|token, _| *token.as_str() >= *ours);
            Ok(())
        })
    }
}

static NUMBERS: ConnectorDef = ConnectorDef { name: "numbers", source: Some(new_source), sink: None };
static KEPT: ConnectorDef = ConnectorDef { name: "kept", source: None, sink: Some(new_sink) };

// --- stages, as the compiler would write them ---------------------------------------------------------------------------

/// The watermark is `SLACK` behind the time of the newest row.
struct Times;

const SLACK: i64 = 16;

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
}

impl Stage for Windows {
    fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> {
        let values = batch.i64(2);
        let keys = [Input::row(batch.array(0))];
        self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(1)), &keys, cx)?;
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
        while let Some(closed) = self.tumble.next_closed(watermark) {
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
        for changed in self.tumble.changed() {
            let states = self.states.changed(&changed);
            let mut columns = changed.keys.clone();
            columns.push(changed.window_start());
            columns.push(column::from_i64(states.iter().map(|state| state.count).collect(), None));
            columns.push(column::from_i64(states.iter().map(|state| state.sum).collect(), None));
            rows.push(Batch::new(columns, states.len()), changed.end);
        }
        Ok(vec![rows])
    }

    fn restore(&mut self, _table: usize, batch: &Batch, watermark: Option<i64>) -> Result<(), TaskError> {
        let (counts, sums) = (batch.i64(2), batch.i64(3));
        let keys = [Input::row(batch.array(0))];
        self.tumble.begin_restore(watermark);
        self.tumble.assign(Rows::All(batch.rows), Input::row(batch.array(1)), &keys, &mut StageContext::default())?;
        for part in self.tumble.parts() {
            let states = self.states.of(part.bin, part.groups);
            for (row, group) in self.tumble.pairs(part) {
                states[group] = Sums { count: counts.value(row), sum: sums.value(row) };
            }
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
static PIPELINE: Pipeline = Pipeline { code: CODE, stages: &STAGES, connectors: &CONNECTORS };

fn plan(world: u64, parallelism: usize) -> JobPlan {
    let number = |name: &str| Field::new(name, ScalarType::Int64, false);
    let time = |name: &str| Field::new(name, ScalarType::TIMESTAMP_NS, false);
    let rows = Schema::new(vec![number("key"), time("time"), number("value")]);
    let sums = Schema::new(vec![number("key"), time("window_start"), number("count"), number("sum")]);
    let table =
        TableSpec { name: "groups".into(), kind: TableKind::TimeKeyed, version: 1, keys: 1, columns: sums.clone() };
    let stage = |id: usize, name: &str, input: &Schema, output: &Schema| StagePlan {
        id,
        name: name.into(),
        operators: vec![name.into()],
        parallelism,
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
        options: json!({ "world": world }),
        metadata: vec![None, None, None],
        watermark: true,
        idle_micros: None,
    });
    let mut to = stage(1, "windows", &rows, &sums);
    let options = json!({ "world": world });
    to.sink = Some(SinkPlan { table: "kept".into(), connector: "kept".into(), options, changelog: None });
    to.tables = vec![table];
    let edges = vec![EdgePlan { from: 0, to: 1, exchange: ExchangePlan::Hash(vec![0]) }];
    JobPlan { code: CODE.into(), stages: vec![from, to], edges }
}

// --- an attempt ---------------------------------------------------------------------------------------------------------

/// How an attempt has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// All input has been processed and published.
    Finished,
    /// It was given up; why.
    Over(String),
}

/// A word between controller and worker.
#[derive(Debug)]
enum Order {
    Checkpoint(Barrier),
    Publish(u64),
}

/// Messages in their order, each after a while.
fn slow<T: Send + 'static>(
    world: Arc<World>,
) -> (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>, JoinHandle<()>) {
    let (sender, mut sent) = mpsc::unbounded_channel::<T>();
    let (out, receiver) = mpsc::unbounded_channel();
    let forwarding = tokio::spawn(async move {
        while let Some(message) = sent.recv().await {
            world.random.pause(if world.random.one_in(20) { 60 } else { 3 }).await;
            if out.send(message).is_err() {
                return;
            }
        }
    });
    (sender, receiver, forwarding)
}

/// Controller and worker of one generation, from the claim to the end.
async fn attempt(world: Arc<World>, number: u64, parallelism: usize) -> Outcome {
    let over = |why: &dyn std::fmt::Display| Outcome::Over(why.to_string());
    let objects: Arc<dyn Objects> = Arc::new(Faulty(world.clone()));
    let log = Log::new(objects.clone(), JOB);
    let claim = match log.claim(number, format!("owner {number}")).await {
        Ok(claim) => claim,
        Err(error) => return over(&error),
    };
    if claim.restore.as_ref().is_some_and(|manifest| manifest.reason == Reason::End) {
        // All has been processed; what was prepared last may still have to be published.
    }
    let plan = plan(world.id, parallelism);
    let (reports, reported) = mpsc::unbounded_channel();
    let keeping = Keeping {
        objects: objects.clone(),
        job: JOB.into(),
        generation: claim.generation,
        reports,
        restore: claim.restore.clone().map(Arc::new),
    };
    let limits = Limits { queue_batches: 2, ..Limits::default() };
    let job = match Job::start(&PIPELINE, &plan, limits, &Handle::current(), Some(keeping)) {
        Ok(job) => job,
        Err(failure) => return over(&failure),
    };
    let controls = job.controls();
    let (orders, ordered, orders_task) = slow(world.clone());
    let (words, heard, words_task) = slow(world.clone());
    let worker = tokio::spawn(worker(job, controls.clone(), ordered, reported, words));
    let setting = Setting {
        job: JOB.into(),
        generation: claim.generation,
        plan,
        next_epoch: claim.number + 1,
        restored: claim.restore.clone(),
        interval: INTERVAL,
        timeout: Duration::from_secs(60),
    };
    let ended = control(&log, log.writer(&claim), setting, orders, heard).await;
    controls.stop(Stop::Immediate);
    worker.abort();
    orders_task.abort();
    words_task.abort();
    ended
}

/// What the worker says.
#[derive(Debug)]
enum Word {
    Report(Report),
    Ended(Result<Ending, String>),
}

async fn worker(
    job: Job,
    controls: Controls,
    mut orders: mpsc::UnboundedReceiver<Order>,
    mut reports: mpsc::UnboundedReceiver<Report>,
    words: mpsc::UnboundedSender<Word>,
) {
    let mut ended = Box::pin(job.wait());
    loop {
        tokio::select! {
            biased;
            Some(order) = orders.recv() => match order {
                Order::Checkpoint(barrier) => controls.checkpoint(barrier),
                Order::Publish(epoch) => controls.publish(epoch),
            },
            Some(report) = reports.recv() => {
                let _ = words.send(Word::Report(report));
            }
            ended = &mut ended => {
                while let Ok(report) = reports.try_recv() {
                    let _ = words.send(Word::Report(report));
                }
                let _ = words.send(Word::Ended(ended.map_err(|failure| failure.to_string())));
                return;
            }
        }
    }
}

/// The controller's part: the coordinator's effects, carried out as the job's loop does it.
async fn control(
    log: &Log,
    mut writer: controller::log::Writer,
    setting: Setting,
    orders: mpsc::UnboundedSender<Order>,
    mut words: mpsc::UnboundedReceiver<Word>,
) -> Outcome {
    let clock = tokio::time::Instant::now();
    let now = || Time::after_start(clock.elapsed());
    let generation = setting.generation;
    let mut coordinator = Coordinator::new(setting, now());
    let mut completed = 0;
    let mut events = vec![];
    loop {
        while let Some(event) = events.pop() {
            for effect in coordinator.step(event, now(), 0) {
                match effect {
                    Effect::Begin { epoch, last } => drop(orders.send(Order::Checkpoint(Barrier { epoch, last }))),
                    Effect::Publish { epoch } => drop(orders.send(Order::Publish(epoch))),
                    Effect::Write(manifest) => match writer.append(*manifest).await {
                        Ok(epoch) => events.push(Event::Written { epoch }),
                        Err(error) => return Outcome::Over(error.to_string()),
                    },
                    Effect::Completed(_) => {
                        completed += 1;
                        if completed % 2 == 0
                            && let Err(error) = controller::collect::collect(log, 2, generation).await
                        {
                            return Outcome::Over(error.to_string());
                        }
                    }
                    Effect::Fail(failure) => return Outcome::Over(failure.to_string()),
                }
            }
        }
        let deadline = coordinator.deadline().map(|deadline| clock + deadline.since(Time::default()));
        let tick = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            word = words.recv() => match word {
                Some(Word::Report(Report::Snapshot(snapshot))) => events.push(Event::Snapshot(snapshot)),
                Some(Word::Report(Report::Published { stage, task, epoch })) => {
                    events.push(Event::Published { place: (stage, task), epoch });
                }
                Some(Word::Report(Report::Failed { error, .. })) => return Outcome::Over(error.to_string()),
                Some(Word::Ended(Ok(Ending::Finished))) => return Outcome::Finished,
                Some(Word::Ended(Ok(Ending::Stopped))) => return Outcome::Over("stopped".into()),
                Some(Word::Ended(Err(failure))) => return Outcome::Over(failure),
                None => return Outcome::Over("the worker is gone".into()),
            },
            () = tick => events.push(Event::Tick),
        }
    }
}

// --- a life with crashes --------------------------------------------------------------------------------------------------

async fn live(seed: u64) -> Result<(), String> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let world = Arc::new(World {
        id: NEXT.fetch_add(1, Ordering::Relaxed),
        random: Random(AtomicU64::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D))),
        objects: MemoryObjects::new(),
        faults: AtomicU64::new(40),
        sink: Mutex::default(),
    });
    WORLDS.lock().unwrap().insert(world.id, world.clone());
    let crashes = world.random.below(6);
    let mut zombies: Vec<JoinHandle<Outcome>> = Vec::new();
    let mut trace = Vec::new();
    for number in 1.. {
        if number > crashes {
            // The rest is without faults, so that it comes to an end; zombies still are about.
            world.faults.store(0, Ordering::Relaxed);
        }
        if number > 40 {
            return Err(format!("no end in sight:\n{}", trace.join("\n")));
        }
        let parallelism = 1 + world.random.below(3) as usize;
        let mut running = tokio::spawn(attempt(world.clone(), number, parallelism));
        let until = match number <= crashes {
            true => Duration::from_micros(world.random.below(250_000)),
            false => Duration::from_secs(120),
        };
        let outcome = tokio::select! {
            biased;
            outcome = &mut running => Some(outcome.map_err(|error| error.to_string())?),
            () = tokio::time::sleep(until) => None,
        };
        trace.push(format!("attempt {number} x{parallelism}: {outcome:?}"));
        match outcome {
            Some(Outcome::Finished) => break,
            Some(Outcome::Over(_)) => world.random.pause(10).await,
            // Killed, or believed dead.
            None if world.random.one_in(2) => running.abort(),
            None => zombies.push(running),
        }
    }
    // Zombies have all the time they want.
    for zombie in zombies {
        let ended = tokio::time::timeout(Duration::from_secs(60), zombie).await;
        trace.push(format!("zombie: {ended:?}"));
    }
    WORLDS.lock().unwrap().remove(&world.id);
    check(&world).map_err(|error| format!("{error}\n{}", trace.join("\n")))
}

/// What has been published is what the input comes to, each row once.
fn check(world: &World) -> Result<(), String> {
    let mut expected: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for partition in 0..PARTITIONS as i64 {
        for row in 0..ROWS {
            let group = (row / WINDOW * WINDOW, (row * 7 + partition) % 5);
            let sums = expected.entry(group).or_default();
            *sums = (sums.0 + 1, sums.1 + row * 10 + partition);
        }
    }
    let expected: Vec<Row> = expected.into_iter().map(|((start, key), (n, sum))| (start, key, n, sum)).collect();
    let sink = world.sink.lock().unwrap();
    let mut found: Vec<Row> = sink.published.values().flatten().copied().collect();
    found.sort_unstable();
    if found == expected {
        return Ok(());
    }
    let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
    let wrong: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
    let twice: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    Err(format!("missing: {missing:?}\nwrong: {wrong:?}\ntwice: {twice:?}"))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Lives that go on at once: nearly all of their time is pauses.
const AT_ONCE: usize = 64;

#[test]
fn the_output_is_that_of_one_run_whatever_crashes() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(300),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let failed = runtime.block_on(async {
        let lives = seeds.map(|seed| async move {
            let lived = tokio::spawn(live(seed)).await.map_err(|error| error.to_string()).flatten();
            lived.err().map(|error| format!("SEED={seed}: {error}"))
        });
        let failed = futures::stream::iter(lives).buffer_unordered(AT_ONCE);
        failed.filter_map(std::future::ready).collect::<Vec<String>>().await
    });
    assert!(failed.is_empty(), "{} seeds failed:\n{}", failed.len(), failed[..failed.len().min(3)].join("\n\n"));
}
