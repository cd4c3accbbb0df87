//! Recovering: a failure that the next attempt may not meet. Waits for the old worker to go, then for the back-off,
//! then schedules the next generation, which goes on from the newest checkpoint.

use super::scheduling::Scheduling;
use super::stopped::Stopped;
use super::stopping::Stopping;
use super::teardown::Teardown;
use super::{Event, Facts, Next, Now, State, Time, Worker};
use crate::job::Failure;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovering {
    pub failure: Failure,
    /// `None` once the worker is gone.
    teardown: Option<Teardown>,
    /// When the back-off ends.
    until: Time,
}

impl Recovering {
    pub(super) fn enter(facts: &mut Facts, failure: Failure, worker: Worker, now: Now) -> Next {
        let until = now.time.plus(facts.policy.backoff(facts.restarts, now.jitter));
        facts.restarts += 1;
        let mut effects = Vec::new();
        let teardown = (worker == Worker::Alive).then(|| Teardown::ask(facts, now, &mut effects));
        Next::go(State::Recovering(Recovering { failure, teardown, until }), effects)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        Some(self.teardown.as_ref().map_or(self.until, Teardown::deadline))
    }

    pub(super) fn step(mut self, facts: &mut Facts, event: &Event, now: Now) -> Next {
        if let Event::Stop(_) = event {
            return match self.teardown {
                Some(teardown) => Stopping::ending(teardown),
                None => Next::stay(State::Stopped(Stopped)),
            };
        }
        let mut effects = Vec::new();
        if let Some(teardown) = &mut self.teardown
            && teardown.step(facts, event, now, &mut effects)
        {
            self.teardown = None;
        }
        if self.teardown.is_none() && now.time >= self.until {
            return Scheduling::enter(facts, now);
        }
        Next::go(State::Recovering(self), effects)
    }
}
