//! Finishing: all tasks have ended in good order, so everything is published whatever happens now. Waits for the
//! process to go.

use super::finished::Finished;
use super::teardown::Teardown;
use super::{Event, Facts, Next, Now, State, Time};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finishing {
    teardown: Teardown,
}

impl Finishing {
    pub(super) fn enter(facts: &Facts, now: Now) -> Next {
        Next::stay(State::Finishing(Finishing { teardown: Teardown::wait(facts, now) }))
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        Some(self.teardown.deadline())
    }

    pub(super) fn step(mut self, facts: &mut Facts, event: &Event, now: Now) -> Next {
        let mut effects = Vec::new();
        let gone = self.teardown.step(facts, event, now, &mut effects);
        Next::go(if gone { State::Finished(Finished) } else { State::Finishing(self) }, effects)
    }
}
