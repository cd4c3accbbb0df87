//! What a job is told while it runs, and what it answers.
//!
//! There is one [`Control`] for all tasks, a picture and not a log: each task compares it with what it has done. That
//! is enough, because a checkpoint is not begun before the last one is published, and a stop only becomes more urgent.
//!
//! Each task has a channel of its own with the same picture, and they are woken in the order in which they were made.
//! A channel that many wait for wakes them in a random order, and a simulation could not be replayed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::checkpoint::TaskSnapshot;
use tokio::sync::watch;

use crate::error::TaskError;
use crate::exchange::Barrier;

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Sources end; what they have read flows to the sinks, windows are flushed, sinks publish.
    Graceful,
    /// Tasks are dropped where they are.
    Immediate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) stop: Option<Stop>,
    /// The newest barrier that sources are to send.
    pub(crate) barrier: Option<Barrier>,
    /// Sinks publish what belongs to this epoch and earlier ones.
    pub(crate) publish: u64,
    /// The one that is obeyed, by which state files are named.
    pub(crate) generation: u64,
}

/// Steers a job, from anywhere.
#[derive(Clone, Debug)]
pub struct Controls {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    control: Control,
    tasks: Vec<watch::Sender<Control>>,
}

impl Controls {
    pub(crate) fn new(generation: u64) -> Self {
        let control = Control { generation, ..Control::default() };
        Controls { shared: Arc::new(Mutex::new(Shared { control, tasks: Vec::new() })) }
    }

    /// Another generation has the job.
    pub(crate) fn adopt(&self, generation: u64) {
        self.change(|control| control.generation = control.generation.max(generation));
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Control> {
        let mut shared = self.shared();
        let (sender, receiver) = watch::channel(shared.control);
        shared.tasks.push(sender);
        receiver
    }

    /// A stop can be made more urgent, never less.
    pub fn stop(&self, mode: Stop) {
        self.change(|control| control.stop = control.stop.max(Some(mode)));
    }

    /// Ends the present epoch. An epoch that has been ended is not ended again.
    pub fn checkpoint(&self, barrier: Barrier) {
        self.change(|control| {
            if control.barrier.is_none_or(|known| known.epoch < barrier.epoch) {
                control.barrier = Some(barrier);
            }
        });
    }

    /// The manifest of an epoch is in the log: sinks publish what they have prepared for it.
    pub fn publish(&self, epoch: u64) {
        self.change(|control| control.publish = control.publish.max(epoch));
    }

    /// Tells all tasks, if there is news.
    fn change(&self, change: impl FnOnce(&mut Control)) {
        let mut shared = self.shared();
        let before = shared.control;
        change(&mut shared.control);
        if shared.control != before {
            for task in &shared.tasks {
                task.send_replace(shared.control);
            }
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a stop at least that urgent is asked for.
pub(crate) async fn asked(control: &mut watch::Receiver<Control>, least: Stop) {
    if control.wait_for(|control| control.stop >= Some(least)).await.is_err() {
        // Nobody is left who could ask.
        std::future::pending().await
    }
}

/// What a task tells of checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Its part of a checkpoint is in the store.
    Snapshot(Box<TaskSnapshot>),
    /// It has published what it had prepared for this epoch and earlier ones.
    Published { stage: usize, task: usize, epoch: u64 },
    /// Its part of a checkpoint cannot be written.
    Failed { stage: usize, task: usize, error: TaskError },
}
