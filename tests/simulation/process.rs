//! A process: a controller, or a worker. It can die, or stand still for a while, at any step that others could see.
//!
//! ```text
//!        at(step, Before) ──▶ the request is under way ──▶ it is done ──▶ the answer is under way ──▶ at(step, After)
//!   ✗ nobody asks                             ✗ it is done, and nobody learns of it
//! ```
//!
//! What is under way arrives, though the process that has sent it is dead; and it may arrive twice. A process that is dead
//! waits for ever at its next step; one that stands still goes on as a zombie, when others may long have its place.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifacts::objects::{Created, Entry, ObjectError, Objects};
use bytes::Bytes;
use futures::future::BoxFuture;
use protocol::checkpoint::Record;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

use crate::world::{Fault, World};

/// What a process does that others can see, or miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    // Of a controller.
    ReadLog,
    Fence,
    OrderBarrier,
    Record,
    OrderPublish,
    Save,
    OrderAdopt,
    Collect,
    // Of a worker.
    Restore,
    Republish,
    Discard,
    Read,
    Upload,
    Prepare,
    ReportSnapshot,
    Publish,
    ReportPublished,
    Register,
    End,
}

impl Step {
    const ALL: [Step; 19] = [
        Step::ReadLog,
        Step::Fence,
        Step::OrderBarrier,
        Step::Record,
        Step::OrderPublish,
        Step::Save,
        Step::OrderAdopt,
        Step::Collect,
        Step::Restore,
        Step::Republish,
        Step::Discard,
        Step::Read,
        Step::Upload,
        Step::Prepare,
        Step::ReportSnapshot,
        Step::Publish,
        Step::ReportPublished,
        Step::Register,
        Step::End,
    ];

    pub(crate) fn is_controllers(self) -> bool {
        self <= Step::Collect
    }

    /// By the object store, whose requests may come twice.
    fn is_stored(self) -> bool {
        matches!(self, Step::Fence | Step::Record | Step::Save | Step::Collect | Step::Upload)
    }

    /// About how often it is done in an attempt.
    pub(crate) fn often(self) -> u64 {
        match self {
            Step::Fence | Step::OrderAdopt | Step::Register | Step::Discard | Step::End => 1,
            Step::OrderBarrier | Step::Record | Step::OrderPublish | Step::Save | Step::Restore | Step::Republish => 2,
            Step::ReadLog | Step::Collect | Step::Upload | Step::Prepare => 4,
            Step::ReportSnapshot | Step::Publish | Step::ReportPublished => 4,
            Step::Read => 60,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Before,
    After,
}

/// Every moment at which something can happen to a process.
pub(crate) fn moments() -> impl Iterator<Item = (Step, Side)> {
    let both = Step::ALL.into_iter().flat_map(|step| [(step, Side::Before), (step, Side::After)]);
    // Of rows that were read and are nowhere, nobody knows.
    both.filter(|moment| *moment != (Step::Read, Side::After))
}

/// Those from the log that is read to the first checkpoint of an attempt: what is of interest where one goes back.
pub(crate) fn moments_of_restoring() -> impl Iterator<Item = (Step, Side)> {
    let steps = [Step::ReadLog, Step::Fence, Step::Restore, Step::Republish, Step::Discard, Step::Upload, Step::Record];
    moments().filter(move |(step, _)| steps.contains(step))
}

/// Those of an attempt that goes on with a worker that runs, up to what was in flight.
pub(crate) fn moments_of_adopting() -> impl Iterator<Item = (Step, Side)> {
    let steps = [Step::Fence, Step::OrderAdopt, Step::Record, Step::OrderPublish, Step::Register, Step::ReportSnapshot];
    moments().filter(move |(step, _)| steps.contains(step))
}

/// What happens to a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Dies,
    StandsStill(Duration),
}

/// What happens to a process when it comes to a step for the `turn`th time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doom {
    pub(crate) step: Step,
    pub(crate) side: Side,
    pub(crate) turn: u64,
    pub(crate) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Up,
    StandsStill(Instant),
    Dead,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) world: Arc<World>,
    pub(crate) name: String,
    /// Its attempt goes back.
    back: bool,
    condition: Mutex<Condition>,
    doom: Mutex<Option<Doom>>,
    doomed: Notify,
}

impl Process {
    pub(crate) fn new(world: Arc<World>, name: String, back: bool) -> Process {
        let condition = Mutex::new(Condition::Up);
        Process { world, name, back, condition, doom: Mutex::default(), doomed: Notify::new() }
    }

    pub(crate) fn note(&self, what: impl std::fmt::Display) {
        self.world.note(&self.name, what);
    }

    pub(crate) fn is_dead(&self) -> bool {
        *self.condition.lock().unwrap() == Condition::Dead
    }

    pub(crate) fn doom(&self, doom: Doom) {
        *self.doom.lock().unwrap() = Some(doom);
    }

    /// Waits for its doom.
    pub(crate) async fn doomed(&self) {
        self.doomed.notified().await;
    }

    pub(crate) fn meets(&self, fate: Fate) {
        self.note(format_args!("{fate:?}"));
        let mut condition = self.condition.lock().unwrap();
        match fate {
            Fate::Dies => *condition = Condition::Dead,
            Fate::StandsStill(_) if *condition == Condition::Dead => {}
            Fate::StandsStill(time) => *condition = Condition::StandsStill(Instant::now() + time),
        }
    }

    /// Waits until the process goes on.
    pub(crate) async fn alive(&self) {
        loop {
            let condition = *self.condition.lock().unwrap();
            match condition {
                Condition::Up => return,
                Condition::StandsStill(until) if until <= Instant::now() => {
                    *self.condition.lock().unwrap() = Condition::Up;
                    self.note("goes on");
                }
                Condition::StandsStill(until) => tokio::time::sleep_until(until).await,
                Condition::Dead => std::future::pending().await,
            }
        }
    }

    /// The process comes to a step, or is past it.
    pub(crate) async fn at(&self, step: Step, side: Side) {
        self.alive().await;
        if let Some(fate) = self.fate_at(step, side) {
            self.note(format_args!("{side:?} {step:?}"));
            self.world.meet(step, side, self.back);
            self.meets(fate);
            self.doomed.notify_one();
            self.alive().await;
        }
    }

    fn fate_at(&self, step: Step, side: Side) -> Option<Fate> {
        let mut doom = self.doom.lock().unwrap();
        let here = doom.as_mut().filter(|doom| (doom.step, doom.side) == (step, side))?;
        here.turn = here.turn.saturating_sub(1);
        if here.turn > 0 {
            return None;
        }
        doom.take().map(|doom| doom.fate)
    }

    /// Has something done elsewhere; `None`: there is no answer, and who knows.
    pub(crate) async fn remote<T: Send + 'static>(
        &self,
        step: Step,
        what: &str,
        act: impl Fn(&World, &str) -> T + Send + 'static,
    ) -> Option<T> {
        self.at(step, Side::Before).await;
        let world = self.world.clone();
        let fault = world.fault();
        let (there, back) = (world.delay(), world.delay());
        let done = if fault == Some(Fault::Before) {
            sleep(there).await;
            None
        } else {
            let late = if fault == Some(Fault::Late) { world.random.millis(3_000) } else { Duration::ZERO };
            let again = (step.is_stored() && world.random.one_in(60)).then(|| world.random.millis(2_000));
            let (answer, answered) = oneshot::channel();
            let by = self.name.clone();
            tokio::spawn(async move {
                sleep(there + late).await;
                let done = act(&world, &by);
                sleep(back).await;
                let _ = answer.send(done);
                if let Some(again) = again {
                    sleep(again).await;
                    let _ = act(&world, &by);
                }
            });
            match fault {
                None => answered.await.ok(),
                Some(Fault::Late) => {
                    sleep(there + back).await;
                    None
                }
                Some(_) => {
                    let _ = answered.await;
                    None
                }
            }
        };
        if done.is_none() {
            self.note(format_args!("{what}: no answer"));
        }
        self.at(step, Side::After).await;
        done
    }
}

/// The object store, as a process sees it.
#[derive(Clone, Debug)]
pub(crate) struct Remote(pub(crate) Arc<Process>);

impl Remote {
    fn ask<'a, T: Send + 'static>(
        &'a self,
        step: Step,
        action: &'static str,
        name: &'a str,
        act: impl Fn(&World, &str) -> T + Send + 'static,
    ) -> BoxFuture<'a, Result<T, ObjectError>> {
        Box::pin(async move {
            let what = format!("{action} {name}");
            let done = self.0.remote(step, &what, act).await;
            done.ok_or_else(|| ObjectError::Io {
                action,
                path: name.to_owned(),
                source: io::ErrorKind::TimedOut.into(),
            })
        })
    }
}

impl Objects for Remote {
    fn url(&self) -> &str {
        "memory:"
    }

    fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectError>> {
        let object = name.to_owned();
        self.ask(Step::Upload, "put", name, move |world, by| world.put(by, &object, &bytes))
    }

    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Created, ObjectError>> {
        let step = match serde_json::from_slice(&bytes) {
            Ok(Record::Fence(_)) => Step::Fence,
            Ok(Record::Checkpoint(_)) => Step::Record,
            // A manifest alone.
            Err(_) => Step::Save,
        };
        let object = name.to_owned();
        self.ask(step, "create", name, move |world, by| world.create(by, &object, &bytes))
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectError>> {
        let step = if name.contains("/state/") { Step::Restore } else { Step::ReadLog };
        let object = name.to_owned();
        self.ask(step, "get", name, move |world, by| world.get(by, &object))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, ObjectError>> {
        let prefix_of = prefix.to_owned();
        self.ask(Step::ReadLog, "list", prefix, move |world, by| world.list(by, &prefix_of))
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        let object = name.to_owned();
        self.ask(Step::Collect, "delete", name, move |world, by| world.delete(by, &object))
    }
}
