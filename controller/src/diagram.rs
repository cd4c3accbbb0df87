//! The state diagram of `docs/job-states.md`, found by searching the state machine itself.
//!
//! From a new job the search tries every kind of event in every situation it reaches, lets time run to each deadline,
//! and writes down which state led to which on what. Two generations and one restart show everything there is, and make
//! the search finite.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use crate::job::{ErrorClass, Failure, StopMode};
use crate::state::{Event, Exit, Job, JobState, Now, Policy, Time, WorkerEvent, step};

/// A situation: the job, and the time in it.
type Situation = (Job, Time);

/// The Mermaid text of the diagram.
pub fn mermaid() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> Created\n");
    for ((from, to), labels) in transitions() {
        let labels: Vec<_> = labels.into_iter().collect();
        writeln!(text, "    {} --> {}: {}", from.name(), to.name(), labels.join(", "))
            .expect("a string takes all text");
    }
    for state in JobState::ALL.into_iter().filter(|state| state.is_terminal()) {
        writeln!(text, "    {} --> [*]", state.name()).expect("a string takes all text");
    }
    text
}

/// Every transition, with the kinds of events that cause it.
pub fn transitions() -> BTreeMap<(JobState, JobState), BTreeSet<&'static str>> {
    let policy = Policy { allowed_restarts: Some(1), ..Policy::default() };
    let mut found: BTreeMap<(JobState, JobState), BTreeSet<&'static str>> = BTreeMap::new();
    let mut seen: Vec<Situation> = Vec::new();
    let mut open: VecDeque<Situation> = VecDeque::from([(Job::new(policy, 0), Time::default())]);
    while let Some((job, time)) = open.pop_front() {
        for (label, event, at) in choices(&job, time) {
            let (next, _) = step(&job, &event, Now { time: at, jitter: 0.0 });
            let (from, to) = (job.state.name(), next.state.name());
            if from != to {
                found.entry((from, to)).or_default().insert(label);
            }
            let situation = (next, at);
            if !seen.contains(&situation) {
                seen.push(situation.clone());
                open.push_back(situation);
            }
        }
    }
    found
}

/// The events that could happen next, and when.
fn choices(job: &Job, time: Time) -> Vec<(&'static str, Event, Time)> {
    let failure = |class| Failure::new(class, "");
    let exit = |code, signal| WorkerEvent::Exited(Exit { code, signal, stderr: String::new() });
    let worker = [
        ("no worker", WorkerEvent::NotStarted(failure(ErrorClass::Retryable))),
        ("no worker", WorkerEvent::NotStarted(failure(ErrorClass::Fatal))),
        ("worker attached", WorkerEvent::Registered),
        ("tasks run", WorkerEvent::Started),
        ("retryable error", WorkerEvent::TaskFailed(failure(ErrorClass::Retryable))),
        ("fatal error", WorkerEvent::TaskFailed(failure(ErrorClass::Fatal))),
        ("user error", WorkerEvent::TaskFailed(failure(ErrorClass::User))),
        ("tasks ended", WorkerEvent::Finished),
        ("worker disconnected", WorkerEvent::Disconnected),
        ("worker exited", exit(Some(0), None)),
        ("worker crashed", exit(None, Some(11))),
    ];
    let generation = job.facts.generation;
    let mut choices: Vec<_> =
        worker.into_iter().map(|(label, event)| (label, Event::Worker { generation, event }, time)).collect();
    choices.push(("start", Event::Start, time));
    choices.push(("stop", Event::Stop(StopMode::Graceful), time));
    choices.push(("stop at once", Event::Stop(StopMode::Immediate), time));
    if let Some(deadline) = job.deadline() {
        let at = deadline.max(time);
        choices.push(("timeout", Event::Tick, at.plus(Duration::ZERO)));
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "<!-- printed from the code: diagram -->\n";
    const END: &str = "<!-- end of what is printed -->\n";

    #[test]
    fn the_documentation_shows_the_machine() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/job-states.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(START).expect("the page has the start marker");
        let (_, after) = rest.split_once(END).expect("the page has the end marker");
        let wanted = format!("{before}{START}```mermaid\n{}```\n{END}{after}", mermaid());
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(path, &wanted).unwrap();
        } else {
            assert_eq!(page, wanted, "run this test with UPDATE_EXPECT=1 to print the diagram again");
        }
    }

    #[test]
    fn every_state_can_be_reached_and_left_unless_terminal() {
        let transitions = transitions();
        for state in JobState::ALL {
            let reached = state == JobState::Created || transitions.keys().any(|(_, to)| *to == state);
            let left = transitions.keys().any(|(from, _)| *from == state);
            assert!(reached, "{state:?}");
            assert_eq!(left, !state.is_terminal(), "{state:?}");
        }
    }
}
