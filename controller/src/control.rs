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
//! **Workers that outlive a controller.** The first generation of a job that is resumed goes on with the worker that an
//! earlier controller has left, if it was told the same: it claims the log as one that starts no worker, and waits for a
//! while until that one attaches and says where it stands. A worker whose stream alone has broken comes back in the same
//! way, to the same generation. `docs/checkpoints.md` (Reattaching) says why nothing is lost or done twice.
//!
//! Not here: decisions (see [`crate::state`] and [`crate::checkpoint`]).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use artifacts::objects::open_objects;
use artifacts::{Digest, Store as Artifacts};
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
use crate::operator::{self, AddressFile, Jobs, Secret};
use crate::scheduler::process::ProcessScheduler;
use crate::scheduler::{FindWorker, Outlives, ProcessId, Scheduler, StartWorker, Worker};
use crate::server::{self, Attachment, Outbound, Registry, Server};
use crate::state::{self, Effect, Event, Exit, Job, JobState, Now, Policy, State, Time, WorkerEvent};
use crate::store::{Desired, JobRecord, Store, StoreError, WorkerRecord};

/// Events of a job that wait for its loop.
const QUEUED_EVENTS: usize = 256;
/// Longest wait for a worker of an earlier controller to attach.
const ADOPT_MOST: Duration = Duration::from_secs(10);
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
    #[error("cannot say in \"{}\" where this controller is: {source}", directory.display())]
    Address { directory: PathBuf, source: std::io::Error },
    #[error("cannot use the checkpoints in \"{url}\": {source}")]
    Checkpoints { url: String, source: LogError },
}

impl ControllerError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            ControllerError::StateDir { .. } | ControllerError::Address { .. } => {
                Some("Give a directory that can be written with --state-dir.")
            }
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
    jobs: Jobs,
    server: Server,
    /// Where workers find the next controller.
    address_file: PathBuf,
    _address: AddressFile,
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
        let jobs = Jobs::default();
        let secret = Secret::new().map_err(ControllerError::Listen)?;
        let people = operator::Service { jobs: jobs.clone(), secret: secret.clone() };
        let (store, server) = tokio::join!(Store::open(&directory), server::listen_for(registry.clone(), Some(people)));
        let (store, server) = (store?, server.map_err(ControllerError::Listen)?);
        let address = AddressFile::write(&directory, &format!("http://{}", server.address), &secret)
            .map_err(|source| ControllerError::Address { directory: directory.clone(), source })?;
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
        let policy = options.policy;
        // Workers have it in their arguments, and may be somewhere else.
        let address_file = std::path::absolute(directory.join(operator::FILE))
            .map_err(|source| ControllerError::StateDir { directory: directory.clone(), source })?;
        Ok(Controller {
            store,
            scheduler,
            policy,
            registry,
            jobs,
            server,
            address_file,
            _address: address,
            _lock: lock,
        })
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
        self.find_workers(None).await?;
        self.start_job(id, 0, spec, None).await
    }

    /// Starts a job of this directory again, with its checkpoints.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn resume(&self, last: &JobRecord, spec: JobSpec) -> Result<JobHandle, ControllerError> {
        self.store.restart(&last.id, &spec).await?;
        let running = self.find_workers(Some(&last.id)).await?;
        self.start_job(last.id.clone(), last.generation, spec, running).await
    }

    /// The worker of that job, if there is one that has outlived its controller. Those of other jobs are ended: this
    /// controller runs one job of its directory, and nobody else will ask for them.
    async fn find_workers(&self, job: Option<&str>) -> Result<Option<Running>, ControllerError> {
        let mut running = None;
        for (of, record) in self.store.workers().await? {
            let find = FindWorker {
                job_id: of.clone(),
                worker_id: record.id.clone(),
                generation: record.generation,
                process: record.process,
            };
            let found = self.scheduler.find(find);
            match found {
                Some(process) if job == Some(of.as_str()) => running = Some(Running { record, process }),
                // Dropping it kills it.
                _ => self.store.forget_worker(&of).await?,
            }
        }
        Ok(running)
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

    async fn start_job(
        &self,
        id: String,
        generation: u64,
        spec: JobSpec,
        running: Option<Running>,
    ) -> Result<JobHandle, ControllerError> {
        let log = open_log(&spec.checkpoints, &id)?;
        let view = log.read().await.map_err(checkpoints_failed(&spec.checkpoints))?;
        // The log knows better than the database, which may be of another machine.
        let job = Job::new(self.policy.clone(), generation.max(view.generation));
        let (status, watcher) = watch::channel(status_of(&job));
        let (inputs, queue) = mpsc::channel(QUEUED_EVENTS);
        let (attachments, attached) = mpsc::channel(QUEUED_EVENTS);
        self.registry.add(&id, attachments);
        let mut job_loop = JobLoop {
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
                state_memory: spec.tuning.state_memory,
                spill_directory: spec
                    .tuning
                    .spill_directory
                    .as_ref()
                    .map_or(String::new(), |at| at.display().to_string()),
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
            log: log.clone(),
            lasting: log.clone(),
            checkpoints: None,
            wishes: Vec::new(),
            jobs: self.jobs.clone(),
            address_file: self.address_file.clone(),
            running: None,
        };
        // One that was told something else is of no use: it is dropped, which ends it.
        job_loop.running = running.filter(|running| job_loop.goes_on_with(running));
        tokio::spawn(job_loop.run(queue, attached));
        let handle = JobHandle { id, inputs, status: watcher, log };
        self.jobs.add(handle.clone());
        Ok(handle)
    }

    /// Closes the store and ends whatever workers are left. Stop jobs first.
    pub async fn shutdown(self) {
        self.server.close().await;
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
    log: Log,
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
        let _ = self.inputs.send(Input::Stop { mode, savepoint: None }).await;
    }

    /// Asks the job to stop with a checkpoint, which gets a name: [`JobStatus::savepoint`] tells whether it has.
    ///
    /// # Errors
    /// When the name is taken, or can be none; then the job goes on.
    pub async fn stop_with_savepoint(&self, name: &str) -> Result<(), Failure> {
        self.check_name(name).await?;
        let stop = Input::Stop { mode: StopMode::Checkpoint, savepoint: Some(name.to_owned()) };
        let _ = self.inputs.send(stop).await;
        Ok(())
    }

    /// Has a checkpoint taken as soon as can be, and gives it a name; its epoch. The job goes on.
    ///
    /// # Errors
    /// When the name is taken or can be none; when the job is not running, or ends or fails before the checkpoint is in
    /// the log.
    pub async fn savepoint(&self, name: &str) -> Result<u64, Failure> {
        self.check_name(name).await?;
        self.take(Some(name.to_owned())).await
    }

    /// Has a checkpoint taken as soon as can be; its epoch.
    ///
    /// # Errors
    /// As [`Self::savepoint`].
    pub async fn checkpoint(&self) -> Result<u64, Failure> {
        self.take(None).await
    }

    async fn take(&self, name: Option<String>) -> Result<u64, Failure> {
        let (reply, taken) = oneshot::channel();
        let ended = || Failure::new(ErrorClass::Fatal, "the job has ended");
        self.inputs.send(Input::Take { name, reply }).await.map_err(|_| ended())?;
        taken.await.map_err(|_| ended())?
    }

    /// Whether a savepoint can have that name; it may be taken by somebody else meanwhile, which is found out then.
    async fn check_name(&self, name: &str) -> Result<(), Failure> {
        match self.log.savepoint(name).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(savepoint_failed(&LogError::SavepointExists { name: name.to_owned() })),
            Err(error) => Err(savepoint_failed(&error)),
        }
    }

    /// Waits until the job's state is terminal.
    pub async fn ended(&mut self) -> JobStatus {
        // An error: the loop is gone without a terminal state, because its runtime is shutting down.
        let _ = self.status.wait_for(|status| status.state.is_terminal()).await;
        self.status.borrow().clone()
    }
}

fn savepoint_failed(error: &LogError) -> Failure {
    let class = match error {
        LogError::SavepointExists { .. } | LogError::SavepointName { .. } => ErrorClass::User,
        LogError::Object(error) if error.retryable() => ErrorClass::Retryable,
        _ => ErrorClass::Fatal,
    };
    let mut failure = Failure::new(class, format!("cannot make the savepoint: {error}"));
    failure.hint = error.hint().map(str::to_owned);
    failure
}

fn commit_failed(error: &AppendError) -> Failure {
    let class = match error {
        AppendError::Fenced { .. } => ErrorClass::Fatal,
        AppendError::Unknown { .. } => ErrorClass::Retryable,
    };
    let mut failure = Failure::new(class, format!("cannot commit a checkpoint: {error}"));
    failure.hint = error.hint().map(str::to_owned);
    failure
}

/// Somebody waits for a checkpoint.
struct Wish {
    /// Of the first that will do.
    epoch: u64,
    /// What it is to be called.
    name: Option<String>,
    reply: oneshot::Sender<Result<u64, Failure>>,
}

/// What happens to a job, other than from its workers' streams.
enum Input {
    Stop {
        mode: StopMode,
        /// Of its checkpoint; `None`: what the job was started with.
        savepoint: Option<String>,
    },
    Take {
        name: Option<String>,
        reply: oneshot::Sender<Result<u64, Failure>>,
    },
    Worker {
        generation: u64,
        event: WorkerEvent,
    },
    /// Its process runs.
    Spawned {
        generation: u64,
        process: ProcessId,
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

/// A worker that an earlier controller has started.
struct Running {
    record: WorkerRecord,
    process: Box<dyn Worker>,
}

/// A worker as the loop knows it.
struct Known {
    id: String,
    /// The generation that it says it is of, once it has attached. One that was adopted has registered with an older one.
    speaks_as: u64,
    /// Of one that runs already: until when it must have attached. Whatever happens to it before is no failure: then
    /// another is started.
    adopt_by: Option<Instant>,
    /// It was started by an earlier controller.
    adopted: bool,
    /// Of one that outlives its controller.
    process: Option<ProcessId>,
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
    /// The same; once a generation has claimed it, it is waited for if it fails.
    lasting: Log,
    checkpoints: Option<Checkpoints>,
    /// For the next checkpoints.
    wishes: Vec<Wish>,
    jobs: Jobs,
    address_file: PathBuf,
    /// What the first generation goes on with.
    running: Option<Running>,
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
            let adopt_by = self.workers.values().filter_map(|worker| worker.adopt_by);
            let deadline = unheard.chain(adopt_by).chain(deadline).chain(checkpoint).min();
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
                    self.give_up_waiting().await;
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
        self.jobs.remove(&self.id);
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
            Input::Stop { mode, savepoint } => {
                if savepoint.is_some() {
                    self.spec.checkpoints.savepoint = savepoint;
                }
                if let Err(error) = self.store.desire(&self.id, Desired::Stopped).await {
                    tracing::warn!(job_id = self.id, %error, "the wish to stop is not stored");
                }
                self.handle(Event::Stop(mode)).await;
            }
            Input::Take { name, reply } => self.on_wish(name, reply).await,
            Input::Worker { generation, event } => {
                let known = self.workers.get_mut(&generation);
                if known.as_ref().is_some_and(|worker| worker.adopt_by.is_some() && event.is_gone()) {
                    self.workers.remove(&generation);
                    self.handle(Event::Worker { generation, event: WorkerEvent::NotAdopted }).await;
                } else if let (WorkerEvent::Exited(exit), Some(worker)) = (&event, known) {
                    worker.exit = Some((exit.clone(), Instant::now() + STREAM_GRACE));
                } else {
                    self.workers.remove(&generation);
                    self.handle(Event::Worker { generation, event }).await;
                }
            }
            Input::Spawned { generation, process } => self.record_worker(generation, process).await,
            Input::Claimed { generation, claim } if generation == self.job.facts.generation => {
                self.on_claimed(generation, *claim).await;
            }
            Input::Claimed { .. } => {}
            Input::Appended { writer, appended, saved } => self.on_appended(*writer, appended, saved).await,
        }
    }

    async fn on_wish(&mut self, name: Option<String>, reply: oneshot::Sender<Result<u64, Failure>>) {
        let state = self.job.state.name();
        let checkpoints = self.checkpoints.as_ref().filter(|of| of.generation == self.job.facts.generation);
        match checkpoints.and_then(|checkpoints| checkpoints.coordinator.as_ref()) {
            Some(coordinator) if state == JobState::Running => {
                self.wishes.push(Wish { epoch: coordinator.next_epoch(), name, reply });
                self.coordinate(checkpoint::Event::Take).await;
            }
            _ => {
                let message = format!("the job cannot take a checkpoint now: it is {}", state.name());
                let _ = reply.send(Err(Failure::new(ErrorClass::Retryable, message)));
            }
        }
    }

    /// The generation takes no more checkpoints.
    fn disappoint(&mut self) {
        let state = self.job.state.name().name();
        let why = self.job.state.failure().map_or_else(String::new, |failure| format!(": {failure}"));
        for wish in self.wishes.drain(..) {
            let message = format!("the job is {state} before the checkpoint is taken{why}");
            let _ = wish.reply.send(Err(Failure::new(ErrorClass::Retryable, message)));
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
        // From here on the store has been found to work.
        self.lasting = self.log.clone().lasting(self.spec.checkpoints.timeout);
        let writer = Some(self.lasting.writer(&claim));
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
            let savepoint = saved.map(|()| *epoch).map_err(|error| savepoint_failed(&error));
            self.status.send_modify(|status| status.savepoint = Some(savepoint));
        }
        match appended {
            Ok(epoch) => self.coordinate(checkpoint::Event::Written { epoch }).await,
            Err(error) => {
                let failure = commit_failed(&error);
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
        let effects = coordinator.step(event, now, wall_micros());
        self.carry_out(generation, effects).await;
    }

    async fn carry_out(&mut self, generation: u64, effects: Vec<checkpoint::Effect>) {
        for effect in effects {
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

    /// Writes a manifest, and gives it the names that it is to have (it may be the one that the job is stopped with), without
    /// holding up the loop.
    fn append(&mut self, manifest: Manifest) {
        let writer = self.checkpoints.as_mut().and_then(|checkpoints| checkpoints.writer.take());
        // The coordinator writes one at a time.
        let Some(mut writer) = writer else { return };
        let (inputs, log) = (self.inputs.clone(), self.lasting.clone());
        let last = matches!(manifest.reason, Reason::Stop | Reason::End) && self.job.state.name() == JobState::Stopping;
        let wishes: Vec<Wish> = self.wishes.extract_if(.., |wish| wish.epoch <= manifest.epoch).collect();
        let name = self.spec.checkpoints.savepoint.clone().filter(|_| last);
        tokio::spawn(async move {
            let appended = writer.append(manifest.clone()).await;
            let saved = match (&appended, name) {
                (Ok(_), Some(name)) => Some(log.save_newest(&name, &manifest).await),
                _ => None,
            };
            for Wish { name, reply, .. } in wishes {
                let taken = match (&appended, name) {
                    (Ok(epoch), None) => Ok(*epoch),
                    (Ok(epoch), Some(name)) => {
                        let saved = log.save_newest(&name, &manifest).await;
                        saved.map(|()| *epoch).map_err(|error| savepoint_failed(&error))
                    }
                    (Err(error), _) => Err(commit_failed(error)),
                };
                // Who has asked may have gone.
                let _ = reply.send(taken);
            }
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

    /// All tasks run: checkpoints begin, unless they have, with an adopted worker.
    fn start_coordinator(&mut self) {
        let now = self.now().time;
        let setting = self.setting();
        if let (Some(setting), Some(checkpoints)) = (setting, self.checkpoints.as_mut())
            && checkpoints.coordinator.is_none()
        {
            checkpoints.coordinator = Some(Coordinator::new(setting, now));
        }
    }

    fn setting(&self) -> Option<Setting> {
        let checkpoints = self.checkpoints.as_ref()?;
        let plan = serde_json::from_str::<JobPlan>(&self.spec.plan).ok()?;
        let Checkpointing { interval, timeout, .. } = self.spec.checkpoints.clone();
        Some(Setting {
            job: self.id.clone(),
            generation: checkpoints.generation,
            plan,
            next_epoch: checkpoints.claim.number + 1,
            restored: checkpoints.claim.restore.clone(),
            interval,
            timeout,
        })
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
                if let Some(generation) = self.speaker(generation, &worker_id) {
                    self.on_message(generation, message).await;
                }
            }
            Attachment::Detached { worker_id, generation } => {
                if let Some(generation) = self.speaker(generation, &worker_id) {
                    self.handle(Event::Worker { generation, event: WorkerEvent::Disconnected }).await;
                    if let Some(worker) = self.workers.get_mut(&generation) {
                        worker.outbound = None;
                    }
                }
            }
        }
    }

    /// The generation of the worker that calls itself so, if it was started or adopted here, and is still believed to be
    /// there.
    fn speaker(&self, generation: u64, worker_id: &str) -> Option<u64> {
        let mut known = self.workers.iter();
        known.find(|(_, worker)| worker.id == worker_id && worker.speaks_as == generation).map(|(of, _)| *of)
    }

    async fn on_register(&mut self, register: rpc::Register, outbound: Outbound) {
        if let Some(standing) = register.standing {
            return self.on_return(&register, &standing, outbound).await;
        }
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

    /// A worker that runs has lost its controller, which was another one or this.
    async fn on_return(&mut self, register: &rpc::Register, standing: &rpc::Standing, outbound: Outbound) {
        let (now, wall) = (self.now().time, wall_micros());
        let stop = |outbound: &Outbound| {
            let _ = outbound.try_send(Ok(stop_message(rpc::StopMode::StopImmediate)));
        };
        let generation = self.job.facts.generation;
        let Some(worker) = self.workers.get_mut(&generation).filter(|worker| worker.id == register.worker_id) else {
            return stop(&outbound);
        };
        if !matches!(self.job.state.name(), JobState::Scheduling | JobState::Running | JobState::Stopping) {
            return stop(&outbound);
        }
        let claimed = self.checkpoints.as_ref().filter(|checkpoints| checkpoints.generation == generation);
        let (Some(checkpoints), None) = (claimed, &worker.outbound) else {
            // The log is not ours yet, or the end of the last stream is still on its way: it is to come again.
            return;
        };
        let mut orders = Vec::new();
        let mut in_flight = 0;
        if register.generation != generation {
            let continues = checkpoints.claim.continues.contains(&register.generation);
            let adopted = match self.setting() {
                Some(setting) if continues && register.code == self.spec.code => {
                    Coordinator::adopt(setting, standing, now, wall)
                }
                _ => Err("another may have been started since".into()),
            };
            match adopted {
                Ok((coordinator, epoch, effects)) => {
                    (in_flight, orders) = (epoch, effects);
                    if let Some(checkpoints) = self.checkpoints.as_mut() {
                        checkpoints.coordinator = Some(coordinator);
                    }
                }
                Err(why) => {
                    tracing::warn!(job_id = self.id, generation, "the worker that runs is not gone on with: {why}");
                    stop(&outbound);
                    return self.give_up(generation).await;
                }
            }
        } else if let Some(coordinator) = checkpoints.coordinator.as_ref() {
            orders.extend(coordinator.repeated());
        }
        let adopt = rpc::controller_message::Message::Adopt(rpc::Adopt { generation, epoch: in_flight });
        let _ = outbound.try_send(Ok(rpc::ControllerMessage { message: Some(adopt) }));
        let (mut record, mut first) = (None, false);
        if let Some(worker) = self.workers.get_mut(&generation) {
            worker.outbound = Some(outbound);
            worker.speaks_as = register.generation;
            first = worker.adopt_by.take().is_some();
            record = worker.process;
        }
        if let Some(process) = record.filter(|_| first) {
            self.record_worker(generation, process).await;
        }
        self.handle(Event::Worker { generation, event: WorkerEvent::Registered }).await;
        self.carry_out(generation, orders).await;
    }

    /// The worker that runs has not attached in time.
    async fn give_up_waiting(&mut self) {
        let now = Instant::now();
        let late = |worker: &Known| worker.adopt_by.is_some_and(|until| now >= until);
        let late: Vec<u64> = self.workers.iter().filter(|(_, worker)| late(worker)).map(|(of, _)| *of).collect();
        for generation in late {
            tracing::warn!(job_id = self.id, generation, "the worker that runs has not attached in {ADOPT_MOST:?}");
            self.give_up(generation).await;
        }
    }

    /// Ends a worker that was to be gone on with, and has another one started.
    async fn give_up(&mut self, generation: u64) {
        if let Some(kill) = self.workers.remove(&generation).and_then(|worker| worker.kill) {
            let _ = kill.send(());
        }
        self.handle(Event::Worker { generation, event: WorkerEvent::NotAdopted }).await;
    }

    /// So that the next controller finds it.
    async fn record_worker(&mut self, generation: u64, process: ProcessId) {
        let orders = self.orders();
        let Some(worker) = self.workers.get_mut(&generation) else { return };
        worker.process = Some(process);
        let record = WorkerRecord { id: worker.id.clone(), generation, process, orders };
        if let Err(error) = self.store.record_worker(&self.id, &record).await {
            tracing::warn!(job_id = self.id, %error, "the worker is not stored: the next controller will not find it");
        }
    }

    /// All that a worker is told when it is started, but for where it begins.
    fn orders(&self) -> Digest {
        Digest::of(format!("{} {:?}", self.spec.binary, self.plan))
    }

    /// Whether that worker does what this job's is to do.
    fn goes_on_with(&self, running: &Running) -> bool {
        self.spec.reattach.is_some()
            && self.spec.checkpoints.restore == RestorePoint::Latest
            && running.record.orders == self.orders()
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
        if changed && self.job.state.name().is_terminal() && self.spec.reattach.is_some() {
            // Nobody is to look for it any more.
            if let Err(error) = self.store.forget_worker(&self.id).await {
                tracing::warn!(job_id = self.id, %error, "the job's worker is not forgotten");
            }
        }
        if changed {
            tracing::debug!(
                job_id = self.id,
                from = before.state.name().name(),
                to = self.job.state.name().name(),
                "job"
            );
            self.publish(&before);
            if !matches!(self.job.state.name(), JobState::Running | JobState::Stopping) {
                self.disappoint();
            }
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
            // One that was adopted has its plan.
            Effect::SendStart { generation } if self.is_adopted(generation) => {}
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

    fn is_adopted(&self, generation: u64) -> bool {
        self.workers.get(&generation).is_some_and(|worker| worker.adopted)
    }

    fn start_worker(&mut self, generation: u64) {
        let (kill, killed) = oneshot::channel();
        if let Some(Running { record, process }) = self.running.take() {
            let known = Known {
                id: record.id,
                speaks_as: record.generation,
                adopt_by: Some(Instant::now() + ADOPT_MOST),
                adopted: true,
                process: Some(record.process),
                kill: Some(kill),
                outbound: None,
                exit: None,
            };
            self.workers.insert(generation, known);
            let claiming = claim_running(self.log.clone(), generation);
            tokio::spawn(watch_running(process, generation, claiming, self.inputs.clone(), killed));
            return;
        }
        let worker = StartWorker {
            job_id: self.id.clone(),
            worker_id: uuid::Uuid::new_v4().to_string(),
            generation,
            binary: self.spec.binary,
            controller: self.controller.clone(),
            outlives: self.spec.reattach.map(|most| Outlives { next_controller: self.address_file.clone(), most }),
        };
        let known = Known {
            id: worker.worker_id.clone(),
            speaks_as: generation,
            adopt_by: None,
            adopted: false,
            process: None,
            kill: Some(kill),
            outbound: None,
            exit: None,
        };
        self.workers.insert(generation, known);
        let claiming = claim(self.lasting.clone(), self.restore.clone(), self.spec.checkpoints.keep, generation);
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
    check_claim(log.claim_from(&restore, keep, generation, owner).await, generation)
}

/// Claims the log for a generation that goes on with the worker that runs.
async fn claim_running(log: Log, generation: u64) -> Result<Claim, Failure> {
    let owner = uuid::Uuid::new_v4().to_string();
    check_claim(log.claim_running(generation, owner).await, generation)
}

fn check_claim(claim: Result<Claim, LogError>, generation: u64) -> Result<Claim, Failure> {
    let claim = claim.map_err(|error| {
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
    let (generation, outlives) = (worker.generation, worker.outlives.is_some());
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
    if let (true, Some(process), Some(inputs)) = (outlives, process.process(), inputs.upgrade()) {
        let _ = inputs.send(Input::Spawned { generation, process }).await;
    }
    report(WorkerEvent::Exited(end_of(process.as_mut(), &mut killed).await)).await;
}

/// As [`watch_worker`], one that runs already.
async fn watch_running(
    mut process: Box<dyn Worker>,
    generation: u64,
    claiming: impl Future<Output = Result<Claim, Failure>>,
    inputs: mpsc::WeakSender<Input>,
    mut killed: oneshot::Receiver<()>,
) {
    let claimed = tokio::select! {
        claimed = claiming => Some(claimed),
        _ = &mut killed => None,
    };
    let event = match claimed {
        // Dropping the process ends it.
        Some(Err(failure)) => WorkerEvent::NotStarted(failure),
        None => WorkerEvent::Exited(Exit::default()),
        Some(Ok(claim)) => {
            if let Some(inputs) = inputs.upgrade() {
                let _ = inputs.send(Input::Claimed { generation, claim: Box::new(claim) }).await;
            }
            WorkerEvent::Exited(end_of(process.as_mut(), &mut killed).await)
        }
    };
    drop(process);
    if let Some(inputs) = inputs.upgrade() {
        let _ = inputs.send(Input::Worker { generation, event }).await;
    }
}

/// Waits for the end of a process, which it makes if it is told to.
async fn end_of(process: &mut dyn Worker, killed: &mut oneshot::Receiver<()>) -> Exit {
    // The loop that holds the other end is gone, or wants it so: in both cases the process must go.
    let exit = tokio::select! {
        exit = process.exited() => Some(exit),
        _ = killed => None,
    };
    match exit {
        Some(exit) => exit,
        None => {
            process.kill();
            process.exited().await
        }
    }
}

#[cfg(test)]
mod tests;
