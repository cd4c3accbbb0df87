//! Failing: the job will not be tried again. Waits for the worker's process to go.

use super::failed::Failed;
use super::teardown::Teardown;
use super::{Event, Facts, Next, Now, State, Time, Worker};
use crate::job::Failure;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub failure: Failure,
    teardown: Teardown,
}

impl Failing {
    pub(super) fn enter(facts: &Facts, failure: Failure, worker: Worker, now: Now) -> Next {
        if worker == Worker::Gone {
            return Next::stay(State::Failed(Failed { failure }));
        }
        let mut effects = Vec::new();
        let teardown = Teardown::ask(facts, now, &mut effects);
        Next::go(State::Failing(Failing { failure, teardown }), effects)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        Some(self.teardown.deadline())
    }

    pub(super) fn step(mut self, facts: &mut Facts, event: &Event, now: Now) -> Next {
        let mut effects = Vec::new();
        let gone = self.teardown.step(facts, event, now, &mut effects);
        let next = if gone { State::Failed(Failed { failure: self.failure }) } else { State::Failing(self) };
        Next::go(next, effects)
    }
}
