//! One attempt at the job: a controller that claims the log and coordinates checkpoints as the job's loop does it, a worker
//! with its tasks, and the link between them.
//!
//! Log, coordinator, collector, tasks and state files are the real ones. The loop around them is written here, because the
//! real one has a database and a server.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use controller::checkpoint::{Completed, Coordinator, Effect, Event, Setting};
use controller::collect::collect;
use controller::log::{Claim, Log, LogError, RestorePoint};
use controller::state::Time;
use protocol::checkpoint::{Manifest, Reason};
use protocol::job::JobPlan;
use protocol::rpc::Standing;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use worker_lib::ErrorClass;
use worker_lib::runtime::{Barrier, Ending, Report, TaskFailure};

use crate::link::{Lane, Link, Message, until};
use crate::pipeline::{JOB, plan};
use crate::process::{Process, Remote, Side, Step};
use crate::reattach::{Caller, Order, Running, gone, listen, running, started, work};
use crate::world::{Random, World};

const INTERVAL: Duration = Duration::from_millis(15);
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for a worker that is to be adopted.
const PATIENCE: Duration = Duration::from_millis(600);

/// How an attempt has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All input has been processed and published.
    Finished,
    /// With a checkpoint, as its user wanted.
    Stopped,
    /// It was given up; why.
    Over(String),
}

/// From the worker to the controller.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// Of a worker that runs: the generation that it was of, and where it stands.
    Register(u64, Standing),
    Report(Report),
    Ended(Result<Ending, TaskFailure>),
}

impl Message for Word {
    fn lane(&self) -> Lane {
        match self {
            Word::Register(..) => Lane::Of(0, 0),
            Word::Report(Report::Snapshot(snapshot)) => Lane::Of(snapshot.stage, snapshot.task),
            Word::Report(Report::Published { stage, task, .. } | Report::Failed { stage, task, .. }) => {
                Lane::Of(*stage, *task)
            }
            Word::Ended(_) => Lane::Last,
        }
    }
}

/// How an attempt begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beginning {
    /// With a worker of its own, where the job was.
    On,
    /// At an earlier checkpoint, or a savepoint.
    Back,
    /// With the worker that runs.
    Adopting,
}

pub(crate) struct Attempt {
    pub(crate) controller: Arc<Process>,
    pub(crate) worker: Arc<Process>,
    pub(crate) link: Arc<Link>,
    /// The user wants it to stop with a checkpoint.
    pub(crate) stop: Arc<Notify>,
    pub(crate) beginning: Beginning,
    pub(crate) ended: JoinHandle<Outcome>,
}

impl Attempt {
    /// On from where the job was, perhaps with a worker that runs; or, unless it is to be `calm`, back.
    pub(crate) fn start(world: &Arc<World>, number: u64, calm: bool) -> Attempt {
        let name = |role: &str| format!("{role} {number}");
        // A worker that runs is mostly gone on with, as few do.
        let on = calm || running().is_some() && !world.random.one_in(3);
        let point = if on { RestorePoint::Latest } else { world.choose(&name("controller")) };
        let back = point != RestorePoint::Latest;
        let process = |role: &str| Arc::new(Process::new(world.clone(), name(role), back));
        // A worker has gone on from where the job was. Who goes back starts another, and that one is a zombie.
        let adopts = running().filter(|_| !back && !world.random.one_in(4));
        let beginning = match &adopts {
            _ if back => Beginning::Back,
            Some(_) => Beginning::Adopting,
            None => Beginning::On,
        };
        let controller = process("controller");
        let worker = adopts.as_ref().map_or_else(|| process("worker"), |running| running.worker.clone());
        let link = Arc::new(Link::new(world.clone()));
        let stop = Arc::new(Notify::new());
        let control = Control {
            me: controller.clone(),
            worker: worker.clone(),
            adopts,
            link: link.clone(),
            stop: stop.clone(),
            log: Log::new(Arc::new(Remote(controller.clone())), JOB),
            number,
            point,
        };
        if back && world.random.one_in(2) {
            // One of an earlier attempt, which nobody has told.
            let zombie = Arc::new(Process::new(world.clone(), name("collector"), false));
            let (log, generation) = (Log::new(Arc::new(Remote(zombie.clone())), JOB), world.generation());
            spawn_collect(zombie, log, generation);
        }
        Attempt { controller, worker, link, stop, beginning, ended: tokio::spawn(control.run()) }
    }
}

/// A clock that is fast or slow.
struct Clock {
    begun: Instant,
    per_mille: u32,
}

impl Clock {
    fn new(random: &Random) -> Clock {
        Clock { begun: Instant::now(), per_mille: 500 + random.below(1501) as u32 }
    }

    fn now(&self) -> Time {
        Time::after_start(self.begun.elapsed() * self.per_mille / 1000)
    }

    /// The first instant at which it is not earlier than that by this clock.
    fn instant(&self, time: Time) -> Instant {
        let nanos = (time.since(Time::default()).as_nanos() * 1000).div_ceil(u128::from(self.per_mille));
        self.begun + Duration::from_nanos(nanos as u64)
    }
}

/// The loop of a controller.
struct Control {
    me: Arc<Process>,
    worker: Arc<Process>,
    /// The worker runs already, and is gone on with.
    adopts: Option<Running>,
    link: Arc<Link>,
    stop: Arc<Notify>,
    log: Log,
    number: u64,
    point: RestorePoint,
}

impl Control {
    async fn run(self) -> Outcome {
        let world = self.me.world.clone();
        let owner = self.me.name.as_str();
        let claimed = match self.adopts {
            Some(_) => self.log.claim_running(self.number, owner).await,
            None => self.log.claim_from(&self.point, world.keep, self.number, owner).await,
        };
        let claim = match claimed {
            Ok(claim) => claim,
            Err(error) => return self.over_log(error),
        };
        let generation = claim.generation;
        let restored = claim.restore.as_ref().map(|manifest| manifest.epoch);
        self.me.note(format_args!("is generation {generation}, goes on from {restored:?} ({})", self.point));
        let clock = Clock::new(&world.random);
        let setting = |plan: &JobPlan| Setting {
            job: JOB.into(),
            generation,
            plan: plan.clone(),
            next_epoch: claim.number + 1,
            restored: claim.restore.clone(),
            interval: INTERVAL,
            timeout: TIMEOUT,
        };
        let mut callers = listen(self.number, &self.me.name, self.link.clone());
        let (mut last, mut effects) = (None, Vec::new());
        let (mut coordinator, mut orders, mut heard) = match &self.adopts {
            None => {
                let tasks = [1 + world.random.below(4) as usize, 1 + world.random.below(4) as usize];
                let running = Running { worker: self.worker.clone(), plan: plan(self.worker.clone(), tasks) };
                let (orders, ordered) = self.link.channel::<Order>(&self.worker.name);
                let (words, heard) = self.link.channel::<Word>(&self.me.name);
                started(running.clone());
                let coordinator = Coordinator::new(setting(&running.plan), clock.now());
                tokio::spawn(work(running, generation, claim.restore.clone(), ordered, words));
                (coordinator, orders, heard)
            }
            Some(running) => {
                let Ok(Some(Caller { knock, was, standing })) = timeout(PATIENCE, callers.recv()).await else {
                    gone(&self.worker);
                    return self.over("the worker does not come");
                };
                let (coordinator, epoch, publish) = match adopt(setting(&running.plan), &claim, was, &standing, &clock)
                {
                    Ok(adopted) => adopted,
                    Err(why) => {
                        gone(&self.worker);
                        let _ = knock.orders.send(Order::Stop);
                        return self.over(format_args!("the worker is not adopted: {why}"));
                    }
                };
                let newest = claim.restore.as_ref().filter(|newest| newest.generation >= standing.first_generation);
                last = newest.map(|newest| newest.reason);
                effects = publish;
                self.order(Step::OrderAdopt, &knock.orders, Order::Adopt { generation, epoch }).await;
                (coordinator, knock.orders, knock.heard)
            }
        };
        let mut writer = Some(self.log.writer(&claim));
        let (tell, mut appended) = unbounded_channel();
        let mut events = VecDeque::new();
        // Its connection has broken, and it may come back until then.
        let mut lost = None;
        loop {
            loop {
                for effect in std::mem::take(&mut effects) {
                    match effect {
                        Effect::Begin { epoch, last } => {
                            self.order(Step::OrderBarrier, &orders, Order::Checkpoint(Barrier { epoch, last })).await;
                        }
                        Effect::Publish { epoch } => {
                            self.order(Step::OrderPublish, &orders, Order::Publish(epoch)).await;
                        }
                        Effect::Write(manifest) => {
                            let mut writer = writer.take().expect("manifests are written one at a time");
                            let tell = tell.clone();
                            tokio::spawn(async move {
                                let written = writer.append(*manifest).await;
                                let _ = tell.send((writer, written));
                            });
                        }
                        Effect::Completed(completed) => {
                            last = Some(completed.reason);
                            self.completed(&completed, coordinator.newest()).await;
                        }
                        Effect::Fail(failure) => return self.dismiss(&orders, self.over(failure)),
                    }
                }
                let Some(event) = events.pop_front() else { break };
                effects = coordinator.step(event, clock.now(), world.wall());
            }
            let deadline = coordinator.deadline().map(|deadline| clock.instant(deadline));
            tokio::select! {
                biased;
                word = heard.recv(), if lost.is_none() => match word {
                    // Said twice.
                    Some(Word::Register(..)) => {}
                    Some(Word::Report(Report::Snapshot(snapshot))) => events.push_back(Event::Snapshot(snapshot)),
                    Some(Word::Report(Report::Published { stage, task, epoch })) => {
                        events.push_back(Event::Published { place: (stage, task), epoch });
                    }
                    Some(Word::Report(Report::Failed { error, .. })) => {
                        return self.over_worker(generation, error.class, error);
                    }
                    Some(Word::Ended(Err(failure))) => {
                        return self.over_worker(generation, failure.error.class, failure);
                    }
                    Some(Word::Ended(Ok(Ending::Finished))) => return match last {
                        Some(Reason::End) => Outcome::Finished,
                        Some(Reason::Stop) => Outcome::Stopped,
                        _ => self.over_worker(generation, ErrorClass::Fatal, "it ends before its last checkpoint"),
                    },
                    Some(Word::Ended(Ok(Ending::Stopped))) => return self.over("the worker has stopped"),
                    None => lost = Some(Instant::now() + world.random.millis(300)),
                },
                Some(Caller { knock, was, standing }) = callers.recv() => {
                    self.me.note(format_args!("is called by generation {was}: {standing:?}"));
                    let mut in_flight = 0;
                    let back = match &self.adopts {
                        _ if was == generation => {
                            effects.extend(coordinator.repeated());
                            true
                        }
                        // It has not heard that it was adopted.
                        Some(running) => match adopt(setting(&running.plan), &claim, was, &standing, &clock) {
                            Ok(adopted) => {
                                (coordinator, in_flight, effects) = adopted;
                                true
                            }
                            Err(_) => false,
                        },
                        None => false,
                    };
                    if back {
                        (orders, heard, lost) = (knock.orders, knock.heard, None);
                        let adopt = Order::Adopt { generation, epoch: in_flight };
                        self.order(Step::OrderAdopt, &orders, adopt).await;
                    } else {
                        let _ = knock.orders.send(Order::Stop);
                    }
                }
                () = until(lost) => return self.over("the worker is lost"),
                Some((returned, written)) = appended.recv() => {
                    writer = Some(returned);
                    match written {
                        Ok(epoch) => events.push_back(Event::Written { epoch }),
                        Err(error) => return self.over(error),
                    }
                }
                () = self.stop.notified() => events.push_back(Event::Stop),
                () = until(deadline) => events.push_back(Event::Tick),
            }
            self.me.alive().await;
        }
    }

    /// The worker is told to stop, perhaps, and perhaps hears it.
    fn dismiss(&self, orders: &UnboundedSender<Order>, outcome: Outcome) -> Outcome {
        if !self.me.world.random.one_in(3) {
            let _ = orders.send(Order::Stop);
        }
        outcome
    }

    async fn order(&self, step: Step, orders: &UnboundedSender<Order>, order: Order) {
        self.me.at(step, Side::Before).await;
        self.me.note(format_args!("orders {order:?}"));
        // A link that has broken is found out otherwise.
        let _ = orders.send(order);
        self.me.at(step, Side::After).await;
    }

    /// Gives the checkpoint a name, perhaps, and collects.
    async fn completed(&self, completed: &Completed, newest: Option<&Manifest>) {
        let epoch = completed.epoch;
        self.me.note(format_args!("has completed {epoch}, {:?}", completed.reason));
        // The next one may be on its way to the log already.
        if let Some(manifest) = newest.filter(|manifest| manifest.epoch == epoch)
            && self.me.world.random.one_in(2)
        {
            let name = format!("attempt-{}-{epoch}", self.number);
            if self.log.save_newest(&name, manifest).await.is_ok() {
                self.me.world.saved(&self.me.name, format!("savepoints/{name}.json"), manifest.clone());
            }
        }
        if self.me.world.random.one_in(2) {
            spawn_collect(self.me.clone(), self.log.clone(), completed.generation);
        }
    }

    fn over(&self, why: impl Display) -> Outcome {
        let why = why.to_string();
        self.me.note(format_args!("is over: {why}"));
        Outcome::Over(why)
    }

    fn over_log(&self, error: LogError) -> Outcome {
        let may_be_gone = match &self.point {
            RestorePoint::Latest => false,
            // It is not retained any more.
            RestorePoint::Epoch(_) => true,
            RestorePoint::Savepoint(_) => !self.me.world.is_about_to_go_back(&self.me.name),
        };
        if !(may_be_gone && matches!(error, LogError::Missing { .. })) {
            damaged(&self.me.world, &error);
        }
        self.over(error)
    }

    fn over_worker(&self, generation: u64, class: ErrorClass, error: impl Display) -> Outcome {
        if class != ErrorClass::Retryable {
            self.me.world.fails_for_good(generation, &error);
        }
        self.over(error)
    }
}

/// Goes on with a worker that runs, as `Coordinator::adopt`.
fn adopt(
    setting: Setting,
    claim: &Claim,
    was: u64,
    standing: &Standing,
    clock: &Clock,
) -> Result<(Coordinator, u64, Vec<Effect>), String> {
    match claim.continues.contains(&was) {
        true => Coordinator::adopt(setting, standing, clock.now(), 0),
        false => Err(format!("it is of generation {was}, and another may have been started since")),
    }
}

fn spawn_collect(me: Arc<Process>, log: Log, generation: u64) {
    tokio::spawn(async move {
        if let Err(error) = collect(&log, me.world.keep, generation).await {
            damaged(&me.world, &error);
        }
    });
}

/// A store that fails is the weather; a log that makes no sense is not.
fn damaged(world: &World, error: &LogError) {
    if !matches!(error, LogError::Object(_) | LogError::Contended { .. }) {
        world.log_is_damaged(error);
    }
}
