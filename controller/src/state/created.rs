//! Created: in the store, nothing started. Waits to be wanted.

use super::scheduling::Scheduling;
use super::stopped::Stopped;
use super::{Event, Facts, Next, Now, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created;

impl Created {
    pub(super) fn step(self, facts: &mut Facts, event: &Event, now: Now) -> Next {
        match event {
            Event::Start => Scheduling::enter(facts, now),
            Event::Stop(_) => Next::stay(State::Stopped(Stopped)),
            Event::Tick | Event::Worker { .. } => Next::stay(State::Created(self)),
        }
    }
}
