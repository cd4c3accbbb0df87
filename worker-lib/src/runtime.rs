//! A job in this process: the tasks of a plan, started together, ended together.
//!
//! ```text
//!   JobPlan + Pipeline ──▶ Job::start ──▶ one tokio task for each stage × parallelism (see `task`)
//!                              │
//!        counters() controls() ┴─ wait() ──▶ Finished | Stopped | TaskFailure
//! ```
//!
//! **Ends.** The job is finished when every task has ended in good order: sources end (or are told to, which is the
//! graceful stop), the end travels through the queues behind the last rows, windows are flushed by the watermark
//! `i64::MAX`, sinks publish. The first error of any task, a panic included, is the job's; all other tasks are then
//! aborted where they wait, and nothing of them is published. An immediate stop aborts all tasks without an error.
//!
//! **Fairness.** Tasks share the threads of one tokio runtime, and callbacks are synchronous, so a task that always
//! has input (a file, a generator) would keep its thread for ever. Each task gives its thread back after
//! [`TURN_MOST`]: with two threads and two busy sources a sink still gets its turn. Time is counted, not batches,
//! because a batch may take a microsecond or many milliseconds. Control runs on a thread and runtime of its own.
//!
//! **Bounds.** Everything that holds rows has a limit: queues by [`Limits::queue_batches`], the router by rows for each
//! destination, a batch by [`Limits::batch_rows`] where sources honour it. What a stage emits in one callback is not
//! limited here; generated stages emit in chunks.
//!
//! **Cost.** For each batch and task: two clock readings, about ten uncontended atomic additions, the walk over the
//! columns that counts bytes, and one queue operation for each destination (about 100 ns, more when the receiver
//! sleeps and must be woken). At 512 rows a batch that is under 2 ns a row. The clock is tokio's, which a simulation can
//! own: that is an atomic load more than the system's.
//!
//! Not here: the loop of a task (`task`), queues and routing (`exchange`), state files (`files`) and how they become fewer
//! (`compact`), the controller (`rpc`) and the one after it (`tenure`), what every stage is tested for ([`conformance`]).

pub mod conformance;

mod compact;
mod control;
pub(crate) mod files;
mod migration;
mod stored;
mod task;
mod tenure;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod toys;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use artifacts::objects::Objects;
use protocol::checkpoint::{Manifest, SourceState, StageState};
use protocol::job::{EdgePlan, ExchangePlan, JobPlan, SinkPlan, SourcePlan, StagePlan};
use protocol::mutant::{self, Mutant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::connector::{Attempt, ConnectorDef, Sink, SinkContext, SinkCounters, Source, SourceContext, SourceCounters};
use crate::error::TaskError;
pub use crate::exchange::Barrier;
use crate::exchange::{EdgeOutput, Halt, Inputs, Message, QueueSender};
use crate::metrics::{Metered, TaskCounters};
use crate::stage::{Pipeline, Stage};
use control::asked;
pub use control::{Controls, Report, Stop};
use files::{Owner, Share, StateFiles};
use migration::Migration;
use task::{Checkpoints, Feed, Outputs, Restored, SinkOutput, Task, Timing};
pub use tenure::Tenure;

/// Longest that a task keeps its thread while others may want it.
const TURN_MOST: Duration = Duration::from_millis(2);

/// Longest wait, after tasks have been aborted, for those that are in the middle of a callback.
const ABORT_MOST: Duration = Duration::from_secs(2);

/// Named limits of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows of a source's batch.
    pub batch_rows: usize,
    /// Longest that a source's row waits for its batch to fill.
    pub linger: Duration,
    /// Most messages in a queue between two tasks.
    pub queue_batches: usize,
    /// Longest that an operator whose results are updated gathers changes before it emits them.
    pub flush_interval: Duration,
    /// Rows that a task of a source reads in each epoch, to the end of a batch: it sends no barrier before them, and reads
    /// on when the epoch has been published. So checkpoints cut the same rows, however fast anybody is. `None`: barriers
    /// go when they come.
    pub epoch_rows: Option<usize>,
}

impl Limits {
    pub const DEFAULT_BATCH_ROWS: usize = 512;
    pub const DEFAULT_LINGER: Duration = Duration::from_millis(100);
    /// Enough that a receiver that has been waiting for its thread finds a turn's work, little enough that stopping
    /// does not have to drain much.
    pub const DEFAULT_QUEUE_BATCHES: usize = 16;
    pub const DEFAULT_FLUSH_INTERVAL: Duration = Duration::from_secs(1);
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            batch_rows: Self::DEFAULT_BATCH_ROWS,
            linger: Self::DEFAULT_LINGER,
            queue_batches: Self::DEFAULT_QUEUE_BATCHES,
            flush_interval: Self::DEFAULT_FLUSH_INTERVAL,
            epoch_rows: None,
        }
    }
}

/// How a job ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every task has ended in good order.
    Finished,
    /// By [`Stop::Immediate`].
    Stopped,
}

/// The error that ended a job, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    pub stage: usize,
    pub stage_name: String,
    pub task: usize,
    pub error: TaskError,
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage \"{}\", task {}: {}", self.stage_name, self.task, self.error)
    }
}

impl std::error::Error for TaskFailure {}

/// A running job. Dropped, it stops immediately.
pub struct Job {
    tasks: JoinSet<Result<(), Halt>>,
    of_id: HashMap<tokio::task::Id, Arc<TaskCounters>>,
    counters: Arc<[Arc<TaskCounters>]>,
    controls: Controls,
}

/// How a job's checkpoints are kept.
#[derive(Clone, Debug)]
pub struct Keeping {
    pub objects: Arc<dyn Objects>,
    pub job: String,
    pub generation: u64,
    /// Where tasks report.
    pub reports: mpsc::UnboundedSender<Report>,
    /// What to go on from.
    pub restore: Option<Arc<Manifest>>,
    /// So many state files of a table and task are merged into one; `None`: they stay as they are.
    pub compact_after: Option<usize>,
}

impl Keeping {
    /// What the checkpoint has of a stage.
    fn stage(&self, stage: &StagePlan) -> Option<&StageState> {
        self.restore.as_ref()?.stages.iter().find(|state| state.stage == stage.id)
    }
}

impl Job {
    /// Makes all tasks, then starts them on `data`. Sources and sinks are opened here, so it may block for as long
    /// as that takes; call it on a thread of `data`. Without `keeping` no checkpoints are taken, and sinks publish at the
    /// end.
    ///
    /// # Errors
    /// When the plan does not fit the pipeline or the checkpoint, or a stage, source or sink cannot be made. Nothing
    /// runs then.
    pub fn start(
        pipeline: &'static Pipeline,
        plan: &JobPlan,
        limits: Limits,
        data: &Handle,
        keeping: Option<Keeping>,
    ) -> Result<Job, TaskFailure> {
        check_plan(pipeline, plan)?;
        if let Some(manifest) = keeping.as_ref().and_then(|keeping| keeping.restore.as_deref()) {
            check_restore(plan, manifest)?;
        }
        let controls = Controls::new(keeping.as_ref().map_or(0, |keeping| keeping.generation));
        let mut made = Vec::with_capacity(plan.tasks());
        for stage in &plan.stages {
            for task in 0..stage.parallelism {
                let parts = Parts::make(pipeline, stage, task, limits, keeping.as_ref());
                made.push(parts.map_err(|error| failure(stage, task, error))?);
            }
        }
        let counters: Arc<[_]> = made.iter().map(|parts| parts.counters.clone()).collect();
        let mut queues = Queues::connect(plan, limits, &counters);
        let mut job = Job { tasks: JoinSet::new(), of_id: HashMap::new(), counters: counters.clone(), controls };
        for parts in made {
            let place = (parts.counters.stage, parts.counters.task);
            let counters = parts.counters.clone();
            let stage = &plan.stages[place.0];
            let share = Share { stage: stage.id, task: place.1, parallelism: stage.parallelism };
            let feed = match parts.source {
                Some((source, plan)) => Feed::Source(source, plan),
                None => Feed::Queues(Inputs::new(queues.inputs.remove(&place).unwrap_or_default())),
            };
            // A job with checkpoints is not at its end when a reader goes: whoever can resume it decides how it stops.
            let unread = keeping.is_none().then(|| job.controls.clone());
            let sink = parts.sink.map(|(sink, counters)| SinkOutput::new(sink, counters, unread));
            let edges = queues.outputs.remove(&place).unwrap_or_default();
            let outputs = Outputs::new(edges, sink, counters.clone());
            let managed = keeping.as_ref().map(|keeping| {
                let Keeping { objects, job, generation, reports, .. } = keeping;
                let files = StateFiles { objects: objects.clone(), job: job.clone(), generation: *generation };
                (files, reports.clone())
            });
            // Without checkpoints there is nothing to wait for.
            let epoch_rows = limits.epoch_rows.filter(|_| keeping.is_some());
            let compact_after = keeping.as_ref().and_then(|keeping| keeping.compact_after);
            let checkpoints = Checkpoints { share, tables: stage.tables.clone(), managed, epoch_rows, compact_after };
            let restored =
                keeping.as_ref().and_then(|keeping| keeping.stage(stage)).map(|state| take_over(state, share));
            let timing = Timing {
                flush_interval: limits.flush_interval,
                ttl: stage.updating_ttl_micros.map(Duration::from_micros),
            };
            let task = Task::new(parts.stage, outputs, counters.clone(), checkpoints, timing, &job.controls);
            let running = Metered { task: Box::pin(task.run(feed, restored)), counters: counters.clone() };
            let handle = job.tasks.spawn_on(running, data);
            job.of_id.insert(handle.id(), counters);
        }
        Ok(job)
    }

    /// The counters of all tasks, by stage, then task.
    pub fn counters(&self) -> Arc<[Arc<TaskCounters>]> {
        self.counters.clone()
    }

    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The first error of any task; all others have been aborted.
    pub async fn wait(mut self) -> Result<Ending, TaskFailure> {
        let mut control = self.controls.subscribe();
        let mut abandoned = false;
        loop {
            let joined = tokio::select! {
                biased;
                () = asked(&mut control, Stop::Immediate) => {
                    self.abort().await;
                    return Ok(Ending::Stopped);
                }
                joined = self.tasks.join_next_with_id() => joined,
            };
            let failed = match joined {
                None if abandoned => Some(TaskFailure {
                    stage: 0,
                    stage_name: String::new(),
                    task: 0,
                    error: TaskError::fatal("a task has lost its neighbour, and none has failed"),
                }),
                None => return Ok(Ending::Finished),
                Some(Ok((_, Ok(())))) => None,
                Some(Ok((_, Err(Halt::Abandoned)))) => {
                    abandoned = true;
                    None
                }
                Some(Ok((id, Err(Halt::Error(error))))) => Some(self.failure_of(id, error)),
                Some(Err(gone)) => {
                    let id = gone.id();
                    let error = match gone.try_into_panic() {
                        Ok(panic) => panicked(panic.as_ref()),
                        Err(_) => TaskError::fatal("the task was cancelled"),
                    };
                    Some(self.failure_of(id, error))
                }
            };
            if let Some(failed) = failed {
                self.abort().await;
                return Err(failed);
            }
        }
    }

    fn failure_of(&self, id: tokio::task::Id, error: TaskError) -> TaskFailure {
        let counters = &self.of_id[&id];
        TaskFailure { stage: counters.stage, stage_name: counters.stage_name.clone(), task: counters.task, error }
    }

    /// Drops all tasks at their next wait. One that is in a callback for longer is left to the end of the process.
    async fn abort(&mut self) {
        self.tasks.abort_all();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(ABORT_MOST, all).await.is_err() {
            tracing::warn!("a task did not stop in {ABORT_MOST:?}");
        }
        self.tasks.detach_all();
    }
}

fn failure(stage: &StagePlan, task: usize, error: TaskError) -> TaskFailure {
    TaskFailure { stage: stage.id, stage_name: stage.name.clone(), task, error }
}

/// The error for a panic: always our bug, or a user function's.
fn panicked(payload: &(dyn Any + Send)) -> TaskError {
    let what = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    TaskError::fatal(format!("the task panicked: {}", what.unwrap_or("no message")))
        .with_hint("this is a bug; the worker's standard error has the place")
}

/// What a task is made of, before it is connected.
struct Parts {
    counters: Arc<TaskCounters>,
    stage: Option<Box<dyn Stage>>,
    source: Option<(Box<dyn Source>, SourcePlan)>,
    sink: Option<(Box<dyn Sink>, Arc<SinkCounters>)>,
}

impl Parts {
    fn make(
        pipeline: &Pipeline,
        plan: &StagePlan,
        task: usize,
        limits: Limits,
        keeping: Option<&Keeping>,
    ) -> Result<Parts, TaskError> {
        let making = AssertUnwindSafe(|| {
            let stage = match plan.generated {
                true => Some((stage_of(pipeline, plan)?.new)()),
                false => None,
            };
            let source = plan.source.as_ref().map(|source| {
                let restored = keeping.and_then(|keeping| keeping.stage(plan)).map(positions);
                make_source(pipeline, plan, source, task, limits, restored)
            });
            let sink = plan.sink.as_ref().map(|sink| make_sink(pipeline, plan, sink, task, keeping));
            Ok((stage, source.transpose()?, sink.transpose()?))
        });
        let (stage, source, sink) = catch_unwind(making).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))?;
        let counters = TaskCounters::new(
            (plan.id, &plan.name),
            task,
            source.as_ref().map(|(_, counters)| counters.clone()),
            sink.as_ref().map(|(_, counters)| counters.clone()),
        );
        let source = source.map(|(source, _)| source).zip(plan.source.clone());
        Ok(Parts { counters: Arc::new(counters), stage, source, sink })
    }
}

fn make_source(
    pipeline: &Pipeline,
    stage: &StagePlan,
    source: &SourcePlan,
    task: usize,
    limits: Limits,
    restored: Option<Vec<serde_json::Value>>,
) -> Result<(Box<dyn Source>, Arc<SourceCounters>), TaskError> {
    let counters = Arc::new(SourceCounters::default());
    let new = connector_of(pipeline, &source.connector, |connector| connector.source)?;
    let made = new(SourceContext {
        table: source.table.clone(),
        options: source.options.clone(),
        schema: stage.input_schema.clone(),
        metadata: source.metadata.clone(),
        task,
        parallelism: stage.parallelism,
        batch_rows: limits.batch_rows,
        linger: limits.linger,
        counters: counters.clone(),
        restored,
    })?;
    Ok((made, counters))
}

fn make_sink(
    pipeline: &Pipeline,
    stage: &StagePlan,
    sink: &SinkPlan,
    task: usize,
    keeping: Option<&Keeping>,
) -> Result<(Box<dyn Sink>, Arc<SinkCounters>), TaskError> {
    let counters = Arc::new(SinkCounters::default());
    let new = connector_of(pipeline, &sink.connector, |connector| connector.sink)?;
    let made = new(SinkContext {
        table: sink.table.clone(),
        options: sink.options.clone(),
        schema: stage.output_schema.clone(),
        changelog: sink.changelog.clone(),
        task,
        parallelism: stage.parallelism,
        counters: counters.clone(),
        attempt: match keeping {
            Some(keeping) => Attempt { job: keeping.job.clone(), generation: keeping.generation },
            // Alone, nobody comes after us.
            None => Attempt { job: format!("pid{}", std::process::id()), generation: 0 },
        },
    })?;
    Ok((made, counters))
}

/// Where the tasks of a source were; nothing if it cannot be read again.
fn positions(state: &StageState) -> Vec<serde_json::Value> {
    state.tasks.iter().filter_map(|task| task.source.as_ref()?.position.clone()).collect()
}

/// What one task takes over from those that its stage had.
fn take_over(state: &StageState, share: Share) -> Restored {
    let same = state.tasks.len() == share.parallelism;
    let source = |task: usize| state.tasks.get(task).and_then(|task| task.source.as_ref());
    let live = state.tasks.iter().filter(|task| !task.ended).filter_map(|task| task.source.as_ref());
    let least = |source: &SourceState| source.watermarks.iter().map(|(_, watermark)| *watermark).min();
    let mut restored = Restored {
        tables: state.tables.clone(),
        owners: Owner::all(state),
        watermark: match same {
            true => state.tasks[share.task].watermark,
            false => state.tasks.iter().filter_map(|task| task.watermark).max(),
        },
        partitions: match same {
            true => source(share.task).map(|source| source.watermarks.clone()).unwrap_or_default(),
            false => Vec::new(),
        },
        any_partition: match same {
            true => None,
            // A task that had none yet held everything back. Its rows may be in any partition now.
            false => live.map(least).min().flatten(),
        },
        tokens: match share.task {
            0 => state.tasks.iter().flat_map(|task| task.tokens.clone()).collect(),
            _ => Vec::new(),
        },
    };
    if mutant::is(Mutant::TokenForgotten) {
        restored.tokens.clear();
    }
    if mutant::is(Mutant::WatermarkForgotten) {
        restored.owners.iter_mut().for_each(|owner| owner.watermark = None);
        restored.watermark = None;
        restored.partitions.clear();
        restored.any_partition = None;
    }
    restored
}

/// A checkpoint of other code means nothing to this one: what is restored of it, the controller has made to fit.
fn check_restore(plan: &JobPlan, manifest: &Manifest) -> Result<(), TaskFailure> {
    let whole = StagePlanName { id: 0, name: "" };
    if manifest.code != plan.code {
        return Err(whole.failure(
            TaskError::user(format!(
                "checkpoint {} was made by code {}, the query is now code {}",
                manifest.epoch, manifest.code, plan.code
            ))
            .with_hint("run the old query, or start the new one without state"),
        ));
    }
    for stage in &plan.stages {
        let state = manifest.stages.iter().find(|state| state.stage == stage.id);
        let tables = state.map(|state| state.tables.as_slice()).filter(|tables| tables.len() == stage.tables.len());
        let wrong = match tables {
            None => Some("it does not have this stage's tables".to_owned()),
            Some(tables) => {
                let mut pairs = tables.iter().zip(&stage.tables);
                pairs.find_map(|(table, spec)| Migration::between(&table.spec, spec).err())
            }
        };
        if let Some(wrong) = wrong {
            let name = StagePlanName { id: stage.id, name: &stage.name };
            let message = format!("checkpoint {} does not fit: {wrong}", manifest.epoch);
            return Err(name.failure(TaskError::fatal(message)));
        }
    }
    Ok(())
}

fn stage_of<'a>(pipeline: &'a Pipeline, plan: &StagePlan) -> Result<&'a crate::stage::StageDef, TaskError> {
    pipeline
        .stages
        .iter()
        .find(|stage| stage.id == plan.id)
        .ok_or_else(|| TaskError::fatal(format!("the binary has no code for stage {} \"{}\"", plan.id, plan.name)))
}

/// The half of a connector that is wanted: what `half` finds in its definition.
fn connector_of<T>(pipeline: &Pipeline, name: &str, half: impl Fn(&ConnectorDef) -> Option<T>) -> Result<T, TaskError> {
    pipeline
        .connectors
        .iter()
        .filter(|connector| connector.name == name)
        .find_map(|connector| half(connector))
        .ok_or_else(|| TaskError::fatal(format!("the binary has no connector \"{name}\"")))
}

/// The port of the receiving stage, and what comes there.
type Input = (usize, mpsc::Receiver<Message>);

/// The queues of a job, by stage and task.
#[derive(Default)]
struct Queues {
    inputs: HashMap<(usize, usize), Vec<Input>>,
    outputs: HashMap<(usize, usize), Vec<EdgeOutput>>,
}

impl Queues {
    fn connect(plan: &JobPlan, limits: Limits, counters: &[Arc<TaskCounters>]) -> Queues {
        let mut queues = Queues::default();
        for sender in counters {
            let place = (sender.stage, sender.task);
            for edge in plan.edges.iter().filter(|edge| edge.from == sender.stage) {
                let senders = receivers_of(edge, sender.task, &plan.stages[edge.to])
                    .map(|receiver| {
                        let (queue, end) = mpsc::channel(limits.queue_batches.max(1));
                        queues.inputs.entry((edge.to, receiver)).or_default().push((edge.port, end));
                        QueueSender::new(queue, sender.clone())
                    })
                    .collect();
                queues.outputs.entry(place).or_default().push(EdgeOutput::new(&edge.exchange, senders));
            }
        }
        queues
    }
}

/// The tasks of the receiving stage that a task sends to.
fn receivers_of(edge: &EdgePlan, sender: usize, to: &StagePlan) -> std::ops::Range<usize> {
    match edge.exchange {
        ExchangePlan::Forward => sender..sender + 1,
        ExchangePlan::Hash(_) => 0..to.parallelism,
        ExchangePlan::Gather => 0..1,
    }
}

/// A plan that contradicts itself or the binary is refused before anything runs. It is our bug, or an artifact whose
/// plan and binary do not belong together.
fn check_plan(pipeline: &Pipeline, plan: &JobPlan) -> Result<(), TaskFailure> {
    let whole = StagePlanName { id: 0, name: "" };
    if plan.code != pipeline.code {
        return Err(whole.failure(
            TaskError::fatal(format!(
                "the plan belongs to code {}, this binary was made from code {}",
                plan.code, pipeline.code
            ))
            .with_hint("run the binary with the plan of the same artifact"),
        ));
    }
    for (index, stage) in plan.stages.iter().enumerate() {
        let name = StagePlanName { id: stage.id, name: &stage.name };
        let inputs = plan.edges.iter().filter(|edge| edge.to == index).count();
        let wrong = if stage.id != index {
            format!("the plan's stage {} is at place {index}", stage.id)
        } else if stage.parallelism == 0 {
            "the plan gives the stage no task".to_owned()
        } else if stage.source.is_some() == (inputs > 0) {
            "the plan gives the stage both a source and an edge, or neither".to_owned()
        } else if stage.source.as_ref().is_some_and(|source| source.watermark) && !stage.generated {
            "the plan wants a watermark of a stage without code".to_owned()
        } else {
            continue;
        };
        return Err(name.failure(TaskError::fatal(wrong)));
    }
    for edge in &plan.edges {
        let (Some(from), Some(to)) = (plan.stages.get(edge.from), plan.stages.get(edge.to)) else {
            return Err(whole.failure(TaskError::fatal("the plan has an edge without a stage at its end")));
        };
        let wrong = match &edge.exchange {
            _ if edge.from >= edge.to => "the plan's stages are not in the order of their edges",
            ExchangePlan::Forward if from.parallelism != to.parallelism => {
                "the plan forwards between stages of unequal parallelism"
            }
            ExchangePlan::Hash(columns) if columns.iter().any(|column| *column >= from.output_schema.len()) => {
                "the plan hashes a column that the stage does not have"
            }
            _ => continue,
        };
        return Err(StagePlanName { id: from.id, name: &from.name }.failure(TaskError::fatal(wrong)));
    }
    Ok(())
}

/// Whom an error in a plan is told of.
struct StagePlanName<'a> {
    id: usize,
    name: &'a str,
}

impl StagePlanName<'_> {
    fn failure(&self, error: TaskError) -> TaskFailure {
        TaskFailure { stage: self.id, stage_name: self.name.to_owned(), task: 0, error }
    }
}
