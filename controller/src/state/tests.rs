//! What holds for every sequence of events, searched by proptest; then the sequences that users meet, one by one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn policy(allowed_restarts: Option<u32>) -> Policy {
    Policy { allowed_restarts, ..Policy::default() }
}

fn at(seconds: u64) -> Now {
    Now { time: Time::after_start(Duration::from_secs(seconds)), jitter: 0.5 }
}

fn worker(generation: u64, event: WorkerEvent) -> Event {
    Event::Worker { generation, event }
}

fn exit(code: i32) -> WorkerEvent {
    WorkerEvent::Exited(Exit { code: Some(code), ..Exit::default() })
}

/// Steps through the events, one second apart, and returns the names of the states and all effects.
fn play(job: &mut Job, events: &[Event]) -> (Vec<JobState>, Vec<Effect>) {
    let mut states = vec![];
    let mut all = vec![];
    for (second, event) in events.iter().enumerate() {
        let (next, effects) = step(job, event, at(second as u64));
        *job = next;
        states.push(job.state.name());
        all.extend(effects);
    }
    (states, all)
}

fn any_failure() -> impl Strategy<Value = Failure> {
    prop_oneof![Just(ErrorClass::Retryable), Just(ErrorClass::Fatal), Just(ErrorClass::User)]
        .prop_map(|class| Failure::new(class, "it broke"))
}

fn any_event() -> impl Strategy<Value = Event> {
    let said = prop_oneof![
        any_failure().prop_map(WorkerEvent::NotStarted),
        Just(WorkerEvent::NotAdopted),
        Just(WorkerEvent::Registered),
        Just(WorkerEvent::Started),
        Just(WorkerEvent::Heartbeat),
        any_failure().prop_map(WorkerEvent::TaskFailed),
        Just(WorkerEvent::Finished),
        Just(WorkerEvent::Disconnected),
        (any::<Option<i32>>(), any::<Option<i32>>()).prop_map(|(code, signal)| WorkerEvent::Exited(Exit {
            code,
            signal,
            stderr: String::new()
        })),
    ];
    prop_oneof![
        2 => Just(Event::Start),
        1 => Just(Event::Stop(StopMode::Graceful)),
        1 => Just(Event::Stop(StopMode::Immediate)),
        4 => Just(Event::Tick),
        12 => (0u64..5, said).prop_map(|(generation, event)| Event::Worker { generation, event }),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let span = || (0u64..20).prop_map(Duration::from_secs);
    (prop::option::of(0u32..4), span(), span(), span(), span(), span()).prop_map(
        |(allowed_restarts, healthy_duration, heartbeat_timeout, max_backoff, stop_timeout, teardown)| Policy {
            allowed_restarts,
            healthy_duration,
            heartbeat_timeout,
            max_backoff,
            stop_timeout,
            teardown,
            ..Policy::default()
        },
    )
}

proptest! {
    /// For any events at any times: terminal states stay, generations only grow, a worker is started only with a fresh
    /// generation, effects name a generation that exists or the one that spoke, and a foreign generation changes nothing.
    #[test]
    fn any_sequence_is_safe(
        policy in any_policy(),
        events in prop::collection::vec((any_event(), 0u64..15, 0.0f64..1.0), 0..60),
    ) {
        let mut job = Job::new(policy, 0);
        let mut started = BTreeSet::new();
        let mut seconds = 0;
        for (event, wait, jitter) in events {
            seconds += wait;
            let now = Now { time: Time::after_start(Duration::from_secs(seconds)), jitter };
            let (next, effects) = step(&job, &event, now);
            prop_assert!(next.facts.generation >= job.facts.generation);
            prop_assert_eq!(&next.facts.policy, &job.facts.policy);
            if job.state.name().is_terminal() {
                prop_assert_eq!(&next.state, &job.state);
            }
            let foreign = match &event {
                Event::Worker { generation, .. } if *generation != job.facts.generation => Some(*generation),
                _ => None,
            };
            if foreign.is_some() {
                prop_assert_eq!(&next, &job);
            }
            for effect in &effects {
                match effect {
                    Effect::StartWorker { generation } => {
                        prop_assert_eq!(*generation, next.facts.generation);
                        prop_assert!(started.insert(*generation), "generation {} was started twice", generation);
                        prop_assert_eq!(next.state.name(), JobState::Scheduling);
                    }
                    Effect::SendStart { generation } | Effect::KillWorker { generation } => {
                        prop_assert_eq!(*generation, job.facts.generation);
                        prop_assert!(started.contains(generation));
                    }
                    Effect::SendStop { generation, .. } => {
                        prop_assert_eq!(*generation, foreign.unwrap_or(job.facts.generation));
                    }
                }
            }
            if let Some(failure) = next.state.failure() {
                prop_assert!(!failure.message.is_empty());
            }
            job = next;
        }
    }

    /// Wherever a job is, an immediate stop and enough patience end it; the process is killed if it does not go.
    #[test]
    fn an_immediate_stop_always_ends_it(
        policy in any_policy(),
        events in prop::collection::vec((any_event(), 0u64..15), 0..40),
    ) {
        let mut job = Job::new(policy, 0);
        let mut time = Time::default();
        for (event, wait) in events {
            time = time.plus(Duration::from_secs(wait));
            job = step(&job, &event, Now { time, jitter: 0.5 }).0;
        }
        job = step(&job, &Event::Stop(StopMode::Immediate), Now { time, jitter: 0.5 }).0;
        for _ in 0..4 {
            let Some(deadline) = job.deadline() else { break };
            time = time.max(deadline);
            job = step(&job, &Event::Tick, Now { time, jitter: 0.5 }).0;
        }
        prop_assert!(job.state.name().is_terminal(), "{:?}", job.state);
    }

    /// A state that has a deadline does something about it: ticking cannot go on for ever without time passing, except
    /// in the cycle of attempts, each of which starts a worker.
    #[test]
    fn a_deadline_that_passes_is_dealt_with(
        policy in any_policy(),
        events in prop::collection::vec((any_event(), 0u64..15), 0..40),
    ) {
        let mut job = Job::new(policy, 0);
        let mut time = Time::default();
        for (event, wait) in events {
            time = time.plus(Duration::from_secs(wait));
            job = step(&job, &event, Now { time, jitter: 0.5 }).0;
        }
        let mut quiet_ticks = 0;
        while let Some(deadline) = job.deadline().filter(|_| quiet_ticks < 10) {
            if deadline > time {
                break;
            }
            let (next, effects) = step(&job, &Event::Tick, Now { time, jitter: 0.5 });
            quiet_ticks += 1;
            if effects.iter().any(|effect| matches!(effect, Effect::StartWorker { .. })) {
                quiet_ticks = 0;
            }
            job = next;
        }
        prop_assert!(quiet_ticks < 10, "{:?}", job.state);
    }
}

#[test]
fn a_bounded_job_finishes() {
    let mut job = Job::new(policy(Some(0)), 0);
    let (states, effects) = play(
        &mut job,
        &[
            Event::Start,
            worker(1, WorkerEvent::Registered),
            worker(1, WorkerEvent::Started),
            worker(1, WorkerEvent::Heartbeat),
            worker(1, WorkerEvent::Finished),
            worker(1, WorkerEvent::Disconnected),
            worker(1, exit(0)),
        ],
    );
    use JobState::*;
    assert_eq!(states, [Scheduling, Scheduling, Running, Running, Finishing, Finishing, Finished]);
    assert_eq!(effects, [Effect::StartWorker { generation: 1 }, Effect::SendStart { generation: 1 }]);
}

#[test]
fn a_user_error_fails_at_once_with_its_text_and_hint() {
    let mut job = Job::new(policy(None), 0);
    let failure = Failure::new(ErrorClass::User, "division by zero").with_hint("use NULLIF");
    let (states, effects) = play(
        &mut job,
        &[
            Event::Start,
            worker(1, WorkerEvent::Registered),
            worker(1, WorkerEvent::Started),
            worker(1, WorkerEvent::TaskFailed(failure.clone())),
            worker(1, exit(1)),
        ],
    );
    assert_eq!(states[3..], [JobState::Failing, JobState::Failed]);
    assert_eq!(effects[2..], [Effect::SendStop { generation: 1, mode: StopMode::Immediate }]);
    assert_eq!(job.state.failure(), Some(&failure));
}

#[test]
fn a_retryable_error_is_tried_again_until_the_policy_ends_it() {
    let mut job = Job::new(policy(Some(1)), 0);
    let failure = || Failure::new(ErrorClass::Retryable, "connection refused");
    let (states, effects) = play(
        &mut job,
        &[
            Event::Start,
            worker(1, WorkerEvent::Registered),
            worker(1, WorkerEvent::TaskFailed(failure())),
            worker(1, exit(1)),
            Event::Tick,
            worker(2, WorkerEvent::Registered),
            worker(1, WorkerEvent::Heartbeat),
            worker(2, WorkerEvent::TaskFailed(failure())),
            worker(2, exit(1)),
        ],
    );
    use JobState::*;
    assert_eq!(
        states,
        [Scheduling, Scheduling, Recovering, Scheduling, Scheduling, Scheduling, Scheduling, Failing, Failed]
    );
    assert!(effects.contains(&Effect::StartWorker { generation: 2 }));
    let fence = Effect::SendStop { generation: 1, mode: StopMode::Immediate };
    assert_eq!(effects.iter().filter(|effect| **effect == fence).count(), 2, "once to end it, once to fence it");
}

#[test]
fn healthy_running_forgives_earlier_restarts() {
    let mut job = Job::new(policy(Some(1)), 0);
    job.facts.restarts = 1;
    job = step(&job, &Event::Start, at(0)).0;
    job = step(&job, &worker(1, WorkerEvent::Started), at(1)).0;
    job = step(&job, &worker(1, WorkerEvent::Heartbeat), at(200)).0;
    job = step(&job, &worker(1, exit(1)), at(201)).0;
    assert_eq!(job.state.name(), JobState::Failed, "an exit code is no retryable failure");
    assert_eq!(job.facts.restarts, 0);
}

#[test]
fn a_worker_that_comes_back_is_not_lost() {
    let mut job = Job::new(policy(Some(0)), 0);
    job = step(&job, &Event::Start, at(0)).0;
    job = step(&job, &worker(1, WorkerEvent::Started), at(1)).0;
    job = step(&job, &worker(1, WorkerEvent::Disconnected), at(5)).0;
    assert_eq!(job.deadline(), Some(at(7).time));
    job = step(&job, &worker(1, WorkerEvent::Registered), at(6)).0;
    assert_eq!((job.state.name(), job.deadline()), (JobState::Running, Some(at(36).time)));
}

#[test]
fn what_cannot_be_adopted_is_followed_by_another_at_no_cost() {
    let mut job = Job::new(policy(Some(0)), 7);
    let (states, effects) = play(&mut job, &[Event::Start, worker(8, WorkerEvent::NotAdopted)]);
    assert_eq!((states, job.facts.restarts), (vec![JobState::Scheduling; 2], 0));
    assert_eq!(effects, [Effect::StartWorker { generation: 8 }, Effect::StartWorker { generation: 9 }]);
}

#[test]
fn a_silent_worker_is_lost() {
    let mut job = Job::new(policy(Some(0)), 0);
    job = step(&job, &Event::Start, at(0)).0;
    job = step(&job, &worker(1, WorkerEvent::Started), at(1)).0;
    job = step(&job, &worker(1, WorkerEvent::Heartbeat), at(5)).0;
    job = step(&job, &Event::Tick, at(34)).0;
    assert_eq!(job.state.name(), JobState::Running);
    job = step(&job, &Event::Tick, at(35)).0;
    assert_eq!(job.state.name(), JobState::Failing);
    let (job, effects) = step(&job, &Event::Tick, at(40));
    assert_eq!(effects, [Effect::KillWorker { generation: 1 }]);
    let job = step(&job, &worker(1, WorkerEvent::Exited(Exit { signal: Some(9), ..Exit::default() })), at(41)).0;
    assert_eq!(job.state.failure().unwrap().message, "the worker was silent for 30s");
}

#[test]
fn a_crash_is_explained_by_the_exit_and_not_by_the_connection() {
    let mut job = Job::new(policy(Some(0)), 0);
    let crash = WorkerEvent::Exited(Exit { code: None, signal: Some(11), stderr: "last words".into() });
    play(
        &mut job,
        &[Event::Start, worker(1, WorkerEvent::Started), worker(1, WorkerEvent::Disconnected), worker(1, crash)],
    );
    let failure = job.state.failure().unwrap();
    assert_eq!(failure.message, "the worker was ended by signal 11 (segmentation fault) before its tasks did");
    assert_eq!(failure.detail.as_deref(), Some("last words"));
}

#[test]
fn a_graceful_stop_drains_and_a_second_one_does_not_wait() {
    let running = {
        let mut job = Job::new(policy(Some(0)), 0);
        play(&mut job, &[Event::Start, worker(1, WorkerEvent::Registered), worker(1, WorkerEvent::Started)]);
        job
    };
    let mut drained = running.clone();
    let (states, _) =
        play(&mut drained, &[Event::Stop(StopMode::Graceful), worker(1, WorkerEvent::Finished), worker(1, exit(0))]);
    assert_eq!(states, [JobState::Stopping, JobState::Stopping, JobState::Stopped]);

    let mut cut = running.clone();
    let (states, effects) =
        play(&mut cut, &[Event::Stop(StopMode::Graceful), Event::Stop(StopMode::Immediate), worker(1, exit(1))]);
    assert_eq!(states, [JobState::Stopping, JobState::Stopping, JobState::Stopped]);
    assert_eq!(effects[1], Effect::SendStop { generation: 1, mode: StopMode::Immediate });

    let mut broken = running;
    let (states, _) = play(&mut broken, &[Event::Stop(StopMode::Graceful), worker(1, exit(1))]);
    assert_eq!(states, [JobState::Stopping, JobState::Failed], "what was to be flushed was lost");
}

#[test]
fn a_stop_before_the_worker_attached_ends_its_start() {
    let mut job = Job::new(policy(Some(0)), 0);
    let (states, effects) = play(
        &mut job,
        &[Event::Start, Event::Stop(StopMode::Graceful), worker(1, WorkerEvent::Exited(Exit::default()))],
    );
    assert_eq!(states, [JobState::Scheduling, JobState::Stopping, JobState::Stopped]);
    assert_eq!(effects[1], Effect::KillWorker { generation: 1 });
}

#[test]
fn back_off_doubles_up_to_its_maximum() {
    let policy = Policy::default();
    assert_eq!(policy.backoff(0, 1.0), Duration::from_millis(500));
    assert_eq!(policy.backoff(3, 1.0), Duration::from_secs(4));
    assert_eq!(policy.backoff(3, 0.0), Duration::from_secs(2));
    assert_eq!(policy.backoff(1000, 1.0), Duration::from_secs(60));
}
