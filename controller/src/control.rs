//! The loop around the state machine: one task a job, which executes effects and gathers events.
//!
//! ```text
//!   JobHandle::stop ──┐
//!   server (workers) ─┼─▶ queue ─▶ state::step ─▶ store ─▶ effects ─▶ scheduler, outbound streams
//!   scheduler (exits) ┘      ▲
//!          deadline ─────────┘  Tick
//! ```
//!
//! Invariants: events of a job are handled one after the other, in the order in which they came; its state is stored
//! before its effects are executed; the end of a worker's process counts only after everything that it said has been
//! heard; the loop ends when the state is terminal, and takes whatever workers are left with it.
//!
//! **Checkpoints.** A generation begins with its claim of the job's log: before that, no worker is started. When all tasks
//! run, it gets a [`Coordinator`], which says when to take a checkpoint; this loop writes the manifests and passes the words
//! of the worker on. What the coordinator gives up on is a failure of the worker.
//!
//! Not here: decisions (see [`crate::state`] and [`crate::checkpoint`]).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use artifacts::Store as Artifacts;
use artifacts::objects::open_objects;
use protocol::checkpoint::{Manifest, Reason, TaskSnapshot};
use protocol::job::JobPlan;
use protocol::rpc;
use protocol::rpc::worker_message::Message;
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::checkpoint::{self, Coordinator, Setting};
use crate::collect::collect;
use crate::compatibility::{Verdict, adopt};
use crate::job::{Checkpointing, ErrorClass, Failure, JobSpec, JobStatus, StopMode};
use crate::lock::{LockError, StateLock};
use crate::log::{AppendError, Claim, Log, LogError, RestorePoint, Writer};
use crate::scheduler::process::ProcessScheduler;
use crate::scheduler::{Scheduler, StartWorker};
use crate::server::{self, Attachment, Outbound, Registry, Server};
use crate::state::{self, Effect, Event, Exit, Job, JobState, Now, Policy, State, Time, WorkerEvent};
use crate::store::{Desired, JobRecord, Store, StoreError};

/// Events of a job that wait for its loop.
const QUEUED_EVENTS: usize = 256;
/// From the end of a process to the end of its stream.
const STREAM_GRACE: Duration = Duration::from_secs(1);

/// A line of a worker's stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerLine {
    pub job_id: String,
    pub generation: u64,
    pub line: String,
}

/// Where workers' stderr goes.
pub type WorkerLog = Arc<dyn Fn(&WorkerLine) + Send + Sync>;

/// What a controller needs.
#[derive(Clone)]
pub struct ControllerOptions {
    /// A local directory; it is made if it is not there.
    pub state_dir: PathBuf,
    /// Where binaries are.
    pub artifacts: Artifacts,
    pub policy: Policy,
    /// `None`: lines go to `tracing`, at level info.
    pub worker_log: Option<WorkerLog>,
    /// `None`: processes of this machine.
    pub scheduler: Option<Arc<dyn Scheduler>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    #[error("cannot make the state directory \"{}\": {source}", directory.display())]
    StateDir { directory: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen for workers: {0}")]
    Listen(std::io::Error),
    #[error("cannot use the checkpoints in \"{url}\": {source}")]
    Checkpoints { url: String, source: LogError },
}

impl ControllerError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            ControllerError::StateDir { .. } => Some("Give a directory that can be written with --state-dir."),
            ControllerError::Lock(error) => Some(error.hint()),
            ControllerError::Store(error) => Some(error.hint()),
            ControllerError::Listen(_) => None,
            ControllerError::Checkpoints { source, .. } => source.hint(),
        }
    }
}

/// A running controller. Dropping it ends its workers.
pub struct Controller {
    store: Store,
    scheduler: Arc<dyn Scheduler>,
    policy: Policy,
    registry: Registry,
    server: Server,
    /// After everything that writes to the directory.
    _lock: StateLock,
}

impl Controller {
    /// Takes the state directory, opens its store, ends the records of jobs that an earlier controller left running,
    /// and listens for workers.
    ///
    /// # Errors
    /// When the directory is in use by another controller or cannot be used, or no port can be opened.
    pub async fn start(options: ControllerOptions) -> Result<Controller, ControllerError> {
        let directory = options.state_dir;
        std::fs::create_dir_all(&directory)
            .map_err(|source| ControllerError::StateDir { directory: directory.clone(), source })?;
        let lock = StateLock::acquire(&directory)?;
        let registry = Registry::default();
        let (store, server) = tokio::join!(Store::open(&directory), server::start(registry.clone()));
        let (store, server) = (store?, server.map_err(ControllerError::Listen)?);
        let abandoned = store.end_abandoned().await?;
        if abandoned > 0 {
            tracing::warn!(jobs = abandoned, "the controller before this one ended while jobs were running");
        }
        let scheduler = match options.scheduler {
            Some(scheduler) => scheduler,
            None => {
                let log = options.worker_log.unwrap_or_else(|| Arc::new(trace_line));
                let scheduler = ProcessScheduler::new(options.artifacts, directory.join("jobs"), log);
                Arc::new(scheduler.map_err(ControllerError::Listen)?)
            }
        };
        Ok(Controller { store, scheduler, policy: options.policy, registry, server, _lock: lock })
    }

    /// The metadata store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where workers attach.
    pub fn address(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The job that was submitted last to this state directory, by this controller or an earlier one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn last_job(&self) -> Result<Option<JobRecord>, ControllerError> {
        Ok(self.store.last_job().await?)
    }

    /// Stores a job and starts it.
    ///
    /// # Errors
    /// When the store cannot be written, or the job's checkpoints cannot be read.
    pub async fn submit(&self, spec: JobSpec) -> Result<JobHandle, ControllerError> {
        let id = uuid::Uuid::now_v7().to_string();
        self.store.insert(&id, &spec).await?;
        self.start_job(id, 0, spec).await
    }

    /// Starts a job of this directory again, with its checkpoints.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn resume(&self, last: &JobRecord, spec: JobSpec) -> Result<JobHandle, ControllerError> {
        self.store.restart(&last.id, &spec).await?;
        self.start_job(last.id.clone(), last.generation, spec).await
    }

    /// The checkpoint that a job would go on from.
    ///
    /// # Errors
    /// When it cannot be read, or there is none such.
    pub async fn checkpoint(
        &self,
        at: &Checkpointing,
        job: &str,
        point: &RestorePoint,
    ) -> Result<Option<Manifest>, ControllerError> {
        open_log(at, job)?.find(point, at.keep).await.map_err(checkpoints_failed(at))
    }

    /// Whether a checkpoint of a job has that name.
    ///
    /// # Errors
    /// When that cannot be told, or none can have it.
    pub async fn has_savepoint(&self, at: &Checkpointing, job: &str, name: &str) -> Result<bool, ControllerError> {
        Ok(open_log(at, job)?.savepoint(name).await.map_err(checkpoints_failed(at))?.is_some())
    }

    async fn start_job(&self, id: String, generation: u64, spec: JobSpec) -> Result<JobHandle, ControllerError> {
        let log = open_log(&spec.checkpoints, &id)?;
        let view = log.read().await.map_err(checkpoints_failed(&spec.checkpoints))?;
        // The log knows better than the database, which may be of another machine.
        let job = Job::new(self.policy.clone(), generation.max(view.generation));
        let (status, watcher) = watch::channel(status_of(&job));
        let (inputs, queue) = mpsc::channel(QUEUED_EVENTS);
        let (attachments, attached) = mpsc::channel(QUEUED_EVENTS);
        self.registry.add(&id, attachments);
        let job_loop = JobLoop {
            id: id.clone(),
            job,
            clock: Instant::now(),
            plan: rpc::Start {
                plan: spec.plan.clone(),
                source_batch_rows: spec.tuning.source_batch_rows,
                source_linger_millis: millis(spec.tuning.source_linger),
                queue_batches: spec.tuning.queue_batches,
                update_flush_millis: millis(spec.tuning.update_flush).max(1),
                checkpoint_url: spec.checkpoints.url.clone(),
                restore: String::new(),
                compact_after: spec.tuning.compact_after.unwrap_or(0),
            },
            restore: spec.checkpoints.restore.clone(),
            spec,
            controller: self.address(),
            store: self.store.clone(),
            scheduler: self.scheduler.clone(),
            registry: self.registry.clone(),
            workers: HashMap::new(),
            status,
            inputs: inputs.downgrade(),
            log,
            checkpoints: None,
        };
        tokio::spawn(job_loop.run(queue, attached));
        Ok(JobHandle { id, inputs, status: watcher })
    }

    /// Closes the store and ends whatever workers are left. Stop jobs first.
    pub async fn shutdown(self) {
        self.store.close().await;
    }
}

fn checkpoints_failed(at: &Checkpointing) -> impl Fn(LogError) -> ControllerError {
    let url = at.url.clone();
    move |source| ControllerError::Checkpoints { url: url.clone(), source }
}

fn open_log(at: &Checkpointing, job: &str) -> Result<Log, ControllerError> {
    let objects = open_objects(&at.url).map_err(|error| checkpoints_failed(at)(error.into()))?;
    Ok(Log::new(objects, job))
}

fn trace_line(line: &WorkerLine) {
    tracing::info!(job_id = %line.job_id, generation = line.generation, "{}", line.line);
}

/// A submitted job. Dropping the handle does not stop the job.
#[derive(Clone)]
pub struct JobHandle {
    id: String,
    inputs: mpsc::Sender<Input>,
    status: watch::Receiver<JobStatus>,
}

impl JobHandle {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Changes with every state and every report of progress.
    pub fn status(&self) -> watch::Receiver<JobStatus> {
        self.status.clone()
    }

    /// Asks the job to stop; [`Self::ended`] tells when it has. A job that has ended stays as it is.
    pub async fn stop(&self, mode: StopMode) {
        let _ = self.inputs.send(Input::Stop(mode)).await;
    }

    /// Waits until the job's state is terminal.
    pub async fn ended(&mut self) -> JobStatus {
        // An error: the loop is gone without a terminal state, because its runtime is shutting down.
        let _ = self.status.wait_for(|status| status.state.is_terminal()).await;
        self.status.borrow().clone()
    }
}

/// What happens to a job, other than from its workers' streams.
enum Input {
    Stop(StopMode),
    Worker {
        generation: u64,
        event: WorkerEvent,
    },
    /// The log belongs to that generation now.
    Claimed {
        generation: u64,
        claim: Box<Claim>,
    },
    /// A manifest has been written, or not; the writer comes back.
    Appended {
        writer: Box<Writer>,
        appended: Result<u64, AppendError>,
        /// It was to get a name, and has, or not.
        saved: Option<Result<(), LogError>>,
    },
}

/// The checkpoints of one generation.
struct Checkpoints {
    generation: u64,
    claim: Claim,
    /// Away while it writes.
    writer: Option<Writer>,
    /// Once all tasks run.
    coordinator: Option<Coordinator>,
    /// Completed since the collector last ran.
    uncollected: usize,
}

/// Checkpoints between two runs of the collector.
const COLLECT_EVERY: usize = 4;

/// A worker as the loop knows it.
struct Known {
    id: String,
    /// Taken when it is to be killed.
    kill: Option<oneshot::Sender<()>>,
    /// Once it has attached, until its stream has ended.
    outbound: Option<Outbound>,
    /// Its process is gone, and what it said before is still on the way.
    exit: Option<(Exit, Instant)>,
}

impl Known {
    /// The process has ended and there is nothing left to hear from it.
    fn is_over(&self, now: Instant) -> bool {
        self.exit.as_ref().is_some_and(|(_, until)| self.outbound.is_none() || now >= *until)
    }
}

struct JobLoop {
    id: String,
    job: Job,
    /// The job's time begins here.
    clock: Instant,
    /// What the next generation goes on from: what was asked for, until one has claimed the log with it.
    restore: RestorePoint,
    spec: JobSpec,
    plan: rpc::Start,
    controller: String,
    store: Store,
    scheduler: Arc<dyn Scheduler>,
    registry: Registry,
    /// By generation.
    workers: HashMap<u64, Known>,
    status: watch::Sender<JobStatus>,
    /// For the tasks that watch workers; weak, so that they do not keep the queue open.
    inputs: mpsc::WeakSender<Input>,
    log: Log,
    checkpoints: Option<Checkpoints>,
}

fn status_of(job: &Job) -> JobStatus {
    JobStatus {
        state: job.state.name(),
        generation: job.facts.generation,
        restarts: job.facts.restarts,
        progress: Arc::default(),
        failure: job.state.failure().cloned(),
        checkpoint: None,
        savepoint: None,
    }
}

fn wall_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// A random number in [0, 1), from the top 53 bits, which is what an `f64` holds.
fn roll() -> f64 {
    SysRng.try_next_u64().map_or(0.5, |bits| (bits >> 11) as f64 / (1u64 << 53) as f64)
}

fn failure_of(failed: rpc::TaskFailed) -> Failure {
    let class = failed.class().into();
    let mut failure = Failure::new(class, failed.message);
    failure.hint = (!failed.hint.is_empty()).then_some(failed.hint);
    failure
}

impl JobLoop {
    async fn run(mut self, mut queue: mpsc::Receiver<Input>, mut attached: mpsc::Receiver<Attachment>) {
        // Holding one sender keeps the queue open for the scheduler's watchers when the user's handle is gone.
        let Some(_open) = self.inputs.upgrade() else { return };
        self.handle(Event::Start).await;
        while !self.job.state.name().is_terminal() {
            let deadline = self.job.deadline().map(|deadline| self.instant(deadline));
            let unheard = self.workers.values().filter_map(|worker| worker.exit.as_ref().map(|(_, until)| *until));
            let coordinator = self.checkpoints.as_ref().and_then(|checkpoints| checkpoints.coordinator.as_ref());
            let checkpoint = coordinator.and_then(Coordinator::deadline).map(|deadline| self.instant(deadline));
            let deadline = unheard.chain(deadline).chain(checkpoint).min();
            let timeout = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(input) = queue.recv() => self.on_input(input).await,
                Some(attachment) = attached.recv() => self.on_attachment(attachment).await,
                () = timeout => {
                    self.handle(Event::Tick).await;
                    self.coordinate(checkpoint::Event::Tick).await;
                }
            }
            self.report_exits().await;
        }
        self.end();
    }

    fn end(&mut self) {
        self.registry.remove(&self.id);
        for (_, worker) in self.workers.drain() {
            if let Some(kill) = worker.kill {
                let _ = kill.send(());
            }
        }
        self.scheduler.forget(&self.id);
    }

    fn now(&self) -> Now {
        Now { time: Time::after_start(self.clock.elapsed()), jitter: roll() }
    }

    /// The first instant at which [`Self::now`] is not before `time`.
    fn instant(&self, time: Time) -> Instant {
        self.clock + time.since(Time::default())
    }

    async fn on_input(&mut self, input: Input) {
        match input {
            Input::Stop(mode) => {
                if let Err(error) = self.store.desire(&self.id, Desired::Stopped).await {
                    tracing::warn!(job_id = self.id, %error, "the wish to stop is not stored");
                }
                self.handle(Event::Stop(mode)).await;
            }
            Input::Worker { generation, event } => {
                if let (WorkerEvent::Exited(exit), Some(worker)) = (&event, self.workers.get_mut(&generation)) {
                    worker.exit = Some((exit.clone(), Instant::now() + STREAM_GRACE));
                } else {
                    self.workers.remove(&generation);
                    self.handle(Event::Worker { generation, event }).await;
                }
            }
            Input::Claimed { generation, claim } if generation == self.job.facts.generation => {
                self.on_claimed(generation, *claim).await;
            }
            Input::Claimed { .. } => {}
            Input::Appended { writer, appended, saved } => self.on_appended(*writer, appended, saved).await,
        }
    }

    /// What the generation goes on from becomes what its plan can restore.
    async fn on_claimed(&mut self, generation: u64, mut claim: Claim) {
        self.restore = RestorePoint::Latest;
        if let Some(manifest) = claim.restore.take() {
            let epoch = manifest.epoch;
            let adopted = match serde_json::from_str::<JobPlan>(&self.spec.plan) {
                Ok(plan) => adopt(manifest, &plan, self.spec.checkpoints.allowed).map_err(|found| {
                    let refused = found.findings.iter().filter(|finding| finding.verdict == Verdict::Refuse);
                    let refused = refused.map(|finding| format!("{}: {}", finding.subject, finding.reasons.join("; ")));
                    format!("checkpoint {epoch} does not fit the query: {}", refused.collect::<Vec<_>>().join(", "))
                }),
                Err(error) => Err(format!("cannot read the job's plan: {error}")),
            };
            match adopted {
                Ok(manifest) => claim.restore = Some(manifest),
                Err(message) => {
                    let event = WorkerEvent::TaskFailed(Failure::new(ErrorClass::Fatal, message));
                    return self.handle(Event::Worker { generation, event }).await;
                }
            }
        }
        let writer = Some(self.log.writer(&claim));
        self.checkpoints = Some(Checkpoints { generation, writer, claim, coordinator: None, uncollected: 0 });
    }

    async fn on_appended(
        &mut self,
        writer: Writer,
        appended: Result<u64, AppendError>,
        saved: Option<Result<(), LogError>>,
    ) {
        let Some(checkpoints) = self.checkpoints.as_mut() else { return };
        if checkpoints.generation != writer.generation() {
            return;
        }
        let generation = checkpoints.generation;
        checkpoints.writer = Some(writer);
        if let (Ok(epoch), Some(saved)) = (&appended, saved) {
            let savepoint = match saved {
                Ok(()) => Ok(*epoch),
                Err(error) => {
                    let mut failure = Failure::new(ErrorClass::Fatal, format!("cannot make the savepoint: {error}"));
                    failure.hint = error.hint().map(str::to_owned);
                    Err(failure)
                }
            };
            self.status.send_modify(|status| status.savepoint = Some(savepoint));
        }
        match appended {
            Ok(epoch) => self.coordinate(checkpoint::Event::Written { epoch }).await,
            Err(error) => {
                let class = match error {
                    AppendError::Fenced { .. } => ErrorClass::Fatal,
                    AppendError::Unknown { .. } => ErrorClass::Retryable,
                };
                let mut failure = Failure::new(class, format!("cannot commit a checkpoint: {error}"));
                failure.hint = error.hint().map(str::to_owned);
                self.handle(Event::Worker { generation, event: WorkerEvent::TaskFailed(failure) }).await;
            }
        }
    }

    /// Gives the coordinator an event and does what it wants.
    async fn coordinate(&mut self, event: checkpoint::Event) {
        let now = self.now().time;
        let Some(checkpoints) = self.checkpoints.as_mut() else { return };
        let generation = checkpoints.generation;
        if generation != self.job.facts.generation {
            return;
        }
        let Some(coordinator) = checkpoints.coordinator.as_mut() else { return };
        for effect in coordinator.step(event, now, wall_micros()) {
            match effect {
                checkpoint::Effect::Begin { epoch, last } => {
                    let order = rpc::controller_message::Message::Checkpoint(rpc::Checkpoint { epoch, last });
                    self.send(generation, rpc::ControllerMessage { message: Some(order) });
                }
                checkpoint::Effect::Publish { epoch } => {
                    let order = rpc::controller_message::Message::Publish(rpc::Publish { epoch });
                    self.send(generation, rpc::ControllerMessage { message: Some(order) });
                }
                checkpoint::Effect::Write(manifest) => self.append(*manifest),
                checkpoint::Effect::Completed(completed) => self.on_completed(*completed).await,
                checkpoint::Effect::Fail(failure) => {
                    Box::pin(self.handle(Event::Worker { generation, event: WorkerEvent::TaskFailed(failure) })).await;
                }
            }
        }
    }

    /// Writes a manifest, and gives it its name if it is the one that the job is stopped with, without holding up the
    /// loop.
    fn append(&mut self, manifest: Manifest) {
        let writer = self.checkpoints.as_mut().and_then(|checkpoints| checkpoints.writer.take());
        // The coordinator writes one at a time.
        let Some(mut writer) = writer else { return };
        let (inputs, log) = (self.inputs.clone(), self.log.clone());
        let last = manifest.reason != Reason::Interval && self.job.state.name() == JobState::Stopping;
        let name = self.spec.checkpoints.savepoint.clone().filter(|_| last);
        tokio::spawn(async move {
            let appended = writer.append(manifest.clone()).await;
            let saved = match (&appended, name) {
                (Ok(_), Some(name)) => Some(log.save_newest(&name, &manifest).await),
                _ => None,
            };
            if let Some(inputs) = inputs.upgrade() {
                let _ = inputs.send(Input::Appended { writer: Box::new(writer), appended, saved }).await;
            }
        });
    }

    async fn on_completed(&mut self, completed: checkpoint::Completed) {
        tracing::debug!(job_id = self.id, epoch = completed.epoch, bytes = completed.bytes, "checkpoint");
        if let Err(error) = self.store.record_checkpoint(&self.id, &completed).await {
            tracing::warn!(job_id = self.id, %error, "a checkpoint is not in the history");
        }
        self.status.send_modify(|status| status.checkpoint = Some(Arc::new(completed)));
        let Some(checkpoints) = self.checkpoints.as_mut() else { return };
        checkpoints.uncollected += 1;
        if checkpoints.uncollected >= COLLECT_EVERY {
            checkpoints.uncollected = 0;
            let (log, keep, generation) = (self.log.clone(), self.spec.checkpoints.keep, checkpoints.generation);
            tokio::spawn(async move {
                if let Err(error) = collect(&log, keep, generation).await {
                    tracing::warn!(job_id = log.job(), %error, "old checkpoints are not removed");
                }
            });
        }
    }

    /// All tasks run: checkpoints begin.
    fn start_coordinator(&mut self) {
        let now = self.now().time;
        let Some(checkpoints) = self.checkpoints.as_mut() else { return };
        let Ok(plan) = serde_json::from_str::<JobPlan>(&self.spec.plan) else { return };
        let Checkpointing { interval, timeout, .. } = self.spec.checkpoints.clone();
        let setting = Setting {
            job: self.id.clone(),
            generation: checkpoints.generation,
            plan,
            next_epoch: checkpoints.claim.number + 1,
            restored: checkpoints.claim.restore.clone(),
            interval,
            timeout,
        };
        checkpoints.coordinator = Some(Coordinator::new(setting, now));
    }

    /// Handles the ends of processes whose words have all been heard.
    async fn report_exits(&mut self) {
        let now = Instant::now();
        let over: Vec<u64> = self.workers.iter().filter(|(_, worker)| worker.is_over(now)).map(|(id, _)| *id).collect();
        for generation in over {
            if let Some((exit, _)) = self.workers.remove(&generation).and_then(|worker| worker.exit) {
                self.handle(Event::Worker { generation, event: WorkerEvent::Exited(exit) }).await;
            }
        }
    }

    async fn on_attachment(&mut self, attachment: Attachment) {
        match attachment {
            Attachment::Attached { register, outbound } => self.on_register(register, outbound).await,
            Attachment::Said { worker_id, generation, message } => {
                if self.knows(generation, &worker_id) {
                    self.on_message(generation, message).await;
                }
            }
            Attachment::Detached { worker_id, generation } => {
                if self.knows(generation, &worker_id) {
                    self.handle(Event::Worker { generation, event: WorkerEvent::Disconnected }).await;
                    if let Some(worker) = self.workers.get_mut(&generation) {
                        worker.outbound = None;
                    }
                }
            }
        }
    }

    /// Whether that worker was started here for that generation, and is still believed to be there.
    fn knows(&self, generation: u64, worker_id: &str) -> bool {
        self.workers.get(&generation).is_some_and(|worker| worker.id == worker_id)
    }

    async fn on_register(&mut self, register: rpc::Register, outbound: Outbound) {
        let generation = register.generation;
        let expected = self
            .workers
            .get_mut(&generation)
            .filter(|worker| worker.id == register.worker_id && worker.outbound.is_none());
        let Some(worker) = expected else {
            // A stranger, or a zombie whose process was given up: it is told to stop and not heard.
            let _ = outbound.try_send(Ok(stop_message(rpc::StopMode::StopImmediate)));
            return;
        };
        worker.outbound = Some(outbound);
        let event = if register.code == self.spec.code {
            WorkerEvent::Registered
        } else {
            WorkerEvent::TaskFailed(Failure::new(
                ErrorClass::Fatal,
                format!("the binary was made from sources {}, the plan from {}", register.code, self.spec.code),
            ))
        };
        self.handle(Event::Worker { generation, event }).await;
    }

    async fn on_message(&mut self, generation: u64, message: Message) {
        let event = match message {
            Message::Register(_) => return,
            Message::Started(_) => {
                if generation == self.job.facts.generation {
                    self.start_coordinator();
                }
                WorkerEvent::Started
            }
            Message::TaskCheckpointed(checkpointed) => {
                match serde_json::from_str::<TaskSnapshot>(&checkpointed.snapshot) {
                    Ok(snapshot) if generation == self.job.facts.generation => {
                        self.coordinate(checkpoint::Event::Snapshot(Box::new(snapshot))).await;
                        WorkerEvent::Heartbeat
                    }
                    Ok(_) => WorkerEvent::Heartbeat,
                    Err(error) => WorkerEvent::TaskFailed(Failure::new(
                        ErrorClass::Fatal,
                        format!("cannot read what the worker says of a checkpoint: {error}"),
                    )),
                }
            }
            Message::TaskPublished(published) => {
                if generation == self.job.facts.generation {
                    let place = (published.stage as usize, published.task as usize);
                    self.coordinate(checkpoint::Event::Published { place, epoch: published.epoch }).await;
                }
                WorkerEvent::Heartbeat
            }
            Message::TaskFailed(failed) => WorkerEvent::TaskFailed(failure_of(failed)),
            Message::Finished(_) => WorkerEvent::Finished,
            Message::Progress(progress) => {
                if generation == self.job.facts.generation {
                    self.status.send_modify(|status| status.progress = Arc::new(progress.tasks));
                }
                WorkerEvent::Heartbeat
            }
        };
        let last_word = event == WorkerEvent::Finished;
        self.handle(Event::Worker { generation, event }).await;
        if last_word && let Some(worker) = self.workers.get_mut(&generation) {
            // Closes the stream, which tells the worker that it was heard and may go.
            worker.outbound = None;
        }
    }

    /// One step: decide, store, tell the watchers, act.
    async fn handle(&mut self, event: Event) {
        let (next, mut effects) = state::step(&self.job, &event, self.now());
        let before = std::mem::replace(&mut self.job, next);
        let changed = before.state.name() != self.job.state.name();
        // Every generation begins with a change of state.
        if changed && let Err(error) = self.record(&before.state).await {
            effects = self.on_store_failure(error, effects);
        }
        if changed {
            tracing::debug!(
                job_id = self.id,
                from = before.state.name().name(),
                to = self.job.state.name().name(),
                "job"
            );
            self.publish(&before);
        }
        for effect in effects {
            self.execute(effect).await;
        }
    }

    async fn record(&self, from: &State) -> Result<(), StoreError> {
        let (state, facts) = (&self.job.state, &self.job.facts);
        self.store.record(&self.id, from.name(), state.name(), facts.generation, facts.restarts, state.failure()).await
    }

    /// A generation that is not stored must not be started: after a crash the number would be given out again. All else
    /// goes on; rows matter more than the record of a state.
    fn on_store_failure(&mut self, error: StoreError, effects: Vec<Effect>) -> Vec<Effect> {
        tracing::warn!(job_id = self.id, %error, "the job's state is not stored");
        let failure = Failure::new(ErrorClass::Fatal, error.to_string()).with_hint(error.hint());
        let mut kept = Vec::new();
        for effect in effects {
            match effect {
                Effect::StartWorker { generation } => {
                    let event = Event::Worker { generation, event: WorkerEvent::NotStarted(failure.clone()) };
                    let (next, more) = state::step(&self.job, &event, self.now());
                    self.job = next;
                    kept.extend(more);
                }
                other => kept.push(other),
            }
        }
        kept
    }

    fn publish(&self, before: &Job) {
        let mut status = status_of(&self.job);
        self.status.send_modify(|published| {
            // A worker's last report stays when its job ends; a new worker begins with none.
            if before.facts.generation == self.job.facts.generation {
                status.progress = published.progress.clone();
            }
            status.checkpoint = published.checkpoint.take();
            status.savepoint = published.savepoint.take();
            // While the next attempt starts, the reason of the last one stays visible.
            if status.failure.is_none() && !status.state.is_terminal() {
                status.failure = published.failure.take();
            }
            *published = status;
        });
    }

    async fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::StartWorker { generation } => self.start_worker(generation),
            Effect::SendStart { generation } => {
                let mut start = self.plan.clone();
                let claim = self.checkpoints.as_ref().filter(|checkpoints| checkpoints.generation == generation);
                if let Some(manifest) = claim.and_then(|checkpoints| checkpoints.claim.restore.as_ref()) {
                    start.restore = serde_json::to_string(manifest).expect("a manifest is JSON");
                }
                let start = rpc::controller_message::Message::Start(start);
                self.send(generation, rpc::ControllerMessage { message: Some(start) });
            }
            Effect::SendStop { generation, mode } => match mode.order() {
                Some(order) => self.send(generation, stop_message(order)),
                None => Box::pin(self.coordinate(checkpoint::Event::Stop)).await,
            },
            Effect::KillWorker { generation } => {
                if let Some(kill) = self.workers.get_mut(&generation).and_then(|worker| worker.kill.take()) {
                    let _ = kill.send(());
                }
            }
        }
    }

    /// Never waits: a worker that does not read its few messages is as good as disconnected, and its deadline passes.
    fn send(&self, generation: u64, message: rpc::ControllerMessage) {
        if let Some(outbound) = self.workers.get(&generation).and_then(|worker| worker.outbound.as_ref())
            && outbound.try_send(Ok(message)).is_err()
        {
            tracing::debug!(job_id = self.id, generation, "the worker does not listen");
        }
    }

    fn start_worker(&mut self, generation: u64) {
        let (kill, killed) = oneshot::channel();
        let worker = StartWorker {
            job_id: self.id.clone(),
            worker_id: uuid::Uuid::new_v4().to_string(),
            generation,
            binary: self.spec.binary,
            controller: self.controller.clone(),
        };
        self.workers
            .insert(generation, Known { id: worker.worker_id.clone(), kill: Some(kill), outbound: None, exit: None });
        let claiming = claim(self.log.clone(), self.restore.clone(), self.spec.checkpoints.keep, generation);
        tokio::spawn(watch_worker(self.scheduler.clone(), worker, claiming, self.inputs.clone(), killed));
    }
}

fn stop_message(mode: rpc::StopMode) -> rpc::ControllerMessage {
    let stop = rpc::Stop { mode: mode.into() };
    rpc::ControllerMessage { message: Some(rpc::controller_message::Message::Stop(stop)) }
}

/// Claims the log for a generation.
async fn claim(log: Log, restore: RestorePoint, keep: usize, generation: u64) -> Result<Claim, Failure> {
    let owner = uuid::Uuid::new_v4().to_string();
    let claim = log.claim_from(&restore, keep, generation, owner).await.map_err(|error| {
        let class = match &error {
            LogError::Object(error) if error.retryable() || error.is_full() => ErrorClass::Retryable,
            _ => ErrorClass::Fatal,
        };
        let mut failure = Failure::new(class, format!("cannot claim the job's checkpoints: {error}"));
        failure.hint = error.hint().map(str::to_owned);
        failure
    })?;
    if claim.generation == generation {
        return Ok(claim);
    }
    let message = format!("another controller runs this job: its log is at generation {}", claim.generation - 1);
    Err(Failure::new(ErrorClass::Fatal, message).with_hint("End one of the two."))
}

/// A worker from its start to its end, which is reported exactly once.
async fn watch_worker(
    scheduler: Arc<dyn Scheduler>,
    worker: StartWorker,
    claiming: impl Future<Output = Result<Claim, Failure>>,
    inputs: mpsc::WeakSender<Input>,
    mut killed: oneshot::Receiver<()>,
) {
    let generation = worker.generation;
    let report = async |event| {
        if let Some(inputs) = inputs.upgrade() {
            let _ = inputs.send(Input::Worker { generation, event }).await;
        }
    };
    // Not before the log is ours: an older worker must not be able to commit what this one does not know of.
    let claimed = tokio::select! {
        claimed = claiming => claimed,
        _ = &mut killed => return report(WorkerEvent::Exited(Exit::default())).await,
    };
    match claimed {
        Ok(claim) => {
            if let Some(inputs) = inputs.upgrade() {
                let _ = inputs.send(Input::Claimed { generation, claim: Box::new(claim) }).await;
            }
        }
        Err(failure) => return report(WorkerEvent::NotStarted(failure)).await,
    }
    let started = tokio::select! {
        started = scheduler.start(worker) => started,
        _ = &mut killed => return report(WorkerEvent::Exited(Exit::default())).await,
    };
    let mut process = match started {
        Ok(process) => process,
        Err(failure) => return report(WorkerEvent::NotStarted(failure)).await,
    };
    // The loop that holds the other end is gone, or wants it so: in both cases the process must go.
    let exit = tokio::select! {
        exit = process.exited() => Some(exit),
        _ = &mut killed => None,
    };
    let exit = match exit {
        Some(exit) => exit,
        None => {
            process.kill();
            process.exited().await
        }
    };
    report(WorkerEvent::Exited(exit)).await;
}

#[cfg(test)]
mod tests;
