//! Workers that outlive their controllers, and how the two find each other.
//!
//! ```text
//!   worker: lost its controller ──▶ board: who is the newest? ──▶ connects ── Register ──▶ that one
//!                                                                  ◀── Adopt, or Stop ──
//! ```
//!
//! The [`Board`] stands for what lies in a state directory: which worker was started last, and where the newest controller is. A
//! controller may be paused while it reads there, and a zombie may write there; so all of it can be stale.
//!
//! A worker that has left a controller hears it still: what that one has sent, and goes on sending, arrives whenever it does.
//! Whether it is obeyed is the business of the real `Tenure`.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use artifacts::objects::Objects;
use protocol::checkpoint::Manifest;
use protocol::job::JobPlan;
use protocol::rpc::Standing;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout};
use worker_lib::runtime::{Barrier, Job, Keeping, Limits, Report, Stop, Tenure};

use crate::attempt::Word;
use crate::link::{Lane, Link, Message, until};
use crate::pipeline::{JOB, PIPELINE};
use crate::process::{Process, Remote, Side, Step};
use crate::world::World;

/// From the controller to the worker.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Checkpoint(Barrier),
    Publish(u64),
    Adopt { generation: u64, epoch: u64 },
    Stop,
}

impl Message for Order {
    fn lane(&self) -> Lane {
        Lane::Of(0, 0)
    }
}

/// A worker that was started.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) worker: Arc<Process>,
    pub(crate) plan: JobPlan,
}

/// A worker's connection, as its controller gets it.
pub(crate) struct Knock {
    pub(crate) orders: UnboundedSender<Order>,
    pub(crate) heard: UnboundedReceiver<Word>,
}

/// A worker that has said who it is: the generation that it was of, and where it stands.
pub(crate) struct Caller {
    pub(crate) knock: Knock,
    pub(crate) was: u64,
    pub(crate) standing: Standing,
}

/// Where a controller is.
#[derive(Clone)]
struct Address {
    number: u64,
    name: String,
    link: Arc<Link>,
    knocks: UnboundedSender<Knock>,
}

#[derive(Default)]
struct Board {
    running: Option<Running>,
    newest: Option<Address>,
    /// Who is told of a newer one, in this order: a channel that many wait for would wake them in a random one.
    watchers: Vec<UnboundedSender<Address>>,
}

thread_local! {
    /// Of this life.
    static BOARD: RefCell<Board> = RefCell::default();
}

/// A life is over.
pub(crate) fn forget_board() {
    BOARD.with_borrow_mut(|board| *board = Board::default());
}

/// The worker that was started last and is not known to be gone.
pub(crate) fn running() -> Option<Running> {
    BOARD.with_borrow(|board| board.running.clone()).filter(|running| !running.worker.is_dead())
}

pub(crate) fn started(running: Running) {
    BOARD.with_borrow_mut(|board| board.running = Some(running));
}

/// Its process has ended, or is not wanted any more.
pub(crate) fn gone(worker: &Process) {
    BOARD.with_borrow_mut(|board| {
        board.running.take_if(|running| running.worker.name == worker.name);
    });
}

/// From here on workers find this controller, if no later one is there.
pub(crate) fn listen(number: u64, name: &str, link: Arc<Link>) -> UnboundedReceiver<Caller> {
    let (knocks, mut knocked) = unbounded_channel::<Knock>();
    let (calls, callers) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(mut knock) = knocked.recv().await {
            let first = timeout(REGISTER_MOST, knock.heard.recv()).await;
            if let Ok(Some(Word::Register(was, standing))) = first
                && calls.send(Caller { knock, was, standing }).is_err()
            {
                return;
            }
        }
    });
    let address = Address { number, name: name.to_owned(), link, knocks };
    BOARD.with_borrow_mut(|board| {
        if board.newest.as_ref().is_none_or(|newest| newest.number < number) {
            board.watchers.retain(|watcher| watcher.send(address.clone()).is_ok());
            board.newest = Some(address);
        }
    });
    callers
}

fn newest() -> Option<Address> {
    BOARD.with_borrow(|board| board.newest.clone())
}

/// Those that are newer than the newest.
fn newer() -> UnboundedReceiver<Address> {
    let (watcher, newer) = unbounded_channel();
    BOARD.with_borrow_mut(|board| board.watchers.push(watcher));
    newer
}

/// Longest from a connection to its first word.
const REGISTER_MOST: Duration = Duration::from_millis(600);
/// Longest that a worker goes on without a controller.
const ALONE_MOST: u64 = 1_500;

/// One of the connections of a worker's life.
struct Connection {
    words: UnboundedSender<Word>,
    /// Of the controller, once it has adopted the worker.
    generation: Option<u64>,
}

/// What a worker has to do with controllers.
struct Relations {
    me: Arc<Process>,
    tenure: Tenure,
    all: Vec<Connection>,
    /// The one that is listened to; `None` while there is none.
    current: Option<usize>,
    /// The one that is asked for adoption.
    asked: Option<usize>,
    /// Until when there must be one.
    alone_until: Option<Instant>,
    /// It goes on without.
    outlives: bool,
    /// What has come while it had none: the network keeps it until it can do harm.
    late: Vec<(usize, Order)>,
    inbox: UnboundedSender<(usize, Option<Order>)>,
}

impl Relations {
    fn connect(
        &mut self,
        words: UnboundedSender<Word>,
        orders: UnboundedReceiver<Order>,
        generation: Option<u64>,
    ) -> usize {
        let of = self.all.len();
        self.all.push(Connection { words, generation });
        tokio::spawn(forward(of, orders, self.inbox.clone()));
        of
    }

    async fn say(&self, report: Report) {
        let Some(connection) = self.current.map(|of| &self.all[of]) else { return };
        let step = match &report {
            Report::Published { .. } => Step::ReportPublished,
            Report::Snapshot(_) | Report::Failed { .. } => Step::ReportSnapshot,
        };
        self.me.at(step, Side::Before).await;
        let _ = connection.words.send(Word::Report(report));
        self.me.at(step, Side::After).await;
    }

    /// It has lost its controller, or believes so. False: it does not go on without.
    fn leave(&mut self, world: &World) -> bool {
        self.me.note("has lost its controller");
        self.current = None;
        self.alone_until.get_or_insert(Instant::now() + world.random.millis(ALONE_MOST));
        self.outlives
    }

    async fn ask(&mut self, address: Address) {
        // A connection that has broken does not come back; there may be another.
        let link = if address.link.is_broken() { Arc::new(Link::new(self.me.world.clone())) } else { address.link };
        let (orders, ordered) = link.channel::<Order>(&self.me.name);
        let (words, heard) = link.channel::<Word>(&address.name);
        self.me.at(Step::Register, Side::Before).await;
        let (generation, standing) = (self.tenure.generation(), self.tenure.standing());
        let _ = words.send(Word::Register(generation, standing));
        let _ = address.knocks.send(Knock { orders, heard });
        self.asked = Some(self.connect(words, ordered, None));
        self.me.at(Step::Register, Side::After).await;
    }

    /// False: the worker is to end.
    async fn obey(&mut self, of: usize, order: Option<Order>, world: &World) -> bool {
        match order {
            Some(Order::Adopt { generation, epoch }) if self.asked == Some(of) => {
                self.me.note(format_args!("is of generation {generation} now"));
                (self.current, self.asked, self.alone_until) = (Some(of), None, None);
                self.all[of].generation = Some(generation);
                for report in self.tenure.adopt(generation, epoch) {
                    self.say(report).await;
                }
                for (of, order) in std::mem::take(&mut self.late) {
                    self.hear(of, order);
                }
            }
            Some(Order::Stop) if self.asked == Some(of) => return false,
            None if self.asked == Some(of) => self.asked = None,
            None if self.current == Some(of) => return self.leave(world),
            // Whoever looks for a controller listens to none.
            Some(order) if self.current.is_none() => self.late.push((of, order)),
            Some(order) => self.hear(of, order),
            None => {}
        }
        true
    }

    /// From a controller that has it, or had it.
    fn hear(&mut self, of: usize, order: Order) {
        let Some(generation) = self.all[of].generation else { return };
        match order {
            Order::Checkpoint(barrier) => self.tenure.checkpoint(generation, barrier),
            Order::Publish(epoch) => self.tenure.publish(generation, epoch),
            Order::Stop => self.tenure.stop(generation, Stop::Immediate),
            Order::Adopt { .. } => {}
        }
    }
}

/// What comes through one connection, up to its end.
async fn forward(of: usize, mut orders: UnboundedReceiver<Order>, inbox: UnboundedSender<(usize, Option<Order>)>) {
    while let Some(order) = orders.recv().await {
        if inbox.send((of, Some(order))).is_err() {
            return;
        }
    }
    let _ = inbox.send((of, None));
}

/// The life of a worker, from the start of its tasks.
pub(crate) async fn work(
    running: Running,
    generation: u64,
    restore: Option<Manifest>,
    orders: UnboundedReceiver<Order>,
    words: UnboundedSender<Word>,
) {
    let Running { worker: me, plan } = running;
    me.alive().await;
    let world = me.world.clone();
    let (reports, mut reported) = unbounded_channel();
    let objects: Arc<dyn Objects> = Arc::new(Remote(me.clone()));
    // Most attempts merge state files as often as can be, some not at all.
    let compact_after = (!generation.is_multiple_of(3)).then_some(2);
    let restored = restore.as_ref().map_or(0, |manifest| manifest.epoch);
    let restore = restore.map(Arc::new);
    let keeping = Keeping { objects, job: JOB.into(), generation, reports, restore, compact_after };
    // Some attempts have no memory for state. Where it is then dies with them.
    let short = generation.is_multiple_of(4);
    let scratch = short.then(|| tempfile::tempdir().expect("there is a place for temporary files"));
    let limits = Limits {
        queue_batches: 2,
        state_memory: Some(if short { 0 } else { u64::MAX }),
        spill_directory: scratch.as_ref().map(|scratch| scratch.path().to_owned()),
        ..Limits::default()
    };
    let job = match Job::start(&PIPELINE, &plan, limits, &Handle::current(), Some(keeping)) {
        Ok(job) => job,
        Err(failure) => {
            let _ = words.send(Word::Ended(Err(failure)));
            return gone(&me);
        }
    };
    let controls = job.controls();
    let (inbox, mut ordered) = unbounded_channel();
    let mut relations = Relations {
        me: me.clone(),
        tenure: Tenure::new(controls.clone(), generation, restored),
        all: Vec::new(),
        current: Some(0),
        asked: None,
        alone_until: None,
        outlives: !world.random.one_in(3),
        late: Vec::new(),
        inbox,
    };
    relations.connect(words, orders, Some(generation));
    let mut newer = newer();
    let mut ended = Box::pin(job.wait());
    loop {
        me.alive().await;
        let searches = relations.current.is_none();
        let goes_on = tokio::select! {
            biased;
            ended = &mut ended => {
                while let Ok(report) = reported.try_recv() {
                    let report = relations.tenure.report(report);
                    relations.say(report).await;
                }
                gone(&me);
                if let Some(of) = relations.current {
                    me.at(Step::End, Side::Before).await;
                    let _ = relations.all[of].words.send(Word::Ended(ended));
                    me.at(Step::End, Side::After).await;
                }
                return;
            }
            Some(report) = reported.recv() => {
                let report = relations.tenure.report(report);
                relations.say(report).await;
                true
            }
            Some((of, order)) = ordered.recv() => relations.obey(of, order, &world).await,
            // One that has a controller may hold it for lost, as it does not answer, and be right or wrong.
            Some(address) = newer.recv(), if relations.outlives => {
                if searches || world.random.one_in(2) {
                    if !searches {
                        relations.leave(&world);
                    }
                    relations.ask(address).await;
                }
                true
            }
            () = retry(searches && relations.outlives && relations.asked.is_none()) => {
                if let Some(address) = newest() {
                    relations.ask(address).await;
                }
                true
            }
            () = until(relations.alone_until) => false,
        };
        if !goes_on {
            me.note("stops");
            gone(&me);
            controls.stop(Stop::Immediate);
            let _ = ended.await;
            return;
        }
    }
}

/// A moment, if there is something to be tried again; else for ever.
async fn retry(wanted: bool) {
    match wanted {
        true => tokio::time::sleep(Duration::from_millis(40)).await,
        false => std::future::pending().await,
    }
}
