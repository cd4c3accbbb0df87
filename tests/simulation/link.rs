//! The connection between a controller and a worker: messages take their time, some come twice; it can stall, and break.
//!
//! What one task says keeps its order, and its worker's end comes last; what different tasks say, and what goes the other
//! way, overtakes. A connection that breaks loses what is under way, and each end finds out for itself.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::world::World;

/// Messages of one lane keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Of(usize, usize),
    /// Behind all others.
    Last,
}

pub(crate) trait Message: Clone + Debug + Send + 'static {
    fn lane(&self) -> Lane;
}

#[derive(Debug)]
pub(crate) struct Link {
    world: Arc<World>,
    stalled: Mutex<Option<Instant>>,
    broken: AtomicBool,
    breaks: Notify,
}

impl Link {
    pub(crate) fn new(world: Arc<World>) -> Link {
        Link { world, stalled: Mutex::default(), broken: AtomicBool::new(false), breaks: Notify::new() }
    }

    /// Nothing gets through for a while.
    pub(crate) fn stalls(&self, time: Duration) {
        self.world.note("link", format_args!("stalls for {time:?}"));
        *self.stalled.lock().unwrap() = Some(Instant::now() + time);
    }

    pub(crate) fn breaks(&self) {
        self.world.note("link", "breaks");
        self.broken.store(true, Ordering::Relaxed);
        self.breaks.notify_waiters();
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    async fn broken(&self) {
        if !self.broken.load(Ordering::Relaxed) {
            self.breaks.notified().await;
        }
    }

    /// Until when nothing gets through.
    fn stalled(&self) -> Option<Instant> {
        let stalled = *self.stalled.lock().unwrap();
        stalled.filter(|until| *until > Instant::now())
    }

    /// One direction of it.
    pub(crate) fn channel<T: Message>(self: &Arc<Self>, to: &str) -> (UnboundedSender<T>, UnboundedReceiver<T>) {
        let (sender, sent) = unbounded_channel();
        let (out, receiver) = unbounded_channel();
        tokio::spawn(carry(self.clone(), to.to_owned(), sent, out));
        (sender, receiver)
    }
}

/// Sleeps until then; for ever without a time.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn carry<T: Message>(link: Arc<Link>, to: String, mut sent: UnboundedReceiver<T>, out: UnboundedSender<T>) {
    let world = &link.world;
    let mut under_way: BTreeMap<(Instant, u64), T> = BTreeMap::new();
    let mut lanes: BTreeMap<Lane, Instant> = BTreeMap::new();
    let (mut open, mut number) = (true, 0);
    while open || !under_way.is_empty() {
        let first = under_way.first_key_value().map(|((at, _), _)| *at);
        tokio::select! {
            biased;
            () = link.broken() => {
                world.random.pause(500).await;
                return;
            }
            message = sent.recv(), if open => {
                let Some(message) = message else {
                    open = false;
                    continue;
                };
                let lane = message.lane();
                let before = match lane {
                    Lane::Last => lanes.values().max(),
                    lane => lanes.get(&lane),
                };
                let soon = Instant::now() + world.delay();
                let at = before.map_or(soon, |before| soon.max(*before));
                lanes.insert(lane, at);
                number += 1;
                if lane != Lane::Last && world.random.one_in(25) {
                    under_way.insert((at + world.delay(), number), message.clone());
                    number += 1;
                }
                under_way.insert((at, number), message);
            }
            () = until(first) => {
                if let Some(until) = link.stalled() {
                    tokio::time::sleep_until(until).await;
                } else if let Some((_, message)) = under_way.pop_first() {
                    world.note(&to, format_args!("hears {message:?}"));
                    if out.send(message).is_err() {
                        return;
                    }
                }
            }
        }
    }
}
