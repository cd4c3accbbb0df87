//! The loop, the server and the store together, with workers that are tasks of the test and speak the real protocol.

use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use protocol::rpc::controller_client::ControllerClient;
use protocol::rpc::controller_message::Message as FromController;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::*;
use crate::job::tests::spec;
use crate::scheduler::Worker;

/// A worker that was asked for, and how to end it.
type Started = (StartWorker, mpsc::Sender<Exit>);

/// A worker that was looked for, and how to end it.
type Looked = (FindWorker, mpsc::Sender<Exit>);

/// A scheduler whose workers are in the hands of the test.
#[derive(Clone, Default)]
struct Hands {
    started: Arc<Mutex<Vec<Started>>>,
    kills: Arc<Mutex<Vec<u64>>>,
    found: Arc<Mutex<Vec<Looked>>>,
}

struct Held {
    generation: u64,
    exit: mpsc::Receiver<Exit>,
    kill_exits: mpsc::Sender<Exit>,
    kills: Arc<Mutex<Vec<u64>>>,
}

impl Scheduler for Hands {
    fn start(&self, worker: StartWorker) -> BoxFuture<'static, Result<Box<dyn Worker>, Failure>> {
        let (exits, exit) = mpsc::channel(4);
        let held = Held { generation: worker.generation, exit, kill_exits: exits.clone(), kills: self.kills.clone() };
        self.started.lock().unwrap().push((worker, exits));
        Box::pin(async move { Ok(Box::new(held) as Box<dyn Worker>) })
    }

    fn find(&self, worker: FindWorker) -> Option<Box<dyn Worker>> {
        let (exits, exit) = mpsc::channel(4);
        let held = Held { generation: worker.generation, exit, kill_exits: exits.clone(), kills: self.kills.clone() };
        self.found.lock().unwrap().push((worker, exits));
        Some(Box::new(held))
    }

    fn forget(&self, _job_id: &str) {}
}

impl Worker for Held {
    fn process(&self) -> Option<ProcessId> {
        Some(ProcessId { pid: 1, began: self.generation })
    }

    fn exited(&mut self) -> BoxFuture<'_, Exit> {
        Box::pin(async { self.exit.recv().await.unwrap_or_default() })
    }

    fn kill(&mut self) {
        self.kills.lock().unwrap().push(self.generation);
        let _ = self.kill_exits.try_send(Exit { signal: Some(libc::SIGTERM), ..Exit::default() });
    }
}

impl Hands {
    /// Waits for the start of a generation.
    async fn worker(&self, generation: u64) -> Started {
        loop {
            let found =
                self.started.lock().unwrap().iter().find(|(worker, _)| worker.generation == generation).cloned();
            match found {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }
}

/// A worker that has attached.
struct Attached {
    say: mpsc::Sender<rpc::WorkerMessage>,
    hear: Streaming<rpc::ControllerMessage>,
}

impl Attached {
    async fn new(worker: &StartWorker, register: impl FnOnce(&mut rpc::Register)) -> Result<Self, tonic::Status> {
        let mut message = rpc::Register {
            protocol_version: protocol::VERSION,
            worker_id: worker.worker_id.clone(),
            job_id: worker.job_id.clone(),
            generation: worker.generation,
            code: spec().code,
            pid: 1,
            standing: None,
        };
        register(&mut message);
        let (say, said) = mpsc::channel(16);
        say.send(rpc::WorkerMessage { message: Some(Message::Register(message)) }).await.unwrap();
        let endpoint = tonic::transport::Endpoint::from_shared(worker.controller.clone()).unwrap();
        let mut client = ControllerClient::new(endpoint.connect().await.unwrap());
        let hear = client.attach(ReceiverStream::new(said)).await?.into_inner();
        Ok(Attached { say, hear })
    }

    async fn say(&self, message: Message) {
        self.say.send(rpc::WorkerMessage { message: Some(message) }).await.unwrap();
    }

    async fn hear(&mut self) -> Option<FromController> {
        self.hear.message().await.ok().flatten().and_then(|message| message.message)
    }

    /// Ends as a worker does: it says no more, and goes when the controller has heard everything.
    async fn leave(mut self) {
        drop(self.say);
        while let Ok(Some(_)) = self.hear.message().await {}
    }

    /// What the job goes on from, as the plan says that comes first.
    async fn hears_start(&mut self) -> Option<Manifest> {
        let Some(FromController::Start(start)) = self.hear().await else { panic!("no start") };
        (!start.restore.is_empty()).then(|| serde_json::from_str(&start.restore).unwrap())
    }

    /// Waits for a barrier and says what tasks say behind it, up to what `Publish` follows.
    async fn takes_part(&mut self) -> u64 {
        let epoch = loop {
            let heard = self.hear().await.expect("a barrier before the end of the stream");
            if let FromController::Checkpoint(checkpoint) = heard {
                break checkpoint.epoch;
            }
        };
        for task in 0..2 {
            self.say_snapshot(task, epoch).await;
        }
        while !matches!(self.hear().await, Some(FromController::Publish(publish)) if publish.epoch == epoch) {}
        epoch
    }

    async fn say_snapshot(&self, task: usize, epoch: u64) {
        let snapshot = TaskSnapshot {
            stage: 0,
            task,
            epoch: Some(epoch),
            state: Default::default(),
            tables: vec![],
            merged: None,
            times: Default::default(),
        };
        let snapshot = serde_json::to_string(&snapshot).unwrap();
        self.say(Message::TaskCheckpointed(rpc::TaskCheckpointed { snapshot })).await;
    }

    /// Does what a worker does that is told to stop with a checkpoint; the checkpoint's epoch.
    async fn stops_with_checkpoint(mut self, exit: mpsc::Sender<Exit>) -> u64 {
        let epoch = loop {
            match self.hear().await.expect("a barrier before the end of the stream") {
                FromController::Checkpoint(checkpoint) if checkpoint.last => break checkpoint.epoch,
                _ => {}
            }
        };
        for task in 0..2 {
            self.say_snapshot(task, epoch).await;
        }
        while !matches!(self.hear().await, Some(FromController::Publish(publish)) if publish.epoch == epoch) {}
        self.say(Message::Finished(rpc::Finished {})).await;
        self.leave().await;
        exit.send(exited(0)).await.unwrap();
        epoch
    }

    async fn hears_stop(&mut self) -> rpc::StopMode {
        loop {
            match self.hear().await.expect("a stop before the end of the stream") {
                FromController::Stop(stop) => return stop.mode(),
                FromController::Start(_)
                | FromController::Adopt(_)
                | FromController::Checkpoint(_)
                | FromController::Publish(_) => {}
            }
        }
    }
}

/// A job that keeps its checkpoints there.
fn spec_in(directory: &tempfile::TempDir) -> JobSpec {
    let mut spec = spec();
    spec.checkpoints.url = directory.path().join("checkpoints").to_string_lossy().into_owned();
    spec
}

struct Bench {
    directory: tempfile::TempDir,
    controller: Controller,
    hands: Hands,
}

async fn bench(allowed_restarts: u32) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let hands = Hands::default();
    let policy = Policy {
        allowed_restarts: Some(allowed_restarts),
        initial_backoff: Duration::from_millis(1),
        teardown: Duration::from_millis(50),
        ..Policy::default()
    };
    let options = options(&directory, policy, Some(Arc::new(hands.clone())));
    Bench { controller: Controller::start(options).await.unwrap(), directory, hands }
}

fn options(directory: &tempfile::TempDir, policy: Policy, scheduler: Option<Arc<dyn Scheduler>>) -> ControllerOptions {
    ControllerOptions {
        state_dir: directory.path().join("state"),
        artifacts: Artifacts::open(directory.path().join("artifacts").to_str().unwrap()).unwrap(),
        policy,
        worker_log: None,
        scheduler,
    }
}

fn exited(code: i32) -> Exit {
    Exit { code: Some(code), ..Exit::default() }
}

async fn reaches(job: &JobHandle, state: JobState) -> JobStatus {
    let mut status = job.status();
    status.wait_for(|status| status.state == state).await.unwrap().clone()
}

#[tokio::test]
async fn a_job_runs_reports_and_finishes() {
    let Bench { controller, hands, directory } = bench(0).await;
    let mut job = controller.submit(spec_in(&directory)).await.unwrap();
    let (worker, exit) = hands.worker(1).await;
    let mut attached = Attached::new(&worker, |_| {}).await.unwrap();
    let Some(FromController::Start(start)) = attached.hear().await else { panic!("no start") };
    assert_eq!((start.plan, start.source_batch_rows, start.source_linger_millis), (spec().plan, 512, 100));
    assert_eq!(start.update_flush_millis, 2_000);
    attached.say(Message::Started(rpc::Started {})).await;
    reaches(&job, JobState::Running).await;
    let task = rpc::TaskProgress { rows_out: 42, ..Default::default() };
    attached.say(Message::Progress(rpc::Progress { tasks: vec![task] })).await;
    // The process may be seen to end before its last words are read: they count all the same.
    exit.send(exited(0)).await.unwrap();
    attached.say(Message::Finished(rpc::Finished {})).await;
    attached.leave().await;
    let status = job.ended().await;
    assert_eq!((status.state, status.generation), (JobState::Finished, 1));
    assert_eq!(status.progress[0].rows_out, 42);
    let record = controller.last_job().await.unwrap().unwrap();
    assert_eq!((record.id.as_str(), record.state), (job.id(), JobState::Finished));
    let path: Vec<_> =
        controller.store().transitions(job.id()).await.unwrap().into_iter().map(|step| step.to).collect();
    assert_eq!(path, [JobState::Scheduling, JobState::Running, JobState::Finishing, JobState::Finished]);
    controller.shutdown().await;
    drop(directory);
}

#[tokio::test]
async fn a_failed_task_fails_the_job_with_its_words() {
    let Bench { controller, hands, directory } = bench(5).await;
    let mut job = controller.submit(spec_in(&directory)).await.unwrap();
    let (worker, exit) = hands.worker(1).await;
    let mut attached = Attached::new(&worker, |_| {}).await.unwrap();
    attached.say(Message::Started(rpc::Started {})).await;
    attached
        .say(Message::TaskFailed(rpc::TaskFailed {
            stage: 0,
            task: 0,
            class: rpc::ErrorClass::User.into(),
            message: "cannot open \"a.json\": no such file".into(),
            hint: "paths are relative to the directory of the run".into(),
        }))
        .await;
    assert_eq!(attached.hears_stop().await, rpc::StopMode::StopImmediate);
    attached.leave().await;
    exit.send(exited(1)).await.unwrap();
    let status = job.ended().await;
    assert_eq!(status.state, JobState::Failed);
    let failure = status.failure.unwrap();
    assert_eq!(failure.message, "cannot open \"a.json\": no such file");
    assert_eq!(failure.hint.as_deref(), Some("paths are relative to the directory of the run"));
}

#[tokio::test]
async fn an_older_generation_is_told_to_stop_and_not_heard() {
    let Bench { controller, hands, directory } = bench(1).await;
    let mut job = controller.submit(spec_in(&directory)).await.unwrap();
    let (first, _never_exits) = hands.worker(1).await;
    let mut zombie = Attached::new(&first, |_| {}).await.unwrap();
    zombie.say(Message::Started(rpc::Started {})).await;
    let broken =
        rpc::TaskFailed { class: rpc::ErrorClass::Retryable.into(), message: "reset".into(), ..Default::default() };
    zombie.say(Message::TaskFailed(broken)).await;

    let (second, exit) = hands.worker(2).await;
    let attached = Attached::new(&second, |_| {}).await.unwrap();
    attached.say(Message::Started(rpc::Started {})).await;
    reaches(&job, JobState::Running).await;
    zombie.say(Message::Finished(rpc::Finished {})).await;
    zombie
        .say(Message::Progress(rpc::Progress {
            tasks: vec![rpc::TaskProgress { rows_out: 666, ..Default::default() }],
        }))
        .await;
    assert_eq!(zombie.hears_stop().await, rpc::StopMode::StopImmediate);

    attached
        .say(Message::Progress(rpc::Progress { tasks: vec![rpc::TaskProgress { rows_out: 7, ..Default::default() }] }))
        .await;
    attached.say(Message::Finished(rpc::Finished {})).await;
    attached.leave().await;
    exit.send(exited(0)).await.unwrap();
    let status = job.ended().await;
    assert_eq!((status.state, status.generation), (JobState::Finished, 2));
    assert_eq!(status.progress[0].rows_out, 7, "the zombie's numbers are not shown");
    assert!(hands.kills.lock().unwrap().contains(&1), "its process was ended");
}

#[tokio::test]
async fn a_stranger_is_told_to_stop_and_wrong_sources_fail_the_job() {
    let Bench { controller, hands, directory } = bench(0).await;
    let mut job = controller.submit(spec_in(&directory)).await.unwrap();
    let (worker, exit) = hands.worker(1).await;
    let mut stranger = Attached::new(&worker, |register| register.worker_id = "stranger".into()).await.unwrap();
    assert_eq!(stranger.hears_stop().await, rpc::StopMode::StopImmediate);
    stranger.say(Message::Finished(rpc::Finished {})).await;
    assert_eq!(job.status().borrow().state, JobState::Scheduling);

    let attached = Attached::new(&worker, |register| register.code = "other".into()).await.unwrap();
    reaches(&job, JobState::Failing).await;
    attached.leave().await;
    exit.send(exited(1)).await.unwrap();
    let failure = job.ended().await.failure.unwrap();
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (ErrorClass::Fatal, "the binary was made from sources other, the plan from c0de")
    );
}

#[tokio::test]
async fn unknown_jobs_and_other_protocols_are_refused() {
    let Bench { controller, hands, directory } = bench(0).await;
    let _job = controller.submit(spec_in(&directory)).await.unwrap();
    let (worker, _exit) = hands.worker(1).await;
    let unknown = Attached::new(&worker, |register| register.job_id = "?".into()).await.err().unwrap();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let other = Attached::new(&worker, |register| register.protocol_version += 1).await.err().unwrap();
    assert_eq!(other.code(), tonic::Code::FailedPrecondition);
}

#[tokio::test]
async fn a_stop_drains_the_worker_and_is_stored() {
    let Bench { controller, hands, directory } = bench(0).await;
    let mut job = controller.submit(spec_in(&directory)).await.unwrap();
    let (worker, exit) = hands.worker(1).await;
    let mut attached = Attached::new(&worker, |_| {}).await.unwrap();
    attached.say(Message::Started(rpc::Started {})).await;
    reaches(&job, JobState::Running).await;
    job.stop(StopMode::Graceful).await;
    assert_eq!(attached.hears_stop().await, rpc::StopMode::StopGraceful);
    attached.say(Message::Finished(rpc::Finished {})).await;
    attached.leave().await;
    exit.send(exited(0)).await.unwrap();
    assert_eq!(job.ended().await.state, JobState::Stopped);
    let record = controller.last_job().await.unwrap().unwrap();
    assert_eq!((record.state, record.desired), (JobState::Stopped, Desired::Stopped));
}

#[tokio::test]
async fn a_worker_that_will_not_go_is_killed() {
    let Bench { controller, hands, directory } = bench(0).await;
    let mut job = controller.submit(spec_in(&directory)).await.unwrap();
    let (worker, _exit) = hands.worker(1).await;
    let attached = Attached::new(&worker, |_| {}).await.unwrap();
    attached.say(Message::Started(rpc::Started {})).await;
    reaches(&job, JobState::Running).await;
    job.stop(StopMode::Immediate).await;
    assert_eq!(job.ended().await.state, JobState::Stopped);
    assert_eq!(*hands.kills.lock().unwrap(), [1]);
}

#[tokio::test]
async fn a_second_controller_is_refused_and_a_later_one_ends_what_was_left() {
    let Bench { controller, hands, directory } = bench(0).await;
    let job = controller.submit(spec_in(&directory)).await.unwrap();
    let _worker = hands.worker(1).await;
    let refused = Controller::start(options(&directory, Policy::default(), None)).await.err().unwrap();
    assert!(matches!(refused, ControllerError::Lock(LockError::InUse { .. })), "{refused}");
    drop(controller);
    let later = Controller::start(options(&directory, Policy::default(), None)).await.unwrap();
    let record = later.store().job(job.id()).await.unwrap().unwrap();
    assert_eq!(record.state, JobState::Failed);
}

#[tokio::test]
async fn a_binary_that_is_not_there_fails_the_job_through_the_real_scheduler() {
    let directory = tempfile::tempdir().unwrap();
    let controller = Controller::start(options(&directory, Policy::default(), None)).await.unwrap();
    let mut job = controller.submit(spec_in(&directory)).await.unwrap();
    let status = job.ended().await;
    assert_eq!(status.state, JobState::Failed);
    assert!(status.failure.unwrap().message.contains("is not in"));
}

/// Starts the job of the directory again, and its worker of that generation.
async fn run_again(bench: &Bench, spec: &JobSpec, generation: u64) -> (JobHandle, Attached, mpsc::Sender<Exit>) {
    let last = bench.controller.last_job().await.unwrap().unwrap();
    let job = bench.controller.resume(&last, spec.clone()).await.unwrap();
    let (worker, exit) = bench.hands.worker(generation).await;
    (job, Attached::new(&worker, |_| {}).await.unwrap(), exit)
}

#[tokio::test]
async fn a_job_is_stopped_with_a_savepoint_and_goes_back_to_it() {
    let bench = bench(1).await;
    let mut spec = spec_in(&bench.directory);
    let mut saved = Vec::new();
    for (generation, name) in [(1, "monday"), (2, "tuesday")] {
        spec.checkpoints.savepoint = Some(name.into());
        let (mut job, mut attached, exit) = match generation {
            1 => {
                let job = bench.controller.submit(spec.clone()).await.unwrap();
                let (worker, exit) = bench.hands.worker(1).await;
                (job, Attached::new(&worker, |_| {}).await.unwrap(), exit)
            }
            _ => run_again(&bench, &spec, generation).await,
        };
        assert_eq!(attached.hears_start().await.map(|manifest| manifest.epoch), saved.last().copied());
        attached.say(Message::Started(rpc::Started {})).await;
        reaches(&job, JobState::Running).await;
        job.stop(StopMode::Checkpoint).await;
        let epoch = attached.stops_with_checkpoint(exit).await;
        let status = job.ended().await;
        assert_eq!((status.state, status.savepoint), (JobState::Stopped, Some(Ok(epoch))));
        assert!(bench.controller.has_savepoint(&spec.checkpoints, job.id(), name).await.unwrap());
        saved.push(epoch);
    }
    // A name is given once; the job stops all the same.
    spec.checkpoints.savepoint = Some("monday".into());
    let (mut job, attached, exit) = run_again(&bench, &spec, 3).await;
    attached.say(Message::Started(rpc::Started {})).await;
    reaches(&job, JobState::Running).await;
    job.stop(StopMode::Checkpoint).await;
    attached.stops_with_checkpoint(exit).await;
    let status = job.ended().await;
    let failure = status.savepoint.unwrap().unwrap_err();
    assert_eq!(failure.message, "cannot make the savepoint: savepoint \"monday\" already exists");
    assert_eq!(status.state, JobState::Stopped);

    // Back to the first, also after a crash that comes before the next checkpoint.
    spec.checkpoints.savepoint = None;
    spec.checkpoints.restore = RestorePoint::Savepoint("monday".into());
    let (job, mut attached, _exit) = run_again(&bench, &spec, 4).await;
    assert_eq!(attached.hears_start().await.map(|manifest| manifest.epoch), Some(saved[0]));
    attached.say(Message::Started(rpc::Started {})).await;
    let broken =
        rpc::TaskFailed { class: rpc::ErrorClass::Retryable.into(), message: "reset".into(), ..Default::default() };
    attached.say(Message::TaskFailed(broken)).await;
    let (worker, _exit) = bench.hands.worker(5).await;
    let mut attached = Attached::new(&worker, |_| {}).await.unwrap();
    assert_eq!(attached.hears_start().await.map(|manifest| manifest.epoch), Some(saved[0]));
    job.stop(StopMode::Immediate).await;
}

#[tokio::test]
async fn a_savepoint_is_made_of_a_job_that_goes_on() {
    let Bench { controller, hands, directory } = bench(1).await;
    let spec = spec_in(&directory);
    let job = controller.submit(spec.clone()).await.unwrap();
    let refused = job.checkpoint().await.unwrap_err();
    assert!(refused.message.starts_with("the job cannot take a checkpoint now: it is "), "{refused}");
    let (worker, exit) = hands.worker(1).await;
    let mut attached = Attached::new(&worker, |_| {}).await.unwrap();
    attached.say(Message::Started(rpc::Started {})).await;
    reaches(&job, JobState::Running).await;

    // Two wishes at a time are two checkpoints, or one: both have a name.
    let (monday, also_monday, epoch) = tokio::join!(job.savepoint("monday"), job.savepoint("also-monday"), async {
        let first = attached.takes_part().await;
        (first, attached.takes_part().await)
    });
    let (monday, also_monday) = (monday.unwrap(), also_monday.unwrap());
    assert_eq!((monday.min(also_monday), monday.max(also_monday)), epoch);
    for name in ["monday", "also-monday"] {
        assert!(controller.has_savepoint(&spec.checkpoints, job.id(), name).await.unwrap());
    }
    let refused = job.savepoint("monday").await.unwrap_err();
    assert_eq!(refused.message, "cannot make the savepoint: savepoint \"monday\" already exists");
    assert_eq!(job.savepoint("a/b").await.unwrap_err().class, ErrorClass::User);
    let (taken, epoch) = tokio::join!(job.checkpoint(), attached.takes_part());
    assert_eq!((taken.unwrap(), job.status().borrow().state), (epoch, JobState::Running));

    // Who waits for one that does not come to be is told why.
    let broken =
        rpc::TaskFailed { class: rpc::ErrorClass::Retryable.into(), message: "reset".into(), ..Default::default() };
    let (missed, ()) = tokio::join!(job.savepoint("tuesday"), async {
        while !matches!(attached.hear().await, Some(FromController::Checkpoint(_))) {}
        attached.say(Message::TaskFailed(broken)).await;
    });
    assert_eq!(missed.unwrap_err().message, "the job is Recovering before the checkpoint is taken: reset");
    assert!(!controller.has_savepoint(&spec.checkpoints, job.id(), "tuesday").await.unwrap());
    exit.send(exited(1)).await.unwrap();
    job.stop(StopMode::Immediate).await;
}

#[tokio::test]
async fn people_ask_a_running_controller() {
    use crate::operator::{Operator, OperatorError};
    let Bench { controller, hands, directory } = bench(0).await;
    let state = directory.path().join("state");
    let mut operator = Operator::connect(&state, "").await.unwrap();
    let none = operator.status().await.unwrap_err();
    assert_eq!((none.to_string(), none.is_usage()), ("no job runs".into(), true));
    let job = controller.submit(spec_in(&directory)).await.unwrap();
    let (worker, exit) = hands.worker(1).await;
    let mut attached = Attached::new(&worker, |_| {}).await.unwrap();
    attached.say(Message::Started(rpc::Started {})).await;
    reaches(&job, JobState::Running).await;

    let (saved, epoch) = tokio::join!(operator.savepoint("monday"), attached.takes_part());
    assert_eq!(saved.unwrap(), epoch);
    let OperatorError::Refused { message, hint, .. } = operator.savepoint("monday").await.unwrap_err() else {
        panic!()
    };
    assert_eq!(message, "cannot make the savepoint: savepoint \"monday\" already exists");
    assert_eq!(hint.as_deref(), Some("give another name"));
    let (taken, epoch) = tokio::join!(operator.checkpoint(), attached.takes_part());
    assert_eq!(taken.unwrap(), epoch);
    let progress = rpc::Progress { tasks: vec![rpc::TaskProgress { rows_in: 3, ..Default::default() }] };
    attached.say(Message::Progress(progress)).await;
    let mut watched = job.status();
    watched.wait_for(|status| !status.progress.is_empty() && status.checkpoint.is_some()).await.unwrap();
    let status = operator.status().await.unwrap();
    assert_eq!((status.job.as_str(), status.state.as_str(), status.epoch), (job.id(), "Running", Some(epoch)));
    assert_eq!(status.tasks[0].rows_in, 3);
    let unknown = Operator::connect(&state, "zzz").await.unwrap().status().await.unwrap_err();
    assert_eq!(unknown.to_string(), "no job \"zzz\" runs");

    // Another secret is none.
    let path = state.join(crate::operator::FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let secret = text.split("\"secret\":\"").nth(1).unwrap().split('"').next().unwrap();
    std::fs::write(&path, text.replace(secret, &secret.chars().rev().collect::<String>())).unwrap();
    let refused = Operator::connect(&state, "").await.unwrap().status().await.unwrap_err();
    assert_eq!(refused.to_string(), "the secret is not this controller's");

    let wrong = operator.stop(StopMode::Immediate, Some("tuesday")).await.unwrap_err();
    assert!(wrong.to_string().starts_with("only a stop with a checkpoint"), "{wrong}");
    let (stopped, epoch) =
        tokio::join!(operator.stop(StopMode::Checkpoint, Some("tuesday")), attached.stops_with_checkpoint(exit));
    let stopped = stopped.unwrap();
    assert_eq!((stopped.state.as_str(), stopped.savepoint), ("Stopped", Some(epoch)));
    controller.shutdown().await;
    assert!(!path.exists());
}

/// A worker of a running job, that may outlive its controller.
async fn outliving(bench: &Bench) -> (JobHandle, JobSpec, StartWorker, Attached) {
    let spec = JobSpec { reattach: Some(Duration::from_secs(60)), ..spec_in(&bench.directory) };
    let job = bench.controller.submit(spec.clone()).await.unwrap();
    let (worker, _exit) = bench.hands.worker(1).await;
    assert_eq!(worker.outlives.as_ref().unwrap().most, Duration::from_secs(60));
    let mut attached = Attached::new(&worker, |_| {}).await.unwrap();
    attached.hears_start().await;
    attached.say(Message::Started(rpc::Started {})).await;
    reaches(&job, JobState::Running).await;
    while bench.controller.store().workers().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (job, spec, worker, attached)
}

/// The next controller of the directory, which resumes the job. The one before goes on as a zombie.
async fn next_controller(bench: Bench, spec: &JobSpec) -> (Bench, JobHandle) {
    let Bench { directory, controller, hands } = bench;
    drop(controller);
    let policy = Policy { initial_backoff: Duration::from_millis(1), ..Policy::default() };
    let later = Controller::start(options(&directory, policy, Some(Arc::new(hands.clone())))).await.unwrap();
    let last = later.last_job().await.unwrap().unwrap();
    let job = later.resume(&last, spec.clone()).await.unwrap();
    (Bench { directory, controller: later, hands }, job)
}

/// As the worker says it that looks for a controller; it comes again as long as its stream is closed.
async fn calls(
    bench: &Bench,
    worker: &StartWorker,
    generation: u64,
    standing: rpc::Standing,
) -> (Attached, FromController) {
    let worker = StartWorker { generation, controller: bench.controller.address(), ..worker.clone() };
    loop {
        let attached = Attached::new(&worker, |register| register.standing = Some(standing)).await;
        if let Ok(mut attached) = attached
            && let Some(answer) = attached.hear().await
        {
            return (attached, answer);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_worker_outlives_its_controller_and_its_epoch_in_flight_is_committed_by_the_next() {
    let bench = bench(0).await;
    let (zombie, spec, worker, mut attached) = outliving(&bench).await;
    let (first, ()) = tokio::join!(zombie.checkpoint(), async {
        attached.takes_part().await;
    });
    let asked = tokio::spawn(async move { zombie.checkpoint().await });
    let Some(FromController::Checkpoint(begun)) = attached.hear().await else { panic!("no barrier") };
    let (bench, mut job) = next_controller(bench, &spec).await;
    let first = first.unwrap();
    let standing =
        rpc::Standing { first_generation: 1, restored: 0, begun: begun.epoch, published: first, stopping: false };
    let (mut attached, answer) = calls(&bench, &worker, 1, standing).await;
    // Its fence is the record that the one in flight would have been.
    let epoch = begun.epoch + 1;
    assert_eq!(answer, FromController::Adopt(rpc::Adopt { generation: 2, epoch }));
    attached.say(Message::Started(rpc::Started {})).await;
    let running = reaches(&job, JobState::Running).await;
    assert_eq!((running.generation, running.restarts), (2, 0));
    for task in 0..2 {
        attached.say_snapshot(task, epoch).await;
    }
    while !matches!(attached.hear().await, Some(FromController::Publish(publish)) if publish.epoch == epoch) {}
    let stored = bench.controller.store().workers().await.unwrap();
    assert_eq!((stored[0].1.id.as_str(), stored[0].1.generation), (worker.worker_id.as_str(), 2));
    // The zombie has nothing to say any more.
    asked.abort();
    assert_eq!(bench.hands.started.lock().unwrap().len(), 1, "no other worker was started");
    let (_, exit) = bench.hands.found.lock().unwrap()[0].clone();
    job.stop(StopMode::Checkpoint).await;
    attached.stops_with_checkpoint(exit).await;
    assert_eq!(job.ended().await.state, JobState::Stopped);
    assert_eq!(bench.controller.store().workers().await.unwrap(), []);
}

#[tokio::test]
async fn a_worker_that_does_not_fit_is_stopped_and_another_started() {
    let bench = bench(0).await;
    let (_zombie, spec, worker, _attached) = outliving(&bench).await;
    let (bench, job) = next_controller(bench, &spec).await;
    let stopping = rpc::Standing { first_generation: 1, stopping: true, ..Default::default() };
    let (_attached, answer) = calls(&bench, &worker, 1, stopping).await;
    assert!(matches!(answer, FromController::Stop(stop) if stop.mode() == rpc::StopMode::StopImmediate));
    let (third, _exit) = bench.hands.worker(3).await;
    assert_ne!(third.worker_id, worker.worker_id);
    assert_eq!(job.status().borrow().restarts, 0);
    job.stop(StopMode::Immediate).await;
}

#[tokio::test]
async fn a_worker_that_has_gone_meanwhile_or_has_another_plan_is_replaced() {
    let bench = bench(0).await;
    let (_zombie, spec, _worker, _attached) = outliving(&bench).await;
    let (bench, job) = next_controller(bench, &spec).await;
    let (_, exit) = bench.hands.found.lock().unwrap()[0].clone();
    exit.send(Exit::default()).await.unwrap();
    bench.hands.worker(3).await;
    drop(job);

    let mut other = spec.clone();
    other.tuning.source_batch_rows += 1;
    let (bench, job) = next_controller(bench, &other).await;
    // At once: there is nothing to wait for.
    bench.hands.worker(4).await;
    job.stop(StopMode::Immediate).await;
}

#[tokio::test]
async fn a_worker_whose_stream_breaks_comes_back() {
    let bench = bench(0).await;
    let (job, _, worker, mut attached) = outliving(&bench).await;
    let taken = tokio::spawn({
        let job = job.clone();
        async move { job.checkpoint().await }
    });
    let Some(FromController::Checkpoint(begun)) = attached.hear().await else { panic!("no barrier") };
    drop(attached);
    let standing = rpc::Standing { first_generation: 1, begun: begun.epoch, ..Default::default() };
    let (mut attached, answer) = calls(&bench, &worker, 1, standing).await;
    assert_eq!(answer, FromController::Adopt(rpc::Adopt { generation: 1, epoch: 0 }));
    // It may not have heard.
    assert_eq!(attached.takes_part().await, begun.epoch);
    assert_eq!(taken.await.unwrap().unwrap(), begun.epoch);
    let status = job.status().borrow().clone();
    assert_eq!((status.state, status.generation), (JobState::Running, 1));
    job.stop(StopMode::Immediate).await;
}
