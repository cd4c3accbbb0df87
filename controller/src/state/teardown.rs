//! Ending a worker: ask, kill, give up. Shared by all states that wait for a worker's process to go.

use super::{Effect, Event, Facts, Now, Time};
use crate::job::StopMode;

/// A worker on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teardown {
    deadline: Time,
    killed: bool,
}

impl Teardown {
    /// Asks the worker to drop everything, and gives it [`Policy::teardown`](super::Policy::teardown) to do so.
    pub(super) fn ask(facts: &Facts, now: Now, effects: &mut Vec<Effect>) -> Self {
        effects.push(Effect::SendStop { generation: facts.generation, mode: StopMode::Immediate });
        Teardown { deadline: now.time.plus(facts.policy.teardown), killed: false }
    }

    /// For a worker that cannot be asked, because it has not attached.
    pub(super) fn kill(facts: &Facts, now: Now, effects: &mut Vec<Effect>) -> Self {
        effects.push(Effect::KillWorker { generation: facts.generation });
        Teardown { deadline: now.time.plus(facts.policy.teardown), killed: true }
    }

    /// For a worker that ends by itself.
    pub(super) fn wait(facts: &Facts, now: Now) -> Self {
        Teardown { deadline: now.time.plus(facts.policy.teardown), killed: false }
    }

    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }

    /// True once the worker is gone, or was killed and cannot be waited for any longer: its generation fences it.
    pub(super) fn step(&mut self, facts: &Facts, event: &Event, now: Now, effects: &mut Vec<Effect>) -> bool {
        match event {
            Event::Worker { event, .. } => event.is_gone(),
            _ if now.time < self.deadline => false,
            _ if self.killed => true,
            _ => {
                *self = Teardown::kill(facts, now, effects);
                false
            }
        }
    }
}
