//! Watermarks: how far event time has come, combined over inputs.
//!
//! A watermark `w` promises that no row with an event time before `w` is to come (rows that break the promise are
//! late). A task has several inputs (partitions of its source, or queues from upstream tasks), each with a watermark
//! of its own; the task's is their minimum.
//!
//! Who takes part in the minimum:
//!
//! | input | takes part | because |
//! |---|---|---|
//! | live, has a watermark | with that watermark | |
//! | live, none yet | holds everything back | its first rows may be old |
//! | idle | no | it was silent for longer than the table's `idle_micros`, others must not wait for it |
//! | ended | no | it has no more rows |
//!
//! With no live input left, the idle ones that have a watermark decide by their minimum: it then does not matter in
//! which order they fell silent, and an input that never had rows delays nothing. Beyond that the watermark stays
//! where it is: silence is no promise. Only the end of *all* input is one, and that is said by whoever sees it
//! ([`END`]), not derived here.
//!
//! Invariants: a combined watermark never goes back, also when an idle input comes back with an older one (its rows
//! are then late); an input's own watermark never goes back either. Both are property-tested against a naive model.
//!
//! Cost: one pass over the inputs for each observation, that is for each batch. Time is passed in, never read.
//!
//! Not here: where watermarks come from (generated `Watermark` operators) and what they do (windows in stages).

use std::time::Duration;

use tokio::time::Instant;

/// The watermark after the last row.
pub(crate) const END: i64 = i64::MAX;

/// Longer idle times are taken as this, so that clock arithmetic cannot overflow.
const IDLE_MOST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The minimum over inputs.
#[derive(Debug, Default)]
pub(crate) struct MinWatermark {
    inputs: Vec<Input>,
    combined: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Input {
    watermark: Option<i64>,
    state: Activity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Live,
    Idle,
    Ended,
}

impl MinWatermark {
    /// All inputs live, none with a watermark.
    pub(crate) fn new(inputs: usize) -> Self {
        let mut this = MinWatermark::default();
        this.grow(inputs);
        this
    }

    /// Makes inputs up to `inputs - 1` known.
    fn grow(&mut self, inputs: usize) {
        if self.inputs.len() < inputs {
            self.inputs.resize(inputs, Input { watermark: None, state: Activity::Live });
        }
    }

    /// An input's watermark; the combined one, if that moved it. An input that says so is live.
    pub(crate) fn observe(&mut self, input: usize, watermark: i64) -> Option<i64> {
        let input = &mut self.inputs[input];
        input.watermark = input.watermark.max(Some(watermark));
        if input.state == Activity::Idle {
            input.state = Activity::Live;
        }
        self.combine()
    }

    /// The input no longer holds others back.
    pub(crate) fn set_idle(&mut self, input: usize) -> Option<i64> {
        if self.inputs[input].state == Activity::Live {
            self.inputs[input].state = Activity::Idle;
        }
        self.combine()
    }

    /// The input has rows again. Whatever that means for the combined watermark shows at the next observation.
    pub(crate) fn set_live(&mut self, input: usize) {
        if self.inputs[input].state == Activity::Idle {
            self.inputs[input].state = Activity::Live;
        }
    }

    /// The input will have no more rows.
    pub(crate) fn end(&mut self, input: usize) -> Option<i64> {
        self.inputs[input].state = Activity::Ended;
        self.combine()
    }

    /// True when nobody takes part in the minimum, but somebody may again.
    pub(crate) fn is_idle(&self) -> bool {
        !self.has_live() && self.inputs.iter().any(|input| input.state == Activity::Idle)
    }

    pub(crate) fn has_live(&self) -> bool {
        self.inputs.iter().any(|input| input.state == Activity::Live)
    }

    fn combine(&mut self) -> Option<i64> {
        let of = |state| self.inputs.iter().filter(move |input| input.state == state).map(|input| input.watermark);
        // `None` is less than any watermark: a live input without one holds back.
        let minimum = match self.has_live() {
            true => of(Activity::Live).min().flatten(),
            false => of(Activity::Idle).flatten().min(),
        };
        if minimum > self.combined {
            self.combined = minimum;
            return minimum;
        }
        None
    }
}

/// The partitions of one source task: their watermarks, and who has been silent for too long.
///
/// Partitions become known by their first event. A task that knows none, or whose partitions have all ended, waits
/// like a live one (its next partition may be as old as any) until it has itself been silent for the idle time.
#[derive(Debug)]
pub(crate) struct Partitions {
    watermarks: MinWatermark,
    /// When each partition had its last rows.
    last_rows: Vec<Instant>,
    /// When any of them had.
    last_event: Instant,
    idle_after: Option<Duration>,
    /// No partition can become idle before this. A lower bound, so that a batch costs one comparison.
    next_check: Option<Instant>,
    idle: bool,
    /// What a partition's watermark is before its first rows.
    first: Option<i64>,
}

/// What [`Partitions::check`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Silence {
    /// The combined watermark, if leaving silent partitions out has moved it.
    pub(crate) watermark: Option<i64>,
    /// The task has just become idle as a whole.
    pub(crate) idle: bool,
}

impl Partitions {
    pub(crate) fn new(idle_after: Option<Duration>, now: Instant) -> Self {
        let idle_after = idle_after.map(|idle| idle.min(IDLE_MOST));
        Partitions {
            watermarks: MinWatermark::default(),
            last_rows: Vec::new(),
            last_event: now,
            idle_after,
            next_check: idle_after.map(|idle| now + idle),
            idle: false,
            first: None,
        }
    }

    /// Takes over watermarks from an earlier attempt: by partition, or one for whichever partition comes.
    pub(crate) fn restore(&mut self, partitions: &[(usize, i64)], any: Option<i64>) {
        for (partition, watermark) in partitions {
            self.watermarks.grow(partition + 1);
            self.last_rows.resize(self.last_rows.len().max(partition + 1), self.last_event);
            self.watermarks.inputs[*partition].watermark = Some(*watermark);
        }
        self.first = any;
    }

    /// The watermark of each partition that has one.
    pub(crate) fn observed(&self) -> Vec<(usize, i64)> {
        let known = self.watermarks.inputs.iter().enumerate();
        known.filter_map(|(partition, input)| Some((partition, input.watermark?))).collect()
    }

    /// Rows of a partition have come. True when the task was idle until now.
    pub(crate) fn rows(&mut self, partition: usize, now: Instant) -> bool {
        self.touch(partition, now);
        self.watermarks.set_live(partition);
        std::mem::take(&mut self.idle)
    }

    /// The watermark that the partition's rows imply; the combined one, if that moved it.
    pub(crate) fn observe(&mut self, partition: usize, watermark: i64) -> Option<i64> {
        self.watermarks.observe(partition, watermark)
    }

    /// The partition will have no more rows.
    pub(crate) fn end(&mut self, partition: usize, now: Instant) -> Option<i64> {
        self.touch(partition, now);
        self.watermarks.end(partition)
    }

    /// When to call [`Self::check`] next, if ever.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }

    /// Finds partitions that have been silent for too long.
    pub(crate) fn check(&mut self, now: Instant) -> Silence {
        let (Some(idle_after), Some(next_check)) = (self.idle_after, self.next_check) else {
            return Silence::default();
        };
        if now < next_check {
            return Silence::default();
        }
        let mut silence = Silence::default();
        let mut next = None;
        for (partition, last_rows) in self.last_rows.iter().enumerate() {
            if self.watermarks.inputs[partition].state != Activity::Live {
                continue;
            }
            let deadline = *last_rows + idle_after;
            if deadline <= now {
                silence.watermark = self.watermarks.set_idle(partition).or(silence.watermark);
            } else {
                next = Some(next.map_or(deadline, |least: Instant| least.min(deadline)));
            }
        }
        if !self.watermarks.has_live() && !self.idle {
            let deadline = self.last_event + idle_after;
            if deadline <= now {
                self.idle = true;
                silence.idle = true;
            } else {
                next = Some(deadline);
            }
        }
        // An idle task is woken by rows alone; they set the next check.
        self.next_check = next;
        silence
    }

    fn touch(&mut self, partition: usize, now: Instant) {
        if self.last_rows.len() <= partition {
            let known = self.last_rows.len();
            self.last_rows.resize(partition + 1, now);
            self.watermarks.grow(partition + 1);
            self.watermarks.inputs[known..].iter_mut().for_each(|input| input.watermark = self.first);
        }
        self.last_rows[partition] = now;
        self.last_event = now;
        if let Some(idle_after) = self.idle_after {
            let deadline = now + idle_after;
            self.next_check = Some(self.next_check.map_or(deadline, |check| check.min(deadline)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_input_without_a_watermark_holds_back() {
        let mut watermark = MinWatermark::new(2);
        assert_eq!(watermark.observe(0, 100), None);
        assert_eq!(watermark.observe(1, 50), Some(50));
        assert_eq!(watermark.observe(1, 200), Some(100));
        assert_eq!(watermark.observe(0, 90), None, "an input's watermark does not go back");
    }

    #[test]
    fn idle_and_ended_inputs_are_left_out_and_silence_is_no_promise() {
        let mut watermark = MinWatermark::new(3);
        watermark.observe(0, 10);
        watermark.observe(1, 20);
        assert_eq!(watermark.end(2), Some(10));
        assert_eq!(watermark.set_idle(0), Some(20));
        assert_eq!(watermark.set_idle(1), None);
        assert!(watermark.is_idle());
        watermark.set_live(0);
        assert!(!watermark.is_idle());
        assert_eq!(watermark.observe(0, 15), None, "it comes back behind the others");
        assert_eq!(watermark.observe(0, 30), Some(30));
    }

    #[test]
    fn with_all_idle_the_order_of_falling_silent_does_not_matter_to_one_that_never_had_rows() {
        for order in [[0, 1], [1, 0]] {
            let mut watermark = MinWatermark::new(2);
            assert_eq!(watermark.observe(0, 19), None);
            let moved: Vec<_> = order.into_iter().filter_map(|input| watermark.set_idle(input)).collect();
            assert_eq!(moved, [19]);
        }
    }

    #[test]
    fn a_silent_partition_is_left_out_then_the_task_is_idle() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut partitions = Partitions::new(Some(Duration::from_millis(100)), start);
        assert!(!partitions.rows(0, at(10)));
        assert!(!partitions.rows(1, at(50)));
        assert_eq!(partitions.observe(0, 5), None);
        assert_eq!(partitions.observe(1, 7), Some(5));
        assert_eq!(partitions.check(at(105)), Silence::default());
        assert_eq!(partitions.next_check(), Some(at(110)));
        assert_eq!(partitions.check(at(110)), Silence { watermark: Some(7), idle: false });
        assert_eq!(partitions.next_check(), Some(at(150)));
        assert_eq!(partitions.check(at(150)), Silence { watermark: None, idle: true });
        assert_eq!(partitions.next_check(), None);
        assert!(partitions.rows(1, at(400)), "active again");
        assert_eq!(partitions.next_check(), Some(at(500)));
    }

    #[test]
    fn between_two_partitions_a_task_is_not_idle() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut partitions = Partitions::new(Some(Duration::from_millis(100)), start);
        partitions.rows(0, at(10));
        partitions.end(0, at(90));
        assert_eq!(partitions.check(at(110)), Silence::default());
        assert_eq!(partitions.check(at(190)), Silence { watermark: None, idle: true });
    }

    #[test]
    fn a_task_without_partitions_becomes_idle_and_without_idle_time_never() {
        let start = Instant::now();
        let mut partitions = Partitions::new(Some(Duration::from_millis(100)), start);
        assert!(partitions.check(start + Duration::from_millis(100)).idle);
        let mut partitions = Partitions::new(None, start);
        assert_eq!(partitions.next_check(), None);
        assert!(!partitions.check(start + Duration::from_secs(1_000_000)).idle);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Observe(usize, i64),
        Idle(usize),
        Live(usize),
        End(usize),
    }

    fn step(inputs: usize) -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0..inputs, -50i64..50).prop_map(|(input, watermark)| Step::Observe(input, watermark)),
            1 => (0..inputs).prop_map(Step::Idle),
            1 => (0..inputs).prop_map(Step::Live),
            1 => (0..inputs).prop_map(Step::End),
        ]
    }

    proptest! {
        /// Why tasks that share out the state of others may go on from the largest of their watermarks: all hear the same of
        /// each sender before a barrier, though mixed in any way, and whoever has never been left out has promised at least
        /// as much as any of them has come to. What it sends behind the barrier is late for none.
        #[test]
        fn a_sender_that_was_never_idle_has_promised_what_any_receiver_has_come_to(
            (senders, steps) in (1usize..5).prop_flat_map(|n| (Just(n), proptest::collection::vec(step(n), 0..60))),
            orders in proptest::collection::vec(proptest::collection::vec(0usize..64, 60), 1..4),
        ) {
            let of = |step: &Step| match step {
                Step::Observe(sender, _) | Step::Idle(sender) | Step::Live(sender) | Step::End(sender) => *sender,
            };
            let said: Vec<Vec<&Step>> =
                (0..senders).map(|sender| steps.iter().filter(|step| of(step) == sender).collect()).collect();
            let mut reached = Vec::new();
            for order in &orders {
                let mut receiver = MinWatermark::new(senders);
                let mut left: Vec<_> = said.iter().map(|said| said.iter()).collect();
                let mut come_to = None;
                // A receiver's own mixture, then the rest.
                for turn in order.iter().copied().chain((0..senders).cycle().take(senders * 60)) {
                    let moved = match left[turn % senders].next() {
                        Some(Step::Observe(sender, watermark)) => receiver.observe(*sender, *watermark),
                        Some(Step::Idle(sender)) => receiver.set_idle(*sender),
                        Some(Step::Live(sender)) => { receiver.set_live(*sender); None }
                        Some(Step::End(sender)) => receiver.end(*sender),
                        None => None,
                    };
                    come_to = moved.or(come_to);
                }
                reached.push(come_to);
            }
            let largest = reached.iter().max().copied().flatten();
            for (sender, said) in said.iter().enumerate() {
                let stays = said.iter().all(|step| matches!(step, Step::Observe(..)));
                let promised = said.iter().filter_map(|step| match step {
                    Step::Observe(_, watermark) => Some(*watermark),
                    _ => None,
                });
                let promised = promised.max();
                prop_assert!(!stays || largest <= promised, "sender {}: {:?}, receivers {:?}", sender, promised, reached);
            }
            if steps.iter().all(|step| matches!(step, Step::Observe(..) | Step::End(_))) {
                prop_assert!(reached.iter().all(|come_to| come_to == &reached[0]), "{:?}", reached);
            }
        }

        /// The naive model keeps each input's history and takes minima over whole histories.
        #[test]
        fn the_minimum_is_monotone_and_agrees_with_a_naive_model(
            (inputs, steps) in (1usize..5).prop_flat_map(|n| (Just(n), proptest::collection::vec(step(n), 0..60)))
        ) {
            let mut tested = MinWatermark::new(inputs);
            let mut seen: Vec<Vec<i64>> = vec![Vec::new(); inputs];
            let (mut idle, mut ended) = (vec![false; inputs], vec![false; inputs]);
            let mut reached: Option<i64> = None;
            for step in steps {
                let moves = !matches!(step, Step::Live(_));
                let moved = match step {
                    Step::Observe(input, watermark) => {
                        seen[input].push(watermark);
                        idle[input] = false;
                        tested.observe(input, watermark)
                    }
                    Step::Idle(input) => { idle[input] = true; tested.set_idle(input) }
                    Step::Live(input) => { idle[input] = false; tested.set_live(input); None }
                    Step::End(input) => { ended[input] = true; tested.end(input) }
                };
                let live: Vec<_> = (0..inputs).filter(|i| !idle[*i] && !ended[*i]).collect();
                let reach = |i: &usize| seen[*i].iter().max().copied();
                let expected = if moves && !live.is_empty() {
                    live.iter().map(reach).collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min())
                } else if moves {
                    (0..inputs).filter(|i| idle[*i] && !ended[*i]).filter_map(|i| reach(&i)).min()
                } else {
                    None
                };
                let expected = if expected > reached { expected } else { None };
                prop_assert_eq!(moved, expected);
                reached = moved.or(reached);
                prop_assert_eq!(tested.is_idle(), live.is_empty() && (0..inputs).any(|i| idle[i] && !ended[i]));
            }
        }
    }
}
