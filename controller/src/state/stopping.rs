//! Stopping: the user wants the job to end. Gracefully, or with a checkpoint, it waits for the tasks to drain, then for
//! the process; a second,
//! immediate stop gives up on the rows in flight. A stop that takes too long is a failure, because what the user asked
//! for, that nothing is lost, did not happen.

use super::failing::Failing;
use super::stopped::Stopped;
use super::teardown::Teardown;
use super::{Effect, Event, Facts, Next, Now, State, Time, Worker, WorkerEvent};
use crate::job::{ErrorClass, Failure, StopMode};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopping {
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Tasks drain.
    Draining { mode: StopMode, deadline: Time },
    /// Nothing more is expected of the worker than that it goes.
    Ending(Teardown),
}

impl Stopping {
    /// `attached`: the worker can be told. One that is not has done nothing yet, so that there is nothing to drain.
    pub(super) fn enter(facts: &Facts, mode: StopMode, attached: bool, now: Now) -> Next {
        let mut effects = Vec::new();
        let phase = match mode {
            _ if !attached => Phase::Ending(Teardown::kill(facts, now, &mut effects)),
            StopMode::Immediate => Phase::Ending(Teardown::ask(facts, now, &mut effects)),
            StopMode::Graceful | StopMode::Checkpoint => {
                effects.push(Effect::SendStop { generation: facts.generation, mode });
                Phase::Draining { mode, deadline: now.time.plus(facts.policy.stop_timeout) }
            }
        };
        Next::go(State::Stopping(Stopping { phase }), effects)
    }

    /// For a job whose worker is already being torn down.
    pub(super) fn ending(teardown: Teardown) -> Next {
        Next::stay(State::Stopping(Stopping { phase: Phase::Ending(teardown) }))
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        Some(match &self.phase {
            Phase::Draining { deadline, .. } => *deadline,
            Phase::Ending(teardown) => teardown.deadline(),
        })
    }

    pub(super) fn step(self, facts: &mut Facts, event: &Event, now: Now) -> Next {
        match self.phase {
            Phase::Draining { mode, deadline } => drain(mode, deadline, facts, event, now),
            Phase::Ending(mut teardown) => {
                let mut effects = Vec::new();
                let gone = teardown.step(facts, event, now, &mut effects);
                let ending = State::Stopping(Stopping { phase: Phase::Ending(teardown) });
                Next::go(if gone { State::Stopped(Stopped) } else { ending }, effects)
            }
        }
    }
}

fn drain(mode: StopMode, deadline: Time, facts: &mut Facts, event: &Event, now: Now) -> Next {
    let stay = |effects| Next::go(State::Stopping(Stopping { phase: Phase::Draining { mode, deadline } }), effects);
    match event {
        Event::Stop(StopMode::Immediate) => {
            let mut effects = Vec::new();
            let phase = Phase::Ending(Teardown::ask(facts, now, &mut effects));
            Next::go(State::Stopping(Stopping { phase }), effects)
        }
        Event::Tick if now.time >= deadline => {
            let message =
                format!("the job did not stop within {:?}; rows in flight were dropped", facts.policy.stop_timeout);
            Failing::enter(facts, Failure::new(ErrorClass::Retryable, message), Worker::Alive, now)
        }
        Event::Worker { event, .. } => match event {
            WorkerEvent::Finished => Stopping::ending(Teardown::wait(facts, now)),
            // It may have read the stop before it had anything to stop.
            WorkerEvent::Started => stay(vec![Effect::SendStop { generation: facts.generation, mode }]),
            WorkerEvent::TaskFailed(failure) => Failing::enter(facts, failure.clone(), Worker::Alive, now),
            WorkerEvent::NotStarted(failure) => Failing::enter(facts, failure.clone(), Worker::Gone, now),
            WorkerEvent::Exited(exit) => Failing::enter(facts, exit.unexpected(), Worker::Gone, now),
            WorkerEvent::NotAdopted => Next::stay(State::Stopped(Stopped)),
            WorkerEvent::Registered | WorkerEvent::Heartbeat | WorkerEvent::Disconnected => stay(vec![]),
        },
        Event::Start | Event::Stop(StopMode::Graceful | StopMode::Checkpoint) | Event::Tick => stay(vec![]),
    }
}
