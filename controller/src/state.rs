//! The life of a job, as a pure function.
//!
//! [`step`] takes a job, an event and the time, and returns the next job and the effects to execute. It does no IO,
//! reads no clock and rolls no dice ([`Now`] carries both), so that every sequence of events can be replayed and
//! searched: the diagram in `docs/job-states.md` is printed by searching it (see [`crate::diagram`]).
//!
//! One state is one file, which says what the state waits for and what each event means in it. Three rules are the
//! same everywhere and stand here:
//!
//! 1. **Fencing.** What a worker of another generation says changes nothing; if it still talks it is told to stop.
//! 2. **Terminal states** ([`JobState::is_terminal`]) stay.
//! 3. **Failing.** A failure the world may recover from leads to [`recovering`] while the policy allows another
//!    attempt, any other to [`failing`]: [`fail`].
//!
//! Not here: compiling. A job comes with the digest of its binary, so there is no state in which one waits for it.

pub mod created;
pub mod failed;
pub mod failing;
pub mod finished;
pub mod finishing;
pub mod recovering;
pub mod running;
pub mod scheduling;
pub mod stopped;
pub mod stopping;
mod teardown;

use std::time::Duration;

pub use teardown::Teardown;

use crate::job::{ErrorClass, Failure, StopMode};

/// A moment on the controller's own monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    nanos: u128,
}

impl Time {
    /// `elapsed` since the clock's start.
    pub fn after_start(elapsed: Duration) -> Self {
        Time { nanos: elapsed.as_nanos() }
    }

    pub fn plus(self, span: Duration) -> Self {
        Time { nanos: self.nanos.saturating_add(span.as_nanos()) }
    }

    /// Zero if `earlier` is later.
    pub fn since(self, earlier: Time) -> Duration {
        let nanos = self.nanos.saturating_sub(earlier.nanos);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What a step may know of the world beside its event.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub time: Time,
    /// Random, in [0, 1): spreads back-offs, so that jobs which failed together do not come back together.
    pub jitter: f64,
}

/// How patient a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Restarts after retryable failures; `None`: any number.
    pub allowed_restarts: Option<u32>,
    /// After running this long, earlier restarts no longer count.
    pub healthy_duration: Duration,
    /// From scheduling to the worker's registration.
    pub worker_startup: Duration,
    /// From registration until all tasks run.
    pub task_startup: Duration,
    /// Silence after which a running worker counts as lost.
    pub heartbeat_timeout: Duration,
    pub initial_backoff: Duration,
    pub max_backoff: Duration,
    /// From a graceful stop until rows in flight are given up.
    pub stop_timeout: Duration,
    /// From asking a worker to end to killing it, and again from killing it to giving up on it.
    pub teardown: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            allowed_restarts: Some(20),
            healthy_duration: Duration::from_secs(120),
            worker_startup: Duration::from_secs(600),
            task_startup: Duration::from_secs(120),
            heartbeat_timeout: Duration::from_secs(30),
            initial_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(120),
            teardown: Duration::from_secs(5),
        }
    }
}

impl Policy {
    /// Doubles with each restart up to the maximum; of that, a random half.
    fn backoff(&self, restarts: u32, jitter: f64) -> Duration {
        let doubled = self.initial_backoff.saturating_mul(1u32.checked_shl(restarts).unwrap_or(u32::MAX));
        doubled.min(self.max_backoff).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

/// What all states share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub policy: Policy,
    /// The newest worker's number; 0 before the first.
    pub generation: u64,
    /// Restarts that count against the policy.
    pub restarts: u32,
}

/// A job, to the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub facts: Facts,
    pub state: State,
}

impl Job {
    /// A job that has just been submitted. `generation` is the last one that was ever used for it.
    pub fn new(policy: Policy, generation: u64) -> Self {
        Job { facts: Facts { policy, generation, restarts: 0 }, state: State::Created(created::Created) }
    }

    /// When the state wants an [`Event::Tick`] at the latest.
    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Scheduling(state) => state.deadline(),
            State::Running(state) => state.deadline(&self.facts),
            State::Stopping(state) => state.deadline(),
            State::Finishing(state) => state.deadline(),
            State::Failing(state) => state.deadline(),
            State::Recovering(state) => state.deadline(),
            State::Created(_) | State::Stopped(_) | State::Finished(_) | State::Failed(_) => None,
        }
    }
}

/// Where a job is, with what it must remember there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Created(created::Created),
    Scheduling(scheduling::Scheduling),
    Running(running::Running),
    Stopping(stopping::Stopping),
    Stopped(stopped::Stopped),
    Finishing(finishing::Finishing),
    Finished(finished::Finished),
    Recovering(recovering::Recovering),
    Failing(failing::Failing),
    Failed(failed::Failed),
}

/// The names of the states, as the store, the API and users know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    Created,
    Scheduling,
    Running,
    Stopping,
    Stopped,
    Finishing,
    Finished,
    Recovering,
    Failing,
    Failed,
}

impl JobState {
    pub const ALL: [JobState; 10] = [
        JobState::Created,
        JobState::Scheduling,
        JobState::Running,
        JobState::Stopping,
        JobState::Stopped,
        JobState::Finishing,
        JobState::Finished,
        JobState::Recovering,
        JobState::Failing,
        JobState::Failed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            JobState::Created => "Created",
            JobState::Scheduling => "Scheduling",
            JobState::Running => "Running",
            JobState::Stopping => "Stopping",
            JobState::Stopped => "Stopped",
            JobState::Finishing => "Finishing",
            JobState::Finished => "Finished",
            JobState::Recovering => "Recovering",
            JobState::Failing => "Failing",
            JobState::Failed => "Failed",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        JobState::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Nothing happens to the job any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, JobState::Stopped | JobState::Finished | JobState::Failed)
    }
}

impl State {
    pub fn name(&self) -> JobState {
        match self {
            State::Created(_) => JobState::Created,
            State::Scheduling(_) => JobState::Scheduling,
            State::Running(_) => JobState::Running,
            State::Stopping(_) => JobState::Stopping,
            State::Stopped(_) => JobState::Stopped,
            State::Finishing(_) => JobState::Finishing,
            State::Finished(_) => JobState::Finished,
            State::Recovering(_) => JobState::Recovering,
            State::Failing(_) => JobState::Failing,
            State::Failed(_) => JobState::Failed,
        }
    }

    /// Why the job failed, is failing, or is about to be tried again.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            State::Failing(state) => Some(&state.failure),
            State::Failed(state) => Some(&state.failure),
            State::Recovering(state) => Some(&state.failure),
            _ => None,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The job should run.
    Start,
    /// The user wants it stopped.
    Stop(StopMode),
    /// Time has passed.
    Tick,
    /// Something about the worker of that generation.
    Worker { generation: u64, event: WorkerEvent },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerEvent {
    /// The scheduler could not start it; there is no process.
    NotStarted(Failure),
    /// There is none that could be gone on with: another one must be started.
    NotAdopted,
    /// It attached, and waits for its plan; or it has come back.
    Registered,
    /// All its tasks run.
    Started,
    /// It reported progress.
    Heartbeat,
    TaskFailed(Failure),
    /// All its tasks have ended in good order.
    Finished,
    /// Its connection broke; it may be dead, or dying.
    Disconnected,
    /// Its process is gone.
    Exited(Exit),
}

impl WorkerEvent {
    /// The worker's process does not exist (any more).
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, WorkerEvent::NotStarted(_) | WorkerEvent::NotAdopted | WorkerEvent::Exited(_))
    }
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// The last lines of its stderr.
    pub stderr: String,
}

impl Exit {
    /// The failure of a worker that ended without saying so.
    fn unexpected(&self) -> Failure {
        let (class, how) = match (self.signal, self.code) {
            (Some(signal), _) => {
                (ErrorClass::Retryable, format!("was ended by signal {signal}{}", signal_name(signal)))
            }
            (None, Some(code)) => (ErrorClass::Fatal, format!("ended with exit code {code}")),
            (None, None) => (ErrorClass::Retryable, "ended".to_string()),
        };
        let mut failure = Failure::new(class, format!("the worker {how} before its tasks did"));
        if self.signal == Some(libc::SIGKILL) {
            failure = failure.with_hint("The system ends a process so when memory runs out; see the kernel's log.");
        }
        failure.detail = (!self.stderr.is_empty()).then(|| self.stderr.clone());
        failure
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => " (segmentation fault)",
        libc::SIGABRT => " (abort)",
        libc::SIGKILL => " (kill)",
        libc::SIGBUS => " (bus error)",
        libc::SIGILL => " (illegal instruction)",
        libc::SIGTERM => " (terminate)",
        _ => "",
    }
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Have the scheduler start a worker, or the one that runs obey this generation.
    StartWorker { generation: u64 },
    /// Answer the registration with the plan.
    SendStart { generation: u64 },
    /// Tell the worker to stop; nothing happens if it is not attached.
    SendStop { generation: u64, mode: StopMode },
    /// End the worker's process, or its start; it is reported by [`WorkerEvent::Exited`] as always.
    KillWorker { generation: u64 },
}

/// The outcome of one state's step.
pub(crate) struct Next {
    state: State,
    effects: Vec<Effect>,
}

impl Next {
    fn stay(state: State) -> Self {
        Next { state, effects: Vec::new() }
    }

    fn go(state: State, effects: Vec<Effect>) -> Self {
        Next { state, effects }
    }
}

/// The next state of the job, and what is to be done. Never panics, whatever comes in whatever order.
pub fn step(job: &Job, event: &Event, now: Now) -> (Job, Vec<Effect>) {
    let mut facts = job.facts.clone();
    if let Event::Worker { generation, event } = event
        && *generation != facts.generation
    {
        let silent = event.is_gone() || *event == WorkerEvent::Disconnected;
        let stop = Effect::SendStop { generation: *generation, mode: StopMode::Immediate };
        return (job.clone(), if silent { vec![] } else { vec![stop] });
    }
    let facts_now = &mut facts;
    let next = match job.state.clone() {
        State::Created(state) => state.step(facts_now, event, now),
        State::Scheduling(state) => state.step(facts_now, event, now),
        State::Running(state) => state.step(facts_now, event, now),
        State::Stopping(state) => state.step(facts_now, event, now),
        State::Finishing(state) => state.step(facts_now, event, now),
        State::Recovering(state) => state.step(facts_now, event, now),
        State::Failing(state) => state.step(facts_now, event, now),
        terminal @ (State::Stopped(_) | State::Finished(_) | State::Failed(_)) => Next::stay(terminal),
    };
    (Job { facts, state: next.state }, next.effects)
}

/// Whether there may still be a process to tear down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worker {
    Alive,
    Gone,
}

/// Where a failure leads: to another attempt if the policy has one left, else to the end.
fn fail(facts: &mut Facts, failure: &Failure, worker: Worker, now: Now) -> Next {
    let may_restart = facts.policy.allowed_restarts.is_none_or(|allowed| facts.restarts < allowed);
    if failure.class == ErrorClass::Retryable && may_restart {
        recovering::Recovering::enter(facts, failure.clone(), worker, now)
    } else {
        failing::Failing::enter(facts, failure.clone(), worker, now)
    }
}

#[cfg(test)]
mod tests;
