//! Scheduling: a worker of a new generation is being started. Waits for it to attach, then for its tasks to run. The
//! generation may go on with a worker that runs; when that comes to nothing, the next one starts another.

use super::finishing::Finishing;
use super::running::Running;
use super::stopping::Stopping;
use super::{Effect, Event, Facts, Next, Now, State, Time, Worker, WorkerEvent, fail};
use crate::job::{ErrorClass, Failure};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduling {
    /// It has attached and been given its plan.
    registered: bool,
    deadline: Time,
}

impl Scheduling {
    /// Starts the next generation.
    pub(super) fn enter(facts: &mut Facts, now: Now) -> Next {
        facts.generation += 1;
        let state = Scheduling { registered: false, deadline: now.time.plus(facts.policy.worker_startup) };
        Next::go(State::Scheduling(state), vec![Effect::StartWorker { generation: facts.generation }])
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        Some(self.deadline)
    }

    pub(super) fn step(self, facts: &mut Facts, event: &Event, now: Now) -> Next {
        match event {
            Event::Stop(mode) => Stopping::enter(facts, *mode, self.registered, now),
            Event::Worker { event, .. } => self.on_worker(facts, event, now),
            Event::Tick if now.time >= self.deadline => {
                let what = if self.registered { "start its tasks" } else { "attach" };
                let failure = Failure::new(ErrorClass::Retryable, format!("the worker did not {what} in time"));
                fail(facts, &failure, Worker::Alive, now)
            }
            Event::Start | Event::Tick => Next::stay(State::Scheduling(self)),
        }
    }

    fn on_worker(mut self, facts: &mut Facts, event: &WorkerEvent, now: Now) -> Next {
        match event {
            WorkerEvent::Registered if !self.registered => {
                self.registered = true;
                self.deadline = now.time.plus(facts.policy.task_startup);
                let start = Effect::SendStart { generation: facts.generation };
                Next::go(State::Scheduling(self), vec![start])
            }
            WorkerEvent::Started => Running::enter(now),
            WorkerEvent::Finished => Finishing::enter(facts, now),
            WorkerEvent::NotAdopted => Scheduling::enter(facts, now),
            WorkerEvent::NotStarted(failure) => fail(facts, failure, Worker::Gone, now),
            WorkerEvent::TaskFailed(failure) => fail(facts, failure, Worker::Alive, now),
            WorkerEvent::Exited(exit) => fail(facts, &exit.unexpected(), Worker::Gone, now),
            // The process reports its end itself, with more to say; the deadline covers one that hangs.
            WorkerEvent::Registered | WorkerEvent::Heartbeat | WorkerEvent::Disconnected => {
                Next::stay(State::Scheduling(self))
            }
        }
    }
}
