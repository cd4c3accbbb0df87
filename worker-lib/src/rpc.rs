//! The worker's side of the conversation with the controller.
//!
//! ```text
//!   worker                         controller
//!     │ Register ───────────────────▶ │   who am I, which code
//!     │ ◀─────────────────────  Start │   plan and limits
//!     │ Started ────────────────────▶ │   all tasks run
//!     │ Progress ───────────────────▶ │   every PROGRESS_EVERY
//!     │ ◀───────  Checkpoint, Publish │   every checkpoint
//!     │ TaskCheckpointed ───────────▶ │   a task's part is in the store
//!     │ TaskPublished ──────────────▶ │   a sink has published
//!     │ ◀──────────────────────  Stop │   perhaps
//!     │ Progress, Finished │ TaskFailed ▶ │
//!     │ ◀─────────────────── end of stream │
//! ```
//!
//! The stream is opened by the worker. When it breaks, the controller may already have given the job to somebody else: the
//! worker stops at once, publishes nothing more and says so by its exit code. A half-open connection is found by HTTP/2
//! pings.
//!
//! **Reattaching.** A worker that was told how ([`Reattach`]) goes on instead, and looks for the controller that adopts it, at the
//! address in a file and where it was before. `runtime::Tenure` keeps what it owes to that one. Meanwhile nobody tells sinks to
//! publish. When the time is over, or the one that it finds does not want it, it stops as above.
//!
//! ```text
//!   worker                         the next controller
//!     │ Register (standing) ────────▶ │   how far it has come
//!     │ ◀─────────────────────  Adopt │   which generation it is now
//!     │ Started, and again what may not have been heard ─▶ │
//! ```
//!
//! All of this runs on a thread of its own, beside the data runtime, so that no amount of data delays a report.
//! Progress is a picture of the counters, not a log: a report that finds the outbox full is left out.
//!
//! Not here: what a job does (`runtime`), processes and arguments (`entry`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use artifacts::objects::open_objects;
use futures::future::BoxFuture;
use protocol::checkpoint::Manifest;
use protocol::job::JobPlan;
use protocol::rpc::controller_client::ControllerClient;
use protocol::rpc::controller_message::Message as FromController;
use protocol::rpc::worker_message::Message as FromWorker;
use protocol::rpc::{
    self, Adopt, ControllerMessage, Finished, Progress, Register, Start, Started, StopMode, TaskCheckpointed,
    TaskFailed, TaskPublished, WorkerMessage,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::error::{ErrorClass, TaskError};
use crate::runtime::{Barrier, Ending, Job, Keeping, Limits, Report, Stop, TaskFailure, Tenure};
use crate::stage::Pipeline;

const PROGRESS_EVERY: Duration = Duration::from_millis(500);
const CONNECT_MOST: Duration = Duration::from_secs(5);
/// The controller has just started us, so it is there; but it may be busy.
const CONNECT_TRIES: u32 = 5;
/// Between two looks for the next controller.
const SEARCH_PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for a controller to say whether it adopts this worker.
const ADOPT_MOST: Duration = Duration::from_secs(20);
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_MOST: Duration = Duration::from_secs(10);
/// Longest wait, at the end, for the controller to have heard the last word.
const GOODBYE_MOST: Duration = Duration::from_secs(5);
/// Messages on their way to the controller.
const OUTBOX: usize = 16;
/// A plan with thousands of columns is still far below this.
const MESSAGE_BYTES_MOST: usize = 64 << 20;

/// Who this worker is, as the scheduler said on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) controller: String,
    pub(crate) worker_id: String,
    pub(crate) job_id: String,
    pub(crate) generation: u64,
    /// `None`: it does not outlive its controller.
    pub(crate) reattach: Option<Reattach>,
}

/// How a worker that has lost its controller finds the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reattach {
    /// JSON; its `address` is where the next one listens.
    pub(crate) file: PathBuf,
    /// Longest time without any.
    pub(crate) most: Duration,
}

/// How a worker's life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Finished,
    /// The controller has been told why.
    Failed(TaskFailure),
    /// By order of the controller.
    Stopped,
    /// The stream could not be opened, was refused, or broke; why.
    Lost(String),
}

/// Lives a worker's life. Tasks run on `data`; everything else on the caller's runtime. `epoch_rows` is the one of
/// [`Limits`].
pub(crate) async fn attach(
    pipeline: &'static Pipeline,
    identity: &Identity,
    epoch_rows: Option<usize>,
    data: &Handle,
) -> Outcome {
    match Streams::open(&identity.controller, register(pipeline, identity), CONNECT_TRIES).await {
        Ok(streams) => Connection { identity: identity.clone(), streams }.serve(pipeline, epoch_rows, data).await,
        Err(reason) => Outcome::Lost(reason),
    }
}

fn register(pipeline: &Pipeline, identity: &Identity) -> Register {
    Register {
        protocol_version: protocol::VERSION,
        worker_id: identity.worker_id.clone(),
        job_id: identity.job_id.clone(),
        generation: identity.generation,
        code: pipeline.code.to_owned(),
        pid: std::process::id(),
        standing: None,
    }
}

/// To a controller and from it.
struct Streams {
    outbox: mpsc::Sender<WorkerMessage>,
    inbox: Streaming<ControllerMessage>,
}

impl Streams {
    async fn open(controller: &str, register: Register, tries: u32) -> Result<Streams, String> {
        let channel = connect(controller, tries).await?;
        let mut client = ControllerClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MOST)
            .max_encoding_message_size(MESSAGE_BYTES_MOST);
        let (outbox, messages) = mpsc::channel(OUTBOX);
        // The first message must be under way before the controller has anything to answer.
        let _ = outbox.try_send(WorkerMessage { message: Some(FromWorker::Register(register)) });
        match client.attach(ReceiverStream::new(messages)).await {
            Ok(response) => Ok(Streams { outbox, inbox: response.into_inner() }),
            Err(status) => Err(format!("the controller at {controller} refused: {}", status.message())),
        }
    }

    async fn receive(&mut self) -> Result<FromController, String> {
        match self.inbox.message().await {
            Ok(Some(ControllerMessage { message: Some(message) })) => Ok(message),
            Ok(Some(_)) => Err("the controller sent an empty message".into()),
            Ok(None) => Err("the controller closed the stream".into()),
            Err(status) => Err(format!("lost the controller: {}", status.message())),
        }
    }

    /// Waits for room in the outbox, but not for a controller that no longer reads.
    async fn send(&self, message: FromWorker) -> Result<(), ()> {
        let sending = self.outbox.send(WorkerMessage { message: Some(message) });
        match tokio::time::timeout(GOODBYE_MOST, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }
}

struct Connection {
    identity: Identity,
    streams: Streams,
}

impl Connection {
    async fn serve(&mut self, pipeline: &'static Pipeline, epoch_rows: Option<usize>, data: &Handle) -> Outcome {
        let start = match self.streams.receive().await {
            Ok(FromController::Start(start)) => start,
            // There is nothing to end, so any order to stop is carried out.
            Ok(FromController::Stop(stop)) if stop.mode() == StopMode::StopGraceful => {
                return self.finish(Outcome::Finished).await;
            }
            Ok(FromController::Stop(_)) => return Outcome::Stopped,
            Ok(FromController::Checkpoint(_) | FromController::Publish(_) | FromController::Adopt(_)) => {
                return Outcome::Lost("the controller wants a checkpoint of a job that it has not started".into());
            }
            Err(reason) => return Outcome::Lost(reason),
        };
        let (reports, reported) = mpsc::unbounded_channel();
        match start_job(pipeline, &start, epoch_rows, &self.identity, reports, data).await {
            Ok((job, restored)) => self.run(register(pipeline, &self.identity), job, restored, reported).await,
            Err(failure) => self.finish(Outcome::Failed(failure)).await,
        }
    }

    /// `restored` is the epoch that the job goes on from, 0: none.
    async fn run(
        &mut self,
        register: Register,
        job: Job,
        restored: u64,
        mut reported: mpsc::UnboundedReceiver<Report>,
    ) -> Outcome {
        let counters = job.counters();
        let progress = || Progress { tasks: counters.iter().map(|counters| counters.snapshot()).collect() };
        let controls = job.controls();
        let mut tenure = Tenure::new(controls.clone(), self.identity.generation, restored);
        // While there is no controller: the search for one.
        let mut search: Option<Search> = None;
        let mut ended = Box::pin(job.wait());
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let _ = self.streams.send(FromWorker::Started(Started {})).await;
        let outcome = loop {
            let from = tenure.generation();
            tokio::select! {
                biased;
                ended = &mut ended => break match ended {
                    Ok(Ending::Finished) => Outcome::Finished,
                    Ok(Ending::Stopped) => Outcome::Stopped,
                    Err(failure) => Outcome::Failed(failure),
                },
                Some(report) = reported.recv() => {
                    if let Err(failure) = self.report(tenure.report(report), search.is_none()).await {
                        controls.stop(Stop::Immediate);
                        let _ = ended.await;
                        break Outcome::Failed(failure);
                    }
                }
                message = self.streams.inbox.message(), if search.is_none() => match message {
                    Ok(Some(ControllerMessage { message: Some(FromController::Stop(stop)) })) => {
                        tenure.stop(from, match stop.mode() {
                            StopMode::StopGraceful => Stop::Graceful,
                            StopMode::StopImmediate => Stop::Immediate,
                        });
                    }
                    Ok(Some(ControllerMessage { message: Some(FromController::Checkpoint(checkpoint)) })) => {
                        tenure.checkpoint(from, Barrier { epoch: checkpoint.epoch, last: checkpoint.last });
                    }
                    Ok(Some(ControllerMessage { message: Some(FromController::Publish(publish)) })) => {
                        tenure.publish(from, publish.epoch);
                    }
                    Ok(Some(_)) => tracing::warn!("the controller sent a message that means nothing to a running job"),
                    Ok(None) | Err(_) => {
                        let reason = message.err().map_or("it closed the stream".into(), |status| status.to_string());
                        let Some(reattach) = self.identity.reattach.clone() else {
                            controls.stop(Stop::Immediate);
                            let _ = ended.await;
                            return Outcome::Lost(format!("lost the controller: {reason}"));
                        };
                        tracing::warn!("lost the controller, going on without: {reason}");
                        let standing = Some(tenure.standing());
                        let register = Register { generation: tenure.generation(), standing, ..register.clone() };
                        search = Some(Box::pin(find_controller(reattach, self.identity.controller.clone(), register)));
                    }
                },
                found = found(&mut search) => match found {
                    Ok((controller, streams, adopt)) => {
                        tracing::info!(adopt.generation, "another controller has adopted this worker");
                        search = None;
                        (self.identity.controller, self.streams) = (controller, streams);
                        let again = tenure.adopt(adopt.generation, adopt.epoch);
                        let _ = self.streams.send(FromWorker::Started(Started {})).await;
                        for report in again {
                            let _ = self.report(report, true).await;
                        }
                    }
                    Err(reason) => {
                        controls.stop(Stop::Immediate);
                        let _ = ended.await;
                        return Outcome::Lost(reason);
                    }
                },
                _ = ticks.tick() => {
                    let progress = FromWorker::Progress(progress());
                    let _ = self.streams.outbox.try_send(WorkerMessage { message: Some(progress) });
                }
            }
        };
        if search.is_some() {
            // Nobody hears how it has ended. Whoever comes goes by the log.
            return outcome;
        }
        // What tasks said before they ended is heard before their end.
        while let Ok(report) = reported.try_recv() {
            if let (Err(failure), Outcome::Finished) = (self.report(tenure.report(report), true).await, &outcome) {
                return self.finish(Outcome::Failed(failure)).await;
            }
        }
        let _ = self.streams.send(FromWorker::Progress(progress())).await;
        self.finish(outcome).await
    }

    /// Passes on what a task says of a checkpoint, if anybody `listens`; an error if its part could not be written.
    async fn report(&self, report: Report, listens: bool) -> Result<(), TaskFailure> {
        let message = match report {
            Report::Snapshot(snapshot) => {
                let snapshot = serde_json::to_string(&snapshot).expect("a snapshot is JSON");
                FromWorker::TaskCheckpointed(TaskCheckpointed { snapshot })
            }
            Report::Published { stage, task, epoch } => {
                FromWorker::TaskPublished(TaskPublished { stage: stage as u32, task: task as u32, epoch })
            }
            Report::Failed { stage, task, error } => {
                return Err(TaskFailure { stage, stage_name: String::new(), task, error });
            }
        };
        if listens {
            // A controller that does not is found by the stream.
            let _ = self.streams.send(message).await;
        }
        Ok(())
    }

    /// Says the last word, and waits until it has been heard.
    async fn finish(&mut self, outcome: Outcome) -> Outcome {
        let last = match &outcome {
            Outcome::Finished => Some(FromWorker::Finished(Finished {})),
            Outcome::Failed(failure) => Some(FromWorker::TaskFailed(task_failed(failure))),
            Outcome::Stopped | Outcome::Lost(_) => None,
        };
        if let Some(last) = last
            && self.streams.send(last).await.is_err()
        {
            return outcome;
        }
        // Closing our half tells the controller that there is no more; its half closes when it has read everything.
        self.streams.outbox = mpsc::channel(1).0;
        let heard = async { while let Ok(Some(_)) = self.streams.inbox.message().await {} };
        if tokio::time::timeout(GOODBYE_MOST, heard).await.is_err() {
            tracing::warn!("the controller did not close the stream in {GOODBYE_MOST:?}");
        }
        outcome
    }
}

/// Where the next controller is, the streams to it, and its first word.
type Found = (String, Streams, Adopt);
type Search = BoxFuture<'static, Result<Found, String>>;

/// What a search has found; for ever without one.
async fn found(search: &mut Option<Search>) -> Result<Found, String> {
    match search {
        Some(search) => search.await,
        None => std::future::pending().await,
    }
}

/// Looks for a controller that adopts this worker, until it finds one, or one that wants it to end, or the time is over.
async fn find_controller(reattach: Reattach, before: String, register: Register) -> Result<Found, String> {
    let begun = Instant::now();
    let mut reason = String::new();
    while begun.elapsed() < reattach.most {
        let mut controllers: Vec<String> = address_in(&reattach.file).into_iter().collect();
        controllers.extend((!controllers.contains(&before)).then(|| before.clone()));
        for controller in controllers {
            let left = reattach.most.saturating_sub(begun.elapsed());
            let adopted = tokio::time::timeout(left.min(ADOPT_MOST), ask_to_adopt(&controller, register.clone())).await;
            match adopted {
                Ok(Ok(Ok((streams, adopt)))) => return Ok((controller, streams, adopt)),
                Ok(Err(refused)) => return Err(refused),
                Ok(Ok(Err(failed))) => reason = failed,
                Err(_) => reason = format!("the controller at {controller} does not answer"),
            }
        }
        tokio::time::sleep(SEARCH_PAUSE).await;
    }
    Err(format!("no controller has come back in {:?}: {reason}", reattach.most))
}

/// Where the controller is that runs on a state directory now.
fn address_in(file: &std::path::Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let document: serde_json::Value = serde_json::from_str(&text).ok()?;
    document["address"].as_str().map(str::to_owned)
}

/// The inner error: this one does not want it, or not yet; the outer one: it is to end.
async fn ask_to_adopt(controller: &str, register: Register) -> Result<Result<(Streams, Adopt), String>, String> {
    let mut streams = match Streams::open(controller, register, 1).await {
        Ok(streams) => streams,
        Err(reason) => return Ok(Err(reason)),
    };
    match streams.receive().await {
        Ok(FromController::Adopt(adopt)) => Ok(Ok((streams, adopt))),
        Ok(FromController::Stop(_)) => Err(format!("the controller at {controller} goes on without this worker")),
        Ok(_) => Ok(Err(format!("the controller at {controller} does not know this worker"))),
        Err(reason) => Ok(Err(reason)),
    }
}

async fn connect(controller: &str, tries: u32) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(controller.to_owned())
        .map_err(|error| format!("\"{controller}\" is not the URL of a controller: {error}"))?
        .connect_timeout(CONNECT_MOST)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_MOST)
        .keep_alive_while_idle(true);
    let mut tried = 1;
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if tried >= tries => {
                return Err(format!("cannot connect to the controller at {controller}: {}", causes(&error)));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100) * tried).await,
        }
        tried += 1;
    }
}

/// An error with all that it was caused by; a transport error alone only says that it is one.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn start_job(
    pipeline: &'static Pipeline,
    start: &Start,
    epoch_rows: Option<usize>,
    identity: &Identity,
    reports: mpsc::UnboundedSender<Report>,
    data: &Handle,
) -> Result<(Job, u64), TaskFailure> {
    let whole = |error| TaskFailure { stage: 0, stage_name: String::new(), task: 0, error };
    let unreadable = |what: &str, error| whole(TaskError::fatal(format!("cannot read the job's {what}: {error}")));
    let plan: JobPlan = serde_json::from_str(&start.plan).map_err(|error| unreadable("plan", error))?;
    let or = |given: u32, default: usize| if given == 0 { default } else { given as usize };
    let limits = Limits {
        batch_rows: or(start.source_batch_rows, Limits::DEFAULT_BATCH_ROWS),
        // Zero is a linger: rows do not wait.
        linger: Duration::from_millis(u64::from(start.source_linger_millis)),
        queue_batches: or(start.queue_batches, Limits::DEFAULT_QUEUE_BATCHES),
        flush_interval: match start.update_flush_millis {
            0 => Limits::DEFAULT_FLUSH_INTERVAL,
            millis => Duration::from_millis(u64::from(millis)),
        },
        epoch_rows,
        state_memory: start.state_memory,
        spill_directory: Some(PathBuf::from(&start.spill_directory)).filter(|at| !at.as_os_str().is_empty()),
    };
    let (mut keeping, mut restored) = (None, 0);
    if !start.checkpoint_url.is_empty() {
        let objects = open_objects(&start.checkpoint_url)
            .map_err(|error| whole(TaskError::user(format!("cannot open the checkpoint store: {error}"))))?;
        let restore = match start.restore.as_str() {
            "" => None,
            text => {
                let manifest: Manifest = serde_json::from_str(text).map_err(|error| unreadable("checkpoint", error))?;
                restored = manifest.epoch;
                Some(Arc::new(manifest))
            }
        };
        let (job, generation) = (identity.job_id.clone(), identity.generation);
        let compact_after = Some(start.compact_after as usize).filter(|files| *files > 0);
        keeping = Some(Keeping { objects, job, generation, reports, restore, compact_after });
    }
    let handle = data.clone();
    let job = data.spawn(async move { Job::start(pipeline, &plan, limits, &handle, keeping) }).await;
    let job = job.unwrap_or_else(|error| Err(whole(TaskError::fatal(format!("cannot start the job: {error}")))))?;
    Ok((job, restored))
}

fn task_failed(failure: &TaskFailure) -> TaskFailed {
    TaskFailed {
        stage: failure.stage as u32,
        task: failure.task as u32,
        class: match failure.error.class {
            ErrorClass::Retryable => rpc::ErrorClass::Retryable,
            ErrorClass::Fatal => rpc::ErrorClass::Fatal,
            ErrorClass::User => rpc::ErrorClass::User,
        }
        .into(),
        message: failure.error.message.clone(),
        hint: failure.error.hint.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use protocol::rpc::Stop as StopMessage;
    use protocol::rpc::controller_server::{Controller, ControllerServer};
    use tokio::net::TcpListener;
    use tokio_stream::StreamExt;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::{Request, Response, Status};

    use super::*;
    use crate::runtime::toys;

    type Outbox = mpsc::Sender<Result<ControllerMessage, Status>>;
    /// A controller's life: what the worker says comes in, what it answers goes out.
    type Script = fn(Streaming<WorkerMessage>, Outbox) -> BoxFuture<'static, ()>;

    struct Toy {
        script: Script,
    }

    #[tonic::async_trait]
    impl Controller for Toy {
        type AttachStream = ReceiverStream<Result<ControllerMessage, Status>>;

        async fn attach(
            &self,
            request: Request<Streaming<WorkerMessage>>,
        ) -> Result<Response<Self::AttachStream>, Status> {
            let (outbox, messages) = mpsc::channel(4);
            tokio::spawn((self.script)(request.into_inner(), outbox));
            Ok(Response::new(ReceiverStream::new(messages)))
        }
    }

    /// A controller with that life, and where it is.
    async fn listen(script: Script) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let controller = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(ControllerServer::new(Toy { script }))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        controller
    }

    async fn attach_to(script: Script) -> Outcome {
        let controller = listen(script).await;
        let identity =
            Identity { controller, worker_id: "w".into(), job_id: "j".into(), generation: 3, reattach: None };
        attach(toys::pipeline(&[]), &identity, None, &Handle::current()).await
    }

    async fn say(outbox: &Outbox, message: FromController) {
        outbox.send(Ok(ControllerMessage { message: Some(message) })).await.unwrap();
    }

    fn start(plan: &JobPlan) -> FromController {
        let plan = serde_json::to_string(plan).unwrap();
        let start = Start { plan, source_batch_rows: 10, queue_batches: 2, ..Start::default() };
        FromController::Start(start)
    }

    async fn hear(inbox: &mut Streaming<WorkerMessage>) -> Option<FromWorker> {
        inbox.next().await?.ok()?.message
    }

    /// What the worker said, in order, without the progress between.
    async fn hear_all(mut inbox: Streaming<WorkerMessage>) -> Vec<FromWorker> {
        let mut heard: Vec<FromWorker> = Vec::new();
        while let Some(message) = hear(&mut inbox).await {
            if let (FromWorker::Progress(_), Some(FromWorker::Progress(_))) = (&message, heard.last()) {
                heard.pop();
            }
            heard.push(message);
        }
        heard
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_job_runs_from_register_to_finished() {
        static HEARD: Mutex<Vec<FromWorker>> = Mutex::new(Vec::new());
        let outcome = attach_to(|mut inbox, outbox| {
            Box::pin(async move {
                let register = hear(&mut inbox).await.unwrap();
                say(&outbox, start(&toys::plan_to_sink("rpc finished", 100, 1))).await;
                let mut heard = hear_all(inbox).await;
                heard.insert(0, register);
                *HEARD.lock().unwrap() = heard;
            })
        })
        .await;
        assert_eq!(outcome, Outcome::Finished);
        assert_eq!(toys::rows("rpc finished").len(), 100);
        let heard = std::mem::take(&mut *HEARD.lock().unwrap());
        let FromWorker::Register(register) = &heard[0] else { panic!("not {:?}", heard[0]) };
        assert_eq!((register.job_id.as_str(), register.generation, register.code.as_str()), ("j", 3, toys::CODE));
        let [FromWorker::Started(_), FromWorker::Progress(progress), FromWorker::Finished(_)] = &heard[1..] else {
            panic!("not {heard:?}")
        };
        assert_eq!(progress.tasks.len(), 2);
        assert!(progress.tasks.iter().all(|task| task.finished && task.rows_out == 100), "{progress:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_error_is_told_with_its_class_and_place() {
        static HEARD: Mutex<Vec<FromWorker>> = Mutex::new(Vec::new());
        let outcome = attach_to(|inbox, outbox| {
            Box::pin(async move {
                let mut plan = toys::plan_to_sink("rpc failed", 100, 1);
                plan.stages[1].sink.as_mut().unwrap().options["fail_after"] = 20.into();
                say(&outbox, start(&plan)).await;
                *HEARD.lock().unwrap() = hear_all(inbox).await;
            })
        })
        .await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        let heard = std::mem::take(&mut *HEARD.lock().unwrap());
        let Some(FromWorker::TaskFailed(failed)) = heard.last() else { panic!("not {heard:?}") };
        assert_eq!((failed.stage, failed.class()), (1, rpc::ErrorClass::User));
        assert_eq!(failed.message, "the toy sink is full");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_plan_for_other_code_is_refused() {
        let outcome = attach_to(|inbox, outbox| {
            Box::pin(async move {
                let plan = JobPlan { code: "other".into(), ..toys::plan_to_sink("rpc refused", 1, 1) };
                say(&outbox, start(&plan)).await;
                hear_all(inbox).await;
            })
        })
        .await;
        let Outcome::Failed(failure) = outcome else { panic!("not {outcome:?}") };
        assert_eq!(failure.error.message, "the plan belongs to code other, this binary was made from code toys");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_graceful_stop_finishes_and_an_immediate_one_does_not() {
        let outcome = attach_to(|mut inbox, outbox| {
            Box::pin(async move {
                say(&outbox, start(&toys::plan_to_sink("rpc graceful", usize::MAX, 1))).await;
                while !matches!(hear(&mut inbox).await, Some(FromWorker::Started(_))) {}
                say(&outbox, FromController::Stop(StopMessage { mode: StopMode::StopGraceful.into() })).await;
                assert!(matches!(hear_all(inbox).await.last(), Some(FromWorker::Finished(_))));
            })
        })
        .await;
        assert_eq!(outcome, Outcome::Finished);
        assert!(toys::is_closed("rpc graceful"));

        let outcome = attach_to(|mut inbox, outbox| {
            Box::pin(async move {
                say(&outbox, start(&toys::plan_to_sink("rpc immediate", usize::MAX, 1))).await;
                while !matches!(hear(&mut inbox).await, Some(FromWorker::Started(_))) {}
                say(&outbox, FromController::Stop(StopMessage { mode: StopMode::StopImmediate.into() })).await;
                assert!(!matches!(hear_all(inbox).await.last(), Some(FromWorker::Finished(_))));
            })
        })
        .await;
        assert_eq!(outcome, Outcome::Stopped);
        assert!(!toys::is_closed("rpc immediate"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_that_loses_its_controller_publishes_nothing_more() {
        let outcome = attach_to(|mut inbox, outbox| {
            Box::pin(async move {
                say(&outbox, start(&toys::plan_to_sink("rpc lost", usize::MAX, 1))).await;
                while !matches!(hear(&mut inbox).await, Some(FromWorker::Started(_))) {}
            })
        })
        .await;
        assert!(matches!(outcome, Outcome::Lost(_)), "{outcome:?}");
        assert!(!toys::is_closed("rpc lost"));
    }

    /// For the files of one test, in the system's directory for such.
    fn kept(test: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("streamwright-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    /// Attaches to one, and then finds the other. `test` has a directory of its own.
    async fn goes_from_one_to_another(test: &str, first: Script, second: Script, most: Duration) -> Outcome {
        let file = kept(test).join("controller.json");
        let next = serde_json::json!({ "address": listen(second).await, "secret": "not for workers" });
        std::fs::write(&file, next.to_string()).unwrap();
        let identity = Identity {
            controller: listen(first).await,
            worker_id: "w".into(),
            job_id: "j".into(),
            generation: 3,
            reattach: Some(Reattach { file, most }),
        };
        let outcome = attach(toys::pipeline(&[]), &identity, None, &Handle::current()).await;
        let _ = std::fs::remove_dir_all(kept(test));
        outcome
    }

    /// A job with checkpoints, up to where both of its tasks have reported the first.
    async fn is_in_flight(test: &str, inbox: &mut Streaming<WorkerMessage>, outbox: &Outbox, plan: JobPlan) {
        let FromController::Start(start) = start(&plan) else { unreachable!() };
        let start = Start { checkpoint_url: kept(test).to_string_lossy().into_owned(), ..start };
        assert!(matches!(hear(inbox).await, Some(FromWorker::Register(register)) if register.standing.is_none()));
        say(outbox, FromController::Start(start)).await;
        while !matches!(hear(inbox).await, Some(FromWorker::Started(_))) {}
        say(outbox, FromController::Checkpoint(rpc::Checkpoint { epoch: 4, last: false })).await;
        for _ in 0..2 {
            while !matches!(hear(inbox).await, Some(FromWorker::TaskCheckpointed(_))) {}
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_goes_from_one_controller_to_the_next() {
        let outcome = goes_from_one_to_another(
            "adopted",
            |mut inbox, outbox| {
                Box::pin(async move {
                    let plan = toys::plan_to_sink("rpc adopted", usize::MAX, 1);
                    is_in_flight("adopted", &mut inbox, &outbox, plan).await;
                })
            },
            |mut inbox, outbox| {
                Box::pin(async move {
                    let Some(FromWorker::Register(register)) = hear(&mut inbox).await else { panic!("no register") };
                    let standing = rpc::Standing { first_generation: 3, begun: 4, ..rpc::Standing::default() };
                    assert_eq!((register.generation, register.standing), (3, Some(standing)));
                    say(&outbox, FromController::Adopt(Adopt { generation: 5, epoch: 6 })).await;
                    let mut said_again = 0;
                    while said_again < 2 {
                        if let Some(FromWorker::TaskCheckpointed(said)) = hear(&mut inbox).await {
                            assert!(said.snapshot.contains("\"epoch\":6"), "{}", said.snapshot);
                            said_again += 1;
                        }
                    }
                    say(&outbox, FromController::Publish(rpc::Publish { epoch: 6 })).await;
                    let published = loop {
                        if let Some(FromWorker::TaskPublished(published)) = hear(&mut inbox).await {
                            break published;
                        }
                    };
                    assert_eq!((published.stage, published.epoch), (1, 6));
                    say(&outbox, FromController::Stop(StopMessage { mode: StopMode::StopImmediate.into() })).await;
                    hear_all(inbox).await;
                })
            },
            Duration::from_secs(60),
        )
        .await;
        assert_eq!(outcome, Outcome::Stopped);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_that_is_not_wanted_any_more_ends() {
        let first: Script = |mut inbox, outbox| {
            Box::pin(async move {
                let plan = toys::plan_to_sink("rpc not wanted", usize::MAX, 1);
                is_in_flight("not-wanted", &mut inbox, &outbox, plan).await;
            })
        };
        let stop: Script = |inbox, outbox| {
            Box::pin(async move {
                say(&outbox, FromController::Stop(StopMessage { mode: StopMode::StopImmediate.into() })).await;
                hear_all(inbox).await;
            })
        };
        let outcome = goes_from_one_to_another("not-wanted", first, stop, Duration::from_secs(60)).await;
        assert!(matches!(&outcome, Outcome::Lost(reason) if reason.contains("goes on without")), "{outcome:?}");
        // One that closes its stream is asked again, until the time is over.
        let silent: Script = |_inbox, _outbox| Box::pin(async {});
        let outcome = goes_from_one_to_another("not-wanted", first, silent, Duration::from_millis(700)).await;
        assert!(matches!(&outcome, Outcome::Lost(reason) if reason.contains("has come back in 700ms")), "{outcome:?}");
        assert!(!toys::is_closed("rpc not wanted"));
    }

    #[tokio::test]
    async fn no_controller_is_an_outcome() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let controller = format!("http://127.0.0.1:{port}");
        let identity =
            Identity { controller, worker_id: "w".into(), job_id: "j".into(), generation: 3, reattach: None };
        let outcome = attach(toys::pipeline(&[]), &identity, None, &Handle::current()).await;
        let Outcome::Lost(reason) = outcome else { panic!("not {outcome:?}") };
        assert!(reason.starts_with("cannot connect to the controller at http://127.0.0.1:"), "{reason}");
    }
}
