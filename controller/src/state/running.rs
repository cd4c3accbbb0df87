//! Running: all tasks run. Waits for the end, a failure, silence, or the user.

use std::time::Duration;

use super::finishing::Finishing;
use super::stopping::Stopping;
use super::{Event, Facts, Next, Now, State, Time, Worker, WorkerEvent, fail};
use crate::job::{ErrorClass, Failure};

/// Between a broken connection and the news of the process's end, which explains it.
const EXIT_GRACE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    since: Time,
    last_heartbeat: Time,
    disconnected: Option<Time>,
}

impl Running {
    pub(super) fn enter(now: Now) -> Next {
        let state = Running { since: now.time, last_heartbeat: now.time, disconnected: None };
        Next::stay(State::Running(state))
    }

    pub(super) fn deadline(&self, facts: &Facts) -> Option<Time> {
        let silence = self.last_heartbeat.plus(facts.policy.heartbeat_timeout);
        Some(self.disconnected.map_or(silence, |at| at.plus(EXIT_GRACE).min(silence)))
    }

    pub(super) fn step(self, facts: &mut Facts, event: &Event, now: Now) -> Next {
        if now.time.since(self.since) >= facts.policy.healthy_duration {
            facts.restarts = 0;
        }
        match event {
            Event::Stop(mode) => Stopping::enter(facts, *mode, true, now),
            Event::Worker { event, .. } => self.on_worker(facts, event, now),
            Event::Tick if self.deadline(facts).is_some_and(|deadline| now.time >= deadline) => {
                let message = match self.disconnected {
                    Some(_) => "the connection to the worker broke".to_string(),
                    None => format!("the worker was silent for {:?}", now.time.since(self.last_heartbeat)),
                };
                fail(facts, &Failure::new(ErrorClass::Retryable, message), Worker::Alive, now)
            }
            Event::Start | Event::Tick => Next::stay(State::Running(self)),
        }
    }

    fn on_worker(mut self, facts: &mut Facts, event: &WorkerEvent, now: Now) -> Next {
        match event {
            WorkerEvent::Heartbeat => {
                self.last_heartbeat = self.last_heartbeat.max(now.time);
                Next::stay(State::Running(self))
            }
            WorkerEvent::Finished => Finishing::enter(facts, now),
            WorkerEvent::TaskFailed(failure) => fail(facts, failure, Worker::Alive, now),
            WorkerEvent::NotStarted(failure) => fail(facts, failure, Worker::Gone, now),
            WorkerEvent::Exited(exit) => fail(facts, &exit.unexpected(), Worker::Gone, now),
            WorkerEvent::Disconnected => {
                self.disconnected.get_or_insert(now.time);
                Next::stay(State::Running(self))
            }
            WorkerEvent::Registered => {
                // It has come back.
                self.disconnected = None;
                self.last_heartbeat = self.last_heartbeat.max(now.time);
                Next::stay(State::Running(self))
            }
            WorkerEvent::Started | WorkerEvent::NotAdopted => Next::stay(State::Running(self)),
        }
    }
}
