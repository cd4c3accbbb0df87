//! Faults that are put in on purpose, to see whether the tests of checkpoints find them.
//!
//! A test that has never failed has shown nothing. Each [`Mutant`] breaks one rule of `docs/checkpoints.md`, at the place
//! in the worker or the controller that keeps it; `tests/simulation/mutants.rs` lives through crashes with each of them, and
//! fails if nobody notices.
//!
//! Both sides must know the switch, so it is here, though it is behaviour. It is the thread's: a simulated job runs on one
//! thread, beside others. Nothing but tests throws it (`tests/tidy.rs` sees to that), so in a job that is run [`is`]
//! reads a thread-local that nobody has set. It is asked at barriers, restores, commits and collections, never for a
//! batch or a row.

use std::cell::Cell;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A sink does not publish the tokens of the manifest that the job goes on from.
    TokenForgotten,
    /// Whoever goes back to an earlier checkpoint does not publish what is left behind.
    LeftBehindForgotten,
    /// Sinks are told to publish before the manifest is written.
    PublishedTooEarly,
    /// The first barrier that comes is taken for all: the other inputs are not waited for.
    InputNotAligned,
    /// A restart does not know how far event time had come.
    WatermarkForgotten,
    /// Of the groups that have changed since the last snapshot, one that was in an earlier one is left out.
    UpdateOmitted,
    /// The collector does not look at savepoints.
    SavepointIgnored,
    /// A generation believes that its manifest is committed, whoever's record has the number.
    ZombieAccepted,
    /// At another parallelism, a task looks for its rows in the files of too small a range.
    KeyRangeOff,
    /// The oldest open window is not restored, so it does not fire with what it held.
    WindowForgotten,
    /// Rows that the exchange gathers are dropped at the barrier of a stop.
    InFlightDropped,
    /// A worker that has another controller still does what the one before says.
    ZombieObeyed,
    /// What a worker was in the middle of when its controller was lost is begun anew by the next, under another number.
    FlightForgotten,
}

thread_local! {
    static PRESENT: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Whether this is to be done wrong now.
#[inline]
pub fn is(mutant: Mutant) -> bool {
    PRESENT.get() == Some(mutant)
}

/// Does something with a mutant, on this thread; `None`: with none.
pub fn during<T>(mutant: Option<Mutant>, work: impl FnOnce() -> T) -> T {
    struct Before(Option<Mutant>);
    impl Drop for Before {
        fn drop(&mut self) {
            PRESENT.set(self.0);
        }
    }
    let _before = Before(PRESENT.replace(mutant));
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_is_there_for_the_time_and_the_thread_of_a_test() {
        let mutant = Mutant::UpdateOmitted;
        assert!(!is(mutant));
        let elsewhere = during(Some(mutant), || {
            assert!(is(mutant) && !is(Mutant::ZombieAccepted));
            during(None, || assert!(!is(mutant)));
            assert!(is(mutant));
            std::thread::spawn(move || is(mutant)).join()
        });
        assert!(matches!(elsewhere, Ok(false)));
        assert!(!is(mutant));
    }
}
